package keys

import (
	"context"
	"fmt"
	"time"

	"fedbroker/upstreams/history"
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
	TriggerOperator   Trigger = "operator"    // somebody wants to know now
)

// FetchOutcome is one finished fetch, for log and metrics.
type FetchOutcome struct {
	Upstream string
	Issuer   string // that was met at run time; empty: the configured one
	Trigger  Trigger
	Class    string // ok, or the class of the error: of a closed set
	Err      error  // nil for ok
	Duration time.Duration
	Keys     int // now usable
	Skipped  int // of the set, that can't be used

	Warning error           // the fetch is good, but how its set was found is not what it should be
	Changes []history.Entry // of the set, as the store's history has them
	Head    string          // of the history, with the changes
}

// flight is a fetch under way. It belongs to the cache, not to who asked for it.
type flight struct {
	seq  uint64
	done chan struct{}
	err  error // set when done is closed
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
	unasked := t == TriggerRefresh
	if unasked {
		c.background.Add(1)
	}
	go func() {
		defer c.flights.Done()
		c.fly(ctx, e, f, t)
		if unasked {
			c.background.Add(-1)
			c.nudge()
		}
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
	interval, out, err := c.fetch(ctx, e, began)
	out.Upstream, out.Issuer = e.upstream()
	out.Trigger, out.Class, out.Err, out.Duration = t, class(err), err, c.now().Sub(began)
	now := c.now()
	e.mu.Lock()
	if err == nil {
		e.success, e.failures, e.due = f.seq, 0, began.Add(c.early(interval))
	} else if e.failures++; !now.Before(e.due) { // what tokens ask for must not move the schedule
		e.due = now.Add(c.early(min(minRetry<<min(e.failures-1, 8), maxRetry)))
	}
	e.tried, e.last, e.warning, e.flight = now, err, out.Warning, nil
	e.mu.Unlock()
	if !e.alarms.silenced() {
		c.observe(out)
	}
	c.judge(e)
	f.err = err
	close(f.done)
	c.nudge()
}

// early is an interval less a random part of it.
func (c *Cache) early(d time.Duration) time.Duration {
	return d - time.Duration(c.random()*float64(d/jitter))
}

// fetch asks the source, vets what it brings, persists it and puts it in place, in this order: no token is verified with a key that a restart would not
// know. Where persisting fails, new keys stay unused, but those that the upstream withdrew are dropped all the same. It returns the time to the next one.
func (c *Cache) fetch(ctx context.Context, e *entry, began time.Time) (time.Duration, FetchOutcome, error) {
	var out FetchOutcome
	u := *e.spec.Load()
	got, err := u.Source(ctx)
	out.Warning = got.Warning
	if err != nil {
		return 0, out, err
	}
	keys, skipped, err := jose.ParseKeySet(got.Set)
	out.Keys, out.Skipped = len(keys), len(skipped)
	if err != nil {
		if len(skipped) > 0 {
			err = fmt.Errorf("%w; %w", err, skipped[0])
		}
		return 0, out, err
	}
	e.writing.Lock()
	defer e.writing.Unlock()
	old := e.snap.Load()
	next := newSnapshot(keys, old, began, got.Discovery)
	if c.stores(u) {
		if err := c.persist(ctx, e, u, old, next, &out); err != nil {
			if old != nil {
				e.snap.Store(old.within(next))
			}
			return 0, out, storeError{fmt.Errorf("persist keys: %w", err)}
		}
	}
	e.snap.Store(next)
	return u.interval(got.FreshFor), out, nil
}

// stores says whether what is known of an upstream outlives the process.
func (c *Cache) stores(u Upstream) bool { return c.store != nil && !u.Static && u.MetBy == "" }

// persist saves the next snapshot and, in one with it, what it changes in the history. e.writing is held.
func (c *Cache) persist(ctx context.Context, e *entry, u Upstream, old, next *snapshot, out *FetchOutcome) error {
	if e.recorded == nil {
		e.recorded = old.historic()
	}
	saved, now := next.saved(e.name, u), next.historic()
	changes := history.Compare(e.recorded, now)
	if len(changes) > 0 {
		log, err := c.store.History(ctx, e.name)
		if err == nil {
			log.Append(e.name, next.confirmed, changes)
			saved.History = &log
		} // else the next fetch compares with the same set again: keys that verify matter more than their history
	}
	if err := c.store.Save(ctx, saved); err != nil {
		return err
	}
	if saved.History != nil {
		out.Changes, out.Head, e.recorded = changes, saved.History.Head, now
	}
	return nil
}
