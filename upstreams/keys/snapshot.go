package keys

import (
	"crypto"
	"encoding/base64"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/upstreams/history"
	"fedbroker/upstreams/jose"
)

// snapshot is a key set as an upstream confirmed it. It is never changed.
type snapshot struct {
	keys      []jose.Key
	byID      map[string][]jose.Key // several keys may share a kid
	seen      map[string]time.Time  // by the key's JWK: when it was first met
	confirmed time.Time             // when the fetch that brought it began
	discovery Discovery
	pins      map[string]time.Time // by the key's JWK: until when it serves though the set is no longer confirmed
}

// newSnapshot makes one of keys that are confirmed now. Keys that old knew keep the time when they were first met.
func newSnapshot(keys []jose.Key, old *snapshot, confirmed time.Time, d Discovery) *snapshot {
	seen := make(map[string]time.Time, len(keys))
	for _, k := range keys {
		jwk := identity(k)
		seen[jwk] = confirmed
		if old != nil {
			if first, ok := old.seen[jwk]; ok {
				seen[jwk] = first
			}
		}
	}
	next := build(keys, seen, confirmed, d)
	if old != nil {
		next = next.pinned(old.pins)
	}
	return next
}

func build(keys []jose.Key, seen map[string]time.Time, confirmed time.Time, d Discovery) *snapshot {
	s := &snapshot{keys: keys, byID: make(map[string][]jose.Key, len(keys)), seen: seen, confirmed: confirmed, discovery: d}
	for _, k := range keys {
		s.byID[k.ID] = append(s.byID[k.ID], k)
	}
	return s
}

// within is s without the keys that next no longer has.
func (s *snapshot) within(next *snapshot) *snapshot {
	if s == nil {
		return nil
	}
	var left []jose.Key
	for _, k := range s.keys {
		if _, ok := next.seen[identity(k)]; ok {
			left = append(left, k)
		}
	}
	return build(left, s.seen, s.confirmed, s.discovery).pinned(s.pins)
}

// pinned gives a snapshot that nobody has yet those of the pins whose keys it has: what the upstream withdrew is not pinned any more.
func (s *snapshot) pinned(pins map[string]time.Time) *snapshot {
	for _, k := range s.keys {
		jwk := identity(k)
		if until, ok := pins[jwk]; ok {
			if s.pins == nil {
				s.pins = map[string]time.Time{}
			}
			s.pins[jwk] = until
		}
	}
	return s
}

// historic is the keys as the history knows them, never nil; a nil snapshot is an empty set.
func (s *snapshot) historic() []history.Key {
	if s == nil {
		return []history.Key{}
	}
	out := make([]history.Key, len(s.keys))
	for i, k := range s.keys {
		out[i] = history.Key{ID: k.ID, Thumbprint: thumbprint(k)}
	}
	return out
}

// thumbprint stands for the key material alone (RFC 7638, SHA-256).
func thumbprint(k jose.Key) string {
	sum, err := (&gojose.JSONWebKey{Key: k.Public}).Thumbprint(crypto.SHA256)
	if err != nil { // can't be: every key here was vetted
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// identity tells keys apart: material, kid, alg, use and issuer together.
func identity(k jose.Key) string {
	jwk, err := k.AppendJWK(nil)
	if err != nil { // can't be: every key here was vetted
		return ""
	}
	return string(jwk)
}

// find is Lookup in one snapshot; nil is an empty one. Only a set whose keys are bound to several issuers makes it allocate.
func (s *snapshot) find(kid, issuer string) []jose.Key {
	if s == nil {
		return nil
	}
	candidates := s.keys
	if kid != "" {
		candidates = s.byID[kid]
	}
	for i, k := range candidates {
		if k.Serves(kid, issuer) {
			continue
		}
		fitting := append([]jose.Key(nil), candidates[:i]...)
		for _, k := range candidates[i+1:] {
			if k.Serves(kid, issuer) {
				fitting = append(fitting, k)
			}
		}
		return fitting
	}
	return candidates
}
