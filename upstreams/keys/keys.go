// Package keys holds the public keys of upstreams: fetched, vetted, remembered over restarts, and read without a lock by whoever
// verifies a token.
//
// Everything is kept by upstream name, never by issuer or kid: two clusters that share an issuer string and a kid share nothing else.
// What a caller may conclude is kept apart, too: ErrUnknownKey says that the upstream does not have the key, ErrUnavailable
// that nobody could tell.
package keys

import (
	"context"
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"fedbroker/upstreams/history"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys/absence"
)

const (
	defaultFetchTimeout = 15 * time.Second
	defaultMaxStale     = 24 * time.Hour

	// minRefetch: what arrives with unknown kids costs an upstream at most one fetch in this time.
	minRefetch = time.Minute
	// After failures an upstream is tried again after minRetry, doubled each time up to maxRetry, whatever arrives.
	minRetry = 5 * time.Second
	maxRetry = time.Minute
	// Due fetches are begun early by up to a tenth of their interval, so that many brokers, or many upstreams of one provider, do not ask as one.
	jitter = 10
)

// Upstream says where the keys of one upstream come from.
type Upstream struct {
	Issuer   string        // as configured
	JWKSURI  string        // as configured, of a Static one the file; empty where discovery finds it
	Source   Source        // required
	MaxStale time.Duration // how long keys serve after an upstream last confirmed them [24h]
	Static   bool          // a file of ours: looked at often, never persisted
	MetBy    string        // the configured upstream that met this issuer at run time, in whose name all is told; nothing of it outlives the process
}

// sameOrigin says whether keys that came by one configuration may serve under the other.
func (u Upstream) sameOrigin(o Upstream) bool {
	return u.Issuer == o.Issuer && u.JWKSURI == o.JWKSURI && u.Static == o.Static && u.MetBy == o.MetBy
}

// Options of New. Every field may be left out.
type Options struct {
	Now          func() time.Time // [time.Now]
	Store        Store            // nil: nothing outlives the process
	FetchTimeout time.Duration    // of a whole fetch, discovery and persisting included [15s]
	Observe      func(FetchOutcome)
	Alarm        func(AlarmChange)
	Random       func() float64 // in [0, 1): how early a due fetch is begun [math/rand/v2]; safe for concurrent use
}

// Cache holds the key sets. It is safe for concurrent use.
type Cache struct {
	now     func() time.Time
	store   Store
	timeout time.Duration
	observe func(FetchOutcome)
	alarm   func(AlarmChange)
	random  func() float64
	wake    chan struct{} // Run looks anew at what is due

	registered atomic.Pointer[map[string]*entry] // copied on write

	mu      sync.Mutex // registrations and flights
	closed  bool
	cancels map[*flight]context.CancelFunc
	flights sync.WaitGroup

	background atomic.Int64  // flights that nobody asked for
	first      *rate.Limiter // of upstreams that were never asked
}

// entry is what is known of one upstream.
type entry struct {
	name    string
	spec    atomic.Pointer[Upstream]
	snap    atomic.Pointer[snapshot]
	loading chan struct{} // holds one token: who loads what the store has
	loaded  atomic.Bool
	writing sync.Mutex // held while a snapshot is made of the one before, persisted and put in its place
	alarms  alarms

	recorded []history.Key // what the history knows; nil: what the snapshot has. Guarded by writing

	mu       sync.Mutex
	flight   *flight
	begun    uint64    // flights so far
	success  uint64    // the newest flight that succeeded
	failures int       // in a row
	due      time.Time // of the next fetch that nobody asks for
	budget   time.Time // when an unknown kid may cause the next one
	tried    time.Time
	last     error // of the newest flight
	warning  error // of the newest flight that succeeded all the same
	absent   absence.Kids
}

