package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/broker/web"
	"fedbroker/mappers"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/store/journal"
	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

const (
	issuer      = "https://login.test/fed"
	gatewayAt   = "gateway-at-acme"
	partnerRule = "partner-orders"
	deploy      = "https://deploy.test"
	spaOrigin   = "https://spa.test"
	wikiOrigin  = "https://wiki.test"
)

// secretOf is a client's secret.
func secretOf(client string) string { return "the-secret-of-" + client }

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// faulty is an engine whose commits fail on demand.
type faulty struct {
	store.Engine
	fails atomic.Pointer[error]
}

func (f *faulty) fail(err error) { f.fails.Store(&err) }

func (f *faulty) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	if err := f.fails.Load(); err != nil && *err != nil {
		return nil, *err
	}
	return f.Engine.Commit(ctx, ops...)
}

// faultyJournal is a journal whose lines fail on demand.
type faultyJournal struct {
	*journal.Journal
	fails atomic.Pointer[error]
}

func (f *faultyJournal) fail(err error) { f.fails.Store(&err) }

func (f *faultyJournal) Append(ctx context.Context, payload []byte) (journal.Position, error) {
	if err := f.fails.Load(); err != nil && *err != nil {
		return journal.Position{}, *err
	}
	return f.Journal.Append(ctx, payload)
}

// logBuffer collects log lines.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// of returns the lines of one decision.
func (l *logBuffer) of(t *testing.T, decisionID string) (lines []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range bytes.Lines(l.buf.Bytes()) {
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("log line %q: %v", line, err)
		}
		if m["decision_id"] == decisionID {
			lines = append(lines, m)
		}
	}
	return lines
}

func (l *logBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// house is a broker behind its public listener, with two upstreams that are somebody else's.
type house struct {
	t       *testing.T
	idp, ci *upstreamtest.IdP
	config  broker.Config
	broker  *broker.Broker
	engine  *faulty
	journal *faultyJournal
	dir     string // of the journal
	log     *logBuffer
	server  *web.Server
	url     string // of the listener
	now     *atomic.Int64
	client  *http.Client
	stop    context.CancelFunc // ends the listener
}

func (h *house) clock() time.Time { return time.Unix(h.now.Load(), 0) }

// unfollowed leaves a redirect to the test.
func unfollowed(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// setup changes what a house is built of.
type setup func(c *broker.Config, s *web.Spec)

// begun is when a house's clock stands, unless somebody else's clock is to agree with it.
var begun = time.Unix(1_800_000_000, 0)

func newHouse(t *testing.T, setups ...setup) *house {
	t.Helper()
	return newHouseAt(t, begun, setups...)
}

func newHouseAt(t *testing.T, now time.Time, setups ...setup) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), log: &logBuffer{}, now: &atomic.Int64{}, client: &http.Client{CheckRedirect: unfollowed}}
	h.now.Store(now.Unix())
	h.idp = upstreamtest.Must(upstreamtest.Options{Name: "acme", Now: h.clock})
	t.Cleanup(h.idp.Close)
	h.ci = upstreamtest.Must(upstreamtest.Options{Name: "ci", Now: h.clock})
	t.Cleanup(h.ci.Close)
	h.config = configOf(h.idp.Issuer(), h.ci.Issuer())
	spec := web.Spec{}
	for _, change := range setups {
		change(&h.config, &spec)
	}
	h.open(spec)
	return h
}

