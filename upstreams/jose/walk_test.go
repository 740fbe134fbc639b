package jose

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func walked(t *testing.T, depth int, text string) (all []string) {
	t.Helper()
	c, err := ParseClaims([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c.Walk(depth, func(level int, name []byte, types Types) {
		all = append(all, fmt.Sprintf("%s%s: %s", strings.Repeat(" ", level-1), name, types))
	})
	return all
}

func TestWalk_NamesAndTypesOfClaimsAndMembers(t *testing.T) {
	text := `{"s":"x", "n" : -1.5e3,"t":true,"f":false,"z":null,"e":[],"l":["a",["b"]], "m":[ 1 , "x",null,{"deep":1},true ],"\u0061b":1,
		"o": { "i" : {"j":{"k":1}} , "empty":{}, "\"q":[] } }`
	want := []string{
		"s: string", "n: number", "t: bool", "f: bool", "z: null", "e: list", "l: list of string and list", "m: list of null and bool and number and string and object", "ab: number",
		"o: object", " i: object", "  j: object", " empty: object", ` "q: list`,
	}
	if got := walked(t, 3, text); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := walked(t, 1, text); len(got) != 10 {
		t.Errorf("to the first level: %q", got)
	}
	if got := walked(t, 3, `{}`); got != nil {
		t.Errorf("of nothing: %q", got)
	}
}

func TestTypes_String(t *testing.T) {
	for types, want := range map[Types]string{
		0: "nothing", TypeString: "string", TypeString | ListOf(TypeString): "string or list of string", ListOf(0): "list", TypeNull | TypeBool: "null or bool",
	} {
		if got := types.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestWalk_AllocatesNothing(t *testing.T) {
	c, err := ParseClaims([]byte(`{"iss":"x","aud":["a","b"],"realm_access":{"roles":["x","y"],"n":{"a":1}},"exp":1}`))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	visit := func(int, []byte, Types) { seen++ }
	if n := testing.AllocsPerRun(100, func() { c.Walk(3, visit) }); n != 0 || seen == 0 {
		t.Errorf("%v allocations for %d claims", n, seen)
	}
}

// FuzzWalk: what ParseClaims takes, Walk gets through, with the types that the values then have.
func FuzzWalk(f *testing.F) {
	seeds := []string{`{}`, `{"a":[{"b":1}, [ ] ],"c":{"d":{"e":null}}}`, ` { "a" : "\"}" } `, `{"a":{"b":"]"},"c":[[[]],"[",1]}`}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := ParseClaims(data)
		if err != nil {
			return
		}
		claims, top := c.Map(), 0
		c.Walk(3, func(level int, name []byte, types Types) {
			if level > 1 {
				return
			}
			top++
			if v, ok := claims[string(name)]; !ok || typeOfValue(v) != types&valueTypes {
				t.Errorf("%q: %v of %v", name, types, v)
			}
		})
		if top != len(claims) {
			t.Errorf("%d of %d claims", top, len(claims))
		}
	})
}

func typeOfValue(v any) Types {
	switch v.(type) {
	case nil:
		return TypeNull
	case bool:
		return TypeBool
	case string:
		return TypeString
	case []any:
		return TypeList
	case map[string]any:
		return TypeObject
	}
	return TypeNumber
}
