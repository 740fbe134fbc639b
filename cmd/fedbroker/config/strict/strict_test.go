package strict_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fedbroker/cmd/fedbroker/config/strict"
)

// problems are the lines and texts of an error that must be one.
func problems(t *testing.T, err error) []string {
	t.Helper()
	e, ok := errors.AsType[*strict.Error](err)
	if !ok {
		t.Fatalf("want a *strict.Error, got %v", err)
	}
	var out []string
	for _, p := range e.Problems {
		out = append(out, fmt.Sprintf("%d: %s", p.Line, p))
	}
	return out
}

// Another file is read as strictly as the configuration, and what is in it knows its line.
func TestRead(t *testing.T) {
	type other struct {
		Name string `yaml:"name"`
		List []int  `yaml:"list"`
	}
	decode := func(text string) (v other, line func(string) int, err error) {
		line, err = strict.Read("other.yaml", []byte(text), strict.Options{LookupEnv: func(name string) (string, bool) { return "value", name == "SET" }}, &v,
			func(bad func(path, format string, args ...any)) {
				if v.Name == "bad" {
					bad("name", "want a better one")
				}
			})
		return v, line, err
	}
	v, line, err := decode("name: ${SET}\nlist:\n  - 1\n  - 2\n")
	if err != nil || v.Name != "value" || len(v.List) != 2 {
		t.Fatalf("got %+v, %v", v, err)
	}
	if got := []int{line("name"), line("list[1]"), line("list[1].inner"), line("nowhere")}; !slices.Equal(got, []int{1, 4, 4, 0}) {
		t.Errorf("want lines 1, 4, 4 and none, got %v", got)
	}
	_, _, err = decode("nam: x\nlist: [a]\nname: bad\n")
	want := []string{"1: nam: unknown key; did you mean name?", "2: list[0]: want a whole number, got text"}
	if got := problems(t, err); !slices.Equal(got, want) {
		t.Errorf("want %q, got %q", want, got)
	}
	_, _, err = decode("name: bad\n")
	if got := problems(t, err); !slices.Equal(got, []string{"1: name: want a better one"}) {
		t.Errorf("got %q", got)
	}
	for _, text := range []string{"", "- a", "name: [", "name: ${UNSET}"} {
		if _, _, err := decode(text); len(problems(t, err)) != 1 {
			t.Errorf("%q: want one problem, got %v", text, err)
		}
	}
}

func TestRead_VariablesOfOtherForms(t *testing.T) {
	for _, bad := range []string{"${}", "${A", "${A-B}", "${1A}", "${HOST:-x}"} {
		var v struct {
			Name string `yaml:"name"`
		}
		_, err := strict.Read("other.yaml", []byte("name: \""+bad+"\""), strict.Options{LookupEnv: func(string) (string, bool) { return "x", true }}, &v,
			func(func(string, string, ...any)) {})
		if len(problems(t, err)) != 1 {
			t.Errorf("%s: want one problem, got %v", bad, err)
		}
	}
}

// A report knows each file that was looked at, and who named it, whether it is there or not.
func TestDecode_Files(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, _ := strict.Parse([]byte("list: [{ca_file: a}, {ca_file: b}, {ca_file: a}]"))
	var v struct {
		List []struct {
			CAFile string `yaml:"ca_file"`
		} `yaml:"list"`
	}
	files := strict.Decode(root, &v, strict.Options{Folder: dir}).Files()
	if len(files) != 2 || files[filepath.Join(dir, "a")] != "list[0].ca_file" || files[filepath.Join(dir, "b")] != "list[1].ca_file" {
		t.Errorf("got %v", files)
	}
}
