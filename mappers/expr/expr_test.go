package expr_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"

	"strings"
	"testing"

	"fedbroker/mappers/expr"
)

func compile(t *testing.T, source string, o expr.Options) *expr.Program {
	t.Helper()
	p, err := expr.Compile(source, o)
	if err != nil {
		t.Fatalf("compile %s: %v", source, err)
	}
	return p
}

func activation(t *testing.T, in expr.Input) *expr.Activation {
	t.Helper()
	a, err := expr.NewActivation(in)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// outcome is what a condition came to: "true", "false" or "error".
func outcome(t *testing.T, p *expr.Program, in expr.Input) string {
	t.Helper()
	holds, err := p.Holds(activation(t, in))
	var eval *expr.EvalError
	if err != nil && !errors.As(err, &eval) {
		t.Fatalf("want an *EvalError, got %T", err)
	}
	if err != nil {
		return "error"
	}
	return fmt.Sprint(holds)
}

func refused(t *testing.T, source string, o expr.Options, want string) {
	t.Helper()
	_, err := expr.Compile(source, o)
	if err == nil {
		t.Fatalf("%s: compiled", source)
	}
	if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: want one line with %q, got %q", source, want, err)
	}
}

func TestConditions(t *testing.T) {
	in := expr.Input{
		Claims: map[string]any{
			"sub": "alice", "n": int64(5), "u": uint64(math.MaxUint64), "f": 1.5, "flag": true, "flagText": "true", "nothing": nil,
			"one": "eng", "many": []any{"eng", "ops"}, "https://x.example/roles": []any{"admin"},
			"realm": map[string]any{"roles": []any{"a"}},
		},
		Principal: map[string]any{"groups": []any{"acme:orders"}},
		Scopes:    []string{"orders.read"},
		Request:   map[string]any{"audience": "orders"},
	}
	for _, tt := range []struct{ source, want string }{
		{`claims.sub == "alice"`, "true"},
		{`claims.n == 5`, "true"},
		{`claims.n == 5.0`, "true"},
		{`claims.n < 5.5`, "true"},
		{`claims.u == 18446744073709551615u`, "true"},
		{`claims.n == 5u`, "true"},
		{`claims.nothing == null`, "true"},
		{`claims.missing == "x"`, "error"},
		{`claims.missing != "x"`, "error"},
		{`has(claims.missing)`, "false"},
		{`has(claims.sub) && "sub" in claims && !("x" in claims)`, "true"},
		{`claims["https://x.example/roles"] == ["admin"]`, "true"},
		{`"a" in claims.realm.roles`, "true"},
		{`"acme:orders" in principal.groups`, "true"},
		{`"orders.read" in scopes`, "true"},
		{`request.audience == "orders"`, "true"},
		{`actor.sub == "x"`, "error"},
		{`has(actor.sub)`, "false"},
		{`"eng" in list(claims.one) && "eng" in list(claims.many)`, "true"},
		{`"eng" in list(claims.n)`, "error"},
		{`str(claims.flag) == "true" && str(claims.flagText) == "true"`, "true"},
		{`str(claims.n) == "5" && str(claims.u) == "18446744073709551615"`, "true"},
		{`str(claims.f) == "1.5"`, "error"},
		{`claims.sub.matches("^(?:al.*)$")`, "true"},
		{`claims.sub.lowerAscii() == "alice"`, "true"},
		{`size(claims) == 11`, "true"},
		{`claims == {"sub": "alice"}`, "false"},
		{`claims.realm == {"roles": ["a"]}`, "true"},
		{`claims.realm.roles[0] == "a"`, "true"},
		{`claims.realm.roles[1] == "a"`, "error"},
		{`dyn(claims).sub == "alice"`, "true"},
		{`claims.sub`, "error"}, // dyn at load, not a bool at run time
	} {
		p, err := expr.Compile(tt.source, expr.Options{})
		if err != nil {
			if tt.want != "error" {
				t.Errorf("%s: %v", tt.source, err)
			}
			continue
		}
		if got := outcome(t, p, in); got != tt.want {
			t.Errorf("%s: want %s, got %s", tt.source, tt.want, got)
		}
	}
}

