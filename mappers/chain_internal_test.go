package mappers

import (
	"errors"
	"testing"
)

// rogue is a mapper that makes a name it was not configured with.
type rogue struct{ name string }

func (m rogue) Map(_, out Claims) error {
	out[m.name] = "x"
	return nil
}

func TestP7_NamesAreHeldAtRunTime(t *testing.T) {
	for _, name := range []string{"sub", "upstream", "groups", "a b", ""} {
		c := Compile(Options{Upstream: "acme"}, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) })
		c.targets["tenant"] = true
		c.steps = []step{{kind: "rogue", mapper: rogue{name: name}, target: "tenant"}}
		r, err := c.Run(Claims{}, nil)
		if failed := (*StepError)(nil); !errors.As(err, &failed) || failed.Index != 0 {
			t.Errorf("%q: want a *StepError of step 0, got %v, %v", name, r, err)
		}
	}
}
