package web_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/lineage"
	"fedbroker/broker/oauth"
	"fedbroker/broker/operator"
	"fedbroker/broker/rules"
	"fedbroker/broker/web"
	"fedbroker/store"
	"fedbroker/store/journal"
	"fedbroker/upstreams/jose"
)

// hooked is an engine and a journal that do something else in the midst of a revocation, or of an issue.
type hooked struct {
	store.Engine
	*journal.Journal
	before, after func() // a commit of a revocation
	line          func() // before a line
}

func (h *hooked) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	run := func(f *func()) {
		if do := *f; do != nil && slices.ContainsFunc(ops, func(op store.Op) bool { return op.Bucket == "revocations" }) {
			*f = nil
			do()
		}
	}
	run(&h.before)
	revs, err := h.Engine.Commit(ctx, ops...)
	run(&h.after)
	return revs, err
}

func (h *hooked) Append(ctx context.Context, payload []byte) (journal.Position, error) {
	if do := h.line; do != nil {
		h.line = nil
		do()
	}
	return h.Journal.Append(ctx, payload)
}

// Close is the engine's and the journal's owners' to call.
func (h *hooked) Close() error { return nil }

// family is a login with its session-bound refresh family, and what was made of it: the app's own token, one for orders, and one for billing.
type family struct {
	*signIns
	hooks                  *hooked
	subjects               *journal.Subjects // loaded once: that is most of what a start costs
	access, orders, billed string
	refresh                string
}

// restart is a new process over what the old one has left.
func (f *family) restart() {
	t := f.t
	t.Helper()
	sealing, err := store.NewSealer([]store.SealKey{{Key: sha256.Sum256([]byte("seal"))}})
	if err != nil {
		t.Fatal(err)
	}
	if f.subjects == nil {
		if f.subjects, err = journal.NewSubjects(t.Context(), journal.SubjectsOptions{Engine: f.engine, Sealing: sealing}); err != nil {
			t.Fatal(err)
		}
	}
	if f.broker, err = broker.New(t.Context(), broker.Options{Config: f.config, Engine: f.hooks, Journal: f.hooks, Sealing: sealing, Subjects: f.subjects, Now: f.clock}); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, err := web.New(web.Options{Broker: f.broker, Listener: listener, Now: f.clock})
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + server.Addr().String() + "/fed"
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func newFamily(t *testing.T) *family {
	t.Helper()
	f := &family{signIns: newSignIns(t)}
	f.hooks = &hooked{Engine: f.engine, Journal: f.journal.Journal}
	app := &f.config.Clients[0]
	app.GrantTypes, app.SessionRefresh = append(app.GrantTypes, "token-exchange"), true
	f.config.Clients = append(f.config.Clients, clients.Spec{ID: "orders-api", SecretSHA256: hashOf(secretOf("orders-api")), Identifiers: []string{"orders"}, GrantTypes: []string{"token-exchange"}})
	rule := func(id, client, audience, scope, from string) rules.Spec {
		return rules.Spec{ID: id, Subject: &rules.SubjectSpec{Issued: true, Upstream: "acme"}, Requester: &rules.RequesterSpec{Clients: []string{client}},
			Grant: &rules.GrantSpec{Audiences: []string{audience}, Scopes: []rules.ScopeSpec{{Name: scope, From: []string{from}}}}}
	}
	f.config.Exchange = []rules.Spec{rule("portal-orders", "portal", "orders", "orders.read", "profile"), rule("orders-billing", "orders-api", "billing", "billing.read", "orders.read")}
	f.restart()
	said := reply(t, f.signedIn(f.browser(), f.acme, "alice", request("idp_hint", "acme")))
	tokens := f.redeem(said.Get("code"))
	f.access, f.refresh = tokens.text("access_token"), tokens.text("refresh_token")
	f.orders = f.ownExchange("portal", f.access, "orders").text("access_token")
	f.billed = f.ownExchange("orders-api", f.orders, "billing").text("access_token")
	if f.refresh == "" || f.billed == "" {
		t.Fatalf("the family is not complete: %s", tokens.raw)
	}
	return f
}

func (f *family) ownExchange(client, token, audience string) answer {
	f.t.Helper()
	form := exchangeForm(token, audience)
	form.Set("subject_token_type", oauth.TypeAccessToken)
	return f.do(call{path: "/token", form: form, header: as(client)})
}

func (f *family) active(client, token string) bool {
	f.t.Helper()
	a := f.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: as(client)})
	if a.status != http.StatusOK {
		f.t.Fatalf("introspection: %d %s", a.status, a.raw)
	}
	active, _ := a.body["active"].(bool)
	if !active && a.raw != `{"active":false}` {
		f.t.Errorf("introspection says %s", a.raw)
	}
	return active
}

