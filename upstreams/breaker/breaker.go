// Package breaker stands before one endpoint of an upstream, so that what is wrong there costs nobody but who needs that endpoint: only so many
// calls are under way at a time, and after failures there are none until a cool-down has passed and one probe has come back well.
//
// A failure is that no answer came: nobody there, TLS that fails, a timeout, a connection that breaks, or a gateway that says so (502, 503, 504). Whatever
// else an upstream answers, it is alive: a code or a token that it refuses (4xx) and its own fault about one request (500) must not let whoever brings
// garbage close the endpoint for others.
//
// Key sets and discovery have no breaker: their caches ask on a schedule and a budget of their own, at most once at a time, and a key that
// is withdrawn must stop to verify when the next refresh is due (P44), whatever the upstream's other endpoints do.
package breaker

import (
	"context"
	"errors"
	"math/bits"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	defaultLimit = 8           // as many connections as an upstream gets (see package outbound)
	defaultWait  = time.Second // so that a small burst is no refusal

	// The breaker opens after maxFailures in a row, or when half of the last window outcomes, at least minOutcomes of them, were failures.
	maxFailures = 5
	window      = 20
	minOutcomes = 10
	// An outcome says nothing any more when the next one is that much later.
	memory = 5 * time.Minute

	// After opening there are no calls for minCool, doubled each time a probe fails up to maxCool, of which chance takes up to a fifth.
	minCool = 5 * time.Second
	maxCool = time.Minute
	jitter  = 5

	// probing is when to come again while a probe is under way, or every place is taken.
	probing = time.Second
)

// State is what the breaker lets through.
type State string

// The states.
const (
	Closed   State = "closed"    // every call
	Open     State = "open"      // none
	HalfOpen State = "half_open" // one probe: the cool-down has passed
)

// Outcome is how a call ended.
type Outcome uint8

// The outcomes. Neutral, the zero value, says nothing of the endpoint: the caller gave up, or the call was refused on our side.
const (
	Neutral Outcome = iota
	Answered
	Failed
)

// What every error of Enter and Check wraps exactly one of.
var (
	ErrOpen = errors.New("not asked: its last calls failed")
	ErrBusy = errors.New("not asked: as many calls as may be are under way")
)

