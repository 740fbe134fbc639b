package mappers

import "fedbroker/mappers/expr"

// cel makes a claim of an expression's result; null makes nothing.
type cel struct {
	claim string
	value *expr.Program
}

func newCEL(b *builder) step {
	p := b.compile(b.values)
	return step{mapper: &cel{claim: b.spec.Claim, value: p}, target: b.target("claim", b.spec.Claim), reads: readsOf(p)}
}

func (m *cel) Map(in, out Claims) error { return mapAlone(m, in, out) }

func (m *cel) mapIn(a *expr.Activation, out Claims) error {
	v, err := m.value.Value(a)
	if err != nil {
		return err
	}
	if v != nil {
		out[m.claim] = v
	}
	return nil
}

// inActivation is a mapper that evaluates an expression: the chain judges the input once and shares the activation.
type inActivation interface {
	mapIn(a *expr.Activation, out Claims) error
}

func mapAlone(m inActivation, in, out Claims) error {
	a, err := expr.NewActivation(expr.Input{Claims: in, Principal: out})
	if err != nil {
		return err
	}
	return m.mapIn(a, out)
}
