package upstreams_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/upstreamtest"
)

func TestP43_AJWKSThatMovesIsFollowed(t *testing.T) {
	c := newClock()
	idp, other := newIdP(t, c, upstreamtest.Options{}), newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange)
	first := other.KeyIDs()[0]
	other.Rotate() // a kid of its own
	other.Withdraw(first)
	idp.MoveJWKS(other.Issuer() + "/jwks")
	c.Add(between)
	b.accepts("acme", other.Sign(idp.Claims("x", audience)), exchange)
	c.Add(between)
	b.refuses("acme", idp.Sign(idp.Claims("x", audience)), exchange, upstreams.ReasonUnknownKey) // the former place serves nothing any more
}

func TestP43_AnIssuerThatChangesIsRefusedAndTheLastGoodKept(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	var mu sync.Mutex
	var told []keys.AlarmChange
	cache := keys.New(keys.Options{Now: c.Now, Alarm: func(a keys.AlarmChange) { mu.Lock(); defer mu.Unlock(); told = append(told, a) }})
	set := upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{jwtSpec("acme", idp)}, OurIssuer: ourIssuer, Keys: cache, Now: c.Now}, func(path, format string, _ ...any) {
		t.Errorf("%s: %s", path, format)
	})
	t.Cleanup(func() { cache.Close(); set.Close() })
	b := &bench{t, c, set}
	old := idp.KeyIDs()[0]
	b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange)
	idp.WrongIssuer("https://evil.example")
	idp.MoveJWKS("https://evil.example/jwks") // must not be followed
	idp.Rotate()
	idp.Withdraw(old)
	c.Add(between)
	if err := cache.Refresh(t.Context(), "acme"); err != nil {
		t.Fatalf("the keys at the last good place: %v", err)
	}
	b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange)
	got, err := cache.Inspect(t.Context(), "acme")
	if err != nil || got.Warning != "issuer" || len(got.Set) != 1 || got.Set[0].KeyID == old {
		t.Errorf("%+v, %v", got, err)
	}
	idp.WrongIssuer("")
	idp.MoveJWKS("")
	c.Add(between)
	if err := cache.Refresh(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if len(told) != 2 || told[0] != (keys.AlarmChange{Upstream: "acme", Alarm: keys.AlarmIssuer, Raised: true}) || told[1] != (keys.AlarmChange{Upstream: "acme", Alarm: keys.AlarmIssuer}) {
		t.Errorf("told %+v", told)
	}
}

// tagged answers 304 to who has what it serves.
type tagged struct {
	mu        sync.Mutex
	tag, body string
	full, not int
}

func (s *tagged) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("ETag", s.tag)
	if r.Header.Get("If-None-Match") == s.tag {
		s.not++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	s.full++
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(s.body))
}

func TestP44_AnUnchangedKeySetIsConfirmedByItsTag(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	res, err := http.Get(idp.Issuer() + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	var set json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	served := &tagged{tag: `"v1"`, body: string(set)}
	server := httptest.NewServer(served)
	t.Cleanup(server.Close)
	spec := jwtSpec("acme", idp)
	spec.JWKSURI = server.URL
	cache := keys.New(keys.Options{Now: c.Now})
	s := upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{spec}, OurIssuer: ourIssuer, Keys: cache, Now: c.Now}, func(path, format string, _ ...any) { t.Errorf("%s: %s", path, format) })
	t.Cleanup(func() { cache.Close(); s.Close() })
	for range 3 {
		if err := cache.Refresh(t.Context(), "acme"); err != nil {
			t.Fatal(err)
		}
		if got := cache.Status("acme"); got.State != keys.StateOK || !got.Confirmed.Equal(c.Now()) || got.Keys != 1 {
			t.Errorf("%+v", got)
		}
		c.Add(time.Hour)
	}
	if served.full != 1 || served.not != 2 {
		t.Errorf("%d whole, %d confirmed", served.full, served.not)
	}
	served.mu.Lock()
	served.tag, served.body = `"v2"`, `{"keys":[]}`
	served.mu.Unlock()
	if err := cache.Refresh(t.Context(), "acme"); err == nil {
		t.Error("an empty set passed")
	}
	served.mu.Lock()
	served.body = string(set) // under the tag of the empty one: what is confirmed is judged again
	served.mu.Unlock()
	if err := cache.Refresh(t.Context(), "acme"); err == nil {
		t.Error("a confirmed empty set passed")
	}
}
