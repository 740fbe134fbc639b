package lineage

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/store/journal"
)

// house is a journal with what it takes to read it.
type house struct {
	t        *testing.T
	lines    *journal.Journal
	subjects *journal.Subjects
	revoked  *revoke.Set
	sessions *session.Store
	reader   *Reader
	now      time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t, now: time.Unix(1_800_000_000, 0)}
	clock := func() time.Time { return h.now }
	engine, err := engines.Open("memory", engines.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	sealing, err := store.NewSealer([]store.SealKey{{Key: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "journal")
	var errs [4]error
	h.lines, errs[0] = journal.Open(journal.Options{Dir: dir, Now: clock, SegmentBytes: 4096})
	h.subjects, errs[1] = journal.NewSubjects(t.Context(), journal.SubjectsOptions{Engine: engine, Sealing: sealing, Now: clock})
	h.revoked, errs[2] = revoke.Open(t.Context(), revoke.Options{Engine: engine, Now: clock})
	h.sessions, errs[3] = session.Open(session.Options{
		Engine: engine, Sealing: sealing, Now: clock, TTL: time.Hour, Idle: time.Hour, CodeTTL: time.Minute, RefreshTTL: time.Hour, RefreshIdle: time.Hour, Keep: time.Hour,
	})
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(h.lines.Close(), engine.Close()) })
	h.reader = New(Options{Dir: dir, Subjects: h.subjects, Grants: h.sessions, Revoked: h.revoked, Now: clock})
	return h
}

func (h *house) named(subject string) journal.Subject {
	h.t.Helper()
	if subject == "" {
		return journal.Subject{}
	}
	s, err := h.subjects.Name(h.t.Context(), subject)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// write appends a line; what is left out of a token's is the usual.
func (h *house) write(e event.Event) {
	h.t.Helper()
	if e.Kind == "" {
		e.Kind = event.KindToken
	}
	if e.Outcome == "" {
		e.Outcome = event.OutcomeDone
	}
	if e.Issued.IsZero() {
		e.Issued = h.now
	}
	if e.Expires.IsZero() {
		e.Expires = h.now.Add(10 * time.Minute)
	}
	if _, err := h.lines.Append(h.t.Context(), e.AppendJSON(nil)); err != nil {
		h.t.Fatal(err)
	}
}

// token writes the line of a token of acme's ada by a client and a rule.
func (h *house) token(id, client, rule string, parents ...string) {
	h.t.Helper()
	h.write(event.Event{TokenID: id, ClientID: client, Rule: rule, Subject: h.named("acme|ada"), Upstream: "acme", KeyID: "K", TokenType: "access_token", Parents: parents})
}

func (h *house) tree(q Query) Tree {
	h.t.Helper()
	tree, err := h.reader.Tree(h.t.Context(), q)
	if err != nil {
		h.t.Fatal(err)
	}
	return tree
}

func (h *house) revoke(kind revoke.Kind, id string, before time.Time) {
	h.t.Helper()
	if err := h.revoked.Revoke(h.t.Context(), kind, id, before, h.now.Add(time.Hour)); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) touched(kind revoke.Kind, id string, before time.Time) int {
	h.t.Helper()
	touched, err := h.reader.Touched(h.t.Context(), kind, id, before)
	if err != nil || touched.AtLeast {
		h.t.Fatalf("%s %s: %+v, %v", kind, id, touched, err)
	}
	return touched.Tokens
}

func ids(tree Tree) (all []string) {
	for _, n := range tree.Nodes {
		all = append(all, n.ID)
	}
	return all
}

func node(t *testing.T, tree Tree, id string) Node {
	t.Helper()
	i := slices.IndexFunc(tree.Nodes, func(n Node) bool { return n.ID == id })
	if i < 0 {
		t.Fatalf("no node %s in %v", id, ids(tree))
	}
	return tree.Nodes[i]
}

// chain writes: external E → A (gateway, r1) → B (orders, r2) → C (billing, r3), and A → D (audit, r4).
func (h *house) chain() {
	h.token("A", "gateway", "r1", "E")
	h.token("B", "orders", "r2", "A")
	h.token("C", "billing", "r3", "B")
	h.token("D", "audit", "r4", "A")
	h.write(event.Event{Outcome: event.OutcomeDenied, Parents: []string{"A"}, ClientID: "refused"})
	h.write(event.Event{Kind: event.KindRevocation, TokenID: "A", ClientID: "gateway"})
}

func TestTree_UpAndDown(t *testing.T) {
	h := newHouse(t)
	h.chain()
	for _, tt := range []struct {
		q    Query
		want []string
	}{
		{Query{ID: "A"}, []string{"E", "A", "B", "D", "C"}},
		{Query{ID: "C"}, []string{"B", "A", "E", "C"}},
		{Query{ID: "B", Up: true}, []string{"A", "E", "B"}},
		{Query{ID: "B", Down: true}, []string{"B", "C"}},
		{Query{ID: "E"}, []string{"E", "A", "B", "D", "C"}},
	} {
		if got := ids(h.tree(tt.q)); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: got %v, want %v", tt.q, got, tt.want)
		}
	}
	for _, unknown := range []string{"Z", "refused", "r1"} {
		if _, err := h.reader.Tree(t.Context(), Query{ID: unknown}); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", unknown, err)
		}
	}
}

