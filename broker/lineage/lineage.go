// Package lineage reads from the journal what came of what: the token or login that a token was made from, what was made from it, and how many
// live tokens a revocation would touch. The journal tells what was issued; the revocation set, by the same check that every token is held to,
// tells what is still good.
package lineage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/store"
	"fedbroker/store/journal"
	"fedbroker/store/journal/index"
)

// Subjects opens the names of persons and workloads that lines hold sealed; *journal.Subjects is one.
type Subjects interface {
	Reveal(ctx context.Context, named journal.Subject) (string, error)
	Find(ctx context.Context, subject string) (mac string, err error)
}

// Grants knows what people let clients have; *session.Store is one.
type Grants interface {
	Grant(ctx context.Context, id string) (session.Grant, error)
}

// Options describe a Reader. All are required.
type Options struct {
	Dir      string // of the journal
	Subjects Subjects
	Grants   Grants
	Revoked  *revoke.Set
	Now      func() time.Time
}

// Reader reads lineages. It may be used by many at once, while the journal is written.
type Reader struct {
	o     Options
	lines *index.Index
}

// New returns a reader. It reads nothing yet.
func New(o Options) *Reader {
	return &Reader{o, index.New(index.Options{Dir: o.Dir, Names: event.LineNames, Scheme: event.NamesScheme})}
}

// ErrUnknown: no line names the id.
var ErrUnknown = errors.New("the journal names no such token or login")

// maxDepth is how far up a walk goes: a token has at most revoke.MaxAncestors of them, so that a longer way is that of a journal which is not ours.
const maxDepth = 2 * revoke.MaxAncestors

// walk is one look at the journal, with what it has seen.
type walk struct {
	*Reader
	now      time.Time
	origins  map[string]*event.Event // by id; nil: no line issued it
	facts    map[string]known
	subjects map[string]string // by MAC; "" is erased
}

// maxKnown bounds what a walk remembers; beyond it, it begins anew.
const maxKnown = 100_000

func (r *Reader) walk() *walk {
	return &walk{r, r.o.Now(), make(map[string]*event.Event), make(map[string]known), make(map[string]string)}
}

// known is what a revocation can name of a token or a login.
type known struct {
	facts revoke.Facts
	iat   time.Time
}

// origin is the line that issued id; nil if there is none, as for an external token.
func (w *walk) origin(ctx context.Context, id string) (found *event.Event, err error) {
	if e, seen := w.origins[id]; seen {
		return e, nil
	}
	err = w.each(ctx, id, func(e *event.Event) bool {
		if issues(e, id) {
			found = e
		}
		return found == nil
	})
	if err != nil {
		return nil, err
	}
	if len(w.origins) >= maxKnown {
		clear(w.origins)
	}
	w.origins[id] = found
	return found, nil
}

func issues(e *event.Event, id string) bool { return e.TokenID == id || e.IDTokenID == id }

// children calls each with the lines of what was made from id, in the order in which it was made.
func (w *walk) children(ctx context.Context, id string, each func(*event.Event) bool) error {
	return w.each(ctx, id, func(e *event.Event) bool { return !slices.Contains(e.Parents, id) || each(e) })
}

// logins are the grants that a session gave, but for those that outlive it.
func (w *walk) logins(ctx context.Context, sid string) (ids []string, err error) {
	err = w.each(ctx, sid, func(e *event.Event) bool {
		if e.Kind == event.KindLogin && e.SessionID == sid && !offline(e) {
			ids = append(ids, e.TokenID)
		}
		return len(ids) < maxCounted
	})
	return ids, err
}

// offline tells of a login whether its grant outlives the session.
func offline(e *event.Event) bool { return slices.Contains(e.Scopes, oauth.ScopeOfflineAccess) }

// each calls f with the events that name id, until it returns false.
func (w *walk) each(ctx context.Context, id string, f func(*event.Event) bool) error {
	var bad error
	err := w.lines.Find(ctx, id, born(id), func(l journal.Line) bool {
		var e *event.Event
		if e, bad = event.ParseLine(l.Data); bad != nil {
			bad = fmt.Errorf("line %d: %w", l.Seq, bad)
			return false
		}
		return f(e)
	})
	return errors.Join(err, bad)
}

