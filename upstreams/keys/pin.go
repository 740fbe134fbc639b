package keys

import (
	"context"
	"errors"
	"maps"
	"time"

	"fedbroker/upstreams/jose"
)

// MaxPin is how long a key may be pinned, and how far beyond max_stale a pinned one serves, however often it is pinned again.
const MaxPin = 72 * time.Hour

// What Pin, Refresh and Inspect refuse.
var (
	ErrNotRegistered = errors.New("there is no such upstream")
	ErrNotPinnable   = errors.New("the key is not among those that the upstream last confirmed, or they are too old")
	ErrPinDuration   = errors.New("a key is pinned for at most 72h0m0s; 0s lifts the pin")
)

// Pin lets the upstream's keys of that kid serve for the given time, also when max_stale has passed; for no time at all, it ends that. They are nothing
// but last-good keys: a fetch that no longer brings one ends its pin, and a token is verified with them as with any other. It returns when the pin ends.
// Errors wrap ErrNotRegistered, ErrNotPinnable, ErrPinDuration, or come of the store.
func (c *Cache) Pin(ctx context.Context, upstream, kid string, d time.Duration) (until time.Time, err error) {
	e := c.find(upstream)
	switch {
	case e == nil:
		return time.Time{}, ErrNotRegistered
	case d < 0 || d > MaxPin:
		return time.Time{}, ErrPinDuration
	}
	if err := c.load(ctx, e); err != nil {
		return time.Time{}, err
	}
	until, err = c.pin(ctx, e, kid, d)
	if err == nil {
		c.judge(e)
		c.nudge()
	}
	return until, err
}

func (c *Cache) pin(ctx context.Context, e *entry, kid string, d time.Duration) (time.Time, error) {
	e.writing.Lock()
	defer e.writing.Unlock()
	u, s, now := *e.spec.Load(), e.snap.Load(), c.now()
	if s == nil || u.Static || len(s.byID[kid]) == 0 {
		return time.Time{}, ErrNotPinnable
	}
	until := now.Add(d)
	if end := s.confirmed.Add(u.MaxStale + MaxPin); until.After(end) {
		until = end
	}
	pins := maps.Clone(s.pins)
	if pins == nil {
		pins = map[string]time.Time{}
	}
	for _, k := range s.byID[kid] {
		if d == 0 {
			delete(pins, identity(k))
		} else {
			pins[identity(k)] = until
		}
	}
	if d > 0 && !until.After(now) {
		return time.Time{}, ErrNotPinnable
	}
	next := build(s.keys, s.seen, s.confirmed, s.discovery).pinned(pins)
	if c.stores(u) {
		if err := c.store.Save(ctx, next.saved(e.name, u)); err != nil {
			return time.Time{}, err
		}
	}
	e.snap.Store(next)
	return until, nil
}

// find is the keys that may serve now: all while the upstream's confirmation lasts, after that the pinned ones.
func (e *entry) find(now time.Time, kid, issuer string) []jose.Key {
	if s := e.current(now); s != nil {
		return s.find(kid, issuer)
	}
	s := e.snap.Load()
	if s == nil || len(s.pins) == 0 {
		return nil
	}
	var found []jose.Key
	for _, k := range s.find(kid, issuer) {
		if e.pinEnd(s, k).After(now) {
			found = append(found, k)
		}
	}
	return found
}

// pinEnd is when the pin of a key ends; zero for one that is not pinned.
func (e *entry) pinEnd(s *snapshot, k jose.Key) time.Time {
	until, ok := s.pins[identity(k)]
	if !ok {
		return time.Time{}
	}
	if end := s.confirmed.Add(e.spec.Load().MaxStale + MaxPin); until.After(end) {
		return end
	}
	return until
}

// pinsEnd is when the pin that ends last does, if any has not ended; zero for none.
func (e *entry) pinsEnd(now time.Time) (last time.Time) {
	s := e.snap.Load()
	if s == nil || len(s.pins) == 0 {
		return last
	}
	for _, k := range s.keys {
		if end := e.pinEnd(s, k); end.After(now) && end.After(last) {
			last = end
		}
	}
	return last
}