// Error is a call that was not made.
type Error struct {
	Err        error         // ErrOpen, ErrBusy, or the context's
	RetryAfter time.Duration // when to try again; zero: not known
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the sentinel.
func (e *Error) Unwrap() error { return e.Err }

// Options of New. Every field may be left out.
type Options struct {
	Now     func() time.Time // [time.Now]
	Random  func() float64   // in [0, 1): what chance takes of a cool-down [math/rand/v2]; safe for concurrent use
	Limit   int              // calls at a time [8]
	Wait    time.Duration    // how long a call waits for its turn [1s]
	Changed func(open bool)  // the breaker opened, or closed again; told in order, under the breaker's lock. It must not block or call back.
}

// Breaker is one endpoint's. It is safe for concurrent use; a nil one lets everything through.
type Breaker struct {
	o     Options
	turns chan struct{} // one for each call under way

	mu       sync.Mutex
	open     bool
	gone     bool
	era      uint64 // counts openings and closings: what began before one says nothing after it
	until    time.Time
	cools    int  // openings in a row
	probe    bool // under way
	failures int  // in a row
	outcomes int  // known of the window
	failed   uint32
	last     time.Time // of the newest outcome
}

// New makes a closed one.
func New(o Options) *Breaker {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Limit <= 0 {
		o.Limit = defaultLimit
	}
	if o.Wait <= 0 {
		o.Wait = defaultWait
	}
	if o.Changed == nil {
		o.Changed = func(bool) {}
	}
	return &Breaker{o: o, turns: make(chan struct{}, o.Limit)}
}

// Call is one that was let through. It must end.
type Call struct {
	of    *Breaker
	era   uint64
	probe bool
	once  sync.Once
}

// Enter lets one call through, after it has waited for its turn. Every error is an *Error.
func (b *Breaker) Enter(ctx context.Context) (*Call, error) {
	if b == nil {
		return nil, nil //nolint:nilnil // the call of no breaker, which can be ended
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	if err := b.turn(ctx); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.check(); err != nil { // it opened while we waited
		<-b.turns
		return nil, err
	}
	if b.open && b.probe {
		<-b.turns
		return nil, &Error{Err: ErrOpen, RetryAfter: probing}
	}
	b.probe = b.open
	return &Call{of: b, era: b.era, probe: b.open}, nil
}

// turn waits for a place among the calls under way.
func (b *Breaker) turn(ctx context.Context) error {
	select {
	case b.turns <- struct{}{}:
		return nil
	default:
	}
	wait := time.NewTimer(b.o.Wait)
	defer wait.Stop()
	select {
	case b.turns <- struct{}{}:
		return nil
	case <-wait.C:
		return &Error{Err: ErrBusy, RetryAfter: probing}
	case <-ctx.Done():
		return &Error{Err: ctx.Err()}
	}
}

// Check says whether there is any use in what leads to a call: not while the breaker cools down. It is no call, and takes no probe's place. Every error
// is an *Error that wraps ErrOpen.
func (b *Breaker) Check() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.check()
}

// check is Check; b.mu is held.
func (b *Breaker) check() error {
	if left := b.until.Sub(b.o.Now()); b.open && left > 0 {
		return &Error{Err: ErrOpen, RetryAfter: max(left, probing)}
	}
	return nil
}

// End says how the call ended. Only the first word counts.
func (c *Call) End(o Outcome) {
	if c != nil {
		c.once.Do(func() {
			<-c.of.turns
			c.of.settle(c, o)
		})
	}
}

// settle draws the conclusions from a call that ended.
func (b *Breaker) settle(c *Call, o Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.era != b.era {
		return
	}
	if c.probe {
		b.probe = false
	}
	now := b.o.Now()
	switch {
	case o == Neutral:
	case c.probe && o == Answered:
		b.turnTo(false)
	case c.probe:
		b.cool(now)
	default:
		b.count(o, now)
		if b.failing() {
			b.cools = 0
			b.cool(now)
			b.turnTo(true)
		}
	}
}

// count adds an outcome to what is known.
func (b *Breaker) count(o Outcome, now time.Time) {
	if now.Sub(b.last) > memory {
		b.forget()
	}
	b.last = now
	b.outcomes = min(b.outcomes+1, window)
	b.failed = b.failed << 1 & (1<<window - 1)
	if o == Failed {
		b.failed |= 1
		b.failures++
	} else {
		b.failures = 0
	}
}

func (b *Breaker) forget() { b.failures, b.outcomes, b.failed = 0, 0, 0 }

func (b *Breaker) failing() bool {
	return b.failures >= maxFailures || b.outcomes >= minOutcomes && 2*bits.OnesCount32(b.failed) >= b.outcomes
}

// cool begins a cool-down, longer than the one before.
func (b *Breaker) cool(now time.Time) {
	d := min(minCool<<min(b.cools, 8), maxCool)
	b.cools++
	b.until = now.Add(d - time.Duration(b.o.Random()*float64(d/jitter)))
}

// turnTo opens or closes, and tells.
func (b *Breaker) turnTo(open bool) {
	b.open, b.probe = open, false
	b.era++
	b.forget()
	if !b.gone {
		b.o.Changed(open)
	}
}

// Status is how a breaker stands.
type Status struct {
	State State
	Until time.Time // of one that is open: when a probe may pass; else zero
}

// Status says how the breaker stands. A nil one is closed.
func (b *Breaker) Status() Status {
	if b == nil {
		return Status{State: Closed}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open:
		return Status{State: Closed}
	case b.check() == nil:
		return Status{State: HalfOpen}
	}
	return Status{State: Open, Until: b.until}
}

// Close ends the breaker's telling, when its upstream goes: one that is open is told to be so no longer.
func (b *Breaker) Close() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open && !b.gone {
		b.o.Changed(false)
	}
	b.gone = true
}
