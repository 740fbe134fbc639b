package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/mappers/expr"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// external is a person of acme, ten minutes before their token ends.
func external() *Subject {
	return &Subject{
		Upstream: "acme", UpstreamIssuer: "https://idp.acme.example", UpstreamSubject: "alice", Sub: "acme|alice", Issuer: "https://idp.acme.example",
		Claims: map[string]any{"dept": "R&D"}, Principal: map[string]any{"groups": []any{"acme:orders"}, "tenant": "acme", "name": "Alice", "email": "a@acme.example", "email_verified": true},
		Made: []string{"groups", "name", "tenant"}, Audiences: []string{"gateway-at-acme"},
		IssuedAt: noon.Add(-time.Minute), Expires: noon.Add(10 * time.Minute), AuthTime: noon.Add(-time.Hour), ACR: "gold", AMR: []string{"pwd", "otp"},
		JTI: "j1", Facts: revoke.Facts{TokenID: "tok-ext", Subject: "acme|alice", Upstream: "acme"},
	}
}

// own is the same person by a token of ours, issued to the gateway.
func own(scopes ...string) *Subject {
	claims := map[string]any{"sub": "acme|alice", "groups": []any{"acme:orders"}, "tenant": "acme"}
	return &Subject{
		Own: true, Upstream: "acme", Sub: "acme|alice", ClientID: "gateway", Issuer: "https://broker.example",
		Claims: claims, Principal: claims, Made: []string{"groups", "tenant"}, Scopes: scopes, Audiences: []string{"orders"},
		IssuedAt: noon.Add(-time.Minute), Expires: noon.Add(9 * time.Minute), OriginExpires: noon.Add(20 * time.Minute), AuthTime: noon.Add(-time.Hour),
		ACR: "gold", AMR: []string{"pwd", "otp"}, JTI: "own-1",
		Facts: revoke.Facts{
			TokenID: "own-1", ClientID: "gateway", Subject: "acme|alice", Upstream: "acme", Kid: "k1",
			Lineage: revoke.Lineage{Tokens: []string{"tok-ext"}, Rules: []string{"partner-orders"}},
		},
	}
}

func client(id string) *oauth.Requester { return &oauth.Requester{ClientID: id} }

// by is a request of a client; edit changes it.
func by(s *Subject, q *oauth.Requester, targets ...string) *Request {
	return &Request{Subject: s, Requester: q, Targets: targets, Now: noon}
}

// outcome is the rule that decided, or the code and reason of the denial.
func outcome(p *Set, in *Request) string {
	d, err := p.Decide(in, nil)
	if err == nil {
		return d.RuleID()
	}
	e := oauth.AsError(err)
	return string(e.Code) + " " + string(e.Reason)
}

