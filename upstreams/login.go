package upstreams

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/shape"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/subject"
	"fedbroker/upstreams/verify"
)

// Login is the power of upstreams that people can log in at.
type Login interface {
	Upstream
	// Start returns where to send the person. acr_values of the attempt are ours: what acr_map has of the upstream's for them is sent, and
	// nothing for others, since nothing could come of it. Errors are *Error and wrap ErrUnavailable or ErrInvalid.
	Start(ctx context.Context, a Attempt) (authorizationURL string, err error)
	// Finish takes the parameters of the authorization response, by query or form_post. It judges whose answer it is, redeems the code, verifies the
	// ID token, and adds the claims that only userinfo has. It ends within 20 seconds. Errors are *Error and wrap ErrDenied,
	// ErrUnavailable or ErrInvalid.
	Finish(ctx context.Context, a Attempt, response url.Values) (Identity, error)
}

// Attempt is one login attempt, as its upstream knows it.
type Attempt = rp.Attempt

// finishTimeout bounds what is asked of an upstream while the person waits.
const finishTimeout = 20 * time.Second

// Login finds a configured upstream that people can log in at.
func (s *Set) Login(name string) (Login, bool) {
	m, ok := s.byName[name]
	if !ok || kinds[m.spec.Kind].login == nil {
		return nil, false
	}
	door, ok := kinds[m.spec.Kind].login(s, m)
	return watched{door, s.shapes}, ok
}

// watched is a door whose identities' claims are shown to the sentinel, whatever the kind and however they were put together.
type watched struct {
	Login
	shapes *shape.Sentinel
}

// Finish implements Login.
func (w watched) Finish(ctx context.Context, a Attempt, response url.Values) (Identity, error) {
	id, err := w.Login.Finish(ctx, a, response)
	if err == nil {
		w.shapes.ObserveMap(id.Upstream, verify.SourceLogin, id.Claims)
	}
	return id, err
}

// interactive is an OpenID provider with logins, among the others of its set.
type interactive struct {
	*member
	set *Set
}

// oidcKind is an OpenID provider.
var oidcKind = spec.Kind{Login: true, Scopes: []string{spec.ScopeOpenID, "profile", "email"}, Foreign: append(spec.EndpointKeys(), spec.SAMLKeys()...), Check: spec.CheckOIDC}

// holdOIDC makes this broker's side of logins at an OpenID provider: ID tokens of login attempts, beside tokens of its other clients for exchange.
func holdOIDC(m *member) {
	s := m.spec
	m.oidc = rp.New(rp.Options{
		Issuer: s.Issuer, ClientID: s.ClientID, Method: s.AuthMethod, Secret: s.ClientSecret, PrivateKeyFile: s.PrivateKeyFile,
		Scopes: s.Scopes, ResponseMode: s.ResponseMode, HTTP: m.endpoint(EndpointToken), Resources: m.endpoint(EndpointUserInfo), CredentialHosts: s.CredentialHostList(), Now: m.Now,
	})
}

func loginOIDC(s *Set, m *member) (Login, bool) { return interactive{m, s}, m.oidc != nil }

// Start implements Login.
func (l interactive) Start(ctx context.Context, a Attempt) (string, error) {
	if err := l.passable(); err != nil {
		return "", l.LoginError(err)
	}
	doc, err := l.document(ctx)
	if err != nil {
		return "", l.LoginError(err)
	}
	a.ACRValues = l.theirACR(a.ACRValues)
	address, err := l.oidc.AuthorizationURL(doc, a)
	if err != nil {
		return "", l.LoginError(err)
	}
	return address, nil
}

// theirACR are the upstream's values that acr_map makes the wanted ones, in the order of preference.
func (l interactive) theirACR(wanted []string) []string {
	var theirs []string
	for _, ours := range wanted {
		for _, value := range slices.Sorted(maps.Keys(l.ACR)) {
			if l.ACR[value] == ours && !strings.Contains(value, " ") { // a space would end it
				theirs = append(theirs, value)
			}
		}
	}
	return theirs
}

// document is where the upstream's endpoints are.
func (l interactive) document(ctx context.Context) (rp.Document, error) {
	doc, err := l.discovery.Document(ctx)
	if err != nil {
		return rp.Document{}, err
	}
	return doc, l.set.ownTokenEndpoint(l.member, doc.TokenEndpoint)
}

