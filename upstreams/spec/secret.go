package spec

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted stands where a secret would be printed.
const redacted = "[redacted]"

// Secret is a string that no formatting, logging or encoding shows. Conversion to string, or Reveal, gives the value.
type Secret string

// Reveal is the value.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) shown() string {
	if s == "" {
		return "" // that a secret is missing is worth seeing
	}
	return redacted
}

// String implements fmt.Stringer.
func (s Secret) String() string { return s.shown() }

// Format implements fmt.Formatter, so that no verb shows the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.shown()) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.shown()) }

// MarshalText implements encoding.TextMarshaler, for JSON, YAML and XML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.shown()), nil }

// MarshalYAML implements the marshalling interface of YAML libraries.
func (s Secret) MarshalYAML() (any, error) { return s.shown(), nil }
