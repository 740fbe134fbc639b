package strict

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"fedbroker/upstreams"
)

var (
	secretType   = reflect.TypeFor[upstreams.Secret]()
	durationType = reflect.TypeFor[time.Duration]()
	anyType      = reflect.TypeFor[any]()
)

// Suffixes that make other keys of a key. A secret `x` may stand in the file that `x_file` names; a plain key that ends so is a path. A hash
// `x_sha256` is made of the secret `x` or `x_file`, too.
const (
	FileSuffix = "_file"
	hashSuffix = "_sha256"
)

// Field is one key that a struct takes.
type Field struct {
	Key    string
	Index  []int // of the struct's field that it fills; keys that fill one exclude each other
	Target string
	Type   reflect.Type
	secret bool // the value is one
	File   bool // Key names the file whose content is the secret
	hash   bool // the field takes the SHA-256 of the secret
}

// path says whether the value is a path, which is relative to the file's folder.
func (f Field) path() bool {
	named := strings.HasSuffix(f.Key, FileSuffix) || slices.Contains([]string{"dir", "path", "socket"}, f.Key)
	return named && !f.secret && f.Type.Kind() == reflect.String
}

// Fields lists the keys of a struct in the order of its fields, inlined structs and the twins of secrets included.
func Fields(t reflect.Type) []Field {
	var out []Field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if slices.Contains(strings.Split(options, ","), "inline") {
			for _, inner := range Fields(sf.Type) {
				inner.Index = append([]int{i}, inner.Index...)
				out = append(out, inner)
			}
			continue
		}
		if name == "" || name == "-" || !sf.IsExported() {
			continue
		}
		out = append(out, keysFor(name, i, sf.Type)...)
	}
	return out
}

// keysFor lists the keys that fill one field.
func keysFor(name string, i int, t reflect.Type) []Field {
	plain := Field{Key: name, Index: []int{i}, Target: name, Type: t, secret: t == secretType}
	base, hashed := strings.CutSuffix(name, hashSuffix)
	switch {
	case plain.secret:
		fromFile := plain
		fromFile.Key, fromFile.File = name+FileSuffix, true
		return []Field{plain, fromFile}
	case hashed:
		secret := plain
		secret.Key, secret.secret, secret.hash = base, true, true
		fromFile := secret
		fromFile.Key, fromFile.File = base+FileSuffix, true
		return []Field{plain, secret, fromFile}
	}
	return []Field{plain}
}

// ByKey finds fields by their keys.
func ByKey(fields []Field) map[string]Field {
	out := make(map[string]Field, len(fields))
	for _, f := range fields {
		out[f.Key] = f
	}
	return out
}
