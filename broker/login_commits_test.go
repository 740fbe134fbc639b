package broker_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/login"
	"fedbroker/broker/oauth"
	"fedbroker/broker/operator"
	"fedbroker/broker/userinfo"
	"fedbroker/store"
	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

// countedEngine counts the commits that it is asked for.
type countedEngine struct {
	store.Engine
	commits atomic.Int64
}

func (e *countedEngine) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	e.commits.Add(1)
	return e.Engine.Commit(ctx, ops...)
}

const (
	appVerifier     = "a-verifier-of-43-characters-or-more-0123456789"
	secretAtTheIdP  = "the-secret-at-acme"
	callbackAtIdP   = issuer + "/callback/acme"
	scopesOfLogin   = "openid profile email"
	scopesOfOffline = scopesOfLogin + " offline_access"
)

// signInConfig is loginConfig with people who sign in at acme, and idTokenAlg for the app's ID tokens.
func signInConfig(acme, idTokenAlg string) broker.Config {
	c := loginConfig()
	c.Upstreams = c.Upstreams[:1]
	c.Upstreams[0].Spec = upstreams.Spec{Name: "acme", Kind: "oidc", Issuer: acme, ClientID: "fedbroker", ClientSecret: secretAtTheIdP}
	c.Exchange = nil
	for i := range c.Clients {
		if app := &c.Clients[i]; app.ID == "wiki" {
			app.Scopes, app.PKCE, app.IDTokenAlg = append(app.Scopes, "email"), "required", idTokenAlg
		}
	}
	return c
}

// asking is an authorization request of the app, in a browser that has this session or none.
func asking(scope, session string) login.Request {
	challenge := sha256.Sum256([]byte(appVerifier))
	return login.Request{
		DecisionID: "D", Peer: netip.MustParseAddr("192.0.2.1"), Browser: login.Browser{Session: session},
		ClientID: "wiki", RedirectURI: wikiCallback, ResponseType: "code", Scope: scope, State: "s", Nonce: "n",
		CodeChallenge: base64.RawURLEncoding.EncodeToString(challenge[:]), CodeChallengeMethod: "S256",
	}
}

// returning is the IdP's answer in the browser that was sent there by a.
func returning(a login.Answer, answer url.Values, session string) login.Callback {
	return login.Callback{
		DecisionID: "D", Peer: netip.MustParseAddr("192.0.2.1"), Upstream: "acme", Params: answer,
		Browser: login.Browser{Session: session, Attempts: []login.Sealed{{ID: a.Attempt.ID, Value: a.Attempt.Value}}},
	}
}

// codeOf is the code that the app is answered with; "" if it is none.
func codeOf(a login.Answer) string {
	if a.Reply != nil {
		for _, p := range a.Reply.Params {
			if p[0] == "code" {
				return p[1]
			}
		}
	}
	return ""
}

func redeeming(code string) *oauth.TokenRequest {
	return byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback, "code_verifier", appVerifier)
}

func refreshing(token string) *oauth.TokenRequest {
	return byPost("wiki", oauth.GrantRefreshToken, "refresh_token", token)
}

// signInHouse is one where everything that a request waits for is counted. No loop runs, so that nothing else is.
type signInHouse struct {
	t      *testing.T
	idp    *upstreamtest.IdP
	engine *countedEngine
	lines  *lines
	broker *broker.Broker
}

func newSignInHouse(t *testing.T) *signInHouse {
	t.Helper()
	now := time.Now().Truncate(time.Second)
	clock := func() time.Time { return now }
	h := &signInHouse{t: t, idp: upstreamtest.Must(upstreamtest.Options{
		Now: clock, People: []upstreamtest.Person{{Login: "ada", Subject: "ada"}, {Login: "bob", Subject: "bob"}},
		Clients: []upstreamtest.Client{{ID: "fedbroker", Secret: secretAtTheIdP, RedirectURIs: []string{callbackAtIdP}}},
	})}
	t.Cleanup(h.idp.Close)
	o := options(t, signInConfig(h.idp.Issuer(), "ES256"))
	for i := range o.Config.Clients {
		o.Config.Clients[i].SessionRefresh = o.Config.Clients[i].ID == "wiki"
	}
	h.engine, h.lines = &countedEngine{Engine: o.Engine}, o.Journal.(*lines)
	o.Engine, o.Now = h.engine, clock
	h.broker = open(t, o)
	return h
}

// costs runs one request, and holds it to its commits and journal lines.
func (h *signInHouse) costs(name string, commits int64, lines int, request func()) {
	h.t.Helper()
	h.lines.taken()
	before := h.engine.commits.Load()
	request()
	got, told := h.engine.commits.Load()-before, h.lines.taken()
	h.t.Logf("%d commits, %d lines: %s", got, len(told), name)
	if got != commits {
		h.t.Errorf("%s: %d engine commits, want %d", name, got, commits)
	}
	if len(told) != lines {
		h.t.Errorf("%s: journal lines %q, want %d", name, told, lines)
	}
}

