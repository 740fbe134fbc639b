package broker_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/decision"
	"fedbroker/broker/explain"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policytest"
	"fedbroker/broker/rules"
	"fedbroker/store"
	"fedbroker/store/engines"
)

// recorded is a broker that keeps decisions, and a judge of the same configuration with what signs upstreams' tokens for both.
type recorded struct {
	*broker.Broker
	judge *broker.Judge
	side  policytest.Side
	asked int
}

var recordedAt = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func newRecorded(t *testing.T, ttl time.Duration, changes ...func(*broker.Config)) *recorded {
	t.Helper()
	c := config()
	c.Upstreams = c.Upstreams[:1]
	c.Upstreams[0].JWKSFile, c.Upstreams[0].Algorithms = filepath.Join(t.TempDir(), "jwks.json"), []string{"ES256"}
	c.Clients[0].GrantTypes = append(c.Clients[0].GrantTypes, "jwt-bearer")
	c.Clients = append(c.Clients, clients.Spec{ID: "orders-api", Identifiers: []string{"orders"}, SecretSHA256: hashOf(secret), GrantTypes: []string{"token-exchange"}})
	c.Exchange[0].Subject.When = `claims.ref == "main"`
	c.Exchange = append(c.Exchange,
		rules.Spec{ID: "billing", Subject: &rules.SubjectSpec{Issued: true, When: `"orders.read" in scopes`}, Requester: &rules.RequesterSpec{Clients: []string{"orders-api"}},
			Grant: &rules.GrantSpec{Audiences: []string{"billing"}, Scopes: []rules.ScopeSpec{{Name: "billing.read", From: []string{"orders.read"}}}}},
		rules.Spec{ID: "deploy", Subject: &rules.SubjectSpec{Upstream: "acme"}, Requester: &rules.RequesterSpec{Anonymous: true}, Grant: &rules.GrantSpec{Audiences: []string{"deploy"}, SingleUse: true}})
	for _, change := range changes {
		change(&c)
	}
	signer, err := policytest.NewSigner(t.Context(), policytest.SignerOptions{
		Issuer: issuer, Leeway: 30 * time.Second, Engine: func() (store.Engine, error) { return engines.Open("memory", engines.Options{}) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = signer.Close() })
	j, err := broker.NewJudge(broker.JudgeOptions{Config: c, Keys: signer.Keys, Own: signer.Own, Revoked: signer.Revoked})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	spec, _ := j.Upstream("acme")
	set, err := signer.Keys(spec)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(spec.JWKSFile, set.Set, 0o600); err != nil {
		t.Fatal(err)
	}
	o := options(t, c)
	o.TraceTTL, o.Now = ttl, func() time.Time { return recordedAt }
	if o.Engine, err = engines.Open("memory", engines.Options{Now: o.Now}); err != nil {
		t.Fatal(err)
	}
	return &recorded{Broker: open(t, o), judge: j, side: policytest.Side{Engine: j, Signer: signer}}
}

// ask sends the request of a record and returns the decision's id, with the token that was issued.
func (r *recorded) ask(t *testing.T, of decision.Record) (id, token string, in oauth.TokenRequest) {
	t.Helper()
	in, err := r.side.Request(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	id, token = r.send(t, of.ClientID, in)
	return id, token, in
}

func (r *recorded) send(t *testing.T, client string, in oauth.TokenRequest) (id, token string) {
	t.Helper()
	r.asked++
	in.DecisionID, in.Peer = fmt.Sprintf("decision-%d", r.asked), netip.MustParseAddr("192.0.2.1")
	if client != "" {
		in.Credentials = oauth.Credentials{Method: oauth.AuthSecretBasic, ClientID: client, Secret: secret}
	}
	answer, err := r.Token(t.Context(), &in)
	if err != nil {
		return in.DecisionID, ""
	}
	return in.DecisionID, answer.AccessToken
}

// written ends the loops, which writes what is to be kept.
func (r *recorded) written(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func jobOf(edit map[string]any) decision.Token {
	claims := decision.Claims{
		"iss": "https://acme.test", "aud": "gateway-at-acme", "sub": "ada", "iat": recordedAt.Add(-time.Minute).Unix(), "exp": recordedAt.Add(time.Hour).Unix(),
		"jti": "j1", "ref": "main", "roles": []any{"eng", "ops"}, "weight": 1.0, "ssn": "123-45-6789",
	}
	for name, v := range edit {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	return decision.Token{Upstream: "acme", Typ: "JWT", Claims: claims}
}

func exchangeOf(client, grant string, t decision.Token, audiences ...string) decision.Record {
	return decision.Record{ID: "r", At: recordedAt, Grant: grant, ClientID: client, Anonymous: client == "", Audiences: audiences, Subject: t}
}

// What a decision of production is explained by later is what the command line says of the same request: token facts, mappers, rules, outcome.
func TestExplain_ADecisionOfProductionAsOffline(t *testing.T) {
	r := newRecorded(t, time.Hour)
	const exchange = "token-exchange"
	kept := map[string]explain.Explanation{} // by decision
	for name, of := range map[string]decision.Record{
		"allowed":       exchangeOf("gateway", exchange, jobOf(nil), "orders"),
		"condition":     exchangeOf("gateway", exchange, jobOf(map[string]any{"ref": "dev"}), "orders"),
		"missing claim": exchangeOf("gateway", exchange, jobOf(map[string]any{"ref": nil}), "orders"),
		"target":        exchangeOf("gateway", exchange, jobOf(nil), "payroll"),
		"mapping":       exchangeOf("gateway", exchange, jobOf(map[string]any{"roles": int64(7)}), "orders"),
		"scope": func() decision.Record {
			r := exchangeOf("gateway", exchange, jobOf(nil), "orders")
			r.Scope = "all"
			return r
		}(),
		"anonymous":       exchangeOf("", exchange, jobOf(map[string]any{"jti": "j2"}), "deploy"),
		"jwt-bearer":      exchangeOf("gateway", "jwt-bearer", jobOf(nil), "orders"),
		"jwt-bearer, bad": exchangeOf("gateway", "jwt-bearer", jobOf(map[string]any{"ref": "dev"}), "orders"),
	} {
		id, _, in := r.ask(t, of)
		offline, err := r.judge.Explain(t.Context(), explain.RequestOf(of.ClientID, in))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		kept[id] = offline
	}
	r.written(t)
	for id, want := range kept {
		record, err := r.Decisions().Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		in, err := r.side.Request(t.Context(), record)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.judge.Explain(t.Context(), explain.RequestOf(record.ClientID, in))
		if err != nil {
			t.Fatal(err)
		}
		got = got.Answered(record)
		if got.Recorded != nil {
			t.Errorf("%s: taken again it ends otherwise: %+v, then %+v", id, got.Outcome, got.Recorded)
		}
		if got.DecisionID != id {
			t.Errorf("%s: explained as %s", id, got.DecisionID)
		}
		got.DecisionID = ""
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v\nwant %+v", id, got, want)
		}
	}
}

// Our own tokens, too, are explained later, and with the server's keys at once.
func TestExplain_OwnTokens(t *testing.T) {
	r := newRecorded(t, time.Hour)
	_, token, _ := r.ask(t, exchangeOf("gateway", "token-exchange", jobOf(nil), "orders"))
	live := r.Judge()
	defer live.Close()
	e, err := live.Explain(t.Context(), explain.Request{Requester: "orders-api", SubjectToken: token, Audiences: []string{"billing"}, At: recordedAt})
	if err != nil || e.Outcome.Rule != "billing" || !e.Subject.Own || !e.Subject.Verified {
		t.Fatalf("got %+v, %v", e, err)
	}
	form, err := explain.Request{SubjectToken: token, Audiences: []string{"billing"}}.Form(issuer)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := r.send(t, "orders-api", oauth.TokenRequest{GrantType: oauth.GrantTokenExchange, Form: form, Now: recordedAt})
	r.written(t)
	record, err := r.Decisions().Get(t.Context(), id)
	if err != nil || record.Rule != "billing" || !record.Subject.Own {
		t.Fatalf("got %+v, %v", record, err)
	}
	in, err := r.side.Request(t.Context(), record)
	if err != nil {
		t.Fatal(err)
	}
	later, err := r.judge.Explain(t.Context(), explain.RequestOf(record.ClientID, in))
	later, e.Outcome.Claims = later.Answered(record), nil // claims that leave without being read were not kept
	if err != nil || !reflect.DeepEqual(later.Outcome, e.Outcome) || !reflect.DeepEqual(later.Rules, e.Rules) || !reflect.DeepEqual(later.Subject.Claims, e.Subject.Claims) {
		t.Errorf("got %+v, %v\nwant %+v", later, err, e)
	}
}

// P47: only what was read of a verified token is kept, and of requests that nobody vouched for nothing at all.
func TestP47_WhatIsKeptOfADecision(t *testing.T) {
	r := newRecorded(t, time.Hour)
	id, _, _ := r.ask(t, exchangeOf("gateway", "token-exchange", jobOf(nil), "orders"))
	bad, _, _ := r.ask(t, exchangeOf("gateway", "token-exchange", jobOf(map[string]any{"exp": recordedAt.Add(-time.Hour).Unix()}), "orders"))
	nobody, _, _ := r.ask(t, exchangeOf("", "token-exchange", jobOf(map[string]any{"exp": recordedAt.Add(-time.Hour).Unix()}), "deploy"))
	r.written(t)
	got, err := r.Decisions().Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for claim, want := range map[string]bool{"iss": true, "sub": true, "aud": true, "exp": true, "jti": true, "ref": true, "roles": true, "ssn": false, "weight": false} {
		if _, there := got.Subject.Claims[claim]; there != want {
			t.Errorf("%s: kept %t", claim, there)
		}
	}
	if got, err = r.Decisions().Get(t.Context(), bad); err != nil || len(got.Subject.Claims) > 0 || got.Reason != "token_time" || len(got.Partial) != 1 {
		t.Errorf("of a token that did not verify: got %+v, %v", got, err)
	}
	if got, err = r.Decisions().Get(t.Context(), nobody); err == nil {
		t.Errorf("of nobody's: got %+v", got)
	}
}

// What names the subject is kept, too: without it nobody could say whose decision it was.
func TestExplain_SubjectsOfOtherClaims(t *testing.T) {
	r := newRecorded(t, time.Hour, func(c *broker.Config) { c.Upstreams[0].Subject = []string{"tid", "oid"} })
	id, token, _ := r.ask(t, exchangeOf("gateway", "token-exchange", jobOf(map[string]any{"tid": "t-1", "oid": "o-1"}), "orders"))
	r.written(t)
	record, err := r.Decisions().Get(t.Context(), id)
	if err != nil || token == "" {
		t.Fatal(err)
	}
	in, err := r.side.Request(t.Context(), record)
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.judge.Explain(t.Context(), explain.RequestOf(record.ClientID, in))
	if err != nil || e.Answered(record).Recorded != nil || e.Outcome.Sub != "acme|t-1/o-1" || e.Subject.Claims["oid"] != "o-1" {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestExplain_OffKeepsNothing(t *testing.T) {
	r := newRecorded(t, 0)
	id, token, _ := r.ask(t, exchangeOf("gateway", "token-exchange", jobOf(nil), "orders"))
	r.written(t)
	if got, err := r.Decisions().Get(t.Context(), id); err == nil || token == "" {
		t.Errorf("got %+v", got)
	}
}

// What is dropped is counted.
func TestExplain_DroppedIsCounted(t *testing.T) {
	r := newRecorded(t, time.Hour)
	for range 300 {
		r.ask(t, exchangeOf("gateway", "token-exchange", jobOf(map[string]any{"ref": "dev"}), "orders"))
	}
	const name = "fedbroker_decision_records_dropped_total"
	if got := metric(t, r.Metrics(), name); got != "44" {
		t.Errorf("got %s", got)
	}
	r.written(t)
}