func wantOutcome(t *testing.T, p *Set, in *Request, want string) {
	t.Helper()
	if got := outcome(p, in); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

const twoUpstreams = `
- {id: acme-orders, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
- {id: own-billing, subject: {issued: true}, requester: {clients: [gateway]}, grant: {audiences: [billing]}}
- {id: own-acme, subject: {issued: true, upstream: acme}, requester: {clients: [orders-api]}, grant: {audiences: [billing]}}
- {id: anon, subject: {upstream: beta}, requester: {anonymous: true}, grant: {audiences: [deploy]}}
`

func TestP15_DefaultDeny(t *testing.T) {
	none := Compile(world(), func(string, string, ...any) {})
	wantOutcome(t, none, by(external(), client("gateway"), "orders"), "unauthorized_client grant_not_allowed")
	p := compile(t, twoUpstreams)
	for _, c := range []struct {
		name string
		in   *Request
		want string
	}{
		{"the rule", by(external(), client("gateway"), "orders"), "acme-orders"},
		{"an audience of none", by(external(), client("gateway"), "payroll"), "invalid_target target"},
		{"an audience of another's rule", by(external(), client("gateway"), "deploy"), "invalid_target target"},
		{"a requester of none", by(external(), client("batch"), "orders"), "unauthorized_client grant_not_allowed"},
		{"a subject of no rule there", by(external(), client("gateway"), "billing"), "invalid_request selector"},
		{"an own token for an upstream's rule", by(own(), client("gateway"), "orders"), "invalid_request selector"},
		{"an own token of any upstream", by(own(), client("gateway"), "billing"), "own-billing"},
		{"an own token of the named upstream", by(own(), client("orders-api"), "billing"), "own-acme"},
		{"an own token of another upstream", by(with(own(), func(s *Subject) { s.Upstream = "beta" }), client("orders-api"), "billing"), "invalid_request selector"},
		{"an own token of no upstream, named", by(with(own(), func(s *Subject) { s.Upstream = "" }), client("orders-api"), "billing"), "invalid_request selector"},
		{"an own token of no upstream, any", by(with(own(), func(s *Subject) { s.Upstream = "" }), client("gateway"), "billing"), "own-billing"},
		{"a client where anyone may ask", by(with(external(), func(s *Subject) { s.Upstream = "beta" }), client("gateway"), "deploy"), "invalid_target target"},
		{"nobody where a client is named", by(external(), &oauth.Requester{Anonymous: true}, "orders"), "invalid_target target"},
		{"nobody where anyone may ask", by(with(external(), func(s *Subject) { s.Upstream = "beta" }), &oauth.Requester{Anonymous: true}, "deploy"), "anon"},
		{"a requester without a name", by(with(external(), func(s *Subject) { s.Upstream = "beta" }), &oauth.Requester{}, "deploy"), "unauthorized_client grant_not_allowed"},
	} {
		t.Run(c.name, func(t *testing.T) { wantOutcome(t, p, c.in, c.want) })
	}
}

func with(s *Subject, edit func(*Subject)) *Subject {
	edit(s)
	return s
}

func TestP15_FirstRuleInFileOrderDecides(t *testing.T) {
	p := compile(t, `
- {id: never, subject: {upstream: acme, when: 'claims.dept == "Sales"'}, requester: {clients: [gateway]}, grant: {audiences: [orders], scopes: [a]}}
- {id: first, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders], scopes: [b]}}
- {id: second, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders], scopes: [c]}}
`)
	wantOutcome(t, p, by(external(), client("gateway"), "orders"), "first")
}

func TestP15_FileOrderAcrossNamedAndAnyUpstream(t *testing.T) {
	const named = "- {id: named, subject: {issued: true, upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [billing]}}\n"
	const any = "- {id: any, subject: {issued: true}, requester: {clients: [gateway]}, grant: {audiences: [billing]}}\n"
	wantOutcome(t, compile(t, named+any), by(own(), client("gateway"), "billing"), "named")
	wantOutcome(t, compile(t, any+named), by(own(), client("gateway"), "billing"), "any")
}

func TestP15_RulesAreNeverCombined(t *testing.T) {
	p := compile(t, `
- {id: a, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
- {id: b, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [billing]}}
`)
	wantOutcome(t, p, by(external(), client("gateway"), "orders", "billing"), "invalid_target target")
}

func TestP15_EvaluationErrorDoesNotApply(t *testing.T) {
	for name, when := range map[string]string{
		"missing field":    `claims.absent == "x"`,
		"missing, negated": `claims.absent != "x"`,
		"type":             `claims.dept > 5`,
		"cost":             `principal.list.all(a, principal.list.all(b, principal.list.all(c, a == b || b == c || c != a)))`,
	} {
		t.Run(name, func(t *testing.T) {
			p := compile(t, fmt.Sprintf(`
- {id: broken, subject: {upstream: acme, when: '%s'}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
- {id: next, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
`, when))
			s := external()
			list := make([]any, 100)
			for i := range list {
				list[i] = int64(1)
			}
			s.Principal["list"] = list
			in := by(s, client("gateway"), "orders")
			var tr Trace
			d, err := p.Decide(in, &tr)
			if err != nil || d.RuleID() != "next" {
				t.Fatalf("got %q, %v", d.RuleID(), err)
			}
			if _, ok := errors.AsType[*expr.EvalError](tr.Rules[0].Err); !ok || tr.Rules[0].Failed != ConditionWhen {
				t.Errorf("trace: %+v", tr.Rules[0])
			}
			wantOutcome(t, p, in, "next")
		})
	}
}

func TestP15_InputTooLargeDoesNotApply(t *testing.T) {
	p := compile(t, ruleWith("subject", `subject: {upstream: acme, when: 'claims.dept == "R&D"'}`))
	s := external()
	s.Principal["big"] = strings.Repeat("x", 65<<10)
	wantOutcome(t, p, by(s, client("gateway"), "orders"), "invalid_request condition")
}

func TestP16_AllOrNothing(t *testing.T) {
	p := compile(t, ruleWith("grant", "grant: {audiences: [orders, billing, https://x.example]}"))
	for targets, want := range map[string]string{
		"orders":                          "r",
		"billing orders":                  "r",
		"https://x.example orders":        "r",
		"orders payroll":                  "invalid_target target",
		"payroll orders":                  "invalid_target target",
		"ORDERS":                          "invalid_target target",
		"orders billing https://x.exampl": "invalid_target target",
	} {
		wantOutcome(t, p, by(external(), client("gateway"), strings.Fields(targets)...), want)
	}
}

func TestP16_NoneRequested(t *testing.T) {
	one := compile(t, ruleWith("grant", "grant: {audiences: [orders]}"))
	d, err := one.Decide(by(external(), client("gateway")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Audiences, []string{"orders"}) {
		t.Errorf("got %q", d.Audiences)
	}
	several := compile(t, ruleWith("grant", "grant: {audiences: [orders, billing]}"))
	wantOutcome(t, several, by(external(), client("gateway")), "invalid_target target")
	// The rule that decides must have one: a later one does not help.
	wantOutcome(t, compile(t, `
- {id: two, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders, billing]}}
- {id: one, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
`), by(external(), client("gateway")), "invalid_target target")
}

func TestP22_TokenTypeOfTheRule(t *testing.T) {
	for _, c := range []struct{ types, requested, want string }{
		{"", "", oauth.TypeAccessToken},
		{"", oauth.TypeAccessToken, oauth.TypeAccessToken},
		{"", oauth.TypeJWT, oauth.TypeJWT},
		{"", oauth.TypeIDToken, ""},
		{"[jwt]", "", oauth.TypeJWT},
		{"[jwt]", oauth.TypeAccessToken, ""},
		{"[access_token]", oauth.TypeJWT, ""},
		{"[jwt, access_token]", "", oauth.TypeJWT},
		{"[jwt, id_token]", oauth.TypeIDToken, oauth.TypeIDToken},
		{"[id_token, jwt]", oauth.TypeAccessToken, ""},
		{"[id_token, jwt]", oauth.TypeJWT, oauth.TypeJWT},
	} {
		grant := "grant: {audiences: [batch]}"
		if c.types != "" {
			grant = "grant: {audiences: [batch], token_types: " + c.types + "}"
		}
		in := by(external(), client("gateway"), "batch")
		in.TokenType = c.requested
		d, err := compile(t, ruleWith("grant", grant)).Decide(in, nil)
		if c.want == "" {
			if e := oauth.AsError(err); err == nil || e.Code != oauth.CodeInvalidRequest || e.Reason != oauth.ReasonTokenType {
				t.Errorf("%s, %s: got %v", c.types, c.requested, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s, %s: %v", c.types, c.requested, err)
			continue
		}
		if d.TokenType != c.want {
			t.Errorf("%s, %s: got %q, want %q", c.types, c.requested, d.TokenType, c.want)
		}
	}
}

func TestMode_AuditNeverGrants(t *testing.T) {
	wantOutcome(t, compile(t, ruleWith("more", "mode: audit")), by(external(), client("gateway"), "orders"), "unauthorized_client grant_not_allowed")
}

func TestP29_RequestHoldsValidatedFields(t *testing.T) {
	p := compile(t, ruleWith("subject", `subject: {upstream: acme, when: 'request.client_id == "gateway" && request.audiences == ["orders"] && request.scopes == ["a", "b"] && request.token_type == "`+oauth.TypeJWT+`" && scopes == []'}`))
	in := by(external(), client("gateway"), "orders")
	in.Scope, in.TokenType = "a b a", oauth.TypeJWT
	wantOutcome(t, p, in, "r")
	in.Scope = "a  b"
	wantOutcome(t, p, in, "invalid_request condition")
}

func TestCEL_OwnTokenIsClaimsAndPrincipal(t *testing.T) {
	p := compile(t, ruleWith("subject", `subject: {issued: true, when: '"orders.read" in scopes && claims.tenant == "acme" && principal.tenant == "acme"'}`))
	wantOutcome(t, p, by(own("orders.read"), client("gateway"), "orders"), "r")
	wantOutcome(t, p, by(own("orders.write"), client("gateway"), "orders"), "invalid_request condition")
}

func TestTrace_FirstFailingCondition(t *testing.T) {
	p := compile(t, `
- {id: requester, subject: {upstream: acme}, requester: {clients: [batch]}, grant: {audiences: [orders]}}
- {id: audience, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [billing]}}
- {id: mode, mode: audit, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
- {id: subject, subject: {upstream: beta}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
- {id: token_type, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders], token_types: [jwt]}}
- {id: when, subject: {upstream: acme, when: claims.dept == "Sales"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
- {id: applies, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
- {id: unreached, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
`)
	in := by(external(), client("gateway"), "orders")
	in.TokenType = oauth.TypeAccessToken
	var tr Trace
	if _, err := p.Decide(in, &tr); err != nil {
		t.Fatal(err)
	}
	if len(tr.Rules) != 7 {
		t.Fatalf("got %+v", tr.Rules)
	}
	for _, r := range tr.Rules[:6] {
		if r.Rule != string(r.Failed) {
			t.Errorf("%s failed by %q", r.Rule, r.Failed)
		}
	}
	if last := tr.Rules[6]; last.Rule != "applies" || last.Failed != ConditionNone {
		t.Errorf("got %+v", last)
	}
	if nearest, asked := tr.Nearest(); !asked || nearest.Rule != "applies" {
		t.Errorf("want the rule that decided, got %+v", nearest)
	}
	in.Actor = machine("gateway")
	tr = Trace{}
	if _, asked := tr.Nearest(); asked {
		t.Error("want no rule of an empty trace")
	}
	if _, err := p.Decide(in, &tr); err == nil || tr.Rules[6].Failed != ConditionActor {
		t.Errorf("got %v, %+v", err, tr.Rules)
	}
}

// The cause of a denial names the rule that came nearest.
func TestDenial_NamesTheNearestRule(t *testing.T) {
	p := compile(t, `
- {id: near, subject: {upstream: acme, when: claims.dept == "Sales"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
- {id: far, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders], token_types: [jwt]}}
`)
	in := by(external(), client("gateway"), "orders")
	in.TokenType = oauth.TypeAccessToken
	if _, err := p.Decide(in, nil); err == nil || err.Error() != "invalid_request: condition: rule near: when" {
		t.Errorf("got %v", err)
	}
	var tr Trace
	if _, err := p.Decide(in, &tr); err == nil || err.Error() != "invalid_request: condition: rule near: when" {
		t.Errorf("got %v with a trace", err)
	}
	if nearest, asked := tr.Nearest(); !asked || nearest.Rule != "near" || nearest.Failed != ConditionWhen {
		t.Errorf("want the trace to say the same, got %+v", nearest)
	}
}

// The index, the trace's walk over all rules and a plain search agree, whatever the rules are.
func TestP15_IndexAgreesWithFileOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := []string{"a", "b", "c"}
		audiences := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "y", "z"}), 1, 3, rapid.ID[string])
		o := world()
		n := rapid.IntRange(1, 12).Draw(rt, "rules")
		o.Clients = []Client{{ID: "a"}, {ID: "b"}, {ID: "c"}}
		for i := range n {
			s := Spec{ID: fmt.Sprint("r", i), Grant: &GrantSpec{Audiences: audiences.Draw(rt, "audiences")}, Requester: &RequesterSpec{}, Subject: &SubjectSpec{}}
			s.Subject.Issued = rapid.Bool().Draw(rt, "own")
			s.Subject.Upstream = rapid.SampledFrom([]string{"acme", "beta"}).Draw(rt, "upstream")
			if s.Subject.Issued && rapid.Bool().Draw(rt, "any") {
				s.Subject.Upstream = ""
			}
			if rapid.Bool().Draw(rt, "when") {
				s.Subject.When = rapid.SampledFrom([]string{"true", "false", `claims.absent == 1`}).Draw(rt, "condition")
			}
			if s.Requester.Anonymous = !s.Subject.Issued && rapid.Bool().Draw(rt, "anonymous"); !s.Requester.Anonymous {
				s.Requester.Clients = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 1, 3, rapid.ID[string]).Draw(rt, "clients")
			}
			if rapid.Bool().Draw(rt, "typed") {
				s.Grant.TokenTypes = []string{oauth.ShortJWT}
			}
			o.Rules = append(o.Rules, s)
		}
		p := Compile(o, func(path, format string, args ...any) { rt.Fatalf(path+": "+format, args...) })
		s := external()
		if s.Own = rapid.Bool().Draw(rt, "own subject"); s.Own {
			s.Upstream = rapid.SampledFrom([]string{"acme", "beta", ""}).Draw(rt, "subject's upstream")
		}
		in := by(s, client(rapid.SampledFrom(names).Draw(rt, "requester")), rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"x", "y", "z", "?"}), 0, 2, rapid.ID[string]).Draw(rt, "targets")...)
		if rapid.Bool().Draw(rt, "nobody") {
			in.Requester = &oauth.Requester{Anonymous: true}
		}
		in.TokenType = rapid.SampledFrom([]string{"", oauth.TypeAccessToken, oauth.TypeJWT}).Draw(rt, "type")
		fast, errFast := p.Decide(in, nil)
		slow, errSlow := p.Decide(in, &Trace{})
		if fast.RuleID() != slow.RuleID() || (errFast == nil) != (errSlow == nil) {
			rt.Fatalf("index: %q, %v; trace: %q, %v", fast.RuleID(), errFast, slow.RuleID(), errSlow)
		}
		if errFast != nil && oauth.AsError(errFast).Code != oauth.AsError(errSlow).Code {
			rt.Fatalf("index: %v; trace: %v", errFast, errSlow)
		}
		if want := model(o.Rules, in); errFast == nil && fast.RuleID() != want || errFast != nil && want != "" && oauth.AsError(errFast).Code != oauth.CodeInvalidTarget {
			rt.Fatalf("got %q, %v; model %q", fast.RuleID(), errFast, want)
		}
	})
}

// model is P15 by the letter, on the specs.
func model(rules []Spec, in *Request) string {
	for _, r := range rules {
		requester := r.Requester.Anonymous && in.Requester.Anonymous || !in.Requester.Anonymous && slices.Contains(r.Requester.Clients, in.Requester.ClientID)
		subject := r.Subject.Issued == in.Subject.Own && (r.Subject.Upstream == in.Subject.Upstream || r.Subject.Issued && r.Subject.Upstream == "")
		audiences := !slices.ContainsFunc(in.Targets, func(a string) bool { return !slices.Contains(r.Grant.Audiences, a) })
		typed := r.Grant.TokenTypes == nil || in.TokenType != oauth.TypeAccessToken
		if requester && subject && audiences && typed && (r.Subject.When == "" || r.Subject.When == "true") {
			return r.ID
		}
	}
	return ""
}
