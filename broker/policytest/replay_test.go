package policytest_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/decision"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policytest"
)

var at = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// sides are the wider configuration, and what it becomes by replacing text.
func sides(t testing.TB, replace ...string) (was, is policytest.Side) {
	t.Helper()
	text := strings.NewReplacer(replace...).Replace(wider)
	if len(replace) > 0 && text == wider {
		t.Fatal("nothing was replaced")
	}
	was.Engine, was.Signer = widerWorld(t, wider)
	is.Engine, is.Signer = widerWorld(t, text)
	return was, is
}

// record is a decision on a token of acme.
func record(change ...func(*decision.Record)) decision.Record {
	r := decision.Record{
		ID: "d1", At: at, Grant: "token-exchange", ClientID: "gateway", Audiences: []string{"invoices"}, SubjectType: oauth.TypeJWT, Rule: "assertions",
		Subject: decision.Token{Upstream: "acme", Typ: "JWT", Claims: map[string]any{
			"iss": "https://idp.acme.invalid", "aud": "open-at-acme", "sub": "ada", "iat": at.Add(-time.Minute).Unix(), "exp": at.Add(time.Hour).Unix(), "n": 5.0,
		}},
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func denied(code, reason string) func(*decision.Record) {
	return func(r *decision.Record) { r.Code, r.Reason, r.Rule = code, reason, "" }
}

const assertions = "{id: assertions, subject: {upstream: acme}"

func TestReplay(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replace []string
		record  decision.Record
		kind    policytest.Kind
		why     string
		drifted bool
	}{
		{"nothing changed", nil, record(), policytest.Same, "", false},
		{"the rule is gone", []string{"- " + assertions, "- {id: assertions, subject: {upstream: cluster}"}, record(), policytest.NewlyDenies, "", false},
		{"the rule is another", []string{"id: assertions", "id: renamed"}, record(), policytest.AllowsOtherwise, "", false},
		{"it lives for another time", []string{"audiences: [invoices]", "audiences: [invoices], ttl: 1m"}, record(), policytest.AllowsOtherwise, "", false},
		{"an audience more", []string{"audiences: [invoices]", "audiences: [invoices, books]"}, record(func(r *decision.Record) { r.Audiences = []string{"books"} }, denied("invalid_target", "target")), policytest.NewlyAllows, "", false},
		{"denied by both", []string{"audiences: [invoices]", "audiences: [invoices, books]"}, record(func(r *decision.Record) { r.Audiences = []string{"x"} }, denied("invalid_target", "target")), policytest.Same, "", false},
		{"another code", []string{"audiences: [invoices]", "audiences: [invoices, books]"}, record(func(r *decision.Record) { r.Audiences, r.Scope = []string{"books"}, "admin" }, denied("invalid_target", "target")), policytest.DeniesOtherwise, "", false},
		{"the issuer is another", []string{"https://idp.acme.invalid", "https://other.invalid"}, record(), policytest.NewlyDenies, "", false},
		{"the upstream has another name", []string{"name: acme", "name: acme2", "upstream: acme", "upstream: acme2"}, record(), policytest.AllowsOtherwise, "", false},
		{"a condition on a protocol claim", []string{assertions, `{id: assertions, subject: {upstream: acme, when: claims.sub == "ada"}`}, record(), policytest.Same, "", false},
		{"a condition on one that the token lacked", []string{assertions, `{id: assertions, subject: {upstream: acme, when: "!has(claims.nbf)"}`}, record(), policytest.Same, "", false},
		{"a bound token, by its key", []string{"id: people", "id: persons"}, record(func(r *decision.Record) {
			r.ProofKey = strings.Repeat("k", 43) // of a SHA-256
			r.Subject.Claims["cnf"] = map[string]any{"jkt": r.ProofKey}
		}), policytest.Same, "", false},
		{"a condition on a claim that was not kept", []string{assertions, `{id: assertions, subject: {upstream: acme, when: claims.dept == "x"}`}, record(), policytest.CannotTell, "the new configuration reads claim dept, which the record lacks", false},
		{"a condition of a rule behind", []string{"  - {id: bound,", "  - {id: last, subject: {upstream: acme, when: claims.dept == \"x\"}, requester: {clients: [gateway]}, grant: {audiences: [invoices]}}\n  - {id: bound,"}, record(), policytest.Same, "", false},
		{"a condition of another's rule", []string{"{id: people, subject: {upstream: acme}", "{id: people, subject: {upstream: acme, when: claims.dept == \"x\"}"}, record(), policytest.Same, "", false},
		{"a condition of a rule in front", []string{"  - {id: assertions,", "  - {id: first, subject: {upstream: acme, when: claims.dept == \"x\"}, requester: {clients: [gateway]}, grant: {audiences: [invoices]}}\n  - {id: assertions,"}, record(), policytest.CannotTell, "the new configuration reads claim dept, which the record lacks", false},
		{"a condition on one that was", []string{assertions, `{id: assertions, subject: {upstream: acme, when: claims.n == 5.0}`}, record(), policytest.Same, "", false},
		{"a condition that was never come to", []string{assertions, `{id: assertions, subject: {upstream: acme, when: claims.dept == "x"}`}, record(func(r *decision.Record) { r.Audiences = []string{"nowhere"} }, denied("invalid_target", "target")), policytest.Same, "", false},
		{"a mapper on a claim that was not kept", []string{"audiences: [open-at-acme]", "audiences: [open-at-acme], mappers: [{kind: rename, from: dept, to: dept}]"}, record(), policytest.CannotTell, "the new configuration reads claim dept, which the record lacks", false},
		{"a token that was not verified", []string{"id: assertions", "id: renamed"}, record(func(r *decision.Record) { r.Partial = []string{"subject"} }), policytest.CannotTell, "it was denied before the subject token was verified", false},
		{"a token that was introspected", []string{"id: assertions", "id: renamed"}, record(func(r *decision.Record) { r.Subject.Opaque = true }), policytest.CannotTell, "an introspected token says what it says only to its upstream", false},
		{"a token that was spent", []string{"id: assertions", "id: renamed"}, record(denied("invalid_request", "replay")), policytest.CannotTell, "it was denied for replay, which no configuration decides", false},
		{"another configuration's decision", []string{"id: people", "id: persons"}, record(func(r *decision.Record) { r.Rule = "other" }), policytest.Same, "", true},
		{"an assertion", []string{"id: assertions", "id: renamed"}, record(func(r *decision.Record) { r.Grant = "jwt-bearer" }), policytest.AllowsOtherwise, "", false},
		{"an actor", []string{`actor.sub == "cluster|web"`, `actor.sub == "cluster|other"`}, record(func(r *decision.Record) {
			r.Audiences, r.Rule = []string{"orders"}, "acting"
			r.Actor = &decision.Token{Upstream: "cluster", Typ: "JWT", Claims: map[string]any{"iss": "https://cluster.invalid", "aud": "fedbroker", "sub": "web", "iat": at.Unix(), "exp": at.Add(time.Hour).Unix()}}
		}), policytest.NewlyDenies, "", false},
		{"an ID-JAG", []string{"wiki: abc", "wiki: xyz"}, record(func(r *decision.Record) {
			r.ClientID, r.Audiences, r.Rule, r.SubjectType, r.TokenType = "wiki", []string{"https://other.example"}, "", oauth.TypeIDToken, oauth.TypeIDJAG
			r.Subject = decision.Token{Own: true, Typ: "JWT", Claims: map[string]any{
				"iss": "https://login.example.com", "aud": "wiki", "azp": "wiki", "sub": "acme|ada", "iat": at.Unix(), "exp": at.Add(time.Hour).Unix(), "origin_exp": at.Add(time.Hour).Unix(), "jti": "j",
			}}
		}), policytest.AllowsOtherwise, "", false},
		{"a bound token of ours", []string{"bound_subject: accept", "bound_subject: refuse"}, record(func(r *decision.Record) {
			r.Audiences, r.Rule, r.SubjectType, r.ProofKey = []string{"ledger"}, "bound", "", strings.Repeat("2", 43)
			r.Subject = decision.Token{Own: true, Typ: "at+jwt", Claims: map[string]any{
				"iss": "https://login.example.com", "aud": "gateway", "sub": "acme|ada", "client_id": "spa", "iat": at.Unix(), "exp": at.Add(time.Hour).Unix(), "origin_exp": at.Add(time.Hour).Unix(),
				"jti": "j", "cnf": map[string]any{"jkt": strings.Repeat("1", 43)},
			}}
		}), policytest.NewlyDenies, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			was, is := sides(t, tt.replace...)
			got, err := policytest.Replay(t.Context(), was, is, tt.record)
			if err != nil || got.Kind != tt.kind || got.Why != tt.why || got.Drifted != tt.drifted {
				t.Errorf("want %s %q (drifted %t), got %+v, %v", tt.kind, tt.why, tt.drifted, got, err)
			}
		})
	}
}