func (f *family) refreshed() answer {
	f.t.Helper()
	return f.do(call{path: "/token", form: url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {f.refresh}}, header: as("portal")})
}

func jti(t *testing.T, token string) string {
	t.Helper()
	id, _ := claimsOf(t, token)["jti"].(string)
	return id
}

func kid(t *testing.T, token string) string {
	t.Helper()
	var header struct{ Kid string }
	if err := json.Unmarshal(unbase64(t, strings.Split(token, ".")[0]), &header); err != nil || header.Kid == "" {
		t.Fatal(err)
	}
	return header.Kid
}

// login is what the journal says of the family's beginning.
func (f *family) login() (grant, sid string) {
	f.t.Helper()
	for _, line := range f.lines() {
		if line["kind"] == "login" && line["outcome"] == "done" {
			grant, _ = line["jti"].(string)
			sid, _ = line["sid"].(string)
		}
	}
	return grant, sid
}

// revocations are one of each kind, with what dies of it.
var revocations = []struct {
	name, kind              string
	id                      func(*family) string
	access, orders, billing bool // dead
	refresh                 bool // refused
}{
	{"token", "token", func(f *family) string { return jti(f.t, f.access) }, true, true, true, false},
	{"token in the middle", "token", func(f *family) string { return jti(f.t, f.orders) }, false, true, true, false},
	{"session", "session", func(f *family) string { _, sid := f.login(); return sid }, true, true, true, true},
	{"family", "family", func(f *family) string { grant, _ := f.login(); return grant }, true, true, true, true},
	{"client", "client", func(*family) string { return "portal" }, true, true, true, true},
	{"client of the last link", "client", func(*family) string { return "orders-api" }, false, false, true, false},
	{"subject", "subject", func(*family) string { return "acme|alice" }, true, true, true, true},
	{"upstream", "upstream", func(*family) string { return "acme" }, true, true, true, true},
	{"rule", "rule", func(*family) string { return "portal-orders" }, false, true, true, false},
	{"kid", "kid", func(f *family) string { return kid(f.t, f.orders) }, true, true, true, false},
}

