package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"fedbroker/broker/oauth"
	"fedbroker/store/journal"
)

func issued() *Event {
	at := time.Unix(1_800_000_000, 0)
	return &Event{
		Kind: KindToken, Outcome: OutcomeDone, DecisionID: "D1", Grant: "token-exchange", ClientID: "gateway", Known: true, Upstream: "acme", Rule: "partner-orders",
		Audits: []string{"partner-orders-next"}, Bound: true, ActorFrom: "ci", IDTokenID: "I1", SessionID: "S1", Actors: []journal.Subject{{MAC: "YTE", Sealed: "czE"}, {MAC: "YTI", Sealed: "czI"}},
		Subject: journal.Subject{MAC: "bWFj", Sealed: "c2VhbGVk"}, Audiences: []string{"orders"}, Scopes: []string{"orders.read", "orders.write"},
		TokenType: "access_token", TokenID: "J1", KeyID: "K1", Parents: []string{"P1", "P2"}, Issued: at, Expires: at.Add(10 * time.Minute),
		Peer: netip.MustParseAddr("192.0.2.7"), Duration: time.Millisecond, Err: errors.New("cause"),
	}
}

// The wire format of the journal: what reads it years later depends on every byte.
func TestAppendJSON_GoldenLine(t *testing.T) {
	want := `{"kind":"token","outcome":"done","decision_id":"D1","grant":"token-exchange","client_id":"gateway","upstream":"acme","rule":"partner-orders","audit_rules":["partner-orders-next"],` +
		`"subject":{"mac":"bWFj","sealed":"c2VhbGVk"},"actors":[{"mac":"YTE","sealed":"czE"},{"mac":"YTI","sealed":"czI"}],"actor_upstream":"ci","audiences":["orders"],"scopes":["orders.read","orders.write"],"token_type":"access_token","cnf":true,"jti":"J1","id_token_jti":"I1","sid":"S1","kid":"K1",` +
		`"parents":["P1","P2"],"iat":1800000000,"exp":1800000600}`
	if got := string(issued().AppendJSON(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAppendJSON_RefusalAndOperatorAct(t *testing.T) {
	refused := &Event{Kind: KindToken, DecisionID: "D2", ClientID: "gateway"}
	refused.Refuse(oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget).Because(errors.New("secret cause")))
	if got, want := string(refused.AppendJSON(nil)), `{"kind":"token","outcome":"denied","decision_id":"D2","code":"invalid_target","reason":"target","client_id":"gateway"}`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	act := &Event{Kind: KindOperatorRevoke, Outcome: OutcomeDone, DecisionID: "D3", Target: Target{Kind: "token", ID: `a"b`}}
	if got, want := string(act.AppendJSON([]byte("x"))), `x{"kind":"operator_revoke","outcome":"done","decision_id":"D3","target":{"kind":"token","id":"a\"b"}}`; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func TestP48_JournalHoldsNeitherAddressNorCause(t *testing.T) {
	line := string(issued().AppendJSON(nil))
	for _, private := range []string{"192.0.2.7", "cause"} {
		if strings.Contains(line, private) {
			t.Errorf("line holds %q: %s", private, line)
		}
	}
}

func TestParseLine_ReadsWhatAppendJSONWrites(t *testing.T) {
	want := issued()
	want.Known, want.Peer, want.Duration, want.Err, want.Scopes = false, netip.Addr{}, 0, nil, []string{`odd "scope"`, "ü"}
	want.Target, want.Claims = Target{Kind: "token", ID: `a"b`}, []string{"groups", `/realm/"x`}
	got, err := ParseLine(want.AppendJSON(nil))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	if _, err := ParseLine([]byte(`{"kind":1}`)); err == nil {
		t.Error("a line of another form was read")
	}
}

func TestLineNames_OfWhatIssuesAlone(t *testing.T) {
	names := func(e *Event) (all []string, until time.Time) {
		until = LineNames(e.AppendJSON(nil), func(name []byte) { all = append(all, string(name)) })
		return all, until
	}
	e := issued()
	if got, until := names(e); !slices.Equal(got, []string{"J1", "I1", "P1", "P2"}) || !until.Equal(e.Expires) {
		t.Errorf("a token's line: %q until %v", got, until)
	}
	e.TokenID = `odd"jti\`
	if got, _ := names(e); !slices.Equal(got, []string{e.TokenID, "I1", "P1", "P2"}) {
		t.Errorf("an id that needs escaping: %q", got)
	}
	e = issued()
	e.Scopes = []string{`,"jti":"forged"`, `"parents":["forged"]`} // what a request brought cannot pass for a member
	if got, _ := names(e); !slices.Equal(got, []string{"J1", "I1", "P1", "P2"}) {
		t.Errorf("forged members: %q", got)
	}
	login := &Event{Kind: KindLogin, Outcome: OutcomeDone, TokenID: "G1", SessionID: "S1", Expires: e.Expires}
	if got, until := names(login); !slices.Equal(got, []string{"G1", "S1"}) || !until.IsZero() {
		t.Errorf("a login's line: %q until %v", got, until)
	}
	for name, other := range map[string]*Event{
		"refused": {Kind: KindToken, Outcome: OutcomeDenied, Parents: []string{"P1"}}, "revoked": {Kind: KindRevocation, Outcome: OutcomeDone, TokenID: "J1"},
	} {
		if got, until := names(other); got != nil || !until.IsZero() {
			t.Errorf("%s: %q until %v", name, got, until)
		}
	}
}

func FuzzLineNames(f *testing.F) {
	seeds := [][]byte{issued().AppendJSON(nil), []byte(`{"kind":"token","outcome":"done","jti":"`), []byte(`{"kind":"token","outcome":"done","parents":["a`), []byte(`{"kind":"token","outcome":"done","exp":99999999999999999999}`)}
	for _, s := range seeds {
		f.Add(s)
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	// Of a line in our form, the names are those that a reader of JSON sees.
	f.Fuzz(func(t *testing.T, data []byte) {
		LineNames(data, func([]byte) {}) // does not fail
		e := &Event{Kind: KindToken, Outcome: OutcomeDone, TokenID: string(data), Parents: []string{string(data), "P"}, Rule: string(data), Scopes: []string{string(data)}}
		read, err := ParseLine(e.AppendJSON(nil))
		if err != nil {
			t.Fatal(err)
		}
		want := append([]string{read.TokenID}, read.Parents...)
		if e.TokenID == "" {
			want = want[1:]
		}
		var got []string
		LineNames(e.AppendJSON(nil), func(name []byte) { got = append(got, string(name)) })
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	seeds := []string{"", "plain", "quote\" back\\slash", "line\nbreak\x00\x1f\x7f", "ünïcode \u2028 😀", "bad \xff utf-8 \xc3", "</script>"}
	for _, s := range seeds {
		f.Add(s)
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	f.Fuzz(func(t *testing.T, s string) {
		line := appendString(nil, s)
		var back string
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatalf("%q → %s: %v", s, line, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); utf8.ValidString(s) && back != want {
			t.Errorf("%q came back as %q", s, back)
		}
		if !utf8.Valid(line) || bytes.ContainsAny(line, "\n\r") {
			t.Errorf("%q → %q: not one line of UTF-8", s, line)
		}
	})
}

func TestAttrs_SameStoryAsTheLine(t *testing.T) {
	var out bytes.Buffer
	e := issued()
	slog.New(slog.NewJSONHandler(&out, nil)).LogAttrs(t.Context(), e.Level(), e.Message(), e.Attrs()...)
	var logged, line map[string]any
	if err := errors.Join(json.Unmarshal(out.Bytes(), &logged), json.Unmarshal(e.AppendJSON(nil), &line)); err != nil {
		t.Fatal(err)
	}
	for name, value := range line {
		switch name {
		case "subject":
			if logged[AttrSubject] != "bWFj" {
				t.Errorf("subject_mac: %v", logged[AttrSubject])
			}
		case "actors":
			if got := mustJSON(t, logged[AttrActors]); got != `["YTE","YTI"]` {
				t.Errorf("actor_macs: %s", got)
			}
		case "iat":
		case "exp":
			if logged[AttrExpires] != value {
				t.Errorf("expires %v, line has %v", logged[AttrExpires], value)
			}
		default:
			if a, b := mustJSON(t, logged[name]), mustJSON(t, value); a != b {
				t.Errorf("%s: log has %s, line has %s", name, a, b)
			}
		}
	}
	if logged[AttrPeer] != "192.0.2.7" || logged[AttrError] != "cause" || logged["level"] != "INFO" {
		t.Errorf("log line %v", logged)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLevel(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    Event
		want slog.Level
	}{
		{"issued", Event{Kind: KindToken, Outcome: OutcomeDone}, slog.LevelInfo},
		{"denied", Event{Kind: KindToken, Outcome: OutcomeDenied}, slog.LevelWarn},
		{"error", Event{Kind: KindToken, Outcome: OutcomeError}, slog.LevelError},
		{"introspection", Event{Kind: KindIntrospection, Outcome: OutcomeDone}, slog.LevelDebug},
	} {
		if got := tt.e.Level(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d", w.Code)
	}
	return w.Body.String()
}

func TestMetrics_CountWhatHappened(t *testing.T) {
	m := NewMetrics()
	m.Revocations(func() int { return 7 })
	m.Observe(issued())
	refused := &Event{Kind: KindToken}
	refused.Refuse(oauth.Deny(oauth.CodeInvalidClient, oauth.ReasonClientCredentials))
	m.Observe(refused)
	m.Observe(&Event{Kind: KindIntrospection, Outcome: OutcomeDone})
	m.Observe(&Event{Kind: KindRevocation, Outcome: OutcomeDenied, Code: oauth.CodeInvalidClient})
	m.Observe(&Event{Kind: KindKeyRotation, Outcome: OutcomeDone})
	m.Limit("anonymous")
	m.Panic()
	m.HTTP("/token", 200, time.Millisecond)
	m.KeyFetch("acme", "timeout", time.Second)
	m.Upstream("acme", true)
	m.ClaimChange("acme", "retyped")
	m.Part("journal", false)
	m.Journal(nil, time.Millisecond)
	m.JournalDropped()
	m.Sweep(3, errors.New("x"), time.Second)
	text := scrape(t, m)
	for _, want := range []string{
		`fedbroker_token_requests_total{code="ok",grant="token-exchange"} 1`,
		`fedbroker_token_requests_total{code="invalid_client",grant="other"} 1`,
		`fedbroker_token_denials_total{grant="other",reason="client_credentials"} 1`,
		`fedbroker_token_issued_total{rule="partner-orders",upstream="acme"} 1`,
		`fedbroker_token_request_seconds_count{grant="token-exchange"} 1`,
		`fedbroker_introspection_requests_total{code="ok"} 1`,
		`fedbroker_revocation_requests_total{code="invalid_client"} 1`,
		`fedbroker_revocation_records_count 7`,
		`fedbroker_operator_acts_total{kind="key_rotation",outcome="done"} 1`,
		`fedbroker_limit_refusals_total{limit="anonymous"} 1`,
		`fedbroker_broker_panics_total 1`,
		`fedbroker_http_requests_total{route="/token",status="200"} 1`,
		`fedbroker_upstream_key_fetch_seconds_count{outcome="timeout",upstream="acme"} 1`,
		`fedbroker_upstream_ready_bool{upstream="acme"} 1`,
		`fedbroker_upstream_claim_shape_changes_total{change="retyped",upstream="acme"} 1`,
		`fedbroker_broker_part_ready_bool{part="journal"} 0`,
		`fedbroker_journal_append_seconds_count{outcome="ok"} 1`,
		`fedbroker_journal_refusals_dropped_total 1`,
		`fedbroker_engine_records_swept_total 3`,
		`fedbroker_engine_sweep_seconds_count{outcome="failed"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}

func TestMetrics_NamesHaveAreaThingAndUnit(t *testing.T) {
	m := NewMetrics()
	m.Revocations(func() int { return 0 })
	m.Observe(issued())
	pattern := regexp.MustCompile(`^fedbroker_[a-z]+(_[a-z]+)+_(total|seconds|bytes|count|bool)$`)
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "fedbroker_") {
			continue // go_ and process_: the runtime's own, under the names that everybody knows
		}
		if ours++; !pattern.MatchString(f.GetName()) {
			t.Errorf("%s", f.GetName())
		}
	}
	if ours == 0 {
		t.Fatal("no metrics")
	}
}

func TestPanicError_SaysNothingThatARequestBrought(t *testing.T) {
	if got := PanicError("token eyJhbGciOi").Error(); strings.Contains(got, "eyJ") {
		t.Error(got)
	}
	defer func() {
		if got := PanicError(recover()).Error(); !strings.Contains(got, "index out of range") {
			t.Error(got)
		}
	}()
	var none []int
	_ = none[len(none)]
}