func TestValues(t *testing.T) {
	in := expr.Input{Claims: map[string]any{
		"given": "A", "n": int64(5), "big": uint64(math.MaxUint64), "f": 1.5, "list": []any{"x", nil, true},
		"map": map[string]any{"b": int64(1), "a": []any{}}, "odd": json.Number("1e400"),
	}}
	for _, tt := range []struct {
		source string
		want   any
	}{
		{`claims.given + " B"`, "A B"},
		{`claims.n`, int64(5)},
		{`5u`, int64(5)},
		{`claims.big`, uint64(math.MaxUint64)},
		{`claims.f`, 1.5},
		{`null`, nil},
		{`claims.list`, []any{"x", nil, true}},
		{`claims.map`, map[string]any{"b": int64(1), "a": []any{}}},
		{`{"street": claims.given}`, map[string]any{"street": "A"}},
		{`claims.map.map(k, k)`, []any{"a", "b"}},
		{`[1, 2].filter(x, x > 1)`, []any{int64(2)}},
	} {
		got, err := compile(t, tt.source, expr.Options{Value: true}).Value(activation(t, in))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: want %#v, got %#v, %v", tt.source, tt.want, got, err)
		}
	}
	for _, source := range []string{`b"x"`, `{1: "x"}`, `string`, `claims.odd`, `claims`, `[claims.missing]`} {
		got, err := compile(t, source, expr.Options{Value: true}).Value(activation(t, in))
		var eval *expr.EvalError
		if !errors.As(err, &eval) {
			t.Errorf("%s: want an *EvalError, got %v, %v", source, got, err)
		}
	}
}

func TestValueIsBoundedInDepth(t *testing.T) {
	deep := any("x")
	for range 31 {
		deep = []any{deep}
	}
	a := activation(t, expr.Input{Claims: map[string]any{"deep": deep}})
	if _, err := compile(t, `claims.deep`, expr.Options{Value: true}).Value(a); err != nil {
		t.Errorf("32 levels: %v", err)
	}
	if _, err := compile(t, `[claims.deep]`, expr.Options{Value: true}).Value(a); err == nil {
		t.Error("33 levels: want an error")
	}
}

func TestReads(t *testing.T) {
	for _, tt := range []struct {
		source string
		want   expr.Reads
	}{
		{`claims.b == "x" && claims.a == "y" && claims.a != "z"`, expr.Reads{Claims: expr.Members{Names: []string{"a", "b"}}}},
		{`has(claims.a) && "b" in claims && claims["c"] == 1`, expr.Reads{Claims: expr.Members{Names: []string{"a", "b", "c"}}}},
		{`claims.typed == "x" && claims["typed"] == "x"`, expr.Reads{Claims: expr.Members{Names: []string{"typed"}}}},
		{`"x" in principal.groups || "s" in scopes`, expr.Reads{Principal: expr.Members{Names: []string{"groups"}}, Scopes: true}},
		{`claims[request.audience] == actor.sub`, expr.Reads{
			Claims: expr.Members{All: true}, Request: expr.Members{Names: []string{"audience"}}, Actor: expr.Members{Names: []string{"sub"}},
		}},
		{`claims == principal`, expr.Reads{Claims: expr.Members{All: true}, Principal: expr.Members{All: true}}},
		{`dyn(claims).a == 1`, expr.Reads{Claims: expr.Members{All: true}}},
		{`claims.exists(k, k == "x")`, expr.Reads{Claims: expr.Members{All: true}}},
		{`claims.a.exists(k, k == claims.b)`, expr.Reads{Claims: expr.Members{Names: []string{"a", "b"}}}},
		{`.claims.a == "x"`, expr.Reads{Claims: expr.Members{Names: []string{"a"}}}},
		{`claims.a in principal`, expr.Reads{Claims: expr.Members{Names: []string{"a"}}, Principal: expr.Members{All: true}}},
	} {
		p := compile(t, tt.source, expr.Options{ClaimTypes: map[string]expr.Type{"typed": expr.String}})
		if got := p.Reads(); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: want %+v, got %+v", tt.source, tt.want, got)
		}
	}
	m := compile(t, `claims.b == claims.a`, expr.Options{}).Reads().Claims
	if !m.Has("a") || !m.Has("b") || m.Has("c") || !(expr.Members{All: true}).Has("c") {
		t.Error("Members.Has")
	}
}

