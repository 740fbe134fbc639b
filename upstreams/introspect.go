package upstreams

import "context"

// introspecting is an upstream that vouches for opaque tokens, among the others of its set.
type introspecting struct{ *member }

// Introspector is the upstream of that name, if it vouches for opaque tokens.
func (s *Set) Introspector(name string) (Introspector, bool) {
	m, ok := s.byName[name]
	if !ok || m.opaque == nil {
		return nil, false
	}
	return introspecting{m}, true
}

// Introspect implements Introspector.
func (i introspecting) Introspect(ctx context.Context, raw string, want Want) (Identity, error) {
	return i.Verifier.Introspect(ctx, i.opaque, raw, want)
}
