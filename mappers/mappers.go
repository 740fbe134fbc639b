// Package mappers turns an upstream's verified claims into the canonical claims of a principal, and enforces what no operator may get
// wrong on the way: who owns e-mail addresses and group names, and which names are reserved.
//
// A claim's value is nil, bool, string, int64 (uint64 beyond it), float64, json.Number (a number that none of these holds exactly), []any or
// map[string]any. Values are shared between input and output and must not be written by whoever receives them.
package mappers

import (
	"fmt"
)

// Claims are the members of a claims object by name.
type Claims map[string]any

// Mapper is one step of a chain. Map reads in and out, and writes only the claim of out that the step was configured to make. It is pure:
// the same in and out give the same result, whatever the order of maps. A nil error with nothing written means "nothing to make".
type Mapper interface {
	Map(in, out Claims) error
}

// Spec is one entry of a configuration's mappers list. Which keys belong to which kind is the kind's to say.
type Spec struct {
	Kind       string            `yaml:"kind"`
	Expression string            `yaml:"expression,omitempty"`
	Message    string            `yaml:"message,omitempty"`
	From       string            `yaml:"from,omitempty"` // a JSON pointer (RFC 6901) if it begins with "/", else a plain name
	To         string            `yaml:"to,omitempty"`
	Claim      string            `yaml:"claim,omitempty"`
	Value      any               `yaml:"value,omitempty"`
	Keep       []string          `yaml:"keep,omitempty"`
	Rename     map[string]string `yaml:"rename,omitempty"`
	Prefix     *string           `yaml:"prefix,omitempty"` // "" is not the same as absent
	Table      map[string]any    `yaml:"table,omitempty"`
	Default    *any              `yaml:"default,omitempty"`
}

// written lists the keys that the entry has, in the order of the fields.
func (s Spec) written() []string {
	var keys []string
	for _, k := range []struct {
		name string
		is   bool
	}{
		{"expression", s.Expression != ""}, {"message", s.Message != ""}, {"from", s.From != ""}, {"to", s.To != ""},
		{"claim", s.Claim != ""}, {"value", s.Value != nil}, {"keep", s.Keep != nil}, {"rename", s.Rename != nil},
		{"prefix", s.Prefix != nil}, {"table", s.Table != nil}, {"default", s.Default != nil},
	} {
		if k.is {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// RefusedError says that a require step does not hold: the identity was understood and is not wanted.
type RefusedError struct {
	Index   int    // of the step
	Message string // the operator's, for log and trace, never for the caller
}

func (e *RefusedError) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("mappers[%d] refuses", e.Index)
	}
	return fmt.Sprintf("mappers[%d] refuses: %s", e.Index, e.Message)
}

// StepError says that a step could not be carried out on these claims. Index -1: before or after the steps, Kind then names the stage.
type StepError struct {
	Index int
	Kind  string
	Err   error
}

func (e *StepError) Error() string {
	if e.Index < 0 {
		return fmt.Sprintf("mapping (%s): %v", e.Kind, e.Err)
	}
	return fmt.Sprintf("mappers[%d] (%s): %v", e.Index, e.Kind, e.Err)
}

// Unwrap returns the cause.
func (e *StepError) Unwrap() error { return e.Err }
