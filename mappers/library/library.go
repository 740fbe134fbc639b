// Package library compiles each expression once for all who write the same text under the same declarations: among ten thousand upstreams most
// conditions are the same few, and an environment of CEL costs far more than what it is asked.
package library

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fedbroker/mappers/expr"
)

// Library belongs to one compilation of one configuration, and goes with it. It is not safe for concurrent use; the programs that it gives out are.
type Library struct {
	shelves map[string]*Shelf
}

// New makes an empty one.
func New() *Library { return &Library{shelves: map[string]*Shelf{}} }

// Shelf holds the programs of one set of options.
type Shelf struct {
	env      *expr.Env
	programs map[string]*expr.Program // by source
}

// Shelf finds the shelf for these options, or makes it. A nil library has none to find: each is new.
func (l *Library) Shelf(o expr.Options) (*Shelf, error) {
	name := nameOf(o)
	if l != nil && l.shelves[name] != nil {
		return l.shelves[name], nil
	}
	env, err := expr.NewEnv(o)
	if err != nil {
		return nil, err
	}
	s := &Shelf{env: env, programs: map[string]*expr.Program{}}
	if l != nil {
		l.shelves[name] = s
	}
	return s, nil
}

// Compile is expr.Env.Compile, once for each source that is good.
func (s *Shelf) Compile(source string) (*expr.Program, error) {
	if p := s.programs[source]; p != nil {
		return p, nil
	}
	p, err := s.env.Compile(source)
	if err != nil {
		return p, err
	}
	s.programs[source] = p
	return p, nil
}

// nameOf is the same for options that mean the same, and for no others.
func nameOf(o expr.Options) string {
	var name strings.Builder
	fmt.Fprintf(&name, "%d %t", o.Vars, o.Value)
	types := func(declared map[string]expr.Type) {
		fmt.Fprintf(&name, " %t", declared == nil)
		for _, member := range slices.Sorted(maps.Keys(declared)) {
			fmt.Fprintf(&name, " %q:%d", member, declared[member])
		}
	}
	types(o.ClaimTypes)
	types(o.RequestTypes)
	return name.String()
}
