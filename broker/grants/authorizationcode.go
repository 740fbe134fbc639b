package grants

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"strings"

	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/session"
)

// authorizationCode is RFC 6749 §4.1.3 with RFC 7636: a code of this client, once, from where it was asked for.
type authorizationCode struct{ login }

func (authorizationCode) Type() string { return oauth.GrantAuthorizationCode }

func (g authorizationCode) Authorize(ctx context.Context, req *oauth.TokenRequest) (policy.Authority, error) {
	if req.Requester.Anonymous {
		return policy.Authority{}, nobody()
	}
	code, redirect := req.Form.Get(oauth.ParamCode), req.Form.Get(oauth.ParamRedirectURI)
	if code == "" || redirect == "" {
		return policy.Authority{}, invalid(oauth.ReasonParameter, errors.New("code and redirect_uri are required"))
	}
	targets, err := oauth.Targets(req.Form)
	if err != nil {
		return policy.Authority{}, err
	}
	p, err := g.Logins.Sessions.Code(ctx, code)
	switch {
	case errors.Is(err, session.ErrEnded):
		return policy.Authority{}, badGrant(oauth.ReasonRevoked, err)
	case errors.Is(err, session.ErrNone):
		return policy.Authority{}, badGrant(oauth.ReasonCode, err)
	case err != nil:
		return policy.Authority{}, unavailable(err)
	case p.Grant.ClientID != req.Requester.ClientID: // another client can neither use nor spoil it
		return policy.Authority{}, badGrant(oauth.ReasonCode, errors.New("another client's code"))
	case p.State == session.Spent:
		return policy.Authority{}, g.reused(ctx, req, &p.Grant)
	case p.State != session.Fresh:
		return policy.Authority{}, badGrant(oauth.ReasonCode, errors.New("the code has expired"))
	case redirect != p.Grant.RedirectURI:
		return policy.Authority{}, badGrant(oauth.ReasonVerifier, errors.New("redirect_uri is not the authorization request's"))
	}
	if err := checkVerifier(p.Grant.Challenge, req.Form.Get(oauth.ParamCodeVerifier)); err != nil {
		return policy.Authority{}, badGrant(oauth.ReasonVerifier, err)
	}
	if p.Grant.DPoPKey != "" && !req.Proof.Proves(p.Grant.DPoPKey) { // another's proof can neither use nor spoil it
		return policy.Authority{}, unproven("no proof by the key of dpop_jkt")
	}
	a, err := g.authority(req, &p.Grant, targets, "", p.Grant.Nonce) // RFC 6749 §4.1.3 knows no scope: what was granted, all of it
	if err != nil {
		return policy.Authority{}, err
	}
	req.Redeem = func(ctx context.Context) (string, error) {
		// A confidential client's refresh tokens are held by its own authentication, and it may change its key (RFC 9449 §5).
		refresh, err := g.Logins.Sessions.Redeem(ctx, p, req.Proof.Key, req.Requester.Public)
		switch {
		case errors.Is(err, session.ErrSpent):
			return "", g.reused(ctx, req, &p.Grant)
		case err != nil:
			return "", unavailable(err)
		}
		return refresh, nil
	}
	return a, nil
}

// Lengths of a code verifier (RFC 7636 §4.1).
const (
	minVerifier = 43
	maxVerifier = 128
)

// checkVerifier holds a verifier to the challenge, S256 alone (RFC 7636 §4.6). Without a challenge a verifier is refused, too: somebody took the
// challenge away on its way here (P32).
func checkVerifier(challenge, verifier string) error {
	switch {
	case challenge == "" && verifier == "":
		return nil
	case challenge == "":
		return errors.New("a verifier, but the authorization request had no challenge")
	case verifier == "":
		return errors.New("code_verifier is missing")
	case len(verifier) < minVerifier || len(verifier) > maxVerifier || strings.ContainsFunc(verifier, notUnreserved):
		return errors.New("code_verifier is malformed")
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) != 1 {
		return errors.New("code_verifier does not fit the challenge")
	}
	return nil
}

// notUnreserved is for what RFC 3986 §2.3 does not call unreserved.
func notUnreserved(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	return !letter && !strings.ContainsRune("-._~", r)
}
