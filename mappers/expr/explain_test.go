package expr_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"fedbroker/mappers/expr"
	"fedbroker/mappers/printable"
)

func explainedInput() expr.Input {
	return expr.Input{
		Claims: map[string]any{
			"ref": "refs/heads/dev", "owner": "123", "n": int64(5), "flag": false, "groups": []any{"eng", "ops"}, "email": "a@b.example", "nothing": nil,
			"k8s.io": map[string]any{"namespace": "prod", "pod": map[string]any{"name": "web-1"}}, "repository_owner_id": "77", "odd": json.Number("1e400"),
		},
		Principal: map[string]any{"groups": []any{"acme:eng"}},
		Scopes:    []string{"orders.read"},
		Request:   map[string]any{"client_id": "gateway"},
	}
}

// Each finding is written as "part | operand | saw | wanted", and "~name" for the nearest member, "or" for an alternative.
func text(findings []expr.Finding) string {
	var lines []string
	for _, f := range findings {
		line := strings.Join([]string{f.Part, f.Operand, f.Saw, f.Wanted}, " | ")
		if f.Nearest != "" {
			line += " ~" + f.Nearest
		}
		if f.Alternative {
			line += " or"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestExplain(t *testing.T) {
	for _, tt := range []struct{ source, want string }{
		{`claims.ref == "refs/heads/dev"`, ``},
		{`claims.ref == "refs/heads/main"`, `claims.ref == "refs/heads/main" | claims.ref | "refs/heads/dev" | "refs/heads/main"`},
		{`"refs/heads/main" == claims.ref`, `"refs/heads/main" == claims.ref | claims.ref | "refs/heads/dev" | "refs/heads/main"`},
		{`claims.owner == "123" && claims.ref == "main" && claims.n > 7`,
			"claims.ref == \"main\" | claims.ref | \"refs/heads/dev\" | \"main\"\nclaims.n > 7 | claims.n | 5 | more than 7"},
		{`claims.ref != "refs/heads/dev"`, `claims.ref != "refs/heads/dev" | claims.ref | "refs/heads/dev" | other than "refs/heads/dev"`},
		{`!(claims.ref == "refs/heads/dev")`, `claims.ref == "refs/heads/dev" | claims.ref | "refs/heads/dev" | other than "refs/heads/dev"`},
		{`claims.owner in ["1", "2"]`, `claims.owner in ["1", "2"] | claims.owner | "123" | one of ["1", "2"]`},
		{`!(claims.owner in ["123"])`, `claims.owner in ["123"] | claims.owner | "123" | not one of ["123"]`},
		{`"acme:orders" in principal.groups`, `"acme:orders" in principal.groups | principal.groups | ["acme:eng"] | to hold "acme:orders"`},
		{`"orders.write" in scopes`, `"orders.write" in scopes | scopes | ["orders.read"] | to hold "orders.write"`},
		{`5 < claims.n`, `5 < claims.n | claims.n | 5 | more than 5`},
		{`!(claims.n >= 5)`, `claims.n >= 5 | claims.n | 5 | less than 5`},
		{`claims.ref.matches("^(?:refs/tags/.*)$")`, `claims.ref.matches("^(?:refs/tags/.*)$") | claims.ref | "refs/heads/dev" | to match "^(?:refs/tags/.*)$"`},
		{`claims.ref.startsWith("refs/tags/")`, `claims.ref.startsWith("refs/tags/") | claims.ref | "refs/heads/dev" | to start with "refs/tags/"`},
		{`!claims.ref.endsWith("dev")`, `claims.ref.endsWith("dev") | claims.ref | "refs/heads/dev" | not to end with "dev"`},
		{`claims.flag && true`, `claims.flag |  | false | true`},
		{`has(claims.azp)`, `has(claims.azp) | claims.azp | (absent) | to be present`},
		{`!has(claims.ref)`, `has(claims.ref) |  | true | false`},
		{`claims.repository_owner == "77"`, `claims.repository_owner == "77" | claims.repository_owner | (absent) | "77" ~repository_owner_id`},
		{`claims["k8s.io"].pod.nam == "x"`, `claims["k8s.io"].pod.nam == "x" | claims["k8s.io"].pod.nam | (absent) | "x" ~name`},
		{`claims["k8s.io"].pod.name == "x"`, `claims["k8s.io"].pod.name == "x" | claims["k8s.io"].pod.name | "web-1" | "x"`},
		{`claims.email == "a@b.example"`, `claims.email == "a@b.example" | claims.email | (absent) | "a@b.example"`}, // P29: absent unless verified
		{`actor.sub == "svc"`, `actor.sub == "svc" | actor.sub | (absent) | "svc"`},
		{`claims.n == "5"`, `claims.n == "5" | claims.n | 5 | "5"`},
		{`claims.ref == "a" || claims.ref == "b"`,
			"claims.ref == \"a\" | claims.ref | \"refs/heads/dev\" | \"a\" or\nclaims.ref == \"b\" | claims.ref | \"refs/heads/dev\" | \"b\" or"},
		{`claims.owner == "9" && (claims.ref == "a" || claims.flag)`,
			"claims.owner == \"9\" | claims.owner | \"123\" | \"9\"\nclaims.ref == \"a\" | claims.ref | \"refs/heads/dev\" | \"a\" or\nclaims.flag |  | false | true or"},
		{`!(claims.n == 5 && claims.owner == "123")`, // one of them is enough
			"claims.n == 5 | claims.n | 5 | other than 5 or\nclaims.owner == \"123\" | claims.owner | \"123\" | other than \"123\" or"},
		{`!(claims.n == 5 || claims.owner == "123")`, // both are needed
			"claims.n == 5 | claims.n | 5 | other than 5\nclaims.owner == \"123\" | claims.owner | \"123\" | other than \"123\""},
		{`claims.flag ? claims.n == 5 : claims.n == 6`, `claims.n == 6 | claims.n | 5 | 6`},
		{`claims.groups.exists(g, g == "admin")`, `claims.groups.exists(g, g == "admin") | claims.groups | ["eng", "ops"] | to satisfy claims.groups.exists(g, g == "admin")`},
		{`claims.group.exists(g, g == "admin")`, `claims.group.exists(g, g == "admin") | claims.group | (absent) | to satisfy claims.group.exists(g, g == "admin") ~groups`},
		{`claims.ref == "refs/heads/" + claims.owner`, `claims.ref == "refs/heads/" + claims.owner | claims.ref | "refs/heads/dev" | "refs/heads/" + claims.owner, "refs/heads/123"`},
		{`size(claims.groups) == 3`, `size(claims.groups) == 3 | size(claims.groups) | 2 | 3`},
		{`request.client_id == "batch"`, `request.client_id == "batch" | request.client_id | "gateway" | "batch"`},
		{`claims.flag && claims.missing == 1`, "claims.flag |  | false | true\nclaims.missing == 1 | claims.missing | (absent) | 1"},
		{`claims.odd == 1`, `claims.odd == 1 | claims.odd | 1e400 | 1`},
		{`claims.ref && true`, `claims.ref |  | "refs/heads/dev" | true`},
	} {
		p := compile(t, tt.source, expr.Options{})
		if got := text(p.Explain(activation(t, explainedInput()))); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.source, got, tt.want)
		}
	}
}

// Claims of a declared type are named by the checker in its own way; people see what they wrote.
func TestExplain_DeclaredClaims(t *testing.T) {
	o := expr.Options{ClaimTypes: map[string]expr.Type{"ref": expr.String, "k8s.io": expr.Map, "n": expr.String, "owner_id": expr.String}}
	for _, tt := range []struct{ source, want string }{
		{`claims.ref == "main"`, `claims.ref == "main" | claims.ref | "refs/heads/dev" | "main"`},
		{`claims["ref"] == "main"`, `claims["ref"] == "main" | claims["ref"] | "refs/heads/dev" | "main"`},
		{`claims["k8s.io"].namespace == "dev"`, `claims["k8s.io"].namespace == "dev" | claims["k8s.io"].namespace | "prod" | "dev"`},
		{`claims.owner_id == "1"`, `claims.owner_id == "1" | claims.owner_id | (absent) | "1" ~owner`},
		{`claims.n == "5"`, `claims.n == "5" | claims.n | 5 | "5"`}, // it is no string, so this is an error
	} {
		p := compile(t, tt.source, o)
		if got := text(p.Explain(activation(t, explainedInput()))); got != tt.want {
			t.Errorf("%s\n got %s\nwant %s", tt.source, got, tt.want)
		}
	}
}

// A condition that costs too much, or whose input it cannot judge, is still explained, at no more cost than is allowed.
func TestExplain_Bounded(t *testing.T) {
	long := make([]any, 2000)
	for i := range long {
		long[i] = "x"
	}
	in := expr.Input{Claims: map[string]any{"l": long, "text": strings.Repeat("long\x1b", 500)}}
	for _, source := range []string{
		`claims.l.exists(a, claims.l.exists(b, a != b))`, `claims.text == "x"`, `claims == {}`,
		strings.Repeat(`claims.text == "x" || `, 100) + `claims.l == []`,
	} {
		p := compile(t, source, expr.Options{})
		findings := p.Explain(activation(t, in))
		if len(findings) == 0 || len(findings) > 16 {
			t.Errorf("%.40s: %d findings", source, len(findings))
		}
		for _, f := range findings {
			for _, s := range []string{f.Part, f.Operand, f.Saw, f.Wanted, f.Nearest} {
				if len(s) > printable.Longest+len("…") || strings.ContainsFunc(s, unicode.IsControl) {
					t.Errorf("%.40s: %q", source, s)
				}
			}
		}
	}
}

// FuzzExplain holds Explain to Holds: it finds something iff the condition does not hold.
func FuzzExplain(f *testing.F) {
	seeds := append(expressions(), `claims.ref == "refs/heads/dev" || claims.flag`, `!(claims.flag && claims.n == 5)`, `claims.flag ? true : claims.n == 5`,
		`has(claims.x) && claims.x == 1 || claims.n == 5`, `!(!(claims.n == 5))`, `claims.missing == 1 || claims.n == 5`, `claims.groups.all(g, g != "x") && !has(actor.sub)`)
	for _, source := range seeds {
		f.Add(source)
	}
	f.Fuzz(func(t *testing.T, source string) {
		for _, o := range []expr.Options{{}, {ClaimTypes: map[string]expr.Type{"ref": expr.String, "n": expr.Int, "flag": expr.Bool}}} {
			p, err := expr.Compile(source, o)
			if err != nil {
				continue
			}
			a := activation(t, explainedInput())
			holds, _ := p.Holds(a)
			if findings := p.Explain(a); holds != (len(findings) == 0) {
				t.Errorf("%s: holds %t, findings %+v", source, holds, findings)
			}
		}
	})
}

func TestExplain_AgreesWithHoldsOnEveryCombination(t *testing.T) {
	atoms := []string{`claims.flag`, `claims.n == 5`, `claims.missing == 1`, `has(claims.ref)`}
	n := 0
	for _, a := range atoms {
		for _, b := range atoms {
			for _, form := range []string{"%s && %s", "%s || %s", "!(%s) && %s", "!(%s || %s)", "!(%s && %s)", "(%s) ? (%s && true) : claims.n == 5"} {
				source := fmt.Sprintf(form, a, b)
				p, act := compile(t, source, expr.Options{}), activation(t, explainedInput())
				holds, _ := p.Holds(act)
				if findings := p.Explain(act); holds != (len(findings) == 0) || !holds && findings[0].Part == source {
					t.Errorf("%s: holds %t, findings %s", source, holds, text(findings))
				}
				n++
			}
		}
	}
	if n != len(atoms)*len(atoms)*6 {
		t.Errorf("%d combinations", n)
	}
}

// An address that is not verified is absent in what is explained, too, and the name beside it is not told as if it were there.
func TestP29_ExplainHidesWhatIsNotVerified(t *testing.T) {
	p := compile(t, `claims.emal == "a@b.example" || claims == {}`, expr.Options{})
	in := expr.Input{Claims: map[string]any{"sub": "alice", "email": "a@b.example"}}
	for _, f := range p.Explain(activation(t, in)) {
		if f.Nearest == "email" || strings.Contains(f.Saw, "a@b.example") {
			t.Errorf("got %+v", f)
		}
	}
	in.Claims["email_verified"] = true
	if f := p.Explain(activation(t, in)); f[0].Nearest != "email" || !strings.Contains(f[1].Saw, "a@b.example") {
		t.Errorf("verified: got %+v", f)
	}
}
