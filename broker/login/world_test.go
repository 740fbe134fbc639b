package login_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/event"
	"fedbroker/broker/grants"
	"fedbroker/broker/keyring"
	"fedbroker/broker/limit"
	"fedbroker/broker/login"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/record"
	"fedbroker/broker/release"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/broker/session"
	"fedbroker/broker/token"
	"fedbroker/mappers"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/store/journal"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/upstreamtest"
)

const (
	issuer       = "https://login.example.com"
	wikiCallback = "https://wiki.example.com/cb"
	wikiHome     = "https://wiki.example.com/"
	verifier     = "a-verifier-of-43-characters-or-more-0123456789"
	idpSecret    = "the-secret-at-the-idp"
	gold         = "urn:example:gold"
	decision     = "decision-1"
)

var (
	noon   = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	errOff = errors.New("the disk is gone")
)

// house is a login.Service on the real parts, with two identity providers, at a time that the test moves.
type house struct {
	*testing.T
	mu         sync.Mutex
	now        time.Time
	idps       map[string]*upstreamtest.IdP
	engine     *engine
	journal    *lines
	log        *bytes.Buffer
	sealer     *store.Sealer
	sessions   *session.Store
	revoked    *revoke.Set
	minter     *token.Minter
	opener     *token.Opener
	upstreams  []upstreams.Spec
	mappers    map[string][]mappers.Spec
	specs      []clients.Spec
	limits     limit.Set
	panics     string           // name of the upstream whose answer is a panic
	alter      func(*token.Own) // what an access token says, if set
	registered *clients.Registry
	chains     map[string]*mappers.Chain
	*login.Service
}

// engine fails when it is told to.
type engine struct {
	store.Engine
	getErr, commitErr error
	commits           int
}

func (e *engine) Get(ctx context.Context, bucket, key string) (store.Record, error) {
	if e.getErr != nil {
		return store.Record{}, e.getErr
	}
	return e.Engine.Get(ctx, bucket, key)
}

func (e *engine) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	if e.commitErr != nil {
		return nil, e.commitErr
	}
	e.commits++
	return e.Engine.Commit(ctx, ops...)
}

// lines is a journal, and the names of subjects.
type lines struct {
	err, nameErr    error
	panics          bool
	durable, queued []string
}

func (l *lines) Append(_ context.Context, line []byte) (journal.Position, error) {
	if l.panics {
		panic("the journal is broken")
	}
	if l.err != nil {
		return journal.Position{}, l.err
	}
	l.durable = append(l.durable, string(line))
	return journal.Position{}, nil
}

func (l *lines) Queue(line []byte) error { l.queued = append(l.queued, string(line)); return nil }
func (l *lines) Err() error              { return l.err }

func (l *lines) Name(context.Context, string) (journal.Subject, error) {
	return journal.Subject{MAC: "mac", Sealed: "sealed"}, l.nameErr
}

func newHouse(t *testing.T, change ...func(*house)) *house {
	t.Helper()
	h := &house{T: t, now: noon, idps: map[string]*upstreamtest.IdP{}, journal: &lines{}, log: &bytes.Buffer{}, mappers: map[string][]mappers.Spec{}, specs: apps()}
	for _, name := range []string{"acme", "beta"} {
		idp := upstreamtest.Must(upstreamtest.Options{
			Name: name, Now: h.clock, Clients: []upstreamtest.Client{{ID: "fedbroker", Secret: idpSecret, RedirectURIs: []string{issuer + "/callback/" + name}}},
			People: []upstreamtest.Person{
				{Login: "ada", Subject: "ada", ACR: "high", Claims: map[string]any{"name": "Ada", "email": "ada@" + name + ".example", "email_verified": true, "groups": []any{"eng"}}},
				{Login: "bob", Subject: "bob", Claims: map[string]any{"name": "Bob", "email": "bob@elsewhere.example", "email_verified": true}},
			},
		})
		t.Cleanup(idp.Close)
		h.idps[name] = idp
		h.upstreams = append(h.upstreams, upstreams.Spec{
			Name: name, Kind: "oidc", Issuer: idp.Issuer(), ClientID: "fedbroker", ClientSecret: idpSecret, DisplayName: strings.ToUpper(name), Domains: []string{name + ".example"},
			ACRMap: map[string]string{"high": gold},
		})
	}
	memory, err := engines.Open("memory", engines.Options{Now: h.clock})
	h.must(err)
	t.Cleanup(func() { _ = memory.Close() })
	h.engine = &engine{Engine: memory}
	h.sealer, err = store.NewSealer([]store.SealKey{{ID: "s"}})
	h.must(err)
	h.sessions, err = session.Open(session.Options{
		Engine: h.engine, Sealing: h.sealer, Now: h.clock, TTL: 12 * time.Hour, Idle: time.Hour, CodeTTL: time.Minute, RefreshTTL: 720 * time.Hour, RefreshIdle: 168 * time.Hour, Keep: 11 * time.Minute,
	})
	h.must(err)
	h.revoked, err = revoke.Open(t.Context(), revoke.Options{Engine: h.engine, Now: h.clock})
	h.must(err)
	ring, err := keyring.Open(t.Context(), keyring.Options{Engine: h.engine, Sealing: h.sealer, Now: h.clock, Algorithms: []string{keyring.ES256}})
	h.must(err)
	h.minter = token.NewMinter(token.MinterOptions{Issuer: issuer, Keyring: ring})
	h.opener, err = token.NewOpener(token.OpenerOptions{Issuer: issuer, Keyring: ring, Revoked: h.revoked})
	h.must(err)
	for _, c := range change {
		c(h)
	}
	h.build()
	return h
}

