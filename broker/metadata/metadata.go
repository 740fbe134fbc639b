// Package metadata says what we serve: the discovery document (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).
package metadata

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"fedbroker/broker/dpop"
	"fedbroker/broker/oauth"
	"fedbroker/upstreams/jose"
)

// Document is a public document and how it may be cached.
type Document struct {
	Body   []byte // JSON
	ETag   string // quoted, strong (RFC 9110 §8.8.3)
	MaxAge time.Duration
}

// maxAge is short enough that a new endpoint is found the same day and long enough that nobody asks for each token.
const maxAge = time.Hour

// metadata names only what is served.
type metadata struct {
	Issuer                      string   `json:"issuer"`
	AuthorizationEndpoint       string   `json:"authorization_endpoint"`
	TokenEndpoint               string   `json:"token_endpoint"`
	UserInfoEndpoint            string   `json:"userinfo_endpoint"`
	EndSessionEndpoint          string   `json:"end_session_endpoint"` // RP-Initiated Logout §2.1
	JWKSURI                     string   `json:"jwks_uri"`
	IntrospectionEndpoint       string   `json:"introspection_endpoint"`
	RevocationEndpoint          string   `json:"revocation_endpoint"`
	Scopes                      []string `json:"scopes_supported"`
	Claims                      []string `json:"claims_supported"`
	ResponseTypes               []string `json:"response_types_supported"`
	ResponseModes               []string `json:"response_modes_supported"`
	GrantTypes                  []string `json:"grant_types_supported"`
	CodeChallengeMethods        []string `json:"code_challenge_methods_supported"` // RFC 7636 §6.2.1
	Prompts                     []string `json:"prompt_values_supported"`
	UILocales                   []string `json:"ui_locales_supported"`
	SubjectTypes                []string `json:"subject_types_supported"`
	IDTokenAlgorithms           []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthMethods            []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgorithms         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuthMethods    []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgorithms []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods       []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgorithms    []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	DPoPAlgorithms              []string `json:"dpop_signing_alg_values_supported"`                           // RFC 9449 §5.1
	ChainingTypes               []string `json:"identity_chaining_requested_token_types_supported,omitempty"` // draft-ietf-oauth-identity-chaining; never for whom (P23)

	IssInResponse       bool `json:"authorization_response_iss_parameter_supported"` // RFC 9207 §3
	ClaimsParameter     bool `json:"claims_parameter_supported"`
	RequestParameter    bool `json:"request_parameter_supported"`
	RequestURIParameter bool `json:"request_uri_parameter_supported"` // absent means true (Discovery §3)
}

// Options describe a document. All but Grants and Claims are required.
type Options struct {
	Issuer     string
	Algorithms []string // of ID tokens
	Grants     []string // grant types, wire form
	Scopes     []string // of logins
	Claims     []string // that a login can release
	IDJAG      bool     // ID-JAGs are issued
}

// New makes the document.
func New(o Options) (Document, error) {
	issuer := o.Issuer
	methods := []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthPrivateKeyJWT}
	inbound := jose.DefaultAlgorithms().Names() // of client assertions
	var chaining []string
	if o.IDJAG {
		chaining = []string{oauth.TypeIDJAG}
	}
	body, err := json.Marshal(metadata{
		ChainingTypes: chaining,
		Issuer:        issuer, AuthorizationEndpoint: issuer + "/authorize", TokenEndpoint: issuer + "/token", UserInfoEndpoint: issuer + "/userinfo",
		EndSessionEndpoint: issuer + "/logout", JWKSURI: issuer + "/jwks", IntrospectionEndpoint: issuer + "/introspect", RevocationEndpoint: issuer + "/revoke",
		Scopes: slices.Sorted(slices.Values(o.Scopes)), Claims: slices.Sorted(slices.Values(o.Claims)),
		ResponseTypes: []string{"code"}, ResponseModes: []string{"query", "form_post"}, GrantTypes: slices.Sorted(slices.Values(o.Grants)),
		CodeChallengeMethods: []string{"S256"}, Prompts: []string{"none", "login", "select_account"}, UILocales: []string{"en"}, SubjectTypes: []string{"public"},
		IDTokenAlgorithms: o.Algorithms, TokenAuthMethods: append(slices.Clone(methods), oauth.AuthNone), TokenAuthAlgorithms: inbound,
		IntrospectionAuthMethods: methods, IntrospectionAuthAlgorithms: inbound,
		RevocationAuthMethods: append(slices.Clone(methods), oauth.AuthNone), RevocationAuthAlgorithms: inbound,
		DPoPAlgorithms: dpop.Algorithms(), IssInResponse: true,
	})
	if err != nil {
		return Document{}, fmt.Errorf("metadata: %w", err)
	}
	sum := sha256.Sum256(body)
	return Document{Body: body, ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, MaxAge: maxAge}, nil
}
