package rules

import (
	"strings"
	"testing"

	"fedbroker/broker/oauth"
)

// Each case is one rule, a request that it refuses, what the trace says of that, and the rule as the trace would have it, which admits the request.
func TestExplain_SaysWhatFailedAndWhatWouldAdmitIt(t *testing.T) {
	proven := oauth.Proof{Key: "k"}
	bound := func() *Subject { return with(external(), func(s *Subject) { s.Confirmed = "k" }) }
	for _, c := range []struct {
		name               string
		rule, changed      string
		in                 *Request
		edit               func(*Request) // what the change asks of the requester
		failed             Condition
		saw, wanted, advis string
	}{
		{
			"another client", ruleWith("id", "id: r"), ruleWith("requester", "requester: {clients: [gateway, batch]}"), by(external(), client("batch"), "orders"), nil,
			ConditionRequester, "client batch", `one of ["gateway"]`, `add "batch" to exchange[0].requester.clients`,
		}, {
			"a public client", ruleWith("requester", "requester: {clients: [spa]}"), ruleWith("requester", "requester: {clients: [spa], public_clients: true}"),
			&Request{Subject: with(bound(), func(s *Subject) { s.Proven = true }), Requester: &oauth.Requester{ClientID: "spa", Public: true}, Proof: proven, Targets: []string{"orders"}, Now: noon}, nil,
			ConditionRequester, "public client spa", "a client that authenticates", "set exchange[0].requester.public_clients to true",
		}, {
			"a client where the rule is for nobody in particular", ruleWith("requester", "requester: {anonymous: true}"), ruleWith("requester", "requester: {anonymous: true}"),
			by(external(), client("gateway"), "orders"), func(in *Request) { in.Requester = &oauth.Requester{Anonymous: true} },
			ConditionRequester, "client gateway", "nobody in particular (anonymous)", "ask without client credentials, where the subject token alone is enough",
		}, {
			"nobody in particular", ruleWith("id", "id: r"), ruleWith("id", "id: r"), by(external(), &oauth.Requester{Anonymous: true}, "orders"),
			func(in *Request) { in.Requester = client("gateway") },
			ConditionRequester, "nobody in particular (anonymous)", `one of ["gateway"]`, "authenticate as one of the clients of exchange[0]",
		}, {
			"another audience", ruleWith("id", "id: r"), ruleWith("grant", "grant: {audiences: [orders, billing]}"), by(external(), client("gateway"), "orders", "billing"), nil,
			ConditionAudience, `["orders", "billing"]`, `only of ["orders"]`, `add "billing" to exchange[0].grant.audiences`,
		}, {
			"another upstream", ruleWith("subject", "subject: {upstream: beta}"), ruleWith("id", "id: r"), by(external(), client("gateway"), "orders"), nil,
			ConditionSubject, "{upstream: acme}", "{upstream: beta}", "a rule whose subject is {upstream: acme}, beside exchange[0]",
		}, {
			"our own token", ruleWith("id", "id: r"), ruleWith("subject", "subject: {issued: true, upstream: acme}"), by(own("a"), client("gateway"), "orders"), nil,
			ConditionSubject, "{issued: true, upstream: acme}", "{upstream: acme}", "a rule whose subject is {issued: true, upstream: acme}, beside exchange[0]",
		}, {
			"another token type", ruleWith("grant", "grant: {audiences: [orders], token_types: [access_token]}"), ruleWith("grant", "grant: {audiences: [orders], token_types: [access_token, jwt]}"),
			having(by(external(), client("gateway"), "orders"), func(in *Request) { in.TokenType = oauth.TypeJWT }), nil,
			ConditionTokenType, "jwt", `one of ["access_token"]`, "add jwt to exchange[0].grant.token_types",
		}, {
			"a bound subject", ruleWith("id", "id: r"), ruleWith("more", "bound_subject: accept"), by(bound(), client("gateway"), "orders"), func(in *Request) { in.Proof = oauth.Proof{Key: "own"} },
			ConditionBound, "a subject token that is bound to a key, and no proof of it", "a DPoP proof of that key",
			"send a DPoP proof made with the subject token's key, or set exchange[0].bound_subject to accept and send one of your own",
		}, {
			"a bound subject without any proof", ruleWith("more", "bound_subject: accept"), ruleWith("more", "bound_subject: accept"), by(bound(), client("gateway"), "orders"),
			func(in *Request) { in.Proof = oauth.Proof{Key: "own"} },
			ConditionBound, "a subject token that is bound to a key, and no proof of it", "a DPoP proof of a key of the requester's", "send a DPoP proof",
		}, {
			"an actor under impersonation", ruleWith("id", "id: r"), ruleWith("more", "actor: {required: true}"),
			having(by(external(), client("gateway"), "orders"), func(in *Request) { in.Actor = machine("gateway") }), nil,
			ConditionActor, "an actor token", "nobody to act (impersonation)", "set exchange[0].actor to {required: true}",
		}, {
			"no actor under delegation", ruleWith("more", delegation), ruleWith("more", delegation), by(external(), client("gateway"), "orders"), func(in *Request) { in.Actor = machine("gateway") },
			ConditionActor, "no actor token", "a token of the requester's own, by client_credentials", "send actor_token and actor_token_type",
		}, {
			"another actor", ruleWith("more", delegation), ruleWith("more", "actor: {required: true, issued: true}"),
			having(by(external(), client("gateway"), "orders"), func(in *Request) { in.Actor = machine("batch") }), nil,
			ConditionActor, "the actor batch, {issued: true}", "a token of the requester's own, by client_credentials", "send another actor token, or select this one in exchange[0].actor",
		}, {
			"a subject that names another actor", ruleWith("more", delegation), ruleWith("more", delegation),
			having(by(with(external(), func(s *Subject) { s.MayAct = &MayAct{Issuer: "https://broker.example", Subject: "batch"} }), client("gateway"), "orders"), func(in *Request) { in.Actor = machine("gateway") }),
			func(in *Request) { in.Subject.MayAct.Subject = "gateway" },
			ConditionActor, "the actor gateway", "the one that may_act of the subject token names", "a subject token whose may_act names this actor and requester",
		}, {
			"a condition", ruleWith("subject", `subject: {upstream: acme, when: claims.dept == "Sales" && claims.team == "a"}`), ruleWith("subject", `subject: {upstream: acme, when: claims.dept == "R&D"}`),
			by(external(), client("gateway"), "orders"), nil,
			ConditionWhen, `claims.dept: "R&D"; claims.team: (absent)`, `claims.dept: "Sales"; claims.team: "a"`,
			`condition 'claims.dept == "Sales"' saw "R&D"; condition 'claims.team == "a"' saw (absent) (exchange[0].subject.when)`,
		}, {
			"a condition on the actor", ruleWith("more", `actor: {required: true, when: actor.client_id == "batch"}`), ruleWith("more", `actor: {required: true, when: actor.client_id == "gateway"}`),
			having(by(external(), client("gateway"), "orders"), func(in *Request) { in.Actor = machine("gateway") }), nil,
			ConditionActor, `actor.client_id: "gateway"`, `actor.client_id: "batch"`, `condition 'actor.client_id == "batch"' saw "gateway" (exchange[0].actor.when)`,
		}, {
			"a rule in mode audit", ruleWith("more", "mode: audit"), ruleWith("more", "mode: enforce"), by(external(), client("gateway"), "orders"), nil,
			ConditionMode, "audit", "enforce", "set exchange[0].mode to enforce",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var tr Trace
			p := compile(t, c.rule)
			in := *c.in
			j := judge{in: &in, set: p}
			failed, err := j.rule(&p.rules[0])
			tr.add(&j, &p.rules[0], failed, err)
			got := tr.Rules[0]
			if got.Failed != c.failed || got.Saw != c.saw || got.Wanted != c.wanted || got.Change != c.advis {
				t.Errorf("failed %q\n   saw %s\nwanted %s\nchange %s", got.Failed, got.Saw, got.Wanted, got.Change)
			}
			if got.Path != "exchange[0]" {
				t.Errorf("path %q", got.Path)
			}
			if c.edit != nil {
				c.edit(&in)
			}
			changed := compile(t, c.changed)
			j = judge{in: &in, set: changed}
			if failed, err := j.rule(&changed.rules[0]); failed != ConditionNone {
				t.Errorf("with the change: still refused by %q: %v", failed, err)
			}
		})
	}
}

