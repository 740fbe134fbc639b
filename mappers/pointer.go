package mappers

import (
	"errors"
	"strconv"
	"strings"
)

const (
	maxFrom   = 256 // bytes of a source's name
	maxTokens = 32  // levels of a JSON pointer: no input is deeper
)

// source is where a step finds its value: a JSON pointer (RFC 6901) if it begins with "/", else a top-level name, slashes and all.
type source struct {
	name   string
	tokens []string // of a pointer; nil for a plain name
}

func newSource(from string) (source, error) {
	switch {
	case from == "":
		return source{}, errors.New("want a claim's name or a JSON pointer, got none")
	case len(from) > maxFrom:
		return source{}, errors.New("want at most " + strconv.Itoa(maxFrom) + " bytes")
	case from[0] != '/':
		return source{name: from}, nil
	}
	s := source{tokens: strings.Split(from[1:], "/")}
	if len(s.tokens) > maxTokens {
		return source{}, errors.New("want at most " + strconv.Itoa(maxTokens) + " levels")
	}
	for i, t := range s.tokens {
		bare := strings.NewReplacer("~0", "", "~1", "").Replace(t)
		if strings.Contains(bare, "~") {
			return source{}, errors.New("want ~0 or ~1 after each ~ in a JSON pointer (RFC 6901 §3)")
		}
		s.tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
	}
	s.name = s.tokens[0]
	return s, nil
}

// find looks among what earlier steps made, then among the upstream's claims. null counts as absent.
func (s source) find(in, out Claims) (any, bool) {
	if v := s.in(out); v != nil {
		return v, true
	}
	v := s.in(in)
	return v, v != nil
}

func (s source) in(c Claims) any {
	v := c[s.name]
	if len(s.tokens) < 2 {
		return v
	}
	for _, t := range s.tokens[1:] {
		switch at := v.(type) {
		case map[string]any:
			v = at[t]
		case []any:
			i, ok := arrayIndex(t)
			if !ok || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

// arrayIndex reads RFC 6901 §4's array index: digits, without a leading zero.
func arrayIndex(token string) (int, bool) {
	if token == "" || len(token) > 1 && token[0] == '0' || strings.Trim(token, "0123456789") != "" {
		return 0, false
	}
	i, err := strconv.Atoi(token)
	return i, err == nil
}
