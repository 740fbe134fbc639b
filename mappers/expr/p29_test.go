package expr_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"fedbroker/mappers/expr"
)

func TestP29_TypeCheckedAtLoad(t *testing.T) {
	typed := expr.Options{ClaimTypes: map[string]expr.Type{"s": expr.String, "b": expr.Bool, "l": expr.StringList}}
	for _, source := range []string{`claims.s == 5`, `claims["s"] == 5`, `claims.b == "true"`, `claims.l == "x"`, `5 in claims.l`} {
		refused(t, source, typed, "no matching overload")
	}
	refused(t, `claims.s && true`, typed, "expected type 'bool'")
	refused(t, `"a" + 1 == "a1"`, expr.Options{}, "no matching overload")
	refused(t, `"a"`, expr.Options{}, "want a bool, got string")
	refused(t, `claim.s == 5`, expr.Options{}, "undeclared reference")
	refused(t, `claims.s ==`, expr.Options{}, "Syntax error")
	refused(t, ``, expr.Options{}, "want an expression")
	compile(t, `claims.s == "5" && claims.b && "x" in claims.l`, typed)
}

func TestP29_SourceAtMost4KiB(t *testing.T) {
	fits := `claims.s == "` + strings.Repeat("x", 4096-14) + `"`
	compile(t, fits, expr.Options{})
	refused(t, fits+" ", expr.Options{}, "want at most 4096 bytes, got 4097")
}

func TestP29_CostAtMost10000(t *testing.T) {
	long := make([]any, 200)
	for i := range long {
		long[i] = fmt.Sprint(i)
	}
	in := expr.Input{Claims: map[string]any{"l": long, "s": strings.Repeat("x", 60_000)}}
	if got := outcome(t, compile(t, `claims.l.exists(a, a == "199")`, expr.Options{}), in); got != "true" {
		t.Errorf("one loop: want true, got %s", got)
	}
	for _, source := range []string{
		`claims.l.all(a, claims.l.exists(b, a == b))`,
		`claims.s + claims.s + claims.s + claims.s != ""`,
		`[claims.s]` + strings.Repeat(`.map(x, x + x)`, 25) + ` == []`,
		`claims.l.all(a, a in claims.l)`,
		`claims.l.exists(a, (claims.s + a).split("") == [])`,
	} {
		_, err := compile(t, source, expr.Options{}).Holds(activation(t, in))
		if err == nil || !strings.Contains(err.Error(), "cost limit") {
			t.Errorf("%s: want the cost limit, got %v", source, err)
		}
	}
}

func TestP29_InputAtMost64KiB(t *testing.T) {
	for name, in := range map[string]expr.Input{
		"claims":    {Claims: map[string]any{"s": strings.Repeat("x", 64<<10)}},
		"principal": {Principal: map[string]any{"s": strings.Repeat("x", 64<<10)}},
		"name":      {Claims: map[string]any{strings.Repeat("x", 64<<10): true}},
		"together":  {Claims: map[string]any{"s": strings.Repeat("x", 40<<10)}, Actor: map[string]any{"s": strings.Repeat("x", 40<<10)}},
		"scopes":    {Scopes: []string{strings.Repeat("x", 64<<10)}},
		"elements":  {Claims: map[string]any{"l": make([]any, 9000)}},
		"number":    {Claims: map[string]any{"n": json.Number(strings.Repeat("9", 64<<10))}},
	} {
		if _, err := expr.NewActivation(in); !errors.Is(err, expr.ErrInput) {
			t.Errorf("%s: want ErrInput, got %v", name, err)
		}
	}
	activation(t, expr.Input{Claims: map[string]any{"s": strings.Repeat("x", 60<<10)}})
}

func TestP29_DepthAtMost32(t *testing.T) {
	nest := func(n int) map[string]any {
		v := any("x")
		for range n - 1 {
			v = map[string]any{"a": []any{v}}["a"]
		}
		return map[string]any{"x": v}
	}
	activation(t, expr.Input{Claims: nest(32)})
	if _, err := expr.NewActivation(expr.Input{Claims: nest(33)}); !errors.Is(err, expr.ErrInput) {
		t.Errorf("want ErrInput, got %v", err)
	}
	refused(t, strings.Repeat("(", 1000)+"true"+strings.Repeat(")", 1000), expr.Options{}, "recursion")
	compile(t, `claims.a == "x"`+strings.Repeat(` && claims.a == "x"`, 100), expr.Options{})
}

