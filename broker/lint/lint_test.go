package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"fedbroker/broker/rules"
	"fedbroker/broker/settings"
)

const world = `issuer: https://login.example.com
upstreams:
  - {name: acme, kind: jwt, issuer: https://idp.acme.example, audiences: [gateway-at-acme]}
  - {name: ci, kind: jwt, issuer: https://ci.acme.example, audiences: [https://login.example.com]}
  - {name: bound, kind: jwt, issuer: https://bound.example, audiences: [{value: batch-at-bound, requesters: [batch]}]}
  - {name: github, kind: jwt, preset: github-actions, audiences: [https://login.example.com]}
clients:
  - {id: gateway, secret_sha256: "` + hash + `", grant_types: [token-exchange]}
  - {id: batch, secret_sha256: "` + hash + `", grant_types: [token-exchange, client_credentials], audiences: [batch]}
  - {id: orders-api, secret_sha256: "` + hash + `", grant_types: [token-exchange], identifiers: [orders]}
  - {id: wiki, secret_sha256: "` + hash + `", grant_types: [client_credentials], audiences: [orders]}
  - {id: bearer, secret_sha256: "` + hash + `", grant_types: [jwt-bearer]}
  - {id: cron, secret_sha256: "` + hash + `", grant_types: [token-exchange, client_credentials], audiences: [orders]}
  - {id: app, secret_sha256: "` + hash + `", grant_types: [token-exchange, authorization_code], redirect_uris: [https://app.example.com/cb]}
  - {id: self, secret_sha256: "` + hash + `", grant_types: [token-exchange, jwt-bearer, client_credentials], audiences: [https://login.example.com]}
  - {id: spa, public: true, grant_types: [token-exchange]}
exchange:
`

