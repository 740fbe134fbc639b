package lint

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/parser"
)

// operation is what a test does with what it looks at.
type operation uint8

const (
	opaque   operation = iota // is true or not; nothing more is known of it
	oneOf                     // equals one of values
	prefix                    // startsWith literal
	suffix                    // endsWith literal
	contains                  // contains literal
	matches                   // matches literal
)

// test is one operand of a condition that has no && or || of its own.
type test struct {
	text    string // as CEL writes it, without a leading !
	not     bool   // it has to be false
	of      string // what it looks at, such as claims.sub; "" if opaque
	op      operation
	values  []any // string, int64 or bool
	literal string
	pattern *regexp.Regexp
	within  *condition // what an element of a list has to be, such as in list(claims.groups).exists(g, …)
}

// condition is an expression in disjunctive form: it can hold only if all tests of some way do.
type condition struct {
	source string
	ways   [][]test // one with one opaque test where there are too many to be told apart
}

// maxWays bounds the ways of one condition: x && y doubles what x || y adds.
const maxWays = 64

// conditions parses expressions, each text once. They have been compiled, so that what doesn't parse says nothing here.
type conditions struct {
	parser *parser.Parser
	known  map[string]*condition
}

func newConditions() (*conditions, error) {
	p, err := parser.NewParser(parser.Macros(parser.AllMacros...), parser.PopulateMacroCalls(true))
	if err != nil {
		return nil, fmt.Errorf("lint: %w", err)
	}
	return &conditions{p, map[string]*condition{}}, nil
}

// always is the condition of a rule without one.
func always() *condition { return &condition{ways: [][]test{nil}} }

func (c *conditions) of(source string) *condition {
	if strings.TrimSpace(source) == "" {
		return always()
	}
	if known := c.known[source]; known != nil {
		return known
	}
	made := &condition{source: source, ways: [][]test{{{text: source}}}}
	c.known[source] = made
	if tree, errs := c.parser.Parse(common.NewTextSource(source)); len(errs.GetErrors()) == 0 {
		*made = reader{tree.SourceInfo()}.condition(tree.Expr(), source)
	}
	return made
}

// reader takes an expression apart.
type reader struct{ info *ast.SourceInfo }

func (r reader) condition(x ast.Expr, source string) condition {
	if ways, ok := r.ways(x, false); ok {
		return condition{source: source, ways: ways}
	}
	return condition{source: source, ways: [][]test{{{text: source}}}}
}

// ways are those in which x is true, or with not false. Where an operand has no value, CEL takes the one that decides, so every
// way to true is among them.
func (r reader) ways(x ast.Expr, not bool) (ways [][]test, ok bool) {
	if b, is := literal(x).(bool); is {
		if b == not {
			return nil, true
		}
		return [][]test{nil}, true
	}
	if x.Kind() != ast.CallKind {
		return [][]test{{r.test(x, not)}}, true
	}
	args := x.AsCall().Args()
	switch x.AsCall().FunctionName() {
	case operators.LogicalNot:
		return r.ways(args[0], !not)
	case operators.LogicalAnd:
		return r.join(args, not, not)
	case operators.LogicalOr:
		return r.join(args, not, !not)
	case operators.Conditional:
		yes, ok1 := r.both(args[0], false, args[1], not)
		no, ok2 := r.both(args[0], true, args[2], not)
		return append(yes, no...), ok1 && ok2 && len(yes)+len(no) <= maxWays
	default:
		return [][]test{{r.test(x, not)}}, true
	}
}

// join takes any one of the operands, or all.
func (r reader) join(args []ast.Expr, not, anyOne bool) ([][]test, bool) {
	ways := [][]test{nil}
	if anyOne {
		ways = nil
	}
	for _, arg := range args {
		more, ok := r.ways(arg, not)
		if !ok {
			return nil, false
		}
		if anyOne {
			ways = append(ways, more...)
		} else {
			ways = product(ways, more)
		}
		if len(ways) > maxWays {
			return nil, false
		}
	}
	return ways, true
}

func (r reader) both(x ast.Expr, notX bool, y ast.Expr, notY bool) ([][]test, bool) {
	a, ok1 := r.ways(x, notX)
	b, ok2 := r.ways(y, notY)
	return product(a, b), ok1 && ok2
}

