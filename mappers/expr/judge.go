package expr

import (
	"fmt"
	"math"
	"regexp"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// maxExact bounds the integers that float64 tells apart: beyond it …992 and …993 are one number.
const maxExact = 1 << 53

// functions are the ones an expression may call. What is missing is missing on purpose: conversions and arithmetic that lose digits (double,
// int, *, /), everything about time, and functions whose output can outgrow their input by multiplication before its cost is known (replace,
// format).
var functions = map[string]bool{
	operators.Conditional: true, operators.LogicalAnd: true, operators.LogicalOr: true, operators.LogicalNot: true,
	operators.Equals: true, operators.NotEquals: true, operators.Less: true, operators.LessEquals: true,
	operators.Greater: true, operators.GreaterEquals: true, operators.In: true, operators.Index: true,
	operators.Add: true, operators.Subtract: true, operators.Negate: true, operators.NotStrictlyFalse: true,
	"size": true, "contains": true, "startsWith": true, "endsWith": true, "matches": true, "dyn": true, "type": true,
	"list": true, "str": true,
	"lowerAscii": true, "upperAscii": true, "trim": true, "split": true, "join": true, "substring": true, "indexOf": true,
}

// judge refuses what type-checks and yet must not be written in a rule.
func (e *Env) judge(tree *ast.AST) error {
	var first error
	ast.PostOrderVisit(tree.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if first != nil {
			return
		}
		var err error
		switch x.Kind() {
		case ast.CallKind:
			err = judgeCall(x.AsCall())
		case ast.StructKind: // google.protobuf.Timestamp{} and its like
			err = fmt.Errorf("want no message, got %s", x.AsStruct().TypeName())
		case ast.ComprehensionKind:
			err = judgeLoop(x.AsComprehension())
		case ast.LiteralKind:
			if d, ok := x.AsLiteral().(types.Double); ok && math.Abs(float64(d)) >= maxExact {
				err = fmt.Errorf("want an integer literal, got %v, which a float64 cannot tell from its neighbours", float64(d))
			}
		}
		if err != nil {
			at := tree.SourceInfo().GetStartLocation(x.ID())
			first = fmt.Errorf("%d:%d: %w", at.Line(), at.Column()+1, err)
		}
	}))
	return first
}

func judgeCall(c ast.CallExpr) error {
	name := c.FunctionName()
	if !functions[name] {
		return fmt.Errorf("want a function of this environment, got %q", name)
	}
	args := c.Args()
	last := len(args) - 1 // the pattern or the separator, in both styles of call
	switch {
	case last < 0:
		return nil
	case name == "matches":
		return judgePattern(args[last])
	case name == "join":
		// join is one multiplication of its separator by a list's length, so the separator must be known.
		if _, ok := literal(args[last]).(string); !ok {
			return fmt.Errorf("want a literal separator for join")
		}
	}
	return nil
}

// judgePattern demands a literal of the form ^(…)$ or ^(?:…)$: without the group a|b would leave both halves half-anchored.
func judgePattern(arg ast.Expr) error {
	pattern, ok := literal(arg).(string)
	if !ok {
		return fmt.Errorf("want a literal pattern for matches")
	}
	if _, err := regexp.Compile(pattern); err != nil {
		return fmt.Errorf("matches: %w", err)
	}
	inner, opened := strings.CutPrefix(pattern, "^(")
	inner, closed := strings.CutSuffix(inner, ")$")
	if opened && closed {
		// What is between the two parentheses is a pattern by itself only if they belong to each other: ^(a)|(b)$ leaves "a)|(b".
		if _, err := regexp.Compile(strings.TrimPrefix(inner, "?:")); err == nil {
			return nil
		}
	}
	return fmt.Errorf("want ^(?:…)$ around the whole pattern of matches, got %q", pattern)
}

// judgeLoop refuses loop variables that hide one of the environment's own: whoever reads claims.x must be able to trust the name. It refuses
// a loop over a literal map, too, whose order would change from run to run (maps of the input come in the order of their names).
func judgeLoop(c ast.ComprehensionExpr) error {
	for _, v := range variables {
		if c.IterVar() == v.name || c.IterVar2() == v.name {
			return fmt.Errorf("want another name for the loop variable than %q", v.name)
		}
	}
	ordered := true
	ast.PostOrderVisit(c.IterRange(), ast.NewExprVisitor(func(x ast.Expr) { ordered = ordered && x.Kind() != ast.MapKind }))
	if !ordered {
		return fmt.Errorf("want a loop over a list or over a claim, got one over a literal map")
	}
	return nil
}

// qualify turns claims["x"] into claims.x where x has a declared type, so that both ways of writing it are type-checked alike.
func (e *Env) qualify(root ast.Expr) {
	declared := qualifiedTypes(e.options.ClaimTypes)
	factory := ast.NewExprFactory()
	ast.PostOrderVisit(root, ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() != ast.CallKind {
			return
		}
		if variable, member, ok := memberOf(x); ok {
			if name := qualifiedName(variable, member); declared[name] != Dyn {
				x.SetKindCase(factory.NewIdent(x.ID(), name))
			}
		}
	}))
}

// literal returns the Go value of a constant, or nil.
func literal(x ast.Expr) any {
	if x.Kind() != ast.LiteralKind {
		return nil
	}
	return x.AsLiteral().Value()
}
