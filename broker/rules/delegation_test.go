package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"fedbroker/broker/oauth"
)

// machine is a client's token of its own.
func machine(id string) *Subject {
	claims := map[string]any{"sub": id, "client_id": id}
	return &Subject{Own: true, Sub: id, ClientID: id, Issuer: "https://broker.example", Claims: claims, Principal: claims, Expires: noon.Add(testTTL), OriginExpires: noon.Add(testTTL)}
}

func acting(s, actor *Subject, by *oauth.Requester) *Request {
	return &Request{Subject: s, Actor: actor, Requester: by, Targets: []string{"orders"}, Now: noon}
}

const delegation = "actor: {required: true}"

func TestP19_ImpersonationKnowsNoActor(t *testing.T) {
	p := compile(t, ruleWith("id", "id: r"))
	in := by(external(), client("gateway"), "orders")
	in.Actor = machine("gateway")
	wantOutcome(t, p, in, "invalid_request actor")
	wantOutcome(t, p, by(with(external(), func(s *Subject) { s.Act = &Actor{Subject: "x"} }), client("gateway"), "orders"), "invalid_request actor")
	wantOutcome(t, p, by(with(external(), func(s *Subject) { s.MayAct = &MayAct{Subject: "gateway"} }), client("gateway"), "orders"), "invalid_request actor")
	in.Targets = []string{"payroll"} // P27: the target comes first
	wantOutcome(t, p, in, "invalid_target target")
}

func TestP19_DelegationNeedsTheActorThatTheRuleSelects(t *testing.T) {
	beta := with(external(), func(s *Subject) {
		s.Upstream, s.Sub, s.UpstreamSubject, s.Issuer = "beta", "beta|bot", "bot", "https://idp.beta.example"
	})
	const no = "invalid_request actor"
	for _, c := range []struct {
		name, rule string
		actor      *Subject
		want       string
	}{
		{"none", delegation, nil, no},
		{"the requester itself", delegation, machine("gateway"), "r"},
		{"another client", delegation, machine("orders-api"), no},
		{"a person of ours in place of the requester", delegation, own("a"), no},
		{"a person who bears the requester's name", delegation, with(machine("gateway"), func(s *Subject) { s.ClientID = "wiki" }), no},
		{"an upstream's token in place of the requester's", delegation, beta, no},
		{"of the upstream", "actor: {required: true, upstream: beta}", beta, "r"},
		{"of another upstream", "actor: {required: true, upstream: acme}", beta, no},
		{"one of ours that came from the upstream, where the upstream's is wanted", "actor: {required: true, upstream: acme}", own("a"), no},
		{"one of ours", "actor: {required: true, issued: true}", own("a"), "r"},
		{"one of ours, of the upstream", "actor: {required: true, issued: true, upstream: acme}", own("a"), "r"},
		{"one of ours, of another upstream", "actor: {required: true, issued: true, upstream: beta}", own("a"), no},
		{"an upstream's where one of ours is wanted", "actor: {required: true, issued: true}", beta, no},
		{"a condition that holds", `actor: {required: true, issued: true, when: actor.sub == "acme|alice" && claims.dept == "R&D"}`, own("a"), "r"},
		{"a condition that does not", `actor: {required: true, issued: true, when: actor.sub == "acme|bob"}`, own("a"), no},
		{"a condition on an upstream's actor", `actor: {required: true, upstream: beta, when: actor.sub == "beta|bot" && actor.upstream.name == "beta" && actor.tenant == "acme"}`, beta, "r"},
		{"a condition without its claim", `actor: {required: true, when: actor.absent == "x"}`, machine("gateway"), no},
		{"a subject condition on the actor", `actor: {required: true, when: 'true'}`, machine("gateway"), "r"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantOutcome(t, compile(t, ruleWith("more", c.rule)), acting(external(), c.actor, client("gateway")), c.want)
		})
	}
}

// The chain is nobody's to judge by (RFC 8693 §4.1): an earlier actor never counts as the current one.
func TestP20_ConditionsSeeTheCurrentActorOnly(t *testing.T) {
	p := compile(t, ruleWith("more", `actor: {required: true, when: has(actor.act)}`))
	s := with(external(), func(s *Subject) { s.Act = &Actor{Subject: "orders-api"} })
	wantOutcome(t, p, acting(s, machine("gateway"), client("gateway")), "invalid_request actor")
}