// known gathers what a revocation can name of id, from its line and those of its ancestors, as the token itself carries it.
func (w *walk) known(ctx context.Context, id string, depth int) (known, error) {
	if k, seen := w.facts[id]; seen {
		return k, nil
	}
	e, err := w.origin(ctx, id)
	if err != nil {
		return known{}, err
	}
	if depth > maxDepth {
		return known{}, fmt.Errorf("more than %d generations above a token: not a lineage of ours", maxDepth)
	}
	k, err := w.gather(ctx, e, id, depth)
	if err != nil {
		return known{}, err
	}
	if len(w.facts) >= maxKnown {
		clear(w.facts)
	}
	w.facts[id] = k
	return k, nil
}

func (w *walk) gather(ctx context.Context, e *event.Event, id string, depth int) (known, error) {
	if e == nil {
		return known{facts: revoke.Facts{TokenID: id}}, nil
	}
	subject, err := w.subject(ctx, e.Subject)
	if err != nil {
		return known{}, err
	}
	if e.Kind == event.KindLogin {
		l := revoke.Lineage{Families: list(id), Clients: list(e.ClientID), Subjects: list(subject), Upstreams: list(e.Upstream), Since: e.Issued.Unix(), Own: e.Issued.Unix()}
		if !offline(e) {
			l.Sessions = list(e.SessionID)
		}
		return known{revoke.Facts{Lineage: l}, e.Issued}, nil
	}
	k := known{revoke.Facts{TokenID: id, ClientID: e.ClientID, Subject: subject, Upstream: e.Upstream, Kid: e.KeyID}, e.Issued}
	if id == e.IDTokenID {
		k.facts.Kid = "" // the line names the access token's
	}
	above := []revoke.Lineage{{Rules: list(e.Rule)}}
	for i, parent := range e.Parents {
		l, err := w.ancestry(ctx, e, i, parent, depth)
		if err != nil {
			return known{}, err
		}
		above = append(above, l)
	}
	k.facts.Lineage, err = revoke.Union(above...)
	return k, err
}

// ancestry is what a parent leaves to e. Of an external one only e's line tells.
func (w *walk) ancestry(ctx context.Context, e *event.Event, i int, parent string, depth int) (revoke.Lineage, error) {
	k, err := w.known(ctx, parent, depth+1)
	if err != nil {
		return revoke.Lineage{}, err
	}
	if k.iat.IsZero() {
		if k.facts.Subject, k.facts.Upstream, err = w.external(ctx, e, i); err != nil {
			return revoke.Lineage{}, err
		}
		k.iat = e.Issued // it is older, which no line tells
	}
	if k.facts.TokenID == "" { // a login: its lineage is all that it leaves
		return k.facts.Lineage, nil
	}
	return k.facts.Ancestry(k.iat)
}

// external tells whose token the i-th parent of e is, if it is none of ours: the first is the subject's, others are the actor's.
func (w *walk) external(ctx context.Context, e *event.Event, i int) (subject, upstream string, err error) {
	if i == 0 {
		subject, err = w.subject(ctx, e.Subject)
		return subject, e.Upstream, err
	}
	if len(e.Actors) > 0 {
		subject, err = w.subject(ctx, e.Actors[0])
	}
	return subject, e.ActorFrom, err
}

// subject is the name behind what a line holds; "" for none, and for one that was erased.
func (w *walk) subject(ctx context.Context, named journal.Subject) (string, error) {
	if named.MAC == "" {
		return "", nil
	}
	if s, seen := w.subjects[named.MAC]; seen {
		return s, nil
	}
	s, err := w.o.Subjects.Reveal(ctx, named)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	if len(w.subjects) >= maxKnown {
		clear(w.subjects)
	}
	w.subjects[named.MAC] = s
	return s, nil
}

// born is a time before which no line names the id: ours begin with the second in which they were made (store.NewKey). Others have none.
func born(id string) time.Time {
	const slack = time.Hour // a clock may have been set back in between
	if !store.TimeLed(id) {
		return time.Time{}
	}
	seconds, err := strconv.ParseInt(id[:8], 16, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0).Add(-slack)
}

func list(id string) []string {
	if id == "" {
		return nil
	}
	return []string{id}
}
