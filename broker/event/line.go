package event

import (
	"strconv"
	"time"
	"unicode/utf8"

	"fedbroker/store/journal"
)

// AppendJSON appends the event as the payload of a journal line: one JSON object on one line, absent members left out. It is
// both the audit event and the lineage edge: from each of parents, by rule and client_id, to jti. The version of the form is the
// journal's own member. The peer's address and the private cause are the log's alone: a chain that cannot be edited should not
// hold them.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"kind":"`...)
	dst = append(dst, e.Kind...)
	dst = append(dst, `","outcome":"`...)
	dst = append(dst, e.Outcome...)
	dst = append(dst, '"')
	dst = appendText(dst, "decision_id", e.DecisionID)
	dst = appendText(dst, "grant", e.Grant)
	dst = appendText(dst, "code", string(e.Code))
	dst = appendText(dst, "reason", string(e.Reason))
	dst = appendText(dst, "client_id", e.ClientID)
	dst = appendText(dst, "upstream", e.Upstream)
	dst = appendText(dst, "rule", e.Rule)
	dst = appendList(dst, "audit_rules", e.Audits)
	if e.Subject.MAC != "" {
		dst = append(dst, `,"subject":`...)
		dst = e.Subject.AppendJSON(dst)
	}
	dst = appendActors(dst, e.Actors)
	dst = appendText(dst, "actor_upstream", e.ActorFrom)
	dst = appendList(dst, "audiences", e.Audiences)
	dst = appendList(dst, "scopes", e.Scopes)
	dst = appendText(dst, "token_type", e.TokenType)
	if e.Bound {
		dst = append(dst, `,"cnf":true`...)
	}
	dst = appendText(dst, "jti", e.TokenID)
	dst = appendText(dst, "id_token_jti", e.IDTokenID)
	dst = appendText(dst, "sid", e.SessionID)
	dst = appendText(dst, "kid", e.KeyID)
	dst = appendList(dst, "parents", e.Parents)
	dst = appendList(dst, "claims", e.Claims)
	dst = appendTime(dst, "iat", e.Issued)
	dst = appendTime(dst, "exp", e.Expires)
	if e.Target.Kind != "" {
		dst = append(dst, `,"target":{"kind":`...)
		dst = appendString(dst, e.Target.Kind)
		dst = appendText(dst, "id", e.Target.ID)
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func appendName(dst []byte, name string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	return append(dst, '"', ':')
}

func appendText(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(appendName(dst, name), value)
}

func appendList(dst []byte, name string, values []string) []byte {
	if len(values) == 0 {
		return dst
	}
	dst = append(appendName(dst, name), '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, v)
	}
	return append(dst, ']')
}

func appendActors(dst []byte, actors []journal.Subject) []byte {
	if len(actors) == 0 {
		return dst
	}
	dst = append(appendName(dst, "actors"), '[')
	for i, actor := range actors {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = actor.AppendJSON(dst)
	}
	return append(dst, ']')
}

func appendTime(dst []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	return strconv.AppendInt(appendName(dst, name), t.Unix(), 10)
}

// appendString appends a JSON string (RFC 8259 §7). Bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
			i++
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, size := utf8.DecodeRuneInString(s[i:]) // RuneError is U+FFFD
			dst = utf8.AppendRune(dst, r)
			i += size
		}
	}
	return append(dst, '"')
}
