package broker

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/upstreams/jose"
)

// Document is a public document and how it may be cached.
type Document struct {
	Body   []byte // JSON
	ETag   string // quoted, strong (RFC 9110 §8.8.3)
	MaxAge time.Duration
}

// metadataMaxAge is short enough that a new endpoint is found the same day and long enough that nobody asks for each token.
const metadataMaxAge = time.Hour

// metadata is what RFC 8414 §2 and OpenID Connect Discovery 1.0 §3 say of us, and only what is served. There is no
// authorization endpoint, hence no response type; response_types_supported is REQUIRED by both and present as an empty list, although RFC 8414 §3.2
// leaves empty lists out: readers that check for it break on its absence, none on its being empty.
type metadata struct {
	Issuer                       string   `json:"issuer"`
	TokenEndpoint                string   `json:"token_endpoint"`
	JWKSURI                      string   `json:"jwks_uri"`
	IntrospectionEndpoint        string   `json:"introspection_endpoint"`
	RevocationEndpoint           string   `json:"revocation_endpoint"`
	ResponseTypes                []string `json:"response_types_supported"`
	GrantTypes                   []string `json:"grant_types_supported"`
	SubjectTypes                 []string `json:"subject_types_supported"`
	IDTokenAlgorithms            []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthMethods             []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgorithms          []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuthMethods     []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgorithms  []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuthMethods        []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgorithms     []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	RequestURIParameterSupported bool     `json:"request_uri_parameter_supported"` // absent means true (Discovery §3)
}

func newMetadata[G any](issuer string, algorithms []string, grants map[string]G) (Document, error) {
	methods := []string{oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthPrivateKeyJWT}
	inbound := jose.DefaultAlgorithms().Names() // of client assertions
	body, err := json.Marshal(metadata{
		Issuer:        issuer,
		TokenEndpoint: issuer + "/token", JWKSURI: issuer + "/jwks", IntrospectionEndpoint: issuer + "/introspect", RevocationEndpoint: issuer + "/revoke",
		ResponseTypes: []string{}, GrantTypes: slices.Sorted(maps.Keys(grants)), SubjectTypes: []string{"public"}, IDTokenAlgorithms: algorithms,
		TokenAuthMethods: methods, TokenAuthAlgorithms: inbound,
		IntrospectionAuthMethods: methods, IntrospectionAuthAlgorithms: inbound,
		RevocationAuthMethods: methods, RevocationAuthAlgorithms: inbound,
	})
	if err != nil {
		return Document{}, fmt.Errorf("metadata: %w", err)
	}
	sum := sha256.Sum256(body)
	return Document{Body: body, ETag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`, MaxAge: metadataMaxAge}, nil
}