func TestP20_ChainIsCapped(t *testing.T) {
	o := world()
	o.Rules, o.ActDepth = rulesOf(t, ruleWith("more", delegation)), 2
	p := Compile(o, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) })
	s := external()
	for depth, want := range []string{"r", "r", "invalid_request actor", "invalid_request actor"} {
		if got := s.Act.Depth(); got != depth {
			t.Fatalf("depth %d, want %d", got, depth)
		}
		wantOutcome(t, p, acting(s, machine("gateway"), client("gateway")), want)
		s.Act = &Actor{Subject: fmt.Sprint("a", depth), Act: s.Act}
	}
}

func TestP20_MayActMatchesEveryMember(t *testing.T) {
	bot := with(external(), func(s *Subject) { s.Sub, s.UpstreamSubject = "acme|bot", "bot" })
	twin := with(external(), func(s *Subject) { s.Upstream, s.Sub, s.UpstreamSubject = "beta", "beta|bot", "bot" }) // the same issuer string
	const itself, upstream = delegation, "actor: {required: true, upstream: acme}"
	for _, c := range []struct {
		name, rule string
		may        MayAct
		actor      *Subject
		ok         bool
	}{
		{"sub of the carrier's issuer", upstream, MayAct{Subject: "bot"}, bot, true},
		{"sub as the broker writes it", upstream, MayAct{Subject: "acme|bot"}, bot, false},
		{"sub and iss", upstream, MayAct{Issuer: "https://idp.acme.example", Subject: "bot"}, bot, true},
		{"another sub", upstream, MayAct{Subject: "alice"}, bot, false},
		{"another iss", upstream, MayAct{Issuer: "https://idp.beta.example", Subject: "bot"}, bot, false},
		{"another cluster of the same issuer", "actor: {required: true, upstream: beta}", MayAct{Subject: "bot"}, twin, false},
		{"the requester's client id, too", upstream, MayAct{Subject: "bot", ClientID: "gateway"}, bot, true},
		{"another requester's", upstream, MayAct{Subject: "bot", ClientID: "orders-api"}, bot, false},
		{"a client of ours", itself, MayAct{Issuer: "https://broker.example", Subject: "gateway"}, machine("gateway"), true},
		{"a client of ours without our iss", itself, MayAct{Subject: "gateway"}, machine("gateway"), false},
		{"the requester alone", itself, MayAct{ClientID: "gateway"}, machine("gateway"), true},
		{"another requester alone", itself, MayAct{ClientID: "batch"}, machine("gateway"), false},
		{"iss alone", upstream, MayAct{Issuer: "https://idp.acme.example"}, bot, false},
		{"nobody", upstream, MayAct{}, bot, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := "invalid_request actor"
			if c.ok {
				want = "r"
			}
			s := with(external(), func(s *Subject) { s.MayAct = &c.may })
			wantOutcome(t, compile(t, ruleWith("more", c.rule)), acting(s, c.actor, client("gateway")), want)
		})
	}
}

func TestP25_BoundSubject(t *testing.T) {
	const bound, no = "bound_subject: accept", "invalid_request confirmation"
	for _, c := range []struct {
		name, rule          string
		confirmed           string
		proven              bool
		proof, want, client string
	}{
		{"a bearer token needs no proof", "", "", false, "", "r", "gateway"},
		{"a bearer token may be bound anew", "", "", false, "k2", "r", "gateway"},
		{"proven", "", "k1", true, "k1", "r", "gateway"},
		{"not proven", "", "k1", false, "k2", no, "gateway"},
		{"no proof", "", "k1", false, "", no, "gateway"},
		{"no proof, whatever is said", "", "k1", true, "", no, "gateway"},
		{"accepted by the rule", bound, "k1", false, "k2", "r", "gateway"},
		{"accepted by the rule, and no proof to bind to", bound, "k1", false, "", no, "gateway"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := by(with(external(), func(s *Subject) { s.Confirmed, s.Proven = c.confirmed, c.proven }), client(c.client), "orders")
			in.Proof = oauth.Proof{Key: c.proof}
			wantOutcome(t, compile(t, ruleWith("more", c.rule)), in, c.want)
		})
	}
}

