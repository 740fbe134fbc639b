package pattern_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/pattern"
)

func TestP28_KeysOfOneIssuerAreNeverAnothers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p, _ := started(t, newWorld())
		for _, name := range []string{"a", "b", "a"} {
			found, err := lookup(p, iss(name)) // both have a key of one kid
			if err != nil || len(found) != 1 || !isKeyOf(found[0], iss(name)) {
				t.Errorf("%s: %v, %v", name, found, err)
			}
		}
	})
}

func TestP28_TwoPatternsShareNothing(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		p, cache := started(t, w)
		other := pattern.New(pattern.Options{Upstream: "other", Form: pattern.NewForm(form, nil), Keys: cache, Source: w.source, Now: time.Now})
		defer other.Close()
		verified(t, p, iss("a"))
		if len(other.Met()) != 0 {
			t.Error("the other one has met it, too")
		}
		verified(t, other, iss("a"))
		other.Close()
		verified(t, p, iss("a"))
		if n := w.total(); n != 2 {
			t.Errorf("%d fetches", n)
		}
	})
}

// TestP28_AFloodOfUnknownIssuersCostsTheBudget: whatever arrives, ten issuers are tried in a minute, nothing is judged, and who is known goes on.
func TestP28_AFloodOfUnknownIssuersCostsTheBudget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		p, _ := started(t, w)
		verified(t, p, iss("living"))
		w.change(func(w *world) {
			for i := range 100_000 {
				w.fail[iss(fmt.Sprintf("forged-%d", i))] = notFound
			}
		})
		for i := range 100_000 {
			if wait := unavailable(t, p, iss(fmt.Sprintf("forged-%d", i))); wait <= 0 || i >= 20 && wait > time.Minute {
				t.Fatalf("retry after %v", wait)
			}
		}
		if n := w.total(); n != 10 { // the living one was the first of ten
			t.Errorf("%d fetches", n)
		}
		verified(t, p, iss("living"))
		time.Sleep(time.Minute)
		for i := range 1000 {
			unavailable(t, p, iss(fmt.Sprintf("forged-%d", 1000+i)))
		}
		if n := w.total(); n != 20 {
			t.Errorf("%d fetches after a minute", n)
		}
		if all := met(p); len(all) != 1 {
			t.Errorf("met %v", all)
		}
	})
}

func TestP28_TwoFetchesAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		p, _ := started(t, w)
		w.change(func(w *world) {
			for i := range 5 {
				w.hang[iss(fmt.Sprint(i))] = make(chan struct{})
			}
		})
		for i := range 5 {
			go func() { _, _ = lookup(p, iss(fmt.Sprint(i))) }()
			synctest.Wait()
		}
		w.change(func(w *world) {
			if w.now != 2 {
				t.Errorf("%d fetches at a time", w.now)
			}
			for _, gate := range w.hang {
				close(gate)
			}
		})
		synctest.Wait()
		w.change(func(w *world) {
			if w.top != 2 || w.fetches != 5 {
				t.Errorf("%d at a time, %d in all", w.top, w.fetches)
			}
		})
	})
}

func TestP28_OneFetchForAllWhoWait(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		p, _ := started(t, w)
		gate := make(chan struct{})
		w.change(func(w *world) { w.hang[iss("a")] = gate })
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() { _, err := p.Lookup(ctx, "many", kid, iss("a")); gone <- err }()
		synctest.Wait()
		answers := make(chan error, 50)
		for range cap(answers) {
			go func() { _, err := lookup(p, iss("a")); answers <- err }()
		}
		synctest.Wait()
		leave() // who began it does not end it
		if err := <-gone; !errors.Is(err, keys.ErrUnavailable) {
			t.Errorf("who left: %v", err)
		}
		close(gate)
		for range cap(answers) {
			if err := <-answers; err != nil {
				t.Error(err)
			}
		}
		if n := w.total(); n != 1 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestP28_IssuersThatFailedAreNotTriedAgainForAWhile(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		hold time.Duration
	}{
		"there is none":          {notFound, 10 * time.Minute},
		"no such host":           {noHost, 10 * time.Minute},
		"another's document":     {classed("issuer"), 10 * time.Minute},
		"no document":            {classed("discovery"), 10 * time.Minute},
		"a private address":      {classed("address"), 10 * time.Minute},
		"a redirect elsewhere":   {classed("redirect"), 10 * time.Minute},
		"it is broken":           {broken, time.Minute},
		"nobody answers":         {classed("connect"), time.Minute},
		"it is too slow":         {classed("timeout"), time.Minute},
		"it says nothing better": {errors.New("what"), time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				w := newWorld()
				p, _ := started(t, w)
				w.change(func(w *world) { w.fail[iss("a")] = tc.err })
				if wait := unavailable(t, p, iss("a")); wait != tc.hold {
					t.Errorf("retry after %v", wait)
				}
				w.change(func(w *world) { delete(w.fail, iss("a")) })
				time.Sleep(tc.hold - time.Second)
				if wait := unavailable(t, p, iss("a")); wait != time.Second {
					t.Errorf("retry after %v", wait)
				}
				if n := w.total(); n != 1 {
					t.Errorf("%d fetches", n)
				}
				time.Sleep(time.Second)
				verified(t, p, iss("a"))
			})
		})
	}
}

// classed is an error as sources have them.
type classed string

func (c classed) Error() string      { return string(c) }
func (c classed) ErrorClass() string { return string(c) }

