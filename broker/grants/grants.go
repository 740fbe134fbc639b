// Package grants holds one file per OAuth grant type. A grant proves who asks for what and returns an Authority; it never mints, spends or
// writes. What every grant needs (form rules, client authentication, the grants a client may use, journal, answer) is the pipeline's.
package grants

import (
	"context"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/revoke"
	"fedbroker/broker/token"
	"fedbroker/mappers"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/saml"
)

// Grant is one grant type of the token endpoint.
type Grant interface {
	Type() string // as grant_type has it
	// Authorize judges the request of an authenticated (or anonymous) requester. An error that is no *oauth.Error is a fault of ours.
	Authorize(ctx context.Context, req *oauth.TokenRequest) (policy.Authority, error)
}

// Selector finds the upstream that speaks for a token (P10). It touches no network.
type Selector interface {
	Select(unverifiedIssuer string, unverifiedAudience []string) (upstreams.Upstream, bool)
	SelectAssertion(unverifiedIssuer string, unverifiedAudience []string) (saml.Provider, bool)
	Introspector(name string) (upstreams.Introspector, bool)
}

// Opener verifies tokens of our own, revocation included.
type Opener interface {
	OpenAccess(t jose.Unverified, now time.Time) (token.Own, error)
	OpenID(t jose.Unverified, now time.Time) (token.Own, error)
}

// Checker knows what is revoked.
type Checker interface {
	Check(f revoke.Facts, issued time.Time) error
}

// Deps are what the grants stand on. All but Trace and SubjectClaims are required.
type Deps struct {
	Issuer    string // ours
	Policy    *policy.Policy
	Upstreams Selector
	Chains    map[string]*mappers.Chain // by upstream name
	Own       Opener
	Revoked   Checker
	Logins    Logins // without Sessions, the grants of logins are not served
	Trace     *Trace // of a table that serves one request, to explain it
	// SubjectClaims are the claims that name an upstream's subjects, for what is kept of its tokens. May be nil: sub alone.
	SubjectClaims func(upstream string) []string
}

// Table is the grants that are served, by their wire names.
func Table(d Deps) map[string]Grant {
	x := newExchange(d)
	table := map[string]Grant{
		oauth.GrantClientCredentials: clientCredentials{policy: d.Policy},
		oauth.GrantTokenExchange:     x,
		oauth.GrantJWTBearer:         jwtBearer{x},
	}
	if d.Logins.Sessions != nil {
		table[oauth.GrantAuthorizationCode] = authorizationCode{login{d}}
		table[oauth.GrantRefreshToken] = refreshToken{login{d}}
	}
	return table
}
