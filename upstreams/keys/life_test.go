package keys_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/upstreams/keys"
)

func TestP44_WithdrawnKeysStopAtTheNextRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1", "k2")
		i.fresh = time.Hour
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		running(t, c)
		want(t, c, "k2", nil)
		i.serve("k1")
		want(t, c, "k2", nil)
		time.Sleep(54 * time.Minute) // before max-age has passed
		wantFetches(t, i, 2)
		want(t, c, "k2", keys.ErrUnknownKey)
		want(t, c, "k1", nil)
	})
}

func TestP44_RefreshFollowsFreshnessWithinBounds(t *testing.T) {
	for fresh, interval := range map[time.Duration]time.Duration{
		0: 9 * time.Minute, time.Second: 54 * time.Second, time.Hour: 54 * time.Minute, 1000 * time.Hour: 10*time.Hour + 48*time.Minute, // nine tenths of half of max_stale
	} {
		synctest.Test(t, func(t *testing.T) {
			i := newIDP("k1")
			i.fresh = fresh
			c := newCache(keys.Options{})
			c.Register("acme", acme(i))
			running(t, c)
			wantFetches(t, i, 1)
			time.Sleep(interval - time.Second)
			wantFetches(t, i, 1)
			time.Sleep(time.Second)
			wantFetches(t, i, 2)
		})
	}
}

func TestP44_RefreshComesBeforeMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		i.fresh = 24 * time.Hour
		c := newCache(keys.Options{})
		u := acme(i)
		u.MaxStale = time.Hour
		c.Register("acme", u)
		running(t, c)
		for range 48 {
			time.Sleep(10 * time.Minute)
			if got := c.Status("acme"); got.State != keys.StateOK {
				t.Fatalf("got %+v", got)
			}
		}
	})
}

func TestP44_TokensDoNotMoveTheSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		i.fresh = time.Hour
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		running(t, c)
		i.down()
		time.Sleep(10 * time.Minute)
		want(t, c, "forged", keys.ErrUnavailable)
		time.Sleep(44*time.Minute - time.Second)
		wantFetches(t, i, 2)
		time.Sleep(time.Second)
		wantFetches(t, i, 3)
	})
}

func TestP44_LastGoodServesUntilMaxStale(t *testing.T) {
	for name, fail := range map[string]func(*idp){
		"down":          func(i *idp) { i.err = classed("connect") },
		"empty set":     func(i *idp) { i.set = `{"keys":[]}` },
		"no usable key": func(i *idp) { i.set = `{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"RSA"}]}` },
		"not JSON":      func(i *idp) { i.set = `<html>` },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newIDP("k1")
				c := newCache(keys.Options{})
				u := acme(i)
				u.MaxStale = 3 * time.Hour
				c.Register("acme", u)
				running(t, c)
				want(t, c, "k1", nil)
				if got := c.Status("acme"); got.State != keys.StateOK || got.Keys != 1 || !got.Usable() {
					t.Errorf("at first: %+v", got)
				}
				i.change(fail)
				time.Sleep(3 * time.Hour)
				want(t, c, "k1", nil) // to the last second
				if got := c.Status("acme"); got.State != keys.StateStale || got.LastError == "" || !got.Usable() {
					t.Errorf("while stale: %+v", got)
				}
				time.Sleep(time.Second)
				want(t, c, "k1", keys.ErrUnavailable)
				if got := c.Status("acme"); got.State != keys.StateExpired || got.Usable() {
					t.Errorf("after max_stale: %+v", got)
				}
				i.serve("k1")
				time.Sleep(time.Minute) // the longest pause between attempts
				want(t, c, "k1", nil)
			})
		})
	}
}

func TestP44_AnUpstreamThatIsDownIsNotHammered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP()
		i.down()
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		running(t, c)
		for range 600 {
			want(t, c, "k1", keys.ErrUnavailable)
			time.Sleep(time.Second)
		}
		if n := i.count(); n < 10 || n > 14 { // 0, 5, 15, 35, 75 s, then each minute
			t.Errorf("%d fetches in ten minutes", n)
		}
		i.serve("k1")
		time.Sleep(time.Minute)
		want(t, c, "k1", nil)
	})
}

func TestP44_KeysArePersistedBeforeTheyServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		store.onSave = func() {
			if c.Status("acme").Keys != 0 {
				t.Error("keys serve before they are saved")
			}
		}
		want(t, c, "k1", nil)
		if store.saved["acme"] == nil {
			t.Error("nothing saved")
		}
	})
}