// TestP28_StrangersThatExistEvictNobodyWhoIsProven: real tenants are met at the budget's pace, and forged tokens of them make them no younger.
func TestP28_StrangersThatExistEvictNobodyWhoIsProven(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p, cache := started(t, newWorld())
		verified(t, p, iss("living"))
		first := ""
		for i := range 300 {
			time.Sleep(6 * time.Second)
			if _, err := lookup(p, iss(fmt.Sprintf("real-%d", i))); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = met(p)[iss("real-0")].Key
			}
		}
		all := met(p)
		if _, there := all[iss("living")]; !there || len(all) > 65 {
			t.Errorf("%d issuers, the living one there: %v", len(all), there)
		}
		if _, err := cache.Inspect(t.Context(), first); !errors.Is(err, keys.ErrNotRegistered) {
			t.Errorf("keys of one that made room: %v", err)
		}
	})
}

// TestP28_ProvenIssuersAreBounded: where all that are kept were verified lately, who comes last stays on trial; else it takes the place of the one that was
// verified longest ago.
func TestP28_ProvenIssuersAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		w.fresh = 24 * time.Hour
		p, _ := started(t, w)
		const most = 512
		for i := range most {
			verified(t, p, iss(fmt.Sprintf("a-%d", i)))
			time.Sleep(6 * time.Second)
		}
		verified(t, p, iss("late"))
		if all := met(p); len(all) != most+1 { // a-0 was verified 51 minutes ago
			t.Fatalf("%d issuers", len(all))
		}
		time.Sleep(time.Hour)
		verified(t, p, iss("late")) // now a-0 makes room
		all := met(p)
		if _, there := all[iss("a-0")]; there || len(all) != most {
			t.Errorf("%d issuers, the oldest there: %v", len(all), there)
		}
	})
}

func TestP28_AnIssuerThatIsIdleIsDropped(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		p, _ := started(t, w)
		verified(t, p, iss("proven"))
		if _, err := lookup(p, iss("trial")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		if all := met(p); len(all) != 1 || all[iss("proven")].Verified.IsZero() {
			t.Errorf("after 30 minutes: %v", all)
		}
		time.Sleep(24 * time.Hour)
		if all := met(p); len(all) != 0 {
			t.Errorf("after a day: %v", all)
		}
		n := w.total()
		time.Sleep(24 * time.Hour)
		if w.total() != n {
			t.Error("an issuer that was dropped is fetched from")
		}
		verified(t, p, iss("proven"))
	})
}

func TestP28_ListedIssuersAreNotCountedAsNew(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		w.fresh = 24 * time.Hour
		var listed []string
		for i := range 600 {
			listed = append(listed, iss(fmt.Sprintf("a-%d", i)))
		}
		p, _ := started(t, w, listed...)
		for _, issuer := range listed {
			verified(t, p, issuer)
		}
		if n := len(p.Met()); n != len(listed) {
			t.Errorf("%d issuers", n)
		}
	})
}

func TestP28_AWithdrawnKeyStopsAtTheNextRefresh(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		p, _ := started(t, w)
		verified(t, p, iss("a"))
		w.change(func(w *world) { w.seed[iss("a")] = "another" })
		time.Sleep(10 * time.Minute)
		found, err := lookup(p, iss("a"))
		if err != nil || len(found) != 1 || isKeyOf(found[0], iss("a")) {
			t.Errorf("%v, %v", found, err)
		}
		if _, err := p.Lookup(t.Context(), "many", "unknown", iss("a")); !errors.Is(err, keys.ErrUnknownKey) {
			t.Errorf("unknown key: %v", err)
		}
	})
}

func TestP28_AMetIssuerSurvivesItsOutageUpToMaxStale(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		p, _ := started(t, w)
		verified(t, p, iss("a"))
		w.change(func(w *world) { w.fail[iss("a")] = broken })
		for range 23 {
			time.Sleep(time.Hour)
			verified(t, p, iss("a"))
		}
		time.Sleep(2 * time.Hour)
		unavailable(t, p, iss("a"))
		w.change(func(w *world) { delete(w.fail, iss("a")) })
		time.Sleep(2 * time.Minute)
		verified(t, p, iss("a"))
	})
}

// TestP28_DeadIssuersKeepNoLivingOneWaiting: however many of a pattern hang, one of its two places is for those that answer.
func TestP28_DeadIssuersKeepNoLivingOneWaiting(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		p, cache := started(t, w)
		for i := range 60 {
			verified(t, p, iss(fmt.Sprintf("dead-%d", i)))
			time.Sleep(6 * time.Second)
		}
		w.change(func(w *world) { w.slow[iss("living")] = 3 * time.Second })
		verified(t, p, iss("living"))
		w.change(func(w *world) {
			for i := range 60 {
				w.hang[iss(fmt.Sprintf("dead-%d", i))] = make(chan struct{}) // never closed
			}
		})
		time.Sleep(time.Hour)
		for range 120 {
			time.Sleep(time.Minute)
			i, err := cache.Inspect(t.Context(), met(p)[iss("living")].Key)
			if age := time.Since(i.Confirmed); err != nil || i.LastError != "" || age > 10*time.Minute { // it is refreshed every 9
				t.Fatalf("the living one's keys are %v old: %q, %v", age, i.LastError, err)
			}
		}
	})
}

func TestP28_NothingIsMetAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		w := newWorld()
		p, cache := started(t, w)
		verified(t, p, iss("a"))
		name := met(p)[iss("a")].Key
		w.change(func(w *world) { w.hang[iss("b")] = make(chan struct{}) })
		done := make(chan error, 1)
		go func() { _, err := lookup(p, iss("b")); done <- err }()
		synctest.Wait()
		p.Close()
		if err := <-done; !errors.Is(err, keys.ErrUnavailable) {
			t.Errorf("under way: %v", err)
		}
		unavailable(t, p, iss("c"))
		if _, err := cache.Inspect(t.Context(), name); !errors.Is(err, keys.ErrNotRegistered) || len(p.Met()) != 0 {
			t.Errorf("still there: %v, %v", err, p.Met())
		}
	})
}
