package upstreams_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/breaker"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/upstreamtest"
)

const (
	toOpen   = 5               // failures in a row
	coolDown = time.Minute     // longer than the first
	atOnce   = 5 * time.Second // far less than a login may last
)

// told are the changes of breakers.
type told struct {
	mu  sync.Mutex
	all []upstreams.BreakerChange
}

func (c *told) add(change upstreams.BreakerChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, change)
}

func (c *told) want(t *testing.T, want ...upstreams.BreakerChange) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.all, want) {
		t.Errorf("want breakers told as %v, got %v", want, c.all)
	}
}

// isolated is a visit at acme beside whatever else is configured, with what its breakers tell.
func isolated(t *testing.T, cache *keys.Cache, c *clock, before *upstreams.Set, told *told, specs ...upstreams.Spec) *upstreams.Set {
	t.Helper()
	return upstreams.NewSet(upstreams.Options{Specs: specs, OurIssuer: ourIssuer, Keys: cache, Now: c.Now, Breaker: told.add, Before: before}, func(path, format string, args ...any) {
		t.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
	})
}

func openAt(set *upstreams.Set, name string) (open []upstreams.Endpoint) {
	for _, b := range set.Breakers(name) {
		if b.State != breaker.Closed {
			open = append(open, b.Endpoint)
		}
	}
	return open
}

// A token endpoint that is dead costs its own logins and nothing else: they are told so at once, before anybody is sent away, while tokens under new
// keys of the same upstream and logins elsewhere go on; and when it is back, one login finds out.
func TestIsolation_DeadTokenEndpoint(t *testing.T) {
	c, changes := newClock(), &told{}
	acme, beta := newIdP(t, c, loginOptions()), newIdP(t, c, loginOptions())
	cache := keys.New(keys.Options{Now: c.Now})
	exchanging := loginSpec("acme", acme)
	exchanging.Audiences = []upstreams.Audience{{Value: audience}}
	set := isolated(t, cache, c, nil, changes, exchanging, loginSpec("beta", beta))
	t.Cleanup(func() { cache.Close(); set.Close() })
	b := &bench{T: t, clock: c, set: set}
	v := visitAt(t, b, acme)
	v.accepted()

	acme.Token(upstreamtest.Trouble{Status: http.StatusServiceUnavailable})
	for range toOpen {
		id, err := v.whole()
		wantRefusal(t, id, err, upstreams.ReasonUnavailable)
	}
	opened := upstreams.BreakerChange{Upstream: "acme", Endpoint: upstreams.EndpointToken, Open: true}
	changes.want(t, opened)
	asked := len(acme.Requests("/token"))
	_, err := v.up.Start(t.Context(), attempt())
	wantRefusal(t, upstreams.Identity{}, err, upstreams.ReasonUnavailable)
	if e, _ := errors.AsType[*upstreams.Error](err); e.RetryAfter <= 0 {
		t.Error("want to know when to try again")
	}
	if got := len(acme.Requests("/token")); got != asked {
		t.Errorf("want no call while it is open, got %d", got-asked)
	}
	for _, r := range set.Ready() {
		if heldBack := strings.Contains(r.Detail, "token endpoint is not asked until 20"); heldBack != (r.Name == "acme") || r.Name == "acme" && !r.OK {
			t.Errorf("%s: want readiness by keys, with what is not asked, got %v %q", r.Name, r.OK, r.Detail)
		}
	}

	acme.Rotate()
	c.Add(between)
	b.accepts("acme", acme.Sign(acme.Claims("x", audience)), exchange)
	other, _ := set.Login("beta")
	if _, err := other.Start(t.Context(), attempt()); err != nil {
		t.Errorf("want logins elsewhere untouched, got %v", err)
	}

	acme.Token(upstreamtest.Trouble{})
	c.Add(coolDown)
	v.accepted()
	if open := openAt(set, "acme"); open != nil {
		t.Errorf("want it closed by a probe, got %v", open)
	}
	changes.want(t, opened, upstreams.BreakerChange{Upstream: "acme", Endpoint: upstreams.EndpointToken})
}

