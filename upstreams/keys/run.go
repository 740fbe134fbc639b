package keys

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Run refreshes the keys of all upstreams before they expire, beginning at once, until ctx ends. It returns nil after every fetch has ended; no
// other begins after that.
func (c *Cache) Run(ctx context.Context) error {
	defer c.Close()
	const idle = time.Hour // nothing is known to be due; a registration or a finished fetch wakes the loop
	for {
		wait := idle
		if next := c.refresh(ctx); !next.IsZero() {
			wait = min(idle, next.Sub(c.now()))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-c.wake:
			timer.Stop()
			if c.gather(ctx) != nil {
				return nil
			}
		}
	}
}

const (
	// maxBackground is how many upstreams are asked at a time that no token waits for: those that are down hold a place until they time out, and a token
	// never waits for a place.
	maxBackground = 64
	// firstRate is how many upstreams are asked in a second that were never asked before, and no token waits for.
	firstRate = 20
	// gatherEach and maxGather: what wakes the loop is gathered for a while, where a look at all upstreams costs something.
	gatherEach, maxGather = 25 * time.Microsecond, 250 * time.Millisecond
)

// gather waits for more to do, as long as the number of upstreams makes that worth it. The error is the context's.
func (c *Cache) gather(ctx context.Context) error {
	pause := min(time.Duration(len(*c.registered.Load()))*gatherEach, maxGather)
	if pause < time.Millisecond {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// refresh begins what is due and says when the next upstream will be.
func (c *Cache) refresh(ctx context.Context) (next time.Time) {
	for _, e := range c.entries() {
		if c.load(ctx, e) != nil {
			return time.Time{}
		}
		c.judge(e)
		e.mu.Lock()
		switch due := !c.now().Before(e.due); {
		case e.flight != nil: // its end wakes the loop
		case due && c.background.Load() >= maxBackground: // the end of one wakes the loop
		case due && e.tried.IsZero() && e.snap.Load() == nil && !c.first.AllowN(c.now(), 1):
			next = sooner(next, c.now().Add(time.Second/firstRate))
		case due:
			c.begin(ctx, e, TriggerRefresh)
		default:
			next = sooner(next, sooner(e.due, e.turns(c.now())))
		}
		e.mu.Unlock()
	}
	return next
}

// sooner is the earlier of two times; zero is never.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func (c *Cache) entries() []*entry {
	return slices.Collect(maps.Values(*c.registered.Load()))
}

// Close ends every fetch and waits for it. Keys at hand go on serving; nothing is fetched any more. Run does it; commands that never
// run the loop call it themselves.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	for _, cancel := range c.cancels {
		cancel()
	}
	c.mu.Unlock()
	c.flights.Wait()
}

func (c *Cache) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
