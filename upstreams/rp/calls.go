package rp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	zitadel "github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/spec"
)

const (
	// maxAnswer is the length of the longest answer to a call, in bytes: four ID tokens of the longest kind.
	maxAnswer = 64 << 10
	// maxRetryAfter bounds what a provider may keep people waiting.
	maxRetryAfter = 5 * time.Minute

	typeBearer = "Bearer" // RFC 6750 §6.1.1
	mediaJSON  = "application/json"
)

// Tokens are what a code, or a refresh token, was redeemed for, unjudged. A refresh may bring no ID token, and no new refresh token.
type Tokens struct{ ID, Access, Refresh string }

// Format implements fmt.Formatter, so that no verb shows what they are.
func (Tokens) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[tokens]") }

// Redeem redeems the code at the token endpoint (OpenID Connect Core §3.1.3). Every error is an *Error.
func (c *Client) Redeem(ctx context.Context, doc Document, a Attempt, code string) (Tokens, error) {
	tokens, err := c.redeem(ctx, doc, a, code)
	if err == nil && tokens.ID == "" {
		err = fault(KindNonsense, "the token endpoint gave no ID token")
	}
	if err != nil {
		return Tokens{}, err
	}
	return tokens, nil
}

func (c *Client) redeem(ctx context.Context, doc Document, a Attempt, code string) (Tokens, error) {
	if err := c.mayCall("token_endpoint", doc.TokenEndpoint); err != nil {
		return Tokens{}, err
	}
	options := []zitadel.CodeExchangeOpt{zitadel.WithCodeVerifier(a.Verifier)}
	if c.o.Method == spec.AuthPrivateKey {
		assertion, err := c.assertion(doc)
		if err != nil { // ours, not the provider's: whoever reads the log can mend it
			return Tokens{}, fault(KindUnavailable, "client assertion: %w", err)
		}
		options = append(options, zitadel.WithClientAssertionJWT(assertion))
	}
	party, err := c.party(doc, a.RedirectURI, c.http)
	if err != nil {
		return Tokens{}, err
	}
	answer, err := zitadel.CodeExchange[*oidc.IDTokenClaims](ctx, code, party, options...)
	if err != nil {
		return Tokens{}, called(doc.TokenEndpoint, err)
	}
	id, _ := answer.Extra("id_token").(string)
	switch {
	case !strings.EqualFold(answer.TokenType, typeBearer): // OpenID Connect Core §3.1.3.3
		return Tokens{}, fault(KindNonsense, "token_type is not Bearer")
	case !visible(answer.AccessToken):
		return Tokens{}, fault(KindNonsense, "the access token is not one")
	}
	return Tokens{ID: id, Access: answer.AccessToken, Refresh: answer.RefreshToken}, nil
}

// UserInfo asks for the claims of the person whom the access token is about, who must be the ID token's sub (OpenID Connect Core §5.3.2). A
// signed answer is refused: we ask for none. Every error is an *Error.
func (c *Client) UserInfo(ctx context.Context, doc Document, access, sub string) (map[string]any, error) {
	if err := c.mayCall("userinfo_endpoint", doc.UserInfoEndpoint); err != nil {
		return nil, err
	}
	party, err := c.party(doc, "", c.resources)
	if err != nil {
		return nil, err
	}
	answer, err := zitadel.Userinfo[userinfo](ctx, access, typeBearer, sub, party)
	switch {
	case errors.Is(err, zitadel.ErrUserInfoSubNotMatching):
		return nil, fault(KindUserInfo, "sub is not the ID token's")
	case err != nil:
		return nil, called(doc.UserInfoEndpoint, err)
	}
	return answer.claims.Map(), nil
}

// userinfo is decoded by our own strict parser.
type userinfo struct{ claims jose.Claims }

// UnmarshalJSON implements json.Unmarshaler.
func (u *userinfo) UnmarshalJSON(data []byte) (err error) {
	u.claims, err = jose.ParseClaims(bytes.Clone(data))
	return err
}

// GetSubject implements zitadel's SubjectGetter: empty unless sub is a string.
func (u userinfo) GetSubject() string {
	sub, _ := u.claims.String("sub")
	return sub
}

// called judges what the library returned. Its own texts may quote an answer: they go nowhere.
func called(endpoint string, err error) *Error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok { // an error with status 200
		return answered(KindRefused, refused.ErrorCode, described(refused.ErrorDescription))
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		host := ""
		if u, err := url.Parse(endpoint); err == nil {
			host = u.Host
		}
		return unanswered(host, err)
	}
	return fault(KindNonsense, "the answer is not the JSON that it must be")
}

// strict lets only good answers through: status 200, JSON by its media type, one object without repeated members, bounded. Everything
// else becomes an *Error here, so that the library never sees it.
type strict struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper. It asks for what it lets through: some providers answer with a form unless they are.
func (s strict) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept", mediaJSON)
	resp, err := s.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	_ = resp.Body.Close()
	if err != nil && resp.StatusCode == http.StatusOK {
		return nil, err
	}
	if err := judge(resp, body); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func judge(resp *http.Response, body []byte) error {
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	claims, malformed := jose.ParseClaims(body)
	status := resp.StatusCode
	switch {
	case passing(status):
		return &Error{Kind: KindUnavailable, RetryAfter: retryAfter(resp.Header), Err: statusError(status)}
	case status >= http.StatusBadRequest:
		code, _ := claims.String("error")
		if !codePattern.MatchString(code) {
			return &Error{Kind: KindNonsense, Err: statusError(status)}
		}
		description, _ := claims.String("error_description")
		return answered(KindRefused, code, errors.Join(statusError(status), described(description)))
	case status != http.StatusOK:
		return &Error{Kind: KindNonsense, Err: statusError(status)}
	case len(body) > maxAnswer:
		return fault(KindNonsense, "the answer is longer than %d bytes", maxAnswer)
	case media != mediaJSON:
		return fault(KindNonsense, "the answer is not application/json")
	case malformed != nil:
		return fault(KindNonsense, "the answer: %w", malformed)
	}
	return nil
}

// passing says whether a status may be another one a little later.
func passing(status int) bool {
	return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}

// statusError is an answer's status.
type statusError int

func (e statusError) Error() string { return "status " + strconv.Itoa(int(e)) }

// retryAfter reads delay-seconds (RFC 9110 §10.2.3); zero for a date or nothing.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.ParseUint(h.Get("Retry-After"), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}