// A revocation of any kind is held against everything that descends from what it names: at introspection, exchange, refresh and userinfo, at once
// and after a restart; and what it was said to touch beforehand is what died.
func TestP26_RevocationKillsEveryDescendant(t *testing.T) {
	for _, tt := range revocations {
		t.Run(tt.name, func(t *testing.T) {
			f := newFamily(t)
			what := operator.Revocation{Kind: tt.kind, ID: tt.id(f)}
			for client, token := range map[string]string{"portal": f.access, "orders-api": f.billed} {
				if !f.active(client, token) {
					t.Fatalf("%s's token is inactive before", client)
				}
			}
			deaths := 0
			for _, dead := range []bool{tt.access, tt.orders, tt.billing} {
				if dead {
					deaths++
				}
			}
			if touched, err := f.broker.Operator().Touched(t.Context(), what); err != nil || touched != (lineage.Touched{Tokens: deaths}) {
				t.Errorf("said to touch %+v, want %d: %v", touched, deaths, err)
			}
			if err := f.broker.Operator().Revoke(t.Context(), what); err != nil {
				t.Fatal(err)
			}
			for _, when := range []string{"at once", "after a restart"} {
				if when == "after a restart" {
					f.restart()
				}
				for _, token := range []struct {
					name, raw, client string
					dead              bool
				}{{"the app's", f.access, "portal", tt.access}, {"orders'", f.orders, "portal", tt.orders}, {"billing's", f.billed, "orders-api", tt.billing}} {
					if active := f.active(token.client, token.raw); active == token.dead {
						t.Errorf("%s, %s token: active is %v", when, token.name, active)
					}
				}
				f.wantExchange(when, "portal", f.access, "orders", tt.access, tt.name == "rule")
				f.wantExchange(when, "orders-api", f.orders, "billing", tt.orders, tt.name == "client of the last link")
				info := f.do(call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"Bearer " + f.access}}})
				if refused := info.status == http.StatusUnauthorized; refused != tt.access {
					t.Errorf("%s, userinfo: %d %s", when, info.status, info.raw)
				}
				a := f.refreshed()
				if refused := a.status == http.StatusBadRequest && a.text("error") == string(oauth.CodeInvalidGrant); refused != tt.refresh || a.status == http.StatusOK == tt.refresh {
					t.Errorf("%s, refresh: %d %s", when, a.status, a.raw)
				}
				if a.status == http.StatusOK {
					f.refresh = a.text("refresh_token")
				}
			}
		})
	}
}

// wantExchange holds an exchange to its subject's being dead, or to its own rule's or client's being revoked since the chain began: what would be dead at
// birth is refused.
func (f *family) wantExchange(when, client, token, audience string, dead, revoked bool) {
	f.t.Helper()
	a := f.ownExchange(client, token, audience)
	refused := a.status == http.StatusBadRequest && a.text("error") == string(oauth.CodeInvalidRequest) && a.text("access_token") == ""
	if refused != (dead || revoked) || !refused && a.status != http.StatusOK {
		f.t.Errorf("%s, exchange for %s: %d %s", when, audience, a.status, a.raw)
	}
}

// Whichever comes first, an exchange or the revocation of what it descends from: when both are over, nothing lives that should not.
func TestP26_RevocationDuringAnExchangeLeavesNoLiveDescendant(t *testing.T) {
	for _, tt := range revocations {
		if tt.name == "token in the middle" || tt.name == "client of the last link" {
			continue // as their kind
		}
		for _, when := range []string{"while the line is written", "a second later, before the revocation is committed", "before it is known to the process"} {
			t.Run(tt.name+", "+when, func(t *testing.T) {
				f := newFamily(t)
				what := operator.Revocation{Kind: tt.kind, ID: tt.id(f)}
				acts := f.broker.Operator()
				var late answer
				exchange := func() { late = f.ownExchange("portal", f.access, "orders") }
				revoke := func() {
					if err := acts.Revoke(t.Context(), what); err != nil {
						t.Error(err)
					}
				}
				switch when {
				case "while the line is written":
					f.hooks.line = revoke
					exchange()
				case "a second later, before the revocation is committed":
					f.hooks.before = func() { f.now.Add(1); exchange() }
					revoke()
				default:
					f.hooks.after = exchange
					revoke()
				}
				if late.status != http.StatusOK {
					t.Fatalf("the exchange did not overlap: %d %s", late.status, late.raw)
				}
				if f.active("portal", late.text("access_token")) {
					t.Error("what was issued meanwhile lives")
				}
				if f.restart(); f.active("portal", late.text("access_token")) {
					t.Error("what was issued meanwhile lives after a restart")
				}
			})
		}
	}
}

