// Package clients knows the applications that are registered with the broker: it judges their registration, and authenticates them
// by exactly the method that they are registered with, one file for each.
package clients

import (
	"slices"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/mappers"
)

// Spec is one entry of `clients` as the configuration writes it.
type Spec struct {
	ID string `yaml:"id"` // P3

	// How it authenticates: at most one of a secret, a key set and an assertion; or public.
	SecretSHA256 string         `yaml:"secret_sha256,omitempty"` // 64 lower-case hex digits
	JWKSURI      string         `yaml:"jwks_uri,omitempty"`
	JWKSFile     string         `yaml:"jwks_file,omitempty"`
	Assertion    *AssertionSpec `yaml:"assertion,omitempty"`
	Public       bool           `yaml:"public,omitempty"`
	AuthMethod   string         `yaml:"auth_method,omitempty"`   // absent: what the credential allows
	AssertionAud string         `yaml:"assertion_aud,omitempty"` // legacy: the token URL is accepted, too (P37)

	// What it may do.
	GrantTypes  []string `yaml:"grant_types,omitempty"`
	Identifiers []string `yaml:"identifiers,omitempty"` // resource names that this client is (P11)
	Audiences   []string `yaml:"audiences,omitempty"`   // of client_credentials and /authorize
	Scopes      []string `yaml:"scopes,omitempty"`

	// Logins.
	RedirectURIs           []string       `yaml:"redirect_uris,omitempty"` // P33
	PostLogoutRedirectURIs []string       `yaml:"post_logout_redirect_uris,omitempty"`
	Origins                []string       `yaml:"origins,omitempty"` // CORS
	Native                 bool           `yaml:"native,omitempty"`  // RFC 8252
	PKCE                   string         `yaml:"pkce,omitempty"`    // required (default) or optional (P32)
	Upstreams              []string       `yaml:"upstreams"`         // who may log in here; absent: all
	RequireACR             string         `yaml:"require_acr,omitempty"`
	SessionRefresh         bool           `yaml:"session_refresh,omitempty"` // P36
	Mappers                []mappers.Spec `yaml:"mappers,omitempty"`
	IDTokenClaims          []string       `yaml:"id_token_claims"`        // P8; absent: the default, []: none
	IDTokenAlg             string         `yaml:"id_token_alg,omitempty"` // P34
	UpstreamClaim          string         `yaml:"upstream_claim,omitempty"`
	Profile                string         `yaml:"profile,omitempty"` // fapi2 (P36)

	DPoPBoundAccessTokens bool `yaml:"dpop_bound_access_tokens,omitempty"` // every token request has to bring a proof (RFC 9449 §5.2)
}

// AssertionSpec lets a workload's token stand for the client's credential: all three have to match exactly (P24).
type AssertionSpec struct {
	Upstream string         `yaml:"upstream"`
	Subject  string         `yaml:"subject"`
	Audience string         `yaml:"audience"`
	MaxAge   *time.Duration `yaml:"max_age,omitempty"` // since iat [1h]

	SingleUse bool `yaml:"single_use,omitempty"` // every token once, by its jti
}

// Values of the specs.
const (
	pkceRequired = "required"
	pkceOptional = "optional"

	upstreamName = "name" // the default of upstream_claim
	upstreamFull = "full"

	assertionIssuer = "issuer" // the default of assertion_aud
	assertionLegacy = "legacy"

	profileFAPI2 = "fapi2"

	// DefaultAssertionMaxAge is how old a workload's token may be as a credential.
	DefaultAssertionMaxAge = time.Hour
	maxAssertionMaxAge     = 24 * time.Hour
)

// WithDefaults fills what is absent and has one default.
func (s Spec) WithDefaults() Spec {
	if s.AuthMethod == "" {
		switch {
		case s.Public:
			s.AuthMethod = oauth.AuthNone
		case s.JWKSURI != "" || s.JWKSFile != "" || s.Assertion != nil:
			s.AuthMethod = oauth.AuthPrivateKeyJWT
		}
	}
	if s.PKCE == "" {
		s.PKCE = pkceRequired
	}
	if s.UpstreamClaim == "" {
		s.UpstreamClaim = upstreamName
	}
	if s.AssertionAud == "" {
		s.AssertionAud = assertionIssuer
	}
	if s.Assertion != nil && s.Assertion.MaxAge == nil {
		a, age := *s.Assertion, DefaultAssertionMaxAge
		a.MaxAge = &age
		s.Assertion = &a
	}
	return s
}

// served are the grant types that a client can use now.
var served = [...]string{"authorization_code", "client_credentials", "jwt-bearer", "refresh_token", "token-exchange"}

// Unserved names the grant types of the entry that are judged but that nothing acts on yet.
func (s Spec) Unserved() []string {
	var names []string
	for _, g := range s.GrantTypes {
		if !slices.Contains(served[:], g) {
			names = append(names, "grant_types: "+g)
		}
	}
	slices.Sort(names)
	return names
}
