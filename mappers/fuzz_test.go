package mappers_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"fedbroker/mappers"
)

// seeds are claims objects that once looked dangerous: each kind of value where another is expected.
func seeds() []string {
	return []string{
		`{}`, `{"a":null}`, `{"groups":"x","a":"b","email":"a@acme.example","email_verified":true}`,
		`{"groups":["x",1,null,{},[]],"a":[["b"]],"email":["a@b"],"email_verified":"true"}`,
		`{"groups":{"x":1},"a":{"b":{"c":[1,2,{"d":"e"}]}},"email":{},"email_verified":{}}`,
		`{"a":1e400,"groups":1e400,"email":1e400,"email_verified":1e400,"name":1e400}`,
		`{"a":9007199254740993,"groups":18446744073709551616,"updated_at":-9223372036854775809}`,
		`{"a":-0.0,"groups":"","email":"@","email_verified":"TRUE","":"","/":"/"}`,
		`{"a":[1,[2,[3,[4,[5]]]]],"groups":[[]],"address":[],"phone_number_verified":0}`,
		`{"a":"\u0000\ud83d\ude00","groups":["\u0000","` + strings.Repeat("x", 300) + `"]}`,
		`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`,
	}
}

// chains cover every kind, each tolerant and intolerant of what it is given.
func chains(t testing.TB) []*mappers.Chain {
	sets := [][]mappers.Spec{
		{
			{Kind: "rename", From: "a", To: "groups"}, {Kind: "rename", From: "/a/b/c/2/d", To: "d"}, {Kind: "rename", From: "/a/0", To: "first"},
			{Kind: "rename", From: "email", To: "email"}, {Kind: "rename", From: "groups", To: "email_verified"},
		},
		{{Kind: "groups", Keep: []string{"x.*"}, Rename: map[string]string{"x": "y"}}, {Kind: "groups", From: "a", Prefix: ptr("")}},
		{{Kind: "lookup", From: "a", To: "roles", Table: map[string]any{"b": []any{"c"}, "1": "d"}, Default: ptr[any]("e")}},
		{{Kind: "cel", Claim: "a", Expression: `claims`}, {Kind: "cel", Claim: "b", Expression: `[claims.a, principal]`}},
		{{Kind: "cel", Claim: "a", Expression: `claims.a + claims.a`}, {Kind: "cel", Claim: "email", Expression: `claims.a`}},
		{{Kind: "cel", Claim: "a", Expression: `claims.a.map(x, [x]) + list(claims.groups)`}},
		{{Kind: "require", Expression: `claims.a == 5 || claims.a in claims.groups || str(claims.a) < "x" || claims.a.b.matches("^(?:.*)$")`}},
		{{Kind: "require", Expression: `claims.exists(k, claims[k] == claims.a) || claims.groups.size() > claims.a[0] - 1`}},
		{{Kind: "set", Claim: "entitlements", Value: []any{"x"}}},
	}
	var all []*mappers.Chain
	for i, s := range sets {
		all = append(all, chain(t, mappers.Options{Upstream: "acme", Specs: s, EmailDomains: []string{"acme.example"}, EmailAny: i%2 == 0}))
	}
	return append(all, chain(t, mappers.Options{Client: true, Specs: []mappers.Spec{{Kind: "groups"}, {Kind: "rename", From: "a", To: "x"}}}))
}

// decode is the decoding that verification does, numbers included, or nil if the text is no object.
func decode(text []byte) mappers.Claims {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var m map[string]any
	if d.Decode(&m) != nil {
		return nil
	}
	return exact(m).(map[string]any)
}

func exact(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name])
		}
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return i
		}
		if u, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return u
		}
		if f, err := strconv.ParseFloat(string(v), 64); err == nil && !math.IsInf(f, 0) && strings.ContainsAny(string(v), ".eE") {
			return f
		}
	}
	return v
}

// hold runs all chains on one input and says what must be true of any.
func hold(t *testing.T, all []*mappers.Chain, text []byte) {
	for i, c := range all {
		var tr mappers.Trace
		r, err := c.Run(decode(text), &tr)
		again, errAgain := c.Run(decode(text), nil)
		if (err == nil) != (errAgain == nil) || !reflect.DeepEqual(r, again) {
			t.Fatalf("chain %d: two results for one input: %v, %v and %v, %v", i, r, err, again, errAgain)
		}
		var refused *mappers.RefusedError
		var step *mappers.StepError
		if err != nil && !errors.As(err, &refused) && !errors.As(err, &step) {
			t.Fatalf("chain %d: error of type %T", i, err)
		}
		if i == len(all)-1 {
			continue // the client's, through which a principal passes whole
		}
		for name := range r.Principal {
			if mappers.Reserved(name) || !mappers.ValidClaimName(name) {
				t.Fatalf("chain %d: made %q", i, name)
			}
		}
		verified := r.Principal["email_verified"]
		if _, there := r.View["email"]; there && r.View["email_verified"] != true || verified == true && r.View["email"] != r.Principal["email"] {
			t.Fatalf("chain %d: e-mail: %v of %v", i, r.Principal, r.View)
		}
	}
}

func FuzzMapperNeverPanics(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	all := chains(f)
	f.Fuzz(func(t *testing.T, text []byte) { hold(t, all, text) })
}

func TestFuzzSeedsAreThereAndReachTheMappers(t *testing.T) {
	all := chains(t)
	if len(seeds()) < 10 {
		t.Fatalf("want at least 10 seeds, got %d", len(seeds()))
	}
	results := 0
	for _, s := range seeds() {
		if decode([]byte(s)) == nil {
			t.Errorf("%s: no object", s)
		}
		hold(t, all, []byte(s))
		for _, c := range all {
			if _, err := c.Run(decode([]byte(s)), nil); err == nil {
				results++
			}
		}
	}
	if results < len(seeds()) {
		t.Errorf("want seeds that are mapped as well as refused, got %d results", results)
	}
}