func TestP29_NoTimeNetworkOrRandomFunctions(t *testing.T) {
	for _, source := range []string{
		`now() == now()`, `timestamp("2026-01-01T00:00:00Z") == timestamp("2026-01-01T00:00:00Z")`, `duration("1s") == duration("1s")`,
		`claims.t.getFullYear() == 2026`, `google.protobuf.Timestamp{} == google.protobuf.Timestamp{}`, `timestamp(claims.iat) != null`,
		`http.get("http://x") == ""`, `net.lookup("x") == ""`, `random() == 1`, `math.random() == 1`, `uuid() == ""`, `ip("10.0.0.1") == null`,
	} {
		if _, err := expr.Compile(source, expr.Options{}); err == nil {
			t.Errorf("%s: compiled", source)
		}
	}
}

func TestP29_NumbersStayExact(t *testing.T) {
	in := expr.Input{Claims: map[string]any{
		"id": int64(9007199254740993), "u": uint64(18446744073709551615), "f": float64(9007199254740992), "huge": json.Number("1e400"),
		"list": []any{int64(1), json.Number("18446744073709551616")}, "deep": map[string]any{"x": []any{json.Number("1e400")}},
	}}
	for _, tt := range []struct{ source, want string }{
		{`claims.id == 9007199254740993`, "true"},
		{`claims.id == 9007199254740992`, "false"},
		{`claims.id in [9007199254740992]`, "false"},
		{`str(claims.id) == "9007199254740993"`, "true"},
		{`claims.u == 18446744073709551614u`, "false"},
		// A float64 of this size may have been …993 on the wire, a json.Number has no CEL number: neither may look equal or different.
		{`claims.f == 9007199254740993`, "error"},
		{`claims.f != 9007199254740993`, "error"},
		{`claims.huge == 5`, "error"},
		{`claims.huge != 5`, "error"},
		{`claims["huge"] == "1e400"`, "error"},
		{`5 in claims.list`, "error"},
		{`claims.list[0] == 1`, "error"},
		{`claims.deep == {}`, "error"},
		{`claims.deep.x[0] == 5`, "error"},
		{`claims == {}`, "error"},
		{`{} == claims`, "error"},
		{`claims != claims`, "error"},
		{`[claims] == [{}]`, "error"},
		{`claims in [{}]`, "error"},
		{`has(claims.huge)`, "error"},
	} {
		if got := outcome(t, compile(t, tt.source, expr.Options{}), in); got != tt.want {
			t.Errorf("%s: want %s, got %s", tt.source, tt.want, got)
		}
	}
	refused(t, `claims.id == 9007199254740992.0`, expr.Options{}, "want an integer literal")
}

func TestP29_EmailIsAbsentUnlessVerified(t *testing.T) {
	for _, verified := range []any{nil, false, "true", int64(1), []any{true}} {
		m := map[string]any{"email": "ceo@acme.example", "email_verified": verified}
		if verified == nil {
			delete(m, "email_verified")
		}
		in := expr.Input{Claims: m, Principal: m, Actor: m}
		for _, variable := range []string{"claims", "principal", "actor"} {
			for source, want := range map[string]string{
				`%s.email == "ceo@acme.example"`:             "error",
				`%s.email != "ceo@acme.example"`:             "error",
				`%s["email"] == "ceo@acme.example"`:          "error",
				`%s["em" + "ail"] == "ceo@acme.example"`:     "error",
				`dyn(%s).email == "ceo@acme.example"`:        "error",
				`[%s][0].email == "ceo@acme.example"`:        "error",
				`has(%s.email)`:                              "false",
				`"email" in %s`:                              "false",
				`%s.exists(k, k == "email")`:                 "false",
				`[%s].exists(x, has(x.email))`:               "false",
				`%s == {"email": "ceo@acme.example"}`:        "false",
				`{"x": %s}.x.email.startsWith("ceo@")`:       "error",
				`%s.exists(k, [k] == ["email"])`:             "false",
				`size(%s.filter(k, k.startsWith("em"))) > 1`: "false",
			} {
				source = fmt.Sprintf(source, variable)
				if got := outcome(t, compile(t, source, expr.Options{}), in); got != want {
					t.Errorf("verified %v: %s: want %s, got %s", verified, source, want, got)
				}
			}
		}
		typed := compile(t, `claims.email == "ceo@acme.example"`, expr.Options{ClaimTypes: map[string]expr.Type{"email": expr.String}})
		if got := outcome(t, typed, in); got != "error" {
			t.Errorf("declared email: want error, got %s", got)
		}
		whole, err := compile(t, `claims`, expr.Options{Value: true}).Value(activation(t, in))
		if _, found := whole.(map[string]any)["email"]; found || err != nil {
			t.Errorf("claims as a value: %v, %v", whole, err)
		}
	}
	m := map[string]any{"email": "ceo@acme.example", "email_verified": true}
	in := expr.Input{Claims: m, Principal: m, Actor: m}
	if got := outcome(t, compile(t, `claims.email == principal.email && has(actor.email)`, expr.Options{}), in); got != "true" {
		t.Errorf("verified: want true, got %s", got)
	}
}

