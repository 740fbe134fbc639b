package strict

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// The tags of plain YAML.
const (
	nullTag   = "!!null"
	boolTag   = "!!bool"
	intTag    = "!!int"
	floatTag  = "!!float"
	stringTag = "!!str"
	timeTag   = "!!timestamp"
	mergeTag  = "!!merge"
	seqTag    = "!!seq"
	mapTag    = "!!map"
)

func plain(tag string) bool {
	return slices.Contains([]string{nullTag, boolTag, intTag, floatTag, stringTag, timeTag, mergeTag, seqTag, mapTag}, tag)
}

// textual says whether a scalar is text: a date is, since no key of ours is a date; a lone << too, where it is a value.
func textual(n *yaml.Node) bool {
	tag := n.ShortTag()
	return tag == stringTag || tag == timeTag || tag == mergeTag
}

// kindOf says what was written in place of what was wanted, without the value, which may be a secret in the wrong place.
func kindOf(n *yaml.Node) string {
	switch n.ShortTag() {
	case nullTag:
		return "nothing"
	case boolTag:
		return "true or false"
	case intTag, floatTag:
		return "a number"
	case seqTag:
		return "a list"
	case mapTag:
		return "keys and values"
	}
	return "text"
}

func (d *decoder) scalar(path string, at place, n *yaml.Node, v reflect.Value) {
	switch {
	case v.Type() == durationType:
		d.duration(path, at, n, v)
	case v.Kind() == reflect.String:
		if text, ok := d.text(path, at, n); ok {
			v.SetString(text)
		}
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if n.ShortTag() != boolTag || err != nil {
			d.mismatch(path, at, "true or false", n)
			return
		}
		v.SetBool(b)
	case v.CanInt():
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if n.ShortTag() != intTag || err != nil {
			d.mismatch(path, at, "a whole number", n)
			return
		}
		v.SetInt(i)
	default:
		panic("config: no form for " + v.Type().String())
	}
}

// text is a string with its environment variables put in.
func (d *decoder) text(path string, at place, n *yaml.Node) (string, bool) {
	if n.Kind != yaml.ScalarNode || !textual(n) {
		d.mismatch(path, at, "text", n)
		return "", false
	}
	text, err := expand(n.Value, d.sources.LookupEnv)
	if err != nil {
		d.structural(path, at, "%v", err)
		return "", false
	}
	return text, true
}

func (d *decoder) duration(path string, at place, n *yaml.Node, v reflect.Value) {
	if n.Kind != yaml.ScalarNode || !textual(n) {
		d.mismatch(path, at, "a duration such as 10m or 1h30m", n)
		return
	}
	text, ok := d.text(path, at, n)
	if !ok {
		return
	}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		d.structural(path, at, "want a duration such as 10m or 1h30m, got other text")
		return
	}
	v.SetInt(int64(parsed))
}

// anything fills a value of any JSON shape, in the form that claims have: nil, bool, string, int64, uint64, float64, []any, map[string]any.
func (d *decoder) anything(path string, at place, n *yaml.Node, v reflect.Value) {
	switch {
	case n.Kind == yaml.MappingNode:
		m := reflect.ValueOf(new(map[string]any)).Elem()
		d.table(path, at, n, m)
		v.Set(m)
	case n.Kind == yaml.SequenceNode:
		l := reflect.ValueOf(new([]any)).Elem()
		d.list(path, at, n, l)
		v.Set(l)
	case n.ShortTag() == nullTag:
	case n.ShortTag() == boolTag:
		v.Set(reflect.ValueOf(strings.EqualFold(n.Value, "true")))
	case n.ShortTag() == intTag || n.ShortTag() == floatTag:
		number, ok := number(n.Value)
		if !ok {
			d.structural(path, at, "want a decimal number that a double holds, got another")
			return
		}
		v.Set(reflect.ValueOf(number))
	default:
		if text, ok := d.text(path, at, n); ok {
			v.Set(reflect.ValueOf(text))
		}
	}
}

// number reads a decimal as JSON writes it: YAML's octal, hexadecimal, infinite and not-a-number forms mean nothing in a claim.
func number(text string) (any, bool) {
	if !json.Valid([]byte(text)) {
		return nil, false
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, true
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return u, true
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// expand puts environment variables in place of ${NAME}. $${ stands for a literal ${; any other $ is itself, as regular expressions need it.
// Values are put in after parsing, so that none can bring YAML of its own, and are not looked through again.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			out.WriteString(text)
			return out.String(), nil
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			out.WriteString(escaped + "${")
			text = rest
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !variableName(name) {
			return "", fmt.Errorf("want ${NAME} with letters, digits and _ in NAME (or $${ for a literal ${), got another form")
		}
		value, set := lookup(name)
		if !set {
			return "", fmt.Errorf("want the environment variable %s, got none of that name", name)
		}
		out.WriteString(before + value)
		text = after
	}
}

func variableName(s string) bool {
	const digits, letters = "0123456789", "_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	return strings.Trim(s, letters+digits) == "" && s != "" && !strings.Contains(digits, s[:1])
}
