package keys_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/upstreams/keys"
)

func TestP44_FirstLookupFetchesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1", "k2")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		wantFetches(t, i, 0) // registering does no I/O
		want(t, c, "k1", nil)
		want(t, c, "k2", nil)
		all, err := c.Lookup(t.Context(), "acme", "", issuer)
		if err != nil || len(all) != 2 {
			t.Fatalf("without kid: %d keys, %v", len(all), err)
		}
		wantFetches(t, i, 1)
	})
}

func TestP44_FetchIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		i.gate = make(chan struct{})
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		var wg sync.WaitGroup
		for range 64 {
			wg.Go(func() {
				if err := lookup(c, "k1"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(i.gate)
		wg.Wait()
		wantFetches(t, i, 1)
	})
}

func TestP44_FetchIsDetachedFromItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		i.gate = make(chan struct{})
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() { _, err := c.Lookup(ctx, "acme", "k1", issuer); first <- err }()
		synctest.Wait()
		second := make(chan error, 1)
		go func() { second <- lookup(c, "k1") }()
		synctest.Wait()
		cancel() // a waiter leaves by its own context, at once
		if err := <-first; !errors.Is(err, keys.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		close(i.gate) // and the fetch goes on for the others
		if err := <-second; err != nil {
			t.Fatal(err)
		}
		wantFetches(t, i, 1)
	})
}

func TestP44_FetchIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		i.gate = make(chan struct{}) // never closed
		c := newCache(keys.Options{FetchTimeout: 7 * time.Second})
		c.Register("acme", acme(i))
		start := time.Now()
		want(t, c, "k1", keys.ErrUnavailable)
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("took %v", took)
		}
		if got := c.Status("acme"); got.State != keys.StateNever || got.LastError != "timeout" {
			t.Errorf("got %+v", got)
		}
	})
}

func TestP44_UnknownKidCostsOneFetchAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		for minute := range 5 {
			for n := range 1000 {
				_ = lookup(c, fmt.Sprintf("forged-%d-%d", minute, n))
			}
			wantFetches(t, i, 2+minute)
			want(t, c, "k1", nil) // a flood takes nothing from those who are known
			time.Sleep(time.Minute)
		}
	})
}

func TestP44_UnknownKidsAtOnceAreOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		gate := make(chan struct{})
		i.change(func(i *idp) { i.gate = gate })
		var wg sync.WaitGroup
		for n := range 200 {
			wg.Go(func() {
				if err := lookup(c, fmt.Sprintf("forged-%d", n)); !errors.Is(err, keys.ErrUnknownKey) && !errors.Is(err, keys.ErrUnavailable) {
					t.Errorf("got %v", err)
				}
			})
			wg.Go(func() {
				if err := lookup(c, "k1"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		wantFetches(t, i, 2)
	})
}

func TestP44_UnknownKidBudgetHoldsWhenFetchesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		i.down()
		for range 59 {
			want(t, c, "k2", keys.ErrUnavailable)
			time.Sleep(time.Second)
		}
		wantFetches(t, i, 2)
		want(t, c, "k1", nil)
	})
}

func TestP27_UnknownKidIsInvalidOnlyAfterAFetchBegunLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		want(t, c, "forged", keys.ErrUnknownKey) // its own fetch lacked it
		i.serve("k1", "k2")                      // the IdP rotates, while the flood has spent the budget
		err := lookup(c, "k2")
		var unavailable *keys.UnavailableError
		if !errors.As(err, &unavailable) || !errors.Is(err, keys.ErrUnavailable) {
			t.Fatalf("got %v, want unavailable", err)
		}
		if unavailable.RetryAfter != time.Minute {
			t.Errorf("retry after %v, want 1m", unavailable.RetryAfter)
		}
		time.Sleep(time.Minute)
		want(t, c, "k2", nil)
		wantFetches(t, i, 3)
	})
}

func TestP27_AFetchBegunBeforeTheRequestProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		gate := make(chan struct{})
		i.change(func(i *idp) { i.gate = gate })
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- lookup(c, "forged") }()
		synctest.Wait() // that fetch has begun, and has read the old set
		i.serve("k1", "k2")
		go func() { second <- lookup(c, "k2") }()
		synctest.Wait()
		close(gate)
		if err := <-first; !errors.Is(err, keys.ErrUnknownKey) {
			t.Errorf("who asked before it began: got %v", err)
		}
		if err := <-second; !errors.Is(err, keys.ErrUnavailable) {
			t.Errorf("who asked after it began: got %v", err)
		}
		wantFetches(t, i, 2)
	})
}

func TestP27_AJoinedFetchMayStillBringTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1", "k2")
		i.gate = make(chan struct{})
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		errs := make(chan error, 2)
		go func() { errs <- lookup(c, "k1") }()
		synctest.Wait()
		go func() { errs <- lookup(c, "k2") }()
		synctest.Wait()
		close(i.gate)
		for range 2 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		wantFetches(t, i, 1)
	})
}

func TestP27_OneRequestCausesAtMostOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{FetchTimeout: 2 * time.Minute}) // longer than the budget's minute
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		i.change(func(i *idp) { i.gate = make(chan struct{}) }) // never opens
		start := time.Now()
		want(t, c, "k2", keys.ErrUnavailable)
		if took := time.Since(start); took != 2*time.Minute {
			t.Errorf("took %v", took)
		}
		wantFetches(t, i, 2)
	})
}

