package keys

import (
	"context"
	"time"

	"fedbroker/upstreams/history"
)

// Inspection is all that is known of an upstream's keys.
type Inspection struct {
	Status
	JWKSURI     string        // where the set last came from; empty: a file, or never
	MaxStale    time.Duration // as configured
	ServesUntil time.Time     // how long the keys at hand serve if no fetch succeeds from now on, pins left out; zero: there are none
	Due         time.Time     // of the next fetch that nobody asks for; zero: at once
	Static      bool          // a file of ours
	Stored      bool          // a restart would find the keys
	Warning     string        // class of what was wrong on the way to the newest set; empty: nothing
	Alarms      []Alarm
	Set         []KeyInfo
}

// KeyInfo is one public key.
type KeyInfo struct {
	KeyID, Algorithm, Use string
	Thumbprint            string    // RFC 7638
	FirstSeen             time.Time // by us
	PinnedUntil           time.Time // zero: not pinned, or no longer
}

// Inspect says what is known of an upstream's keys. It reads what the store has, and fetches nothing.
func (c *Cache) Inspect(ctx context.Context, upstream string) (Inspection, error) {
	e := c.find(upstream)
	if e == nil {
		return Inspection{}, ErrNotRegistered
	}
	if err := c.load(ctx, e); err != nil {
		return Inspection{}, err
	}
	u, now := *e.spec.Load(), c.now()
	i := Inspection{Status: c.Status(upstream), MaxStale: u.MaxStale, Static: u.Static, Stored: c.stores(u)}
	want := e.alarming(now)
	for _, a := range Alarms() {
		if want[a] {
			i.Alarms = append(i.Alarms, a)
		}
	}
	e.mu.Lock()
	i.Due = e.due
	if e.warning != nil {
		i.Warning = class(e.warning)
	}
	e.mu.Unlock()
	s := e.snap.Load()
	if s == nil {
		return i, nil
	}
	i.JWKSURI, i.ServesUntil = s.discovery.JWKSURI, s.confirmed.Add(u.MaxStale)
	for _, k := range s.keys {
		info := KeyInfo{KeyID: k.ID, Algorithm: k.Alg, Use: k.Use, Thumbprint: thumbprint(k), FirstSeen: s.seen[identity(k)]}
		if end := e.pinEnd(s, k); end.After(now) {
			info.PinnedUntil = end
		}
		i.Set = append(i.Set, info)
	}
	return i, nil
}

// History says what became of an upstream's keys.
func (c *Cache) History(ctx context.Context, upstream string) (history.Log, error) {
	e := c.find(upstream)
	if e == nil {
		return history.Log{}, ErrNotRegistered
	}
	if !c.stores(*e.spec.Load()) {
		return history.Log{}, nil
	}
	return c.store.History(ctx, upstream)
}

// Refresh fetches an upstream's keys now, after the fetch that is under way if one is, and returns when that has ended or ctx has. Errors wrap
// ErrNotRegistered or are the fetch's own.
func (c *Cache) Refresh(ctx context.Context, upstream string) error {
	e := c.find(upstream)
	if e == nil {
		return ErrNotRegistered
	}
	if err := c.load(ctx, e); err != nil {
		return err
	}
	for {
		e.mu.Lock()
		f := e.flight
		ours := f == nil
		if ours {
			f = c.begin(ctx, e, TriggerOperator)
		}
		e.mu.Unlock()
		if f == nil {
			return e.unavailable("the cache is closed", 0, nil)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if ours {
			return f.err
		}
	}
}
