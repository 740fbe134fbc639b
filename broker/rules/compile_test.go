package rules

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"fedbroker/mappers"
	"fedbroker/mappers/expr"
)

const exampleRules = `
- id: partner-orders
  subject: {upstream: acme, when: '"acme:orders" in principal.groups'}
  requester: {clients: [gateway]}
  grant: {audiences: [orders], scopes: [orders.read], ttl: 10m}
- id: ci-deploy
  subject: {upstream: github, when: claims.repository_owner_id == "123456" && claims.ref == "refs/heads/main"}
  requester: {anonymous: true}
  grant: {audiences: [https://deploy.internal], scopes: [deploy], ttl: 15m, outlive_subject: true, single_use: true}
- id: orders-to-billing
  mode: enforce
  bound_subject: refuse
  subject: {issued: true, when: '"orders.read" in scopes'}
  requester: {clients: [orders-api, spa], public_clients: true}
  actor: none
  grant: {audiences: [billing], scopes: [{name: billing.read, from: [orders.read]}, plain], claims: [tenant], ttl: 5m, token_types: [jwt, access_token, id_token]}
`

const testTTL = 10 * time.Minute

// world is what the rules of the tests may name.
func world() Options {
	return Options{
		AccessTTL: testTTL, Leeway: 30 * time.Second,
		Upstreams: []Upstream{
			{Name: "acme", Exchange: true, Leeway: time.Minute, Emits: []mappers.Emission{{Claim: "groups", Prefix: "acme:"}}},
			{Name: "beta", Exchange: true, Emits: []mappers.Emission{{Claim: "groups", Prefix: "beta:"}, {Claim: "roles", Prefix: "beta:"}}},
			{Name: "github", Exchange: true, Shared: true, OwnerClaims: []string{"repository_owner_id", "enterprise_id"}, ClaimTypes: map[string]expr.Type{"repository_owner_id": expr.String}},
			{Name: "login-only"},
		},
		Clients: []Client{{ID: "gateway"}, {ID: "orders-api"}, {ID: "batch"}, {ID: "spa", Public: true}},
	}
}

func rulesOf(t testing.TB, text string) (specs []Spec) {
	t.Helper()
	if err := yaml.Load([]byte(text), &specs, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	return specs
}

func problems(o Options) (all []string) {
	Compile(o, func(path, format string, args ...any) { all = append(all, path+": "+fmt.Sprintf(format, args...)) })
	return all
}

// compile takes rules that are in order.
func compile(t testing.TB, text string) *Set {
	t.Helper()
	o := world()
	o.Rules = rulesOf(t, text)
	p := Compile(o, func(path, format string, args ...any) { t.Errorf(path+": "+format, args...) })
	if t.Failed() {
		t.FailNow()
	}
	return p
}

func TestCompile_Example(t *testing.T) {
	p := compile(t, exampleRules)
	if !p.HasAnonymous() || !p.KnowsUpstream("acme") || p.KnowsUpstream("beta") {
		t.Error("what the rules name is not known")
	}
	if got, want := p.Longest(), 15*time.Minute; got != want {
		t.Errorf("longest: got %v, want %v", got, want)
	}
	if got := p.Reads("github").Names; !slices.Equal(got, []string{"ref", "repository_owner_id"}) {
		t.Errorf("reads: %q", got)
	}
	if got, want := p.rules[2].Scopes, []Scope{{"billing.read", []string{"orders.read"}}, {"plain", []string{"plain"}}}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("scopes: %v, want %v", got, want)
	}
}

