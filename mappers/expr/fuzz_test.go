package expr_test

import (
	"encoding/json"
	"testing"

	"fedbroker/mappers/expr"
)

func expressions() []string {
	return []string{
		`claims.a == "x" && "b" in list(claims.b)`, `claims.n == 9007199254740993`, `claims.m.exists(k, claims.m[k] == principal.a)`,
		`[claims].map(c, c.m.map(k, [k])) + [scopes]`, `str(claims.n) + claims.a.upperAscii().substring(1)`, `claims.a.matches("^(?:x|y)$")`,
		`has(claims.email) ? claims.email : null`, `claims == {"a": 1}`, `claims["a"].split("").join("-")`, `-claims.n - 5 < 2.5`, `claims.u - 1u`,
		`{"k": claims}.k.m == claims.m`, `claims.l[claims.n]`, `type(claims.l) == list`, `request.x || !actor.y`, `((((1`, "\x00", `b"\xff"`,
	}
}

// FuzzExpression compiles any text and runs what compiles.
func FuzzExpression(f *testing.F) {
	for _, source := range expressions() {
		f.Add(source)
	}
	in := expr.Input{
		Claims: map[string]any{
			"a": "x", "b": []any{"b", nil}, "n": int64(5), "u": uint64(1), "m": map[string]any{"k": "x"}, "l": []any{1.5, true},
			"email": "a@b", "odd": json.Number("1e400"),
		},
		Principal: map[string]any{"a": "x"}, Scopes: []string{"s"},
	}
	env, err := expr.NewEnv(expr.Options{Value: true, ClaimTypes: map[string]expr.Type{"a": expr.String, "n": expr.Int}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, source string) {
		p, err := env.Compile(source)
		if err != nil {
			return
		}
		v, err := p.Value(activation(t, in))
		if err != nil {
			return
		}
		// What an expression makes is fit to be the input of the next.
		if _, err := expr.NewActivation(expr.Input{Principal: map[string]any{"v": v}}); err != nil && len(source) < 1<<10 {
			t.Errorf("%s: %v", source, err)
		}
	})
}

func TestFuzzSeedsCompileAndRun(t *testing.T) {
	compiled := 0
	for _, source := range expressions() {
		if _, err := expr.Compile(source, expr.Options{Value: true}); err == nil {
			compiled++
		}
	}
	if compiled < 12 {
		t.Errorf("want most seeds to compile, got %d of %d", compiled, len(expressions()))
	}
}
