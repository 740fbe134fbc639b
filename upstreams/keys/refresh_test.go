package keys_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/upstreams/history"
	"fedbroker/upstreams/keys"
)

func TestP44_RefreshIsBegunEarlyByChance(t *testing.T) {
	for chance, early := range map[float64]time.Duration{0: 0, 0.5: 162 * time.Second, 0.999999: 324 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			i := newIDP("k1")
			i.fresh = time.Hour // nine tenths are 54 minutes, and a tenth of them 5 min 24 s
			c := newCache(keys.Options{Random: func() float64 { return chance }})
			c.Register("acme", acme(i))
			running(t, c)
			time.Sleep(54*time.Minute - early - time.Second)
			wantFetches(t, i, 1)
			time.Sleep(2 * time.Second)
			wantFetches(t, i, 2)
		})
	}
}

func TestP44_RefreshesSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := keys.New(keys.Options{}) // chance as it is served
		var at []time.Time
		for n := range 64 {
			name := fmt.Sprintf("u%d", n)
			i := newIDP("k1")
			c.Register(name, acme(i))
			if err := c.Refresh(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			got, err := c.Inspect(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, got.Due)
		}
		distinct := map[time.Time]bool{}
		for _, due := range at {
			if wait := time.Until(due); wait > 9*time.Minute || wait < 486*time.Second {
				t.Fatalf("due in %v", wait)
			}
			distinct[due] = true
		}
		if len(distinct) < 32 {
			t.Errorf("%d different times of 64", len(distinct))
		}
	})
}

func TestP44_AKidThatIsKnownToBeAbsentCausesNoFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		want(t, c, "forged", keys.ErrUnknownKey)
		time.Sleep(time.Minute)
		want(t, c, "forged", keys.ErrUnknownKey) // lacked twice
		time.Sleep(time.Minute)
		wantFetches(t, i, 3)
		want(t, c, "forged", keys.ErrUnavailable)
		wantFetches(t, i, 3)
		i.serve("k1", "k2")
		want(t, c, "k2", nil) // the budget was not spent on it
		time.Sleep(time.Minute)
		want(t, c, "forged", keys.ErrUnknownKey) // after two minutes it is asked for again
		wantFetches(t, i, 5)
		for wait := 4 * time.Minute; wait <= 8*time.Minute; wait *= 2 {
			time.Sleep(wait - time.Second)
			want(t, c, "forged", keys.ErrUnavailable)
			time.Sleep(time.Second)
			want(t, c, "forged", keys.ErrUnknownKey)
		}
		time.Sleep(8 * time.Minute) // no longer than that
		want(t, c, "forged", keys.ErrUnknownKey)
	})
}

func TestP27_AKidThatWasAbsentIsNeverTheTokensFaultWithoutAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		running(t, c)
		want(t, c, "next", keys.ErrUnknownKey)
		time.Sleep(time.Minute)
		want(t, c, "next", keys.ErrUnknownKey)
		time.Sleep(time.Minute)
		i.serve("k1", "next") // the IdP publishes what somebody had guessed
		err := lookup(c, "next")
		var unavailable *keys.UnavailableError
		if !errors.As(err, &unavailable) || unavailable.RetryAfter <= 0 || unavailable.RetryAfter > 2*time.Minute {
			t.Fatalf("got %v", err)
		}
		time.Sleep(unavailable.RetryAfter)
		want(t, c, "next", nil)
	})
}

func TestP44_ARefreshBringsAKidThatWasAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		running(t, c)
		want(t, c, "next", keys.ErrUnknownKey)
		for range 3 {
			time.Sleep(time.Minute)
			_ = lookup(c, "next")
		}
		i.serve("k1", "next")
		if err := c.Refresh(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		before := i.count()
		want(t, c, "next", nil)
		wantFetches(t, i, before)
	})
}

func TestP44_EachWaiterLeavesAtItsOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		gate := make(chan struct{})
		i.gate = gate
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		start := time.Now()
		type left struct {
			after time.Duration
			err   error
		}
		all := make(chan left, 3)
		for _, d := range []time.Duration{time.Second, 3 * time.Second, 10 * time.Second} {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				_, err := c.Lookup(ctx, "acme", "k1", issuer)
				all <- left{time.Since(start), err}
			}()
		}
		for _, d := range []time.Duration{time.Second, 3 * time.Second} {
			if got := <-all; got.after != d || !errors.Is(got.err, keys.ErrUnavailable) || !errors.Is(got.err, context.DeadlineExceeded) {
				t.Errorf("after %v: %v, want %v", got.after, got.err, d)
			}
		}
		time.Sleep(2 * time.Second)
		close(gate)
		if got := <-all; got.after != 5*time.Second || got.err != nil {
			t.Errorf("who had time left: %+v", got)
		}
		wantFetches(t, i, 1)
	})
}

