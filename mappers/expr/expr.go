// Package expr is the one CEL environment of the broker: mappers and policy rules are written in it.
//
// An expression is type-checked once, at load, and bounded: source ≤ 4 KiB, cost ≤ 10,000, input ≤ 64 KiB nested ≤ 32 deep. It knows no
// clock, no network and no chance, so one input has one result. What it cannot judge exactly is an error, never a quiet false: a missing
// claim, a number that no int64, uint64 or small enough float64 holds exactly, a declared claim of another type.
package expr

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const (
	maxSource = 4 << 10 // bytes of one expression
	maxCost   = 10_000  // CEL cost units of one evaluation
)

// Type is what a preset declares of one top-level claim.
type Type uint8

// The types a claim can be declared as; Dyn, the zero value, declares nothing.
const (
	Dyn Type = iota
	Bool
	Int
	Double
	String
	StringList
	Map
)

// Vars is the set of variables that an expression may name. The zero value means all of them.
type Vars uint8

// The variables: claims are the upstream's, verified; principal is what the mappers made of them.
const (
	Claims Vars = 1 << iota
	Principal
	Scopes
	Actor
	Request
)

// Options say what an expression is for.
type Options struct {
	Vars         Vars            // variables it may name; zero: all
	Value        bool            // its result may be any JSON value, not only bool
	ClaimTypes   map[string]Type // declared members of claims, so that claims.s == 5 on a String is refused at load
	RequestTypes map[string]Type // when not nil, request has these members and no others
}

// Env compiles expressions for one set of options. It is immutable and safe for concurrent use.
type Env struct {
	options Options
	cel     *cel.Env
}

// Program is one compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	source  string
	env     *Env // for Explain
	program cel.Program
	value   bool
	types   map[string]Type // by qualified name: "claims.repository_owner_id"
	reads   Reads
	pins    []Pin
}

// EvalError says that an expression has no result for this input: a missing member, a type, the cost.
type EvalError struct {
	Source string
	Err    error
}

func (e *EvalError) Error() string { return fmt.Sprintf("expression %q: %v", e.Source, e.Err) }

// Unwrap returns the cause.
func (e *EvalError) Unwrap() error { return e.Err }

// Compile type-checks source in an environment of its own. Whoever compiles many expressions makes one Env.
func Compile(source string, o Options) (*Program, error) {
	env, err := NewEnv(o)
	if err != nil {
		return nil, err
	}
	return env.Compile(source)
}

// Compile type-checks source. The error's text is for the operator and holds the place in the source.
func (e *Env) Compile(source string) (*Program, error) {
	if source == "" {
		return nil, errors.New("want an expression, got none")
	}
	if len(source) > maxSource {
		return nil, fmt.Errorf("want at most %d bytes, got %d", maxSource, len(source))
	}
	checked, _, err := e.check(e.cel, source)
	if err != nil {
		return nil, err
	}
	if out := checked.OutputType(); !e.options.Value && !out.IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("want a bool, got %s", out)
	}
	program, err := e.cel.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostTracking(dispatchCost{}), cel.CostLimit(maxCost))
	if err != nil {
		return nil, oneLine(err)
	}
	root := checked.NativeRep().Expr()
	p := &Program{source: source, env: e, program: program, value: e.options.Value, reads: readsOf(root), pins: pinsOf(root)}
	p.types = qualifiedTypes(e.options.ClaimTypes)
	maps.Copy(p.types, qualifiedRequest(e.options.RequestTypes))
	return p, e.closed(p.reads)
}

// check parses, judges and type-checks source in c. written is the tree before names were qualified.
func (e *Env) check(c *cel.Env, source string) (checked *cel.Ast, written ast.Expr, err error) {
	parsed, issues := c.Parse(source)
	if err := issues.Err(); err != nil {
		return nil, nil, oneLine(err)
	}
	tree := parsed.NativeRep()
	if err := e.judge(tree); err != nil {
		return nil, nil, err
	}
	written = ast.NewExprFactory().CopyExpr(tree.Expr())
	e.qualify(tree.Expr())
	if checked, issues = c.Check(parsed); issues.Err() != nil {
		return nil, nil, oneLine(issues.Err())
	}
	return checked, written, nil
}

// closed refuses a member of request that the options do not declare.
func (e *Env) closed(r Reads) error {
	if e.options.RequestTypes == nil {
		return nil
	}
	known := slices.Sorted(maps.Keys(e.options.RequestTypes))
	if r.Request.All {
		return fmt.Errorf("want a member of request, one of %q, got request as a whole", known)
	}
	for _, name := range r.Request.Names {
		if _, ok := e.options.RequestTypes[name]; !ok {
			return fmt.Errorf("want one of %q after request, got %q", known, name)
		}
	}
	return nil
}

// Source returns the expression as it was written.
func (p *Program) Source() string { return p.source }

// Holds evaluates a condition. Every error is an *EvalError.
func (p *Program) Holds(a *Activation) (bool, error) {
	out, err := p.eval(a)
	if err != nil {
		return false, err
	}
	holds, ok := out.(types.Bool)
	if !ok {
		return false, &EvalError{Source: p.source, Err: fmt.Errorf("want a bool, got %s", out.Type().TypeName())}
	}
	return bool(holds), nil
}

// Value evaluates to a JSON value: nil, bool, string, int64, uint64 (beyond int64), float64, []any or map[string]any. Every error is an
// *EvalError.
func (p *Program) Value(a *Activation) (any, error) {
	out, err := p.eval(a)
	if err != nil {
		return nil, err
	}
	v, err := native(out)
	if err != nil {
		return nil, &EvalError{Source: p.source, Err: err}
	}
	return v, nil
}

// eval runs the program. cel-go itself turns a panic inside an evaluation into an error.
func (p *Program) eval(a *Activation) (ref.Val, error) {
	if name := a.inexact(p.reads); name != "" {
		return nil, &EvalError{Source: p.source, Err: fmt.Errorf("%s: a number that cannot be compared exactly", name)}
	}
	out, _, err := p.program.Eval(bindings{a: a, types: p.types})
	if err != nil {
		return nil, &EvalError{Source: p.source, Err: err}
	}
	if types.IsUnknownOrError(out) {
		return nil, &EvalError{Source: p.source, Err: fmt.Errorf("no result: %v", out)}
	}
	return out, nil
}
