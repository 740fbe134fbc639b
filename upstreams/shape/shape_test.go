package shape

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fedbroker/upstreams/jose"
)

var noon = time.Unix(1_800_000_000, 0).UTC()

// stream feeds a shape with tokens, a second apart.
type stream struct {
	*testing.T
	Shape
	now time.Time
}

func newStream(t *testing.T) *stream { return &stream{T: t, now: noon} }

// come looks at n tokens with these claims and returns what that told.
func (s *stream) come(n int, claims string) (told []string) {
	s.Helper()
	c, err := jose.ParseClaims([]byte(claims))
	if err != nil {
		s.Fatal(err)
	}
	for range n {
		s.now = s.now.Add(time.Second)
		s.Look(c, s.now)
	}
	for _, c := range s.changes {
		told = append(told, string(c.kind)+" "+c.text())
	}
	s.changes = nil
	slices.Sort(told)
	return told
}

func (s *stream) wants(got []string, want ...string) {
	s.Helper()
	if !slices.Equal(got, want) {
		s.Errorf("got  %q\nwant %q", got, want)
	}
}

const person = `{"sub":"ada","groups":["eng"],"realm_access":{"roles":["a"]},"n":1}`

func TestLook_LearnsABaselineAndTellsOfNothingBefore(t *testing.T) {
	s := newStream(t)
	s.wants(s.come(Learn/2, person))
	s.wants(s.come(Learn/2-1, `{"sub":"ada","other":true}`))
	if !s.Learnt.IsZero() {
		t.Fatal("learnt too early")
	}
	s.wants(s.come(1, person))
	if !s.Learnt.Equal(s.now) || s.Tokens != Learn || len(s.Drifts()) != 0 {
		t.Errorf("%+v", s.Shape)
	}
	if got := s.Names["/realm_access/roles"]; got == nil || got.Types != jose.ListOf(jose.TypeString) {
		t.Errorf("%+v", got)
	}
}

func TestLook_ANewClaimIsToldOfAtOnceAndOnce(t *testing.T) {
	s := newStream(t)
	s.come(Learn, person)
	s.wants(s.come(3, `{"sub":"ada","groups":["eng"],"realm_access":{"roles":["a"],"more":{"x":1}},"n":1,"tid":"t"}`),
		"appeared /realm_access/more: nothing → object", "appeared tid: nothing → string")
	s.wants(s.come(1, `{"sub":"ada","tid":"t","team":{"name":"x"}}`), "appeared team: nothing → object") // its members are no news beside it
	if d := s.Drifts(); len(d) != 3 || d[0].Kind != Appeared || d[0].Pointer != "/realm_access/more" || !d[0].Since.Equal(noon.Add((Learn+1)*time.Second)) {
		t.Errorf("%+v", d)
	}
}

func TestLook_ATypeThatNeverCameIsToldOfAtOnceAndOnce(t *testing.T) {
	s := newStream(t)
	s.come(Learn, person)
	text := `{"sub":"ada","groups":"eng","realm_access":{"roles":["a",7]},"n":1}`
	s.wants(s.come(5, text), "retyped /realm_access/roles: list of string → list of number and string", "retyped groups: list of string → string")
	s.wants(s.come(5, person))
	s.wants(s.come(5, text))
	s.wants(s.come(1, `{"sub":"ada","groups":null}`), "retyped groups: string or list of string → null")
	d := s.Drifts()
	if len(d) != 2 || d[0].Was != jose.ListOf(jose.TypeString) || d[0].Is != jose.TypeString|jose.TypeNull || !d[0].Since.Equal(noon.Add((Learn+1)*time.Second)) {
		t.Errorf("%+v", d)
	}
	if got := s.Names["/groups"].Baseline(); got != jose.ListOf(jose.TypeString) {
		t.Errorf("the baseline moved: %v", got)
	}
}

func TestLook_WhatAnEmptyListWouldHoldIsLearnt(t *testing.T) {
	s := newStream(t)
	s.come(Learn, `{"groups":[]}`)
	s.wants(s.come(1, `{"groups":["a"]}`))
	s.wants(s.come(1, `{"groups":[]}`))
	s.wants(s.come(1, `{"groups":[1]}`), "retyped groups: list of string → list of number")
}

func TestLook_AUsualClaimHasVanishedAfterFiftyTokens(t *testing.T) {
	s := newStream(t)
	s.come(Learn, person)
	gone := `{"sub":"ada","realm_access":{},"n":1}`
	s.wants(s.come(Absent-1, gone))
	s.wants(s.come(1, gone), "vanished /realm_access/roles: list of string → nothing", "vanished groups: list of string → nothing")
	s.wants(s.come(10*Absent, gone)) // once
	if d := s.Drifts(); len(d) != 2 || d[1].Kind != Vanished || !d[1].Last.Equal(noon.Add(Learn*time.Second)) {
		t.Errorf("%+v", d)
	}
	s.wants(s.come(2, person), "returned /realm_access/roles: list of string again", "returned groups: list of string again")
	if d := s.Drifts(); len(d) != 0 {
		t.Errorf("%+v", d)
	}
	s.wants(s.come(Absent, `{"sub":"ada","groups":[],"n":1}`), "vanished realm_access: object → nothing") // what was in it is no news beside it
}