const hash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// warnings lints rules on the world. The rules must be in order.
func warnings(t testing.TB, exchange string) []string {
	t.Helper()
	var c settings.Config
	if err := yaml.Load([]byte(world+exchange), &c, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	for _, problem := range refused(c) {
		t.Errorf("the rules are refused: %s", problem)
	}
	out := []string{}
	Policy(c, func(path, format string, args ...any) { out = append(out, path+": "+fmt.Sprintf(format, args...)) })
	return out
}

// refused is what keeps the rules from being compiled.
func refused(c settings.Config) (problems []string) {
	o := rules.Options{Rules: c.Exchange, AccessTTL: time.Minute}
	for _, u := range c.Upstreams {
		o.Upstreams = append(o.Upstreams, rules.Upstream{Name: u.Name, Exchange: true, Shared: u.Preset != "", OwnerClaims: []string{"repository_owner_id"}})
	}
	for _, cl := range c.Clients {
		o.Clients = append(o.Clients, rules.Client{ID: cl.ID, Public: cl.Public})
	}
	rules.Compile(o, func(path, format string, args ...any) {
		problems = append(problems, path+": "+fmt.Sprintf(format, args...))
	})
	return problems
}

// when is a rule on ci whose condition this is.
func when(condition string) string {
	return fmt.Sprintf("  - {id: r, subject: {upstream: ci, when: %q}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}\n", condition)
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestPolicy_WiderThanMeant(t *testing.T) {
	for _, tt := range []struct{ name, when, test, witness string }{
		{"an owner that goes on", `claims.sub.startsWith("repo:acme")`, `claims.sub.startsWith("repo:acme")`, "repo:acme-evil/x:ref:refs/heads/main"},
		{"a repository that goes on", `claims.sub.startsWith("repo:acme/api")`, `claims.sub.startsWith("repo:acme/api")`, "repo:acme/api-evil:ref:refs/heads/main"},
		{"a name within the owner's", `claims.sub.startsWith("repo:acme-")`, `claims.sub.startsWith("repo:acme-")`, "repo:acme--evil/x:ref:refs/heads/main"},
		{"no owner at all", `claims.sub.startsWith("repo:")`, `claims.sub.startsWith("repo:")`, "repo:evil/x:ref:refs/heads/main"},
		{"a namespace that goes on", `claims.sub.startsWith("system:serviceaccount:shop")`, `claims.sub.startsWith("system:serviceaccount:shop")`, "system:serviceaccount:shop-evil:default"},
		{"a branch that goes on", `claims.ref.startsWith("refs/heads/release")`, `claims.ref.startsWith("refs/heads/release")`, "refs/heads/release-evil"},
		{"an account at any host", `claims.upn.startsWith("admin@")`, `claims.upn.startsWith("admin@")`, "admin@evil.example"},
		{"nothing to begin with", `claims.sub.startsWith("")`, `claims.sub.startsWith("")`, "evil"},
		{"the other end as it is wanted, too", `claims.sub.startsWith("repo:acme") && claims.sub.endsWith(":environment:prod")`, `claims.sub.startsWith("repo:acme")`, "repo:acme-evil/x:environment:prod"},
		{"a domain that begins earlier", `claims.host.endsWith("acme.example")`, `claims.host.endsWith("acme.example")`, "evilacme.example"},
		{"anybody's main branch", `claims.sub.endsWith(":ref:refs/heads/main")`, `claims.sub.endsWith(":ref:refs/heads/main")`, "repo:evil/x:ref:refs/heads/main"},
		{"any namespace's account", `claims.sub.endsWith(":web")`, `claims.sub.endsWith(":web")`, "system:serviceaccount:evil:web"},
		{"somewhere in between, behind what is wanted", `claims.sub.startsWith("repo:acme/") && claims.sub.contains("/api")`, `claims.sub.contains("/api")`, "repo:acme/evil/api-evil"},
		{"somewhere in between", `claims.sub.contains("acme/api")`, `claims.sub.contains("acme/api")`, "repo:evil/acme/api-evil"},
		{"in one of two ways", `claims.sub == "x" || claims.sub.startsWith("repo:acme")`, `claims.sub.startsWith("repo:acme")`, "repo:acme-evil/x:ref:refs/heads/main"},
		{"behind two negations", `!(claims.x == "1" || !claims.sub.startsWith("repo:acme"))`, `claims.sub.startsWith("repo:acme")`, "repo:acme-evil/x:ref:refs/heads/main"},
		{"of an element", `list(principal.groups).exists(g, g.startsWith("acme"))`, `g.startsWith("acme")`, "acme-evil"},
		{"pattern: any ref", `claims.sub.matches("^(repo:acme/.*)$")`, `claims.sub.matches("^(repo:acme/.*)$")`, "repo:acme/x:pull_request"},
		{"pattern: any ref of one repository", `claims.sub.matches("^(repo:acme/api:.*)$")`, `claims.sub.matches("^(repo:acme/api:.*)$")`, "repo:acme/api:pull_request"},
		{"pattern: an owner that goes on", `claims.sub.matches("^(repo:acme.*)$")`, `claims.sub.matches("^(repo:acme.*)$")`, "repo:acme-evil/x:ref:refs/heads/main"},
		{"pattern: an owner that goes on, up to the repository", `claims.sub.matches("^(?:repo:acme[^/]*/api:ref:refs/heads/main)$")`, `claims.sub.matches("^(?:repo:acme[^/]*/api:ref:refs/heads/main)$")`, "repo:acme-evil/api:ref:refs/heads/main"},
		{"pattern: any owner", `claims.sub.matches("^(.*:ref:refs/heads/main)$")`, `claims.sub.matches("^(.*:ref:refs/heads/main)$")`, "repo:evil/x:ref:refs/heads/main"},
		{"pattern: a dot that is none", `claims.host.matches("^(idp.acme\\.example)$")`, `claims.host.matches("^(idp.acme\\.example)$")`, "idpxacme.example"},
		{"pattern: one alternative of several", `claims.sub.matches("^(repo:acme/api:ref:refs/heads/main|repo:acme/web.*)$")`, `claims.sub.matches("^(repo:acme/api:ref:refs/heads/main|repo:acme/web.*)$")`, "repo:acme/web-evil:ref:refs/heads/main"},
		{"pattern: letters and what is between them", `claims.x.matches("^([A-z]+)$")`, `claims.x.matches("^([A-z]+)$")`, "evil"},
		{"pattern: without regard to case", `claims.sub.matches("^((?i)kim)$")`, `claims.sub.matches("^((?i)kim)$")`, "\u212aim"},
		{"pattern: nothing", `claims.x.matches("^(|acme)$")`, `claims.x.matches("^(|acme)$")`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := fmt.Sprintf("exchange[0].subject.when: %q also admits %q", tt.test, tt.witness)
			if tt.witness == "" {
				want = fmt.Sprintf("exchange[0].subject.when: %q also admits the empty text", tt.test)
			}
			compare(t, warnings(t, when(tt.when)), []string{want})
		})
	}
}

// What is as narrow as it looks, or deliberately wide, is left in peace.
func TestPolicy_NotWiderThanMeant(t *testing.T) {
	for _, condition := range []string{
		`claims.sub == "repo:acme/api:ref:refs/heads/main"`,
		`claims.sub in ["a", "b"]`,
		`claims.sub.startsWith("repo:acme/")`,
		`claims.sub.startsWith("repo:acme/deploy-")`,
		`claims.sub.startsWith("repo:acme/api:")`,
		`claims.sub.startsWith("system:serviceaccount:shop:")`,
		`claims.ref.startsWith("refs/heads/release/")`,
		`claims.ref.startsWith("refs/heads/release-")`,
		`claims.ref.startsWith("refs/tags/v")`,
		`claims.sub.endsWith("@acme.example")`,
		`claims.host.endsWith(".acme.example")`,
		`claims.sub.startsWith("repo:acme/") && claims.sub.endsWith(":ref:refs/heads/main")`,
		`claims.sub.startsWith("repo:acme") && claims.sub == "repo:acme/api:ref:refs/heads/main"`,
		`claims.sub.startsWith("repo:acme") && claims.sub.matches("^(repo:acme/[a-z]+:ref:refs/heads/main)$")`,
		`!claims.sub.startsWith("repo:acme")`,
		`claims.sub.startsWith("repo:" + claims.owner)`,
		`claims.sub.matches("^(repo:acme/[a-z0-9-]+:ref:refs/heads/main)$")`,
		`claims.sub.matches("^(repo:acme/[^/:]+:environment:prod)$")`,
		`claims.sub.matches("^(repo:acme/.*)$") && claims.ref == "refs/heads/main"`,
		`claims.sub.matches("^(repo:acme/api:ref:refs/heads/.*)$")`,
		`claims.ref.matches("^(refs/tags/v[0-9]+\\.[0-9]+)$")`,
		`claims.ref.matches("^(refs/heads/(main|release/.+))$")`,
		`claims.email.matches("^([a-z.]+@acme\\.example)$")`,
		`claims.n.matches("^([0-9]{6,8})$")`,
		`claims.x.matches("^(a/./b)$")`,
		`claims.name.matches("^([a-z][a-z0-9-]*)$")`,
		`"acme:orders" in principal.groups`,
		`list(principal.groups).exists(g, g == "acme:orders" || g.startsWith("acme:orders-"))`,
		`has(claims.x) ? claims.x == "1" : claims.y == "1"`,
	} {
		t.Run(condition, func(t *testing.T) { compare(t, warnings(t, when(condition)), []string{}) })
	}
}

// With the owner's id pinned the pattern does not do what it seems to, and says so; nothing is wrong with the rule (P29).
func TestP29_WitnessNamesTheConditionThatKeepsItOut(t *testing.T) {
	got := warnings(t, `  - {id: r, subject: {upstream: github, when: claims.repository_owner_id == "123456" && claims.sub.startsWith("repo:acme")}, requester: {anonymous: true}, grant: {audiences: [orders]}}`)
	compare(t, got, []string{`exchange[0].subject.when: "claims.sub.startsWith(\"repo:acme\")" also admits "repo:acme-evil/x:ref:refs/heads/main"; nothing but the condition on claims.repository_owner_id keeps a stranger's out`})
}

func TestP29_SharedIssuerWithoutOwnerIsRefused(t *testing.T) {
	for _, condition := range []string{
		`claims.sub.startsWith("repo:acme/")`,
		`claims.repository_owner == "acme"`,
		`claims.repository_owner_id == "1" || claims.ref == "x"`,
		`claims.repository_owner_id.startsWith("12")`,
	} {
		var c settings.Config
		text := strings.Replace(when(condition), "upstream: ci", "upstream: github", 1)
		if err := yaml.Load([]byte(world+text), &c, yaml.WithKnownFields()); err != nil {
			t.Fatal(err)
		}
		if got := refused(c); len(got) != 1 || !strings.HasPrefix(got[0], "exchange[0].subject.when: want a top-level == or in on an owner") {
			t.Errorf("%s: want it refused, got %q", condition, got)
		}
	}
}

func TestPolicy_MappersToo(t *testing.T) {
	var c settings.Config
	if err := yaml.Load([]byte(`issuer: https://login.example.com
upstreams:
  - name: acme
    kind: jwt
    issuer: https://idp.acme.example
    audiences: [a]
    mappers:
      - {kind: require, expression: 'claims.sub.endsWith("acme.example")', message: no}
      - {kind: groups, keep: ["eng-.*", ".*", "ops.*", "a.b"]}
`), &c); err != nil {
		t.Fatal(err)
	}
	got := []string{}
	Policy(c, func(path, format string, args ...any) { got = append(got, path+": "+fmt.Sprintf(format, args...)) })
	compare(t, got, []string{
		`upstreams[0].mappers[0].expression: "claims.sub.endsWith(\"acme.example\")" also admits "evilacme.example"`,
		`upstreams[0].mappers[1].keep[2]: "ops.*" also admits "ops-evil"`,
		`upstreams[0].mappers[1].keep[3]: "a.b" also admits "axb"`,
	})
}

func TestPolicy_Contradictions(t *testing.T) {
	for _, tt := range []struct{ when, why string }{
		{`claims.x == "a" && claims.x == "b"`, `claims.x == "a" and claims.x == "b"`},
		{`claims.x in ["a", "b"] && claims.x in ["c"]`, `claims.x in ["a", "b"] and claims.x in ["c"]`},
		{`claims.x == "a" && claims.x != "a"`, `claims.x == "a" and claims.x != "a"`},
		{`claims.x == "a" && claims.x.startsWith("b")`, `claims.x == "a" and claims.x.startsWith("b")`},
		{`claims.x == "5" && claims.x == 5`, `claims.x == "5" and claims.x == 5`},
		{`claims.x == 5 && claims.x.startsWith("5")`, `claims.x == 5 and claims.x.startsWith("5")`},
		{`claims.x.startsWith("a/") && claims.x.startsWith("b/")`, `claims.x.startsWith("a/") and claims.x.startsWith("b/")`},
		{`claims.x.endsWith("/a") && claims.x.startsWith("y/") && claims.x.endsWith("/b")`, `claims.x.endsWith("/a") and claims.x.endsWith("/b")`},
		{`has(claims.x) && !has(claims.x)`, `has(claims.x) and !(has(claims.x))`},
		{`claims.x == "a" && (claims.x == "b" || claims.x == "c")`, `in no way: claims.x == "a" and claims.x == "b", and so on`},
		{`claims.x in ["a", "b"] && claims.x != "a" && claims.x != "b"`, `claims.x in ["a", "b"] and claims.x != "a"`},
		{`!(claims.x == "a" || claims.y == "b") && claims.y == "b"`, `claims.y != "b" and claims.y == "b"`},
		{`claims.x == "a" ? claims.x == "b" : claims.x == "a"`, `in no way: claims.x == "a" and claims.x == "b", and so on`},
		{`claims.x == "a" && false`, `it is false`},
		{`claims.iss == "https://evil.example"`, `claims.iss == "https://evil.example" and claims.iss == "https://ci.acme.example"`},
		{`request.client_id == "batch"`, `request.client_id == "batch" and requester.clients`},
		{`list(claims.groups).exists(g, g == "a" && g == "b")`, `g == "a" and g == "b"`},
	} {
		t.Run(tt.when, func(t *testing.T) {
			compare(t, warnings(t, when(tt.when)), []string{`exchange[0].subject.when: no token can match rule "r": ` + tt.why})
		})
	}
	for _, condition := range []string{
		`claims.x == "a" && claims.y == "b"`,
		`claims.x in ["a", "b"] && claims.x == "b"`,
		`claims.x == 5 && claims.x == 5u`,
		`claims.x == "a" || claims.x == "b"`,
		`"a" in claims.x && "b" in claims.x`,
		`claims.x.startsWith("a/") && claims.x.startsWith("a/b/")`,
		`claims.x.startsWith("a/") && claims.x != "a/b"`,
		`claims.x.startsWith("a/") && !claims.x.startsWith("b/")`,
		`!(claims.x == "a" && claims.y == "b") && claims.y == "b"`,
		`list(claims.x).exists(g, g == "a") && list(claims.x).exists(g, g == "b")`,
		`list(claims.x).all(g, g == "a" && g == "b")`,
		`claims.iss == "https://ci.acme.example" && request.client_id == "gateway"`,
		`claims.x == "a" ? claims.y == "b" : claims.y == "c"`,
	} {
		t.Run(condition, func(t *testing.T) { compare(t, warnings(t, when(condition)), []string{}) })
	}
}

func TestPolicy_NobodyCanMatch(t *testing.T) {
	for _, tt := range []struct {
		name, exchange string
		want           []string
	}{
		{
			"a client without the grant", `  - {id: r, subject: {upstream: acme}, requester: {clients: [gateway, wiki]}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].requester.clients[1]: wiki can't use rule "r": its grant_types lack token-exchange`},
		},
		{"jwt-bearer takes an upstream's", `  - {id: r, subject: {upstream: acme}, requester: {clients: [bearer]}, grant: {audiences: [orders]}}`, []string{}},
		{
			"and nothing else", `  - {id: r, subject: {issued: true}, requester: {clients: [bearer]}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].requester.clients[0]: bearer can't use rule "r": its grant_types lack token-exchange`},
		},
		{
			"a public client that the rule does not take", `  - {id: r, subject: {upstream: acme}, requester: {clients: [spa]}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].requester.clients[0]: spa can't use rule "r": it is public, and the rule lacks public_clients: true`},
		},
		{"and one that it does", `  - {id: r, subject: {upstream: acme}, requester: {clients: [spa], public_clients: true}, grant: {audiences: [orders]}}`, []string{}},
		{
			"an audience that is bound to others", `  - {id: r, subject: {upstream: bound}, requester: {clients: [gateway, batch]}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].requester.clients[0]: gateway can't use rule "r": no audience of upstream bound is open to it`},
		},
		{
			"and to nobody in particular", `  - {id: r, subject: {upstream: bound}, requester: {anonymous: true}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].requester.anonymous: nobody in particular can use rule "r": each audience of upstream bound is bound to requesters`},
		},
		{
			"a client that no token of ours names", `  - {id: r, subject: {issued: true}, requester: {clients: [gateway]}, grant: {audiences: [billing]}}`,
			[]string{`exchange[0].requester.clients[0]: gateway can't use rule "r": no token of ours names it: nothing gives an audience that is its id or one of its identifiers, and nobody logs in at it`},
		},
		{"and one that another's audience names", `  - {id: r, subject: {issued: true}, requester: {clients: [orders-api]}, grant: {audiences: [billing]}}`, []string{}},
		{"an actor that has a token of its own", `  - {id: r, subject: {upstream: acme}, requester: {clients: [batch]}, actor: {required: true}, grant: {audiences: [orders]}}`, []string{}},
		{
			"and one that can have none", `  - {id: r, subject: {upstream: acme}, requester: {clients: [gateway]}, actor: {required: true}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].actor: gateway can't use rule "r": it would act by a token of its own, and its grant_types lack client_credentials`},
		},
		{
			"and one whose tokens are for another", `  - {id: r, subject: {upstream: acme}, requester: {clients: [cron]}, actor: {required: true}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].actor: cron can't use rule "r": it would act by a token of its own, and its audiences hold neither its id nor one of its identifiers`},
		},
		{
			"an actor of ours that nothing names", `  - {id: r, subject: {upstream: acme}, requester: {clients: [gateway]}, actor: {required: true, issued: true}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].actor: gateway can't use rule "r": no token of ours names it`},
		},
		{
			"an actor where the grant has none", `  - {id: r, subject: {upstream: acme}, requester: {clients: [bearer]}, actor: {required: true, upstream: ci}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].requester.clients[0]: bearer can't use rule "r": its grant_types lack token-exchange`},
		},
		{"a client whose own token is for the broker", `  - {id: r, subject: {issued: true}, requester: {clients: [self]}, actor: {required: true}, grant: {audiences: [billing]}}`, []string{}},
		{"an ID-JAG is bound to no requester", `  - {id: r, subject: {upstream: bound}, requester: {clients: [self]}, grant: {audiences: [billing]}}`, []string{}},
		{"an app that people log in at", `  - {id: r, subject: {issued: true}, requester: {clients: [app]}, grant: {audiences: [billing]}}`, []string{}},
		{
			"nothing more of what nobody can use", `  - {id: a, subject: {upstream: acme}, requester: {clients: [gateway, wiki]}, grant: {audiences: [orders]}}
  - {id: b, subject: {upstream: acme}, requester: {clients: [wiki]}, grant: {audiences: [orders]}}
  - {id: c, subject: {upstream: acme, when: 'false'}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}`,
			[]string{
				`exchange[0].requester.clients[1]: wiki can't use rule "a": its grant_types lack token-exchange`,
				`exchange[1].requester.clients[0]: wiki can't use rule "b": its grant_types lack token-exchange`,
				`exchange[2].subject.when: no token can match rule "c": it is false`,
			},
		},
		{
			"an actor whose tokens are bound to others", `  - {id: r, subject: {upstream: acme}, requester: {clients: [gateway]}, actor: {required: true, upstream: bound}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].actor.upstream: gateway can't use rule "r": no audience of upstream bound is open to it`},
		},
		{
			"an actor that contradicts itself", `  - {id: r, subject: {upstream: acme}, requester: {clients: [gateway]}, actor: {required: true, upstream: ci, when: 'actor.sub == "a" && actor.sub == "b"'}, grant: {audiences: [orders]}}`,
			[]string{`exchange[0].actor.when: no actor can match rule "r": actor.sub == "a" and actor.sub == "b"`},
		},
		{
			"ID tokens for what is no client", `  - {id: r, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [wiki, orders], token_types: [id_token]}}`,
			[]string{`exchange[0].grant.audiences[1]: rule "r" gives ID tokens alone, which are for a client, and "orders" is none`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { compare(t, warnings(t, tt.exchange), tt.want) })
	}
}
