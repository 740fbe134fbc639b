package oauth

import (
	"maps"
	"slices"
)

// Token type identifiers (RFC 8693 §3; the last is of draft-ietf-oauth-identity-assertion-authz-grant).
const (
	TypeAccessToken  = "urn:ietf:params:oauth:token-type:access_token"
	TypeRefreshToken = "urn:ietf:params:oauth:token-type:refresh_token"
	TypeIDToken      = "urn:ietf:params:oauth:token-type:id_token"
	TypeSAML1        = "urn:ietf:params:oauth:token-type:saml1"
	TypeSAML2        = "urn:ietf:params:oauth:token-type:saml2"
	TypeJWT          = "urn:ietf:params:oauth:token-type:jwt"
	TypeIDJAG        = "urn:ietf:params:oauth:token-type:id-jag"
)

// Short names of token types, as a configuration writes them.
const (
	ShortAccessToken = "access_token"
	ShortJWT         = "jwt"
	ShortIDToken     = "id_token"
	ShortIDJAG       = "id_jag"
)

// Values of token_type in an answer (RFC 6749 §7.1, RFC 9449 §5, RFC 8693 §2.2.1).
const (
	Bearer        = "Bearer"
	DPoP          = "DPoP"
	NotApplicable = "N_A"
)

// Grant types on the wire (RFC 6749, RFC 8628 §3.4, RFC 7523 §2.1, RFC 8693 §2.1).
const (
	GrantAuthorizationCode = "authorization_code"
	GrantRefreshToken      = "refresh_token"
	GrantClientCredentials = "client_credentials"
	GrantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange"
	GrantJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"
	GrantDeviceCode        = "urn:ietf:params:oauth:grant-type:device_code"
)

// AssertionJWTBearer is the one client_assertion_type (RFC 7523 §2.2).
const AssertionJWTBearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// grantNames holds what a configuration calls the grant types.
var grantNames = map[string]string{
	"authorization_code": GrantAuthorizationCode,
	"refresh_token":      GrantRefreshToken,
	"client_credentials": GrantClientCredentials,
	"token-exchange":     GrantTokenExchange,
	"jwt-bearer":         GrantJWTBearer,
	"device_code":        GrantDeviceCode,
}

// GrantType is the wire form of a grant type's configured name.
func GrantType(name string) (wire string, ok bool) {
	wire, ok = grantNames[name]
	return wire, ok
}

// GrantName is the configured name of a grant type's wire form.
func GrantName(wire string) (name string, ok bool) {
	for name, w := range grantNames {
		if w == wire {
			return name, true
		}
	}
	return "", false
}

// GrantNames are the configured names of all grant types, sorted.
func GrantNames() []string { return slices.Sorted(maps.Keys(grantNames)) }

// Methods of client authentication (RFC 7591 §2, OIDC Core §9).
const (
	AuthNone          = "none"
	AuthSecretBasic   = "client_secret_basic"
	AuthSecretPost    = "client_secret_post"
	AuthPrivateKeyJWT = "private_key_jwt"
)

// Parameters of the token endpoint (RFC 6749, RFC 7521 §4.2, RFC 8693 §2.1, RFC 8707 §2).
const (
	ParamGrantType           = "grant_type"
	ParamScope               = "scope"
	ParamClientID            = "client_id"
	ParamClientSecret        = "client_secret"
	ParamClientAssertion     = "client_assertion"
	ParamClientAssertionType = "client_assertion_type"
	ParamAudience            = "audience"
	ParamResource            = "resource"
	ParamSubjectToken        = "subject_token"
	ParamSubjectTokenType    = "subject_token_type"
	ParamActorToken          = "actor_token"
	ParamActorTokenType      = "actor_token_type"
	ParamRequestedTokenType  = "requested_token_type"
	ParamCode                = "code"
	ParamRedirectURI         = "redirect_uri"
	ParamCodeVerifier        = "code_verifier" // RFC 7636 §4.5
	ParamRefreshToken        = "refresh_token"
	ParamAssertion           = "assertion" // RFC 7523 §2.1
)

// Scopes with a meaning of their own (OpenID Connect Core §5.4, §11).
const (
	ScopeOpenID        = "openid"
	ScopeProfile       = "profile"
	ScopeEmail         = "email"
	ScopeAddress       = "address"
	ScopePhone         = "phone"
	ScopeOfflineAccess = "offline_access"
	ScopeGroups        = "groups"
)