func TestLook_OptionalClaimsComeAndGo(t *testing.T) {
	s := newStream(t)
	for i := range 40 * Learn { // one in nine has an e-mail address, and one run of tokens has none
		text := `{"sub":"ada"}`
		if i%9 == 0 && (i < 10*Learn || i > 13*Learn) {
			text = `{"sub":"ada","email":"a@b.example"}`
		}
		s.wants(s.come(1, text))
	}
}

func TestLook_WhatHasAppearedCanVanish(t *testing.T) {
	s := newStream(t)
	s.come(Learn, `{"sub":"a"}`)
	s.come(2*Learn, `{"sub":"a","tid":"t"}`)
	s.wants(s.come(Absent, `{"sub":"a"}`), "vanished tid: string → nothing")
}

func TestLook_ManyTokensWeighTheLatest(t *testing.T) {
	s := newStream(t)
	s.come(Learn+5*window, person)
	if n := s.Names["/sub"]; n.Of >= window || n.Seen != n.Of || n.Of < window/2 {
		t.Errorf("%+v", n)
	}
}

func TestLook_NamesOfAMapAreNotKept(t *testing.T) {
	s := newStream(t)
	for i := range Learn { // each token's own
		s.come(1, fmt.Sprintf(`{"sub":"a","people":{"u%d":{"admin":true},"v%d":{"admin":true}},"few":{"x%d":1},"fixed":{"a":1,"b":2,"c":3,"d":4}}`, i, i, i%6))
	}
	want := []string{"/few", "/few/*", "/fixed", "/fixed/a", "/fixed/b", "/fixed/c", "/fixed/d", "/people", "/people/*", "/people/*/admin", "/sub"}
	if got := slices.Sorted(maps.Keys(s.Names)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	s.wants(s.come(1, `{"people":{"new":{"admin":true}},"few":{"more":1}}`))
	s.wants(s.come(1, `{"people":{"new":{"admin":"yes"}}}`), "retyped /people/*/admin: bool → string")
	s.wants(s.come(3*Absent, `{"sub":"a","people":{},"few":{},"fixed":{"a":1,"b":2,"c":3,"d":4}}`)) // nobody in it, and the others have never come often enough
}

func TestLook_NamesThatCouldBePeoplesAreNotKept(t *testing.T) {
	s := newStream(t)
	s.come(Learn, `{"ada@acme.example":1,"":1,"4711":1,"a b":1,"\u001b[31m":1,"é":1,"`+strings.Repeat("x", maxName+1)+`":1,"$fine~/":{"ada@acme.example":true}}`)
	if got := slices.Sorted(maps.Keys(s.Names)); !slices.Equal(got, []string{"/$fine~0~1", "/$fine~0~1/*", "/*"}) {
		t.Errorf("%q", got)
	}
	if got := Plainly("/$fine~0~1"); got != "$fine~/" {
		t.Error(got)
	}
	if got := Path("/$fine~0~1/x"); !slices.Equal(got, []string{"$fine~/", "x"}) {
		t.Errorf("%q", got)
	}
}

func TestLook_OneTokenOfManyNamesIsLookedAtInPart(t *testing.T) {
	names := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"n%d":{"a":1}`, i)
		}
		return `{"sub":"a"` + b.String() + `}`
	}
	s := newStream(t)
	s.come(1, names(maxNames))
	if s.looked != 1+2*maxNames || len(s.Names) > maxNames || s.Names["/*"] == nil {
		t.Errorf("looked at %d, kept %d", s.looked, len(s.Names))
	}
	s.come(1, strings.ReplaceAll(names(maxNames), `"a"`, `"a@b"`)) // each wants a place for names that are not kept
	s.come(1, names(10*maxNames))
	if len(s.Names) > maxNames || s.Names["/sub"].Seen != 3 {
		t.Errorf("kept %d", len(s.Names))
	}
}

func TestAccept_MakesWhatComesNowTheBaseline(t *testing.T) {
	s := newStream(t)
	s.come(Learn/2, person)
	s.Accept(s.now)
	if !s.Learnt.IsZero() {
		t.Fatal("there was nothing to accept")
	}
	s.come(Learn, person)
	s.come(2*Learn, `{"sub":"ada","groups":"eng","tid":"t"}`)
	if d := s.Drifts(); len(d) != 4 {
		t.Fatalf("%+v", d)
	}
	s.Accept(s.now)
	if d := s.Drifts(); len(d) != 0 || s.Names["/realm_access/roles"] != nil {
		t.Errorf("%+v, %v", d, s.Names)
	}
	s.wants(s.come(Learn, `{"sub":"ada","groups":"eng","tid":"t"}`))
	s.wants(s.come(1, person), "appeared n: nothing → number", "appeared realm_access: nothing → object", "retyped groups: string → list of string")
}

func TestShape_GoesOnWhereItWasSaved(t *testing.T) {
	s := newStream(t)
	s.come(Learn+7, person)
	kept, err := json.Marshal(s.clone())
	if err != nil {
		t.Fatal(err)
	}
	again := newStream(t)
	if err := json.Unmarshal(kept, &again.Shape); err != nil || !again.fit() {
		t.Fatal(err)
	}
	again.wants(again.come(1, `{"sub":"ada","realm_access":{"new":1}}`), "appeared /realm_access/new: nothing → number")
	again.wants(again.come(Absent-1, `{"sub":"ada","realm_access":{"new":1}}`), "vanished /realm_access/roles: list of string → nothing", "vanished groups: list of string → nothing", "vanished n: number → nothing")
}

func TestFit_RefusesWhatNobodySaved(t *testing.T) {
	for _, bad := range []string{`{"names":{"x":{}}}`, `{"names":{"/x":null}}`, `{"names":{"/":{}}}`, `{"names":{"/` + strings.Repeat("x", maxPointer) + `":{}}}`} {
		var s Shape
		if err := json.Unmarshal([]byte(bad), &s); err != nil || s.fit() {
			t.Errorf("%.60s passes", bad)
		}
	}
	orphans := Shape{Names: map[string]*Name{"/a/b/c": {}, "/a/b": {}, "/z": {}}}
	orphans.Look(Map{}, noon)
	if got := slices.Sorted(maps.Keys(orphans.Names)); !slices.Equal(got, []string{"/z"}) {
		t.Errorf("%q", got)
	}
}

// secret marks every value of a drawn token, and every name that is somebody's.
const secret = "SECRET"

func drawValue(t *rapid.T, depth int) any {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return secret + rapid.String().Draw(t, "text")
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return 31337 + rapid.IntRange(0, 9).Draw(t, "number")
	case 3:
		return nil
	case 4:
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) any { return drawValue(t, depth-1) }), 0, 4).Draw(t, "list")
	}
	return drawObject(t, depth-1)
}

func drawObject(t *rapid.T, depth int) map[string]any {
	names := rapid.OneOf(rapid.SampledFrom([]string{"sub", "groups", "realm", "a/b", "~"}), rapid.StringMatching(`[a-f]{1,2}`), rapid.StringMatching(`SECRET[a-z]{1,3}@acme\.example`), rapid.String())
	out := map[string]any{}
	for range rapid.IntRange(0, 24).Draw(t, "members") {
		name := names.Draw(t, "name")
		if !strings.Contains(name, "@") && strings.Contains(name, secret) {
			continue
		}
		out[name] = drawValue(t, depth)
	}
	return out
}

// Whatever comes, what is kept and told holds no value, and stays small.
func TestProperty_HoldsNoValueAndStaysBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s Shape
		now := noon
		for range rapid.IntRange(1, 12).Draw(t, "tokens") {
			claims := drawObject(t, 4)
			text, err := json.Marshal(claims)
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := jose.ParseClaims(text)
			if err != nil {
				t.Skip("a name twice, once escaped")
			}
			for range rapid.SampledFrom([]int{1, 2, Learn}).Draw(t, "times") {
				now = now.Add(time.Second)
				s.Look(parsed, now)
			}
			for _, c := range s.changes {
				if told := c.text(); strings.Contains(told, secret) || strings.Contains(told, "31337") {
					t.Fatalf("told: %s", told)
				}
			}
			s.changes = nil
			if rapid.IntRange(0, 9).Draw(t, "accept") == 0 {
				s.Accept(now)
			}
		}
		kept, err := json.Marshal(s.clone())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(kept), secret) || strings.Contains(string(kept), "31337") {
			t.Fatalf("%s", kept)
		}
		const most = maxNames * (maxPointer + 512)
		if len(s.Names) > maxNames || len(kept) > most || !s.fit() {
			t.Fatalf("%d names, %d bytes", len(s.Names), len(kept))
		}
		var again Shape
		if err := json.Unmarshal(kept, &again); err != nil {
			t.Fatal(err)
		}
		again.adopt()
		if len(again.Names) != len(s.Names) {
			t.Fatalf("%d of %d names came back", len(again.Names), len(s.Names))
		}
	})
}

// The same tokens, as JSON and as Go values, are of one shape.
func TestProperty_MapWalksAsClaimsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(drawObject(t, 4))
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := jose.ParseClaims(text)
		if err != nil {
			t.Skip("a name twice, once escaped")
		}
		seen := func(c Claims) []string {
			var all []string
			c.Walk(maxDepth, func(level int, name []byte, types jose.Types) {
				all = append(all, fmt.Sprintf("%d %s %s", level, name, types))
			})
			slices.Sort(all)
			return all
		}
		if a, b := seen(parsed), seen(Map(parsed.Map())); !slices.Equal(a, b) {
			t.Fatalf("%q\n%q", a, b)
		}
	})
}

func TestLook_AKnownShapeAllocatesNothing(t *testing.T) {
	s := newStream(t)
	s.come(Learn, person)
	parsed, _ := jose.ParseClaims([]byte(person))
	c := Claims(parsed)
	if n := testing.AllocsPerRun(200, func() { s.Look(c, s.now) }); n > 0.1 {
		t.Errorf("%v allocations", n)
	}
}
