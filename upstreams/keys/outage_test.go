package keys_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/upstreams/keys"
)

// bell writes down what is told of alarms, one word each: +raised, -cleared.
type bell struct {
	mu   sync.Mutex
	told []string
}

func (b *bell) ring(a keys.AlarmChange) {
	sign := "-"
	if a.Raised {
		sign = "+"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = append(b.told, sign+string(a.Alarm))
}

func (b *bell) heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.told)
}

func (b *bell) want(t *testing.T, told ...string) {
	t.Helper()
	synctest.Wait()
	if heard := b.heard(); !slices.Equal(heard, told) {
		t.Fatalf("told %v, want %v", heard, told)
	}
}

func TestP44_AlarmsComeBeforeMaxStaleAndGoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, b := newIDP("k1"), &bell{}
		c := newCache(keys.Options{Alarm: b.ring})
		u := acme(i)
		u.MaxStale = 10 * time.Hour
		c.Register("acme", u)
		running(t, c)
		i.down()
		time.Sleep(5*time.Hour - time.Second)
		b.want(t)
		time.Sleep(time.Second)
		b.want(t, "+half_stale")
		time.Sleep(4*time.Hour - time.Second)
		b.want(t, "+half_stale")
		time.Sleep(time.Second)
		b.want(t, "+half_stale", "+nearly_stale")
		want(t, c, "k1", nil) // an alarm, and nothing refused yet
		time.Sleep(time.Hour)
		want(t, c, "k1", nil)
		time.Sleep(time.Second)
		want(t, c, "k1", keys.ErrUnavailable)
		b.want(t, "+half_stale", "+nearly_stale", "+expired")
		i.serve("k1")
		time.Sleep(time.Minute)
		b.want(t, "+half_stale", "+nearly_stale", "+expired", "-half_stale", "-nearly_stale", "-expired")
		time.Sleep(24 * time.Hour)
		b.want(t, "+half_stale", "+nearly_stale", "+expired", "-half_stale", "-nearly_stale", "-expired")
	})
}

func TestP44_AnUpstreamThatAnswersRaisesNoAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, b := newIDP("k1"), &bell{}
		i.fresh = 24 * time.Hour
		c := newCache(keys.Options{Alarm: b.ring})
		u := acme(i)
		u.MaxStale = time.Hour
		c.Register("acme", u)
		running(t, c)
		time.Sleep(100 * time.Hour)
		b.want(t)
	})
}

func TestP44_ASetWithoutAUsableKeyIsAlarming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, b := newIDP("k1"), &bell{}
		c := newCache(keys.Options{Alarm: b.ring})
		c.Register("acme", acme(i))
		running(t, c)
		i.change(func(i *idp) { i.set = `{"keys":[]}` })
		time.Sleep(10 * time.Minute)
		b.want(t, "+unusable_key_set")
		want(t, c, "k1", nil)
		i.serve("k1")
		time.Sleep(time.Minute)
		b.want(t, "+unusable_key_set", "-unusable_key_set")
	})
}

func TestP44_AnUpstreamThatGoesTakesItsAlarmsAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, b := newIDP("k1"), &bell{}
		c := newCache(keys.Options{Alarm: b.ring})
		c.Register("acme", acme(i))
		running(t, c)
		i.change(func(i *idp) { i.set = `{"keys":[]}` })
		time.Sleep(10 * time.Minute)
		c.Forget("acme")
		b.want(t, "+unusable_key_set", "-unusable_key_set")
		time.Sleep(time.Hour)
		b.want(t, "+unusable_key_set", "-unusable_key_set")
	})
}

// stale is a cache whose upstream was last confirmed an hour and a second longer ago than max_stale, an hour.
func stale(t *testing.T, b *bell, store *memory, kids ...string) (*keys.Cache, *idp) {
	t.Helper()
	i := newIDP(kids...)
	c := newCache(keys.Options{Alarm: b.ring, Store: store})
	u := acme(i)
	u.MaxStale = time.Hour
	c.Register("acme", u)
	running(t, c)
	i.down()
	time.Sleep(2*time.Hour + time.Second)
	for _, kid := range kids {
		want(t, c, kid, keys.ErrUnavailable)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.told = nil
	return c, i
}

func pin(t *testing.T, c *keys.Cache, kid string, d time.Duration) time.Time {
	t.Helper()
	until, err := c.Pin(t.Context(), "acme", kid, d)
	if err != nil {
		t.Fatal(err)
	}
	return until
}

func TestP44_APinnedKeyServesBeyondMaxStaleUntilItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bell{}
		c, _ := stale(t, b, newMemory(), "k1", "k2")
		if until := pin(t, c, "k1", 6*time.Hour); !until.Equal(time.Now().Add(6 * time.Hour)) {
			t.Errorf("until %v", until)
		}
		want(t, c, "k1", nil)
		want(t, c, "k2", keys.ErrUnavailable) // that key alone
		want(t, c, "forged", keys.ErrUnavailable)
		if got, err := c.Lookup(t.Context(), "acme", "", issuer); err != nil || len(got) != 1 {
			t.Errorf("without kid: %d keys, %v", len(got), err)
		}
		b.want(t, "+pinned")
		if got := c.Status("acme"); got.State != keys.StatePinned || !got.Usable() {
			t.Errorf("%+v", got)
		}
		time.Sleep(6*time.Hour - time.Second)
		want(t, c, "k1", nil)
		time.Sleep(time.Second)
		want(t, c, "k1", keys.ErrUnavailable)
		b.want(t, "+pinned", "-pinned")
		if got := c.Status("acme"); got.State != keys.StateExpired || got.Usable() {
			t.Errorf("%+v", got)
		}
	})
}