func product(a, b [][]test) (out [][]test) {
	for _, x := range a {
		for _, y := range b {
			out = append(out, slices.Concat(x, y))
		}
	}
	return out
}

// test reads a single operand.
func (r reader) test(x ast.Expr, not bool) test {
	t := test{text: r.text(x), not: not}
	if x.Kind() == ast.ComprehensionKind {
		r.loop(x, &t)
		return t
	}
	if x.Kind() != ast.CallKind {
		return t
	}
	call := x.AsCall()
	args := call.Args()
	if call.IsMemberFunction() {
		args = append([]ast.Expr{call.Target()}, args...)
	}
	if len(args) != 2 {
		return t
	}
	switch call.FunctionName() {
	case operators.Equals, operators.NotEquals:
		if values(args[0]) != nil {
			args[0], args[1] = args[1], args[0]
		}
		if v := values(args[1]); v != nil {
			t.of, t.op, t.values = r.text(args[0]), oneOf, v
			if call.FunctionName() == operators.NotEquals { // told as the == that has to be false
				t.not, t.text = !not, t.of+" == "+r.text(args[1])
			}
		}
	case operators.In:
		if args[1].Kind() == ast.ListKind {
			if v := values(args[1].AsList().Elements()...); v != nil {
				t.of, t.op, t.values = r.text(args[0]), oneOf, v
			}
		}
	default:
		if text, is := literal(args[1]).(string); is {
			r.textTest(call.FunctionName(), args[0], text, &t)
		}
	}
	return t
}

func (r reader) textTest(function string, of ast.Expr, text string, t *test) {
	op := map[string]operation{"startsWith": prefix, "endsWith": suffix, "contains": contains, "matches": matches}[function]
	if op == matches {
		var err error
		if t.pattern, err = regexp.Compile(text); err != nil {
			return
		}
	}
	if op != opaque {
		t.of, t.op, t.literal = r.text(of), op, text
	}
}

// loop reads what exists, all and their like ask of an element.
func (r reader) loop(x ast.Expr, t *test) {
	call, known := r.info.GetMacroCall(x.ID())
	if !known || call.Kind() != ast.CallKind || len(call.AsCall().Args()) != 2 {
		return
	}
	if of := call.AsCall().Args()[1]; of.Kind() != ast.UnspecifiedExprKind { // a macro right within a macro stays opaque
		within := r.condition(of, t.text)
		t.within = &within
	}
}

// text is the expression as CEL writes it.
func (r reader) text(x ast.Expr) string {
	text, err := parser.Unparse(x, r.info)
	if err != nil {
		return fmt.Sprintf("expression %d", x.ID()) // equals no other
	}
	return text
}

func literal(x ast.Expr) any {
	if x.Kind() != ast.LiteralKind {
		return nil
	}
	return x.AsLiteral().Value()
}

// values are literals that compare exactly, nil if any of these is something else.
func values(elements ...ast.Expr) []any {
	var out []any
	for _, e := range elements {
		switch v := literal(e).(type) {
		case string, bool, int64:
			out = append(out, v)
		case uint64: // CEL compares numbers across their types
			if v > math.MaxInt64 {
				return nil
			}
			out = append(out, int64(v))
		default:
			return nil
		}
	}
	return out
}

// admits tells whether a value passes the test; of an opaque one nothing is known, so that it does.
func (t test) admits(v any) bool {
	text, isText := v.(string)
	var holds bool
	switch t.op {
	case opaque:
		return true
	case oneOf:
		holds = slices.Contains(t.values, v)
	case prefix:
		holds = strings.HasPrefix(text, t.literal)
	case suffix:
		holds = strings.HasSuffix(text, t.literal)
	case contains:
		holds = strings.Contains(text, t.literal)
	case matches:
		holds = t.pattern.MatchString(text)
	}
	if t.op != oneOf && !isText {
		return false // these have no value for anything but a string, so that the condition has none
	}
	return holds != t.not
}

// written is the test as it has to hold.
func (t test) written() string {
	switch {
	case !t.not:
		return t.text
	case t.op == oneOf && len(t.values) == 1:
		return strings.Replace(t.text, " == ", " != ", 1)
	default:
		return "!(" + t.text + ")"
	}
}