func configOf(acme, ci string) broker.Config {
	return broker.Config{
		Issuer: issuer,
		Upstreams: []broker.UpstreamSpec{
			{Spec: upstreams.Spec{Name: "acme", Kind: "jwt", Issuer: acme, Audiences: []upstreams.Audience{{Value: gatewayAt, Requesters: []string{"gateway", "orders-api"}}}},
				Mappers: []mappers.Spec{{Kind: "groups", From: "roles", Rename: map[string]string{"eng-ord": "orders"}}}},
			{Spec: upstreams.Spec{Name: "ci", Kind: "jwt", Issuer: ci, Audiences: []upstreams.Audience{{Value: issuer}}}},
			{Spec: upstreams.Spec{Name: "unused", Kind: "jwt", Issuer: "https://unused.test", Audiences: []upstreams.Audience{{Value: "unused"}}}},
		},
		Clients: []clients.Spec{
			{ID: "gateway", SecretSHA256: hashOf(secretOf("gateway")), GrantTypes: []string{"client_credentials", "token-exchange"}, Audiences: []string{"orders"}, Scopes: []string{"orders.read", "orders.write"}},
			{ID: "orders-api", SecretSHA256: hashOf(secretOf("orders-api")), Identifiers: []string{"orders"}, GrantTypes: []string{"token-exchange"}},
			{ID: "ruleless", SecretSHA256: hashOf(secretOf("ruleless")), GrantTypes: []string{"token-exchange"}},
			{ID: "grantless", SecretSHA256: hashOf(secretOf("grantless")), GrantTypes: []string{"client_credentials"}, Audiences: []string{"orders"}},
			{ID: "bystander", SecretSHA256: hashOf(secretOf("bystander")), GrantTypes: []string{"client_credentials"}, Audiences: []string{"nothing"}},
			{ID: "spa", Public: true, GrantTypes: []string{"token-exchange"}, Origins: []string{spaOrigin}},
			{ID: "wiki", Public: true, GrantTypes: []string{"token-exchange"}, Origins: []string{wikiOrigin}},
		},
		Exchange: []rules.Spec{
			{ID: partnerRule, Subject: &rules.SubjectSpec{Upstream: "acme", When: `"acme:orders" in principal.groups`}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}},
				Grant: &rules.GrantSpec{Audiences: []string{"orders"}, Scopes: []rules.ScopeSpec{{Name: "orders.read"}}}},
			{ID: "once", Subject: &rules.SubjectSpec{Upstream: "acme"}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}},
				Grant: &rules.GrantSpec{Audiences: []string{"vault"}, SingleUse: true}},
			{ID: "ci-deploy", Subject: &rules.SubjectSpec{Upstream: "ci", When: `claims.repository_owner_id == "123456"`}, Requester: &rules.RequesterSpec{Anonymous: true},
				Grant: &rules.GrantSpec{Audiences: []string{deploy}, Scopes: []rules.ScopeSpec{{Name: "deploy"}}}},
			{ID: "orders-to-billing", Subject: &rules.SubjectSpec{Issued: true, When: `"orders.read" in scopes`}, Requester: &rules.RequesterSpec{Clients: []string{"orders-api"}},
				Grant: &rules.GrantSpec{Audiences: []string{"billing"}, Scopes: []rules.ScopeSpec{{Name: "billing.read", From: []string{"orders.read"}}}}},
		},
	}
}

// withoutAnonymous takes the rule for nobody away.
func withoutAnonymous(c *broker.Config, _ *web.Spec) {
	c.Exchange = slices.DeleteFunc(c.Exchange, func(r rules.Spec) bool { return r.Requester.Anonymous })
}

func (h *house) open(spec web.Spec) {
	t := h.t
	t.Helper()
	memory, err := engines.Open("memory", engines.Options{Now: h.clock})
	if err != nil {
		t.Fatal(err)
	}
	h.engine = &faulty{Engine: memory}
	lines, err := journal.Open(journal.Options{Dir: h.dir, Now: h.clock})
	if err != nil {
		t.Fatal(err)
	}
	h.journal = &faultyJournal{Journal: lines}
	sealing, err := store.NewSealer([]store.SealKey{{Key: sha256.Sum256([]byte("seal"))}})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	h.broker, err = broker.New(t.Context(), broker.Options{Config: h.config, Engine: h.engine, Journal: h.journal, Sealing: sealing, Logger: log, Now: h.clock})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.server, err = web.New(web.Options{Spec: spec, Broker: h.broker, Logger: log, Listener: listener, Now: h.clock})
	if err != nil {
		t.Fatal(err)
	}
	h.url = "http://" + h.server.Addr().String() + "/fed"
	var ctx context.Context
	ctx, h.stop = context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- h.server.Run(ctx) }()
	t.Cleanup(func() {
		h.client.CloseIdleConnections()
		h.stop()
		if err := errors.Join(<-ended, lines.Close(), memory.Close()); err != nil {
			t.Error(err)
		}
	})
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    string
	body   map[string]any
}

