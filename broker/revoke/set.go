package revoke

import (
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"sync/atomic"
	"time"
)

// shards is how many parts the ids of one kind are kept in. A part is replaced as a whole when it is written, so that readers
// need no lock: with 10⁵ entries a revocation copies some 400.
const shards = 256

// entry says that tokens issued at or before a second are dead, and until when anyone can hold one.
type entry struct {
	before, until int64 // unix seconds
}

// names are the revoked ids of one kind.
type names struct {
	count atomic.Int64 // 0 spares the look-up: most kinds are empty most of the time
	parts [shards]atomic.Pointer[map[string]entry]
}

// revoked says whether a token that was issued at iat is dead by this id.
func (n *names) revoked(seed maphash.Seed, id string, iat int64) bool {
	if id == "" || n.count.Load() == 0 {
		return false
	}
	part := n.parts[maphash.String(seed, id)%shards].Load()
	if part == nil {
		return false
	}
	e, found := (*part)[id]
	return found && e.before >= iat
}

func (n *names) get(seed maphash.Seed, id string) (entry, bool) {
	part := n.parts[maphash.String(seed, id)%shards].Load()
	if part == nil {
		return entry{}, false
	}
	e, found := (*part)[id]
	return e, found
}

// put takes entries in. Of two for one id the wider holds, in both of its ends: an earlier revocation is never undone by a
// later one. The caller is the only writer.
func (n *names) put(seed maphash.Seed, all map[string]entry) {
	fresh := make(map[uint64]map[string]entry)
	for id, e := range all {
		at := maphash.String(seed, id) % shards
		part := fresh[at]
		if part == nil {
			if old := n.parts[at].Load(); old != nil {
				part = maps.Clone(*old)
			} else {
				part = make(map[string]entry)
			}
			fresh[at] = part
		}
		old, found := part[id]
		if !found {
			n.count.Add(1)
		}
		part[id] = entry{before: max(e.before, old.before), until: max(e.until, old.until)}
	}
	for at, part := range fresh {
		n.parts[at].Store(&part)
	}
}

// sweep forgets what nobody can hold a token of any more. The caller is the only writer.
func (n *names) sweep(now int64) {
	if n.count.Load() == 0 {
		return
	}
	for i := range n.parts {
		old := n.parts[i].Load()
		if old == nil {
			continue
		}
		part := maps.Clone(*old)
		maps.DeleteFunc(part, func(_ string, e entry) bool { return e.until <= now })
		if gone := len(*old) - len(part); gone > 0 {
			n.parts[i].Store(&part)
			n.count.Add(int64(-gone))
		}
	}
}

// Check says whether a token is dead: ErrRevoked if any of its facts is revoked with a time at or after the iat of the token that
// bears it, ErrStale if the set is too old to tell. Where the lineage knows only when the chain began, that counts: rather one
// token too many. It takes no lock and reads no store.
func (s *Set) Check(f Facts, iat time.Time) error {
	if err := s.Fresh(); err != nil {
		return err
	}
	cause, dead := s.Cause(f, iat)
	switch {
	case !dead:
		return nil
	case cause.Inherited:
		return fmt.Errorf("%w: a %s of its lineage", ErrRevoked, cause.Kind)
	default:
		return fmt.Errorf("%w: its %s", ErrRevoked, cause.Kind)
	}
}

// Cause is a revocation that a token is dead by.
type Cause struct {
	Kind      Kind
	ID        string
	Inherited bool // by its lineage, not by a name of its own
}

// Cause finds the revocation that a token is dead by, if there is one, whether or not the set is up to date.
func (s *Set) Cause(f Facts, iat time.Time) (Cause, bool) {
	for _, one := range f.names(iat) {
		if s.names[one.kind].revoked(s.seed, one.id, one.at) {
			return Cause{kinds[one.kind], one.id, false}, true
		}
	}
	for _, many := range f.inherited(iat) {
		for _, id := range many.ids {
			if s.names[many.kind].revoked(s.seed, id, many.at) {
				return Cause{kinds[many.kind], id, true}, true
			}
		}
	}
	return Cause{}, false
}

// Kills tells whether a revocation of id, of tokens issued at or before a time, would kill the token.
func Kills(kind Kind, id string, before time.Time, f Facts, iat time.Time) bool {
	hits := func(place int, at int64) bool {
		return kinds[place] == kind && (kind.unique() || before.Unix() >= at)
	}
	for _, one := range f.names(iat) {
		if one.id == id && hits(one.kind, one.at) {
			return true
		}
	}
	for _, many := range f.inherited(iat) {
		if slices.Contains(many.ids, id) && hits(many.kind, many.at) {
			return true
		}
	}
	return false
}

// names are the token's own names, each with the time that a revocation of it is held against.
func (f *Facts) names(iat time.Time) [5]struct {
	kind int
	id   string
	at   int64
} {
	at := iat.Unix()
	since := earliest(at, f.Lineage.Since)
	return [...]struct {
		kind int
		id   string
		at   int64
	}{{atToken, f.TokenID, at}, {atKey, f.Kid, at}, {atClient, f.ClientID, at}, {atSubject, f.Subject, since}, {atUpstream, f.Upstream, since}}
}

// inherited are the names in the token's lineage, likewise.
func (f *Facts) inherited(iat time.Time) [8]struct {
	kind int
	ids  []string
	at   int64
} {
	l, at := &f.Lineage, iat.Unix()
	since, own := earliest(at, l.Since), earliest(at, l.Own)
	return [...]struct {
		kind int
		ids  []string
		at   int64
	}{
		{atToken, l.Tokens, at}, {atRule, l.Rules, own}, {atClient, l.Clients, own}, {atKey, l.Kids, at},
		{atSession, l.Sessions, at}, {atFamily, l.Families, at}, {atSubject, l.Subjects, since}, {atUpstream, l.Upstreams, since},
	}
}

// Fresh returns ErrStale if the set was last up to date longer than MaxStale ago.
func (s *Set) Fresh() error {
	if age := s.now().Sub(*s.seen.Load()); age > s.o.MaxStale {
		return fmt.Errorf("%w: last up to date %v ago, at most %v", ErrStale, age.Round(time.Millisecond), s.o.MaxStale)
	}
	return nil
}

// Len is how many revocations are in memory.
func (s *Set) Len() int {
	var n int64
	for i := range s.names {
		n += s.names[i].count.Load()
	}
	return int(n)
}