// ownTokenEndpoint refuses one that an upstream of another issuer uses, too: a code or a credential that is meant for one of them would go to the other
// (P37; RFC 9700 §4.4).
func (s *Set) ownTokenEndpoint(of *member, endpoint string) error {
	for _, m := range s.members {
		if m.Issuer != of.Issuer && rp.SameEndpoint(m.tokenEndpoint(), endpoint) {
			return &rp.Error{Kind: rp.KindEndpoint, Err: fmt.Errorf("token_endpoint is that of upstream %s, too", m.Upstream)}
		}
	}
	return nil
}

// tokenEndpoint is where codes of the upstream are redeemed, as far as that is known; empty: nowhere.
func (m *member) tokenEndpoint() string {
	if m.oidc == nil {
		return m.spec.TokenEndpoint
	}
	known, _ := m.discovery.Known()
	return known.TokenEndpoint
}

// Finish implements Login.
func (l interactive) Finish(ctx context.Context, a Attempt, response url.Values) (Identity, error) {
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	answer, err := l.oidc.Response(a, response)
	if err != nil {
		return Identity{}, l.LoginError(err)
	}
	doc, err := l.document(ctx)
	if err != nil {
		return Identity{}, l.LoginError(err)
	}
	code, err := answer.Code(doc)
	if err != nil {
		return Identity{}, l.LoginError(err)
	}
	tokens, err := l.oidc.Redeem(ctx, doc, a, code)
	if err != nil {
		return Identity{}, l.LoginError(err)
	}
	id, err := l.identity(ctx, a, tokens)
	if err == nil && l.spec.Refresh {
		if id.Renewal = spec.Secret(tokens.Refresh); id.Renewal == "" {
			err = l.Refuse(ReasonNonsense, errNoRenewal)
		}
	}
	if err != nil || doc.UserInfoEndpoint == "" {
		return id, err
	}
	sub, _ := id.Claims[spec.ClaimSubject].(string)
	info, err := l.oidc.UserInfo(ctx, doc, tokens.Access, sub)
	if err != nil {
		return Identity{}, l.LoginError(err)
	}
	id.Claims = rp.Merge(id.Claims, info)
	return id, nil
}

// identity is what the ID token says. It is verified at the time at which it is here, which a slow upstream may make much later than the
// attempt's.
func (l interactive) identity(ctx context.Context, a Attempt, tokens rp.Tokens) (Identity, error) {
	now := l.Now()
	if a.Now.After(now) {
		now = a.Now
	}
	return l.idToken(ctx, tokens, Want{Purpose: PurposeLogin, Nonce: a.Nonce, Now: now})
}

func (l interactive) idToken(ctx context.Context, tokens rp.Tokens, want Want) (Identity, error) {
	token, err := jose.Parse(tokens.ID)
	if err != nil {
		return Identity{}, l.Refuse(ReasonNonsense, fmt.Errorf("ID token: %w", err))
	}
	id, err := l.Verify(ctx, token, want)
	if err != nil {
		return Identity{}, err
	}
	if sub, ok := id.Claims[spec.ClaimSubject].(string); !ok || sub == "" { // REQUIRED (OpenID Connect Core §2), whatever claim the subject is taken from
		return Identity{}, l.Refuse(ReasonSubject, subject.ErrNone)
	}
	if hash, has := id.Claims["at_hash"]; has && hash != accessHash(token.Alg(), tokens.Access) {
		return Identity{}, l.Refuse(ReasonClaim, errors.New("at_hash is not the access token's"))
	}
	if sid, ok := id.Claims["sid"].(string); ok && len(sid) <= subject.Longest && spec.Printable(sid) {
		id.SessionID = sid
	}
	return id, nil
}

// accessHash is the at_hash of an access token that came with an ID token of that alg: the left half of its hash (OpenID Connect Core
// §3.1.3.6). Ed25519's is SHA-512 (RFC 8032 §5.1).
func accessHash(alg, access string) string {
	hash := crypto.SHA512
	switch {
	case strings.HasSuffix(alg, "256"):
		hash = crypto.SHA256
	case strings.HasSuffix(alg, "384"):
		hash = crypto.SHA384
	}
	h := hash.New() // package jose links them all
	h.Write([]byte(access))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:hash.Size()/2])
}