func (a answer) text(name string) string { s, _ := a.body[name].(string); return s }

// call is a request under construction.
type call struct {
	method, path string
	form         url.Values
	header       http.Header
	raw          io.Reader // instead of form
}

func (h *house) do(c call) answer {
	h.t.Helper()
	if c.method == "" {
		c.method = http.MethodPost
	}
	body := c.raw
	if body == nil && c.form != nil {
		body = strings.NewReader(c.form.Encode())
	}
	target := h.url + c.path
	if strings.HasPrefix(c.path, "//") { // relative to the host
		target = strings.TrimSuffix(h.url, "/fed") + c.path[1:]
	}
	req, err := http.NewRequestWithContext(h.t.Context(), c.method, target, body)
	if err != nil {
		h.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(req.Header, c.header)
	res, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	a := answer{status: res.StatusCode, header: res.Header, raw: string(raw)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") && len(raw) > 0 {
		if err := json.Unmarshal(raw, &a.body); err != nil {
			h.t.Fatalf("%s: %v", raw, err)
		}
	}
	return a
}

// basic is a client's Authorization header.
func basic(client, secret string) http.Header {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(client, secret)
	return r.Header
}

func as(client string) http.Header { return basic(client, secretOf(client)) }

// exchangeForm is a good exchange request's form.
func exchangeForm(token, audience string) url.Values {
	return url.Values{
		"grant_type": {oauth.GrantTokenExchange}, "subject_token": {token}, "subject_token_type": {oauth.TypeJWT}, "audience": {audience},
	}
}

// with returns a copy of f with parameters set; without values they are taken away.
func with(f url.Values, name string, values ...string) url.Values {
	out := maps.Clone(f)
	out[name] = values
	if len(values) == 0 {
		delete(out, name)
	}
	return out
}

// partner is a token of a person of acme whom the rules let through.
func (h *house) partner(changes ...func(map[string]any)) string {
	return h.idp.Sign(h.partnerClaims(changes...))
}

func (h *house) partnerClaims(changes ...func(map[string]any)) map[string]any {
	c := h.idp.Claims("alice", gatewayAt)
	c["roles"] = []string{"eng-ord"}
	for _, change := range changes {
		change(c)
	}
	return c
}

// job is a token of a CI job that the anonymous rule lets through.
func (h *house) job(changes ...func(map[string]any)) string {
	c := h.ci.Claims("repo:octo/app:ref:refs/heads/main", issuer)
	c["repository_owner_id"] = "123456"
	for _, change := range changes {
		change(c)
	}
	return h.ci.Sign(c)
}

// exchanged is the access token of a good exchange by gateway.
func (h *house) exchanged() string {
	h.t.Helper()
	a := h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")})
	if a.status != http.StatusOK {
		h.t.Fatalf("exchange: %d %s", a.status, a.raw)
	}
	return a.text("access_token")
}

// lines returns what the journal holds of requests.
func (h *house) lines() (out []map[string]any) {
	h.t.Helper()
	for line, err := range journal.Scan(h.dir) {
		if err != nil {
			h.t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(line.Data, &m); err != nil {
			h.t.Fatal(err)
		}
		if m["kind"] != "upstream_keys" { // what came of a look at an upstream's keys, not of a request
			out = append(out, m)
		}
	}
	return out
}

// claimsOf reads a token of ours without verifying it.
func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", token)
	}
	var claims map[string]any
	if err := json.Unmarshal(unbase64(t, parts[1]), &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}