// What somebody acted in descends from the actor's token as it does from the subject's (P20, P26).
func TestP26_RevocationOfAnActorKillsWhatItActedIn(t *testing.T) {
	for name, tt := range map[string]struct {
		kind          string
		id            func(job, service string) string // their tokens
		first, second bool                             // dead
	}{
		"the job's token":     {"token", func(job, _ string) string { return externalID(t, job) }, true, true},
		"the job":             {"subject", func(string, string) string { return jobAtBroker }, true, true},
		"the job's upstream":  {"upstream", func(string, string) string { return "ci" }, true, true},
		"the service's token": {"token", func(_, service string) string { return jti(t, service) }, false, true},
		"the service":         {"subject", func(string, string) string { return "orders-api" }, false, true},
		"somebody else":       {"subject", func(string, string) string { return "ci|another" }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, delegating)
			job, service := h.job(), h.itself("orders-api")
			first := h.do(call{path: "/token", form: h.acting(h.partner(), job), header: as("gateway")}).text("access_token")
			form := exchangeForm(first, "ledger")
			form.Set("actor_token", service)
			form.Set("actor_token_type", oauth.TypeAccessToken)
			second := h.do(call{path: "/token", form: form, header: as("orders-api")}).text("access_token")
			if first == "" || second == "" || !h.active("gateway", first) || !h.active("orders-api", second) {
				t.Fatal("nobody acts for anybody")
			}
			what := operator.Revocation{Kind: tt.kind, ID: tt.id(job, service)}
			want := 0
			for _, dead := range []bool{tt.first, tt.second, name == "the service's token" || name == "the service"} {
				if dead {
					want++
				}
			}
			if touched, err := h.broker.Operator().Touched(t.Context(), what); err != nil || touched.Tokens != want {
				t.Errorf("said to touch %+v, want %d: %v", touched, want, err)
			}
			if err := h.broker.Operator().Revoke(t.Context(), what); err != nil {
				t.Fatal(err)
			}
			if h.active("gateway", first) == tt.first || h.active("orders-api", second) == tt.second {
				t.Errorf("active: %v, %v", h.active("gateway", first), h.active("orders-api", second))
			}
			tree, err := h.broker.Operator().Lineage(t.Context(), lineage.Query{ID: jti(t, second)})
			if err != nil {
				t.Fatal(err)
			}
			last := tree.Nodes[len(tree.Nodes)-1]
			if len(tree.Nodes) != 5 || (last.State == lineage.StateRevoked) != tt.second || !slices.Equal(last.Actors, []string{"orders-api", jobAtBroker}) {
				t.Errorf("%d nodes, the last %+v", len(tree.Nodes), last)
			}
		})
	}
}

// externalID is how lineages name another issuer's token (P14).
func externalID(t *testing.T, raw string) string {
	t.Helper()
	parsed, err := jose.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.TokenID()
}

// The tree of a chain of exchanges, as an operator sees it over the journal of a running broker.
func TestLineage_FromTheLoginToTheLastLink(t *testing.T) {
	f := newFamily(t)
	grant, sid := f.login()
	if err := f.broker.Operator().Revoke(t.Context(), operator.Revocation{Kind: "rule", ID: "portal-orders"}); err != nil {
		t.Fatal(err)
	}
	tree, err := f.broker.Operator().Lineage(t.Context(), lineage.Query{ID: jti(t, f.orders)})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range tree.Nodes {
		got = append(got, n.ID+" "+string(n.State))
	}
	want := []string{jti(t, f.access) + " live", grant + " live", jti(t, f.orders) + " revoked", jti(t, f.billed) + " revoked"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	login, last := tree.Nodes[1], tree.Nodes[3]
	if login.Kind != lineage.KindLogin || login.SessionID != sid || login.Subject != "acme|alice" || login.Expires.Before(f.clock().Add(time.Minute)) {
		t.Errorf("login %+v", login)
	}
	if last.Subject != "acme|alice" || last.ClientID != "orders-api" || last.Rule != "orders-billing" || !slices.Equal(last.Audiences, []string{"billing"}) || !last.RevokedBy.Inherited {
		t.Errorf("last link %+v", last)
	}
	for name, q := range map[string]lineage.Query{"nothing": {}, "unknown": {ID: "none"}, "too long": {ID: strings.Repeat("x", 513)}, "too many": {ID: grant, Limit: lineage.MaxNodes + 1}} {
		if _, err := f.broker.Operator().Lineage(t.Context(), q); !isActError(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func isActError(err error) bool { _, ok := err.(*operator.ActError); return ok }
