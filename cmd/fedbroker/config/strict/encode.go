package strict

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// redacted stands for a secret, and for the hash of one.
const redacted = "(redacted)"

// marshaler is a type with more than one form in YAML, which writes the shortest that holds it.
type marshaler interface{ MarshalYAML() (any, error) }

var marshalerType = reflect.TypeFor[marshaler]()

// Node is a struct as the decoder accepts it, secrets redacted.
func Node(v any) *yaml.Node { return nodeOf("", reflect.ValueOf(v)) }

// nodeOf is nil for what is absent.
func nodeOf(key string, v reflect.Value) *yaml.Node {
	switch {
	case !v.IsValid():
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: nullTag, Value: "null"}
	case v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface:
		if v.IsNil() && v.Kind() == reflect.Pointer {
			return nil
		}
		return nodeOf(key, v.Elem())
	case v.Type() == secretType || strings.HasSuffix(key, hashSuffix):
		if v.String() == "" {
			return nil
		}
		return stringNode(redacted)
	case v.Type().Implements(marshalerType):
		// A union writes its short form; what it gives back has no method of its own.
		short, err := v.Interface().(marshaler).MarshalYAML()
		if err != nil {
			return nil
		}
		return nodeOf(key, reflect.ValueOf(short))
	case v.Type() == durationType:
		return stringNode(durationText(time.Duration(v.Int())))
	}
	switch v.Kind() {
	case reflect.Struct:
		return structNode(v)
	case reflect.Slice:
		return listNode(key, v)
	case reflect.Map:
		return mapNode(v)
	case reflect.String:
		return stringNode(v.String())
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: boolTag, Value: strconv.FormatBool(v.Bool())}
	case reflect.Float32, reflect.Float64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: floatTag, Value: strconv.FormatFloat(v.Float(), 'g', -1, 64)}
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: intTag, Value: fmt.Sprint(v.Interface())}
}

func structNode(v reflect.Value) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: mapTag}
	for _, f := range Fields(v.Type()) {
		value := v.FieldByIndex(f.Index)
		if f.Key != f.Target || value.IsZero() {
			continue
		}
		if n := nodeOf(f.Key, value); n != nil {
			out.Content = append(out.Content, stringNode(f.Key), n)
		}
	}
	return out
}

func listNode(key string, v reflect.Value) *yaml.Node {
	out := &yaml.Node{Kind: yaml.SequenceNode, Tag: seqTag}
	for i := range v.Len() {
		out.Content = append(out.Content, nodeOf(key, v.Index(i)))
	}
	if scalars := !slices.ContainsFunc(out.Content, func(n *yaml.Node) bool { return n == nil || n.Kind != yaml.ScalarNode }); scalars {
		out.Style = yaml.FlowStyle
	}
	return out
}

func mapNode(v reflect.Value) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Tag: mapTag}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, k := range keys {
		out.Content = append(out.Content, stringNode(k.String()), nodeOf("", v.MapIndex(k)))
	}
	return out
}

// stringNode escapes what the decoder would expand, so that the output is a configuration again.
func stringNode(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: stringTag, Value: strings.ReplaceAll(s, "${", "$${")}
}

// durationText is as one writes it: 10m rather than 10m0s.
func durationText(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, zero) {
			s = s[:len(s)-2]
		}
	}
	return s
}
