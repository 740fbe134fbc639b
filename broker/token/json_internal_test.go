package token

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// values are what jose reads JSON into.
func values(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.String().AsAny(), rapid.Int64().AsAny(),
		rapid.Uint64Min(math.MaxInt64 + 1).AsAny(), rapid.SampledFrom([]any{0.5, -1e-7, 1.5e300, json.Number("123456789012345678901234567890")}),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	return rapid.OneOf(append(leaves,
		rapid.Map(rapid.SliceOfN(values(depth-1), 0, 3), func(v []any) any { return v }),
		rapid.Map(rapid.MapOfN(rapid.String(), values(depth-1), 0, 3), func(v map[string]any) any { return v }),
	)...)
}

func TestValuesStayWhatTheyAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := values(3).Draw(t, "value")
		var o object
		o.name("v")
		o.value(want, 0)
		text, err := o.end()
		if err != nil {
			t.Fatal(err)
		}
		reference, err := json.Marshal(map[string]any{"v": want})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := decode(t, text), decode(t, reference); !reflect.DeepEqual(got, want) {
			t.Fatalf("%#v became %#v by %s", want, got, text)
		}
	})
}

// decode keeps every digit of an integer, and takes two spellings of one fraction for the same.
func decode(t *rapid.T, text []byte) any {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return numbers(v)
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil && strings.ContainsAny(string(v), ".eE") {
			return f
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = numbers(v[name])
		}
	}
	return v
}

func TestValueRefuses(t *testing.T) {
	deep := any("x")
	for range maxDepth + 1 {
		deep = []any{deep}
	}
	for name, v := range map[string]any{
		"infinity": math.Inf(1), "not a number": math.NaN(), "a literal that is none": json.Number(`1,"sub":"x"`), "an empty literal": json.Number(""),
		"a text as literal": json.Number(`"x"`), "too deep": deep, "a struct": struct{}{}, "an int": 1, "text that is not UTF-8": "\xff",
	} {
		var o object
		o.name("v")
		o.value(v, 0)
		if text, err := o.end(); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
	var o object
	o.name("v")
	o.value([]string{"a", `"`}, 0)
	if text, err := o.end(); err != nil || string(text) != `{"v":["a","\""]}` {
		t.Errorf("a list of strings: %s %v", text, err)
	}
}

func TestP7_ReservedClaimsAreNotReleased(t *testing.T) {
	for _, name := range []string{"sub", "ISS", "lin", "act", " scope", `x":1,"sub`, ""} {
		var o object
		o.released(map[string]any{name: "x"})
		if text, err := o.end(); err == nil || !strings.Contains(err.Error(), "may not be released") {
			t.Errorf("%q: %s %v", name, text, err)
		}
	}
}
