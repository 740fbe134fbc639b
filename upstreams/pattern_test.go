package upstreams_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/upstreamtest"
)

// street is one server whose tenants are identity providers of their own, each under a path: what an issuer pattern is for.
type street struct {
	url string

	mu      sync.Mutex
	tenants map[string]*upstreamtest.IdP
	asked   int
}

func newStreet(t *testing.T, c *clock, names ...string) *street {
	t.Helper()
	s := &street{tenants: map[string]*upstreamtest.IdP{}}
	s.url = newServer(t, s)
	for _, name := range names {
		idp := newIdP(t, c, upstreamtest.Options{Path: "/" + name, Issuer: s.issuer(name)}) // all of one Name: their kids are the same
		idp.MoveJWKS(s.issuer(name) + "/jwks")
		s.mu.Lock()
		s.tenants[name] = idp
		s.mu.Unlock()
	}
	return s
}

func (s *street) issuer(name string) string { return s.url + "/" + name }

func (s *street) tenant(name string) *upstreamtest.IdP {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenants[name]
}

func (s *street) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *street) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	s.mu.Lock()
	s.asked++
	idp := s.tenants[name]
	s.mu.Unlock()
	if idp == nil {
		http.NotFound(w, r)
		return
	}
	idp.ServeHTTP(w, r)
}

func (s *street) spec() upstreams.Spec {
	return upstreams.Spec{Name: "street", Kind: "jwt", IssuerPattern: s.url + "/*", Audiences: []upstreams.Audience{{Value: audience}}}
}

// token is one of a tenant.
func (s *street) token(name string) string {
	idp := s.tenant(name)
	return idp.Sign(idp.Claims("sub-1", audience))
}

func TestP28_IssuersAreMetAsTheirTokensCome(t *testing.T) {
	c := newClock()
	s := newStreet(t, c, "a", "b")
	b := newBench(t, c, s.spec())
	if n := s.requests(); n != 0 {
		t.Errorf("%d requests before the first token", n)
	}
	one, two := b.accepts("street", s.token("a"), exchange), b.accepts("street", s.token("b"), exchange)
	if one.Issuer != s.issuer("a") || one.Subject != two.Subject || one.KeyID != two.KeyID {
		t.Fatalf("want the same subject and kid of two issuers, got %+v and %+v", one, two)
	}
	if one.BrokerSubject == two.BrokerSubject || strings.Count(one.BrokerSubject, "|") != 2 || !strings.HasPrefix(one.BrokerSubject, "street|") {
		t.Errorf("subjects %s and %s", one.BrokerSubject, two.BrokerSubject) // P2
	}
	met, many := b.set.Met("street")
	if !many || len(met) != 2 || met[0].Issuer != s.issuer("a") || met[0].Verified.IsZero() {
		t.Errorf("met %+v", met)
	}
	if ready := b.set.Ready(); !ready[0].OK || !strings.Contains(ready[0].Detail, "2") {
		t.Errorf("ready %+v", ready)
	}
}

func TestP10_TenantsThatShareAKidShareNoKey(t *testing.T) {
	c := newClock()
	s := newStreet(t, c, "a", "b")
	b := newBench(t, c, s.spec())
	b.accepts("street", s.token("a"), exchange)
	b.accepts("street", s.token("b"), exchange)
	forged := s.tenant("a").Sign(with(s.tenant("a").Claims("sub-1", audience), "iss", s.issuer("b")))
	b.refuses("street", forged, exchange, upstreams.ReasonSignature)
}

