package shape

import (
	"strings"

	"fedbroker/upstreams/jose"
)

// plain tells whether a name is kept: one that could be an address, or would have to be escaped to be printed, is not.
func plain(name []byte) bool {
	if len(name) == 0 || len(name) > maxName || '0' <= name[0] && name[0] <= '9' {
		return false
	}
	for _, c := range name {
		if c <= ' ' || c > '~' || strings.IndexByte("@*\"\\|`", c) >= 0 {
			return false
		}
	}
	return true
}

// appendEscaped appends one token of a JSON pointer (RFC 6901 §3).
func appendEscaped(dst, name []byte) []byte {
	for _, c := range name {
		switch c {
		case '~':
			dst = append(dst, "~0"...)
		case '/':
			dst = append(dst, "~1"...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// parentOf is the pointer of what a member is a member of; "" for a claim.
func parentOf(pointer string) string { return pointer[:max(strings.LastIndexByte(pointer, '/'), 0)] }

// Path takes a JSON pointer apart: the claim, and its members one below the other.
func Path(pointer string) []string {
	tokens := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, t := range tokens {
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
	}
	return tokens
}

// Plainly is how the configuration's `from` names what a pointer leads to: a claim by its name, a member by the pointer.
func Plainly(pointer string) string {
	if path := Path(pointer); len(path) == 1 && !strings.HasPrefix(path[0], "/") {
		return path[0]
	}
	return pointer
}

// Map are claims that are Go values already, as in jose.Claims.Map.
type Map map[string]any

// Walk implements Claims.
func (m Map) Walk(depth int, visit func(level int, name []byte, t jose.Types)) {
	walk(m, 1, depth, visit)
}

func walk(members map[string]any, level, depth int, visit func(level int, name []byte, t jose.Types)) {
	for name, v := range members {
		t := typeOf(v)
		if list, ok := v.([]any); ok {
			var elements jose.Types
			for _, e := range list {
				elements |= typeOf(e)
			}
			t = jose.ListOf(elements)
		}
		visit(level, []byte(name), t)
		if inner, ok := v.(map[string]any); ok && level < depth {
			walk(inner, level+1, depth, visit)
		}
	}
}

func typeOf(v any) jose.Types {
	switch v.(type) {
	case nil:
		return jose.TypeNull
	case bool:
		return jose.TypeBool
	case string:
		return jose.TypeString
	case map[string]any:
		return jose.TypeObject
	case []any:
		return jose.TypeList
	}
	return jose.TypeNumber
}
