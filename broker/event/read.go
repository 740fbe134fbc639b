package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/store/journal"
)

// line is the form that AppendJSON writes.
type line struct {
	Kind       Kind         `json:"kind"`
	Outcome    Outcome      `json:"outcome"`
	DecisionID string       `json:"decision_id"`
	Grant      string       `json:"grant"`
	Code       oauth.Code   `json:"code"`
	Reason     oauth.Reason `json:"reason"`
	ClientID   string       `json:"client_id"`
	Upstream   string       `json:"upstream"`
	Rule       string       `json:"rule"`
	Audits     []string     `json:"audit_rules"`
	Subject    named        `json:"subject"`
	Actors     []named      `json:"actors"`
	ActorFrom  string       `json:"actor_upstream"`
	Audiences  []string     `json:"audiences"`
	Scopes     []string     `json:"scopes"`
	TokenType  string       `json:"token_type"`
	Bound      bool         `json:"cnf"`
	TokenID    string       `json:"jti"`
	IDTokenID  string       `json:"id_token_jti"`
	SessionID  string       `json:"sid"`
	KeyID      string       `json:"kid"`
	Parents    []string     `json:"parents"`
	Claims     []string     `json:"claims"`
	Issued     int64        `json:"iat"`
	Expires    int64        `json:"exp"`
	Target     struct {
		Kind string `json:"kind"`
		ID   string `json:"id"`
	} `json:"target"`
}

type named struct {
	MAC    string `json:"mac"`
	Sealed string `json:"sealed"`
}

// ParseLine reads the data of a journal line. What AppendJSON leaves out is zero.
func ParseLine(data []byte) (*Event, error) {
	var l line
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("event: %w", err)
	}
	e := &Event{
		Kind: l.Kind, Outcome: l.Outcome, DecisionID: l.DecisionID, Grant: l.Grant, Code: l.Code, Reason: l.Reason, ClientID: l.ClientID,
		Upstream: l.Upstream, Rule: l.Rule, Audits: l.Audits, Subject: journal.Subject(l.Subject), ActorFrom: l.ActorFrom, Audiences: l.Audiences,
		Scopes: l.Scopes, TokenType: l.TokenType, Bound: l.Bound, TokenID: l.TokenID, IDTokenID: l.IDTokenID, SessionID: l.SessionID, KeyID: l.KeyID,
		Parents: l.Parents, Claims: l.Claims, Issued: moment(l.Issued), Expires: moment(l.Expires), Target: Target(l.Target),
	}
	for _, actor := range l.Actors {
		e.Actors = append(e.Actors, journal.Subject(actor))
	}
	return e, nil
}

func moment(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0)
}

// NamesScheme names what LineNames does.
const NamesScheme = "lineage-1"

// The beginnings of lines that issue something.
const (
	issuedToken = `{"kind":"` + string(KindToken) + `","outcome":"` + string(OutcomeDone) + `"`
	issuedLogin = `{"kind":"` + string(KindLogin) + `","outcome":"` + string(OutcomeDone) + `"`
)

// LineNames calls name with the names of the lineage in a line that issues something: what was issued, what it was made from, and of a login its
// session, too. It returns when an issued token expires. Lines of anything else have no names. It does not read the line as JSON: inside a string
// a quotation mark is escaped, so that no value can be taken for a member.
func LineNames(data []byte, name func([]byte)) (until time.Time) {
	token := bytes.HasPrefix(data, []byte(issuedToken))
	if !token && !bytes.HasPrefix(data, []byte(issuedLogin)) {
		return time.Time{}
	}
	one := func(member string) {
		if _, rest, found := bytes.Cut(data, []byte(member)); found {
			_ = firstString(rest, name)
		}
	}
	one(`,"jti":`)
	if !token {
		one(`,"sid":`)
		return time.Time{}
	}
	one(`,"id_token_jti":`)
	_, rest, _ := bytes.Cut(data, []byte(`,"parents":[`))
	for more := true; more; {
		rest = firstString(rest, name)
		rest, more = bytes.CutPrefix(rest, []byte{','})
	}
	if _, rest, found := bytes.Cut(data, []byte(`,"exp":`)); found {
		digits, _, _ := bytes.Cut(rest, []byte{'}'})
		digits, _, _ = bytes.Cut(digits, []byte{','})
		if n, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
			until = time.Unix(n, 0)
		}
	}
	return until
}

// firstString calls name with the string that rest begins with, and returns what follows it; nil if there is no string.
func firstString(rest []byte, name func([]byte)) []byte {
	if len(rest) == 0 || rest[0] != '"' {
		return nil
	}
	end := 1
	for end < len(rest) && rest[end] != '"' {
		if rest[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(rest) {
		return nil
	}
	value := rest[1:end]
	if bytes.IndexByte(value, '\\') >= 0 {
		var plain string
		if json.Unmarshal(rest[:end+1], &plain) != nil {
			return nil
		}
		value = []byte(plain)
	}
	name(value)
	return rest[end+1:]
}
