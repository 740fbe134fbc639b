package revoke

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxAncestors is how many ancestor token ids a token may carry; more are refused, never cut.
const MaxAncestors = 16

// Lineage is what a revocation can name of a token's ancestors, and of the token itself its rule, session and family: the
// reserved claim lin. Each list is a sorted set. A Lineage is a value: its lists are never written to.
type Lineage struct {
	Tokens    []string // of ancestors: our jti, or an external token's id
	Rules     []string
	Clients   []string
	Kids      []string // of our signing keys
	Sessions  []string
	Families  []string
	Subjects  []string // broker subjects
	Upstreams []string // names

	// When the chain began, in unix seconds; 0 for a token without ancestors. A revocation that is limited in time ("issued at or before")
	// is held against the ancestor that bears the name, not against the descendant, which is always younger.
	Since int64 // the earliest iat of all ancestors, an external token's included
	Own   int64 // the earliest iat of those that are ours
}

// lists are the members of the claim in the order in which they are written.
func (l *Lineage) lists() [8]struct {
	name string
	ids  *[]string
} {
	return [...]struct {
		name string
		ids  *[]string
	}{
		{"tok", &l.Tokens}, {"rul", &l.Rules}, {"cli", &l.Clients}, {"kid", &l.Kids},
		{"ses", &l.Sessions}, {"fam", &l.Families}, {"sub", &l.Subjects}, {"ups", &l.Upstreams},
	}
}

// IsZero says that the lineage names nothing.
func (l Lineage) IsZero() bool {
	for _, list := range l.lists() {
		if len(*list.ids) > 0 {
			return false
		}
	}
	return l.Since == 0 && l.Own == 0
}

// times are the members of the claim that hold a time.
func (l *Lineage) times() [2]struct {
	name string
	at   *int64
} {
	return [...]struct {
		name string
		at   *int64
	}{{"iat", &l.Since}, {"own", &l.Own}}
}

// earliest of two times; 0 is none.
func earliest(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// Union returns what any of the lineages names. It wraps ErrTooManyAncestors where that is more than a token may carry.
func Union(all ...Lineage) (Lineage, error) {
	var sum Lineage
	into := sum.lists()
	for i := range all {
		for j, list := range all[i].lists() {
			*into[j].ids = merge(*into[j].ids, *list.ids)
		}
		sum.Since, sum.Own = earliest(sum.Since, all[i].Since), earliest(sum.Own, all[i].Own)
	}
	if n := len(sum.Tokens); n > MaxAncestors {
		return Lineage{}, fmt.Errorf("%w: %d, at most %d", ErrTooManyAncestors, n, MaxAncestors)
	}
	return sum, nil
}

// merge returns a sorted set of what is in a or b, without empty ids; a is such a set already. Neither is written to.
func merge(a, b []string) []string {
	grown := false
	for _, id := range b {
		at, found := slices.BinarySearch(a, id)
		if found || id == "" {
			continue
		}
		if !grown {
			a, grown = append(make([]string, 0, len(a)+len(b)), a...), true
		}
		a = slices.Insert(a, at, id)
	}
	return a
}

// ParseLineage reads the decoded claim lin of a token of ours; nil is the empty lineage. A member that it does not know is an
// error: a token that names more than this program can check must not pass.
func ParseLineage(claim any) (Lineage, error) {
	if claim == nil {
		return Lineage{}, nil
	}
	members, ok := claim.(map[string]any)
	if !ok {
		return Lineage{}, fmt.Errorf("lin: want an object, got %T", claim)
	}
	var l Lineage
	known := 0
	for _, list := range l.lists() {
		member, present := members[list.name]
		if !present {
			continue
		}
		known++
		values, ok := member.([]any)
		if !ok {
			return Lineage{}, fmt.Errorf("lin.%s: want a list, got %T", list.name, member)
		}
		ids := make([]string, len(values))
		for i, v := range values {
			if ids[i], ok = v.(string); !ok || ids[i] == "" {
				return Lineage{}, fmt.Errorf("lin.%s: want non-empty strings", list.name)
			}
		}
		slices.Sort(ids)
		*list.ids = slices.Compact(ids)
	}
	for _, t := range l.times() {
		member, present := members[t.name]
		if !present {
			continue
		}
		known++
		if *t.at, ok = member.(int64); !ok || *t.at <= 0 {
			return Lineage{}, fmt.Errorf("lin.%s: want seconds above 0", t.name)
		}
	}
	if known != len(members) {
		return Lineage{}, errors.New("lin: a member that is not known")
	}
	if n := len(l.Tokens); n > MaxAncestors {
		return Lineage{}, fmt.Errorf("lin.tok: %w: %d, at most %d", ErrTooManyAncestors, n, MaxAncestors)
	}
	return l, nil
}

// Facts are everything that a revocation can name of one token: its own names, "" where there is none, and its lineage.
type Facts struct {
	TokenID  string // jti of ours, id of an external one
	ClientID string
	Subject  string // broker subject
	Upstream string // name
	Kid      string // of our key that signed it; "" for an external one
	Lineage  Lineage
}

// own are the names that the token carries beside lin.
func (f Facts) own() Lineage {
	one := func(id string) []string {
		if id == "" {
			return nil
		}
		return []string{id}
	}
	return Lineage{Tokens: one(f.TokenID), Clients: one(f.ClientID), Subjects: one(f.Subject), Upstreams: one(f.Upstream), Kids: one(f.Kid)}
}

// Ancestry is what every descendant of the token, issued at iat, carries: its lineage, its own names, and when the chain began. It wraps
// ErrTooManyAncestors.
func (f Facts) Ancestry(iat time.Time) (Lineage, error) {
	own := f.own()
	own.Since = max(iat.Unix(), 1) // 0 would be none
	if f.Kid != "" {
		own.Own = own.Since
	}
	return Union(f.Lineage, own)
}

// AppendLineage appends the claim lin of the token as JSON. Names that the token carries in other claims are left out: who
// opens it finds them there. An id that is not UTF-8 is an error.
func (f Facts) AppendLineage(dst []byte) ([]byte, error) {
	// In the order of lists. An ancestor's client stays even if it is the token's own, too: a revocation is held against each in its time.
	carried := [...]string{f.TokenID, "", "", f.Kid, "", "", f.Subject, f.Upstream}
	separator := byte('{')
	start := len(dst)
	for i, list := range f.Lineage.lists() {
		var err error
		within := byte('[')
		for _, id := range *list.ids {
			if id == carried[i] {
				continue
			}
			if within == '[' {
				dst = append(append(append(dst, separator, '"'), list.name...), `":`...)
				separator = ','
			}
			if dst, err = jsontext.AppendQuote(append(dst, within), id); err != nil {
				return nil, fmt.Errorf("lin.%s: %w", list.name, err)
			}
			within = ','
		}
		if within == ',' {
			dst = append(dst, ']')
		}
	}
	for _, t := range f.Lineage.times() {
		if *t.at != 0 {
			dst = append(append(append(dst, separator, '"'), t.name...), `":`...)
			dst = strconv.AppendInt(dst, *t.at, 10)
			separator = ','
		}
	}
	if len(dst) == start {
		dst = append(dst, '{')
	}
	return append(dst, '}'), nil
}
