package mappers

import (
	"maps"
	"reflect"
	"slices"
)

// Trace records what each step of a run did. A nil *Trace records nothing and costs nothing.
type Trace struct{ Steps []Step }

// Step is one step of a run. Index -1 is a stage after the steps: the passing of profile claims, the prefixes.
type Step struct {
	Index   int
	Kind    string
	Changes []Change // in the order of the names
	Err     error
}

// Change is one claim before and after a step; nil stands for absent.
type Change struct {
	Claim         string
	Before, After any
}

func (t *Trace) before(out Claims) Claims {
	if t == nil {
		return nil
	}
	return maps.Clone(out)
}

func (t *Trace) after(index int, kind string, before, out Claims, err error) {
	if t == nil {
		return
	}
	s := Step{Index: index, Kind: kind, Err: err}
	all := maps.Clone(before)
	maps.Copy(all, out)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !reflect.DeepEqual(before[name], out[name]) {
			s.Changes = append(s.Changes, Change{Claim: name, Before: before[name], After: out[name]})
		}
	}
	t.Steps = append(t.Steps, s)
}
