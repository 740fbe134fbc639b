package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"fedbroker/broker/web"
	"fedbroker/cmd/fedbroker/config/strict"
	"fedbroker/mappers"
	"fedbroker/upstreams"
)

// schema is as much of JSON Schema 2020-12 as the file needs.
type schema struct {
	Schema               string             `json:"$schema,omitempty"`
	Title                string             `json:"title,omitempty"`
	Ref                  string             `json:"$ref,omitempty"`
	Description          string             `json:"description,omitempty"`
	Type                 string             `json:"type,omitempty"`
	Default              any                `json:"default,omitempty"`
	Const                string             `json:"const,omitempty"`
	Enum                 []string           `json:"enum,omitempty"`
	Pattern              string             `json:"pattern,omitempty"`
	AnyOf                []*schema          `json:"anyOf,omitempty"`
	Items                *schema            `json:"items,omitempty"`
	Properties           map[string]*schema `json:"properties,omitempty"`
	Required             []string           `json:"required,omitempty"`
	AdditionalProperties any                `json:"additionalProperties,omitempty"` // false, or the schema of values
	Not                  *schema            `json:"not,omitempty"`
	Defs                 map[string]*schema `json:"$defs,omitempty"`
}

const (
	durationPattern = `^(-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+|0)$`
	variablePattern = `\$\{[A-Za-z_][A-Za-z0-9_]*\}` // any text may hold one
)

// shared are the structs that stand in more than one place: they are described once, under a name of their own.
func shared() map[reflect.Type]string {
	return map[reflect.Type]string{
		reflect.TypeFor[mappers.Spec](): "mapper",
		reflect.TypeFor[web.TLSSpec]():  "tls",
		reflect.TypeFor[SealKeySpec]():  "seal_key",
	}
}

// generator makes a schema of the structs that the decoder fills.
type generator struct {
	shared map[reflect.Type]string
	words  map[string]word
	defs   map[string]*schema
	used   map[string]bool // words that described something
}

// Schema is the JSON Schema of the configuration file.
func Schema() ([]byte, error) {
	root, _, err := generate()
	return written(root, err)
}

// FragmentSchema is the JSON Schema of a file in Folder.
func FragmentSchema() ([]byte, error) {
	root, _, err := generateFor(reflect.TypeFor[fragment](), "upstreams.d/*.yaml", "One partner of a fedbroker configuration: its upstreams, and the rules on them.")
	return written(root, err)
}

func written(root *schema, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("schema: %w", err)
	}
	return append(out, '\n'), nil
}

func generate() (*schema, *generator, error) {
	return generateFor(reflect.TypeFor[File](), "fedbroker.yaml", "Configuration of fedbroker.")
}

func generateFor(t reflect.Type, title, description string) (*schema, *generator, error) {
	known, err := words()
	if err != nil {
		return nil, nil, err
	}
	g := &generator{shared: shared(), words: known, defs: map[string]*schema{}, used: map[string]bool{}}
	root := g.structure("", t)
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = title
	root.Description = description + " Any text may hold ${ENV} ($${ is a literal ${); relative paths are relative to the file's folder."
	root.Defs = g.defs
	return root, g, nil
}

// of is the schema of a value of type t at path, without the path's own words.
func (g *generator) of(path string, t reflect.Type) *schema {
	_, isUnion := reflect.New(t).Interface().(strict.Union)
	switch {
	case t.Kind() == reflect.Pointer:
		return g.of(path, t.Elem())
	case t == reflect.TypeFor[upstreams.EmailDomains]():
		return anyOf(&schema{Const: "any"}, &schema{Type: "array", Items: &schema{Type: "string"}})
	case isUnion && t.Kind() == reflect.Slice:
		return anyOf(&schema{Type: "string"}, &schema{Type: "array", Items: &schema{Type: "string"}})
	case isUnion:
		return anyOf(&schema{Type: "string"}, g.structure(path, t))
	case t == reflect.TypeFor[time.Duration]():
		return anyOf(&schema{Type: "string", Pattern: durationPattern}, &schema{Type: "string", Pattern: variablePattern})
	case g.shared[t] != "":
		name := g.shared[t]
		if g.defs[name] == nil {
			g.defs[name] = &schema{}
			*g.defs[name] = *g.structure(name, t)
		}
		return &schema{Ref: "#/$defs/" + name}
	}
	switch t.Kind() {
	case reflect.Struct:
		return g.structure(path, t)
	case reflect.Slice:
		return &schema{Type: "array", Items: g.of(path, t.Elem())}
	case reflect.Map:
		return &schema{Type: "object", AdditionalProperties: g.of(path, t.Elem())}
	case reflect.String:
		return &schema{Type: "string"}
	case reflect.Bool:
		return &schema{Type: "boolean"}
	case reflect.Int, reflect.Int64:
		return &schema{Type: "integer"}
	}
	return &schema{} // any JSON value
}

func anyOf(forms ...*schema) *schema { return &schema{AnyOf: forms} }

func (g *generator) structure(path string, t reflect.Type) *schema {
	out := &schema{Type: "object", Properties: map[string]*schema{}, AdditionalProperties: false}
	fields := strict.Fields(t)
	keys := strict.ByKey(fields)
	for _, f := range fields {
		where := strict.Join(path, f.Key)
		member := g.of(where, f.Type)
		if f.File {
			secret := strings.TrimSuffix(f.Key, strict.FileSuffix)
			member = &schema{Type: "string", Description: "The file that holds " + secret + "; white space around it is ignored."}
		} else {
			g.used[where] = true
			w := g.words[where]
			w.describe(member)
			if w.Required {
				out.Required = append(out.Required, f.Key)
			}
		}
		for _, key := range slices.Sorted(maps.Keys(out.Properties)) {
			if keys[key].Target == f.Target {
				out.exclude(key, f.Key)
			}
		}
		out.Properties[f.Key] = member
	}
	slices.Sort(out.Required)
	return out
}

// exclude refuses two keys beside each other.
func (s *schema) exclude(a, b string) {
	if s.Not == nil {
		s.Not = &schema{}
	}
	s.Not.AnyOf = append(s.Not.AnyOf, &schema{Required: []string{a, b}})
}
