package mappers

// set makes a claim of a value from the configuration.
type set struct {
	claim string
	value any
}

func newSet(b *builder) step {
	v, err := constant(b.spec.Value, 1)
	if err != nil {
		b.bad("value", "%v", err)
	}
	if b.spec.Claim == claimEmailVerified && v != false {
		b.bad("value", "want false for %s: a mapper can take verification away, never give it", claimEmailVerified)
	}
	return step{mapper: &set{claim: b.spec.Claim, value: v}, target: b.target("claim", b.spec.Claim)}
}

func (m *set) Map(_, out Claims) error {
	out[m.claim] = m.value
	return nil
}
