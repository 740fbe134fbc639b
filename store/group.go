package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// GroupOptions describe a Group. Write is required.
type GroupOptions[J, R any] struct {
	// Write does the calls as one and answers each of them, at once or at a later Write. It runs on one goroutine. With a
	// positive again, Write follows after that time with no calls, unless some came before; it can also have none when all
	// callers have left.
	Write  func(calls []*Call[J, R]) (again time.Duration)
	Most   int           // calls in one Write [256]
	Depth  int           // calls that may wait [Most]
	Linger time.Duration // the longest wait for calls that are expected back [1ms]
}

// Group hands calls of many goroutines to one writer that does many at a time, so that they share one fsync.
type Group[J, R any] struct {
	o     GroupOptions[J, R]
	queue chan *Call[J, R]
	stop  chan struct{} // closed by Close
	done  chan struct{} // closed by the writer when it is over

	mu     sync.RWMutex // held for reading while Post sends, so that nothing posted is left behind by Close
	closed bool
}

// Call is one job in a Group.
type Call[J, R any] struct {
	Job    J
	state  atomic.Int32
	answer chan answer[R] // nil: nobody waits
}

type answer[R any] struct {
	result R
	err    error
}

const (
	callWaiting int32 = iota
	callTaken
	callWithdrawn
)

// NewGroup starts the writer; Close ends it.
func NewGroup[J, R any](o GroupOptions[J, R]) *Group[J, R] {
	if o.Most == 0 {
		o.Most = 256
	}
	if o.Depth == 0 {
		o.Depth = o.Most
	}
	if o.Linger == 0 {
		o.Linger = time.Millisecond
	}
	g := &Group[J, R]{o: o, queue: make(chan *Call[J, R], o.Depth), stop: make(chan struct{}), done: make(chan struct{})}
	go g.run()
	return g
}

// Do waits for the answer to job. ErrUnavailable: the job was not taken, because ctx ended first or the group is closed.
// ErrUnknown: ctx ended after the writer had taken it.
func (g *Group[J, R]) Do(ctx context.Context, job J) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	c := &Call[J, R]{Job: job, answer: make(chan answer[R], 1)}
	select {
	case g.queue <- c:
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
	case <-g.stop:
		return none, errClosed
	}
	select {
	case a := <-c.answer:
		return a.result, a.err
	case <-ctx.Done():
		if c.state.CompareAndSwap(callWaiting, callWithdrawn) {
			return none, fmt.Errorf("%w: %w", ErrUnavailable, ctx.Err())
		}
		return c.answered(fmt.Errorf("%w: %w", ErrUnknown, ctx.Err()))
	case <-g.done:
		return c.answered(errClosed)
	}
}

var errClosed = fmt.Errorf("%w: closed", ErrUnavailable)

// answered returns the answer if there is one already, else the error.
func (c *Call[J, R]) answered(otherwise error) (R, error) {
	select {
	case a := <-c.answer:
		return a.result, a.err
	default:
		var none R
		return none, otherwise
	}
}

// Post hands job over and does not wait for its turn. A full queue or a closed group is ErrUnavailable.
func (g *Group[J, R]) Post(job J) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.closed {
		return errClosed
	}
	select {
	case g.queue <- &Call[J, R]{Job: job}:
		return nil
	default:
		return fmt.Errorf("%w: queue of %d is full", ErrUnavailable, cap(g.queue))
	}
}

// Posted says that nobody waits for the answer.
func (c *Call[J, R]) Posted() bool { return c.answer == nil }

// Answer ends a call. It is called once, by Write.
func (c *Call[J, R]) Answer(result R, err error) {
	if c.answer != nil {
		c.answer <- answer[R]{result, err}
	}
}

// Close lets the writer finish what is queued, and waits for it. It may be called more than once.
func (g *Group[J, R]) Close() {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		close(g.stop)
	}
	g.mu.Unlock()
	<-g.done
}

func (g *Group[J, R]) run() {
	defer close(g.done)
	retry := time.NewTimer(0)
	defer retry.Stop()
	<-retry.C
	want := 1
	for {
		var again time.Duration
		select {
		case c := <-g.queue:
			want, again = g.turn(c, want)
		case <-retry.C:
			again = g.o.Write(nil)
		case <-g.stop:
			g.drain()
			return
		}
		if again > 0 {
			retry.Reset(again)
		} else {
			retry.Stop()
		}
	}
}

// turn writes what is queued as one, and returns how many calls there were.
func (g *Group[J, R]) turn(first *Call[J, R], want int) (int, time.Duration) {
	calls := gather(first, g.queue, want, g.o.Most, g.o.Linger)
	taken := make([]*Call[J, R], 0, len(calls))
	for _, c := range calls {
		if c.state.CompareAndSwap(callWaiting, callTaken) {
			taken = append(taken, c)
		}
	}
	return max(1, len(taken)), g.o.Write(taken)
}

// drain writes what was queued before Close, and gives Write a last turn for what it had put off.
func (g *Group[J, R]) drain() {
	for {
		select {
		case c := <-g.queue:
			g.turn(c, 1)
		default:
			g.o.Write(nil)
			return
		}
	}
}

// gather collects what one Write shall carry: first, and what waits behind it, at most most in all. While fewer than want are
// together it lingers for more. want is how many were carried last time: when callers queue, they come back together just after
// they were answered; a lone caller never waits.
func gather[C any](first C, queue <-chan C, want, most int, linger time.Duration) []C {
	calls := []C{first}
	var expired <-chan time.Time
	for len(calls) < most {
		if len(calls) >= want {
			select {
			case c := <-queue:
				calls = append(calls, c)
				continue
			default:
				return calls
			}
		}
		if expired == nil {
			timer := time.NewTimer(linger)
			defer timer.Stop()
			expired = timer.C
		}
		select {
		case c := <-queue:
			calls = append(calls, c)
		case <-expired:
			return calls
		}
	}
	return calls
}
