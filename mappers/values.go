package mappers

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
)

const maxLiteralDepth = 8 // levels of a value written in the configuration

// jsonType names a value's JSON type for messages: never the value itself, which may be personal.
func jsonType(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case int64, uint64, float64, json.Number:
		return "a number"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("a Go value of type %T", v)
}

// names absorbs string-or-list: one string, or an array of them. Empty strings name nothing and are left out, a name that comes twice
// counts once. Any other member is an error: a number or an object turned into a name could be anyone's.
func names(v any) ([]any, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		if v == "" {
			return []any{}, nil
		}
		return []any{v}, nil
	case []any:
		return distinct(v)
	}
	return nil, fmt.Errorf("want a string or an array of strings, got %s", jsonType(v))
}

// fewNames is up to where looking through a list beats a set.
const fewNames = 16

func distinct(list []any) ([]any, error) {
	out := make([]any, 0, len(list))
	var seen map[string]bool
	if len(list) > fewNames {
		seen = make(map[string]bool, len(list))
	}
	for i, e := range list {
		name, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("want an array of strings, got %s at %d", jsonType(e), i)
		}
		if name == "" || seen[name] || seen == nil && slices.Contains(out, e) {
			continue
		}
		if seen != nil {
			seen[name] = true
		}
		out = append(out, e)
	}
	return out, nil
}

// key is a scalar as the text of a table's key.
func key(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case uint64:
		return strconv.FormatUint(v, 10), nil
	}
	return "", fmt.Errorf("want a string, a boolean or an integer, got %s", jsonType(v))
}

// constant turns a value from the configuration into a claim's value.
func constant(v any, depth int) (any, error) {
	if depth > maxLiteralDepth {
		return nil, fmt.Errorf("want at most %d levels", maxLiteralDepth)
	}
	switch v := v.(type) {
	case bool, string, int64:
		return v, nil
	case int:
		return int64(v), nil
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v), nil
		}
		return v, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("want a finite number, got %v", v)
		}
		return v, nil
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			c, err := constant(e, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = c
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, e := range v {
			c, err := constant(e, depth+1)
			if err != nil {
				return nil, err
			}
			out[name] = c
		}
		return out, nil
	case nil:
		return nil, fmt.Errorf("want a value, got null")
	}
	return nil, fmt.Errorf("want a JSON value, got a %T", v)
}