func TestP44_AReusedKidIsReplacedAtTheNextRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1#old", "k2"), newMemory()
		var seen []keys.FetchOutcome
		c := newCache(keys.Options{Store: store, Observe: func(f keys.FetchOutcome) { seen = append(seen, f) }})
		c.Register("acme", acme(i))
		old, err := c.Lookup(t.Context(), "acme", "k1", issuer)
		if err != nil {
			t.Fatal(err)
		}
		i.serve("k1#new", "k2")
		if err := c.Refresh(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		fresh, err := c.Lookup(t.Context(), "acme", "k1", issuer)
		if err != nil || len(fresh) != 1 || fmt.Sprint(fresh[0].Public) == fmt.Sprint(old[0].Public) {
			t.Fatalf("the old key still stands for the kid: %v, %v", fresh, err)
		}
		last := seen[len(seen)-1]
		if len(last.Changes) != 1 || last.Changes[0].Change != history.Changed || last.Changes[0].KeyID != "k1" || last.Head == "" {
			t.Errorf("told %+v", last)
		}
	})
}

func TestP44_HistorySaysWhatBecameOfEachKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		step := func(kids ...string) {
			t.Helper()
			i.serve(kids...)
			if err := c.Refresh(t.Context(), "acme"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		step("k1")
		step("k1") // nothing new
		step("k1", "k2")
		c = newCache(keys.Options{Store: store}) // over a restart
		c.Register("acme", acme(i))
		step("k2")
		step("k2#other")
		log, err := c.History(t.Context(), "acme")
		if err != nil || log.Verify("acme") != nil {
			t.Fatalf("%v, %v", err, log.Verify("acme"))
		}
		var got []string
		for _, e := range log.Entries {
			got = append(got, string(e.Change)+" "+e.KeyID)
		}
		if want := "[added k1 added k2 removed k1 changed k2]"; fmt.Sprint(got) != want {
			t.Errorf("got %v, want %s", got, want)
		}
	})
}

func TestP44_AHistoryThatCannotBeReadDelaysNoKeyAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		store.fail(errText("engine reads nothing"), nil)
		i.serve("k1", "k2")
		want(t, c, "k2", nil)
		if log := store.histories["acme"]; len(log.Entries) != 1 {
			t.Errorf("%+v", log)
		}
		store.fail(nil, nil)
		if err := c.Refresh(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		if log := store.histories["acme"]; len(log.Entries) != 2 || log.Entries[1].KeyID != "k2" || log.Verify("acme") != nil {
			t.Errorf("%+v", log)
		}
	})
}

func TestRefresh_SaysHowItsOwnFetchWent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		gate := make(chan struct{})
		i.gate = gate
		go func() { _ = lookup(c, "k1") }()
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- c.Refresh(t.Context(), "acme") }()
		synctest.Wait()
		i.change(func(i *idp) { i.gate, i.err = nil, classed("connect") })
		close(gate)
		if err := <-done; !errors.Is(err, classed("connect")) {
			t.Errorf("got the fetch before: %v", err)
		}
		wantFetches(t, i, 2)
		if err := c.Refresh(t.Context(), "zeta"); !errors.Is(err, keys.ErrNotRegistered) {
			t.Errorf("got %v", err)
		}
		c.Close()
		if err := c.Refresh(t.Context(), "acme"); !errors.Is(err, keys.ErrUnavailable) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestP44_AConfirmedSetIsTheOneThatWasKept(t *testing.T) {
	var k keys.Kept
	tagged := http.Header{"Etag": {`"v1"`}, "Cache-Control": {"max-age=3600"}}
	if k.Tag("u") != "" {
		t.Error("a tag of nothing")
	}
	body, fresh := k.Settle("u", []byte("set"), tagged)
	if string(body) != "set" || fresh != time.Hour || k.Tag("u") != `"v1"` || k.Tag("other") != "" {
		t.Fatalf("%q, %v, %q", body, fresh, k.Tag("u"))
	}
	if body, fresh = k.Settle("u", nil, http.Header{}); string(body) != "set" || fresh != time.Hour {
		t.Errorf("304: %q, %v", body, fresh)
	}
	if body, fresh = k.Settle("u", nil, http.Header{"Cache-Control": {"max-age=60"}}); string(body) != "set" || fresh != time.Minute {
		t.Errorf("304 with another freshness: %q, %v", body, fresh)
	}
	if body, _ = k.Settle("other", nil, http.Header{}); body != nil {
		t.Errorf("304 from elsewhere: %q", body)
	}
	if _, _ = k.Settle("u", []byte("next"), http.Header{}); k.Tag("u") != "" {
		t.Error("the tag of a set that is gone")
	}
	if _, _ = k.Settle("u", make([]byte, 65<<10), tagged); k.Tag("u") != "" {
		t.Error("a large one is kept")
	}
}