func TestScopeSpec_YAML(t *testing.T) {
	var specs []ScopeSpec
	if err := yaml.Load([]byte(`[a, {name: b, from: [c]}]`), &specs); err != nil {
		t.Fatal(err)
	}
	out, err := yaml.Dump(specs)
	if want := "- a\n- name: b\n  from:\n  - c\n"; err != nil || string(out) != want {
		t.Errorf("got %s, %v", out, err)
	}
	for _, text := range []string{`[{name: a, form: [b]}]`, `[[a]]`} {
		if err := yaml.Load([]byte(text), &specs, yaml.WithKnownFields()); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

// What `check` prints reads back as what it was: no claims and all claims stay apart.
func TestRuleSpec_YAMLRoundTrip(t *testing.T) {
	for _, grant := range []string{"grant: {audiences: [a]}", "grant: {audiences: [a], claims: []}", "grant: {audiences: [a], claims: [b], ttl: 5m}"} {
		specs := rulesOf(t, exampleRules+ruleWith("grant", grant))
		out, err := yaml.Dump(specs)
		if err != nil {
			t.Fatal(err)
		}
		if back := rulesOf(t, string(out)); !reflect.DeepEqual(back, specs) {
			t.Errorf("%s: got\n%s", grant, out)
		}
	}
}

// ruleWith is a rule in order, with one part exchanged.
func ruleWith(part, text string) string {
	parts := map[string]string{
		"id": "id: r", "subject": "subject: {upstream: acme}", "requester": "requester: {clients: [gateway]}", "grant": "grant: {audiences: [orders]}", "more": "",
	}
	parts[part] = text
	var b strings.Builder
	sep := "- "
	for _, name := range []string{"id", "subject", "requester", "grant", "more"} {
		if parts[name] != "" {
			b.WriteString(sep + parts[name] + "\n")
			sep = "  "
		}
	}
	return b.String()
}

func TestCompile_LoadErrors(t *testing.T) {
	for _, c := range []struct{ name, part, text, want string }{
		{"P15 requester left out", "requester", "", "exchange[0].requester: want {clients: [ID]} or {anonymous: true}, got none"},
		{"P15 requester names nobody", "requester", "requester: {clients: []}", "exchange[0].requester.clients: want at least one client, or anonymous: true, got none"},
		{"P15 subject left out", "subject", "", "exchange[0].subject: want {upstream: NAME} or {issued: true}, got none"},
		{"P15 subject selects nothing", "subject", "subject: {when: 'true'}", "exchange[0].subject: want {upstream: NAME} or {issued: true}, got neither"},
		{"P15 grant left out", "grant", "", "exchange[0].grant.audiences: want at least one, got none"},
		{"P15 grant.audiences left out", "grant", "grant: {ttl: 5m}", "exchange[0].grant.audiences: want at least one, got none"},
		{"P15 grant.audiences empty", "grant", "grant: {audiences: []}", "exchange[0].grant.audiences: want at least one, got none"},
		{"empty audience", "grant", `grant: {audiences: [""]}`, `exchange[0].grant.audiences[0]: want 1 to 2048 visible ASCII characters, got ""`},
		{"audience twice", "grant", "grant: {audiences: [a, a]}", `exchange[0].grant.audiences[1]: want each audience once, got "a" again`},
		{"no id", "id", "mode: enforce", `exchange[0].id: want 1 to 64 characters of A-Z a-z 0-9 . _ -, got ""`},
		{"bad id", "id", "id: 'a:b'", `exchange[0].id: want 1 to 64 characters of A-Z a-z 0-9 . _ -, got "a:b"`},
		{"unknown mode", "more", "mode: off", `exchange[0].mode: want enforce or audit, got "off"`},
		{"unknown bound_subject", "more", "bound_subject: maybe", `exchange[0].bound_subject: want refuse or accept, got "maybe"`},
		{"P19 an optional actor", "more", "actor: {upstream: acme}", "exchange[0].actor.required: want true, or actor: none, got false"},
		{"P19 an actor of nobody", "more", "actor: {required: true, upstream: nobody}", `exchange[0].actor.upstream: want one of ["acme" "beta" "github" "login-only"], got "nobody"`},
		{"P11 an actor of an upstream to log in at", "more", "actor: {required: true, upstream: login-only}", "exchange[0].actor.upstream: want an upstream with audiences to exchange from"},
		{"P29 an actor of a shared issuer", "more", "actor: {required: true, upstream: github}", "exchange[0].actor.upstream: want an upstream whose issuer speaks for nobody else, got github"},
		{"P19 a condition that does not compile", "more", "actor: {required: true, when: actor.sub ==}", "exchange[0].actor.when: "},
		{"P5 an actor's groups of whom", "more", `actor: {required: true, issued: true, when: '"x" in actor.groups'}`, "exchange[0].actor.upstream: want the upstream whose groups the condition reads"},
		{"unknown upstream", "subject", "subject: {upstream: acne}", `exchange[0].subject.upstream: want one of ["acme" "beta" "github" "login-only"], got "acne"`},
		{"unknown upstream of own tokens", "subject", "subject: {issued: true, upstream: acne}", `exchange[0].subject.upstream: want one of ["acme" "beta" "github" "login-only"], got "acne"`},
		{"P11 upstream without exchange audiences", "subject", "subject: {upstream: login-only}", `exchange[0].subject.upstream: want an upstream with audiences to exchange from, got "login-only", which has none`},
		{"P29 type error", "subject", "subject: {upstream: acme, when: '1 + 1'}", "exchange[0].subject.when: want a bool, got int"},
		{"P29 declared type", "subject", "subject: {upstream: github, when: claims.repository_owner_id == 5}", "exchange[0].subject.when: "},
		{"P29 unknown member of request", "subject", "subject: {upstream: acme, when: request.host == \"x\"}", "exchange[0].subject.when: want one of "},
		{"P29 oversized", "subject", "subject: {upstream: acme, when: '\"" + strings.Repeat("x", 4096) + "\" == \"\"'}", "exchange[0].subject.when: want at most 4096 bytes"},
		{"P29 shared issuer without when", "subject", "subject: {upstream: github}", "exchange[0].subject.when: want a top-level == or in on an owner of the shared issuer of github, one of claims.repository_owner_id, claims.enterprise_id, got none"},
		{"P29 shared issuer without owner", "subject", `subject: {upstream: github, when: claims.ref == "x"}`, "exchange[0].subject.when: want a top-level =="},
		{"P29 owner below or", "subject", `subject: {upstream: github, when: claims.repository_owner_id == "1" || claims.ref == "x"}`, "exchange[0].subject.when: want a top-level =="},
		{"P29 owner by name", "subject", `subject: {upstream: github, when: claims.repository_owner == "us"}`, "exchange[0].subject.when: want a top-level =="},
		{"actor where there is none", "subject", "subject: {upstream: acme, when: actor.sub == \"x\"}", "exchange[0].subject.when: "},
		{"P5 groups of whom", "subject", `subject: {issued: true, when: '"acme:x" in claims.groups'}`, `exchange[0].subject.upstream: want the upstream whose groups the condition reads, one of ["acme" "beta"], got none`},
		{"P5 groups of whom, by principal", "subject", `subject: {issued: true, when: '"x" in principal.groups'}`, `exchange[0].subject.upstream: want the upstream whose groups the condition reads`},
		{"P5 claims as a whole", "subject", `subject: {issued: true, when: size(claims) > 3}`, `exchange[0].subject.upstream: want the upstream whose groups the condition reads`},
		{"both kinds of requester", "requester", "requester: {clients: [gateway], anonymous: true}", "exchange[0].requester: want clients or anonymous, got both"},
		{"P21 anonymous and public", "requester", "requester: {anonymous: true, public_clients: true}", "exchange[0].requester.public_clients: want it with clients, got it with anonymous"},
		{"unknown client", "requester", "requester: {clients: [gateway, nobody]}", `exchange[0].requester.clients[1]: want a configured client, got "nobody"`},
		{"client twice", "requester", "requester: {clients: [gateway, gateway]}", `exchange[0].requester.clients[1]: want each client once, got "gateway" again`},
		{"P18 ttl too short", "grant", "grant: {audiences: [a], ttl: 4s}", "exchange[0].grant.ttl: want 5s to 24h0m0s in whole seconds, got 4s"},
		{"P18 ttl zero", "grant", "grant: {audiences: [a], ttl: 0s}", "exchange[0].grant.ttl: want 5s to 24h0m0s in whole seconds, got 0s"},
		{"P18 ttl too long", "grant", "grant: {audiences: [a], ttl: 25h}", "exchange[0].grant.ttl: want 5s to 24h0m0s in whole seconds, got 25h0m0s"},
		{"P17 bad scope", "grant", "grant: {audiences: [a], scopes: [a b]}", `exchange[0].grant.scopes[0]: want a scope name (RFC 6749 §3.3), got "a b"`},
		{"P17 scope twice", "grant", "grant: {audiences: [a], scopes: [b, b]}", `exchange[0].grant.scopes[1]: want each scope once, got "b" again`},
		{"P17 from an external subject", "grant", "grant: {audiences: [a], scopes: [{name: b, from: [c]}]}", "exchange[0].grant.scopes[0].from: want a plain name, got from"},
		{"P8 reserved claim", "grant", "grant: {audiences: [a], claims: [sub]}", `exchange[0].grant.claims[0]: want a claim that is not the broker's own, got "sub"`},
		{"P8 claim name", "grant", "grant: {audiences: [a], claims: ['1x']}", `exchange[0].grant.claims[0]: want a claim name, got "1x"`},
		{"P22 unknown token type", "grant", "grant: {audiences: [a], token_types: [saml2]}", `exchange[0].grant.token_types[0]: want one of ["access_token" "id_token" "jwt"], got "saml2"`},
		{"P22 no token type", "grant", "grant: {audiences: [a], token_types: []}", "exchange[0].grant.token_types: want at least one, got none"},
		{"P22 token type twice", "grant", "grant: {audiences: [a], token_types: [jwt, jwt]}", `exchange[0].grant.token_types[1]: want each token type once, got "jwt" again`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := world()
			o.Rules = rulesOf(t, ruleWith(c.part, c.text))
			got := problems(o)
			if len(got) != 1 || !strings.HasPrefix(got[0], c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}

func TestCompile_LoadErrorsOfTwoParts(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"P18 outlive_subject of an own token", "- {id: r, subject: {issued: true}, requester: {clients: [gateway]}, grant: {audiences: [a], outlive_subject: true}}",
			"exchange[0].grant.outlive_subject: want a rule on an upstream's tokens, got issued: true"},
		{"P21 anonymous with an own token", "- {id: r, subject: {issued: true}, requester: {anonymous: true}, grant: {audiences: [a]}}",
			"exchange[0].requester.anonymous: want a rule on an upstream's tokens, got issued: true"},
		{"an id twice", ruleWith("id", "id: r") + ruleWith("id", "id: r"), `exchange[1].id: want a unique id, got "r", which exchange[0] has, too`},
	} {
		o := world()
		o.Rules = rulesOf(t, c.text)
		if got := problems(o); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: got %q\nwant %q", c.name, got, c.want)
		}
	}
}

func TestCompile_AllProblemsAtOnce(t *testing.T) {
	o := world()
	o.Rules = rulesOf(t, `
- {id: "a b", mode: off, subject: {upstream: nobody}, requester: {clients: [nobody]}, actor: {upstream: nobody}, grant: {audiences: [], ttl: 1s, token_types: [x]}}
- {id: ok, subject: {upstream: github}, grant: {audiences: [a]}}
`)
	if got := problems(o); len(got) != 10 {
		t.Errorf("got %d: %s", len(got), strings.Join(got, "\n"))
	}
}

func TestP5_OwnClaimOfOneUpstreamOrOfANamedOne(t *testing.T) {
	compile(t, ruleWith("subject", `subject: {issued: true, when: '"beta:x" in principal.roles'}`))
	compile(t, ruleWith("subject", `subject: {issued: true, upstream: acme, when: '"acme:x" in principal.groups'}`))
	compile(t, ruleWith("subject", `subject: {upstream: acme, when: '"acme:x" in principal.groups'}`))
}

func TestP29_PinOnSharedIssuer(t *testing.T) {
	compile(t, ruleWith("subject", `subject: {upstream: github, when: 'claims.ref == "x" && claims.repository_owner_id in ["1", "2"]'}`))
	compile(t, ruleWith("subject", `subject: {upstream: github, when: claims.enterprise_id == "7"}`))
}

func TestP11_OwnTokensOfALoginUpstream(t *testing.T) {
	compile(t, ruleWith("subject", `subject: {issued: true, upstream: login-only}`))
}

func TestP18_TTLOfTheLeastAndTheMost(t *testing.T) {
	compile(t, ruleWith("grant", "grant: {audiences: [a], ttl: 5s}"))
	compile(t, ruleWith("grant", "grant: {audiences: [a], ttl: 24h}"))
}