func TestVariablesOutsideVarsAreRefused(t *testing.T) {
	o := expr.Options{Vars: expr.Claims | expr.Principal}
	for _, name := range []string{"scopes == []", "actor.sub == ''", "request.audience == ''"} {
		refused(t, name, o, "undeclared reference")
	}
	compile(t, `claims.a == principal.b`, o)
}

func TestDeclaredTypeIsHeldAtRunTime(t *testing.T) {
	for typ, fits := range map[expr.Type]any{
		expr.Bool: true, expr.Int: int64(1), expr.Double: 1.5, expr.String: "x", expr.StringList: []any{"x"}, expr.Map: map[string]any{},
	} {
		p := compile(t, `dyn(claims.x) == dyn(claims["x"])`, expr.Options{ClaimTypes: map[string]expr.Type{"x": typ}})
		if got := outcome(t, p, expr.Input{Claims: map[string]any{"x": fits}}); got != "true" {
			t.Errorf("type %d with %v: want true, got %s", typ, fits, got)
		}
		for _, other := range []any{nil, []any{int64(1)}, uint64(5)} {
			if got := outcome(t, p, expr.Input{Claims: map[string]any{"x": other}}); got != "error" {
				t.Errorf("type %d with %v: want an error, got %s", typ, other, got)
			}
		}
	}
}

func TestDeclaredNamesNeedNotBeIdentifiers(t *testing.T) {
	o := expr.Options{ClaimTypes: map[string]expr.Type{"kubernetes.io": expr.Map, "https://x.example/r": expr.String, "@a": expr.String}}
	refused(t, `claims["kubernetes.io"] == "x"`, o, "no matching overload")
	refused(t, `claims["https://x.example/r"] == 5`, o, "no matching overload")
	in := expr.Input{Claims: map[string]any{
		"kubernetes.io": map[string]any{"namespace": "ns"}, "https://x.example/r": "r", "@a": "at", "a": "plain",
		"kubernetes": map[string]any{"io": map[string]any{"namespace": "other"}},
	}}
	for source, name := range map[string]string{
		`claims["kubernetes.io"].namespace == "ns"`:                   "kubernetes.io",
		`claims["kubernetes.io"]["namespace"] == "ns"`:                "kubernetes.io",
		`claims.kubernetes.io.namespace == "other"`:                   "kubernetes",
		`claims["https://x.example/r"] == "r"`:                        "https://x.example/r",
		`claims["@a"] == "at"`:                                        "@a",
		`claims.a == "plain"`:                                         "a",
		`has(claims.kubernetes.io) && !has(claims.kubernetes.absent)`: "kubernetes",
	} {
		p := compile(t, source, o)
		if got := outcome(t, p, in); got != "true" {
			t.Errorf("%s: want true, got %s", source, got)
		}
		if got := p.Reads().Claims; !reflect.DeepEqual(got, expr.Members{Names: []string{name}}) {
			t.Errorf("%s: want %q read, got %+v", source, name, got)
		}
	}
}

