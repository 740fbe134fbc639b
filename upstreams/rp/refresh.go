package rp

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/spec"
)

// typeAssertion is the type of a client assertion (RFC 7523 §2.2).
const typeAssertion = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Refresh redeems a refresh token (RFC 6749 §6, OpenID Connect Core §12.1). The provider may have replaced it, in which case the old one is spent,
// whatever is wrong with the rest of the answer: a new one is returned beside an error, too. Every error is an *Error; one of kind KindRefused with
// code invalid_grant says that the provider stands for this login no longer.
func (c *Client) Refresh(ctx context.Context, doc Document, token string) (Tokens, error) {
	if err := c.mayCall("token_endpoint", doc.TokenEndpoint); err != nil {
		return Tokens{}, err
	}
	req, err := c.refreshRequest(ctx, doc, token)
	if err != nil {
		return Tokens{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return Tokens{}, wordless(called(doc.TokenEndpoint, err)) // a description may quote the token
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return Tokens{}, called(doc.TokenEndpoint, err)
	}
	answer, err := jose.ParseClaims(body)
	if err != nil { // strict looked already
		return Tokens{}, fault(KindNonsense, "the answer: %w", err)
	}
	text := func(name string) string { value, _ := answer.String(name); return value }
	tokens := Tokens{ID: text("id_token"), Access: text("access_token"), Refresh: text("refresh_token")}
	if tokens.Refresh != "" && !visible(tokens.Refresh) {
		tokens.Refresh = ""
	}
	switch {
	case answer.Has("error"): // with status 200
		return Tokens{Refresh: tokens.Refresh}, wordless(answered(KindRefused, text("error"), nil))
	case !strings.EqualFold(text("token_type"), typeBearer):
		return Tokens{Refresh: tokens.Refresh}, fault(KindNonsense, "token_type is not Bearer")
	case tokens.Access == "" || !visible(tokens.Access):
		return Tokens{Refresh: tokens.Refresh}, fault(KindNonsense, "the access token is not one")
	}
	return tokens, nil
}

func (c *Client) refreshRequest(ctx context.Context, doc Document, token string) (*http.Request, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	switch c.o.Method {
	case spec.AuthPost:
		form.Set("client_id", c.o.ClientID)
		form.Set("client_secret", c.o.Secret.Reveal())
	case spec.AuthPrivateKey:
		assertion, err := c.assertion(doc)
		if err != nil { // ours, not the provider's: whoever reads the log can mend it
			return nil, fault(KindUnavailable, "client assertion: %w", err)
		}
		form.Set("client_id", c.o.ClientID)
		form.Set("client_assertion_type", typeAssertion)
		form.Set("client_assertion", assertion)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, doc.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fault(KindEndpoint, "token_endpoint is no URL")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.o.Method == spec.AuthBasic {
		req.SetBasicAuth(url.QueryEscape(c.o.ClientID), url.QueryEscape(c.o.Secret.Reveal())) // RFC 6749 §2.3.1
	}
	return req, nil
}
