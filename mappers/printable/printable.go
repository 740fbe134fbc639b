// Package printable writes values and texts of strangers for people: bounded in length, and without characters that a terminal would obey.
package printable

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Longest is how long a text may become, in bytes, before it is cut.
const Longest = 240

// Value writes a JSON value, names in order, as JSON nearly has it: what is not printable is escaped as Go does.
func Value(v any) string {
	var b strings.Builder
	write(&b, v)
	return Text(b.String())
}

func write(b *strings.Builder, v any) {
	if b.Len() > Longest { // the rest is cut off
		return
	}
	switch v := v.(type) {
	case nil:
		b.WriteString("null")
	case string:
		b.WriteString(strconv.Quote(v[:min(len(v), 2*Longest)]))
	case []string:
		list(b, v, func(e string) { write(b, e) })
	case []any:
		list(b, v, func(e any) { write(b, e) })
	case map[string]any:
		b.WriteByte('{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b.WriteString(", ")
			}
			write(b, name)
			b.WriteString(": ")
			write(b, v[name])
		}
		b.WriteByte('}')
	default: // a bool or a number
		fmt.Fprint(b, v)
	}
}

func list[T any](b *strings.Builder, all []T, each func(T)) {
	b.WriteByte('[')
	for i, e := range all {
		if i > 0 {
			b.WriteString(", ")
		}
		each(e)
	}
	b.WriteByte(']')
}

// Text makes one line of a text, cut at Longest.
func Text(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) || !utf8.ValidString(s) {
		quoted := strconv.Quote(s)
		s = strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
	}
	if len(s) <= Longest {
		return s
	}
	cut := Longest
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
