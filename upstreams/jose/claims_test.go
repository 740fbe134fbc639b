package jose_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"fedbroker/upstreams/jose"
)

func TestP12_TimesAreFiniteIntegersInRange(t *testing.T) {
	for text, want := range map[string]int64{`0`: 0, `1800000000`: 1800000000, `253402300799`: 253402300799, `1.8e9`: 1800000000,
		`1800000000.0`: 1800000000, `18E+8`: 1800000000, `-0`: 0} {
		got, err := claims(t, `{"exp":`+text+`}`, nil).Time("exp")
		if err != nil || got.Unix() != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{`"1800000000"`, `null`, `true`, `[]`, `{}`, `[1800000000]`, `1e400`, `-1e400`, `1e300`, `-1`, `1.5`, `-0.5`,
		`253402300800`, `9223372036854775807`, `9223372036854775808`, `18446744073709551616`, `99999999999999999999999999`, `1e-400000`, `0.1`, `1800000000.0000000000001`,
		`1800000000.00000000000000000000000000000000`, `""`} {
		if _, err := claims(t, `{"exp":`+text+`}`, nil).Time("exp"); !errors.Is(err, jose.ErrClaim) {
			t.Errorf("%s: got %v, want ErrClaim", text, err)
		}
	}
	if _, err := claims(t, `{"EXP":1}`, nil).Time("exp"); !errors.Is(err, jose.ErrAbsent) {
		t.Errorf("got %v, want ErrAbsent", err)
	}
}

func TestNumbersStayExact(t *testing.T) {
	for text, want := range map[string]any{
		`0`: int64(0), `-1`: int64(-1), `9007199254740993`: int64(9007199254740993), `9223372036854775807`: int64(9223372036854775807),
		`-9223372036854775808`: int64(-9223372036854775808), `9223372036854775808`: uint64(9223372036854775808),
		`18446744073709551615`: uint64(18446744073709551615), `18446744073709551616`: json.Number("18446744073709551616"),
		`-9223372036854775809`: json.Number("-9223372036854775809"), `1.5`: 1.5, `1e2`: 100.0, `1e400`: json.Number("1e400"),
	} {
		for _, c := range []any{
			claims(t, `{"n":`+text+`}`, nil).Map()["n"],
			claims(t, `{"n":[`+text+`]}`, nil).Map()["n"].([]any)[0],
			claims(t, `{"n":{"n":`+text+`}}`, nil).Map()["n"].(map[string]any)["n"],
			claims(t, `{"n":`+text+`}`, nil).Value("n"),
		} {
			if c != want {
				t.Errorf("%s: got %T %v, want %T %v", text, c, c, want, want)
			}
		}
	}
}

func TestClaimsAreWhatThePayloadSays(t *testing.T) {
	const payload = `{"s":"a\u00e9\n\"","t":true,"f":false,"z":null,"l":["x",[],{}],"o":{"k\u0069":"v"},"":"e","é":1}`
	want := map[string]any{"s": "aé\n\"", "t": true, "f": false, "z": nil, "l": []any{"x", []any{}, map[string]any{}},
		"o": map[string]any{"ki": "v"}, "": "e", "é": int64(1)}
	if got := claims(t, payload, nil).Map(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v", got)
	}
}

func TestOnlySelectedClaimsAreDecoded(t *testing.T) {
	const payload = `{"a":1,"b":{"c":2},"d":"e","aud":["x","y"],"sub":"s"}`
	c := claims(t, payload, jose.NewSelection("a", "d", "absent"))
	if want := (map[string]any{"a": int64(1), "d": "e"}); !reflect.DeepEqual(c.Map(), want) {
		t.Errorf("got %v, want %v", c.Map(), want)
	}
	if sub, err := c.String("sub"); err != nil || sub != "s" { // typed readers see what the protocol needs in any case
		t.Errorf("got %q, %v", sub, err)
	}
	if !c.Has("b") || c.Has("c") || c.Has("absent") {
		t.Error("Has is wrong")
	}
	if got := claims(t, payload, jose.NewSelection()).Map(); len(got) != 0 {
		t.Errorf("nothing selected: got %v", got)
	}
	wantMalformed(t, parts(goodHeader, `{"a":1,"unselected":{"x":1,"x":2}}`)) // and what nobody reads was checked all the same
}

func TestTypedReaders(t *testing.T) {
	c := claims(t, `{"one":"a","list":["a","b"],"mixed":["a",1],"n":1,"null":null}`, nil)
	for name, want := range map[string]error{"one": nil, "list": jose.ErrClaim, "n": jose.ErrClaim, "null": jose.ErrClaim, "absent": jose.ErrAbsent} {
		if _, err := c.String(name); !errors.Is(err, want) {
			t.Errorf("String(%s): got %v, want %v", name, err, want)
		}
	}
	for name, want := range map[string]error{"one": nil, "list": nil, "mixed": jose.ErrClaim, "n": jose.ErrClaim, "null": jose.ErrClaim, "absent": jose.ErrAbsent} {
		if _, err := c.StringList(name); !errors.Is(err, want) {
			t.Errorf("StringList(%s): got %v, want %v", name, err, want)
		}
	}
}

func TestClaimsNeedVerification(t *testing.T) {
	var v jose.Verified
	if _, err := v.Claims(nil); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("got %v, want ErrSignature", err)
	}
}
