package upstreams_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

// between is longer than any pause that the key cache makes between fetches.
const between = 2 * time.Minute

func TestP27_WhatNeedsNoKeyIsJudgedFirst(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	idp.Down(true)
	b := newBench(t, c, oidcSpec("acme", idp, upstreams.Audience{Value: "gw"}))
	past := c.Now().Add(-time.Hour).Unix()
	for _, tc := range []struct {
		name   string
		want   upstreams.Want
		raw    string
		reason upstreams.Reason
	}{
		{"class", exchange, idp.Sign(idp.Claims("x", "gw"), upstreamtest.Typ("logout+jwt")), upstreams.ReasonClass},
		{"audience", exchange, idp.Sign(idp.Claims("x", "foreign")), upstreams.ReasonAudience},
		{"time", exchange, idp.Sign(with(idp.Claims("x", "gw"), "exp", past)), upstreams.ReasonTime},
		{"confirmation", exchange, idp.Sign(with(idp.Claims("x", "gw"), "cnf", map[string]any{})), upstreams.ReasonConfirmation},
		{"algorithm", exchange, idp.Sign(idp.Claims("x", "gw"), upstreamtest.Alg("HS256")), upstreams.ReasonAlgorithm},
		{"subject", exchange, idp.Sign(idp.Claims("", "gw")), upstreams.ReasonSubject},
		{"nonce", login, idp.Sign(idp.Claims("x", loginID)), upstreams.ReasonNonce},
		{"nothing but the keys", exchange, idp.Sign(idp.Claims("x", "gw")), upstreams.ReasonUnavailable},
	} {
		t.Run(tc.name, func(t *testing.T) { (&bench{t, c, b.set}).refuses("acme", tc.raw, tc.want, tc.reason) })
	}
	if d, j := idp.Fetches(); d != 1 || j != 0 {
		t.Errorf("want one attempt at discovery, for the last token, got %d, %d", d, j)
	}
}

func TestP27_UnknownKeyIsTheTokensFaultOnlyAfterAFetch(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	forged := idp.Sign(idp.Claims("x", audience), upstreamtest.Header("kid", "forged"))
	b.refuses("acme", forged, exchange, upstreams.ReasonUnknownKey)
	b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange)
	b.refuses("acme", forged, exchange, upstreams.ReasonUnknownKey) // the first unknown kid may fetch
	_, before := idp.Fetches()
	b.refuses("acme", forged, exchange, upstreams.ReasonUnavailable) // the next one within the minute may not
	if _, after := idp.Fetches(); after != before {
		t.Errorf("a second unknown kid fetched within the minute: %d, %d", before, after)
	}
	kid := idp.Rotate()
	c.Add(between)
	if id := b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange); id.KeyID != kid {
		t.Errorf("want the new key %s, got %s", kid, id.KeyID)
	}
}

func TestWithdrawnKeyStopsAtTheNextFetch(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	old := idp.KeyIDs()[0]
	stolen := func() string { return idp.Sign(idp.Claims("x", audience), upstreamtest.KeyID(old)) }
	b.accepts("acme", stolen(), exchange)
	idp.Rotate()
	idp.Withdraw(old)
	c.Add(between)
	b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange) // the new kid makes it fetch
	c.Add(between)
	b.refuses("acme", stolen(), exchange, upstreams.ReasonUnknownKey)
}

