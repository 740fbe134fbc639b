package spec

import (
	"slices"
	"strings"
)

// CheckOIDC judges what is more in the entry of an OpenID provider than in others.
func CheckOIDC(c *Check) {
	s := c.Spec
	if s.IssuerPattern != "" {
		c.Bad("issuer_pattern", "want none for kind oidc: nobody logs in at an issuer that is not named")
	}
	checkLogin(c)
	checkClientAuthentication(c)
	c.OneOf("response_mode", s.ResponseMode, ResponseQuery, ResponseFormPost)
	if s.Scopes != nil && !slices.Contains(s.Scopes, ScopeOpenID) {
		c.Bad("scopes", "want %s among them", ScopeOpenID)
	}
}

// checkLogin judges what every OAuth 2.0 client has.
func checkLogin(c *Check) {
	s := c.Spec
	if s.ClientID == "" {
		c.Bad("client_id", "want the id under which %s knows this broker", s.Name)
	}
	for i, a := range s.Audiences {
		if s.ClientID != "" && a.Value == s.ClientID {
			c.Bad(At("audiences", i), "want another value than client_id: audiences of login and of exchange never mix")
		}
	}
	for i, scope := range s.Scopes {
		if !scopeToken(scope) {
			c.Bad(At("scopes", i), "want a scope name (RFC 6749 §3.3), got %q", scope)
		}
	}
	c.Unique("scopes", s.Scopes)
}

func checkClientAuthentication(c *Check) {
	s := c.Spec
	method := c.Effective.AuthMethod
	c.OneOf("auth_method", s.AuthMethod, AuthBasic, AuthPost, AuthPrivateKey)
	switch {
	case method == AuthPrivateKey && s.PrivateKeyFile == "":
		c.Bad("private_key_file", "want a file for auth_method %s", method)
	case method == AuthPrivateKey && s.ClientSecret != "":
		c.Bad("client_secret", "want none for auth_method %s", method)
	case method != AuthPrivateKey && s.PrivateKeyFile != "":
		c.Bad("private_key_file", "want none for auth_method %s", method)
	case method != AuthPrivateKey && s.ClientSecret == "":
		c.Bad("client_secret", "want one (client_secret or client_secret_file), or private_key_file")
	}
}

// scopeToken is scope-token of RFC 6749 §3.3.
func scopeToken(s string) bool {
	return s != "" && Printable(s) && !strings.ContainsAny(s, ` "\`)
}
