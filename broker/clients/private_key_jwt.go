package clients

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/outbound"
)

const (
	// maxAssertionLife is how long a client's own assertion may live, and so how long its jti is remembered (P24, P37).
	maxAssertionLife = 5 * time.Minute
	// spendSlack is beyond the last moment at which the assertion could pass.
	spendSlack = time.Second
	// maxLeeway is the longest that an upstream can have (P12).
	maxLeeway = 2 * time.Minute
	// keySetPrefix begins the name of a client's key set: no upstream's name holds a colon (P1).
	keySetPrefix = "client:"
	// tokenPath of the token endpoint, relative to the issuer.
	tokenPath = "/token"

	jwksTimeout = 5 * time.Second // P43: what clients serve
	maxJWKS     = 64 << 10
)

// Keys keeps the key sets of clients, as *keys.Cache does.
type Keys interface {
	Register(name string, u keys.Upstream)
	Lookup(ctx context.Context, name, kid, issuer string) ([]jose.Key, error)
	Status(name string) keys.Status
}

// register makes the client's key set known. Nothing is fetched here. A jwks_uri is dialled without exceptions for private
// addresses, loopback for a loopback name apart: a client in a private network has a jwks_file.
func (r *Registry) register(c *Client) error {
	if c.assertionKeys == "" || r.keys == nil {
		return nil
	}
	if path := c.Spec.JWKSFile; path != "" {
		r.keys.Register(c.assertionKeys, keys.Upstream{Issuer: c.ID, JWKSURI: path, Source: keys.FileSource(path), Static: true})
		return nil
	}
	uri := c.Spec.JWKSURI
	u, err := url.Parse(uri)
	if err != nil {
		return errors.New("want a URL")
	}
	client, err := outbound.New(outbound.Options{Loopback: outbound.IsLoopback(u.Hostname()), Timeout: jwksTimeout, MaxBody: maxJWKS})
	if err != nil {
		return err
	}
	r.keys.Register(c.assertionKeys, keys.Upstream{Issuer: c.ID, JWKSURI: uri, Source: func(ctx context.Context) (keys.Fetched, error) {
		set, header, err := client.GetJSON(ctx, uri, outbound.Get{MaxBody: maxJWKS})
		if err != nil {
			return keys.Fetched{}, err
		}
		return keys.Fetched{Set: set, FreshFor: keys.Freshness(header), Discovery: keys.Discovery{Issuer: c.ID, JWKSURI: uri}}, nil
	}})
	return nil
}

// privateKeyJWT checks a client's own assertion (RFC 7523 section 3, OpenID Connect Core 1.0 section 9), narrower than these: one
// audience, at most five minutes, and once. All that needs no key is judged before keys are asked for, so that what must fail anyway costs
// no fetch and tells nobody which clients have keys; the jti is spent last, when the signature has shown whose it is.
func (r *Registry) privateKeyJWT(ctx context.Context, client *Client, u jose.Unverified, now time.Time) (Authenticated, error) {
	// An access token, a logout token or a proof, which the client's key may sign elsewhere, is no assertion (P9).
	if u.Class() != jose.ClassJWT {
		return Authenticated{}, refuse(fmt.Errorf("assertion of class %v", u.Class()))
	}
	if client.assertionKeys == "" || r.keys == nil || r.spend == nil {
		return Authenticated{}, refuse(errors.New("no keys to verify an assertion"))
	}
	if u.UnverifiedIssuer() != client.ID {
		return Authenticated{}, refuse(errors.New("iss is not the client"))
	}
	if !jose.DefaultAlgorithms().Holds(u.Alg()) {
		return Authenticated{}, refuse(jose.ErrAlgorithm)
	}
	jti, until, err := r.judgeAssertion(client, u.UnverifiedClaims(), now)
	if err != nil {
		return Authenticated{}, refuse(err)
	}
	set, err := r.keys.Lookup(ctx, client.assertionKeys, u.KeyID(), client.ID)
	if err != nil {
		return Authenticated{}, r.keysError(client, err)
	}
	if _, err := u.Verify(set, jose.DefaultAlgorithms()); err != nil { // of the bytes that were judged
		return Authenticated{}, refuse(err)
	}
	if err := r.spendOnce(ctx, client.assertionKeys, client.ID, jti, until); err != nil {
		return Authenticated{}, err
	}
	return Authenticated{Client: client, TokenID: u.TokenID()}, nil
}

// spendOnce marks the assertion's jti as used.
func (r *Registry) spendOnce(ctx context.Context, source, issuer, jti string, until time.Time) error {
	switch err := r.spend.Spend(ctx, source, issuer, jti, until); {
	case errors.Is(err, revoke.ErrSpent):
		return oauth.Deny(oauth.CodeInvalidClient, oauth.ReasonReplay).Because(err)
	case err != nil:
		return oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonNotDurable).Because(err)
	}
	return nil
}

// keysError is 503 only in an outage: nothing is at hand to judge any assertion of this client by. While a key set serves, a kid that is
// not in it is the wrong credential, whether or not the client's URL may be asked right now: a 503 would tell anyone who writes an
// assertion with an invented kid that the client exists and has keys. So a client that signs with a new key which its URL served too late
// is refused until the next fetch, which unknown kids cause once a minute: it publishes a key at least a minute before it uses it.
func (r *Registry) keysError(client *Client, err error) error {
	if !errors.Is(err, keys.ErrUnavailable) || r.keys.Status(client.assertionKeys).Usable() {
		return refuse(err)
	}
	deny := oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable)
	if u, ok := errors.AsType[*keys.UnavailableError](err); ok && u.RetryAfter > 0 {
		deny.RetryAfter = u.RetryAfter
	}
	return deny.Because(err)
}

// judgeAssertion judges the claims of an assertion, verified or not; until is when it can pass no longer.
func (r *Registry) judgeAssertion(client *Client, claims jose.Claims, now time.Time) (jti string, until time.Time, err error) {
	sub, errSub := claims.String("sub")
	jti, errJTI := claims.String("jti")
	expires, errExp := claims.Time("exp")
	issued, errIat := claims.Time("iat")
	notBefore, errNbf := claims.Time("nbf")
	if errors.Is(errNbf, jose.ErrAbsent) {
		notBefore, errNbf = issued, nil
	}
	if err := errors.Join(errSub, errJTI, errExp, errIat, errNbf); err != nil {
		return "", time.Time{}, err
	}
	// A list is refused even with one entry: a token for several audiences could be replayed by any of them.
	aud, _ := claims.Value("aud").(string)
	switch {
	case sub != client.ID:
		err = errors.New("sub is not the client")
	case jti == "":
		err = errors.New("jti is empty")
	case aud != r.issuer && !(client.LegacyAud && aud == r.issuer+tokenPath):
		err = errors.New("aud is not our issuer as a single string")
	case !now.Before(expires.Add(r.leeway)):
		err = errors.New("expired")
	case issued.After(now.Add(r.leeway)) || notBefore.After(now.Add(r.leeway)):
		err = errors.New("not valid yet")
	case expires.Sub(issued) > maxAssertionLife:
		err = fmt.Errorf("lives %v, at most %v", expires.Sub(issued), maxAssertionLife)
	}
	return jti, expires.Add(r.leeway + spendSlack), err
}
