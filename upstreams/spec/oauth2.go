package spec

import (
	"strings"

	"fedbroker/upstreams/outbound"
)

// EndpointKeys name a provider's endpoints, where no discovery document does: they are foreign to every kind that has one.
func EndpointKeys() []string {
	return []string{"authorization_endpoint", "emails_endpoint", "token_endpoint", "userinfo_endpoint"}
}

// OAuth2Foreign are the keys that mean nothing to a provider that is plain OAuth 2.0: it signs nothing, and so asserts no assurance either (P4).
func OAuth2Foreign() []string {
	return append(SAMLKeys(),
		"accept_typ", "acr_map", "algorithms", "amr_map", "bearer_token_file", "issuer_pattern", "issuers", "jwks_file", "jwks_uri", "max_stale",
		"private_key_file", "refresh", "response_mode",
	)
}

// CheckOAuth2 judges what is more in the entry of a provider that is plain OAuth 2.0 than in others.
func CheckOAuth2(c *Check) {
	s := c.Spec
	checkLogin(c)
	c.OneOf("auth_method", s.AuthMethod, AuthBasic, AuthPost)
	if s.ClientSecret == "" {
		c.Bad("client_secret", "want one (client_secret or client_secret_file)")
	}
	if len(s.Audiences) > 0 && s.Introspection == nil {
		c.Bad("audiences", "want introspection beside them: tokens of kind %s are opaque", s.Kind)
	}
	for _, e := range [...]struct {
		key, url   string
		optional   bool
		credential bool
	}{
		{key: "authorization_endpoint", url: c.Effective.AuthorizationEndpoint},
		{key: "token_endpoint", url: c.Effective.TokenEndpoint, credential: true},
		{key: "userinfo_endpoint", url: c.Effective.UserInfoEndpoint, credential: true},
		{key: "emails_endpoint", url: c.Effective.EmailsEndpoint, credential: true, optional: true},
	} {
		switch err := outbound.CheckURL(e.url); {
		case e.url == "" && e.optional:
		case e.url == "":
			c.Bad(e.key, "want one: kind %s has no discovery", s.Kind)
		case err != nil:
			c.Bad(e.key, "%v, got %q", err, e.url)
		case strings.HasPrefix(c.Effective.Issuer, "https:") && !strings.HasPrefix(e.url, "https:"):
			c.Bad(e.key, "want https, as the issuer has it, got %q", e.url)
		case e.credential:
			c.credentialHost(e.key, e.url)
		}
	}
}
