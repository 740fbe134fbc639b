package upstreams_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/upstreamtest"
)

// reloaded is the set of a configuration that follows before.
func (b *bench) reloaded(cache *keys.Cache, before *upstreams.Set, specs ...upstreams.Spec) *upstreams.Set {
	b.Helper()
	return upstreams.NewSet(upstreams.Options{Specs: specs, OurIssuer: ourIssuer, Keys: cache, Now: b.clock.Now, Before: before}, func(path, format string, _ ...any) {
		b.Errorf("%s: %s", path, format)
	})
}

func (b *bench) starts(set *upstreams.Set) {
	b.Helper()
	up, ok := set.Login("acme")
	if !ok {
		b.Fatal("nobody can log in at acme")
	}
	if _, err := up.Start(b.Context(), attempt()); err != nil {
		b.Error(err)
	}
}

// Who logs in after a reload meets the discovery of before, if the upstream has not changed, and a new one if it has.
func TestNewSet_CarriesOverWhatHasNotChanged(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, loginOptions())
	spec := loginSpec("acme", idp)
	b := &bench{T: t, clock: c}
	cache := keys.New(keys.Options{Now: c.Now})
	t.Cleanup(cache.Close)
	fetched := func() int { discovery, _ := idp.Fetches(); return discovery }

	first := b.reloaded(cache, nil, spec)
	b.starts(first)
	once := fetched()
	if once == 0 {
		t.Fatal("want a fetch at the first login")
	}
	same := b.reloaded(cache, first, spec)
	first.CloseFor(same)
	b.starts(same)
	if fetched() != once {
		t.Errorf("want no fetch for an upstream that has not changed, got %d more", fetched()-once)
	}
	b.starts(first) // whoever began before ends well

	spec.ClientSecret = "another secret"
	changed := b.reloaded(cache, same, spec)
	same.CloseFor(changed)
	c.Add(2 * time.Hour)
	if up, _ := same.Login("acme"); up != nil {
		_, _ = up.Start(t.Context(), attempt()) // its discovery has ended: no fetch comes of it
	}
	if fetched() != once {
		t.Error("what was not handed on goes on")
	}
	b.starts(changed)
	if fetched() != once+1 {
		t.Errorf("want one fetch for an upstream that has changed, got %d", fetched()-once)
	}
	changed.Close()
}

// Keys of one file never serve for another, not even until it is first read.
func TestNewSet_AnotherKeyFileIsAnotherOrigin(t *testing.T) {
	c := newClock()
	idp, other := newIdP(t, c, upstreamtest.Options{}), newIdP(t, c, upstreamtest.Options{})
	dir := t.TempDir()
	for name, set := range map[string][]byte{"one.json": idp.JWKS(), "two.json": other.JWKS()} {
		if err := os.WriteFile(filepath.Join(dir, name), set, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spec := jwtSpec("acme", idp)
	spec.JWKSFile = filepath.Join(dir, "one.json")
	cache := keys.New(keys.Options{Now: c.Now})
	t.Cleanup(cache.Close)
	b := &bench{T: t, clock: c}
	b.set = b.reloaded(cache, nil, spec)
	token := idp.Sign(idp.Claims("person", spec.Audiences[0].Value))
	want := upstreams.Want{Purpose: upstreams.PurposeExchange, Now: c.Now()}
	if _, err := b.verify("acme", token, want); err != nil {
		t.Fatal(err)
	}
	spec.JWKSFile = filepath.Join(dir, "two.json")
	b.set = b.reloaded(cache, b.set, spec)
	if _, err := b.verify("acme", token, want); err == nil {
		t.Error("a key of the file before passes")
	}
}