func TestP28_WhatNeedsNoKeyMeetsNobody(t *testing.T) {
	c := newClock()
	s := newStreet(t, c, "a")
	b := newBench(t, c, s.spec())
	idp := s.tenant("a")
	b.refuses("street", idp.Sign(idp.Claims("x", "foreign")), exchange, upstreams.ReasonAudience)
	b.refuses("street", idp.Sign(with(idp.Claims("x", audience), "exp", c.Now().Add(-time.Hour).Unix())), exchange, upstreams.ReasonTime)
	for _, iss := range []string{s.url + "/a/b", s.url + "/", s.url, s.url + "/*", s.url + "/a?x", "http://evil.example/a"} {
		b.refuses("street", idp.Sign(with(idp.Claims("x", audience), "iss", iss)), exchange, upstreams.ReasonIssuer)
	}
	if n := s.requests(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestP27_AnIssuerThatIsNotThereIsNotJudged(t *testing.T) {
	c := newClock()
	s := newStreet(t, c, "a")
	b := newBench(t, c, s.spec())
	idp := s.tenant("a")
	for i := range 300 {
		b.refuses("street", idp.Sign(with(idp.Claims("x", audience), "iss", s.issuer(fmt.Sprint("none-", i)))), exchange, upstreams.ReasonUnavailable)
	}
	if n := s.requests(); n != 10 {
		t.Errorf("%d requests", n)
	}
	c.Add(time.Minute)
	b.accepts("street", s.token("a"), exchange)
}

func TestP28_DiscoveryMustBeTheIssuersOwn(t *testing.T) {
	c := newClock()
	s := newStreet(t, c, "a", "b", "c", "d")
	b := newBench(t, c, s.spec())
	s.tenant("a").WrongIssuer(s.issuer("b"))
	s.tenant("b").MoveJWKS(s.tenant("b").JWKSURI())                                               // good keys, on another port
	s.tenant("c").MoveJWKS(strings.Replace(s.issuer("c"), "127.0.0.1", "localhost", 1) + "/jwks") // another name of it
	s.tenant("d").Redirect(s.tenant("d").DiscoveryURL())                                          // another port
	for _, name := range []string{"a", "b", "c", "d"} {
		b.refuses("street", s.token(name), exchange, upstreams.ReasonUnavailable)
	}
	if met, _ := b.set.Met("street"); len(met) != 0 {
		t.Errorf("met %+v", met)
	}
}

func TestP28_OnlyListedIssuersCount(t *testing.T) {
	c := newClock()
	s := newStreet(t, c, "a", "b")
	spec := s.spec()
	spec.Issuers = []string{s.issuer("a")}
	b := newBench(t, c, spec)
	b.accepts("street", s.token("a"), exchange)
	b.refuses("street", s.token("b"), exchange, upstreams.ReasonIssuer)
	if _, found := b.set.Select(s.issuer("b"), []string{audience}); found {
		t.Error("an issuer that is not listed is selected")
	}
}

// TestP10_PatternsAreSelectedBesideExactIssuers: what has the same issuer is told apart by audience, and what fits two belongs to none.
func TestP10_PatternsAreSelectedBesideExactIssuers(t *testing.T) {
	c := newClock()
	s := newStreet(t, c, "a")
	exact := upstreams.Spec{Name: "exact", Kind: "jwt", Issuer: s.issuer("a"), JWKSURI: s.issuer("a") + "/jwks", Audiences: []upstreams.Audience{{Value: "exact"}}}
	b := newBench(t, c, s.spec(), exact)
	for _, tc := range []struct {
		iss  string
		aud  []string
		want string
	}{
		{s.issuer("a"), []string{audience}, "street"},
		{s.issuer("a"), []string{"exact"}, "exact"},
		{s.issuer("a"), []string{"exact", audience}, ""},
		{s.issuer("b"), []string{"exact"}, ""},
		{s.issuer("b"), []string{audience}, "street"},
		{s.url + "/a/b", []string{audience}, ""},
	} {
		got := ""
		if up, ok := b.set.Select(tc.iss, tc.aud); ok {
			got = up.Name()
		}
		if got != tc.want {
			t.Errorf("%s %v: want %q, got %q", tc.iss, tc.aud, tc.want, got)
		}
	}
}

// TestP28_SelectedPatternsLearn: the upstream that Select gives counts what it verifies.
func TestP28_SelectedPatternsLearn(t *testing.T) {
	c := newClock()
	s := newStreet(t, c, "a")
	b := newBench(t, c, s.spec())
	token, err := jose.Parse(s.token("a"))
	if err != nil {
		t.Fatal(err)
	}
	up, found := b.set.Select(token.UnverifiedIssuer(), token.UnverifiedAudience())
	if !found {
		t.Fatal("not selected")
	}
	if _, err := up.Verify(t.Context(), token, exchange); err != nil {
		t.Fatal(err)
	}
	if met, _ := b.set.Met("street"); len(met) != 1 || met[0].Verified.IsZero() {
		t.Errorf("met %+v", met)
	}
}

func TestP28_PatternsHoldNoCredential(t *testing.T) {
	spec := upstreams.Spec{Name: "a", Kind: "jwt", IssuerPattern: "https://*.idp.example", BearerTokenFile: "/token", Audiences: []upstreams.Audience{{Value: "x"}}}
	if found := problems(upstreams.Options{Specs: []upstreams.Spec{spec}}); found["upstreams[0].bearer_token_file"] == "" {
		t.Errorf("got %v", found)
	}
}

func TestP28_NeverForLogin(t *testing.T) {
	c := newClock()
	s := newStreet(t, c, "a")
	b := newBench(t, c, s.spec())
	if _, is := b.set.Login("street"); is {
		t.Error("people can log in at a pattern")
	}
	idp := s.tenant("a")
	b.refuses("street", idp.Sign(with(idp.Claims("x", audience), "nonce", nonce)), login, upstreams.ReasonPurpose)
	for _, preset := range []string{"", "entra-multitenant"} {
		spec := upstreams.Spec{Name: "a", Kind: "oidc", Preset: preset, ClientID: "c", ClientSecret: "s"}
		if preset == "" {
			spec.IssuerPattern = "https://idp.example/*"
		}
		if found := problems(upstreams.Options{Specs: []upstreams.Spec{spec}}); len(found) == 0 {
			t.Errorf("preset %q: a pattern of kind oidc loads", preset)
		}
	}
}

// TestP10_KeysBoundToAnIssuerServeItAlone: Microsoft Entra says with each key whose it is, by the issuer or by a template of it.
func TestP10_KeysBoundToAnIssuerServeItAlone(t *testing.T) {
	const own, other = "https://login.example/a/v2.0", "https://login.example/b/v2.0"
	for bound, want := range map[string]bool{
		"": true, own: true, other: false, "https://login.example/{tenantid}/v2.0": true, "https://login.example/{tenantid}": false,
		"https://evil.example/{tenantid}/v2.0": false, "{tenantid}": false, "https://login.example/{tenantid}/v1.0": false, "https://{tenantid}/v2.0": false,
	} {
		if got := (jose.Key{ID: "k", Issuer: bound}).Serves("k", own); got != want {
			t.Errorf("%q: want %v, got %v", bound, want, got)
		}
	}
	if (jose.Key{ID: "k"}).Serves("other", own) {
		t.Error("a key of another kid serves")
	}
}

// TestP28_MetIssuersOutliveAReloadThatDoesNotConcernThem: and where it does, what the former configuration leaves behind harms the next one's in nothing.
func TestP28_MetIssuersOutliveAReloadThatDoesNotConcernThem(t *testing.T) {
	c := newClock()
	s := newStreet(t, c, "a")
	cache := keys.New(keys.Options{Now: c.Now})
	defer cache.Close()
	load := func(before *upstreams.Set, spec upstreams.Spec) *bench {
		set := upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{spec}, OurIssuer: ourIssuer, Keys: cache, Now: c.Now, Before: before},
			func(path, format string, args ...any) { t.Errorf("%s: %s", path, fmt.Sprintf(format, args...)) })
		return &bench{t, c, set}
	}
	first := load(nil, s.spec())
	first.accepts("street", s.token("a"), exchange)
	asked := s.requests()
	same := load(first.set, s.spec())
	same.accepts("street", s.token("a"), exchange)
	if met, _ := same.set.Met("street"); len(met) != 1 || s.requests() != asked {
		t.Errorf("met %+v, %d requests more", met, s.requests()-asked)
	}
	first.set.CloseFor(same.set)
	same.accepts("street", s.token("a"), exchange)
	spec := s.spec()
	spec.Algorithms, spec.Audiences = []string{"ES256"}, append(spec.Audiences, upstreams.Audience{Value: "more"})
	more := load(same.set, spec)
	same.set.CloseFor(more.set)
	more.accepts("street", s.token("a"), exchange)
	if s.requests() != asked {
		t.Error("an issuer is met again for what its keys have nothing to do with")
	}
	spec.AllowPrivate = []string{"idp.example"}
	other := load(more.set, spec)
	other.accepts("street", s.token("a"), exchange)
	more.set.CloseFor(other.set)
	asked = s.requests()
	other.accepts("street", s.token("a"), exchange)
	if s.requests() != asked {
		t.Error("the former configuration took the next one's keys with it")
	}
	other.set.Close()
}