func having(in *Request, edit func(*Request)) *Request {
	edit(in)
	return in
}

// What nobody traces is judged alike: the explanation changes nothing and is not made.
func TestExplain_NothingIsWrittenWithoutATrace(t *testing.T) {
	p := compile(t, twoUpstreams)
	in := by(external(), client("gateway"), "billing")
	var tr Trace
	_, traced := p.Decide(in, &tr)
	_, untraced := p.Decide(in, nil)
	if oauth.AsError(traced).Reason != oauth.AsError(untraced).Reason {
		t.Errorf("traced %v, untraced %v", traced, untraced)
	}
	if len(tr.Rules) != 4 {
		t.Errorf("%d rules in the trace, want all 4", len(tr.Rules))
	}
	for _, r := range tr.Rules {
		if r.Failed != ConditionNone && (r.Saw == "" || r.Wanted == "" || r.Change == "") {
			t.Errorf("rule %s: %+v", r.Rule, r)
		}
	}
}

// An input that no expression can judge is said to be that, not a condition that saw nothing.
func TestExplain_AnInputThatIsTooLarge(t *testing.T) {
	p := compile(t, ruleWith("subject", `subject: {upstream: acme, when: claims.dept == "R&D"}`))
	var tr Trace
	in := by(with(external(), func(s *Subject) { s.Claims["big"] = strings.Repeat("x", 70<<10) }), client("gateway"), "orders")
	if _, err := p.Decide(in, &tr); err == nil {
		t.Fatal("allowed")
	}
	if got := tr.Rules[0]; !strings.Contains(got.Saw, "more than 65536 bytes") || got.Wanted == "" || len(got.Saw) > 300 {
		t.Errorf("got %+v", got)
	}
}

func TestP47_ReadsOwnIsWhatRulesReadOfOurTokens(t *testing.T) {
	p := compile(t, ruleWith("subject", `subject: {issued: true, when: claims.a == 1 && principal.b == 2}`)+strings.Replace(
		ruleWith("subject", `subject: {upstream: acme, when: claims.c == 1}`)+`  actor: {required: true, issued: true, when: actor.d == 1}`, "id: r", "id: s", 1))
	if got := p.ReadsOwn(); strings.Join(got.Names, " ") != "a b d" || got.All {
		t.Errorf("got %+v", got)
	}
}

// An evaluation error means "does not apply", and the trace shows it.
func TestP15_AnEvaluationErrorIsShownInTheTrace(t *testing.T) {
	p := compile(t, ruleWith("subject", `subject: {upstream: acme, when: claims.dpt == "R&D"}`))
	var tr Trace
	if _, err := p.Decide(by(external(), client("gateway"), "orders"), &tr); err == nil {
		t.Fatal("allowed")
	}
	got := tr.Rules[0]
	if got.Failed != ConditionWhen || got.Err == nil || got.Saw != "claims.dpt: (absent)" || got.Wanted != `claims.dpt: "R&D"` || !strings.Contains(got.Change, "and there is dept") {
		t.Errorf("got %+v", got)
	}
}
