package expr

import (
	"errors"
	"fmt"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"fedbroker/mappers/printable"
)

const (
	maxFindings = 16 // of one expression
	// explainCost bounds an evaluation that looks at both sides of && and ||, where a plain one stops at the first that settles it.
	explainCost = 4 * maxCost
)

// Finding is one part of a condition that keeps it from holding: for people to read, bounded in length, and free of characters that a terminal
// would obey.
type Finding struct {
	Part        string `json:"part"`                  // as written
	Operand     string `json:"operand,omitempty"`     // what it looks at, such as claims.ref
	Saw         string `json:"saw"`                   // the operand's value as JSON, Absent, or why there is none
	Wanted      string `json:"wanted"`                // such as "refs/heads/main", or one of ["a", "b"]
	Nearest     string `json:"nearest,omitempty"`     // the present member whose name is nearest to that of an absent one
	Alternative bool   `json:"alternative,omitempty"` // a branch of ||: if another one held, this need not
}

// Absent is what a Finding saw of a member that is not there.
const Absent = "(absent)"

// Explain says what of a condition does not hold: the operands of && that fail, and all branches of a || that does. It returns nothing if the
// condition holds, and at least one finding if not. It evaluates the condition again, in a program of its own: it is for traces.
func (p *Program) Explain(a *Activation) []Finding {
	holds, err := p.Holds(a)
	if holds {
		return nil
	}
	if x, failed := p.explainer(a); failed == nil && a.inexact(p.reads) == "" {
		x.explain(x.root, true, false)
		if len(x.findings) > 0 {
			return x.findings
		}
	}
	saw := "false"
	if e, ok := errors.AsType[*EvalError](err); ok {
		saw = printable.Text(e.Err.Error())
	}
	return []Finding{{Part: printable.Text(p.source), Saw: saw, Wanted: "true"}}
}

// explainer walks a condition and the values that its parts had.
type explainer struct {
	a        *Activation
	root     ast.Expr
	info     *ast.SourceInfo
	written  map[int64]ast.Expr // the parts as they were written, before names were qualified
	state    interpreter.EvalState
	findings []Finding
}

// explainer evaluates the condition so that the value of every part is known.
func (p *Program) explainer(a *Activation) (*explainer, error) {
	env, err := p.env.cel.Extend(cel.EnableMacroCallTracking()) // as macros were written
	if err != nil {
		return nil, err
	}
	checked, written, err := p.env.check(env, p.source)
	if err != nil {
		return nil, err
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptExhaustiveEval), cel.CostTracking(dispatchCost{}), cel.CostLimit(explainCost))
	if err != nil {
		return nil, err
	}
	_, details, _ := program.Eval(bindings{a: a, types: p.types}) // an error is in the state, too
	if details == nil || details.State() == nil {
		return nil, errors.New("no state")
	}
	tree := checked.NativeRep()
	x := &explainer{a: a, root: tree.Expr(), info: tree.SourceInfo(), written: map[int64]ast.Expr{}, state: details.State()}
	ast.PreOrderVisit(written, ast.NewExprVisitor(func(e ast.Expr) { x.written[e.ID()] = e }))
	return x, nil
}

// explain finds what keeps e from being want.
func (x *explainer) explain(e ast.Expr, want, alternative bool) {
	if v, ok := x.value(e).(types.Bool); ok && bool(v) == want {
		return
	}
	if e.Kind() != ast.CallKind {
		x.leaf(e, want, alternative)
		return
	}
	args := e.AsCall().Args()
	switch e.AsCall().FunctionName() {
	case operators.LogicalNot:
		x.explain(args[0], !want, alternative)
	case operators.LogicalAnd, operators.LogicalOr:
		// Both operands of an && are needed for true; for false one is enough. Of an || it is the other way round.
		either := (e.AsCall().FunctionName() == operators.LogicalOr) == want
		for _, arg := range args {
			x.explain(arg, want, alternative || either)
		}
	case operators.Conditional:
		if chosen, ok := x.value(args[0]).(types.Bool); ok && bool(chosen) {
			x.explain(args[1], want, alternative)
		} else if ok {
			x.explain(args[2], want, alternative)
		} else {
			x.leaf(args[0], true, alternative)
		}
	default:
		x.leaf(e, want, alternative)
	}
}

