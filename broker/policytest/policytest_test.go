package policytest_test

import (
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v4"

	"fedbroker/broker"
	"fedbroker/broker/keyring"
	"fedbroker/broker/policytest"
	"fedbroker/store"
	"fedbroker/store/engines"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// configuration has upstreams whose hosts do not exist: whoever asked them would get nothing.
const configuration = `
issuer: https://login.example.com
upstreams:
  - name: acme
    kind: jwt
    issuer: https://idp.acme.invalid
    audiences: [{value: gateway-at-acme, requesters: [gateway]}, open-at-acme]
    acr_map: {gold: high}
    mappers:
      - {kind: require, expression: '!has(claims.blocked)', message: nobody who is blocked}
      - {kind: rename, from: dept, to: dept}
      - {kind: rename, from: essay, to: essay}
  - {name: keys, kind: jwt, issuer: "https://keys.invalid", algorithms: [%s], audiences: [fedbroker]}
  - {name: many, kind: jwt, issuer_pattern: "https://many.invalid/*", audiences: [fedbroker]}
clients:
  - {id: gateway, grant_types: [token-exchange], upstream_claim: full}
  - {id: orders-api, identifiers: [orders], grant_types: [token-exchange]}
  - {id: batch, grant_types: [client_credentials], audiences: [orders]}
exchange:
  - id: orders
    subject: {upstream: acme, when: claims.dept == "R&D"}
    requester: {clients: [gateway, batch]}
    grant: {audiences: [orders], scopes: [orders.read, orders.write], ttl: 10m}
  - id: billing
    subject: {issued: true, upstream: acme, when: '"orders.read" in scopes'}
    requester: {clients: [orders-api]}
    grant: {audiences: [billing, ledger], scopes: [{name: billing.read, from: [orders.read]}], ttl: 5m, token_types: [jwt]}
  - {id: anyone, subject: {upstream: keys}, requester: {anonymous: true}, grant: {audiences: [deploy], ttl: 15m, outlive_subject: true, single_use: true}}
  - {id: tenant, subject: {upstream: many, when: 'claims.iss == "https://many.invalid/a"'}, requester: {clients: [gateway]}, grant: {audiences: [ship]}}
`

const subjects = `
subjects:
  ada: {upstream: acme, claims: {sub: ada, dept: R&D, acr: gold}}
  hop: {issued: true, upstream: acme, claims: {sub: acme|ada, scope: orders.read, dept: R&D}}
  job: {upstream: keys, claims: {sub: "1"}}
  tenant: {upstream: many, claims: {iss: "https://many.invalid/a", sub: "1"}}
  stranger: {upstream: many, claims: {iss: "https://many.invalid/b", sub: "1"}}
`

func engine() (store.Engine, error) { return engines.Open("memory", engines.Options{}) }

func decode[T any](t testing.TB, text string) (v T) {
	t.Helper()
	if err := yaml.Load([]byte(text), &v, yaml.WithKnownFields()); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}

// world is a configuration whose upstream `keys` signs by alg alone, and what tests it.
func world(t testing.TB, alg string) (*broker.Judge, *policytest.Signer) {
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
	j, err := broker.NewJudge(broker.JudgeOptions{
		Config: decode[broker.Config](t, fmt.Sprintf(configuration, alg)), Keys: s.Keys, Own: s.Own, Revoked: s.Revoked,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j, s
}

// check lists what is wrong with a file.
func check(t testing.TB, j *broker.Judge, f policytest.File) (problems []string) {
	t.Helper()
	f.Check(j, func(path, format string, args ...any) {
		problems = append(problems, path+": "+fmt.Sprintf(format, args...))
	})
	return problems
}

// run carries out one test on the common subjects.
func run(t testing.TB, j *broker.Judge, s *policytest.Signer, test string) policytest.Result {
	t.Helper()
	f := decode[policytest.File](t, subjects+"tests: [{name: it, "+test+"}]")
	if problems := check(t, j, f); len(problems) > 0 {
		t.Fatal(problems)
	}
	results, err := policytest.Run(t.Context(), j, s, f)
	if err != nil {
		t.Fatal(err)
	}
	return results[0]
}

// What holds passes, through every part of the engine that a fixture can reach.
func TestRun_PassesWhatHolds(t *testing.T) {
	j, s := world(t, keyring.ES256)
	for name, test := range map[string]string{
		"allowed, with all that can be said of it": `subject: ada, requester: gateway, audiences: [orders], scopes: [orders.write, orders.read], expect: {decision: allow, rule: orders, sub: acme|ada,
			audiences: [orders], scopes: [orders.read, orders.write], lifetime: 10m, only_claims: true,
			claims: {dept: R&D, acr: high, client_id: gateway, essay: null, upstream: {name: acme, iss: "https://idp.acme.invalid", sub: ada}}}`,
		"the subject's own end comes first":   `subject: ada, life: 90s, requester: gateway, expect: {decision: allow, rule: orders, lifetime: 90s}`,
		"a token of ours, one hop on":         `subject: hop, requester: orders-api, audiences: [ledger], expect: {decision: allow, rule: billing, audiences: [ledger], scopes: [billing.read], claims: {dept: R&D}, only_claims: true}`,
		"nobody in particular":                `subject: job, life: 1m, expect: {decision: allow, rule: anyone, sub: keys|1, lifetime: 15m, scopes: [], claims: {client_id: "anonymous:anyone"}}`,
		"a time of its own":                   `subject: ada, now: "2031-05-06T07:08:09+02:00", requester: gateway, expect: {decision: allow, rule: orders, claims: {iat: 1935810489, exp: 1935811089}}`,
		"a condition":                         `subject: ada, claims: {dept: Sales}, requester: gateway, expect: {decision: deny, rule: orders, condition: when, reason: condition, error: invalid_request}`,
		"a claim taken away":                  `subject: ada, claims: {dept: null}, requester: gateway, expect: {decision: deny, rule: orders, condition: when, reason: condition}`,
		"a mapper":                            `subject: ada, claims: {blocked: false}, requester: gateway, expect: {decision: deny, reason: require}`,
		"a scope beyond":                      `subject: ada, requester: gateway, scopes: [admin], expect: {decision: deny, rule: orders, reason: scope, error: invalid_scope}`,
		"an audience out of reach":            `subject: ada, requester: gateway, audiences: [billing], expect: {decision: deny, reason: target, error: invalid_target}`,
		"no audience where there are several": `subject: hop, requester: orders-api, expect: {decision: deny, reason: target, error: invalid_target}`,
		"a token type that no rule issues":    `subject: hop, requester: orders-api, audiences: [ledger], token_type: access_token, expect: {decision: deny, condition: token_type, reason: token_type}`,
		"an ID token that no rule issues":     `subject: ada, requester: gateway, token_type: id_token, expect: {decision: deny, reason: token_type, condition: token_type}`,
		"an actor where nobody may act":       `subject: ada, actor: job, requester: gateway, audiences: [orders], expect: {decision: deny, reason: token_issuer}`,
		"an audience of the wrong token":      `subject: ada, claims: {aud: someone}, requester: gateway, expect: {decision: deny, reason: token_issuer}`,
		"the first audience that is open":     `subject: ada, requester: orders-api, audiences: [billing], expect: {decision: deny, rule: billing, condition: subject, reason: selector}`,
		"an expired token":                    `subject: ada, life: -1m, requester: gateway, expect: {decision: deny, reason: token_time}`,
		"a token without a subject":           `subject: ada, claims: {sub: null}, requester: gateway, expect: {decision: deny, reason: token}`,
		"a bound token":                       `subject: ada, claims: {cnf: {jkt: x}}, requester: gateway, expect: {decision: deny, reason: confirmation}`,
		"a token of ours for someone else":    `subject: hop, claims: {aud: invoices}, requester: orders-api, expect: {decision: deny, reason: token_audience}`,
		"a lineage that nobody understands":   `subject: hop, claims: {lin: {x: []}}, requester: orders-api, expect: {decision: deny, reason: token}`,
		"a single use without an id":          `subject: job, claims: {jti: null}, expect: {decision: deny, rule: anyone, reason: replay}`,
		"a token that would be too long":      fmt.Sprintf(`subject: ada, claims: {essay: %q}, requester: gateway, expect: {decision: deny, rule: orders, reason: mapping}`, strings.Repeat("<", 11900)),
		"a client without the grant":          `subject: ada, requester: batch, expect: {decision: deny, reason: grant_not_allowed, error: unauthorized_client}`,
		"a client that no rule names":         `subject: job, requester: orders-api, audiences: [deploy], expect: {decision: deny, reason: target}`,
		"a tenant of many":                    `subject: tenant, requester: gateway, audiences: [ship], expect: {decision: allow, rule: tenant, sub: many|ApeqVL5V0Ez8c_xHCFzEGa|1}`,
		"another tenant":                      `subject: stranger, requester: gateway, audiences: [ship], expect: {decision: deny, rule: tenant, reason: condition, condition: when}`,
		"a client that there is not":          `subject: ada, requester: stranger, expect: {decision: deny, reason: client_credentials, error: invalid_client}`,
	} {
		t.Run(name, func(t *testing.T) {
			if r := run(t, j, s, test); !r.Passed || len(r.Mismatches) > 0 {
				t.Errorf("want it to pass, got %+v", r)
			}
		})
	}
}

// What does not hold fails, each expectation by itself: a test that cannot fail is none.
func TestRun_FailsWhatDoesNot(t *testing.T) {
	j, s := world(t, keyring.ES256)
	const allowed = `subject: ada, requester: gateway, expect: {decision: allow, rule: orders, %s}`
	const denied = `subject: ada, claims: {dept: Sales}, requester: gateway, expect: {decision: deny, reason: condition, %s}`
	for _, tt := range []struct{ name, test, want string }{
		{"decision, allow", `subject: ada, requester: gateway, expect: {decision: deny, reason: condition}`, "decision|deny|allow"},
		{"decision, deny", `subject: ada, claims: {dept: Sales}, requester: gateway, expect: {decision: allow, rule: orders}`, "decision|allow|deny"},
		{"rule, allow", `subject: ada, requester: gateway, expect: {decision: allow, rule: other}`, "rule|other|orders"},
		{"rule, deny", fmt.Sprintf(denied, "rule: other"), "rule|other|orders"},
		{"reason", `subject: ada, claims: {dept: Sales}, requester: gateway, expect: {decision: deny, reason: require}`, "reason|require|condition"},
		{"condition", fmt.Sprintf(denied, "condition: subject"), "condition|subject|when"},
		{"error", fmt.Sprintf(denied, "error: invalid_scope"), "error|invalid_scope|invalid_request"},
		{"sub", fmt.Sprintf(allowed, "sub: ada"), "sub|ada|acme|ada"},
		{"audiences", fmt.Sprintf(allowed, "audiences: [orders, billing]"), "audiences|[billing, orders]|[orders]"},
		{"no audiences", fmt.Sprintf(allowed, "audiences: []"), "audiences|[]|[orders]"},
		{"scopes, more", fmt.Sprintf(allowed, "scopes: [orders.read]"), "scopes|[orders.read]|[orders.read, orders.write]"},
		{"scopes, none", fmt.Sprintf(allowed, "scopes: []"), "scopes|[]|[orders.read, orders.write]"},
		{"lifetime", fmt.Sprintf(allowed, "lifetime: 9m59s"), "lifetime|9m59s|10m0s"},
		{"claim, value", fmt.Sprintf(allowed, "claims: {dept: Sales}"), `claims.dept|"Sales"|"R&D"`},
		{"claim, type", `subject: ada, claims: {essay: 1}, requester: gateway, expect: {decision: allow, rule: orders, claims: {essay: "1"}}`, `claims.essay|"1"|1`},
		{"claim, inner value", fmt.Sprintf(allowed, "claims: {upstream: {name: acme}}"), `claims.upstream|{"name":"acme"}|{"iss":"https://idp.acme.invalid","name":"acme","sub":"ada"}`},
		{"claim, absent", fmt.Sprintf(allowed, "claims: {x: 1}"), "claims.x|1|(none)"},
		{"claim, there", fmt.Sprintf(allowed, "claims: {dept: null}"), `claims.dept|(none)|"R&D"`},
		{"claims, one more", fmt.Sprintf(allowed, "only_claims: true"), `claims.dept|(none)|"R&D"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, j, s, tt.test)
			if r.Passed || len(r.Mismatches) != 1 {
				t.Fatalf("want one mismatch, got %+v", r)
			}
			if m := r.Mismatches[0]; m.What+"|"+m.Want+"|"+m.Got != tt.want {
				t.Errorf("want %s, got %+v", tt.want, m)
			}
		})
	}
}

// Large whole numbers go in and come out as they are.
func TestRun_KeepsNumbersExact(t *testing.T) {
	j, s := world(t, keyring.ES256)
	if r := run(t, j, s, `subject: ada, claims: {essay: 9007199254740993}, requester: gateway, expect: {decision: allow, rule: orders, claims: {essay: 9007199254740993}}`); !r.Passed {
		t.Errorf("got %+v", r.Mismatches)
	}
	if r := run(t, j, s, `subject: ada, claims: {essay: 9007199254740993}, requester: gateway, expect: {decision: allow, rule: orders, claims: {essay: 9007199254740992}}`); r.Passed {
		t.Error("two numbers passed for one")
	}
}

// The file says when it happens, and a test may say otherwise; without a word it is always the same moment.
func TestRun_Moment(t *testing.T) {
	j, s := world(t, keyring.ES256)
	const test = `{name: %s, subject: ada, requester: gateway, expect: {decision: allow, rule: orders, claims: {iat: %d}}}`
	for _, tt := range []struct{ name, text string }{
		{"default", fmt.Sprintf("tests: ["+test+"]", "a", 1893585600)},
		{"file", fmt.Sprintf("now: 2030-01-02T13:00:00Z\ntests: ["+test+"]", "a", 1893589200)},
		{"test", fmt.Sprintf("now: 2030-01-02T13:00:00Z\ntests: ["+test+"]", "a, now: 2030-01-02T14:00:00Z", 1893592800)},
	} {
		f := decode[policytest.File](t, subjects+tt.text)
		if problems := check(t, j, f); len(problems) > 0 {
			t.Fatal(problems)
		}
		results, err := policytest.Run(t.Context(), j, s, f)
		if err != nil || !results[0].Passed {
			t.Errorf("%s: got %+v, %v", tt.name, results, err)
		}
	}
}

// Whatever an upstream signs with, its tokens can be made.
func TestRun_EveryAlgorithm(t *testing.T) {
	for _, alg := range keyring.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			j, s := world(t, alg)
			if r := run(t, j, s, `subject: job, expect: {decision: allow, rule: anyone}`); !r.Passed {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// A fixture that says too little, or two things at once, is told so.
func TestCheck(t *testing.T) {
	j, _ := world(t, keyring.ES256)
	good := `tests: [{name: it, subject: ada, expect: {decision: allow, rule: orders}}]`
	if problems := check(t, j, decode[policytest.File](t, subjects+good)); len(problems) > 0 {
		t.Fatalf("want none, got %q", problems)
	}
	for _, tt := range []struct{ text, want string }{
		{subjects, "tests: want at least one"},
		{subjects + "now: today\n" + good, "now: want a time such as 2030-01-02T12:00:00Z"},
		{subjects + "  eve: {claims: {}}\n" + good, "subjects.eve: want {upstream: NAME} or {issued: true}"},
		{subjects + "  eve: {upstream: nobody}\n" + good, "subjects.eve.upstream: want a configured upstream"},
		{subjects + "  eve: {issued: true, upstream: nobody}\n" + good, "subjects.eve.upstream: want a configured upstream"},
		{subjects + "  eve: {issued: true, claims: {iss: x}}\n" + good, "subjects.eve.claims.iss: want none"},
		{subjects + "  eve: {upstream: many, claims: {sub: x}}\n" + good, "subjects.eve.claims.iss: want an issuer of many"},
		{subjects + "  eve: {upstream: many, claims: {iss: https://many.invalid/a/b}}\n" + good, "subjects.eve.claims.iss: want an issuer of many"},
		{subjects + `tests: [{subject: ada, expect: {decision: allow, rule: r}}]`, "tests[0].name: want one"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: allow, rule: r}}, {name: a, subject: ada, expect: {decision: allow, rule: r}}]`, "tests[1].name: want each name once"},
		{subjects + `tests: [{name: a, now: soon, subject: ada, expect: {decision: allow, rule: r}}]`, "tests[0].now: want a time"},
		{subjects + `tests: [{name: a, subject: eve, expect: {decision: allow, rule: r}}]`, "tests[0].subject: want a name of subjects"},
		{subjects + `tests: [{name: a, subject: ada, claims: {iss: x}, expect: {decision: allow, rule: r}}]`, "tests[0].claims.iss: want none"},
		{subjects + `tests: [{name: a, subject: ada, life: 1m, claims: {exp: 1}, expect: {decision: allow, rule: r}}]`, "tests[0].life: want one of"},
		{subjects + `tests: [{name: a, subject: ada, token_type: saml, expect: {decision: allow, rule: r}}]`, "tests[0].token_type: want one of access_token, id_jag, id_token, jwt"},
		{subjects + "  eve: {upstream: acme, id_token: true}\n" + good, "subjects.eve.id_token: want it with issued: true"},
		{subjects + "  eve: {issued: true, typ: JWT}\n" + good, "subjects.eve.typ: want it of an upstream's token"},
		{subjects + `tests: [{name: a, subject: ada, actor: eve, expect: {decision: allow, rule: r}}]`, `tests[0].actor: want a name of subjects, got "eve"`},
		{subjects + `tests: [{name: a, subject: ada, grant: password, expect: {decision: allow, rule: r}}]`, "tests[0].grant: want token-exchange or jwt-bearer"},
		{subjects + `tests: [{name: a, subject: ada, actor: hop, grant: jwt-bearer, expect: {decision: allow, rule: r}}]`, "tests[0].actor: want none: jwt-bearer"},
		{subjects + `tests: [{name: a, subject: ada, token_type: jwt, grant: jwt-bearer, expect: {decision: allow, rule: r}}]`, "tests[0].token_type: want none: jwt-bearer"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: deny, reason: x, act: []}}]`, "tests[0].expect.act: want none with decision deny"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: deny, reason: x, bound: false}}]`, "tests[0].expect.bound: want none"},
		{subjects + `tests: [{name: a, subject: ada}]`, "tests[0].expect: want {decision: allow"},
		{subjects + `tests: [{name: a, subject: ada, expect: {}}]`, `tests[0].expect.decision: want allow or deny, got ""`},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: allow}}]`, "tests[0].expect.rule: want the rule"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: deny}}]`, "tests[0].expect.reason: want the reason"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: allow, rule: r, reason: x}}]`, "tests[0].expect.reason: want none with decision allow"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: allow, rule: r, condition: x}}]`, "tests[0].expect.condition: want none"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: allow, rule: r, error: x}}]`, "tests[0].expect.error: want none"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: deny, reason: x, sub: x}}]`, "tests[0].expect.sub: want none with decision deny"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: deny, reason: x, audiences: []}}]`, "tests[0].expect.audiences: want none"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: deny, reason: x, scopes: []}}]`, "tests[0].expect.scopes: want none"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: deny, reason: x, lifetime: 0s}}]`, "tests[0].expect.lifetime: want none"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: deny, reason: x, claims: {}}}]`, "tests[0].expect.claims: want none"},
		{subjects + `tests: [{name: a, subject: ada, expect: {decision: deny, reason: x, only_claims: true}}]`, "tests[0].expect.only_claims: want none"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			problems := check(t, j, decode[policytest.File](t, tt.text))
			if len(problems) != 1 || !strings.HasPrefix(problems[0], tt.want) {
				t.Errorf("want %q alone, got %q", tt.want, problems)
			}
		})
	}
}

// The keys of a test are good for that test alone: what one signer makes, no engine takes that has another's keys.
func TestSigner_KeysAreItsOwn(t *testing.T) {
	j, _ := world(t, keyring.ES256)
	_, stranger := world(t, keyring.ES256)
	for name, subject := range map[string]string{"own": "hop, requester: orders-api, audiences: [billing]", "external": "ada, requester: gateway"} {
		if r := run(t, j, stranger, "subject: "+subject+", expect: {decision: deny, reason: signature}"); !r.Passed {
			t.Errorf("%s: got %+v", name, r)
		}
	}
}