func TestP44_APinIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := stale(t, &bell{}, newMemory(), "k1")
		for _, d := range []time.Duration{keys.MaxPin + time.Second, -time.Second} {
			if _, err := c.Pin(t.Context(), "acme", "k1", d); !errors.Is(err, keys.ErrPinDuration) {
				t.Errorf("%v: %v", d, err)
			}
		}
		want(t, c, "k1", keys.ErrUnavailable)
		began := time.Now()
		for range 100 { // pinned again and again
			if _, err := c.Pin(t.Context(), "acme", "k1", 24*time.Hour); err != nil {
				break
			}
			time.Sleep(time.Hour)
		}
		if lasted := time.Since(began); lasted > keys.MaxPin {
			t.Errorf("pinned for %v beyond max_stale", lasted)
		}
		want(t, c, "k1", keys.ErrUnavailable)
	})
}

func TestP44_OnlyALastGoodKeyCanBePinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1", "k2")
		c := newCache(keys.Options{Store: newMemory()})
		c.Register("acme", acme(i))
		c.Register("file", keys.Upstream{Issuer: issuer, Source: i.fetch, Static: true})
		want(t, c, "k1", nil)
		i.serve("k1")
		if err := c.Refresh(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		for name, tc := range map[string]struct {
			upstream, kid string
			want          error
		}{
			"withdrawn":        {"acme", "k2", keys.ErrNotPinnable},
			"never seen":       {"acme", "k9", keys.ErrNotPinnable},
			"of a file":        {"file", "k1", keys.ErrNotPinnable},
			"unknown upstream": {"zeta", "k1", keys.ErrNotRegistered},
		} {
			if _, err := c.Pin(t.Context(), tc.upstream, tc.kid, time.Hour); !errors.Is(err, tc.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestP44_APinnedKeyThatIsWithdrawnStopsAtOnce(t *testing.T) {
	for _, name := range []string{"when it answers again", "while nothing can be persisted"} {
		synctest.Test(t, func(t *testing.T) {
			b, store := &bell{}, newMemory()
			c, i := stale(t, b, store, "k1", "k2")
			pin(t, c, "k1", 72*time.Hour)
			want(t, c, "k1", nil)
			if name == "while nothing can be persisted" {
				store.fail(nil, errText("disk full"))
			}
			i.serve("k2") // it answers again, without k1
			time.Sleep(time.Minute)
			if err := lookup(c, "k1"); !errors.Is(err, keys.ErrUnknownKey) && !errors.Is(err, keys.ErrUnavailable) {
				t.Fatalf("%s: a withdrawn key serves because it is pinned: %v", name, err)
			}
			if heard := b.heard(); !slices.Contains(heard, "-pinned") {
				t.Errorf("%s: told %v", name, heard)
			}
			i.serve("k1", "k2") // nor does the pin come back with it
			store.fail(nil, nil)
			time.Sleep(10 * time.Minute)
			i.down()
			time.Sleep(2 * time.Hour)
			want(t, c, "k1", keys.ErrUnavailable)
		})
	}
}

func TestP44_APinOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		c, i := stale(t, &bell{}, store, "k1", "k2")
		pin(t, c, "k1", 6*time.Hour)
		u := acme(i)
		u.MaxStale = time.Hour
		c = restarted(i, store, u)
		want(t, c, "k1", nil)
		want(t, c, "k2", keys.ErrUnavailable)
		time.Sleep(6 * time.Hour)
		want(t, c, "k1", keys.ErrUnavailable)
		u.Issuer = "https://other.example"
		want(t, restarted(i, store, u), "k1", keys.ErrUnavailable)
	})
}

func TestP44_APinIsLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bell{}
		c, _ := stale(t, b, newMemory(), "k1")
		pin(t, c, "k1", 6*time.Hour)
		want(t, c, "k1", nil)
		pin(t, c, "k1", 0)
		want(t, c, "k1", keys.ErrUnavailable)
		b.want(t, "+pinned", "-pinned")
	})
}

func TestP44_APinThatCannotBeSavedIsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		c, _ := stale(t, &bell{}, store, "k1")
		store.fail(nil, errText("disk full"))
		if _, err := c.Pin(t.Context(), "acme", "k1", time.Hour); err == nil {
			t.Error("pinned all the same")
		}
		want(t, c, "k1", keys.ErrUnavailable)
	})
}

func TestP44_AFetchUnderWayKeepsAPinMadeMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		gate := make(chan struct{})
		i.change(func(i *idp) { i.gate = gate })
		done := make(chan error, 1)
		go func() { done <- c.Refresh(context.Background(), "acme") }()
		synctest.Wait()
		pin(t, c, "k1", 6*time.Hour)
		close(gate)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		got, err := c.Inspect(t.Context(), "acme")
		if err != nil || len(got.Set) != 1 || got.Set[0].PinnedUntil.IsZero() || !slices.Equal(got.Alarms, []keys.Alarm{keys.AlarmPinned}) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestP44_AShorterMaxStaleShortensPins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		c := newCache(keys.Options{})
		u := acme(i)
		u.MaxStale = 48 * time.Hour
		c.Register("acme", u)
		want(t, c, "k1", nil)
		i.down()
		time.Sleep(40 * time.Hour)
		pin(t, c, "k1", 72*time.Hour)
		u.MaxStale = time.Hour
		c.Register("acme", u)
		time.Sleep(33*time.Hour - time.Second) // 73 hours after the confirmation
		want(t, c, "k1", nil)
		time.Sleep(2 * time.Second)
		want(t, c, "k1", keys.ErrUnavailable)
	})
}