func apps() []clients.Spec {
	scopes := []string{"openid", "profile", "email", "groups", "offline_access", "orders.read"}
	code := []string{"authorization_code", "refresh_token"}
	hash := strings.Repeat("0", 64)
	return []clients.Spec{
		{ID: "wiki", SecretSHA256: hash, GrantTypes: code, RedirectURIs: []string{wikiCallback}, PostLogoutRedirectURIs: []string{wikiHome}, Scopes: scopes, Audiences: []string{"https://orders.example"}},
		{ID: "spa", Public: true, GrantTypes: code, RedirectURIs: []string{wikiCallback}, Scopes: []string{"openid"}, SessionRefresh: true, UpstreamClaim: "full"},
		{ID: "once", SecretSHA256: hash, GrantTypes: code[:1], RedirectURIs: []string{wikiCallback}, Scopes: scopes, PKCE: "optional", SessionRefresh: true},
		{ID: "robot", SecretSHA256: hash, GrantTypes: []string{"client_credentials"}, Audiences: []string{"orders"}, RedirectURIs: []string{wikiCallback}, Scopes: scopes},
		{ID: "strict", SecretSHA256: hash, GrantTypes: code, RedirectURIs: []string{wikiCallback}, Scopes: scopes, RequireACR: gold},
		{ID: "betaonly", SecretSHA256: hash, GrantTypes: code, RedirectURIs: []string{wikiCallback}, Scopes: scopes, Upstreams: []string{"beta"}},
	}
}

// build compiles the configuration, as a reload would. State stays.
func (h *house) build() {
	h.Helper()
	cache := keys.New(keys.Options{Now: h.clock})
	report := func(path, format string, args ...any) { h.Fatalf(path+": "+format, args...) }
	set := upstreams.NewSet(upstreams.Options{Specs: h.upstreams, OurIssuer: issuer, Keys: cache, Now: h.clock}, report)
	h.Cleanup(func() { cache.Close(); set.Close() })
	h.chains = map[string]*mappers.Chain{}
	for _, u := range h.upstreams {
		info, _ := set.Info(u.Name)
		h.chains[u.Name] = mappers.Compile(mappers.Options{Upstream: u.Name, Specs: h.mappers[u.Name], EmailDomains: info.EmailDomains}, report)
	}
	h.registered = clients.NewRegistry(clients.Options{Specs: h.specs, Issuer: issuer}, report, func(string, string, ...any) {})
	var err error
	h.Service, err = login.New(login.Options{
		Issuer: issuer, Clients: h.registered, Upstreams: adapted{set, h.panics}, Chains: h.chains, Scopes: release.New(map[string][]string{"billing": {"cost_center"}}), Sessions: h.sessions,
		Sealing: h.sealer, Revoked: h.revoked, Tokens: altered{h}, Limits: h.limits, Now: h.clock,
		Record: record.Recorder{Journal: h.journal, Subjects: h.journal, Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Metrics: event.NewMetrics(), Now: h.clock},
	})
	h.must(err)
}

// altered are tokens that say what the test wants.
type altered struct{ *house }

func (a altered) OpenHint(raw string, now time.Time) (token.Hint, error) {
	return a.opener.OpenHint(raw, now)
}

