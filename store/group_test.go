package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

type testCall = Call[int, int]

// newTestGroup answers each job with its double, after held is closed; sizes gets the number of calls of each write.
func newTestGroup(o GroupOptions[int, int], held <-chan struct{}, sizes *[]int) *Group[int, int] {
	o.Write = func(calls []*testCall) time.Duration {
		if len(calls) > 0 {
			*sizes = append(*sizes, len(calls))
		}
		<-held
		for _, c := range calls {
			c.Answer(2*c.Job, nil)
		}
		return 0
	}
	return NewGroup(o)
}

func closedChan() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func TestGroup_ALoneCallerNeverLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		g := newTestGroup(GroupOptions[int, int]{Linger: time.Hour}, closedChan(), &sizes)
		start := time.Now()
		for i := range 5 {
			if r, err := g.Do(t.Context(), i); err != nil || r != 2*i {
				t.Errorf("job %d: %d, %v", i, r, err)
			}
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a lone caller waited %v", waited)
		}
		g.Close()
	})
}

func TestGroup_LingersForCallersThatComeBackAndNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		held := make(chan struct{})
		g := newTestGroup(GroupOptions[int, int]{Linger: time.Millisecond}, held, &sizes)
		for i := range 5 {
			go func() { _, _ = g.Do(t.Context(), i) }()
			synctest.Wait() // the first is being written, the others queue
		}
		close(held)
		synctest.Wait()
		start := time.Now()
		_, _ = g.Do(t.Context(), 0) // four were together last time: it waits for three that don't come
		first := time.Since(start)
		_, _ = g.Do(t.Context(), 0)
		if second := time.Since(start) - first; first != time.Millisecond || second != 0 {
			t.Errorf("waited %v, then %v, want 1ms, then nothing", first, second)
		}
		g.Close()
		if want := []int{1, 4, 1, 1}; !slices.Equal(sizes, want) {
			t.Errorf("groups of %v, want %v", sizes, want)
		}
	})
}

func TestGroup_ContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		held := make(chan struct{})
		g := newTestGroup(GroupOptions[int, int]{Most: 1, Depth: 1}, held, &sizes)
		ctx, cancel := context.WithCancel(t.Context())
		errs := make([]chan error, 3) // taken, queued, and waiting for a place in the queue
		for i := range errs {
			errs[i] = make(chan error, 1)
			go func() { _, err := g.Do(ctx, i); errs[i] <- err }()
			synctest.Wait()
		}
		cancel()
		for i, want := range []error{ErrUnknown, ErrUnavailable, ErrUnavailable} {
			if err := <-errs[i]; !errors.Is(err, want) || !errors.Is(err, context.Canceled) {
				t.Errorf("call %d: %v, want %v", i, err, want)
			}
		}
		close(held)
		g.Close()
		if want := []int{1}; !slices.Equal(sizes, want) {
			t.Errorf("groups of %v, want %v: withdrawn calls were written", sizes, want)
		}
	})
}

func TestGroup_PostNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		held := make(chan struct{})
		g := newTestGroup(GroupOptions[int, int]{Depth: 2}, held, &sizes)
		for i := range 3 { // one is being written, two wait
			if err := g.Post(i); err != nil {
				t.Errorf("post %d: %v", i, err)
			}
			synctest.Wait()
		}
		if err := g.Post(3); !errors.Is(err, ErrUnavailable) {
			t.Errorf("post to a full queue: %v", err)
		}
		close(held)
		g.Close()
		if err := g.Post(4); !errors.Is(err, ErrUnavailable) {
			t.Errorf("post to a closed group: %v", err)
		}
		if _, err := g.Do(t.Context(), 4); !errors.Is(err, ErrUnavailable) {
			t.Errorf("call to a closed group: %v", err)
		}
		if want := []int{1, 2}; !slices.Equal(sizes, want) {
			t.Errorf("groups of %v, want %v", sizes, want)
		}
	})
}

func TestGroup_WriteComesAgainWhenItAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		g := NewGroup(GroupOptions[int, int]{Write: func(calls []*testCall) time.Duration {
			at = append(at, time.Since(start))
			for _, c := range calls {
				c.Answer(0, nil)
			}
			if len(at) < 3 {
				return time.Second
			}
			return 0
		}})
		_, _ = g.Do(t.Context(), 0)
		time.Sleep(time.Minute)
		g.Close()
		if want := []time.Duration{0, time.Second, 2 * time.Second, time.Minute}; !slices.Equal(at, want) {
			t.Errorf("writes at %v, want %v", at, want)
		}
	})
}