func TestP44_KeysThatCannotBePersistedDoNotServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1", "k2"), newMemory()
		var outcome atomic.Pointer[keys.FetchOutcome]
		c := newCache(keys.Options{Store: store, Observe: func(o keys.FetchOutcome) { outcome.Store(&o) }})
		c.Register("acme", acme(i))
		store.fail(nil, errText("disk full"))
		want(t, c, "k1", keys.ErrUnavailable)
		if got := outcome.Load(); got.Class != "store" || got.Trigger != keys.TriggerMissing {
			t.Errorf("got %+v", got)
		}
		store.fail(nil, nil)
		time.Sleep(time.Minute)
		want(t, c, "k1", nil)

		store.fail(nil, errText("disk full"))
		i.serve("k2", "k3")
		want(t, c, "k3", keys.ErrUnavailable) // the fetch brought it, and a restart would not know it
		want(t, c, "k2", nil)                 // last good
		if err := lookup(c, "k1"); !errors.Is(err, keys.ErrUnavailable) {
			t.Errorf("a withdrawn key serves on because a disk is full: %v", err)
		}
	})
}

// restarted is a new process with the same store, an upstream that is down, and no loop.
func restarted(i *idp, store *memory, u keys.Upstream) *keys.Cache {
	i.down()
	c := newCache(keys.Options{Store: store})
	c.Register("acme", u)
	return c
}

func TestP44_ARestartNeedsNoUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		time.Sleep(23 * time.Hour)
		c = restarted(i, store, acme(i))
		want(t, c, "k1", nil)
		wantFetches(t, i, 1) // neither discovery nor a fetch
		if got := c.Status("acme"); got.State != keys.StateStale || got.Keys != 1 || time.Since(got.Confirmed) != 23*time.Hour {
			t.Errorf("got %+v", got)
		}
		time.Sleep(time.Hour + time.Second)
		want(t, restarted(i, store, acme(i)), "k1", keys.ErrUnavailable) // max_stale runs through restarts
	})
}

func TestP44_AHangingUpstreamDoesNotDelayKeysFromTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		i.gate = make(chan struct{}) // never opens
		c = newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		running(t, c)
		start := time.Now()
		want(t, c, "k1", nil)
		if time.Since(start) != 0 {
			t.Error("waited")
		}
	})
}

func TestP44_SavedKeysOfAnotherOriginAreNotUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		other := acme(i)
		other.Issuer = "https://other.example"
		want(t, restarted(i, store, other), "k1", keys.ErrUnavailable)
		other = acme(i)
		other.JWKSURI = "https://idp.example/other"
		want(t, restarted(i, store, other), "k1", keys.ErrUnavailable)
		want(t, restarted(i, store, acme(i)), "k1", nil)
		store.saved["acme"] = []byte(`{"upstream":"acme","issuer":"` + issuer + `","confirmed":"2000-01-01T00:00:10Z","keys":[{"jwk":"{}"}]}`)
		want(t, restarted(i, store, acme(i)), "k1", keys.ErrUnavailable) // vetted again
	})
}

func TestP44_FirstSeenAndLastConfirmedAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		start := time.Now()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		time.Sleep(time.Hour)
		c = newCache(keys.Options{Store: store}) // first-seen survives the restart
		c.Register("acme", acme(i))
		i.serve("k1", "k2")
		want(t, c, "k2", nil)
		saved, err := store.Load(t.Context(), "acme")
		if err != nil || len(saved.Keys) != 2 {
			t.Fatalf("%+v, %v", saved, err)
		}
		if !saved.Keys[0].FirstSeen.Equal(start) || !saved.Keys[1].FirstSeen.Equal(start.Add(time.Hour)) {
			t.Errorf("first seen %v, %v", saved.Keys[0].FirstSeen, saved.Keys[1].FirstSeen)
		}
		if !saved.Keys[0].LastConfirmed.Equal(start.Add(time.Hour)) || !saved.Confirmed.Equal(start.Add(time.Hour)) {
			t.Errorf("confirmed %v", saved.Keys[0].LastConfirmed)
		}
		if saved.JWKSURI != jwksURI || saved.Issuer != issuer || saved.ConfiguredJWKSURI != "" {
			t.Errorf("came by %+v", saved)
		}
	})
}

func TestP44_AConfirmationInTheFutureCountsFromNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		ahead := newCache(keys.Options{Store: store, Now: func() time.Time { return time.Now().Add(1000 * time.Hour) }})
		ahead.Register("acme", acme(i))
		want(t, ahead, "k1", nil)
		c := restarted(i, store, acme(i))
		want(t, c, "k1", nil)
		time.Sleep(24*time.Hour + time.Second)
		want(t, c, "k1", keys.ErrUnavailable)
	})
}