func TestP27_AFailedFetchIsNotTheTokensFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		i.down()
		want(t, c, "k2", keys.ErrUnavailable)
		i.change(func(i *idp) { i.err, i.set = nil, `{"keys":[]}` })
		time.Sleep(time.Minute)
		want(t, c, "k2", keys.ErrUnavailable)
		wantFetches(t, i, 3)
	})
}

func TestP10_OneIssuerAndOneKidNeverShareAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newIDP("k1#one"), newIDP("k1#two")
		store := newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(one))
		c.Register("zeta", acme(two))
		for range 2 { // and again after a restart, from the store
			a, errA := c.Lookup(t.Context(), "acme", "k1", issuer)
			z, errZ := c.Lookup(t.Context(), "zeta", "k1", issuer)
			if errA != nil || errZ != nil || len(a) != 1 || len(z) != 1 {
				t.Fatalf("%v, %v", errA, errZ)
			}
			if fmt.Sprint(a[0].Public) == fmt.Sprint(z[0].Public) {
				t.Fatal("one key for both")
			}
			one.down()
			two.down()
			c = newCache(keys.Options{Store: store})
			c.Register("acme", acme(one))
			c.Register("zeta", acme(two))
		}
	})
}

func TestP10_BudgetsAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newIDP("k1"), newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(one))
		c.Register("zeta", acme(two))
		want(t, c, "k1", nil)
		if _, err := c.Lookup(t.Context(), "zeta", "k1", issuer); err != nil {
			t.Fatal(err)
		}
		want(t, c, "forged", keys.ErrUnknownKey)
		want(t, c, "forged", keys.ErrUnavailable) // acme's budget is spent
		if _, err := c.Lookup(t.Context(), "zeta", "forged", issuer); !errors.Is(err, keys.ErrUnknownKey) {
			t.Errorf("zeta's is not: got %v", err)
		}
	})
}

func TestP10_KeysBoundToAnIssuerServeOnlyIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1@"+issuer, "k1#other@https://other.example", "k2@https://other.example", "k3")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		got, err := c.Lookup(t.Context(), "acme", "k1", issuer)
		if err != nil || len(got) != 1 || got[0].Issuer != issuer {
			t.Fatalf("got %v, %v", got, err)
		}
		if got, err := c.Lookup(t.Context(), "acme", "", issuer); err != nil || len(got) != 2 {
			t.Errorf("without kid: got %d keys, %v", len(got), err)
		}
		want(t, c, "k3", nil)
		want(t, c, "k2", keys.ErrUnknownKey)
	})
}

func TestP44_LookupOfAKnownKeyTakesNoLockAndNoMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1", "k2")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		ctx := context.Background()
		if n := testing.AllocsPerRun(100, func() { _, _ = c.Lookup(ctx, "acme", "k1", issuer) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
		gate := make(chan struct{})
		i.change(func(i *idp) { i.gate = gate })
		go func() { _ = lookup(c, "forged") }()
		synctest.Wait()
		want(t, c, "k2", nil) // while a fetch hangs
		close(gate)
	})
}

func TestP28_WhatWasMetAtRunTimeIsToldInTheNameOfItsUpstreamAndNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, saved := newIDP("k1"), newMemory()
		var mu sync.Mutex
		var told []keys.FetchOutcome
		c := newCache(keys.Options{Store: saved, Observe: func(o keys.FetchOutcome) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, o)
		}})
		c.Register("derived", keys.Upstream{Issuer: issuer, Source: i.fetch, MetBy: "pattern"})
		if _, err := c.Lookup(t.Context(), "derived", "k1", issuer); err != nil {
			t.Fatal(err)
		}
		_, err := c.Lookup(t.Context(), "derived", "k2", issuer)
		if !errors.Is(err, keys.ErrUnknownKey) || strings.Contains(err.Error(), "derived") {
			t.Errorf("got %v", err)
		}
		if i, err := c.Inspect(t.Context(), "derived"); err != nil || i.Stored {
			t.Errorf("got %+v, %v", i, err)
		}
		if kept, err := saved.Load(t.Context(), "derived"); kept != nil || err != nil {
			t.Errorf("kept %+v, %v", kept, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 2 || told[0].Upstream != "pattern" || told[0].Issuer != issuer {
			t.Errorf("told %+v", told)
		}
	})
}

func TestRegisterAgainKeepsKeysOfTheSameOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		u := acme(i)
		u.MaxStale = time.Hour
		c.Register("acme", u)
		want(t, c, "k1", nil)
		wantFetches(t, i, 1)
		u.Issuer = "https://other.example"
		i.down()
		c.Register("acme", u)
		want(t, c, "k1", keys.ErrUnavailable) // another issuer inherits no keys
		c.Forget("acme")
		if got := c.Status("acme"); got.State != keys.StateNever {
			t.Errorf("forgotten: %+v", got)
		}
		want(t, c, "k1", keys.ErrUnavailable)
	})
}

func TestFetchOfAnUpstreamThatIsGoneTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		i.gate = make(chan struct{})
		c := newCache(keys.Options{Observe: func(o keys.FetchOutcome) { t.Errorf("told %+v", o) }})
		c.Register("acme", acme(i))
		go func() { _ = lookup(c, "k1") }()
		synctest.Wait()
		c.Forget("acme")
		close(i.gate)
		synctest.Wait()
	})
}