// leave asks for a login in a browser with this session or none, and is sent to the IdP, where the person signs in.
func (h *signInHouse) leave(person, scope, session string) login.Callback {
	h.t.Helper()
	ask := asking(scope, session)
	ask.Prompt = []string{"login"}
	a := h.broker.Login().Authorize(h.t.Context(), ask)
	if a.Redirect == "" || a.Attempt == nil {
		h.t.Fatalf("not sent to the IdP: %+v", a)
	}
	back, _, err := h.idp.Authenticate(&http.Client{}, a.Redirect, person)
	if err != nil {
		h.t.Fatal(err)
	}
	to, err := url.Parse(back)
	if err != nil {
		h.t.Fatal(err)
	}
	return returning(a, to.Query(), session)
}

// arrive brings the IdP's answer.
func (h *signInHouse) arrive(c login.Callback) (code, session string) {
	h.t.Helper()
	a := h.broker.Login().Callback(h.t.Context(), c)
	if code = codeOf(a); code == "" || a.Session == nil {
		h.t.Fatalf("not signed in: %+v", a)
	}
	return code, *a.Session
}

func (h *signInHouse) token(r *oauth.TokenRequest) *oauth.TokenResponse {
	h.t.Helper()
	got, err := h.broker.Token(h.t.Context(), r)
	if err != nil {
		h.t.Fatal(err)
	}
	return got
}

func TestLogin_CommitsAndLinesThatARequestWaitsFor(t *testing.T) {
	h := newSignInHouse(t)
	var (
		back          login.Callback
		code, session string
		first, second *oauth.TokenResponse
	)
	h.costs("cold: to the IdP", 0, 0, func() { back = h.leave("bob", scopesOfLogin, "") })
	h.costs("cold: back, with the IdP's keys found and kept", 2, 2, func() { code, _ = h.arrive(back) })
	h.costs("cold: the code", 1, 1, func() { h.token(redeeming(code)) })

	h.costs("to the IdP", 0, 0, func() { back = h.leave("ada", scopesOfOffline, "") })
	h.costs("back: attempt spent, session, code", 1, 1, func() { code, session = h.arrive(back) })
	h.costs("the code", 1, 1, func() { first = h.token(redeeming(code)) })
	h.costs("refresh", 1, 1, func() { second = h.token(refreshing(first.RefreshToken)) })
	h.costs("refresh in its grace", 0, 1, func() {
		if again := h.token(refreshing(first.RefreshToken)); again.RefreshToken != second.RefreshToken {
			t.Error("another successor")
		}
	})
	h.costs("userinfo", 0, 0, func() {
		if _, _, err := h.broker.Login().UserInfo(t.Context(), login.UserInfo{DecisionID: "D", Request: userinfo.Request{Token: second.AccessToken}}); err != nil {
			t.Error(err)
		}
	})
	h.costs("single sign-on", 1, 1, func() { code = codeOf(h.broker.Login().Authorize(t.Context(), asking(scopesOfLogin, session))) })
	h.costs("single sign-on: the code", 1, 1, func() { first = h.token(redeeming(code)) })
	h.costs("refresh that touches the session", 1, 1, func() { h.token(refreshing(first.RefreshToken)) })

	h.costs("again: to the IdP", 0, 0, func() { back = h.leave("ada", scopesOfLogin, session) })
	h.costs("again: back, the former session taken over", 1, 1, func() { _, session = h.arrive(back) })

	h.costs("another person: to the IdP", 0, 0, func() { back = h.leave("bob", scopesOfLogin, session) })
	h.costs("another person: back, the sessions before revoked at once, then deleted in the same commit as the new one comes", 2, 1, func() { h.arrive(back) })
	if left, err := h.broker.Operator().Sessions(t.Context(), operator.SessionQuery{Subject: "acme|ada"}); err != nil || len(left) != 0 {
		t.Errorf("sessions of the person before: %v, %v", left, err)
	}
}

// Whatever comes of it, one attempt asks its upstream once: it is no way to ask with our credentials as often as one likes.
func TestP30_AttemptAsksItsUpstreamOnce(t *testing.T) {
	h := newSignInHouse(t)
	back := h.leave("ada", scopesOfLogin, "")
	back.Params.Set("code", "bogus")
	kinds := map[login.FailureKind]int{}
	for range 5 {
		a := h.broker.Login().Callback(t.Context(), back)
		if a.Failure == nil {
			t.Fatalf("%+v", a)
		}
		kinds[a.Failure.Kind]++
	}
	asked := 0
	for _, r := range h.idp.Requests("") {
		if strings.HasSuffix(r.Path, "/token") {
			asked++
		}
	}
	if asked != 1 || kinds[login.FailureUpstreamAnswer] != 1 || kinds[login.FailureExpired] != 4 {
		t.Errorf("asked %d times: %v", asked, kinds)
	}
}