// Codes that are refused, whoever brings them, close nothing.
func TestIsolation_RefusedCodesAreNoFailure(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	v.idp.Token(upstreamtest.Trouble{Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`})
	for range 4 * toOpen {
		id, err := v.whole()
		wantRefusal(t, id, err, upstreams.ReasonRefused)
	}
	if open := openAt(v.set, "acme"); open != nil {
		t.Errorf("want none open, got %v", open)
	}
}

// Userinfo that is dead is not the token endpoint's fault, and a login that would end there is not begun.
func TestIsolation_DeadUserInfo(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	v.idp.Userinfo(upstreamtest.Trouble{Status: http.StatusBadGateway})
	for range toOpen {
		id, err := v.whole()
		wantRefusal(t, id, err, upstreams.ReasonUnavailable)
	}
	if open := openAt(v.set, "acme"); !slices.Equal(open, []upstreams.Endpoint{upstreams.EndpointUserInfo}) {
		t.Errorf("want userinfo open, got %v", open)
	}
	_, err := v.up.Start(t.Context(), attempt())
	wantRefusal(t, upstreams.Identity{}, err, upstreams.ReasonUnavailable)
}

// Whoever brings opaque tokens finds a dead introspection endpoint held back; tokens that it refuses, or stumbles over, hold nothing back.
func TestIsolation_Introspection(t *testing.T) {
	for _, tt := range []struct {
		status int
		open   bool
	}{{http.StatusServiceUnavailable, true}, {http.StatusInternalServerError, false}, {http.StatusUnauthorized, false}} {
		t.Run(http.StatusText(tt.status), func(t *testing.T) {
			b, o, in := newOracle(t, nil)
			o.status = tt.status
			const asks = 4 * toOpen
			for i := range asks {
				_, err := in.Introspect(t.Context(), fmt.Sprint("token-", i), exchange)
				wantReason(t, err, upstreams.ReasonUnavailable)
			}
			if open := openAt(b.set, "acme"); (len(open) > 0) != tt.open || (int(o.asked.Load()) < asks) != tt.open {
				t.Errorf("want open %v, got %v after %d of %d", tt.open, open, o.asked.Load(), asks)
			}
		})
	}
}

// Calls that hang take the places of their endpoint and no others: userinfo of acme hangs, with as many people waiting as may be, and its keys are fetched.
func TestIsolation_HangingCallsStarveNoKeys(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, loginOptions())
	spec := loginSpec("acme", idp)
	spec.Audiences = []upstreams.Audience{{Value: audience}}
	b := newBench(t, c, spec)
	v := visitAt(t, b, idp)
	const people = 8 // as many as may call, and as many connections as a host gets
	responses := make([]func() error, people)
	for i := range responses {
		response := v.answered(attempt())
		responses[i] = func() error { _, err := v.up.Finish(t.Context(), attempt(), response); return err }
	}
	release := idp.SlowToken()
	var waiting sync.WaitGroup
	for _, finish := range responses {
		waiting.Go(func() { _ = finish() })
	}
	if err := idp.WaitRequests(t.Context(), "/token", people); err != nil {
		t.Fatal(err)
	}
	idp.Rotate()
	began := time.Now()
	b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange)
	if took := time.Since(began); took > atOnce {
		t.Errorf("want keys at once, got them after %v", took)
	}
	release()
	waiting.Wait()
}

// What breakers know goes on over a reload that leaves the upstream alone, and is told to be over when it goes.
func TestIsolation_BreakersOverAReload(t *testing.T) {
	c, changes := newClock(), &told{}
	idp := newIdP(t, c, loginOptions())
	cache := keys.New(keys.Options{Now: c.Now})
	spec := loginSpec("acme", idp)
	first := isolated(t, cache, c, nil, changes, spec)
	t.Cleanup(cache.Close)
	v := visitAt(t, &bench{T: t, clock: c, set: first}, idp)
	idp.Token(upstreamtest.Trouble{Status: http.StatusServiceUnavailable})
	for range toOpen {
		_, _ = v.whole()
	}
	second := isolated(t, cache, c, first, changes, spec)
	first.CloseFor(second)
	if open := openAt(second, "acme"); len(open) != 1 {
		t.Errorf("want the breaker as it was, got %v", open)
	}
	opened := upstreams.BreakerChange{Upstream: "acme", Endpoint: upstreams.EndpointToken, Open: true}
	changes.want(t, opened)
	third := isolated(t, cache, c, second, changes)
	second.CloseFor(third)
	changes.want(t, opened, upstreams.BreakerChange{Upstream: "acme", Endpoint: upstreams.EndpointToken})
}