// New makes an empty cache.
func New(o Options) *Cache {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FetchTimeout <= 0 {
		o.FetchTimeout = defaultFetchTimeout
	}
	if o.Observe == nil {
		o.Observe = func(FetchOutcome) {}
	}
	if o.Alarm == nil {
		o.Alarm = func(AlarmChange) {}
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	c := &Cache{now: o.Now, store: o.Store, timeout: o.FetchTimeout, observe: o.Observe, alarm: o.Alarm, random: o.Random,
		wake: make(chan struct{}, 1), cancels: map[*flight]context.CancelFunc{}, first: rate.NewLimiter(firstRate, firstRate)}
	c.registered.Store(&map[string]*entry{})
	return c
}

// Register makes an upstream known, or changes it. What is known of its keys is kept unless they would now come from elsewhere. It does
// no I/O.
func (c *Cache) Register(upstream string, u Upstream) {
	c.RegisterAll(map[string]Upstream{upstream: u})
}

// RegisterAll is Register for many at once, in the time that each of them takes.
func (c *Cache) RegisterAll(upstreams map[string]Upstream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := maps.Clone(*c.registered.Load())
	for name, u := range upstreams {
		if u.MaxStale <= 0 {
			u.MaxStale = defaultMaxStale
		}
		if e := known[name]; e != nil {
			if e.spec.Load().sameOrigin(u) {
				e.spec.Store(&u)
				continue
			}
			c.silence(e)
		}
		e := &entry{name: name, loading: make(chan struct{}, 1)}
		e.spec.Store(&u)
		known[name] = e
	}
	c.registered.Store(&known)
	c.nudge()
}

// Forget drops an upstream. What the store has of it stays.
func (c *Cache) Forget(upstream string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(upstream)
}

func (c *Cache) forget(upstream string) {
	e := c.find(upstream)
	if e == nil {
		return
	}
	c.silence(e)
	known := maps.Clone(*c.registered.Load())
	delete(known, upstream)
	c.registered.Store(&known)
}

func (c *Cache) find(upstream string) *entry { return (*c.registered.Load())[upstream] }

// upstream is the configured upstream to which the entry belongs, and the issuer if that was met at run time.
func (e *entry) upstream() (name, met string) {
	if u := e.spec.Load(); u.MetBy != "" {
		return u.MetBy, u.Issuer
	}
	return e.name, ""
}

// unavailable is what can't be told of the entry's keys now.
func (e *entry) unavailable(reason string, retry time.Duration, cause error) error {
	name, _ := e.upstream()
	return &UnavailableError{Upstream: name, Reason: reason, RetryAfter: retry, Cause: cause}
}

// Lookup returns the keys of an upstream that may have signed a token with this kid and issuer; for a token without kid, all that serve the issuer.
// The list is not the caller's to change. Where the keys are known it takes no lock and waits for nothing; else it waits, as long as ctx
// lasts, for what the store has and for at most one fetch. Errors wrap ErrUnknownKey only if a fetch that began after the call
// succeeded and did not bring the key; otherwise ErrUnavailable (*UnavailableError).
func (c *Cache) Lookup(ctx context.Context, upstream, kid, issuer string) ([]jose.Key, error) {
	e := c.find(upstream)
	if e == nil {
		return nil, &UnavailableError{Upstream: upstream, Reason: "not registered"}
	}
	if found := e.find(c.now(), kid, issuer); len(found) > 0 {
		return found, nil
	}
	return c.miss(ctx, e, kid, issuer)
}

// miss looks for a key that is not at hand: in the store, in a fetch under way, and in one of its own if there may be one now.
func (c *Cache) miss(ctx context.Context, e *entry, kid, issuer string) ([]jose.Key, error) {
	e.mu.Lock()
	asked := e.begun
	e.mu.Unlock()
	if err := c.load(ctx, e); err != nil {
		return nil, e.unavailable("gave up waiting", 0, err)
	}
	for {
		e.mu.Lock()
		now := c.now()
		found := e.find(now, kid, issuer)
		known, f, retry := e.success > asked, e.flight, time.Duration(0)
		switch {
		case len(found) > 0:
		case known:
			e.absent.Add(kid, issuer, now)
		case f != nil:
		case e.begun > asked: // one began for us, and failed
			retry = e.retryAfter(now)
		default:
			f, retry = c.beginAsked(ctx, e, e.absent.Until(kid, issuer))
		}
		last := e.last
		e.mu.Unlock()
		switch {
		case len(found) > 0:
			return found, nil
		case known:
			name, _ := e.upstream()
			return nil, unknownKey(name)
		case f == nil:
			return nil, e.unavailable("no key at hand", retry, last)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, e.unavailable("gave up waiting", 0, ctx.Err())
		}
	}
}

// beginAsked begins a fetch for a request, if one may begin now; otherwise it says when. A kid that fetches keep lacking causes none until the time
// given. e.mu is held.
func (c *Cache) beginAsked(ctx context.Context, e *entry, absent time.Time) (*flight, time.Duration) {
	now := c.now()
	trigger := TriggerNone
	switch {
	case e.current(now) == nil && !now.Before(e.due):
		trigger = TriggerMissing
	case e.current(now) != nil && now.Before(absent): // the budget is for others
		return nil, max(min(absent.Sub(now), e.due.Sub(now)), time.Second)
	case e.current(now) != nil && !now.Before(e.budget):
		trigger = TriggerUnknownKey
		e.budget = now.Add(minRefetch)
	}
	if trigger == TriggerNone {
		return nil, e.retryAfter(now)
	}
	return c.begin(ctx, e, trigger), 0
}

// retryAfter is how long it takes until another request may cause a fetch. e.mu is held.
func (e *entry) retryAfter(now time.Time) time.Duration {
	next := e.due
	if e.current(now) != nil {
		next = e.budget
	}
	return max(next.Sub(now), time.Second)
}

// current is the snapshot that may serve now; nil when there is none, or the upstream has not confirmed it for too long.
func (e *entry) current(now time.Time) *snapshot {
	s := e.snap.Load()
	if s == nil || now.Sub(s.confirmed) > e.spec.Load().MaxStale {
		return nil
	}
	return s
}
