package strict

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// minSecret is below what anyone should choose; `fedbroker secret` makes 43 characters of 256 bits.
const minSecret = 16

// secret fills a secret, or its hash, from what is written or from the file that is named.
func (d *decoder) secret(path string, f Field, at place, item *yaml.Node, v reflect.Value) {
	where, target := Join(path, f.Key), Join(path, f.Target)
	if d.judged[where] {
		return
	}
	text, ok := d.secretText(where, f, at, item)
	if !ok {
		d.judged[target] = true // that it is missing, or what else is wrong with it, follows
		return
	}
	if f.Key != f.Target {
		d.places[target], d.written[target] = at, where
	}
	if !f.hash {
		v.SetString(text)
		return
	}
	if len(text) < minSecret {
		d.Warn(where, "want a random secret of %d characters at least (`fedbroker secret` prints one), got fewer", minSecret)
	}
	sum := sha256.Sum256([]byte(text))
	v.SetString(hex.EncodeToString(sum[:]))
}

func (d *decoder) secretText(where string, f Field, at place, item *yaml.Node) (string, bool) {
	var text string
	before := len(d.problems)
	d.value(where, item, reflect.ValueOf(&text).Elem())
	switch {
	case len(d.problems) > before:
		return "", false
	case text == "" && f.File:
		d.structural(where, at, "want a file's name, got nothing")
		return "", false
	case text == "":
		d.structural(where, at, "want a secret, got nothing")
		return "", false
	case f.File:
		return d.sources.content(d.Report, where, d.sources.Absolute(text))
	}
	return text, true
}

// exclusive reports keys beside each other that fill the same field, such as a secret and the file that holds it.
func (d *decoder) exclusive(path string, n *yaml.Node, fields map[string]Field) {
	if n.Kind != yaml.MappingNode {
		return
	}
	last, present := map[string]place{}, map[string][]string{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		f, known := fields[key.Value]
		if known && !slices.Contains(present[f.Target], f.Key) {
			present[f.Target] = append(present[f.Target], f.Key)
			last[f.Target] = place{key.Line, key.Column}
		}
	}
	for target, keys := range present {
		if len(keys) < 2 {
			continue
		}
		d.structural(Join(path, keys[len(keys)-1]), last[target], "want one of %s, got both", strings.Join(keys, " and "))
		for _, key := range append(keys, target) {
			d.judged[Join(path, key)] = true
		}
	}
}