func TestP21_PublicClientsOnlyWhereTheRuleSaysSoAndTheSubjectIsProven(t *testing.T) {
	spa := &oauth.Requester{ClientID: "spa", Public: true}
	closed, open := compile(t, ruleWith("requester", "requester: {clients: [spa]}")), compile(t, ruleWith("requester", "requester: {clients: [spa], public_clients: true}"))
	bound := with(external(), func(s *Subject) { s.Confirmed, s.Proven = "k1", true })
	proven := func(s *Subject) *Request {
		in := by(s, spa, "orders")
		in.Proof = oauth.Proof{Key: "k1"}
		return in
	}
	wantOutcome(t, closed, proven(bound), "unauthorized_client grant_not_allowed")
	wantOutcome(t, open, proven(bound), "r")
	wantOutcome(t, open, proven(external()), "invalid_request confirmation")
	accepts := compile(t, strings.Replace(ruleWith("requester", "requester: {clients: [spa], public_clients: true}"), "- id: r\n", "- id: r\n  bound_subject: accept\n", 1))
	wantOutcome(t, accepts, proven(with(external(), func(s *Subject) { s.Confirmed = "k2" })), "invalid_request confirmation")
	// Another rule's word for public clients is not this one's.
	two := compile(t, ruleWith("requester", "requester: {clients: [spa]}")+"- {id: other, subject: {upstream: beta}, requester: {clients: [spa], public_clients: true}, grant: {audiences: [orders]}}\n")
	wantOutcome(t, two, proven(bound), "invalid_request selector")
}

func TestP22_IDTokenIsForExactlyOneClient(t *testing.T) {
	p := compile(t, ruleWith("grant", "grant: {audiences: [orders, batch, orders-api], token_types: [access_token, id_token]}"))
	for _, c := range []struct {
		name    string
		targets []string
		want    []string
	}{
		{"by default the requester", nil, []string{"gateway"}},
		{"a client of the rule", []string{"batch"}, []string{"batch"}},
		{"an audience that is no client", []string{"orders"}, nil},
		{"two clients", []string{"batch", "orders-api"}, nil},
		{"a client beyond the rule", []string{"spa"}, nil},
	} {
		in := by(external(), client("gateway"), c.targets...)
		in.TokenType = oauth.TypeIDToken
		m, err := p.Decide(in, nil)
		if c.want == nil {
			if oauth.AsError(err).Code != oauth.CodeInvalidTarget {
				t.Errorf("%s: got %v", c.name, err)
			}
		} else if err != nil || !slices.Equal(m.Audiences, c.want) || m.TokenType != oauth.TypeIDToken {
			t.Errorf("%s: got %+v, %v", c.name, m, err)
		}
	}
}

func TestP23_AssertionsResourcesBoundTheAudience(t *testing.T) {
	p := compile(t, ruleWith("grant", "grant: {audiences: [orders, billing]}"))
	s := with(external(), func(s *Subject) { s.Resources = []string{"orders"} })
	wantOutcome(t, p, by(s, client("gateway"), "orders"), "r")
	wantOutcome(t, p, by(s, client("gateway"), "billing"), "invalid_target target")
	wantOutcome(t, p, by(s, client("gateway"), "orders", "billing"), "invalid_target target")
}

func TestMode_AuditIsNotedAndNeverDecides(t *testing.T) {
	const audit, enforced = `
- {id: shadow, mode: audit, subject: {upstream: acme, when: claims.dept == "R&D"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
- {id: other, mode: audit, subject: {upstream: acme, when: claims.dept == "Sales"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
`, `
- {id: real, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
`
	in := by(external(), client("gateway"), "orders")
	_, err := compile(t, audit).Decide(in, nil)
	if e := oauth.AsError(err); e.Code != oauth.CodeUnauthorizedClient || !slices.Equal(e.Audits, []string{"shadow"}) { // as without the rule
		t.Errorf("denied: %v, %q", err, e.Audits)
	}
	m, err := compile(t, audit+enforced).Decide(in, nil)
	if err != nil || m.RuleID() != "real" || !slices.Equal(m.Audits, []string{"shadow"}) {
		t.Errorf("allowed: %+v, %v", m, err)
	}
	m, err = compile(t, enforced+audit).Decide(in, nil)
	if err != nil || m.RuleID() != "real" || m.Audits != nil {
		t.Errorf("behind the rule that decides: %+v, %v", m, err)
	}
}

// A rule that is only tried opens no door, and changes no answer.
func TestMode_AuditChangesNoAnswer(t *testing.T) {
	const real, tried = `
- {id: real, subject: {upstream: acme, when: claims.dept == "Sales"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
`, `
- {id: target, mode: audit, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [payroll]}}
- {id: other, mode: audit, subject: {upstream: beta}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
- {id: spa, mode: audit, subject: {issued: true}, requester: {clients: [spa], public_clients: true}, grant: {audiences: [orders]}}
- {id: anybody, mode: audit, subject: {upstream: beta}, requester: {anonymous: true}, grant: {audiences: [orders]}}
`
	without, with := compile(t, real), compile(t, real+tried)
	if with.HasAnonymous() {
		t.Error("it takes requests of nobody")
	}
	if got := with.Sources(client("gateway"), false); !slices.Equal(got, []string{"acme"}) {
		t.Errorf("P13: opaque tokens could go to %q", got)
	}
	for _, in := range []*Request{
		by(external(), client("gateway"), "payroll"), by(external(), client("gateway"), "orders"), by(external(), client("gateway"), "orders", "payroll"),
		by(own("a"), &oauth.Requester{ClientID: "spa", Public: true}, "orders"), by(external(), client("batch"), "orders"),
	} {
		if want, got := outcome(without, in), outcome(with, in); got != want {
			t.Errorf("%+v: got %q, want %q", in.Targets, got, want)
		}
	}
}

