package rp_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/upstreamtest"
)

const maxStale = 6 * time.Hour

// clock is the time of a test, moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type fixture struct {
	*testing.T
	*rp.Discovery
	clock *clock
	idp   *upstreamtest.IdP
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c := &clock{now: time.Unix(1_800_000_000, 0)}
	idp := upstreamtest.Must(upstreamtest.Options{Now: c.Now})
	client, err := outbound.New(outbound.Options{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	d := rp.NewDiscovery(rp.DiscoveryOptions{Issuer: idp.Issuer(), HTTP: client, MaxStale: maxStale, Now: c.Now})
	t.Cleanup(func() { d.Close(); client.Close(); idp.Close() })
	return &fixture{t, d, c, idp}
}

func (f *fixture) fetched(want int) {
	f.Helper()
	if got, _ := f.idp.Fetches(); got != want {
		f.Errorf("want %d fetches in all, got %d", want, got)
	}
}

func (f *fixture) has() {
	f.Helper()
	if doc, err := f.Document(f.Context()); err != nil || doc.TokenEndpoint != f.idp.Issuer()+"/token" {
		f.Fatalf("got %+v, %v", doc, err)
	}
}

func (f *fixture) hasNot() *rp.Error {
	f.Helper()
	_, err := f.Document(f.Context())
	unavailable, ok := errors.AsType[*rp.Error](err)
	if !ok || unavailable.Kind != rp.KindUnavailable {
		f.Fatalf("want unavailable, got %v", err)
	}
	return unavailable
}

func TestDocumentIsFetchedOnceForAll(t *testing.T) {
	f := newFixture(t)
	release := f.idp.Slow()
	var all sync.WaitGroup
	for range 10 {
		all.Go(f.has)
	}
	if err := f.idp.WaitFetches(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Document(ctx); !errors.Is(err, context.Canceled) { // who leaves does not take the others along
		t.Errorf("got %v", err)
	}
	release()
	all.Wait()
	f.has()
	f.fetched(1)
}

func TestFirstCallerWhoLeavesEndsNothing(t *testing.T) {
	f := newFixture(t)
	release := f.idp.Slow()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_ = f.idp.WaitFetches(t.Context(), 1)
		cancel()
	}()
	if _, err := f.Document(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	release()
	f.has()
	f.fetched(1)
}

func TestDocumentServesThroughAnOutage(t *testing.T) {
	f := newFixture(t)
	f.has()
	f.idp.Down(true)
	f.clock.Add(time.Hour)
	f.has() // at once, and asks for a newer one meanwhile
	if err := f.idp.WaitFetches(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	f.Close() // waits for it
	f.has()
	f.fetched(2)
	f.clock.Add(maxStale)
	f.hasNot()
	if _, known := f.Known(); known {
		t.Error("a document that is too old is known")
	}
}

func TestFailuresAreRememberedForAWhile(t *testing.T) {
	f := newFixture(t)
	f.idp.Down(true)
	f.hasNot()
	if e := f.hasNot(); e.RetryAfter != 5*time.Second {
		t.Errorf("got %v", e.RetryAfter)
	}
	f.fetched(1)
	f.clock.Add(5 * time.Second)
	f.hasNot()
	if e := f.hasNot(); e.RetryAfter != 10*time.Second {
		t.Errorf("want it doubled, got %v", e.RetryAfter)
	}
	f.fetched(2)
	f.idp.Down(false)
	f.clock.Add(10 * time.Second)
	f.has()
	f.fetched(3)
}

func TestFetchIsForTheNextMinuteToo(t *testing.T) {
	f := newFixture(t)
	fetch := func() {
		t.Helper()
		if doc, err := f.Fetch(t.Context()); err != nil || doc.UserInfoEndpoint != f.idp.Issuer()+"/userinfo" {
			t.Fatalf("got %+v, %v", doc, err)
		}
	}
	fetch()
	fetch()
	f.has()
	f.fetched(1)
	f.clock.Add(time.Minute)
	fetch()
	f.fetched(2)
	f.idp.Down(true)
	f.clock.Add(time.Minute)
	for range 2 { // it keeps no schedule: its caller does
		if _, err := f.Fetch(t.Context()); err == nil {
			t.Error("want an error")
		}
	}
	f.has()
	f.fetched(4)
}

func TestFetchJoinsOneUnderWay(t *testing.T) {
	f := newFixture(t)
	release := f.idp.Slow()
	var all sync.WaitGroup
	all.Go(f.has)
	if err := f.idp.WaitFetches(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	all.Go(func() {
		if _, err := f.Fetch(t.Context()); err != nil {
			t.Error(err)
		}
	})
	release()
	all.Wait()
	f.fetched(1)
}

func TestCloseEndsAFetchUnderWay(t *testing.T) {
	f := newFixture(t)
	f.idp.Slow()
	var waiting sync.WaitGroup
	waiting.Go(func() { f.hasNot() })
	if err := f.idp.WaitFetches(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	f.Close()
	waiting.Wait()
	f.clock.Add(time.Hour)
	f.hasNot()
	f.fetched(1)
}

func TestIssuerThatChangesIsNotFollowed(t *testing.T) {
	f := newFixture(t)
	f.has()
	f.idp.WrongIssuer("https://evil.example")
	f.idp.AlterDiscovery(upstreamtest.With("token_endpoint", "https://evil.example/token"))
	f.clock.Add(time.Hour)
	if _, err := f.Fetch(t.Context()); err == nil {
		t.Error("want an error")
	}
	f.has()
}

func TestOddMembersSpoilNothingElse(t *testing.T) {
	f := newFixture(t)
	f.idp.AlterDiscovery(func(document map[string]any) {
		for _, name := range []string{"userinfo_endpoint", "end_session_endpoint", "token_endpoint_auth_signing_alg_values_supported"} {
			document[name] = 5
		}
		document["authorization_response_iss_parameter_supported"] = "true"
	})
	f.has()
	if doc, _ := f.Known(); doc.UserInfoEndpoint != "" || doc.ResponseIssuer || doc.AssertionAlgorithms != nil {
		t.Errorf("got %+v", doc)
	}
}

func TestSameEndpoint(t *testing.T) {
	const one = "https://idp.example/token"
	for other, want := range map[string]bool{
		one: true, "https://IDP.example/token": true, "https://idp.example:443/token": true,
		"https://idp.example/Token": false, "https://idp.example:8443/token": false, "http://idp.example/token": false,
		"https://idp.example/token?tenant=a": false, "https://idp.example/token/": false, "": false,
	} {
		if rp.SameEndpoint(one, other) != want || rp.SameEndpoint(other, one) != want {
			t.Errorf("%q: want %v", other, want)
		}
	}
	if rp.SameEndpoint("", "") {
		t.Error("none is one with none")
	}
}
