package grants

import (
	"fedbroker/broker/rules"
	"fedbroker/mappers"
)

// Trace records one exchange for its operator: the steps taken, what each mapper changed, how each rule fared. A nil *Trace records nothing
// and costs nothing. It holds claims, so it is not for logs.
type Trace struct {
	Steps   []Step
	Mapping mappers.Trace // of the subject token
	Actor   mappers.Trace // of the actor token
	Policy  rules.Trace
}

// Step is one step of the exchange and how it ended; the one with an error is the last.
type Step struct {
	Name string
	Err  error
}

func (t *Trace) step(name string, err error) {
	if t != nil {
		t.Steps = append(t.Steps, Step{Name: name, Err: err})
	}
}

func (t *Trace) mapping(r role) *mappers.Trace {
	switch {
	case t == nil:
		return nil
	case r == roleActor:
		return &t.Actor
	default:
		return &t.Mapping
	}
}

func (t *Trace) rules() *rules.Trace {
	if t == nil {
		return nil
	}
	return &t.Policy
}
