package upstreams

import (
	"context"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/pattern"
)

// manyfold is an upstream that stands for many issuers, among the others of its set.
type manyfold struct{ *member }

// Verify implements Upstream.
func (m manyfold) Verify(ctx context.Context, t jose.Unverified, want Want) (Identity, error) {
	id, err := m.Verifier.Verify(ctx, t, want)
	if err == nil && m.issuers != nil {
		m.issuers.Verified(id.Issuer)
	}
	return id, err
}

// upstream is the member as others see it.
func (m *member) upstream() Upstream {
	if m.ManyIssuers() {
		return manyfold{m}
	}
	return m.Verifier
}

// speaksFor says which issuers are those of a pattern; nil for an upstream that has one issuer.
func speaksFor(s Spec) func(issuer string) bool {
	if s.IssuerPattern == "" {
		return nil
	}
	return pattern.NewForm(s.IssuerPattern, s.Issuers).Matches
}

// holdIssuers makes the place for the issuers of a pattern. It does no I/O: they are met at run time.
func (m *member) holdIssuers(cache *keys.Cache, client *outbound.Client) {
	m.issuers = pattern.New(pattern.Options{
		Upstream: m.Upstream, Form: pattern.NewForm(m.spec.IssuerPattern, m.spec.Issuers), Keys: cache, Now: m.Now,
		Source: func(issuer string) keys.Upstream {
			one := m.spec
			one.Issuer = issuer
			return m.keysOf(one, client, discovery(one, client, m.Now))
		},
	})
}

// Met lists the issuers that an upstream with a pattern has met; false for any other.
func (s *Set) Met(name string) ([]pattern.Met, bool) {
	m, ok := s.byName[name]
	if !ok || m.issuers == nil {
		return nil, false
	}
	return m.issuers.Met(), true
}