func TestTree_SaysWhatTheLineSays(t *testing.T) {
	h := newHouse(t)
	h.write(event.Event{
		TokenID: "A", DecisionID: "D1", Grant: "token-exchange", ClientID: "gateway", Upstream: "acme", Rule: "r1", Audits: []string{"r2"}, Subject: h.named("acme|ada"),
		Actors: []journal.Subject{h.named("ci|job"), h.named("gateway")}, ActorFrom: "ci", Audiences: []string{"orders"}, Scopes: []string{"orders.read"},
		TokenType: "access_token", Bound: true, KeyID: "K", Parents: []string{"E", "F"},
	})
	tree := h.tree(Query{ID: "A"})
	want := Node{
		ID: "A", Kind: KindToken, State: StateLive, TokenType: "access_token", Grant: "token-exchange", ClientID: "gateway", Subject: "acme|ada", Upstream: "acme",
		Actors: []string{"ci|job", "gateway"}, Audiences: []string{"orders"}, Scopes: []string{"orders.read"}, Rule: "r1", AuditRules: []string{"r2"}, Bound: true, KeyID: "K",
		DecisionID: "D1", Issued: h.now.UTC(), Expires: h.now.Add(10 * time.Minute).UTC(), Parents: []string{"E", "F"},
	}
	if got := node(t, tree, "A"); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for id, want := range map[string]Node{
		"E": {ID: "E", Kind: KindExternal, State: StateForeign, Subject: "acme|ada", Upstream: "acme"},
		"F": {ID: "F", Kind: KindExternal, State: StateForeign, Subject: "ci|job", Upstream: "ci"},
	} {
		if got := node(t, tree, id); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestP48_ErasedSubjectStaysErased(t *testing.T) {
	h := newHouse(t)
	h.chain()
	if err := h.subjects.Erase(t.Context(), "acme|ada"); err != nil {
		t.Fatal(err)
	}
	for _, n := range h.tree(Query{ID: "A"}).Nodes {
		if n.Subject != "" || !n.Erased {
			t.Errorf("%s: %q, erased %v", n.ID, n.Subject, n.Erased)
		}
	}
}

func TestTree_States(t *testing.T) {
	for _, tt := range []struct {
		kind    revoke.Kind
		id      string
		want    map[string]string // by node: "" for live, own, inherited
		touched int
	}{
		{revoke.KindToken, "B", map[string]string{"A": "", "B": "own", "C": "inherited", "D": ""}, 2},
		{revoke.KindToken, "E", map[string]string{"E": "own", "A": "inherited", "B": "inherited", "C": "inherited", "D": "inherited"}, 4},
		{revoke.KindRule, "r2", map[string]string{"A": "", "B": "own", "C": "inherited", "D": ""}, 2},
		{revoke.KindClient, "billing", map[string]string{"A": "", "B": "", "C": "own", "D": ""}, 1},
		{revoke.KindClient, "gateway", map[string]string{"A": "own", "B": "inherited", "C": "inherited", "D": "inherited"}, 4},
		{revoke.KindSubject, "acme|ada", map[string]string{"A": "own", "C": "own"}, 4},
		{revoke.KindUpstream, "acme", map[string]string{"A": "own", "C": "own"}, 4},
		{revoke.KindKey, "K", map[string]string{"A": "own", "C": "own"}, 4},
		{revoke.KindClient, "nobody", map[string]string{"A": "", "C": ""}, 0},
	} {
		t.Run(string(tt.kind)+" "+tt.id, func(t *testing.T) {
			h := newHouse(t)
			h.chain()
			h.write(event.Event{TokenID: "other", ClientID: "batch", Subject: h.named("batch"), KeyID: "K2"})
			if got := h.touched(tt.kind, tt.id, time.Time{}); got != tt.touched {
				t.Errorf("touches %d, want %d", got, tt.touched)
			}
			h.revoke(tt.kind, tt.id, time.Time{})
			tree := h.tree(Query{ID: "A"})
			for id, want := range tt.want {
				n, got := node(t, tree, id), ""
				if n.State == StateRevoked {
					got = map[bool]string{true: "inherited", false: "own"}[n.RevokedBy.Inherited]
					if n.RevokedBy.Kind != string(tt.kind) || n.RevokedBy.ID != tt.id {
						t.Errorf("%s is revoked by %+v", id, *n.RevokedBy)
					}
				}
				if got != want {
					t.Errorf("%s: %s %q, want %q", id, n.State, got, want)
				}
			}
			if got := h.touched(tt.kind, tt.id, time.Time{}); got != 0 {
				t.Errorf("touches %d tokens that are dead already", got)
			}
		})
	}
}

func TestTree_Expired(t *testing.T) {
	h := newHouse(t)
	h.chain()
	h.now = h.now.Add(10*time.Minute - time.Second)
	h.token("L", "gateway", "r1", "E")
	h.now = h.now.Add(time.Second)
	tree := h.tree(Query{ID: "E"})
	if a, l := node(t, tree, "A"), node(t, tree, "L"); a.State != StateExpired || l.State != StateLive {
		t.Errorf("A %s, L %s", a.State, l.State)
	}
	if got := ids(h.tree(Query{ID: "E", Live: true})); !slices.Equal(got, []string{"E", "L"}) {
		t.Errorf("live: %v", got)
	}
	if got := h.touched(revoke.KindClient, "gateway", time.Time{}); got != 1 {
		t.Errorf("touches %d, want the one that lives", got)
	}
}

// A time-limited revocation counts what it would kill: what was issued at or before the time, and what descends from that.
func TestTouched_Before(t *testing.T) {
	h := newHouse(t)
	begun := h.now
	h.token("A", "gateway", "r1", "E")
	h.now = h.now.Add(time.Minute)
	h.token("B", "orders", "r2", "A") // the younger child of an older token
	h.token("C", "gateway", "r1", "F")
	for _, tt := range []struct {
		kind   revoke.Kind
		id     string
		before time.Time
		want   int
	}{
		{revoke.KindClient, "gateway", begun, 2}, {revoke.KindClient, "gateway", begun.Add(-time.Second), 0}, {revoke.KindClient, "gateway", h.now, 3},
		{revoke.KindRule, "r1", begun, 2}, {revoke.KindSubject, "acme|ada", begun, 2}, {revoke.KindUpstream, "acme", begun.Add(-time.Second), 0},
	} {
		if got := h.touched(tt.kind, tt.id, tt.before); got != tt.want {
			t.Errorf("%s %s until %v: %d, want %d", tt.kind, tt.id, tt.before.Sub(begun), got, tt.want)
		}
	}
}

// login has a person sign in, and writes the lines of the login and of its first tokens.
func (h *house) login(access string, offline bool) (g session.Grant) {
	h.t.Helper()
	scopes := []string{"openid"}
	if offline {
		scopes = append(scopes, "offline_access")
	}
	_, _, _, g, err := h.sessions.Begin(h.t.Context(), store.NewKey(h.now), h.now.Add(time.Minute), session.Session{Subject: "acme|ada", Upstream: "acme"}, nil, session.Grant{
		ClientID: "wiki", Subject: "acme|ada", Upstream: "acme", Scopes: scopes, Offline: offline, SessionBound: !offline,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(event.Event{Kind: event.KindLogin, TokenID: g.ID, SessionID: g.SessionID, ClientID: "wiki", Subject: h.named("acme|ada"), Upstream: "acme", Scopes: scopes, Expires: g.CodeExpires})
	h.write(event.Event{TokenID: access, IDTokenID: "id-" + access, ClientID: "wiki", Subject: h.named("acme|ada"), Upstream: "acme", KeyID: "K", Scopes: scopes, Parents: []string{g.ID}})
	return g
}

func TestTree_BeginsWithTheLogin(t *testing.T) {
	h := newHouse(t)
	g := h.login("A", false)
	h.token("B", "wiki", "r1", "A")
	h.write(event.Event{TokenID: "J", TokenType: "id_jag", ClientID: "wiki", Subject: h.named("acme|ada"), Upstream: "acme", Parents: []string{"id-A"}})
	tree := h.tree(Query{ID: "B"})
	login := node(t, tree, g.ID)
	if login.Kind != KindLogin || login.State != StateLive || login.SessionID != g.SessionID || login.ClientID != "wiki" || !login.Expires.Equal(g.Expires) {
		t.Errorf("%+v", login)
	}
	if got := ids(h.tree(Query{ID: g.ID})); !slices.Equal(got, []string{g.ID, "A", "id-A", "B", "J"}) {
		t.Errorf("down from the login: %v", got)
	}
	if got := ids(h.tree(Query{ID: "J", Up: true})); !slices.Equal(got, []string{"id-A", g.ID, "J"}) {
		t.Errorf("up from what an ID token gave: %v", got)
	}
	if n := node(t, tree, "A"); n.State != StateLive {
		t.Errorf("%+v", n)
	}
	if n := node(t, h.tree(Query{ID: "J"}), "id-A"); n.State != StateUnknown || n.TokenType != "id_token" || !slices.Equal(n.Audiences, []string{"wiki"}) || !n.Expires.IsZero() || n.KeyID != "" {
		t.Errorf("the ID token beside it: %+v", n)
	}
	if err := h.sessions.EndGrant(t.Context(), g.ID); err != nil {
		t.Fatal(err)
	}
	if n := node(t, h.tree(Query{ID: "B"}), g.ID); n.State != StateEnded {
		t.Errorf("an ended grant is %s", n.State)
	}
	h.revoke(revoke.KindFamily, g.ID, time.Time{})
	tree = h.tree(Query{ID: "B"})
	if a, b := node(t, tree, "A"), node(t, tree, "B"); a.State != StateRevoked || b.State != StateRevoked || !b.RevokedBy.Inherited {
		t.Errorf("after its family: A %s, B %s", a.State, b.State)
	}
	if n := node(t, tree, g.ID); n.State != StateRevoked || n.RevokedBy.Inherited {
		t.Errorf("the family itself: %+v", n)
	}
}

func TestTouched_SessionAndFamily(t *testing.T) {
	h := newHouse(t)
	bound := h.login("A", false)
	h.token("B", "wiki", "r1", "A")
	offline := h.login("C", true)
	for _, tt := range []struct {
		kind revoke.Kind
		id   string
		want int
	}{
		{revoke.KindFamily, bound.ID, 2}, {revoke.KindFamily, offline.ID, 1}, {revoke.KindSession, bound.SessionID, 2},
		{revoke.KindSession, offline.SessionID, 0}, // it outlives the session (P39)
		{revoke.KindSession, "none", 0},
	} {
		if got := h.touched(tt.kind, tt.id, time.Time{}); got != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.kind, tt.id, got, tt.want)
		}
	}
	h.revoke(revoke.KindSession, bound.SessionID, time.Time{})
	if n := node(t, h.tree(Query{ID: bound.ID}), "B"); n.State != StateRevoked || n.RevokedBy.Kind != "session" {
		t.Errorf("%+v", n)
	}
	h.revoke(revoke.KindSession, offline.SessionID, time.Time{})
	if n := node(t, h.tree(Query{ID: offline.ID}), "C"); n.State != StateLive {
		t.Errorf("%+v", n)
	}
}

// A token made from two stands once in the tree, with both.
func TestTree_TwoParents(t *testing.T) {
	h := newHouse(t)
	h.token("S", "gateway", "r1", "E")
	h.token("T", "actor", "r2", "F")
	h.token("B", "gateway", "r3", "S", "T")
	if got := ids(h.tree(Query{ID: "B"})); !slices.Equal(got, []string{"S", "T", "E", "F", "B"}) {
		t.Errorf("%v", got)
	}
	h.token("D", "gateway", "r3", "S", "B") // by two ways
	if got := ids(h.tree(Query{ID: "S", Down: true})); !slices.Equal(got, []string{"S", "B", "D"}) {
		t.Errorf("down: %v", got)
	}
	if got := h.touched(revoke.KindToken, "S", time.Time{}); got != 3 {
		t.Errorf("touches %d", got)
	}
	h.revoke(revoke.KindClient, "actor", time.Time{})
	if n := node(t, h.tree(Query{ID: "S"}), "B"); n.State != StateRevoked || !n.RevokedBy.Inherited {
		t.Errorf("by the actor's side, which the tree does not show: %+v", n)
	}
}

func TestTree_HugeIsBoundedAndSaysSo(t *testing.T) {
	h := newHouse(t)
	for i := range 300 {
		h.token(fmt.Sprintf("T%03d", i), "gateway", "r1", "E")
	}
	tree := h.tree(Query{ID: "E", Limit: 50})
	if len(tree.Nodes) != 50 || tree.LeftOff != 251 || !tree.AtLeast {
		t.Errorf("%d nodes, %d left off", len(tree.Nodes), tree.LeftOff)
	}
	if tree := h.tree(Query{ID: "E"}); len(tree.Nodes) != defaultNodes || tree.LeftOff != 301-defaultNodes {
		t.Errorf("%d nodes, %d left off", len(tree.Nodes), tree.LeftOff)
	}
	if tree := h.tree(Query{ID: "E", Limit: MaxNodes}); len(tree.Nodes) != 301 || tree.LeftOff != 0 || tree.AtLeast {
		t.Errorf("%d nodes, %d left off", len(tree.Nodes), tree.LeftOff)
	}
}

// Lines that make a circle, or a way without end, are none of ours.
func TestTree_CirclesAndEndlessWaysEnd(t *testing.T) {
	h := newHouse(t)
	h.token("A", "gateway", "r1", "B")
	h.token("B", "gateway", "r1", "A")
	if _, err := h.reader.Tree(t.Context(), Query{ID: "A"}); err == nil || !strings.Contains(err.Error(), "not a lineage of ours") {
		t.Errorf("a circle: %v", err)
	}
	if touched := h.touched(revoke.KindToken, "A", time.Time{}); touched != 2 {
		t.Errorf("a circle touches %d", touched)
	}
	for i := range 200 {
		h.token(fmt.Sprintf("N%d", i+1), "gateway", "r1", fmt.Sprintf("N%d", i))
	}
	if _, err := h.reader.Tree(t.Context(), Query{ID: "N200", Up: true}); err == nil || !strings.Contains(err.Error(), "not a lineage of ours") {
		t.Errorf("without end: %v", err)
	}
}
