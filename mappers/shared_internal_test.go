package mappers

import (
	"testing"

	"fedbroker/mappers/expr"
	"fedbroker/mappers/library"
)

// Two upstreams of one configuration that write the same condition have one program; where their claims are declared otherwise, each has its own.
func TestCompile_ChainsOfOneLibraryShareEqualExpressions(t *testing.T) {
	shared := library.New()
	program := func(upstream string, types map[string]expr.Type) (*expr.Program, *expr.Program) {
		c := Compile(Options{Upstream: upstream, Library: shared, ClaimTypes: types, Specs: []Spec{
			{Kind: "require", Expression: `claims.dept == "eng"`}, {Kind: "cel", Claim: "dept", Expression: `claims.dept`},
		}}, func(path, format string, args ...any) { t.Errorf(path+": "+format, args...) })
		return c.steps[0].mapper.(*require).condition, c.steps[1].mapper.(*cel).value
	}
	condition, value := program("acme", nil)
	if again, valueAgain := program("beta", nil); again != condition || valueAgain != value {
		t.Error("want one program for the same text")
	}
	if typed, valueTyped := program("carl", map[string]expr.Type{"dept": expr.String}); typed == condition || valueTyped == value {
		t.Error("want a program of its own where a claim has a type")
	}
}
