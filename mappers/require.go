package mappers

import "fedbroker/mappers/expr"

// require refuses an identity for which its condition does not hold.
type require struct {
	condition *expr.Program
	index     int
	message   string
}

func newRequire(b *builder) step {
	p := b.compile(b.conditions)
	return step{mapper: &require{condition: p, index: b.index, message: b.spec.Message}, reads: readsOf(p)}
}

// Map returns a *RefusedError if the condition does not hold, an *expr.EvalError if it has no result.
func (m *require) Map(in, out Claims) error { return mapAlone(m, in, out) }

func (m *require) mapIn(a *expr.Activation, _ Claims) error {
	holds, err := m.condition.Holds(a)
	if err != nil {
		return err
	}
	if !holds {
		return &RefusedError{Index: m.index, Message: m.message}
	}
	return nil
}
