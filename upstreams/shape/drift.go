package shape

import (
	"cmp"
	"slices"
	"time"

	"fedbroker/upstreams/jose"
)

// Kind is how a claim changed. The set is closed.
type Kind string

// The kinds.
const (
	Appeared Kind = "appeared" // it never came before
	Vanished Kind = "vanished" // it came in nearly all tokens, and does not come any more
	Retyped  Kind = "retyped"  // it comes as a type that it never had
	Returned Kind = "returned" // it had vanished
)

// Drift is one difference from the baseline that stands.
type Drift struct {
	Pointer string     // of the claim (RFC 6901)
	Kind    Kind       // never Returned
	Was, Is jose.Types // of an appeared claim no Was, of a vanished one no Is
	Since   time.Time
	Last    time.Time // when the claim came last
}

// Drifts are the differences from the baseline, the oldest first.
func (s *Shape) Drifts() []Drift {
	var all []Drift
	for pointer, n := range s.Names {
		if !n.Appeared.IsZero() {
			all = append(all, Drift{Pointer: pointer, Kind: Appeared, Is: n.Types, Since: n.Appeared, Last: n.Last})
		}
		if !n.Retyped.IsZero() {
			all = append(all, Drift{Pointer: pointer, Kind: Retyped, Was: n.Was, Is: n.Is, Since: n.Retyped, Last: n.Last})
		}
		if !n.Vanished.IsZero() {
			all = append(all, Drift{Pointer: pointer, Kind: Vanished, Was: n.Types, Since: n.Vanished, Last: n.Last})
		}
	}
	slices.SortFunc(all, func(a, b Drift) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// Baseline is what a claim came as when the baseline was made; 0 if it did not.
func (n *Name) Baseline() jose.Types {
	switch {
	case !n.Appeared.IsZero():
		return 0
	case !n.Retyped.IsZero():
		return n.Was
	}
	return n.Types
}

// clone is a copy for others to read.
func (s *Shape) clone() Shape {
	c := Shape{Tokens: s.Tokens, Since: s.Since, Last: s.Last, Learnt: s.Learnt, Names: make(map[string]*Name, len(s.Names))}
	for pointer, n := range s.Names {
		known := *n
		known.parent = nil
		c.Names[pointer] = &known
	}
	return c
}

// fit tells whether a shape that was loaded is one that could have been saved.
func (s *Shape) fit() bool {
	if len(s.Names) > maxNames {
		return false
	}
	for pointer, n := range s.Names {
		if n == nil || len(pointer) < 2 || pointer[0] != '/' || len(pointer) > maxPointer {
			return false
		}
	}
	return true
}

// maxPointer is the longest that a pointer can be: each byte of a name may take two.
const maxPointer = maxDepth * (1 + 2*maxName)
