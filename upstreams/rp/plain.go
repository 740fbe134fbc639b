package rp

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Access redeems the code at a provider that is plain OAuth 2.0 (RFC 6749 §4.1.3): what comes is an access token, unjudged. Every error is an *Error.
func (c *Client) Access(ctx context.Context, doc Document, a Attempt, code string) (string, error) {
	tokens, err := c.redeem(ctx, doc, a, code)
	return tokens.Access, err
}

// Resource asks, with an access token (RFC 6750 §2.1), what the provider's API says of the person: the body of a good answer, which is JSON by its media type
// and bounded, and unjudged beyond that. name is the endpoint's in errors. Every error is an *Error.
func (c *Client) Resource(ctx context.Context, name, endpoint, access string) ([]byte, error) {
	if err := c.mayCall(name, endpoint); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		return nil, fault(KindEndpoint, "%s is no URL", name)
	}
	req.Header.Set("Accept", mediaJSON)
	req.Header.Set("Authorization", typeBearer+" "+access)
	resp, err := c.o.Resources.HTTP().Do(req)
	if err != nil {
		return nil, called(endpoint, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := judgeResource(resp); err != nil {
		err.Err = fmt.Errorf("%s: %w", name, err.Err)
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, unanswered(req.URL.Host, err)
	case len(body) > maxAnswer:
		return nil, fault(KindNonsense, "%s: the answer is longer than %d bytes", name, maxAnswer)
	}
	return body, nil
}

func judgeResource(resp *http.Response) *Error {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	status, later := resp.StatusCode, retryAfter(resp.Header)
	switch {
	case passing(status), status == http.StatusForbidden && later > 0: // how some say that there were too many requests
		return &Error{Kind: KindUnavailable, RetryAfter: later, Err: statusError(status)}
	case status == http.StatusUnauthorized, status == http.StatusForbidden: // RFC 6750 §3.1
		return &Error{Kind: KindRefused, Err: statusError(status)}
	case status != http.StatusOK:
		return &Error{Kind: KindNonsense, Err: statusError(status)}
	case media != mediaJSON && (!strings.HasPrefix(media, "application/") || !strings.HasSuffix(media, "+json")):
		return fault(KindNonsense, "the answer is not JSON by its media type")
	}
	return nil
}
