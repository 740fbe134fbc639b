package expr

import (
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
)

// Reads says what of its input an expression can look at.
type Reads struct {
	Claims, Principal, Actor, Request Members
	Scopes                            bool
}

// Members are the top-level members of one variable that an expression reads.
type Members struct {
	All   bool     // the variable is used as a whole, or by a computed name
	Names []string // sorted, each once
}

// Has says whether the member can be read.
func (m Members) Has(name string) bool {
	_, listed := slices.BinarySearch(m.Names, name)
	return m.All || listed
}

// With is what either of two reads.
func (m Members) With(o Members) Members {
	names := slices.Concat(m.Names, o.Names)
	slices.Sort(names)
	return Members{All: m.All || o.All, Names: slices.Compact(names)}
}

func (m *Members) add(name string) {
	if i, listed := slices.BinarySearch(m.Names, name); !listed {
		m.Names = slices.Insert(m.Names, i, name)
	}
}

// Pin is a top-level && operand that holds a claim of the upstream to literals.
type Pin struct {
	Claim  string
	Values []any // string, int64 or uint64; never empty
}

// Reads returns what the expression reads, known since it was compiled.
func (p *Program) Reads() Reads { return p.reads }

// Pins returns the claims that the expression pins to literals whenever it holds.
func (p *Program) Pins() []Pin { return p.pins }

// PinsOneOf says whether the expression pins at least one of these claims.
func (p *Program) PinsOneOf(claims ...string) bool {
	return slices.ContainsFunc(p.pins, func(pin Pin) bool { return slices.Contains(claims, pin.Claim) })
}

// memberOf takes apart variable.member, variable["member"] and has(variable.member).
func memberOf(x ast.Expr) (variable, member string, ok bool) {
	switch x.Kind() {
	case ast.IdentKind: // the checker's name of a declared claim
		variable, member, ok = strings.Cut(strings.TrimPrefix(x.AsIdent(), "."), ".")
		return variable, strings.TrimPrefix(member, "@"), ok && isVariable(variable)
	case ast.SelectKind:
		variable = identOf(x.AsSelect().Operand())
		return variable, x.AsSelect().FieldName(), isVariable(variable)
	case ast.CallKind:
		call := x.AsCall()
		switch call.FunctionName() {
		case operators.Index: // claims["x"]
			variable = identOf(call.Args()[0])
			member, ok = literal(call.Args()[1]).(string)
		case operators.In: // "x" in claims
			variable = identOf(call.Args()[1])
			member, ok = literal(call.Args()[0]).(string)
		}
		return variable, member, ok && isVariable(variable)
	}
	return "", "", false
}

func identOf(x ast.Expr) string {
	if x.Kind() != ast.IdentKind {
		return ""
	}
	return strings.TrimPrefix(x.AsIdent(), ".")
}

func isVariable(name string) bool {
	for _, v := range variables {
		if v.name == name {
			return true
		}
	}
	return false
}

// readsOf walks a checked tree. An ident of a variable that is not the operand of a known member stands for the whole.
func readsOf(root ast.Expr) Reads {
	var r Reads
	operands := map[int64]bool{} // idents already accounted for by the member around them
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(x ast.Expr) {
		variable, member, ok := memberOf(x)
		if !ok {
			if x.Kind() == ast.IdentKind && !operands[x.ID()] {
				r.whole(identOf(x))
			}
			return
		}
		if m := r.of(variable); m != nil {
			m.add(member)
		} else {
			r.whole(variable)
		}
		switch x.Kind() {
		case ast.SelectKind:
			operands[x.AsSelect().Operand().ID()] = true
		case ast.CallKind:
			for _, arg := range x.AsCall().Args() {
				operands[arg.ID()] = true
			}
		}
	}))
	return r
}

func (r *Reads) of(variable string) *Members {
	switch variable {
	case "claims":
		return &r.Claims
	case "principal":
		return &r.Principal
	case "actor":
		return &r.Actor
	case "request":
		return &r.Request
	}
	return nil
}

func (r *Reads) whole(variable string) {
	if m := r.of(variable); m != nil {
		m.All = true
	} else if variable == "scopes" {
		r.Scopes = true
	}
}

// pinsOf reads the top-level && operands: only what every way to true passes through is a pin.
func pinsOf(x ast.Expr) []Pin {
	if x.Kind() != ast.CallKind {
		return nil
	}
	args := x.AsCall().Args()
	switch x.AsCall().FunctionName() {
	case operators.LogicalAnd:
		var pins []Pin
		for _, arg := range args {
			pins = append(pins, pinsOf(arg)...)
		}
		return pins
	case operators.Equals:
		for i, arg := range args {
			if claim, ok := pinned(arg); ok {
				if values := pinValues(args[1-i]); values != nil {
					return []Pin{{Claim: claim, Values: values}}
				}
			}
		}
	case operators.In:
		claim, ok := pinned(args[0])
		if !ok || args[1].Kind() != ast.ListKind {
			return nil
		}
		if values := pinValues(args[1].AsList().Elements()...); values != nil {
			return []Pin{{Claim: claim, Values: values}}
		}
	}
	return nil
}

// pinned is claims.x, or str(claims.x), which is one to one for the strings and integers that name an owner.
func pinned(x ast.Expr) (claim string, ok bool) {
	if x.Kind() == ast.CallKind && x.AsCall().FunctionName() == "str" {
		x = x.AsCall().Args()[0]
	}
	if x.Kind() == ast.SelectKind && x.AsSelect().IsTestOnly() || x.Kind() == ast.CallKind && x.AsCall().FunctionName() == operators.In {
		return "", false
	}
	variable, member, ok := memberOf(x)
	return member, ok && variable == "claims"
}

// pinValues returns nil unless every element is a literal that can name an owner.
func pinValues(elements ...ast.Expr) []any {
	var values []any
	for _, e := range elements {
		switch v := literal(e).(type) {
		case string:
			if v == "" {
				return nil
			}
			values = append(values, v)
		case int64, uint64:
			values = append(values, v)
		default:
			return nil
		}
	}
	return values
}