func TestP43_HostileKeySourcesAreUnavailable(t *testing.T) {
	for _, tc := range []struct {
		name   string
		knob   func(*upstreamtest.IdP)
		detail string // of readiness
	}{
		{"down", func(p *upstreamtest.IdP) { p.Down(true) }, "no keys yet: status"},
		{"closes connections", func(p *upstreamtest.IdP) { p.Refuse(true) }, "no keys yet: "},
		{"truncated", func(p *upstreamtest.IdP) { p.Truncate(true) }, "no keys yet: "},
		{"huge", func(p *upstreamtest.IdP) { p.Huge(true) }, "no keys yet: "},
		{"wrong content type", func(p *upstreamtest.IdP) { p.WrongContentType("text/html") }, "no keys yet: "},
		{"redirect to another host", func(p *upstreamtest.IdP) { p.Redirect("https://evil.example/jwks") }, "no keys yet: redirect"},
		{"discovery of another issuer", func(p *upstreamtest.IdP) { p.WrongIssuer("https://evil.example") }, "no keys yet: issuer"},
		{"discovery with a final slash", func(p *upstreamtest.IdP) { p.WrongIssuer(p.Issuer() + "/") }, "no keys yet: issuer"},
		{"keys over plain http", func(p *upstreamtest.IdP) { p.MoveJWKS("http://keys.example/jwks") }, "no keys yet: discovery"},
		{"keys in a file", func(p *upstreamtest.IdP) { p.MoveJWKS("file:///etc/passwd") }, "no keys yet: discovery"},
		{"keys at a private address", func(p *upstreamtest.IdP) { p.MoveJWKS("https://10.255.0.1/jwks") }, "no keys yet: "},
		{"keys nowhere", func(p *upstreamtest.IdP) { p.MoveJWKS(" ") }, "no keys yet: discovery"},
		{"P44: a set without keys", func(p *upstreamtest.IdP) { p.EmptySet(true) }, "no keys yet: key_set"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newClock()
			idp := newIdP(t, c, upstreamtest.Options{})
			tc.knob(idp)
			b := newBench(t, c, jwtSpec("acme", idp))
			b.refuses("acme", idp.Sign(idp.Claims("x", audience)), exchange, upstreams.ReasonUnavailable)
			ready := b.set.Ready()
			if len(ready) != 1 || ready[0].Name != "acme" || ready[0].OK || !strings.HasPrefix(ready[0].Detail, tc.detail) {
				t.Errorf("want %q, got %+v", tc.detail, ready)
			}
		})
	}
}

func TestP44_OddAndDuplicateKeysSpoilNothing(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{Algorithms: []string{"ES256", "RS256", "EdDSA"}})
	idp.OddKeys(true)
	idp.DuplicateKids(true)
	b := newBench(t, c, jwtSpec("acme", idp))
	for _, alg := range []string{"ES256", "RS256", "EdDSA"} {
		b.accepts("acme", idp.Sign(idp.Claims("x", audience), upstreamtest.Alg(alg)), exchange)
	}
}

func TestP44_LastGoodKeysServeThroughAnOutage(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	maxStale := time.Hour
	spec := jwtSpec("acme", idp)
	spec.MaxStale = &maxStale
	b := newBench(t, c, spec)
	b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange)
	idp.Down(true)
	c.Add(maxStale)
	b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange)
	c.Add(time.Second)
	b.refuses("acme", idp.Sign(idp.Claims("x", audience)), exchange, upstreams.ReasonUnavailable)
	idp.Down(false)
	c.Add(between)
	b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange)
}

func TestReadinessTellsOfEachUpstream(t *testing.T) {
	c := newClock()
	up, down := newIdP(t, c, upstreamtest.Options{}), newIdP(t, c, upstreamtest.Options{})
	down.Down(true)
	b := newBench(t, c, jwtSpec("up", up), jwtSpec("down", down))
	for _, r := range b.set.Ready() {
		if r.OK || r.Detail != "no keys yet" {
			t.Errorf("before any token: %+v", r)
		}
	}
	b.accepts("up", up.Sign(up.Claims("x", audience)), exchange)
	b.refuses("down", down.Sign(down.Claims("x", audience)), exchange, upstreams.ReasonUnavailable)
	ready := b.set.Ready()
	if !ready[0].OK || ready[0].Detail != "ok: 1 keys, confirmed 2027-01-15T08:00:00Z" || ready[1].OK {
		t.Errorf("after: %+v", ready)
	}
}

