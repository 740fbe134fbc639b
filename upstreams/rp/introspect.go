package rp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/outbound"
)

// Introspect asks an introspection endpoint about a token (RFC 7662 §2.1), with client_secret_basic. The answer is unjudged: whoever asked looks at
// active first. Every error is an *Error; none of them is the token's fault.
func Introspect(ctx context.Context, client *outbound.Client, endpoint, id, secret, token string) (jose.Claims, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return jose.Claims{}, fault(KindEndpoint, "introspection endpoint is no URL")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) // RFC 6749 §2.3.1
	resp, err := strictly(client).Do(req)
	if err != nil {
		return jose.Claims{}, wordless(called(endpoint, err))
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return jose.Claims{}, called(endpoint, err)
	}
	claims, err := jose.ParseClaims(body)
	if err != nil { // strict looked already
		return jose.Claims{}, fault(KindNonsense, "the answer: %w", err)
	}
	return claims, nil
}

// wordless leaves out the provider's description, which may quote the token.
func wordless(e *Error) *Error {
	if e.Kind != KindRefused && e.Kind != KindDenied {
		return e
	}
	return &Error{Kind: e.Kind, Code: e.Code, RetryAfter: e.RetryAfter, Err: errors.New("refused")}
}
