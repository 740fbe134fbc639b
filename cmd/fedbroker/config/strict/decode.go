package strict

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"fedbroker/mappers/nearest"
)

// decoder fills structs from YAML nodes. It is strict and total: it reports everything that does not fit and goes on with the rest.
type decoder struct {
	*Report
	sources files
	known   *Types
	nodes   int // visited so far
}

// Types remembers the keys of the types that were decoded, for a decoding of many files. It is for one goroutine. Nil remembers nothing.
type Types struct {
	byKey map[reflect.Type]map[string]Field
}

func (t *Types) of(v reflect.Type) map[string]Field {
	if t == nil {
		return ByKey(Fields(v))
	}
	if t.byKey == nil {
		t.byKey = map[reflect.Type]map[string]Field{}
	}
	if t.byKey[v] == nil {
		t.byKey[v] = ByKey(Fields(v))
	}
	return t.byKey[v]
}

// Union is a type with more than one form in YAML (a name or a mapping): it tries them through decode, which fills a value strictly from the
// node at hand.
type Union interface {
	UnmarshalYAML(decode func(any) error) error
}

// value fills v from n. Whatever is wrong is reported at path.
func (d *decoder) value(path string, n *yaml.Node, v reflect.Value) {
	at := place{n.Line, n.Column}
	if _, known := d.places[path]; !known {
		d.places[path] = at
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.nodes++; d.nodes > maxNodes || strings.Count(path, ".")+strings.Count(path, "[") > maxDepth {
		if d.nodes <= maxNodes+1 {
			d.structural(path, at, "want at most %d values and %d levels, aliases unfolded, got more", maxNodes, maxDepth)
		}
		return
	}
	if !plain(n.ShortTag()) {
		d.structural(path, at, "want plain YAML without tags; quote a value that begins with !")
		return
	}
	if u, ok := v.Addr().Interface().(Union); ok {
		d.union(path, at, n, u)
		return
	}
	switch {
	case v.Type() == anyType:
		d.anything(path, at, n, v)
	case v.Kind() == reflect.Pointer:
		if k := v.Type().Elem().Kind(); n.ShortTag() == nullTag && (k == reflect.Struct || k == reflect.Slice) {
			return // a key without its list or keys is as good as absent
		}
		v.Set(reflect.New(v.Type().Elem()))
		d.value(path, n, v.Elem())
	case v.Kind() == reflect.Struct:
		d.structure(path, at, n, v)
	case v.Kind() == reflect.Slice:
		d.list(path, at, n, v)
	case v.Kind() == reflect.Map:
		d.table(path, at, n, v)
	default:
		d.scalar(path, at, n, v)
	}
}

// union lets the type try its forms. What one form does not like is no problem yet: if the type gives up, the problems of the form that fits
// the kind of the node are reported, or, where none fits, what the forms want.
func (d *decoder) union(path string, at place, n *yaml.Node, u Union) {
	var fit *Report
	var wants []string
	err := u.UnmarshalYAML(func(into any) error {
		inner := *d
		inner.Report = newReport()
		inner.value(path, n, reflect.ValueOf(into).Elem())
		d.nodes = inner.nodes
		if len(inner.problems) == 0 {
			fit = inner.Report
			return nil
		}
		if want := inner.problems[0].want; want != "" && inner.problems[0].Path == path {
			wants = append(wants, want)
		} else {
			fit = inner.Report
		}
		return &Error{Problems: inner.problems}
	})
	_, tried := errors.AsType[*Error](err)
	switch {
	case err != nil && !tried:
		d.structural(path, at, "%v", err)
	case err != nil && fit == nil:
		d.mismatch(path, at, strings.Join(wants, " or "), n)
	default:
		d.adopt(fit)
	}
}

func (d *decoder) adopt(inner *Report) {
	if inner == nil {
		return
	}
	maps.Copy(d.places, inner.places)
	maps.Copy(d.written, inner.written)
	maps.Copy(d.judged, inner.judged)
	d.problems = append(d.problems, inner.problems...)
	d.warnings = append(d.warnings, inner.warnings...)
	maps.Copy(d.files, inner.files)
}

// mismatch reports a value of another kind than the one wanted.
func (d *decoder) mismatch(path string, at place, want string, n *yaml.Node) {
	d.structural(path, at, "want %s, got %s", want, kindOf(n))
	d.problems[len(d.problems)-1].want = want
}

func (d *decoder) list(path string, at place, n *yaml.Node, v reflect.Value) {
	if n.ShortTag() == nullTag {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.mismatch(path, at, "a list", n)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		d.value(fmt.Sprintf("%s[%d]", path, i), item, v.Index(i))
	}
}

func (d *decoder) table(path string, at place, n *yaml.Node, v reflect.Value) {
	if n.ShortTag() == nullTag {
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	d.pairs(path, at, n, func(key string, _ place, item *yaml.Node) {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(path+"."+key, item, element)
		v.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), element)
	})
}

// pairs walks a mapping whose keys are plain, distinct strings.
func (d *decoder) pairs(path string, at place, n *yaml.Node, each func(key string, at place, item *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		d.mismatch(path, at, "keys and values", n)
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, item := n.Content[i], n.Content[i+1]
		where := place{key.Line, key.Column}
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		switch {
		case key.ShortTag() == mergeTag:
			d.structural(path, where, "want each key written out, got a merge (<<)")
			continue
		case key.Kind != yaml.ScalarNode || !textual(key):
			d.structural(path, where, "want a text as key, got %s", kindOf(key))
			continue
		}
		if first, twice := seen[key.Value]; twice {
			d.structural(Join(path, key.Value), where, "want each key once, got it on line %d already", first)
			continue
		}
		seen[key.Value] = where.line
		d.places[Join(path, key.Value)] = where
		each(key.Value, where, item)
	}
}

func (d *decoder) structure(path string, at place, n *yaml.Node, v reflect.Value) {
	if n.ShortTag() == nullTag {
		return
	}
	fields := d.known.of(v.Type())
	d.exclusive(path, n, fields)
	d.pairs(path, at, n, func(key string, at place, item *yaml.Node) {
		where := Join(path, key)
		f, known := fields[key]
		switch {
		case !known:
			d.unknown(path, key, at, slices.Sorted(maps.Keys(fields)))
		case f.secret:
			d.secret(path, f, at, item, v.FieldByIndex(f.Index))
		default:
			d.member(where, f, item, v.FieldByIndex(f.Index))
		}
	})
}

// member fills one field. Paths become absolute.
func (d *decoder) member(path string, f Field, item *yaml.Node, v reflect.Value) {
	d.value(path, item, v)
	if f.path() && v.String() != "" {
		v.SetString(d.sources.Absolute(v.String()))
		if strings.HasSuffix(f.Key, FileSuffix) {
			d.sources.exists(d.Report, path, v.String(), holdsSecret(f.Key))
		}
	}
}

func (d *decoder) unknown(path, key string, at place, known []string) {
	where := Join(path, printable(key))
	near, ok := nearest.Word(key, known)
	if !ok {
		d.structural(where, at, "unknown key; want one of %s", strings.Join(known, ", "))
		return
	}
	d.judged[Join(path, near)] = true // that it is missing follows from the mistyped key
	d.structural(where, at, "unknown key; did you mean %s?", near)
}

// Join is the path of a key below another.
func Join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// printable keeps what a key shows in an error short and free of control characters.
func printable(key string) string {
	if len(key) > nearest.Longest {
		key = key[:nearest.Longest] + "…"
	}
	quoted := strconv.Quote(key)
	return quoted[1 : len(quoted)-1]
}