func TestKeysFromAFile(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{Issuer: "https://offline.example"})
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, idp.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := jwtSpec("acme", idp)
	spec.JWKSFile = path
	b := newBench(t, c, spec)
	b.accepts("acme", idp.Sign(idp.Claims("x", audience)), exchange)
	if d, j := idp.Fetches(); d+j != 0 {
		t.Error("the network was touched")
	}
}

func TestCAFileIsTrustedInPlaceOfTheSystem(t *testing.T) {
	c := &clock{now: time.Now()} // TLS has a clock of its own
	idp := newIdP(t, c, upstreamtest.Options{TLS: true, Path: "/realms/a"})
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, idp.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	trusting, blind := jwtSpec("trusting", idp), jwtSpec("blind", idp)
	trusting.CAFile, blind.Audiences[0].Value = path, "other"
	b := newBench(t, c, trusting, blind)
	b.accepts("trusting", idp.Sign(idp.Claims("x", audience)), exchange)
	b.refuses("blind", idp.Sign(idp.Claims("x", "other")), exchange, upstreams.ReasonUnavailable)
}

// guardedKeys serves the IdP's documents to bearers of token only, and remembers who came without.
type guardedKeys struct {
	idp   *upstreamtest.IdP
	token string
	mu    sync.Mutex
	seen  []string
}

func (g *guardedKeys) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.seen = append(g.seen, r.Header.Get("Authorization"))
	g.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+g.token {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = w.Write(g.idp.JWKS())
}

func TestP43_BearerTokenGoesToCredentialHostsOnly(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{Issuer: "https://kubernetes.default.svc"})
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte("cluster-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	guard := &guardedKeys{idp: idp, token: "cluster-token"}
	server := newServer(t, guard)
	spec := jwtSpec("cluster", idp)
	spec.JWKSURI, spec.AllowPrivate, spec.BearerTokenFile = server+"/openid/v1/jwks", []string{"127.0.0.1"}, path
	found := problems(upstreams.Options{Specs: []upstreams.Spec{spec}})
	if len(found) != 1 || found["upstreams[0].jwks_uri"] == "" {
		t.Fatalf("a host that is neither the issuer's nor in credential_hosts: %v", found)
	}
	spec.CredentialHosts = []string{strings.TrimPrefix(server, "http://")}
	b := newBench(t, c, spec)
	b.accepts("cluster", idp.Sign(idp.Claims("x", audience)), exchange)

	other := jwtSpec("discovered", idp) // keys elsewhere than at the issuer, by discovery: no credential goes there
	local := newIdP(t, c, upstreamtest.Options{})
	local.MoveJWKS(strings.Replace(server, "127.0.0.1", "localhost", 1) + "/jwks")
	other.Issuer, other.BearerTokenFile = local.Issuer(), path
	b = newBench(t, c, other)
	b.refuses("discovered", local.Sign(local.Claims("x", audience)), exchange, upstreams.ReasonUnavailable)
	guard.mu.Lock()
	defer guard.mu.Unlock()
	if len(guard.seen) != 2 || guard.seen[1] != "" {
		t.Errorf("want one request with and one without the credential, got %d", len(guard.seen))
	}
}

func TestP43_KeysOfAnHTTPSIssuerNeverComeOverHTTP(t *testing.T) {
	c := &clock{now: time.Now()} // TLS has a clock of its own
	idp := newIdP(t, c, upstreamtest.Options{TLS: true})
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, idp.CertPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := jwtSpec("acme", idp)
	spec.CAFile = path
	b := newBench(t, c, spec)
	plain := newServer(t, &guardedKeys{idp: idp})
	idp.MoveJWKS(plain + "/jwks")
	b.refuses("acme", idp.Sign(idp.Claims("x", audience)), exchange, upstreams.ReasonUnavailable)
	if got := b.set.Ready()[0].Detail; got != "no keys yet: discovery" {
		t.Errorf("got %q", got)
	}
}