func TestP5_EitherConditionSaysWhoseClaimsItReads(t *testing.T) {
	for text, want := range map[string]string{
		`- {id: r, subject: {issued: true, upstream: acme, when: '"x" in actor.groups'}, requester: {clients: [gateway]}, actor: {required: true, issued: true}, grant: {audiences: [orders]}}`: "exchange[0].actor.upstream",
		`- {id: r, subject: {issued: true}, requester: {clients: [gateway]}, actor: {required: true, when: '"x" in claims.groups'}, grant: {audiences: [orders]}}`:                              "exchange[0].subject.upstream",
	} {
		o := world()
		o.Rules = rulesOf(t, text)
		if got := problems(o); len(got) != 1 || !strings.HasPrefix(got[0], want+": want the upstream whose groups") {
			t.Errorf("got %q, want %s", got, want)
		}
	}
}

// What a condition reads must reach it: a negation on a claim that was cut away would hold for everybody.
func TestReads_OfTheActorsCondition(t *testing.T) {
	p := compile(t, ruleWith("more", `actor: {required: true, when: "!has(claims.blocked)"}`))
	if got := p.Reads("acme").Names; !slices.Equal(got, []string{"blocked"}) {
		t.Errorf("got %q", got)
	}
}

// Without an audience nothing bounds how many rules a request is judged by.
func TestP16_ManyRulesWantAnAudience(t *testing.T) {
	o := world()
	for i := range maxPerTriple + 1 {
		o.Rules = append(o.Rules, rulesOf(t, strings.NewReplacer("id: r", fmt.Sprint("id: r", i), "orders", fmt.Sprint("aud", i)).Replace(ruleWith("id", "id: r")))...)
	}
	p := Compile(o, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) })
	wantOutcome(t, p, by(external(), client("gateway")), "invalid_target target")
	wantOutcome(t, p, by(external(), client("gateway"), "aud7"), "r7")
}

func TestCompile_TooManyRulesForOneTriple(t *testing.T) {
	o := world()
	for i := range maxPerTriple + 1 {
		o.Rules = append(o.Rules, rulesOf(t, strings.Replace(ruleWith("id", "id: r"), "id: r", fmt.Sprint("id: r", i), 1))...)
	}
	if got := problems(o); len(got) != 1 || !strings.HasPrefix(got[0], "exchange[100].grant.audiences: want at most 100 rules") {
		t.Errorf("got %q", got)
	}
	o.Rules = o.Rules[:maxPerTriple]
	if got := problems(o); len(got) != 0 {
		t.Errorf("got %q", got)
	}
}

// The cause of a denial goes to the log, where no claim is to be.
func TestDenial_QuotesNoClaim(t *testing.T) {
	s := with(external(), func(s *Subject) { s.Claims = map[string]any{"secret": "S3CRET", "obj": map[string]any{}} })
	for when, quoted := range map[string]bool{`claims.obj[claims.secret] == "x"`: false, `{"a": 1}[claims.secret] == 1`: false, `claims.absent == 1`: true} {
		_, err := compile(t, ruleWith("subject", `subject: {upstream: acme, when: '`+when+`'}`)).Decide(by(s, client("gateway"), "orders"), nil)
		cause := fmt.Sprint(errors.Unwrap(err))
		if strings.Contains(cause, "S3CRET") || strings.Contains(cause, "no such key: absent") != quoted {
			t.Errorf("%s: %s", when, cause)
		}
	}
}

func TestActorSpec_YAML(t *testing.T) {
	for text, want := range map[string]ActorSpec{"none": {}, "{required: true}": {Required: true}, "{required: true, upstream: acme, issued: true, when: x}": {Required: true, Upstream: "acme", Issued: true, When: "x"}} {
		var got ActorSpec
		if err := yaml.Load([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		out, err := yaml.Dump(got)
		var again ActorSpec
		if err != nil || yaml.Load(out, &again) != nil || again != want {
			t.Errorf("%s: written as %s, %v", text, out, err)
		}
	}
	if err := yaml.Load([]byte("required"), new(ActorSpec)); err == nil {
		t.Error("the word required passed")
	}
}
