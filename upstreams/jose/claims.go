package jose

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"
)

// What a Claims reader returns wraps one of these.
var (
	// ErrAbsent: the token does not hold the claim.
	ErrAbsent = errors.New("claim absent")
	// ErrClaim: the claim is there and not what it must be.
	ErrClaim = errors.New("claim not as it must be")
)

// maxTime is the last second of the year 9999, as RFC 3339 can write it. A NumericDate lies in 0 … maxTime.
const maxTime = 253402300799

// maxTimeLiteral is more than any encoder spends on one in range.
const maxTimeLiteral = 32

// logoutEvent is the member of events that makes a logout token (OpenID Connect Back-Channel Logout §2.4).
const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// readPayload checks the whole payload and takes out what routing needs.
func (u *Unverified) readPayload(data []byte) error {
	var err error
	if u.members, err = parseObject(data); err != nil {
		return err
	}
	for _, m := range u.members {
		switch string(m.name) {
		case "iss":
			u.issuer, err = m.text()
		case "aud":
			u.audience, err = m.texts(true)
		case "events":
			u.markers |= MarkerEvents
			if events, ok := value(m.value).(map[string]any); ok {
				if _, ok := events[logoutEvent]; ok {
					u.markers |= MarkerLogout
				}
			}
		case "htm", "htu":
			u.markers |= MarkerDPoP
		case "nonce":
			u.markers |= MarkerNonce
		case "act":
			u.markers |= MarkerActor
		case "may_act":
			u.markers |= MarkerMayAct
		case "cnf":
			u.markers |= MarkerConfirmation
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Selection is a set of top-level claim names, made once at load: only they are turned into Go values. A nil Selection holds all.
type Selection struct{ names map[string]struct{} }

// NewSelection makes a Selection of names.
func NewSelection(names ...string) *Selection {
	s := &Selection{names: make(map[string]struct{}, len(names))}
	for _, n := range names {
		s.names[n] = struct{}{}
	}
	return s
}

// Holds says whether name is selected.
func (s *Selection) Holds(name string) bool {
	if s == nil {
		return true
	}
	_, ok := s.names[name]
	return ok
}

// Names lists the selected names in order; nil for a nil Selection.
func (s *Selection) Names() []string {
	if s == nil {
		return nil
	}
	names := make([]string, 0, len(s.names))
	for n := range s.names {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Claims are those of a verified token. The typed readers see every claim, selected or not. Names are compared exactly.
type Claims struct {
	members  []member
	selected map[string]any
}

// Map is the selected claims as Go values: nil, bool, string, int64, uint64, float64, json.Number, []any, map[string]any. An
// integer that fits is int64, else uint64; another finite decimal float64; any other number json.Number. It is the caller's own.
func (c Claims) Map() map[string]any { return c.selected }

// Clone is Map for one of several readers: it is the caller's own, at every depth.
func (c Claims) Clone() map[string]any {
	out := make(map[string]any, len(c.members))
	for _, m := range c.members {
		out[string(m.name)] = value(m.value)
	}
	return out
}

// Has says whether the token holds the claim, whatever its value.
func (c Claims) Has(name string) bool {
	_, ok := c.find(name)
	return ok
}

// Value is any claim as a Go value, as in Map; nil when it is absent.
func (c Claims) Value(name string) any {
	m, ok := c.find(name)
	if !ok {
		return nil
	}
	return value(m.value)
}

// String is a claim that must be a string. ErrAbsent or ErrClaim.
func (c Claims) String(name string) (string, error) {
	m, ok := c.find(name)
	if !ok {
		return "", absent(name)
	}
	s, err := m.text()
	if err != nil {
		return "", wrong(name, "want a string")
	}
	return s, nil
}

// StringList is a claim that must be a string, which counts as a list of one, or a list of strings. ErrAbsent or ErrClaim.
func (c Claims) StringList(name string) ([]string, error) {
	m, ok := c.find(name)
	if !ok {
		return nil, absent(name)
	}
	list, err := m.texts(true)
	if err != nil {
		return nil, wrong(name, "want a string or a list of strings")
	}
	return list, nil
}

// Time is a claim that must be a NumericDate (RFC 7519 §2) of whole seconds between 1970 and 9999. A number is judged by its value, so
// 1.7e9 is one; a string is none, nor is a fraction. ErrAbsent or ErrClaim.
func (c Claims) Time(name string) (time.Time, error) {
	m, ok := c.find(name)
	if !ok {
		return time.Time{}, absent(name)
	}
	if m.value.Kind() != '0' {
		return time.Time{}, wrong(name, "want a number")
	}
	seconds, ok := wholeSeconds(string(m.value))
	if !ok {
		return time.Time{}, wrong(name, "want whole seconds in range")
	}
	return time.Unix(seconds, 0), nil
}

// wholeSeconds is a JSON number's value if that is an integer in range. Numbers with a fraction or exponent are compared exactly, but
// only after their float says that they are of a size at which that is cheap.
func wholeSeconds(literal string) (int64, bool) {
	if n, err := strconv.ParseInt(literal, 10, 64); err == nil {
		return n, 0 <= n && n <= maxTime
	}
	f, err := strconv.ParseFloat(literal, 64)
	if err != nil || f < 1 || f > maxTime || len(literal) > maxTimeLiteral {
		return 0, false
	}
	exact, ok := new(big.Rat).SetString(literal)
	if !ok || !exact.IsInt() {
		return 0, false
	}
	return exact.Num().Int64(), true
}

func (c Claims) find(name string) (member, bool) {
	for _, m := range c.members {
		if string(m.name) == name {
			return m, true
		}
	}
	return member{}, false
}

// absentError names an absent claim. Most tokens lack some optional claim, so it is made often and must cost little: its text only when
// someone reads it.
type absentError string

func (e absentError) Error() string { return ErrAbsent.Error() + ": " + string(e) }
func (absentError) Unwrap() error   { return ErrAbsent }

func absent(name string) error            { return absentError(name) }
func wrong(name string, why string) error { return fmt.Errorf("%w: %s: %s", ErrClaim, name, why) }

// ParseClaims reads claims that no token carries: a userinfo answer, or what was kept of a login. As strict as Parse.
func ParseClaims(data []byte) (Claims, error) {
	members, err := parseObject(data)
	if err != nil {
		return Claims{}, err
	}
	c := Claims{members: members, selected: make(map[string]any, len(members))}
	for _, m := range members {
		c.selected[string(m.name)] = value(m.value)
	}
	return c, nil
}
