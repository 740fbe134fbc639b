package printable_test

import (
	"strings"
	"testing"

	"fedbroker/mappers/printable"
)

func TestValue(t *testing.T) {
	for _, test := range []struct {
		v    any
		want string
	}{
		{nil, "null"}, {"a\"b", `"a\"b"`}, {int64(5), "5"}, {true, "true"}, {1.5, "1.5"},
		{[]any{"a", []string{"b"}, map[string]any{"z": nil, "a": int64(1)}}, `["a", ["b"], {"a": 1, "z": null}]`},
		{"esc\x1b[31m\u202e\u009b", `"esc\x1b[31m\u202e\u009b"`},
		{map[string]any{"\x1b": "x"}, `{"\x1b": "x"}`},
	} {
		if got := printable.Value(test.v); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{"plain": "plain", "two\nlines": `two\nlines`, "bell\a \"x\"": `bell\a "x"`, "\xff": `\xff`} {
		if got := printable.Text(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// Whatever comes in, what goes out is short, one line, and has nothing that a terminal would obey.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{"", "a", "é\x1b", strings.Repeat("日本", 500), "\xff\xfe", "\u2028"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, got := range []string{printable.Value(s), printable.Value([]any{s, s}), printable.Value(map[string]any{s: s}), printable.Text(s)} {
			if len(got) > printable.Longest+len("…") {
				t.Errorf("%d bytes", len(got))
			}
			for _, r := range got {
				if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 || r == 0x202e || r == 0x2028 {
					t.Errorf("%q holds %U", got, r)
				}
			}
		}
	})
}
