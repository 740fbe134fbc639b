package mappers

// rename copies a value, whatever its type, to a claim of another name.
type rename struct {
	from source
	to   string
}

func newRename(b *builder) step {
	from := b.source("from", b.spec.From)
	return step{
		mapper: &rename{from: from, to: b.spec.To},
		target: b.target("to", b.spec.To),
		reads:  from.reads(),
	}
}

// Map makes nothing if the source is absent.
func (m *rename) Map(in, out Claims) error {
	if v, ok := m.from.find(in, out); ok {
		out[m.to] = v
	}
	return nil
}
