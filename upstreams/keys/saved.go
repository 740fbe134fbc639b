package keys

import (
	"context"
	"strings"
	"time"

	"fedbroker/upstreams/history"
	"fedbroker/upstreams/jose"
)

// Store keeps the last good keys of upstreams over restarts. Its owner fills it.
type Store interface {
	// Load returns what was saved last for the upstream; nil and no error when nothing was.
	Load(ctx context.Context, upstream string) (*Saved, error)
	// Save replaces it and, where s.History is there, the history, both or neither. When it returns nil, a restart finds them.
	Save(ctx context.Context, s *Saved) error
	// History returns what became of the upstream's keys so far; an empty one when nothing was saved.
	History(ctx context.Context, upstream string) (history.Log, error)
}

// Saved is a key set and how it was come by.
type Saved struct {
	Upstream          string     `json:"upstream"`
	Issuer            string     `json:"issuer"`                        // as configured when it was fetched
	ConfiguredJWKSURI string     `json:"configured_jwks_uri,omitempty"` // as configured then; empty: found by discovery
	JWKSURI           string     `json:"jwks_uri"`                      // where it came from
	Confirmed         time.Time  `json:"confirmed"`
	Keys              []SavedKey `json:"keys"`

	History *history.Log `json:"-"` // to be saved with it, under its own name; nil: unchanged
}

// SavedKey is one key of a saved set.
type SavedKey struct {
	JWK           string    `json:"jwk"` // RFC 7517
	FirstSeen     time.Time `json:"first_seen"`
	LastConfirmed time.Time `json:"last_confirmed"`
	PinnedUntil   time.Time `json:"pinned_until,omitzero"`
}

// saved is the form in which a snapshot is kept.
func (s *snapshot) saved(name string, u Upstream) *Saved {
	out := &Saved{Upstream: name, Issuer: u.Issuer, ConfiguredJWKSURI: u.JWKSURI, JWKSURI: s.discovery.JWKSURI, Confirmed: s.confirmed}
	for _, k := range s.keys {
		jwk := identity(k)
		out.Keys = append(out.Keys, SavedKey{JWK: jwk, FirstSeen: s.seen[jwk], LastConfirmed: s.confirmed, PinnedUntil: s.pins[jwk]})
	}
	return out
}

// restore vets the saved keys again, as strangers'. Keys that came by another configuration are not this upstream's, and a
// confirmation in the future (the clock was set back) counts from now.
func (s *Saved) restore(name string, u Upstream, now time.Time) *snapshot {
	if s == nil || s.Upstream != name || s.Issuer != u.Issuer || s.ConfiguredJWKSURI != u.JWKSURI {
		return nil
	}
	var set strings.Builder
	set.WriteString(`{"keys":[`)
	seen, pins := make(map[string]time.Time, len(s.Keys)), map[string]time.Time{}
	for i, k := range s.Keys {
		if i > 0 {
			set.WriteByte(',')
		}
		set.WriteString(k.JWK)
		seen[k.JWK] = k.FirstSeen
		if !k.PinnedUntil.IsZero() {
			pins[k.JWK] = k.PinnedUntil
		}
	}
	set.WriteString(`]}`)
	keys, _, err := jose.ParseKeySet([]byte(set.String()))
	if err != nil {
		return nil
	}
	confirmed := s.Confirmed
	if confirmed.After(now) {
		confirmed = now
	}
	return build(keys, seen, confirmed, Discovery{Issuer: s.Issuer, JWKSURI: s.JWKSURI}).pinned(pins)
}

// load takes what the store has, once. Who waits does so on its own context; a store that fails is asked again by the next who
// misses a key, and never hides what was fetched since.
func (c *Cache) load(ctx context.Context, e *entry) error {
	if e.loaded.Load() {
		return nil
	}
	select {
	case e.loading <- struct{}{}:
		defer func() { <-e.loading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	u := *e.spec.Load()
	if e.loaded.Load() || !c.stores(u) {
		e.loaded.Store(true)
		return nil
	}
	saved, err := c.store.Load(ctx, e.name)
	if err != nil {
		if ctx.Err() == nil {
			c.observe(FetchOutcome{Upstream: e.name, Trigger: TriggerLoad, Class: classStore, Err: err})
		}
		return ctx.Err()
	}
	if s := saved.restore(e.name, u, c.now()); s != nil {
		e.snap.CompareAndSwap(nil, s) // what was fetched meanwhile is newer
	}
	e.loaded.Store(true)
	return nil
}