// A decision that went through a file is the same decision.
func TestReplay_AsItIsWritten(t *testing.T) {
	was, is := sides(t, assertions, `{id: assertions, subject: {upstream: acme, when: type(claims.n) == double}`)
	text, err := json.Marshal(record())
	if err != nil {
		t.Fatal(err)
	}
	records, err := decision.Read(bytes.NewReader(text))
	if err != nil || len(records) != 1 {
		t.Fatalf("%v, %v", records, err)
	}
	if got, err := policytest.Replay(t.Context(), was, is, records[0]); err != nil || got.Kind != policytest.Same {
		t.Errorf("want the number to be what it was, got %+v, %v", got, err)
	}
}

func TestCompare(t *testing.T) {
	was, is := sides(t, "id: assertions", "id: renamed", `actor.sub == "cluster|web"`, `actor.sub == "x"`)
	f := decode[policytest.File](t, everyone+`tests:
  - {name: a, subject: ada, requester: gateway, audiences: [invoices], expect: {decision: allow, rule: assertions}}
  - {name: b, subject: ada, actor: web, requester: gateway, audiences: [orders], expect: {decision: allow, rule: acting}}
  - {name: c, subject: ada, requester: wiki, audiences: [wiki], expect: {decision: allow, rule: people}}
`)
	got, err := policytest.Compare(t.Context(), was, is, f)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []policytest.Kind{policytest.AllowsOtherwise, policytest.NewlyDenies, policytest.Same} {
		if got[i].Kind != want {
			t.Errorf("tests[%d]: want %s, got %+v", i, want, got[i])
		}
	}
	was, is = sides(t, "name: cluster", "name: pods", "upstream: cluster", "upstream: pods", "cluster|web", "pods|web")
	if got, err = policytest.Compare(t.Context(), was, is, f); err != nil || got[0].Kind != policytest.CannotTell || !strings.Contains(got[0].Why, "under the new configuration the fixture means nothing: subjects.web.upstream") {
		t.Errorf("want it told that nothing can be told, got %+v, %v", got, err)
	}
}
