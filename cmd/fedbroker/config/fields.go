package config

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
	fileSuffix = "_file"
	hashSuffix = "_sha256"
)

// field is one key that a struct takes.
type field struct {
	key    string
	index  []int // of the struct's field that it fills; keys that fill one exclude each other
	target string
	typ    reflect.Type
	secret bool // the value is one
	file   bool // key names the file whose content is the secret
	hash   bool // the field takes the SHA-256 of the secret
}

// path says whether the value is a path, which is relative to the file's folder.
func (f field) path() bool {
	named := strings.HasSuffix(f.key, fileSuffix) || slices.Contains([]string{"dir", "path", "socket"}, f.key)
	return named && !f.secret && f.typ.Kind() == reflect.String
}

// fieldsOf lists the keys of a struct in the order of its fields, inlined structs and the twins of secrets included.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		name, options, _ := strings.Cut(sf.Tag.Get("yaml"), ",")
		if slices.Contains(strings.Split(options, ","), "inline") {
			for _, inner := range fieldsOf(sf.Type) {
				inner.index = append([]int{i}, inner.index...)
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
func keysFor(name string, i int, t reflect.Type) []field {
	plain := field{key: name, index: []int{i}, target: name, typ: t, secret: t == secretType}
	base, hashed := strings.CutSuffix(name, hashSuffix)
	switch {
	case plain.secret:
		fromFile := plain
		fromFile.key, fromFile.file = name+fileSuffix, true
		return []field{plain, fromFile}
	case hashed:
		secret := plain
		secret.key, secret.secret, secret.hash = base, true, true
		fromFile := secret
		fromFile.key, fromFile.file = base+fileSuffix, true
		return []field{plain, secret, fromFile}
	}
	return []field{plain}
}

func byKey(fields []field) map[string]field {
	out := make(map[string]field, len(fields))
	for _, f := range fields {
		out[f.key] = f
	}
	return out
}