// leaf tells of a part that is no combination of others.
func (x *explainer) leaf(e ast.Expr, want, alternative bool) {
	if len(x.findings) == maxFindings {
		return
	}
	f := Finding{Part: x.text(e), Alternative: alternative}
	if member, near := x.missing(e); member != "" {
		f.Operand, f.Saw, f.Nearest, f.Wanted = member, Absent, near, x.wanted(e, want)
		if operandOf(e) == nil { // has(), or a bare member
			f.Wanted = "to be present"
		}
		x.findings = append(x.findings, f)
		return
	}
	operand := e
	if o := operandOf(e); o != nil {
		operand, f.Operand = o, x.text(o)
	}
	f.Saw, f.Wanted = x.show(operand), x.wanted(e, want)
	x.findings = append(x.findings, f)
}

// operandOf is the part of a comparison that is looked at, where the other is what it is wanted to be; nil of anything else.
func operandOf(e ast.Expr) ast.Expr {
	if e.Kind() == ast.ComprehensionKind {
		return e.AsComprehension().IterRange()
	}
	if e.Kind() != ast.CallKind {
		return nil
	}
	call, args := e.AsCall(), e.AsCall().Args()
	switch _, compared := comparisons[call.FunctionName()]; {
	case phrases[call.FunctionName()] != "" && call.IsMemberFunction():
		return call.Target()
	case (compared || call.FunctionName() == operators.In) && constant(args[0]): // "x" in claims.groups
		return args[1]
	case compared || call.FunctionName() == operators.In:
		return args[0]
	}
	return nil
}

// comparisons are the operators between two values: what each wants of its left one, what of its right one, and the operator that holds when it
// does not.
var comparisons = map[string]struct{ left, right, not string }{
	operators.Equals:        {"", "", operators.NotEquals},
	operators.NotEquals:     {"other than ", "other than ", operators.Equals},
	operators.Less:          {"less than ", "more than ", operators.GreaterEquals},
	operators.LessEquals:    {"at most ", "at least ", operators.Greater},
	operators.Greater:       {"more than ", "less than ", operators.LessEquals},
	operators.GreaterEquals: {"at least ", "at most ", operators.Less},
}

var phrases = map[string]string{"matches": "to match ", "startsWith": "to start with ", "endsWith": "to end with ", "contains": "to contain "}

// wanted is what a part would have to see.
func (x *explainer) wanted(e ast.Expr, want bool) string {
	not := map[bool]string{false: "not "}[want]
	if e.Kind() == ast.ComprehensionKind {
		return printable.Text(not + "to satisfy " + x.text(e))
	}
	if e.Kind() != ast.CallKind {
		return fmt.Sprint(want)
	}
	name, args := e.AsCall().FunctionName(), e.AsCall().Args()
	c, compared := comparisons[name]
	if compared && !want {
		c = comparisons[c.not]
	}
	switch {
	case phrases[name] != "":
		return printable.Text(not + phrases[name] + x.text(args[len(args)-1]))
	case compared && constant(args[0]):
		return printable.Text(c.right + x.text(args[0]))
	case compared:
		return printable.Text(c.left + x.term(args[1]))
	case name == operators.In && constant(args[0]):
		return printable.Text(not + "to hold " + x.text(args[0]))
	case name == operators.In:
		return printable.Text(not + "one of " + x.term(args[1]))
	}
	return fmt.Sprint(want)
}

// term is a part as written and, unless that says it already, its value.
func (x *explainer) term(e ast.Expr) string {
	if constant(e) {
		return x.text(e)
	}
	return x.text(e) + ", " + x.show(e)
}

// constant tells whether a part reads nothing.
func constant(e ast.Expr) bool {
	reads := false
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(x ast.Expr) {
		reads = reads || x.Kind() == ast.IdentKind || x.Kind() == ast.ComprehensionKind
	}))
	return !reads
}

// value is what a part came to; nil if it was not evaluated.
func (x *explainer) value(e ast.Expr) ref.Val {
	if e.Kind() == ast.LiteralKind {
		return e.AsLiteral()
	}
	v, _ := x.state.Value(e.ID())
	return v
}
