package config

import (
	_ "embed"
	"fmt"

	"go.yaml.in/yaml/v4"

	"fedbroker/broker/oauth"
	"fedbroker/mappers"
	"fedbroker/upstreams"
	"fedbroker/upstreams/presets"
)

//go:embed words.yaml
var wordsText []byte

// word is what the schema says of one key.
type word struct {
	Text     string   `yaml:"text"`
	Default  any      `yaml:"default"` // the value of an absent key
	Absent   string   `yaml:"absent"`  // what an absent key means, where that is no value
	Enum     []string `yaml:"enum"`    // the only values
	Values   string   `yaml:"values"`  // the only values, as a list that the code has
	Pattern  string   `yaml:"pattern"` // that a value matches, by name
	Required bool     `yaml:"required"`
}

// words describe every key.
func words() (map[string]word, error) {
	var out map[string]word
	if err := yaml.Load(wordsText, &out, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("words.yaml: %w", err)
	}
	lists := map[string][]string{
		"engines": engineKinds(), "upstream kinds": upstreams.Kinds(), "presets": presets.Names(), "mapper kinds": mappers.Kinds(), "grant types": oauth.GrantNames(),
		"client authentication": {oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthPrivateKeyJWT, oauth.AuthNone},
	}
	patterns := map[string]string{
		"name": `^[a-z0-9][a-z0-9-]{0,31}$`, "client": `^[A-Za-z0-9._-]{1,64}$`, "claim": `^[A-Za-z_][A-Za-z0-9_:./-]{0,63}$`, "hex": `^[0-9a-f]{64}$`, "rate": `^[0-9]+/s$`,
	}
	for path, w := range out {
		if w.Values != "" {
			w.Enum = lists[w.Values]
		}
		if w.Pattern != "" {
			w.Pattern = patterns[w.Pattern]
		}
		out[path] = w
	}
	return out, nil
}

// describe adds what is said of a key to the schema of its value. Any text may hold a variable in place of what is wanted.
func (w word) describe(s *schema) {
	s.Description, s.Default = w.Text, w.Default
	if w.Absent != "" {
		s.Description += " Absent: " + w.Absent + "."
	}
	target := s
	if s.Type == "array" && s.Items.Type == "string" {
		target = s.Items
	}
	if w.Enum != nil {
		target.Type = ""
		target.AnyOf = []*schema{{Enum: w.Enum}, {Type: "string", Pattern: variablePattern}}
	}
	if w.Pattern != "" {
		target.AnyOf = []*schema{{Pattern: w.Pattern}, {Pattern: variablePattern}}
	}
}