func TestP44_AStoreThatFailsToLoadHidesNothingNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		store.fail(errText("engine down"), nil)
		i.serve("k2")
		c = newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		want(t, c, "k2", nil)
		store.fail(nil, nil)
		want(t, c, "k1", keys.ErrUnknownKey) // withdrawn: the store must not bring it back
	})
}

func TestP44_ASlowLoadDoesNotUndoAFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)

		i.serve("k2")
		i.gate = make(chan struct{})
		store.fail(errText("engine down"), nil)
		c = newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		fetched := make(chan error, 1)
		go func() { fetched <- lookup(c, "k2") }() // can't load, so it fetches
		synctest.Wait()
		store.fail(nil, nil)
		store.afterLoad = func() {
			close(i.gate)
			if err := <-fetched; err != nil {
				t.Error(err)
			}
		}
		want(t, c, "k1", keys.ErrUnknownKey)
	})
}

func TestP44_ShutdownEndsFetchesAndWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIDP("k1")
		i.gate = make(chan struct{}) // never opens
		i.linger = time.Second
		c := newCache(keys.Options{})
		c.Register("acme", acme(i))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		<-i.begun
		start := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(start) != i.linger {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		want(t, c, "k1", keys.ErrUnavailable)
		time.Sleep(time.Hour)
		want(t, c, "k1", keys.ErrUnavailable)
		wantFetches(t, i, 1) // nothing begins after it
	})
}

func TestStaticFileIsReadAnewWhenItChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	write := func(t *testing.T, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		write(t, keySet("k1"))
		c := newCache(keys.Options{Store: store})
		c.Register("acme", keys.Upstream{Issuer: issuer, Source: keys.FileSource(path), Static: true})
		running(t, c)
		want(t, c, "k1", nil)
		write(t, keySet("k2"))
		time.Sleep(11 * time.Second)
		want(t, c, "k2", nil)
		write(t, `{"keys":[`) // half written
		time.Sleep(11 * time.Second)
		want(t, c, "k2", nil)
		if got := c.Status("acme"); got.State != keys.StateStale || got.LastError != "key_set" {
			t.Errorf("got %+v", got)
		}
		if len(store.saved) != 0 {
			t.Error("a file of ours was persisted")
		}
	})
}

func TestStaticKeysAreNotTakenFromTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i, store := newIDP("k1"), newMemory()
		c := newCache(keys.Options{Store: store})
		c.Register("acme", acme(i))
		want(t, c, "k1", nil)
		u := acme(i)
		u.Static = true
		want(t, restarted(i, store, u), "k1", keys.ErrUnavailable)
	})
}

func TestFileSourceNamesAMissingFile(t *testing.T) {
	if _, err := keys.FileSource(filepath.Join(t.TempDir(), "none"))(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestP44_FreshnessReadsCacheControl(t *testing.T) {
	for name, tc := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"nothing":             {http.Header{}, 0},
		"other directives":    {http.Header{"Cache-Control": {"public, must-revalidate"}}, 0},
		"max-age":             {http.Header{"Cache-Control": {"public, max-age=3600"}}, time.Hour},
		"any case and quotes": {http.Header{"Cache-Control": {`Max-Age="3600"`}}, time.Hour},
		"several lines":       {http.Header{"Cache-Control": {"public", "max-age=7200"}}, 2 * time.Hour},
		"age":                 {http.Header{"Cache-Control": {"max-age=3600"}, "Age": {"600"}}, 50 * time.Minute},
		"older than max-age":  {http.Header{"Cache-Control": {"max-age=3600"}, "Age": {"6000"}}, time.Minute},
		"bad age":             {http.Header{"Cache-Control": {"max-age=3600"}, "Age": {"-1"}}, time.Hour},
		"zero":                {http.Header{"Cache-Control": {"max-age=0"}}, time.Minute},
		"a second":            {http.Header{"Cache-Control": {"max-age=1"}}, time.Minute},
		"a year":              {http.Header{"Cache-Control": {"max-age=31536000"}}, 24 * time.Hour},
		"beyond counting":     {http.Header{"Cache-Control": {"max-age=99999999999999999999"}}, 24 * time.Hour},
		"negative":            {http.Header{"Cache-Control": {"max-age=-1"}}, time.Minute},
		"no number":           {http.Header{"Cache-Control": {"max-age=1h"}}, time.Minute},
		"repeated":            {http.Header{"Cache-Control": {"max-age=3600, max-age=60"}}, time.Minute},
		"no-store":            {http.Header{"Cache-Control": {"max-age=3600, no-store"}}, time.Minute},
		"no-cache":            {http.Header{"Cache-Control": {"no-cache"}}, time.Minute},
		"s-maxage":            {http.Header{"Cache-Control": {"s-maxage=60"}}, 0},
	} {
		if got := keys.Freshness(tc.header); got != tc.want {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}
