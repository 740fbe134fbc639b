package breaker_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/upstreams/breaker"
)

const (
	firstCool = 5 * time.Second
	lastCool  = time.Minute
)

// changes are what a breaker told.
type changes struct {
	mu  sync.Mutex
	all []bool
}

func (c *changes) add(open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, open)
}

func (c *changes) want(t *testing.T, want ...bool) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.all, want) {
		t.Errorf("want opened and closed told as %v, got %v", want, c.all)
	}
}

func steady() float64 { return 0 }

// calls are made and end so.
func calls(t *testing.T, b *breaker.Breaker, outcomes ...breaker.Outcome) {
	t.Helper()
	for i, o := range outcomes {
		c, err := b.Enter(t.Context())
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		c.End(o)
	}
}

func refused(t *testing.T, b *breaker.Breaker, sentinel error, after time.Duration) {
	t.Helper()
	_, err := b.Enter(t.Context())
	e, ok := errors.AsType[*breaker.Error](err)
	if !ok || !errors.Is(err, sentinel) || e.RetryAfter != after {
		t.Errorf("want %v with retry after %v, got %+v", sentinel, after, err)
	}
}

func repeated(o breaker.Outcome, n int) []breaker.Outcome {
	return slices.Repeat([]breaker.Outcome{o}, n)
}

func TestBreaker_Opens(t *testing.T) {
	const answered, failed, neutral = breaker.Answered, breaker.Failed, breaker.Neutral
	half := slices.Repeat([]breaker.Outcome{answered, failed}, 5)
	for _, tt := range []struct {
		name     string
		outcomes []breaker.Outcome
		want     breaker.State
	}{
		{"four failures", repeated(failed, 4), breaker.Closed},
		{"five failures in a row", repeated(failed, 5), breaker.Open},
		{"four failures, an answer, four failures", slices.Concat(repeated(failed, 4), []breaker.Outcome{answered}, repeated(failed, 4)), breaker.Closed},
		{"every second of ten", half, breaker.Open},
		{"every second of eight", half[:8], breaker.Closed},
		{"every second, after twenty answers", slices.Concat(repeated(answered, 20), half[:8]), breaker.Closed},
		{"callers that give up", repeated(neutral, 100), breaker.Closed},
		{"failures among callers that give up", slices.Repeat([]breaker.Outcome{neutral, failed}, 5), breaker.Open},
		{"answers", repeated(answered, 100), breaker.Closed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := breaker.New(breaker.Options{})
			calls(t, b, tt.outcomes...)
			if got := b.Status().State; got != tt.want {
				t.Errorf("want %s, got %s", tt.want, got)
			}
		})
	}
}

func TestBreaker_OldFailuresSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{})
		for range 20 { // one in six minutes
			calls(t, b, breaker.Failed)
			time.Sleep(6 * time.Minute)
		}
		if got := b.Status().State; got != breaker.Closed {
			t.Errorf("want closed, got %s", got)
		}
	})
}

func TestBreaker_OpenAnswersAtOnceAndOneProbePasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told changes
		b := breaker.New(breaker.Options{Random: steady, Changed: told.add})
		calls(t, b, repeated(breaker.Failed, 5)...)
		told.want(t, true)
		began := time.Now()
		refused(t, b, breaker.ErrOpen, firstCool)
		if time.Since(began) != 0 {
			t.Error("want the refusal at once")
		}
		time.Sleep(firstCool - time.Nanosecond)
		if b.Check() == nil {
			t.Error("want the whole cool-down without a probe")
		}
		time.Sleep(time.Nanosecond)
		if got := b.Status().State; got != breaker.HalfOpen {
			t.Errorf("want half_open, got %s", got)
		}
		if err := b.Check(); err != nil {
			t.Errorf("want a way to the probe, got %v", err)
		}
		probe, err := b.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		refused(t, b, breaker.ErrOpen, time.Second) // exactly one
		probe.End(breaker.Answered)
		told.want(t, true, false)
		calls(t, b, repeated(breaker.Failed, 4)...) // what was before is forgotten
		if got := b.Status().State; got != breaker.Closed {
			t.Errorf("want closed, got %s", got)
		}
	})
}

func TestBreaker_CoolDownGrowsToItsBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told changes
		b := breaker.New(breaker.Options{Random: steady, Changed: told.add})
		calls(t, b, repeated(breaker.Failed, 5)...)
		for _, want := range []time.Duration{5, 10, 20, 40, 60, 60, 60} {
			want *= time.Second
			refused(t, b, breaker.ErrOpen, want)
			time.Sleep(want)
			calls(t, b, breaker.Failed) // the probe
		}
		told.want(t, true)
		time.Sleep(lastCool)
		calls(t, b, breaker.Answered)
		calls(t, b, repeated(breaker.Failed, 5)...)
		refused(t, b, breaker.ErrOpen, firstCool) // what was well begins anew
		told.want(t, true, false, true)
	})
}

func TestBreaker_ChanceShortensTheCoolDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{Random: func() float64 { return 0.5 }})
		calls(t, b, repeated(breaker.Failed, 5)...)
		refused(t, b, breaker.ErrOpen, firstCool/10*9)
	})
}

func TestBreaker_ProbeOfACallerThatGivesUpLetsTheNextPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{Random: steady})
		calls(t, b, repeated(breaker.Failed, 5)...)
		time.Sleep(firstCool)
		calls(t, b, breaker.Neutral, breaker.Neutral, breaker.Answered)
		if got := b.Status().State; got != breaker.Closed {
			t.Errorf("want closed, got %s", got)
		}
	})
}

func TestBreaker_WhatBeganBeforeItOpenedSaysNothingAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{Random: steady})
		slow, err := b.Enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		calls(t, b, repeated(breaker.Failed, 5)...)
		slow.End(breaker.Answered)
		refused(t, b, breaker.ErrOpen, firstCool)
	})
}

func TestBreaker_LimitsCallsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{Limit: 2})
		first, _ := b.Enter(t.Context())
		second, _ := b.Enter(t.Context())
		began := time.Now()
		refused(t, b, breaker.ErrBusy, time.Second)
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("want a wait of 1s for a turn, got %v", waited)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := b.Enter(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("want whoever gives up to wait no longer, got %v", err)
		}
		go func() {
			time.Sleep(time.Second / 2)
			first.End(breaker.Answered)
			first.End(breaker.Failed) // only the first word counts: no place is given back twice
		}()
		third, err := b.Enter(t.Context())
		if err != nil {
			t.Fatalf("want a turn when another call has ended, got %v", err)
		}
		refused(t, b, breaker.ErrBusy, time.Second)
		second.End(breaker.Answered)
		third.End(breaker.Answered)
		if got := b.Status().State; got != breaker.Closed {
			t.Errorf("want a full house to be no failure, got %s", got)
		}
	})
}

func TestBreaker_RefusedCallsGiveTheirPlaceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{Limit: 1, Random: steady})
		calls(t, b, repeated(breaker.Failed, 5)...)
		for range 3 {
			refused(t, b, breaker.ErrOpen, firstCool)
		}
		time.Sleep(firstCool)
		calls(t, b, breaker.Answered, breaker.Answered)
	})
}

// While others wait for a turn the breaker opens: they are not let through to what has just failed.
func TestBreaker_OpensForThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := breaker.New(breaker.Options{Limit: 1, Random: steady})
		calls(t, b, repeated(breaker.Failed, 4)...)
		last, _ := b.Enter(t.Context())
		go func() {
			time.Sleep(time.Second / 2)
			last.End(breaker.Failed)
		}()
		refused(t, b, breaker.ErrOpen, firstCool)
	})
}

func TestBreaker_CloseTellsOnceThatItIsOpenNoLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told changes
		b := breaker.New(breaker.Options{Random: steady, Changed: told.add})
		calls(t, b, repeated(breaker.Failed, 5)...)
		b.Close()
		b.Close()
		time.Sleep(firstCool)
		calls(t, b, breaker.Answered)
		calls(t, b, repeated(breaker.Failed, 5)...)
		told.want(t, true, false)
	})
}

func TestBreaker_NilLetsEverythingThrough(t *testing.T) {
	var b *breaker.Breaker
	call, err := b.Enter(t.Context())
	if err != nil || b.Check() != nil || b.Status().State != breaker.Closed {
		t.Errorf("want nothing held up, got %v", err)
	}
	call.End(breaker.Failed)
	b.Close()
}
