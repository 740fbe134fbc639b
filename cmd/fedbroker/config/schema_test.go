package config

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"fedbroker/cmd/fedbroker/config/strict"
)

func TestSchema_FilesAreCurrent(t *testing.T) {
	for name, print := range map[string]func() ([]byte, error){"fedbroker.schema.json": Schema, "fedbroker.fragment.schema.json": FragmentSchema} {
		want, err := print()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile("../../../docs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("docs/%s is not what `fedbroker config schema` prints: run `make schema`", name)
		}
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
	types := map[string]string{"object": "!!map", "array": "!!seq", "string": "!!str", "boolean": "!!bool", "integer": "!!int"}
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
	for _, name := range append(shipped(t), "testdata/example.yaml", "../demo/demo.yaml") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		n, problem := strict.Parse(text)
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
		n, problem := strict.Parse([]byte(text))
		if problem != nil {
			t.Fatal(problem)
		}
		if why := root.accepts(root.Defs, n); why == "" {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The defaults that the schema tells are those that an absent key takes.
func TestSchema_DefaultsAreTrue(t *testing.T) {
	c, err := read(t, small+"upstreams: [{name: a, kind: oidc, issuer: https://idp.a.example, client_id: x, client_secret: "+secret+"}]\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, effective, err := c.Effective()
	if err != nil {
		t.Fatal(err)
	}
	known, err := words()
	if err != nil {
		t.Fatal(err)
	}
	judged := 0
	for path, w := range known {
		got, found := at(effective, strings.Split(path, "."))
		if w.Default == nil || !found {
			continue
		}
		judged++
		want, is := fmt.Sprint(w.Default), fmt.Sprint(got)
		if d, err := time.ParseDuration(want); err == nil {
			want, is = d.String(), durationOf(is)
		}
		if want != strings.Trim(is, "[]") && want != is && want != filepath.Base(is) {
			t.Errorf("%s: the schema tells %s, an absent key takes %s", path, want, is)
		}
	}
	if judged < 20 {
		t.Errorf("want at least 20 defaults to compare, got %d", judged)
	}
}

func durationOf(text string) string {
	d, err := time.ParseDuration(text)
	if err != nil {
		return text
	}
	return d.String()
}

// at finds a value by its path, in the first element of a list.
func at(v any, path []string) (any, bool) {
	if list, ok := v.([]any); ok && len(list) > 0 && len(path) > 0 {
		return at(list[0], path)
	}
	if len(path) == 0 {
		return v, true
	}
	m, _ := v.(map[string]any)
	inner, ok := m[path[0]]
	if !ok {
		return nil, false
	}
	return at(inner, path[1:])
}

func TestSchema_DefsAreTheSharedStructs(t *testing.T) {
	root := generated(t)
	want := slices.Sorted(maps.Values(shared()))
	if got := slices.Sorted(maps.Keys(root.Defs)); !slices.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
}
