package expr

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

const (
	maxInput = 64 << 10 // bytes of text and numbers that one evaluation may see
	maxDepth = 32       // nesting, of the input and of an expression
	perValue = 8        // bytes that a value counts beside its text
)

// ErrInput says that the input is too large, too deep, or holds a Go value that is no JSON value.
var ErrInput = errors.New("not a fit input for an expression")

// Input is what expressions see. Values are nil, bool, string, int64, uint64, float64, json.Number (a number that none of these holds
// exactly), []any and map[string]any. Maps are read, never written, and must not change while an Activation of them is in use, but for
// Principal, whose changes are told by Changed.
//
// Member "email" of Claims, Principal and Actor is absent in every expression unless "email_verified" beside it is true.
type Input struct {
	Claims, Principal map[string]any
	Scopes            []string
	Actor, Request    map[string]any // nil: reading a member is an error, has() is false
}

// Activation is an input that has been judged. It serves any number of programs, one at a time.
type Activation struct {
	claims, principal, actor, request view
	scopes                            ref.Val
}

// NewActivation judges the input once for all programs that run on it. Its error wraps ErrInput.
func NewActivation(in Input) (*Activation, error) {
	a := &Activation{
		claims:    view{m: in.Claims, hideEmail: true},
		principal: view{m: in.Principal, hideEmail: true},
		actor:     view{m: in.Actor, hideEmail: true},
		request:   view{m: in.Request},
		scopes:    types.NewStringList(adapter{}, in.Scopes),
	}
	left := maxInput
	for _, scope := range in.Scopes {
		left -= perValue + len(scope)
	}
	for _, v := range []*view{&a.claims, &a.principal, &a.actor, &a.request} {
		for name, value := range v.m {
			left -= len(name)
			if err := v.judge(name, value, &left); err != nil {
				return nil, err
			}
		}
	}
	if left < 0 {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrInput, maxInput)
	}
	return a, nil
}

// Changed judges one member of Principal anew, after it was set or deleted. Its error wraps ErrInput.
func (a *Activation) Changed(name string) error {
	v := &a.principal
	v.inexact = slices.DeleteFunc(v.inexact, func(n string) bool { return n == name })
	left := maxInput
	return v.judge(name, v.m[name], &left)
}

// inexact names a member whose numbers no CEL number holds, if the program could meet it without naming it. (Where it is named, find gives
// an error. Inside of a list or a map CEL would swallow that error, and [claims] == [{}] be true.)
func (a *Activation) inexact(r Reads) string {
	for _, at := range [...]struct {
		reads *Members
		view  *view
	}{{&r.Claims, &a.claims}, {&r.Principal, &a.principal}, {&r.Actor, &a.actor}, {&r.Request, &a.request}} {
		if at.reads.All && len(at.view.inexact) > 0 {
			return at.view.inexact[0]
		}
	}
	return ""
}

func (v *view) judge(name string, value any, left *int) error {
	exact, err := measure(value, 1, left)
	if err != nil {
		return err
	}
	if !exact {
		v.inexact = append(v.inexact, name)
	}
	return nil
}

// measure subtracts the size of a value and says whether its numbers are exact.
func measure(value any, depth int, left *int) (exact bool, err error) {
	if *left -= perValue; *left < 0 {
		return false, fmt.Errorf("%w: more than %d bytes", ErrInput, maxInput)
	}
	if depth > maxDepth {
		return false, fmt.Errorf("%w: more than %d levels deep", ErrInput, maxDepth)
	}
	switch v := value.(type) {
	case nil, bool, int64, uint64:
		return true, nil
	case string:
		*left -= len(v)
		return true, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false, fmt.Errorf("%w: a number that is not finite", ErrInput)
		}
		return math.Abs(v) < maxExact, nil
	case json.Number:
		*left -= len(v)
		return false, nil
	case []any:
		return measureList(v, depth, left)
	case map[string]any:
		return measureMap(v, depth, left)
	default:
		return false, fmt.Errorf("%w: a Go value of type %T", ErrInput, value)
	}
}

func measureList(list []any, depth int, left *int) (exact bool, err error) {
	exact = true
	for _, e := range list {
		ok, err := measure(e, depth+1, left)
		if err != nil {
			return false, err
		}
		exact = exact && ok
	}
	return exact, nil
}

func measureMap(m map[string]any, depth int, left *int) (exact bool, err error) {
	exact = true
	for name, e := range m {
		*left -= len(name)
		ok, err := measure(e, depth+1, left)
		if err != nil {
			return false, err
		}
		exact = exact && ok
	}
	return exact, nil
}

// view is the variable of that name, nil if it is no map.
func (a *Activation) view(name string) *view {
	switch name {
	case "claims":
		return &a.claims
	case "principal":
		return &a.principal
	case "actor":
		return &a.actor
	case "request":
		return &a.request
	}
	return nil
}

// bindings resolves the names of one program in one activation.
type bindings struct {
	a     *Activation
	types map[string]Type
}

// Parent is part of cel.Activation.
func (b bindings) Parent() cel.Activation { return nil }

// ResolveName is part of cel.Activation.
func (b bindings) ResolveName(name string) (any, bool) {
	if v := b.a.view(name); v != nil {
		return v, true
	}
	if name == "scopes" {
		return b.a.scopes, true
	}
	if t, declared := b.types[name]; declared {
		return b.declared(name, t)
	}
	return nil, false
}

// declared resolves the qualified name of a member whose type the checker trusted.
func (b bindings) declared(qualified string, t Type) (any, bool) {
	variable, member, _ := strings.Cut(qualified, ".")
	member = strings.TrimPrefix(member, "@")
	from := b.a.view(variable)
	value, found := from.find(member)
	if found && !t.holds(from.m[member]) {
		return types.NewErr("%s[%q]: want %s, got another type", variable, member, t.cel()), true
	}
	return value, found
}
