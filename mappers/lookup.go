package mappers

import (
	"maps"
	"slices"
)

// lookup translates a value, or each element of a list, by a table.
type lookup struct {
	from     source
	to       string
	table    map[string]any
	fallback any // nil: none
}

func newLookup(b *builder) step {
	m := &lookup{from: b.source("from", b.spec.From), to: b.spec.To, table: make(map[string]any, len(b.spec.Table))}
	if len(b.spec.Table) == 0 {
		b.bad("table", "want at least one entry, got none")
	}
	for _, k := range slices.Sorted(maps.Keys(b.spec.Table)) {
		v, err := constant(b.spec.Table[k], 1)
		if err != nil {
			b.bad("table."+k, "%v", err)
		}
		m.table[k] = v
	}
	if b.spec.Default != nil {
		v, err := constant(*b.spec.Default, 1)
		if err != nil {
			b.bad("default", "%v", err)
		}
		m.fallback = v
	}
	return step{mapper: m, target: b.target("to", b.spec.To), reads: m.from.reads()}
}

// Map gives one value for a scalar, and for a list the values of its elements (a value that is a list itself joins it). The default stands
// for what the table does not know, and for an absent source; without a default these make nothing.
func (m *lookup) Map(in, out Claims) error {
	v, _ := m.from.find(in, out)
	list, isList := v.([]any)
	if !isList {
		return m.one(v, out)
	}
	var found []any
	for _, e := range list {
		r, err := m.value(e)
		if err != nil {
			return err
		}
		if nested, ok := r.([]any); ok {
			found = append(found, nested...)
		} else if r != nil {
			found = append(found, r)
		}
	}
	if found == nil {
		return m.one(nil, out)
	}
	out[m.to] = found
	return nil
}

func (m *lookup) one(v any, out Claims) error {
	r, err := m.value(v)
	if err == nil && r != nil {
		out[m.to] = r
	}
	return err
}

func (m *lookup) value(v any) (any, error) {
	if v == nil {
		return m.fallback, nil
	}
	k, err := key(v)
	if err != nil {
		return nil, err
	}
	if r, ok := m.table[k]; ok {
		return r, nil
	}
	return m.fallback, nil
}