func (a altered) OpenAccess(u jose.Unverified, now time.Time) (token.Own, error) {
	own, err := a.opener.OpenAccess(u, now)
	if err == nil && a.alter != nil {
		a.alter(&own)
	}
	return own, err
}

// adapted are upstreams as the broker gives them to logins.
type adapted struct {
	set    *upstreams.Set
	panics string
}

func (p adapted) Names() []string { return p.set.Names() }

func (p adapted) Login(name string) (login.Provider, login.Upstream, bool) {
	up, ok := p.set.Login(name)
	if !ok {
		return nil, login.Upstream{}, false
	}
	i, _ := p.set.Info(name)
	return provider{up, p.panics == name}, login.Upstream{Name: i.Name, Issuer: i.Issuer, Display: i.DisplayName, Domains: i.Domains, Leeway: i.Leeway, TrustPrompt: i.TrustPrompt}, true
}

type provider struct {
	upstreams.Login
	panics bool
}

func (p provider) Finish(ctx context.Context, a upstreams.Attempt, response url.Values) (upstreams.Identity, error) {
	if p.panics {
		panic("a provider that breaks")
	}
	return p.Login.Finish(ctx, a, response)
}

func (h *house) clock() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now }

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	h.now = h.now.Add(d)
	h.mu.Unlock()
	h.must(h.revoked.Poll(context.Background()))
}

func (h *house) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *house) app(id string) *clients.Spec {
	return &h.specs[slices.IndexFunc(h.specs, func(s clients.Spec) bool { return s.ID == id })]
}

// browser keeps cookies as a browser would.
type browser struct {
	*house
	session  string
	attempts []login.Sealed
	at       map[string]*http.Client // the IdPs' own cookies, per upstream
}

func (h *house) browser() *browser { return &browser{house: h, at: map[string]*http.Client{}} }

func (b *browser) cookies() login.Browser {
	return login.Browser{Session: b.session, Attempts: slices.Clone(b.attempts)}
}

// keep takes the cookies of an answer.
func (b *browser) keep(a login.Answer) login.Answer {
	b.Helper()
	if a.DecisionID != decision {
		b.Errorf("decision id %q", a.DecisionID)
	}
	if a.Session != nil {
		b.session = *a.Session
	}
	if a.Attempt != nil {
		b.attempts = slices.DeleteFunc(b.attempts, func(s login.Sealed) bool { return slices.Contains(a.Attempt.Drop, s.ID) })
		if a.Attempt.ID != "" {
			b.attempts = append(b.attempts, login.Sealed{ID: a.Attempt.ID, Value: a.Attempt.Value})
		}
	}
	return a
}

var peer = netip.MustParseAddr("192.0.2.1")

