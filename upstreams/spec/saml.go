package spec

import (
	"net/url"
	"strings"

	"fedbroker/upstreams/outbound"
)

// maxEntityID is the length of the longest entity id (SAML Core §8.3.6).
const maxEntityID = 1024

// SAMLKeys mean something to an identity provider of SAML alone.
func SAMLKeys() []string { return []string{"certificates_file", "entity_id", "sso_url"} }

// SAMLForeign are the keys that mean nothing to an identity provider of SAML: it is asked for nothing but by the person's browser, and what it signs is no JWT.
func SAMLForeign() []string {
	return append(EndpointKeys(), "accept_typ", "algorithms", "allow_private", "amr_map", "auth_method", "authorized_parties", "bearer_token_file", "ca_file",
		"client_id", "client_secret", "credential_hosts", "introspection", "issuer_pattern", "issuers", "jwks_file", "jwks_uri", "linking", "max_stale", "refresh",
		"response_mode", "scopes")
}

// CheckSAML judges what is in the entry of an identity provider of SAML alone. Its answers come by POST from its own site, and none of its tokens is a JWT.
func CheckSAML(c *Check) {
	e := &c.Effective
	e.ResponseMode, e.AuthMethod, e.Algorithms, e.AcceptTyp = ResponseFormPost, "", nil, &[]string{}
	if e.EntityID == "" {
		e.EntityID = c.OurIssuer + "/saml/" + e.Name + "/metadata"
	} else if !entityID(e.EntityID) {
		c.Bad("entity_id", "want an absolute URI of printable ASCII, got %q", e.EntityID)
	}
	if e.EntityID == e.Issuer {
		c.Bad("entity_id", "want another than the issuer's: it is our own")
	}
	for i, a := range c.Spec.Audiences {
		if a.Value == e.EntityID {
			c.Bad(At("audiences", i), "want another value than our entity id: audiences of login and of exchange never mix")
		}
	}
	if e.CertificatesFile == "" {
		c.Bad("certificates_file", "want the identity provider's signing certificates (PEM)")
	}
	switch err := outbound.CheckURL(e.SSOURL); {
	case e.SSOURL == "":
		c.Bad("sso_url", "want the identity provider's address for requests by redirect")
	case err != nil:
		c.Bad("sso_url", "%v, got %q", err, e.SSOURL)
	case strings.Contains(e.SSOURL, "#"):
		c.Bad("sso_url", "want none with a fragment, got %q", e.SSOURL)
	}
}

// entityIssuer judges an issuer that is an entity id: a name, where nothing is ever asked. Many are http URLs or URNs.
func (c *Check) entityIssuer() {
	if !entityID(c.Effective.Issuer) {
		c.Bad("issuer", "want the identity provider's entity id, an absolute URI of printable ASCII, got %q", c.Effective.Issuer)
	}
	if sameIssuer(c.Effective.Issuer, c.OurIssuer) {
		c.Bad("issuer", "want another issuer than our own")
	}
}

func entityID(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && len(s) <= maxEntityID && Printable(s) && !strings.ContainsAny(s, " *")
}

// LoginAudience is whom what ends a login is for: our client id there, or our entity id.
func (s Upstream) LoginAudience() string {
	if s.EntityID != "" {
		return s.EntityID
	}
	return s.ClientID
}
