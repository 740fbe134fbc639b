package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// object writes one JSON object member by member, without reflection: what is minted on every request has a known shape, and
// claims are of the few types that a strict JSON reader makes. The first error stays and ends the writing.
type object struct {
	buf []byte
	err error
}

// name begins a member; the names given here are constants, or claim names that a mapper may set: none needs escaping.
func (o *object) name(name string) {
	if len(o.buf) == 0 {
		o.buf = append(o.buf, '{')
	} else {
		o.buf = append(o.buf, ',')
	}
	o.buf = append(append(append(o.buf, '"'), name...), `":`...)
}

func (o *object) string(name, value string) {
	o.name(name)
	o.quote(value)
}

// optional leaves an empty value out.
func (o *object) optional(name, value string) {
	if value != "" {
		o.string(name, value)
	}
}

// seconds writes a NumericDate (RFC 7519 section 2) in whole seconds; a zero time is left out.
func (o *object) seconds(name string, t time.Time) {
	if !t.IsZero() {
		o.name(name)
		o.buf = strconv.AppendInt(o.buf, t.Unix(), 10)
	}
}

func (o *object) strings(name string, values []string) {
	o.name(name)
	o.buf = append(o.buf, '[')
	for i, v := range values {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		o.quote(v)
	}
	o.buf = append(o.buf, ']')
}

func (o *object) quote(s string) {
	if o.err == nil {
		o.buf, o.err = jsontext.AppendQuote(o.buf, s)
	}
}

func (o *object) end() ([]byte, error) {
	o.buf = append(o.buf, '}')
	return o.buf, o.err
}

// maxDepth is how deep a claim may nest; what was parsed here nests less.
const maxDepth = 32

var errValue = errors.New("value that no JSON has")

// value writes what a claim holds: the types that jose reads JSON into, and lists of strings, which mappers make.
func (o *object) value(v any, depth int) {
	if o.err != nil || depth > maxDepth {
		o.fail(fmt.Errorf("nested deeper than %d", maxDepth))
		return
	}
	switch v := v.(type) {
	case nil:
		o.buf = append(o.buf, "null"...)
	case bool:
		o.buf = strconv.AppendBool(o.buf, v)
	case string:
		o.quote(v)
	case int64:
		o.buf = strconv.AppendInt(o.buf, v, 10)
	case uint64:
		o.buf = strconv.AppendUint(o.buf, v, 10)
	case float64:
		o.float(v)
	case json.Number:
		o.number(v)
	case []any:
		list(o, v, depth)
	case []string:
		list(o, v, depth)
	case map[string]any:
		o.members(v, depth)
	default:
		o.fail(fmt.Errorf("%w: %T", errValue, v))
	}
}

func (o *object) fail(err error) {
	if o.err == nil {
		o.err = err
	}
}

func list[T any](o *object, values []T, depth int) {
	o.buf = append(o.buf, '[')
	for i, v := range values {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		o.value(v, depth+1)
	}
	o.buf = append(o.buf, ']')
}

// members are sorted, so that equal claims give equal bytes.
func (o *object) members(m map[string]any, depth int) {
	o.buf = append(o.buf, '{')
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			o.buf = append(o.buf, ',')
		}
		o.quote(name)
		o.buf = append(o.buf, ':')
		o.value(m[name], depth+1)
	}
	o.buf = append(o.buf, '}')
}

func (o *object) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		o.fail(fmt.Errorf("%w: %v", errValue, f))
		return
	}
	o.buf = strconv.AppendFloat(o.buf, f, 'g', -1, 64) // 1e+21 is JSON, too (RFC 8259 section 6)
}

// number writes a literal as it was read: it holds more digits than Go's types.
func (o *object) number(n json.Number) {
	if v := jsontext.Value(n); v.Kind() != '0' || !v.IsValid() {
		o.fail(fmt.Errorf("%w: a number that is none", errValue))
		return
	}
	o.buf = append(o.buf, n...)
}
