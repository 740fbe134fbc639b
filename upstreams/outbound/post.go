package outbound

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// Post is what one PostForm wants beside URL and form.
type Post struct {
	// User and Password are the client's credentials (RFC 6749 §2.3.1), form-encoded here; an empty User sends none. Whether in the header or in the
	// form, credentials go to CredentialHosts alone: another host is an error.
	User, Password  string
	CredentialHosts []string // host or host:port
	MaxBody         int64
}

// PostForm posts a form and reads a JSON answer: of status 200, or of 400 and 401, in which a token endpoint says what is wrong (RFC 6749 §5.2).
// Redirects are not followed. The body is not judged. Every error is an *Error.
func (c *Client) PostForm(ctx context.Context, rawURL string, form url.Values, o Post) (body []byte, status int, err error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, 0, &Error{Class: ClassURL, Reason: err.Error()}
	}
	if !isCredentialHost(u, o.CredentialHosts) {
		return nil, 0, &Error{Host: u.Host, Class: ClassCredential, Reason: "not the issuer's host, nor one of credential_hosts"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return nil, 0, &Error{Host: u.Host, Class: ClassURL, Reason: "not a URL"}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if o.User != "" {
		req.SetBasicAuth(url.QueryEscape(o.User), url.QueryEscape(o.Password))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, Describe(u.Host, err)
	}
	defer func() { _ = resp.Body.Close() }()
	status = resp.StatusCode
	if status == http.StatusBadRequest || status == http.StatusUnauthorized {
		resp.StatusCode = http.StatusOK // its body is an answer, too
	}
	if err := checkJSON(resp); err != nil {
		err.Host = u.Host
		if status != http.StatusOK {
			err.Status = status
		}
		return nil, status, err
	}
	limit := c.maxBody
	if o.MaxBody > 0 {
		limit = min(limit, o.MaxBody)
	}
	if body, err = io.ReadAll(&cappedBody{ReadCloser: resp.Body, left: limit}); err != nil {
		return nil, status, Describe(u.Host, err)
	}
	return body, status, nil
}

// IsCredentialHost tells whether the host of an address is one of those that may get credentials, each host or host:port.
func IsCredentialHost(address string, hosts []string) bool {
	u, err := parseURL(address)
	return err == nil && isCredentialHost(u, hosts)
}
