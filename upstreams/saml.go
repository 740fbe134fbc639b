package upstreams

import (
	"context"
	"net/url"
	"slices"

	"fedbroker/upstreams/saml"
	"fedbroker/upstreams/spec"
)

// samlKind is an identity provider of SAML 2.0, experimental.
var samlKind = spec.Kind{Login: true, SAML: true, Foreign: spec.SAMLForeign(), Check: spec.CheckSAML}

// serviceProvider is this broker at such an identity provider.
type serviceProvider struct{ *member }

func loginSAML(_ *Set, m *member) (Login, bool) { return serviceProvider{m}, m.Keys != nil }

// Start implements Login.
func (l serviceProvider) Start(_ context.Context, a Attempt) (string, error) {
	return l.saml().Start(a)
}

// Finish implements Login.
func (l serviceProvider) Finish(ctx context.Context, a Attempt, response url.Values) (Identity, error) {
	return l.saml().Finish(ctx, a, response)
}

// saml is the member as package saml knows it. It holds nothing.
func (m *member) saml() saml.Provider {
	return saml.Provider{
		Verifier: m.Verifier, SSOURL: m.spec.SSOURL, ACS: m.OurIssuer + "/saml/" + m.Upstream + "/acs", TokenEndpoint: m.OurIssuer + "/token",
		PrivateKeyFile: m.spec.PrivateKeyFile,
	}
}

// SelectAssertion is Select for SAML assertions.
func (s *Set) SelectAssertion(unverifiedIssuer string, unverifiedAudience []string) (saml.Provider, bool) {
	var found *member
	for _, m := range s.members {
		if !kinds[m.spec.Kind].SAML || m.Issuer != unverifiedIssuer || !slices.ContainsFunc(unverifiedAudience, m.Exchanges) {
			continue
		}
		if found != nil {
			return saml.Provider{}, false
		}
		found = m
	}
	if found == nil {
		return saml.Provider{}, false
	}
	return found.saml(), true
}

// SAMLMetadata describes this broker to the SAML identity provider of that name; known is false where there is none.
func (s *Set) SAMLMetadata(name string) (document []byte, known bool, err error) {
	m, ok := s.byName[name]
	if !ok || !kinds[m.spec.Kind].SAML {
		return nil, false, nil
	}
	document, err = m.saml().Metadata()
	return document, true, err
}