// asking is a good authorization request of wiki.
func asking(change ...func(*login.Request)) login.Request {
	challenge := sha256.Sum256([]byte(verifier))
	r := login.Request{
		DecisionID: decision, Peer: peer, ClientID: "wiki", RedirectURI: wikiCallback, ResponseType: "code", Scope: "openid profile email groups", State: "app-state", Nonce: "app-nonce",
		IDPHint: "acme", CodeChallenge: base64.RawURLEncoding.EncodeToString(challenge[:]), CodeChallengeMethod: "S256",
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func (b *browser) authorize(change ...func(*login.Request)) login.Answer {
	b.Helper()
	r := asking(change...)
	r.Browser = b.cookies()
	return b.keep(b.Authorize(b.Context(), r))
}

// atIdP signs in there, and returns what the browser brings back.
func (b *browser) atIdP(a login.Answer, who string) login.Callback {
	b.Helper()
	if a.Redirect == "" {
		b.Fatalf("nobody is sent to an identity provider: %s", outcome(a))
	}
	to, err := url.Parse(a.Redirect)
	b.must(err)
	back, err := url.Parse(to.Query().Get("redirect_uri"))
	b.must(err)
	name := strings.TrimPrefix(back.Path, "/callback/")
	if b.at[name] == nil {
		jar, _ := cookiejar.New(nil)
		b.at[name] = &http.Client{Jar: jar}
	}
	target, _, err := b.idps[name].Authenticate(b.at[name], a.Redirect, who)
	b.must(err)
	u, err := url.Parse(target)
	b.must(err)
	return login.Callback{DecisionID: decision, Peer: peer, Upstream: name, Params: u.Query()}
}

func (b *browser) callback(c login.Callback) login.Answer {
	b.Helper()
	c.Browser = b.cookies()
	return b.keep(b.Callback(b.Context(), c))
}

// signIn is a whole login.
func (b *browser) signIn(who string, change ...func(*login.Request)) login.Answer {
	b.Helper()
	return b.callback(b.atIdP(b.authorize(change...), who))
}

// forget makes the browser one in which nobody is signed in at the IdPs.
func (b *browser) forget() { clear(b.at) }

func param(r *login.Reply, name string) string {
	for _, p := range r.Params {
		if p[0] == name {
			return p[1]
		}
	}
	return ""
}

// outcome is an answer in a word or two: code, error CODE, idp, choose, page KIND CODE-OF-THE-WAY-BACK STATUS.
func outcome(a login.Answer) string {
	switch {
	case a.Reply != nil && param(a.Reply, "code") != "":
		return "code"
	case a.Reply != nil:
		return "error " + param(a.Reply, "error")
	case a.Redirect != "":
		return "idp"
	case a.Choose != nil:
		return "choose " + a.Choose.Problem
	case a.SignOut != nil:
		return fmt.Sprint("signout ask=", a.SignOut.Ask)
	case a.Location != "":
		return "to " + a.Location
	case a.Failure != nil:
		back := "-"
		if a.Failure.Back != nil {
			back = param(a.Failure.Back, "error")
		}
		return fmt.Sprintf("page %s %s %d", a.Failure.Kind, back, a.Failure.Status)
	}
	return "nothing"
}

func (h *house) want(a login.Answer, want string) {
	h.Helper()
	if got := outcome(a); got != want {
		h.Errorf("got %q, want %q\n%s", got, want, h.log)
	}
	ways := 0
	for _, set := range []bool{a.Reply != nil, a.Redirect != "", a.Choose != nil, a.SignOut != nil, a.Location != "", a.Failure != nil} {
		if set {
			ways++
		}
	}
	if ways != 1 {
		h.Errorf("%d answers in one: %+v", ways, a)
	}
	if strings.HasPrefix(want, "page") || strings.HasPrefix(want, "error") {
		if a.Session != nil && *a.Session != "" {
			h.Error("a session leaves beside a failure")
		}
	}
}

// grantOf redeems the code of an answer by the real grant, and returns the session's grant, access token, ID token, refresh token.
func (h *house) grantOf(a login.Answer, client string) (g session.Grant, access, id, refresh string) {
	h.Helper()
	if a.Reply == nil {
		h.Fatalf("no code: %s\n%s", outcome(a), h.log)
	}
	code := param(a.Reply, "code")
	p, err := h.sessions.Code(h.Context(), code)
	h.must(err)
	pol := policy.Compile(rules.Options{AccessTTL: 10 * time.Minute, Upstreams: []rules.Upstream{{Name: "acme"}, {Name: "beta"}}, Clients: []rules.Client{{ID: client}}}, func(path, format string, args ...any) { h.Fatalf(path+format, args...) })
	table := grants.Table(grants.Deps{Issuer: issuer, Policy: pol, Chains: h.chains, Own: h.opener, Revoked: h.revoked, Upstreams: noUpstreams{}, Logins: grants.Logins{
		Sessions: h.sessions, Clients: h.registered, Scopes: release.New(nil), Issuers: h.issuerOf, Revoke: h.revoked, IDTTL: 5 * time.Minute,
	}})
	spec := h.app(client)
	req := &oauth.TokenRequest{GrantType: oauth.GrantAuthorizationCode, Now: h.clock(),
		Form:      oauth.Form{"code": {code}, "redirect_uri": {wikiCallback}, "code_verifier": {verifier}},
		Requester: oauth.Requester{ClientID: client, Audiences: spec.Audiences, Scopes: spec.Scopes, FullUpstream: spec.UpstreamClaim == "full"}}
	if p.Grant.Challenge == "" {
		delete(req.Form, "code_verifier")
	}
	authority, err := table[oauth.GrantAuthorizationCode].Authorize(h.Context(), req)
	h.must(err)
	draft, err := h.minter.Prepare(authority)
	h.must(err)
	refresh, err = req.Redeem(h.Context())
	h.must(err)
	minted, err := draft.Sign()
	h.must(err)
	return p.Grant, minted.Raw, minted.IDToken, refresh
}

type noUpstreams struct{ grants.Selector }

// issuerOf is what the configuration gives an upstream.
func (h *house) issuerOf(name string) string {
	for _, u := range h.upstreams {
		if u.Name == name {
			return u.Issuer
		}
	}
	return ""
}
