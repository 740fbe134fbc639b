package config

import (
	"bytes"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func TestSchema_FileIsCurrent(t *testing.T) {
	want, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../docs/fedbroker.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/fedbroker.schema.json is not what `fedbroker config schema` prints: run `make schema`")
	}
}

func TestSchema_EveryKeyIsDescribed(t *testing.T) {
	_, g, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for path := range g.used {
		if g.words[path].Text == "" {
			t.Errorf("%s: no description", path)
		}
	}
	for path := range g.words {
		if !g.used[path] {
			t.Errorf("%s: described, but there is no such key", path)
		}
	}
}

func generated(t *testing.T) *schema {
	t.Helper()
	root, _, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// accepts judges a YAML value by a schema: as much of the vocabulary as the generator uses.
func (s *schema) accepts(defs map[string]*schema, n *yaml.Node) string {
	if s.Ref != "" {
		return defs[strings.TrimPrefix(s.Ref, "#/$defs/")].accepts(defs, n)
	}
	if len(s.AnyOf) > 0 && !slices.ContainsFunc(s.AnyOf, func(f *schema) bool { return f.accepts(defs, n) == "" }) {
		return "no form fits " + n.Value
	}
	if s.Const != "" && n.Value != s.Const || s.Enum != nil && !slices.Contains(s.Enum, n.Value) || s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(n.Value) {
		return "value " + n.Value
	}
	types := map[string]string{"object": mapTag, "array": seqTag, "string": stringTag, "boolean": boolTag, "integer": intTag}
	if want := types[s.Type]; want != "" && n.ShortTag() != want {
		return "want " + s.Type + ", got " + n.ShortTag()
	}
	if s.Type == "array" {
		for i, item := range n.Content {
			if why := s.Items.accepts(defs, item); why != "" {
				return "[" + strconv.Itoa(i) + "]" + why
			}
		}
	}
	if s.Type == "object" {
		return s.acceptsObject(defs, n)
	}
	return ""
}

func (s *schema) acceptsObject(defs map[string]*schema, n *yaml.Node) string {
	present := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		key := n.Content[i].Value
		present[key] = true
		member := s.Properties[key]
		if member == nil {
			member, _ = s.AdditionalProperties.(*schema)
		}
		if member == nil {
			return "." + key + " is no key"
		}
		if why := member.accepts(defs, n.Content[i+1]); why != "" {
			return "." + key + why
		}
	}
	for _, key := range s.Required {
		if !present[key] {
			return " without " + key
		}
	}
	if s.Not != nil {
		for _, f := range s.Not.AnyOf {
			if !slices.ContainsFunc(f.Required, func(key string) bool { return !present[key] }) {
				return " with all of " + strings.Join(f.Required, ", ")
			}
		}
	}
	return ""
}

func TestSchema_AcceptsTheExamples(t *testing.T) {
	root := generated(t)
	for _, name := range []string{"testdata/example.yaml", "../../../examples/quickstart/fedbroker.yaml", "../demo/demo.yaml"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n, problem := parse(text)
		if problem != nil {
			t.Fatal(problem)
		}
		if why := root.accepts(root.Defs, n); why != "" {
			t.Errorf("%s: %s", name, why)
		}
	}
}

func TestSchema_RefusesMistakes(t *testing.T) {
	root := generated(t)
	for name, text := range map[string]string{
		"unknown key":           small + "lsten: x\n",
		"no seal":               "issuer: x\n",
		"text for a list":       small + "upstreams: x\n",
		"a duration that isn't": small + "leeway: soon\n",
		"another level":         small + "log: {level: loud}\n",
		"two secrets":           small + "clients: [{id: a, secret: b, secret_sha256: c}]\n",
		"a rule without grant":  small + "exchange: [{id: a, subject: {}, requester: {}}]\n",
	} {
		n, problem := parse([]byte(text))
		if problem != nil {
			t.Fatal(problem)
		}
		if why := root.accepts(root.Defs, n); why == "" {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSchema_DefsAreTheSharedStructs(t *testing.T) {
	root := generated(t)
	want := slices.Sorted(maps.Values(shared()))
	if got := slices.Sorted(maps.Keys(root.Defs)); !slices.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
}
