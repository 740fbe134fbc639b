package upstreams

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"fedbroker/upstreams/breaker"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/rp"
)

// Endpoint is what a breaker stands before, of a closed set. Key sets and discovery are none of them: see package breaker.
type Endpoint string

// The endpoints. Each has connections, a limit of calls and a breaker of its own, so that one that hangs or fails takes nothing from another.
const (
	EndpointToken         Endpoint = "token"
	EndpointUserInfo      Endpoint = "userinfo" // and what else tells of a person, with their access token
	EndpointIntrospection Endpoint = "introspection"
)

// BreakerChange is a breaker that opened, or closed again.
type BreakerChange struct {
	Upstream string
	Endpoint Endpoint
	Open     bool
}

// Breaker is how the breaker of one endpoint stands.
type Breaker struct {
	Endpoint Endpoint
	breaker.Status
}

// gate is one endpoint's.
type gate struct {
	endpoint Endpoint
	breaker  *breaker.Breaker
	client   *outbound.Client
}

// endpoint makes the client for one endpoint. It does no I/O.
func (m *member) endpoint(e Endpoint) *outbound.Client {
	g := gate{endpoint: e, breaker: breaker.New(breaker.Options{Now: m.Now, Changed: func(open bool) {
		if m.told != nil {
			m.told(BreakerChange{Upstream: m.Upstream, Endpoint: e, Open: open})
		}
	}})}
	o := outboundOptions(m.spec)
	o.Breaker = g.breaker
	g.client, _ = outbound.New(o) // fails only for limits that are not set here
	m.gates = append(m.gates, g)
	return g.client
}

// passable says whether there is any use in beginning a login: not while one of the calls that it ends with would be refused.
func (m *member) passable() error {
	for _, g := range m.gates {
		if err := g.breaker.Check(); err != nil && g.endpoint != EndpointIntrospection {
			held := &rp.Error{Kind: rp.KindUnavailable, Err: fmt.Errorf("%s endpoint: %w", g.endpoint, err)}
			if e, ok := errors.AsType[*breaker.Error](err); ok {
				held.RetryAfter = e.RetryAfter
			}
			return held
		}
	}
	return nil
}

// closeEndpoints ends idle connections, and what breakers tell.
func (m *member) closeEndpoints() {
	for _, g := range m.gates {
		g.client.Close()
		g.breaker.Close()
	}
}

// Breakers says how the breakers of one upstream stand.
func (s *Set) Breakers(name string) []Breaker {
	m, ok := s.byName[name]
	if !ok {
		return nil
	}
	all := make([]Breaker, len(m.gates))
	for i, g := range m.gates {
		all[i] = Breaker{Endpoint: g.endpoint, Status: g.breaker.Status()}
	}
	return all
}

// heldBack is the end of the line for the operator: which endpoints are not asked; empty for none.
func (m *member) heldBack() string {
	var text strings.Builder
	for _, g := range m.gates {
		switch s := g.breaker.Status(); s.State {
		case breaker.Open:
			fmt.Fprintf(&text, "; %s endpoint is not asked until %s", g.endpoint, s.Until.UTC().Format(time.RFC3339))
		case breaker.HalfOpen:
			fmt.Fprintf(&text, "; %s endpoint is tried with the next call", g.endpoint)
		}
	}
	return text.String()
}
