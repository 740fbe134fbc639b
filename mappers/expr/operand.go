package expr

import (
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"fedbroker/mappers/nearest"
	"fedbroker/mappers/printable"
)

// text is a part as it was written.
func (x *explainer) text(e ast.Expr) string {
	if w := x.written[e.ID()]; w != nil {
		e = w
	}
	text, err := cel.ExprToString(e, x.info)
	if err != nil {
		return "(an expression)"
	}
	return printable.Text(strings.Join(strings.Fields(text), " "))
}

// show is the value of a part: of a path into the input what is there, of anything else what it came to.
func (x *explainer) show(e ast.Expr) string {
	if v, ok := x.follow(e); ok {
		return printable.Value(v)
	}
	switch v := x.value(e).(type) {
	case nil:
		return "(not evaluated)"
	case *types.Err:
		return printable.Text("(" + v.Error() + ")")
	default:
		plain, err := native(v)
		if err != nil {
			return printable.Text("(" + v.Type().TypeName() + ")")
		}
		return printable.Value(plain)
	}
}

// missing finds a member that a part reads and that is not there, and the name beside it that is nearest.
func (x *explainer) missing(e ast.Expr) (member, near string) {
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(part ast.Expr) {
		of, name, ok := x.member(part)
		if _, there := of[name]; member != "" || !ok || there {
			return
		}
		near, _ = nearest.Name(name, slices.Collect(maps.Keys(of)))
		member, near = strings.TrimSuffix(strings.TrimPrefix(x.text(part), "has("), ")"), printable.Text(near)
	}))
	return member, near
}

// follow resolves a part that is nothing but a path into the input.
func (x *explainer) follow(e ast.Expr) (v any, ok bool) {
	if e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() { // has() is not what it asks for
		return nil, false
	}
	if of, name, isMember := x.member(e); isMember {
		v, ok = of[name]
		return v, ok
	}
	return x.variable(identOf(e))
}

// member takes a part apart that names a member of a map of the input, whether it is there or not.
func (x *explainer) member(e ast.Expr) (of map[string]any, name string, ok bool) {
	var operand ast.Expr
	switch e.Kind() {
	case ast.IdentKind: // the checker's name of a declared member
		variable, member, qualified := memberOf(e)
		v, known := x.variable(variable)
		of, _ = v.(map[string]any)
		return of, member, qualified && known
	case ast.SelectKind:
		operand, name = e.AsSelect().Operand(), e.AsSelect().FieldName()
	case ast.CallKind:
		if e.AsCall().FunctionName() != operators.Index {
			return nil, "", false
		}
		operand = e.AsCall().Args()[0]
		if name, ok = literal(e.AsCall().Args()[1]).(string); !ok {
			return nil, "", false
		}
	default:
		return nil, "", false
	}
	v, ok := x.follow(operand)
	of, isMap := v.(map[string]any)
	return of, name, ok && isMap
}

// variable is one of the maps that an expression may name, as it sees it.
func (x *explainer) variable(name string) (any, bool) {
	if v := x.a.view(name); v != nil {
		return v.shown(), true
	}
	return nil, false
}