func TestP29_OwnerIsPinnedAtTheTop(t *testing.T) {
	for _, tt := range []struct {
		source string
		want   bool
	}{
		{`claims.owner_id == "1"`, true},
		{`claims.owner_id in ["1", "2"] && claims.ref == "x"`, true},
		{`claims.ref == "x" && "1" == claims.owner_id`, true},
		{`claims.owner == "1"`, false},                         // a name, not an id
		{`claims.owner_id == "1" || claims.ref == "x"`, false}, // another way to true
		{`!(claims.owner_id == "1")`, false},                   // the contrary
		{`claims.owner_id != "1"`, false},                      //
		{`claims.owner_id == claims.other`, false},             // not a literal
		{`claims.owner_id in ["1", claims.other]`, false},      //
		{`claims.owner_id in []`, false},                       // says nothing
		{`claims.owner_id == ""`, false},                       //
		{`claims.owner_id in claims.list`, false},              //
		{`"1" in claims.owner_id`, false},                      // the claim is the list
		{`principal.owner_id == "1"`, false},                   // not the upstream's
		{`str(has(claims.owner_id)) == "true"`, false},
		{`str("owner_id" in claims) == "true"`, false},
		{`has(claims.owner_id) == true`, false},                       //
		{`("owner_id" in claims) == true`, false},                     //
		{`claims.owner_id.startsWith("1")`, false},                    //
		{`claims.x.owner_id == "1"`, false},                           // another claim's member
		{`(claims.owner_id == "1" ? true : true)`, false},             //
		{`["1"].exists(x, claims.owner_id == x)`, false},              //
		{`claims.list.exists(x, claims.owner_id == "1")`, false},      //
		{`(claims.owner_id == "1") == (claims.a == "b")`, false},      //
		{`claims.owner_id.lowerAscii() == "1"`, false},                //
		{`[claims.owner_id] == ["1"]`, false},                         //
		{`claims.ref == "x" && (claims.owner_id == "1")`, true},       //
		{`(claims.a == "b" || true) && claims.owner_id == "1"`, true}, //
	} {
		p := compile(t, tt.source, expr.Options{})
		if got := p.PinsOneOf("project_id", "owner_id"); got != tt.want {
			t.Errorf("%s: want %v, got %v", tt.source, tt.want, got)
		}
	}
}

func TestP29_MatchesIsAnchoredAroundOneGroup(t *testing.T) {
	for _, pattern := range []string{`^(?:a|b)$`, `^(a|b)$`, `^(?:(a)|(b))$`, `^(?:)$`, `^(?:[)]a\))$`, `^(?:(?i)a)$`} {
		for _, form := range []string{`claims.s.matches(r'%s')`, `matches(claims.s, r'%s')`} {
			compile(t, fmt.Sprintf(form, pattern), expr.Options{})
		}
	}
	for _, pattern := range []string{
		`a`, `^a$`, `^a|b$`, `(?:a|b)`, `^(?:a|b)`, `(?:a|b)$`, `^(a)|(b)$`, `^(?:a)|(?:b)$`, `^(a)b(c)$`, `^(?:a)$|^(?:b)$`, `^(?:a\)$`,
		`^(?:a)$\n`, `(?m)^(?:a)$`, `^(?:(a)$`, `^(?m:a)$`, `^(?:a))$`, ``, `^$`, `^(`, `)$`,
	} {
		for _, form := range []string{`claims.s.matches(r'%s')`, `matches(claims.s, r'%s')`, `true || claims.l.all(x, x.matches(r'%s'))`} {
			refused(t, fmt.Sprintf(form, pattern), expr.Options{}, "matches")
		}
	}
	for _, source := range []string{`claims.s.matches(claims.p)`, `claims.s.matches("^(" + "a)$")`, `claims.s.matches(true ? "^(a)$" : "x")`} {
		refused(t, source, expr.Options{}, "want a literal pattern")
	}
}

func TestP29_RequestHoldsOnlyDeclaredFields(t *testing.T) {
	o := expr.Options{RequestTypes: map[string]expr.Type{"audience": expr.String, "address": expr.Dyn}}
	compile(t, `request.audience == "x" && request.address == "y" && has(request.audience)`, o)
	refused(t, `request.audience == 5`, o, "no matching overload")
	refused(t, `request.unverified == "x"`, o, `got "unverified"`)
	refused(t, `has(request.unverified)`, o, `got "unverified"`)
	refused(t, `request == {}`, o, "as a whole")
}
