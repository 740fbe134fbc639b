package policytest_test

import (
	"testing"

	"fedbroker/broker"
	"fedbroker/broker/policytest"
)

// wider is a configuration of all that an exchange can be.
const wider = `
issuer: https://login.example.com
upstreams:
  - {name: acme, kind: jwt, issuer: https://idp.acme.invalid, audiences: [open-at-acme]}
  - {name: cluster, kind: jwt, issuer: https://cluster.invalid, audiences: [fedbroker]}
resource_servers: [{issuer: https://other.example, client_ids: {wiki: abc}, scopes: [read]}]
clients:
  - {id: gateway, grant_types: [token-exchange, jwt-bearer, client_credentials], audiences: [gateway]}
  - {id: wiki, grant_types: [token-exchange]}
exchange:
  - id: acting
    subject: {upstream: acme}
    requester: {clients: [gateway]}
    actor: {required: true, upstream: cluster, when: actor.sub == "cluster|web"}
    grant: {audiences: [orders], ttl: 5m}
  - id: itself
    subject: {upstream: acme}
    requester: {clients: [gateway]}
    actor: {required: true}
    grant: {audiences: [orders], ttl: 5m}
  - {id: assertions, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [invoices]}}
  - {id: tried, mode: audit, subject: {upstream: acme}, requester: {clients: [wiki]}, grant: {audiences: [wiki], token_types: [id_token]}}
  - {id: people, subject: {upstream: acme}, requester: {clients: [wiki]}, grant: {audiences: [wiki], token_types: [id_token]}}
  - {id: bound, subject: {issued: true}, bound_subject: accept, requester: {clients: [gateway]}, grant: {audiences: [ledger]}}
`

const everyone = `
subjects:
  ada: {upstream: acme, claims: {sub: ada}}
  key: {upstream: acme, bound: true, claims: {sub: ada}}
  web: {upstream: cluster, claims: {sub: web}}
  own: {issued: true, claims: {sub: gateway}}
  hop: {issued: true, bound: true, claims: {sub: acme|ada, client_id: spa, aud: gateway}}
  login: {issued: true, id_token: true, claims: {sub: acme|ada, aud: wiki}}
  typed: {upstream: acme, typ: at+jwt, claims: {sub: ada}}
  proof: {upstream: acme, typ: dpop+jwt, claims: {sub: ada}}
`

func widerWorld(t testing.TB, text string) (*broker.Judge, *policytest.Signer) {
	t.Helper()
	s, err := policytest.NewSigner(t.Context(), policytest.SignerOptions{Issuer: "https://login.example.com", Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	j, err := broker.NewJudge(broker.JudgeOptions{Config: decode[broker.Config](t, text), Keys: s.Keys, Own: s.Own, Revoked: s.Revoked})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j, s
}

// Actors, assertions, ID tokens and keys can be tested as the rest is.
func TestRun_WholeExchange(t *testing.T) {
	j, s := widerWorld(t, wider)
	for name, test := range map[string]string{
		"an upstream's actor":        `subject: ada, actor: web, requester: gateway, audiences: [orders], expect: {decision: allow, rule: acting, sub: acme|ada, act: [cluster|web], bound: false}`,
		"the requester itself":       `subject: ada, actor: own, requester: gateway, audiences: [orders], expect: {decision: allow, rule: itself, act: [gateway]}`,
		"nobody acts where one must": `subject: ada, requester: gateway, audiences: [orders], expect: {decision: deny, reason: actor, condition: actor, rule: acting}`,
		"an assertion":               `grant: jwt-bearer, subject: ada, requester: gateway, audiences: [invoices], expect: {decision: allow, rule: assertions, act: []}`,
		"an assertion for another":   `grant: jwt-bearer, subject: ada, claims: {aud: other}, requester: gateway, audiences: [invoices], expect: {decision: deny, reason: token_issuer, error: invalid_grant}`,
		"an ID token":                `subject: ada, requester: wiki, audiences: [wiki], token_type: id_token, expect: {decision: allow, rule: people, audiences: [wiki], claims: {azp: wiki, scope: null}}`,
		"an ID token as subject":     `subject: login, requester: wiki, audiences: [wiki], expect: {decision: deny, reason: token_class}`,
		"an ID-JAG":                  `subject: login, requester: wiki, audiences: ["https://other.example"], scopes: [read], token_type: id_jag, expect: {decision: allow, sub: acme|ada, audiences: ["https://other.example"], claims: {client_id: abc}}`,
		"an ID-JAG for another":      `subject: login, claims: {aud: gateway}, requester: wiki, audiences: ["https://other.example"], token_type: id_jag, expect: {decision: deny, reason: token_audience}`,
		"a bound token, by its key":  `subject: key, dpop: true, requester: gateway, audiences: [invoices], expect: {decision: allow, rule: assertions, bound: true}`,
		"a bound token without":      `subject: key, requester: gateway, audiences: [invoices], expect: {decision: deny, reason: confirmation}`,
		"another's bound token":      `subject: hop, dpop: true, requester: gateway, audiences: [ledger], expect: {decision: allow, rule: bound, bound: true}`,
		"a key of the requester's":   `subject: ada, dpop: true, requester: gateway, audiences: [invoices], expect: {decision: allow, rule: assertions, bound: true}`,
		"a token of another class":   `subject: proof, requester: gateway, audiences: [invoices], expect: {decision: deny, reason: token_class}`,
		"a token of a class to take": `subject: typed, requester: gateway, audiences: [invoices], expect: {decision: allow, rule: assertions}`,
	} {
		t.Run(name, func(t *testing.T) {
			f := decode[policytest.File](t, everyone+"tests: [{name: it, "+test+"}]")
			if problems := check(t, j, f); len(problems) > 0 {
				t.Fatal(problems)
			}
			results, err := policytest.Run(t.Context(), j, s, f)
			if err != nil {
				t.Fatal(err)
			}
			if r := results[0]; !r.Passed {
				t.Errorf("want it to pass, got %+v", r)
			}
		})
	}
}

func TestRun_ActAndBoundCanFail(t *testing.T) {
	j, s := widerWorld(t, wider)
	for expect, want := range map[string]string{
		"act: []":           "act|[]|[cluster|web]",
		"act: [gateway]":    "act|[gateway]|[cluster|web]",
		"bound: true":       "bound|true|false",
		"act: [x], rule: x": "rule|x|acting",
	} {
		rule := ", rule: acting"
		if expect == "act: [x], rule: x" {
			rule = ""
		}
		f := decode[policytest.File](t, everyone+"tests: [{name: it, subject: ada, actor: web, requester: gateway, audiences: [orders], expect: {decision: allow"+rule+", "+expect+"}}]")
		results, err := policytest.Run(t.Context(), j, s, f)
		if err != nil {
			t.Fatal(err)
		}
		if m := results[0].Mismatches; len(m) == 0 || m[0].What+"|"+m[0].Want+"|"+m[0].Got != want {
			t.Errorf("%s: want %s, got %+v", expect, want, m)
		}
	}
}

// What a rule in mode audit would have decided stands beside what was.
func TestRun_NotesAudits(t *testing.T) {
	j, s := widerWorld(t, wider)
	f := decode[policytest.File](t, everyone+"tests: [{name: it, subject: ada, requester: wiki, audiences: [wiki], expect: {decision: allow, rule: people}}]")
	results, err := policytest.Run(t.Context(), j, s, f)
	if err != nil {
		t.Fatal(err)
	}
	if got := results[0].Got.Audits; len(got) != 1 || got[0] != "tried" {
		t.Errorf("want the rule that is tried out, got %q", got)
	}
}
