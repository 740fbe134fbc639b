package mappers_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v4"

	"fedbroker/mappers"
	"fedbroker/mappers/expr"
)

func ptr[T any](v T) *T { return &v }

// problems are what Compile reports, each as "path: text".
func problems(o mappers.Options) []string {
	var all []string
	mappers.Compile(o, func(path, format string, args ...any) { all = append(all, path+": "+fmt.Sprintf(format, args...)) })
	return all
}

func chain(t testing.TB, o mappers.Options) *mappers.Chain {
	t.Helper()
	if o.Upstream == "" && !o.Client {
		o.Upstream = "acme"
	}
	return mappers.Compile(o, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) })
}

func run(t testing.TB, o mappers.Options, claims mappers.Claims) mappers.Result {
	t.Helper()
	r, err := chain(t, o).Run(claims, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func specs(s ...mappers.Spec) mappers.Options { return mappers.Options{Specs: s} }

// mapping is a row of a kind's table: one spec, claims in, and the principal or the error out.
type mapping struct {
	name   string
	spec   mappers.Spec
	claims mappers.Claims
	want   mappers.Claims
	err    string // part of the error; "" wants none
}

func (m mapping) run(t *testing.T) {
	t.Helper()
	r, err := chain(t, specs(m.spec)).Run(m.claims, nil)
	switch {
	case m.err == "" && err != nil:
		t.Error(err)
	case m.err != "" && (err == nil || !strings.Contains(err.Error(), m.err)):
		t.Errorf("want an error with %q, got %v", m.err, err)
	case m.err == "" && !reflect.DeepEqual(r.Principal, m.want):
		t.Errorf("want %#v, got %#v", m.want, r.Principal)
	}
}

func runAll(t *testing.T, table []mapping) {
	t.Helper()
	for _, m := range table {
		t.Run(m.name, m.run)
	}
}

func TestRequire(t *testing.T) {
	spec := mappers.Spec{Kind: "require", Expression: `claims.department == "R&D"`, Message: "only research"}
	runAll(t, []mapping{
		{"holds", spec, mappers.Claims{"department": "R&D"}, mappers.Claims{}, ""},
		{"does not hold", spec, mappers.Claims{"department": "Sales"}, nil, "mappers[0] refuses: only research"},
		{"missing claim", spec, mappers.Claims{}, nil, "no such key"},
	})
	c := chain(t, specs(mappers.Spec{Kind: "set", Claim: "x", Value: 1}, spec))
	_, err := c.Run(mappers.Claims{"department": "Sales"}, nil)
	var refused *mappers.RefusedError
	if !errors.As(err, &refused) || refused.Index != 1 || refused.Message != "only research" {
		t.Errorf("want a *RefusedError of step 1, got %#v", err)
	}
	_, err = c.Run(mappers.Claims{}, nil)
	var step *mappers.StepError
	var eval *expr.EvalError
	if again := (*mappers.RefusedError)(nil); errors.As(err, &again) || !errors.As(err, &step) || step.Index != 1 || !errors.As(err, &eval) {
		t.Errorf("want a *StepError of step 1 around an *EvalError, got %#v", err)
	}
}

func TestRename(t *testing.T) {
	to := func(from string) mappers.Spec { return mappers.Spec{Kind: "rename", From: from, To: "x"} }
	nested := mappers.Claims{
		"realm":                   map[string]any{"roles": []any{"a", "b"}, "": "empty", "a/b": "slash", "m~n": "tilde", "~1": "both", "null": nil},
		"https://x.example/roles": "url", "n": json.Number("1e400"), "i": uint64(math.MaxUint64), "": "nameless",
	}
	runAll(t, []mapping{
		{"plain", to("realm"), nested, mappers.Claims{"x": nested["realm"]}, ""},
		{"plain name with slashes", to("https://x.example/roles"), nested, mappers.Claims{"x": "url"}, ""},
		{"pointer to a member", to("/realm/roles"), nested, mappers.Claims{"x": []any{"a", "b"}}, ""},
		{"pointer to an element", to("/realm/roles/1"), nested, mappers.Claims{"x": "b"}, ""},
		{"pointer past the end", to("/realm/roles/2"), nested, mappers.Claims{}, ""},
		{"pointer to the element after the last", to("/realm/roles/-"), nested, mappers.Claims{}, ""},
		{"index with a leading zero", to("/realm/roles/01"), nested, mappers.Claims{}, ""},
		{"index with a sign", to("/realm/roles/+1"), nested, mappers.Claims{}, ""},
		{"index beyond int", to("/realm/roles/99999999999999999999"), nested, mappers.Claims{}, ""},
		{"empty member", to("/realm/"), nested, mappers.Claims{"x": "empty"}, ""},
		{"escaped slash", to("/realm/a~1b"), nested, mappers.Claims{"x": "slash"}, ""},
		{"escaped tilde", to("/realm/m~0n"), nested, mappers.Claims{"x": "tilde"}, ""},
		{"~01 is ~1, not a slash", to("/realm/~01"), nested, mappers.Claims{"x": "both"}, ""},
		{"pointer to the nameless claim", to("/"), nested, mappers.Claims{"x": "nameless"}, ""},
		{"pointer into a scalar", to("/https:~1~1x.example~1roles/x"), nested, mappers.Claims{}, ""},
		{"null is absent", to("/realm/null"), nested, mappers.Claims{}, ""},
		{"absent", to("missing"), nested, mappers.Claims{}, ""},
		{"a number that no type holds is kept", to("n"), nested, mappers.Claims{"x": json.Number("1e400")}, ""},
		{"uint64", to("i"), nested, mappers.Claims{"x": uint64(math.MaxUint64)}, ""},
	})
}

func TestFromLooksAmongMadeFirst(t *testing.T) {
	r := run(t, specs(
		mappers.Spec{Kind: "set", Claim: "a", Value: map[string]any{"b": "made"}},
		mappers.Spec{Kind: "rename", From: "a", To: "whole"},
		mappers.Spec{Kind: "rename", From: "/a/b", To: "b"},
		mappers.Spec{Kind: "rename", From: "/a/c", To: "c"},
	), mappers.Claims{"a": map[string]any{"b": "theirs", "c": "theirs"}})
	want := mappers.Claims{"a": map[string]any{"b": "made"}, "whole": map[string]any{"b": "made"}, "b": "made", "c": "theirs"}
	if !reflect.DeepEqual(r.Principal, want) {
		t.Errorf("want %v, got %v", want, r.Principal)
	}
}

func TestSet(t *testing.T) {
	set := func(v any) mappers.Spec { return mappers.Spec{Kind: "set", Claim: "x", Value: v} }
	runAll(t, []mapping{
		{"string", set("acme"), nil, mappers.Claims{"x": "acme"}, ""},
		{"false", set(false), nil, mappers.Claims{"x": false}, ""},
		{"int", set(5), nil, mappers.Claims{"x": int64(5)}, ""},
		{"uint64", set(uint64(math.MaxUint64)), nil, mappers.Claims{"x": uint64(math.MaxUint64)}, ""},
		{"nested", set(map[string]any{"l": []any{1, "a"}}), nil, mappers.Claims{"x": map[string]any{"l": []any{int64(1), "a"}}}, ""},
		{"wins over the upstream's", mappers.Spec{Kind: "set", Claim: "name", Value: "N"}, mappers.Claims{"name": "n"}, mappers.Claims{"name": "N"}, ""},
	})
}

func TestGroups(t *testing.T) {
	claims := mappers.Claims{"groups": []any{"eng-ord", "eng-bil", "", "ops", "eng-ord"}, "one": "ops", "none": "", "null": nil}
	list := func(names ...any) mappers.Claims { return mappers.Claims{"groups": append([]any{}, names...)} }
	runAll(t, []mapping{
		{"all, each once", mappers.Spec{Kind: "groups"}, claims, list("acme:eng-ord", "acme:eng-bil", "acme:ops"), ""},
		{"one string", mappers.Spec{Kind: "groups", From: "one"}, claims, list("acme:ops"), ""},
		{"empty string", mappers.Spec{Kind: "groups", From: "none"}, claims, list(), ""},
		{"null", mappers.Spec{Kind: "groups", From: "null"}, claims, mappers.Claims{}, ""},
		{"absent", mappers.Spec{Kind: "groups", From: "missing"}, claims, mappers.Claims{}, ""},
		{"keep", mappers.Spec{Kind: "groups", Keep: []string{"eng-.*"}}, claims, list("acme:eng-ord", "acme:eng-bil"), ""},
		{"keep is anchored", mappers.Spec{Kind: "groups", Keep: []string{"eng|ops"}}, claims, list("acme:ops"), ""},
		{"each of several keeps is anchored", mappers.Spec{Kind: "groups", Keep: []string{"eng", "ord", "op"}}, claims, list(), ""},
		{"a flag ends with its pattern", mappers.Spec{Kind: "groups", Keep: []string{"(?i)x", "OPS"}}, claims, list(), ""},
		{"keep is anchored with flags", mappers.Spec{Kind: "groups", Keep: []string{"(?m)^ops$"}}, mappers.Claims{"groups": []any{"ops\nx"}}, list(), ""},
		{"keep nothing", mappers.Spec{Kind: "groups", Keep: []string{"x"}}, claims, list(), ""},
		{"keep sees the name before rename and prefix", mappers.Spec{Kind: "groups", Keep: []string{"ops"}, Rename: map[string]string{"ops": "sre"}}, claims, list("acme:sre"), ""},
		{"two renamed to one", mappers.Spec{Kind: "groups", Rename: map[string]string{"eng-ord": "eng", "eng-bil": "eng"}}, claims, list("acme:eng", "acme:ops"), ""},
		{"own prefix", mappers.Spec{Kind: "groups", From: "one", Prefix: ptr("p/")}, claims, list("p/ops"), ""},
		{"no prefix", mappers.Spec{Kind: "groups", From: "one", Prefix: ptr("")}, claims, list("ops"), ""},
		{"a number among them", mappers.Spec{Kind: "groups"}, mappers.Claims{"groups": []any{"a", int64(5)}}, nil, "want an array of strings, got a number at 1"},
		{"null among them", mappers.Spec{Kind: "groups"}, mappers.Claims{"groups": []any{nil}}, nil, "got null at 0"},
		{"an object", mappers.Spec{Kind: "groups"}, mappers.Claims{"groups": map[string]any{"a": true}}, nil, "got an object"},
		{"a boolean", mappers.Spec{Kind: "groups"}, mappers.Claims{"groups": true}, nil, "got a boolean"},
	})
	many := make([]any, 100)
	for i := range many {
		many[i] = fmt.Sprint(i % 50)
	}
	if r := run(t, specs(mappers.Spec{Kind: "groups"}), mappers.Claims{"groups": many}); len(r.Principal["groups"].([]any)) != 50 {
		t.Errorf("want 50 names, got %v", r.Principal["groups"])
	}
}

func TestLookup(t *testing.T) {
	table := map[string]any{"R&D": "100", "Sales": 200, "true": "yes", "5": []any{"a", "b"}}
	with := func(fallback *any) mappers.Spec {
		return mappers.Spec{Kind: "lookup", From: "d", To: "x", Table: table, Default: fallback}
	}
	fallback := ptr[any]("999")
	runAll(t, []mapping{
		{"found", with(nil), mappers.Claims{"d": "R&D"}, mappers.Claims{"x": "100"}, ""},
		{"number in the table", with(nil), mappers.Claims{"d": "Sales"}, mappers.Claims{"x": int64(200)}, ""},
		{"boolean key", with(nil), mappers.Claims{"d": true}, mappers.Claims{"x": "yes"}, ""},
		{"integer key, list value", with(nil), mappers.Claims{"d": int64(5)}, mappers.Claims{"x": []any{"a", "b"}}, ""},
		{"unknown", with(nil), mappers.Claims{"d": "HR"}, mappers.Claims{}, ""},
		{"unknown with default", with(fallback), mappers.Claims{"d": "HR"}, mappers.Claims{"x": "999"}, ""},
		{"case matters", with(fallback), mappers.Claims{"d": "r&d"}, mappers.Claims{"x": "999"}, ""},
		{"absent", with(nil), mappers.Claims{}, mappers.Claims{}, ""},
		{"absent with default", with(fallback), mappers.Claims{}, mappers.Claims{"x": "999"}, ""},
		{"list", with(nil), mappers.Claims{"d": []any{"R&D", "HR", int64(5)}}, mappers.Claims{"x": []any{"100", "a", "b"}}, ""},
		{"list with default", with(fallback), mappers.Claims{"d": []any{"R&D", "HR"}}, mappers.Claims{"x": []any{"100", "999"}}, ""},
		{"list of unknown", with(nil), mappers.Claims{"d": []any{"HR"}}, mappers.Claims{}, ""},
		{"empty list with default", with(fallback), mappers.Claims{"d": []any{}}, mappers.Claims{"x": "999"}, ""},
		{"float", with(fallback), mappers.Claims{"d": 5.0}, nil, "want a string, a boolean or an integer, got a number"},
		{"inexact number", with(fallback), mappers.Claims{"d": json.Number("5")}, nil, "got a number"},
		{"object", with(fallback), mappers.Claims{"d": map[string]any{}}, nil, "got an object"},
		{"list in a list", with(fallback), mappers.Claims{"d": []any{[]any{"R&D"}}}, nil, "got an array"},
	})
}

func TestCEL(t *testing.T) {
	cel := func(e string) mappers.Spec { return mappers.Spec{Kind: "cel", Claim: "x", Expression: e} }
	claims := mappers.Claims{"first": "A", "last": "B", "n": int64(9007199254740993), "huge": json.Number("1e400")}
	runAll(t, []mapping{
		{"text", cel(`claims.first + " " + claims.last`), claims, mappers.Claims{"x": "A B"}, ""},
		{"exact number", cel(`claims.n`), claims, mappers.Claims{"x": int64(9007199254740993)}, ""},
		{"list", cel(`[claims.first, "c"]`), claims, mappers.Claims{"x": []any{"A", "c"}}, ""},
		{"null makes nothing", cel(`null`), claims, mappers.Claims{}, ""},
		{"missing", cel(`claims.missing`), claims, nil, "no such key"},
		{"number that no type holds", cel(`claims.huge`), claims, nil, "cannot be compared exactly"},
		{"bytes", cel(`b"x"`), claims, nil, "want a JSON value, got bytes"},
	})
	r := run(t, specs(cel(`claims.first`), mappers.Spec{Kind: "cel", Claim: "y", Expression: `principal.x + "!"`}), claims)
	if r.Principal["y"] != "A!" {
		t.Errorf("principal is what earlier steps made: got %v", r.Principal)
	}
}

func TestCELSeesNumbersThatAStepCopied(t *testing.T) {
	c := chain(t, specs(
		mappers.Spec{Kind: "rename", From: "huge", To: "x"},
		mappers.Spec{Kind: "require", Expression: `principal.x == 9007199254740993 || true`},
		mappers.Spec{Kind: "require", Expression: `principal.x == 9007199254740993`},
	))
	for _, huge := range []any{float64(1 << 53), json.Number("9007199254740993.0"), []any{json.Number("1e400")}} {
		var step *mappers.StepError
		if r, err := c.Run(mappers.Claims{"huge": huge}, nil); !errors.As(err, &step) || step.Index != 2 {
			t.Errorf("%v: want a *StepError of step 2, got %v, %v", huge, r, err)
		}
	}
}

func TestProfilePassesAndTheRestIsDropped(t *testing.T) {
	in := mappers.Claims{
		"iss": "i", "sub": "s", "aud": "a", "exp": int64(1), "acr": "high", "groups": []any{"g"}, "roles": "r", "department": "d", "upstream": "x",
		"name": "N", "given_name": "G", "locale": "de", "updated_at": int64(5), "address": map[string]any{"country": "DE"},
		"phone_number": "+49", "phone_number_verified": "true",
	}
	want := mappers.Claims{
		"name": "N", "given_name": "G", "locale": "de", "updated_at": int64(5), "address": map[string]any{"country": "DE"},
		"phone_number": "+49", "phone_number_verified": true,
	}
	r := run(t, specs(), in)
	if !reflect.DeepEqual(r.Principal, want) || len(r.Made) != 0 {
		t.Errorf("want %v, got %v, made %v", want, r.Principal, r.Made)
	}
	wrong := mappers.Claims{"name": []any{"N"}, "address": "x", "updated_at": "x", "phone_number_verified": int64(1), "picture": nil}
	if r := run(t, specs(), wrong); len(r.Principal) != 0 {
		t.Errorf("of another type than the standard's: want nothing, got %v", r.Principal)
	}
}

func TestMadeListsWhatMappersMade(t *testing.T) {
	r := run(t, specs(
		mappers.Spec{Kind: "set", Claim: "tenant", Value: "acme"},
		mappers.Spec{Kind: "rename", From: "missing", To: "nothing"},
		mappers.Spec{Kind: "groups"},
	), mappers.Claims{"name": "N", "groups": "g"})
	if want := []string{"groups", "tenant"}; !slices.Equal(r.Made, want) {
		t.Errorf("want %v, got %v", want, r.Made)
	}
}

func TestProblemsAreAllReported(t *testing.T) {
	for _, tt := range []struct {
		name string
		spec mappers.Spec
		want []string
	}{
		{"unknown kind", mappers.Spec{Kind: "regex"}, []string{`kind: want one of cel, groups, lookup, rename, require, set, got "regex"`}},
		{"no kind", mappers.Spec{}, []string{`kind: want one of cel, groups, lookup, rename, require, set, got ""`}},
		{"foreign keys", mappers.Spec{Kind: "set", Claim: "x", Value: "v", From: "f", Prefix: ptr("")}, []string{
			"from: want only claim, value for kind set", "prefix: want only claim, value for kind set",
		}},
		{"set without anything", mappers.Spec{Kind: "set"}, []string{"value: want a value, got null", "claim: want a claim's name, got none"}},
		{"set of what is no JSON", mappers.Spec{Kind: "set", Claim: "x", Value: map[any]any{}}, []string{"value: want a JSON value, got a map[interface {}]interface {}"}},
		{"set NaN", mappers.Spec{Kind: "set", Claim: "x", Value: []any{math.NaN()}}, []string{"value: want a finite number, got NaN"}},
		{"rename without anything", mappers.Spec{Kind: "rename"}, []string{"from: want a claim's name", "to: want a claim's name"}},
		{"bad pointer", mappers.Spec{Kind: "rename", From: "/a~2b", To: "x"}, []string{"from: want ~0 or ~1"}},
		{"bad pointer end", mappers.Spec{Kind: "rename", From: "/a~", To: "x"}, []string{"from: want ~0 or ~1"}},
		{"deep pointer", mappers.Spec{Kind: "rename", From: strings.Repeat("/a", 33), To: "x"}, []string{"from: want at most 32 levels"}},
		{"long name", mappers.Spec{Kind: "rename", From: strings.Repeat("a", 257), To: "x"}, []string{"from: want at most 256 bytes"}},
		{"require nothing", mappers.Spec{Kind: "require"}, []string{"expression: want an expression, got none"}},
		{"require text", mappers.Spec{Kind: "require", Expression: `"x"`}, []string{"expression: want a bool, got string"}},
		{"require of a rule's variable", mappers.Spec{Kind: "require", Expression: `request.audience == "x"`}, []string{"expression: <input>:1:1: undeclared reference to 'request'"}},
		{"cel syntax", mappers.Spec{Kind: "cel", Claim: "x", Expression: `claims.`}, []string{"expression: <input>:1:8: Syntax error"}},
		{"bad patterns", mappers.Spec{Kind: "groups", Keep: []string{"a", "(", "a)(b", ""}}, []string{
			"keep[1]: want a regular expression", "keep[2]: want a regular expression", "keep[3]: want 1 to 1024 bytes, got 0",
		}},
		{"long pattern", mappers.Spec{Kind: "groups", Keep: []string{strings.Repeat("a", 1025)}}, []string{"keep[0]: want 1 to 1024 bytes, got 1025"}},
		{"keep without pattern", mappers.Spec{Kind: "groups", Keep: []string{}}, []string{"keep: want 1 to 100 patterns, got 0"}},
		{"rename to nothing", mappers.Spec{Kind: "groups", Rename: map[string]string{"a": ""}}, []string{`rename: want names that are not empty, got "a": ""`}},
		{"prefix with a space", mappers.Spec{Kind: "groups", Prefix: ptr("a b")}, []string{"prefix: want at most 64 printable bytes"}},
		{"empty table", mappers.Spec{Kind: "lookup", From: "a", To: "b"}, []string{"table: want at least one entry"}},
		{"null in a table", mappers.Spec{Kind: "lookup", From: "a", To: "b", Table: map[string]any{"k": nil}}, []string{"table.k: want a value, got null"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := mappers.Options{Upstream: "acme", Specs: []mappers.Spec{{Kind: "set", Claim: "ok", Value: 1}, tt.spec}}
			got := problems(o)
			if len(got) != len(tt.want) {
				t.Fatalf("want %q, got %q", tt.want, got)
			}
			unfit := mappers.Compile(o, func(string, string, ...any) {})
			if r, err := unfit.Run(mappers.Claims{}, nil); err == nil {
				t.Errorf("want no result of a chain with problems, got %v", r)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(got[i], "mappers[1]."+want) {
					t.Errorf("want %q, got %q", "mappers[1]."+want, got[i])
				}
			}
		})
	}
	if got := problems(mappers.Options{Specs: make([]mappers.Spec, 101)}); len(got) != 2 || got[1] != "mappers: want at most 100, got 101" {
		t.Errorf("got %q", got)
	}
}

func TestDeclaredClaimTypesReachMappers(t *testing.T) {
	o := specs(mappers.Spec{Kind: "require", Expression: `claims.s == 5`})
	o.Upstream, o.ClaimTypes = "acme", map[string]expr.Type{"s": expr.String, "email_verified": expr.String}
	if got := problems(o); len(got) != 1 || !strings.Contains(got[0], "no matching overload") {
		t.Errorf("got %q", got)
	}
	o.Specs[0].Expression = `claims.email_verified == "true"` // the view's is a bool, whatever the upstream sends
	if got := problems(o); len(got) != 1 || !strings.Contains(got[0], "no matching overload") {
		t.Errorf("got %q", got)
	}
}

func TestSpecDecodesStrictly(t *testing.T) {
	text := `
- {kind: require, expression: claims.email_verified == true, message: verify}
- {kind: rename, from: /realm/roles, to: groups}
- {kind: groups, keep: ["eng-.*"], rename: {eng-ord: orders}, prefix: ""}
- {kind: set, claim: tenant, value: acme}
- {kind: lookup, from: department, to: cost_center, table: {R&D: "100", Sales: "200"}, default: "999"}
- {kind: cel, claim: display, expression: 'claims.given_name + " " + claims.family_name'}
`
	var got []mappers.Spec
	d, err := yaml.NewLoader(strings.NewReader(text), yaml.WithKnownFields())
	if err == nil {
		err = d.Load(&got)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := run(t, mappers.Options{EmailAny: true, Specs: got}, mappers.Claims{
		"email": "a@b.example", "email_verified": true, "realm": map[string]any{"roles": []any{"eng-ord", "x"}},
		"given_name": "A", "family_name": "B",
	})
	want := mappers.Claims{
		"email": "a@b.example", "email_verified": true, "given_name": "A", "family_name": "B", "groups": []any{"orders"},
		"tenant": "acme", "cost_center": "999", "display": "A B",
	}
	if !reflect.DeepEqual(r.Principal, want) {
		t.Errorf("want %v, got %v", want, r.Principal)
	}
}

func TestTraceShowsEachChange(t *testing.T) {
	c := chain(t, specs(
		mappers.Spec{Kind: "set", Claim: "tenant", Value: "a"},
		mappers.Spec{Kind: "set", Claim: "tenant", Value: "b"},
		mappers.Spec{Kind: "groups"},
		mappers.Spec{Kind: "require", Expression: `principal.tenant == claims.name`, Message: "m"},
	))
	var tr mappers.Trace
	if _, err := c.Run(mappers.Claims{"groups": "g", "name": "b"}, &tr); err != nil {
		t.Fatal(err)
	}
	want := []mappers.Step{
		{Index: 0, Kind: "set", Changes: []mappers.Change{{Claim: "tenant", After: "a"}}},
		{Index: 1, Kind: "set", Changes: []mappers.Change{{Claim: "tenant", Before: "a", After: "b"}}},
		{Index: 2, Kind: "groups", Changes: []mappers.Change{{Claim: "groups", After: []any{"g"}}}},
		{Index: 3, Kind: "require"},
		{Index: -1, Kind: "profile", Changes: []mappers.Change{{Claim: "name", After: "b"}}},
		{Index: -1, Kind: "prefix", Changes: []mappers.Change{{Claim: "groups", Before: []any{"g"}, After: []any{"acme:g"}}}},
	}
	if !reflect.DeepEqual(tr.Steps, want) {
		t.Errorf("want %+v, got %+v", want, tr.Steps)
	}
	tr = mappers.Trace{}
	_, err := c.Run(mappers.Claims{"name": "x"}, &tr)
	if last := tr.Steps[len(tr.Steps)-1]; err == nil || last.Index != 3 || !errors.Is(last.Err, err) {
		t.Errorf("want the refusal in the trace, got %+v", last)
	}
}

func TestReadsNamesWhatTheChainLooksAt(t *testing.T) {
	r := chain(t, specs(
		mappers.Spec{Kind: "require", Expression: `claims.a == "x" && has(principal.p)`},
		mappers.Spec{Kind: "cel", Claim: "y", Expression: `claims.b`},
		mappers.Spec{Kind: "rename", From: "/realm/roles", To: "roles"},
		mappers.Spec{Kind: "groups"},
		mappers.Spec{Kind: "lookup", From: "d", To: "z", Table: map[string]any{"k": "v"}},
	)).Reads()
	for _, name := range []string{"a", "b", "realm", "groups", "d", "email", "email_verified", "name"} {
		if !r.Has(name) {
			t.Errorf("want %s among %v", name, r.Names)
		}
	}
	if r.All || r.Has("p") || r.Has("y") || r.Has("sub") {
		t.Errorf("got too much: %+v", r)
	}
	if !chain(t, specs(mappers.Spec{Kind: "require", Expression: `claims.exists(k, k == "x")`})).Reads().All {
		t.Error("want all for an expression over the whole")
	}
}

func TestClientsMappers(t *testing.T) {
	principal := mappers.Claims{
		"groups": []any{"acme:eng", "acme:ops"}, "tenant": "acme", "email": "x@other", "email_verified": false, "name": "N",
	}
	r := run(t, mappers.Options{Client: true, Specs: []mappers.Spec{
		{Kind: "groups", Keep: []string{"acme:eng"}},
		{Kind: "rename", From: "tenant", To: "org"},
	}}, principal)
	want := maps.Clone(principal)
	want["groups"], want["org"] = []any{"acme:eng"}, "acme"
	if !reflect.DeepEqual(r.Principal, want) {
		t.Errorf("want %v, got %v", want, r.Principal)
	}
	for _, tt := range []struct {
		spec mappers.Spec
		want string
	}{
		{mappers.Spec{Kind: "rename", From: "nickname", To: "groups"}, "mappers[0].to: want a client's mappers"},
		{mappers.Spec{Kind: "set", Claim: "roles", Value: "acme:x"}, "mappers[0].claim: want a client's mappers"},
		{mappers.Spec{Kind: "groups", From: "nickname"}, "mappers[0].from: want one of entitlements, groups, roles"},
		{mappers.Spec{Kind: "groups", Prefix: ptr("")}, "mappers[0].prefix: want none"},
	} {
		if got := problems(mappers.Options{Client: true, Specs: []mappers.Spec{tt.spec}}); len(got) != 1 || !strings.HasPrefix(got[0], tt.want) {
			t.Errorf("want %q, got %q", tt.want, got)
		}
	}
}

func TestRunIsPureAndSafeForManyCallers(t *testing.T) {
	c := chain(t, mappers.Options{EmailDomains: []string{"acme.example"}, Specs: []mappers.Spec{
		{Kind: "groups", Rename: map[string]string{"a": "b"}}, {Kind: "cel", Claim: "all", Expression: `claims.m.map(k, k)`},
	}})
	claims := mappers.Claims{
		"groups": []any{"a", "c"}, "email": "x@evil.example", "email_verified": true,
		"m": map[string]any{"a": true, "b": true, "c": true, "d": true, "e": true},
	}
	before := fmt.Sprint(claims)
	first, err := c.Run(claims, nil)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				if r, err := c.Run(claims, nil); err != nil || !reflect.DeepEqual(r, first) {
					t.Errorf("want %v, got %v, %v", first, r, err)
				}
			}
		})
	}
	wg.Wait()
	if after := fmt.Sprint(claims); after != before {
		t.Errorf("claims were written: %s, before %s", after, before)
	}
}

func TestForeignGoValuesAndExcessAreErrors(t *testing.T) {
	c := chain(t, specs(mappers.Spec{Kind: "rename", From: "x", To: "y"}))
	deep := any("x")
	for range 33 {
		deep = []any{deep}
	}
	for _, v := range []any{5, []string{"a"}, map[any]any{}, struct{}{}, func() {}, math.NaN(), deep, strings.Repeat("x", 65<<10)} {
		_, err := c.Run(mappers.Claims{"x": v}, nil)
		var step *mappers.StepError
		if !errors.As(err, &step) || step.Index != -1 || !errors.Is(err, expr.ErrInput) {
			t.Errorf("%T: want ErrInput before the steps, got %v", v, err)
		}
	}
}
