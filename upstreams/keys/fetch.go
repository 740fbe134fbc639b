package keys

import (
	"context"
	"fmt"
	"time"

	"fedbroker/upstreams/jose"
)

// Trigger is what a fetch was begun for.
type Trigger string

// The triggers.
const (
	TriggerNone       Trigger = ""
	TriggerLoad       Trigger = "load"        // reading what the store has: no fetch, seen only when it fails
	TriggerRefresh    Trigger = "refresh"     // due
	TriggerMissing    Trigger = "missing"     // a token came and there was no set
	TriggerUnknownKey Trigger = "unknown_key" // a token came with a kid that the set lacks
)

// FetchOutcome is one finished fetch, for log and metrics.
type FetchOutcome struct {
	Upstream string
	Trigger  Trigger
	Class    string // ok, or the class of the error: of a closed set
	Err      error  // nil for ok
	Duration time.Duration
	Keys     int // now usable
	Skipped  int // of the set, that can't be used
}

// flight is a fetch under way. It belongs to the cache, not to who asked for it.
type flight struct {
	seq  uint64
	done chan struct{}
}

// begin starts a fetch, detached from the caller's context and bounded by the cache's own timeout; nil after Close. e.mu is held,
// and no other flight of e is under way.
func (c *Cache) begin(ctx context.Context, e *entry, t Trigger) *flight {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	f := &flight{seq: e.begun + 1, done: make(chan struct{})}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		cancel()
		return nil
	}
	c.cancels[f] = cancel
	c.flights.Add(1)
	c.mu.Unlock()
	e.begun, e.flight = f.seq, f
	go func() {
		defer c.flights.Done()
		c.fly(ctx, e, f, t)
		cancel()
		c.mu.Lock()
		delete(c.cancels, f)
		c.mu.Unlock()
	}()
	return f
}

// fly fetches, and settles what follows from it before anyone who waits is woken.
func (c *Cache) fly(ctx context.Context, e *entry, f *flight, t Trigger) {
	began := c.now()
	next, out, err := c.fetch(ctx, e, began)
	out.Upstream, out.Trigger, out.Class, out.Err, out.Duration = e.name, t, class(err), err, c.now().Sub(began)
	now := c.now()
	e.mu.Lock()
	if next != nil {
		e.snap.Store(next.snapshot)
	}
	if err == nil {
		e.success, e.failures, e.due = f.seq, 0, began.Add(next.interval)
	} else if e.failures++; !now.Before(e.due) { // what tokens ask for must not move the schedule
		e.due = now.Add(min(minRetry<<min(e.failures-1, 8), maxRetry))
	}
	e.tried, e.last, e.flight = now, err, nil
	e.mu.Unlock()
	c.observe(out)
	close(f.done)
	c.nudge()
}

// landed is what a fetch leaves behind.
type landed struct {
	*snapshot
	interval time.Duration
}

// fetch asks the source, vets what it brings and persists it, in this order: no token is verified with a key that a restart would not
// know. Where persisting fails, new keys stay unused, but those that the upstream withdrew are dropped all the same.
func (c *Cache) fetch(ctx context.Context, e *entry, began time.Time) (*landed, FetchOutcome, error) {
	var out FetchOutcome
	u := *e.spec.Load()
	got, err := u.Source(ctx)
	if err != nil {
		return nil, out, err
	}
	keys, skipped, err := jose.ParseKeySet(got.Set)
	out.Keys, out.Skipped = len(keys), len(skipped)
	if err != nil {
		if len(skipped) > 0 {
			err = fmt.Errorf("%w; %w", err, skipped[0])
		}
		return nil, out, err
	}
	old := e.snap.Load()
	next := newSnapshot(keys, old, began, got.Discovery)
	if c.store != nil && !u.Static {
		if err := c.store.Save(ctx, next.saved(e.name, u)); err != nil {
			err = storeError{fmt.Errorf("persist keys: %w", err)}
			if old == nil {
				return nil, out, err
			}
			return &landed{snapshot: old.within(next)}, out, err
		}
	}
	return &landed{snapshot: next, interval: u.interval(got.FreshFor)}, out, nil
}