func TestChangedJudgesAnew(t *testing.T) {
	principal := map[string]any{}
	a := activation(t, expr.Input{Principal: principal})
	p := compile(t, `principal.n == 1`, expr.Options{})
	principal["n"] = json.Number("1e400")
	if err := a.Changed("n"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Holds(a); err == nil {
		t.Error("want an error for a number that is not exact")
	}
	principal["n"] = int64(1)
	if err := a.Changed("n"); err != nil {
		t.Fatal(err)
	}
	if holds, err := p.Holds(a); !holds {
		t.Errorf("want true, got %v", err)
	}
	principal["n"] = struct{}{}
	if err := a.Changed("n"); !errors.Is(err, expr.ErrInput) {
		t.Errorf("want ErrInput, got %v", err)
	}
}

func TestForeignGoValuesAreRefused(t *testing.T) {
	for _, v := range []any{1, int32(1), float32(1), []string{"x"}, map[any]any{}, struct{}{}, math.NaN(), math.Inf(1), func() {}} {
		for _, in := range []any{v, []any{v}, map[string]any{"x": v}} {
			if _, err := expr.NewActivation(expr.Input{Claims: map[string]any{"x": in}}); !errors.Is(err, expr.ErrInput) {
				t.Errorf("%T: want ErrInput, got %v", in, err)
			}
		}
	}
}

func TestInputIsNotWritten(t *testing.T) {
	claims := map[string]any{"email": "a@x", "email_verified": false, "m": map[string]any{"k": "v"}}
	before := maps.Clone(claims)
	outcome(t, compile(t, `claims.exists(k, k == "email") || claims == {}`, expr.Options{}), expr.Input{Claims: claims})
	if !reflect.DeepEqual(claims, before) {
		t.Errorf("want %v, got %v", before, claims)
	}
}

func TestMapOrderNeverShows(t *testing.T) {
	m := map[string]any{}
	for i := range 50 {
		m[fmt.Sprint("k", i)] = int64(i)
	}
	in := expr.Input{Claims: map[string]any{"m": m}}
	for _, source := range []string{`claims.m.map(k, k)`, `claims.m.filter(k, claims.m[k] > 3)`, `[claims].map(c, c.m.map(k, c.m[k]))`} {
		p := compile(t, source, expr.Options{Value: true})
		first, err := p.Value(activation(t, in))
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if got, _ := p.Value(activation(t, in)); !reflect.DeepEqual(got, first) {
				t.Fatalf("%s: two orders", source)
			}
		}
	}
	for _, source := range []string{`{"a": 1, "b": 2}.map(k, k)`, `[{"a": 1, "b": 2}].map(m, m.map(k, k))`} {
		refused(t, source, expr.Options{Value: true}, "literal map")
	}
}

func TestPins(t *testing.T) {
	for _, tt := range []struct {
		source string
		want   []expr.Pin
	}{
		{`claims.owner == "1" && claims.ref == "main"`, []expr.Pin{{Claim: "owner", Values: []any{"1"}}, {Claim: "ref", Values: []any{"main"}}}},
		{`claims.a == 1 && (claims.b == "x" && claims.c in ["y", "z"])`, []expr.Pin{
			{Claim: "a", Values: []any{int64(1)}}, {Claim: "b", Values: []any{"x"}}, {Claim: "c", Values: []any{"y", "z"}},
		}},
		{`"1" == claims["owner"]`, []expr.Pin{{Claim: "owner", Values: []any{"1"}}}},
		{`str(claims.owner) == "1"`, []expr.Pin{{Claim: "owner", Values: []any{"1"}}}},
	} {
		for _, o := range []expr.Options{{}, {ClaimTypes: map[string]expr.Type{"owner": expr.String}}} {
			if got := compile(t, tt.source, o).Pins(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: want %v, got %v", tt.source, tt.want, got)
			}
		}
	}
}

func TestLoopVariableHidesNothing(t *testing.T) {
	for _, name := range []string{"claims", "principal", "scopes", "actor", "request"} {
		refused(t, fmt.Sprintf(`[{"owner": "1"}].exists(%s, true)`, name), expr.Options{}, "another name")
	}
}

func TestEveryFunctionIsAskedFor(t *testing.T) {
	// A function that a newer CEL brings must not appear here by itself.
	for _, source := range []string{`int("5") == 5`, `double(5) == 5.0`, `"a".replace("a", "b") == ""`, `"%s".format(["x"]) == ""`, `6 / 2 == 3`, `2 * 3 == 6`} {
		refused(t, source, expr.Options{}, "function of this environment")
	}
	refused(t, `["a"].join(claims.s) == ""`, expr.Options{}, "literal separator")
	compile(t, `["a", "b"].join("-") == "a-b"`, expr.Options{})
}
