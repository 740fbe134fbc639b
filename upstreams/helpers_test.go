package upstreams_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/upstreamtest"
)

const (
	ourIssuer = "https://login.example.com"
	audience  = "https://login.example.com"
	loginID   = "fedbroker"
	nonce     = "n-0S6_WzA2Mj"
)

// clock is the time of a test, moved by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

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

// bench is some identity providers and the set that trusts them.
type bench struct {
	*testing.T
	clock *clock
	set   *upstreams.Set
}

func newIdP(t *testing.T, c *clock, o upstreamtest.Options) *upstreamtest.IdP {
	t.Helper()
	o.Now = c.Now
	idp := upstreamtest.Must(o)
	t.Cleanup(idp.Close)
	return idp
}

func newBench(t *testing.T, c *clock, specs ...upstreams.Spec) *bench {
	t.Helper()
	cache := keys.New(keys.Options{Now: c.Now})
	set := upstreams.NewSet(upstreams.Options{Specs: specs, OurIssuer: ourIssuer, Keys: cache, Now: c.Now}, func(path, format string, args ...any) {
		t.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
	})
	t.Cleanup(func() { cache.Close(); set.Close() })
	return &bench{T: t, clock: c, set: set}
}

// verify runs a token through the upstream of that name.
func (b *bench) verify(name, raw string, want upstreams.Want) (upstreams.Identity, error) {
	b.Helper()
	token, err := jose.Parse(raw)
	if err != nil {
		b.Fatalf("parse: %v", err)
	}
	upstream, ok := b.set.ByName(name)
	if !ok {
		b.Fatalf("no upstream %s", name)
	}
	return upstream.Verify(context.Background(), token, want)
}

// accepts wants the token to pass.
func (b *bench) accepts(name, raw string, want upstreams.Want) upstreams.Identity {
	b.Helper()
	id, err := b.verify(name, raw, want)
	if err != nil {
		b.Fatalf("want an identity, got %v", err)
	}
	return id
}

// refuses wants the token to fail for that reason and no other.
func (b *bench) refuses(name, raw string, want upstreams.Want, reason upstreams.Reason) {
	b.Helper()
	id, err := b.verify(name, raw, want)
	wantReason(b.T, err, reason)
	if id.Subject != "" || id.Claims != nil {
		b.Errorf("want no identity beside an error, got %+v", id)
	}
}

func wantReason(t *testing.T, err error, reason upstreams.Reason) {
	t.Helper()
	refused, ok := errors.AsType[*upstreams.Error](err)
	if !ok || refused.Reason != reason {
		t.Fatalf("want reason %s, got %v", reason, err)
	}
	unavailable := reason == upstreams.ReasonUnavailable
	if errors.Is(err, upstreams.ErrUnavailable) != unavailable || errors.Is(err, upstreams.ErrInvalid) == unavailable {
		t.Errorf("reason %s: wrong sentinel in %v", reason, err)
	}
}

func jwtSpec(name string, idp *upstreamtest.IdP) upstreams.Spec {
	return upstreams.Spec{Name: name, Kind: "jwt", Issuer: idp.Issuer(), Audiences: []upstreams.Audience{{Value: audience}}}
}

func oidcSpec(name string, idp *upstreamtest.IdP, audiences ...upstreams.Audience) upstreams.Spec {
	return upstreams.Spec{Name: name, Kind: "oidc", Issuer: idp.Issuer(), ClientID: loginID, ClientSecret: "s3cret", Audiences: audiences}
}

var (
	exchange = upstreams.Want{Purpose: upstreams.PurposeExchange}
	login    = upstreams.Want{Purpose: upstreams.PurposeLogin, Nonce: nonce}
)

// problems judges a configuration and returns what is reported, by path.
func problems(o upstreams.Options) map[string]string {
	found := map[string]string{}
	if o.OurIssuer == "" {
		o.OurIssuer = ourIssuer
	}
	upstreams.NewSet(o, func(path, format string, args ...any) { found[path] += fmt.Sprintf(format, args...) + "\n" })
	return found
}

func with(claims map[string]any, changes ...any) map[string]any {
	for i := 0; i < len(changes); i += 2 {
		name := changes[i].(string)
		claims[name] = changes[i+1]
		if changes[i+1] == nil {
			delete(claims, name)
		}
	}
	return claims
}

// newServer serves h on loopback and returns its address as URL.
func newServer(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}
