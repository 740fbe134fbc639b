package jose

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// usualMembers is room for what a token usually holds: GitHub Actions' has 25 claims.
const usualMembers = 32

// member is one member of a checked JSON object. name is unescaped; value is the JSON text. Both point into the token's bytes.
type member struct {
	name  []byte
	value jsontext.Value
}

// parseObject checks data as one JSON object (RFC 8259; I-JSON's rules on names and UTF-8, RFC 7493 §2) and returns where its
// members lie. Nothing in data goes unchecked, whether it is read later or not.
func parseObject(data []byte) ([]member, error) {
	if !within(data, maxDepth) {
		return nil, malformed("nested deeper than %d", maxDepth)
	}
	if v := jsontext.Value(data); !v.IsValid() {
		if v.IsValid(jsontext.AllowDuplicateNames(true)) {
			return nil, malformed("repeated member")
		}
		return nil, malformed("not valid JSON")
	}
	i := skipSpace(data, 0)
	if data[i] != '{' {
		return nil, malformed("not a JSON object")
	}
	members := make([]member, 0, usualMembers)
	for i = skipSpace(data, i+1); data[i] != '}'; {
		m, next, err := memberAt(data, i)
		if err != nil {
			return nil, err
		}
		members, i = append(members, m), next
	}
	return members, nil
}

// memberAt is the member that begins at i of a checked object, and where the next one begins or the object ends.
func memberAt(data []byte, i int) (m member, next int, err error) {
	end := skipValue(data, i)
	if m.name, err = unquote(data[i:end]); err != nil {
		return m, end, err
	}
	i = skipSpace(data, skipSpace(data, end)+1) // the colon
	end = skipValue(data, i)
	m.value = data[i:end:end]
	if next = skipSpace(data, end); data[next] == ',' {
		next = skipSpace(data, next+1)
	}
	return m, next, nil
}

// skipSpace and skipValue walk over JSON that was checked: they neither judge it nor end anywhere but inside it.
func skipSpace(data []byte, i int) int {
	for data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r' {
		i++
	}
	return i
}

// skipValue returns the end of the value that begins at i.
func skipValue(data []byte, i int) int {
	depth := 0
	for {
		switch data[i] {
		case '"':
			i = skipString(data, i)
		case '{', '[':
			depth++
			i++
		case '}', ']':
			depth--
			i++
		case ' ', '\t', '\n', '\r', ',', ':':
			i++
		default: // a literal or a number
			for i < len(data) && !isDelimiter(data[i]) {
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}

// skipString returns the end of the string that begins at i, in bytes that may not be JSON at all.
func skipString(data []byte, i int) int {
	for i++; i < len(data) && data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func isDelimiter(c byte) bool {
	switch c {
	case ',', ':', '}', ']', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

// own is the value just read, as a part of data: what the decoder returns is only lent until its next call.
func own(data []byte, dec *jsontext.Decoder, read jsontext.Value) jsontext.Value {
	end := dec.InputOffset()
	return jsontext.Value(data[end-int64(len(read)) : end : end])
}

// within says whether objects and lists in data nest no deeper than limit. It counts before anything recurses, on bytes that may
// not be JSON at all; what it miscounts there, the decoder refuses.
func within(data []byte, limit int) bool {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = skipString(data, i) - 1
		case '{', '[':
			if depth++; depth > limit {
				return false
			}
		case '}', ']':
			depth--
		}
	}
	return true
}

// unquote returns what a checked JSON string stands for; without escapes that is a part of it, and nothing is copied.
func unquote(quoted jsontext.Value) ([]byte, error) {
	if len(quoted) < 2 || quoted[0] != '"' {
		return nil, malformed("want a string")
	}
	if inner := quoted[1 : len(quoted)-1]; bytes.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	text, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return nil, malformed("not a JSON string")
	}
	return text, nil
}

// text is the member's value, which must be a string.
func (m member) text() (string, error) {
	s, err := unquote(m.value)
	if err != nil {
		return "", malformed("%s: want a string", knownName(m.name))
	}
	return string(s), nil
}

// texts is the member's value, which must be a list of strings or, if alone is allowed, one string.
func (m member) texts(alone bool) ([]string, error) {
	if alone && m.value.Kind() == '"' {
		s, err := m.text()
		return []string{s}, err
	}
	if m.value.Kind() != '[' {
		return nil, malformed("%s: want a list of strings", knownName(m.name))
	}
	list := []string{}
	for _, v := range value(m.value).([]any) {
		s, ok := v.(string)
		if !ok {
			return nil, malformed("%s: want a list of strings", knownName(m.name))
		}
		list = append(list, s)
	}
	return list, nil
}

// knownName is for error texts: callers only ever ask for members that they name themselves, so it quotes nothing of a stranger.
func knownName(name []byte) string { return string(name) }

// value turns checked JSON into Go values: nil, bool, string, int64, uint64, float64, json.Number, []any, map[string]any.
func value(v jsontext.Value) any {
	switch v.Kind() {
	case 't':
		return true
	case 'f':
		return false
	case '"':
		s, _ := unquote(v)
		return string(s)
	case '0':
		return number(string(v))
	case '{', '[':
		return compound(jsontext.NewDecoder(bytes.NewBuffer(v), jsontext.AllowDuplicateNames(true))) // checked already
	}
	return nil
}

// compound reads the next value of checked JSON, the depth of which is bounded.
func compound(dec *jsontext.Decoder) any {
	t, err := dec.ReadToken()
	if err != nil { // can't be: the text was checked
		return nil
	}
	switch t.Kind() {
	case '[':
		list := []any{}
		for dec.PeekKind() != ']' {
			list = append(list, compound(dec))
		}
		_, _ = dec.ReadToken()
		return list
	case '{':
		object := map[string]any{}
		for dec.PeekKind() != '}' {
			name, _ := dec.ReadToken()
			key := name.String()
			object[key] = compound(dec)
		}
		_, _ = dec.ReadToken()
		return object
	case 't':
		return true
	case 'f':
		return false
	case '"':
		return t.String()
	case '0':
		return number(t.String())
	}
	return nil
}

// number keeps integers exact: int64 if the literal is an integer that fits, else uint64, other finite decimals float64, and
// anything else as it was written.
func number(literal string) any {
	if n, err := strconv.ParseInt(literal, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(literal, 10, 64); err == nil {
		return n
	}
	if !isInteger(literal) {
		if f, err := strconv.ParseFloat(literal, 64); err == nil {
			return f
		}
	}
	return json.Number(literal)
}

func isInteger(literal string) bool {
	for i := range len(literal) {
		if c := literal[i]; c != '-' && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
