package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/lineage"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
)

// Revocation is what to revoke.
type Revocation struct {
	Kind   string    `json:"kind"` // token, session, family, client, subject, upstream, rule, kid
	ID     string    `json:"id"`
	Before time.Time `json:"before,omitzero"` // tokens issued until then [now]; of no effect for kinds whose ids never come back
}

// leastKeep is longer than any token of ours lives, and than nearly any of an upstream, which could else be exchanged anew after a revocation of
// it is forgotten. Refresh families and sessions may live longer yet: Options.Keep.
const leastKeep = 30 * 24 * time.Hour

const maxRevocationID = 512

// check judges the operator's words.
func (r *Revocation) check(now time.Time) (revoke.Kind, error) {
	kind, err := revoke.ParseKind(r.Kind)
	switch {
	case err != nil:
		return "", badAct("%v", err)
	case r.ID == "" || len(r.ID) > maxRevocationID:
		return "", badAct("want an id of 1 to %d bytes, got %d", maxRevocationID, len(r.ID))
	case r.Before.After(now):
		return "", badAct("want a time until now, got %s", r.Before.UTC().Format(time.RFC3339))
	}
	return kind, nil
}

// Revoke makes tokens inactive: the ones that r names, and all that descend from them. A session or a refresh family ends in its own record, too.
func (o *Operator) Revoke(ctx context.Context, r Revocation) error {
	kind, err := r.check(o.o.Now())
	if err != nil {
		return err
	}
	if kind == revoke.KindSession {
		s, err := o.o.Sessions.SessionByID(ctx, r.ID)
		if err == nil {
			return o.end(ctx, s)
		}
		if !errors.Is(err, session.ErrNone) { // one that is over may still have given tokens that live
			return fmt.Errorf("sessions: %w", err)
		}
	}
	if err := o.o.Revoked.Revoke(ctx, kind, r.ID, r.Before, o.o.Now().Add(o.o.Keep)); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	if kind == revoke.KindFamily {
		if err := o.endFamily(ctx, r.ID); err != nil {
			return fmt.Errorf("revoked, but the family's own record does not say so: %w", err)
		}
	}
	e := event.Event{Kind: event.KindOperatorRevoke, Target: event.Target{Kind: r.Kind, ID: r.ID}}
	if kind == revoke.KindSubject { // the journal holds no names (P48)
		if e.Subject, err = o.o.Record.Subject(ctx, r.ID); err != nil {
			return fmt.Errorf("revoked, but the journal does not say so: %w", err)
		}
		e.Target.ID = ""
	}
	return o.done(ctx, e)
}

// endFamily marks the grant, if there is one: what refreshes it is told so for as long as the record is there.
func (o *Operator) endFamily(ctx context.Context, id string) error {
	_, err := o.o.Sessions.Grant(ctx, id)
	if errors.Is(err, session.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	return o.o.Sessions.EndGrant(ctx, id)
}

// Touched counts the live tokens that Revoke would make inactive.
func (o *Operator) Touched(ctx context.Context, r Revocation) (lineage.Touched, error) {
	kind, err := r.check(o.o.Now())
	if err != nil {
		return lineage.Touched{}, err
	}
	if o.o.Lineage == nil {
		return lineage.Touched{}, errNoJournal
	}
	ids := []string{r.ID}
	if kind == revoke.KindSession { // those that it took over end with it
		s, err := o.o.Sessions.SessionByID(ctx, r.ID)
		if err != nil && !errors.Is(err, session.ErrNone) {
			return lineage.Touched{}, fmt.Errorf("sessions: %w", err)
		}
		ids = append(ids, s.Former...)
	}
	var sum lineage.Touched
	for _, id := range ids {
		one, err := o.o.Lineage.Touched(ctx, kind, id, r.Before)
		if err != nil {
			return lineage.Touched{}, err
		}
		sum.Tokens, sum.AtLeast = sum.Tokens+one.Tokens, sum.AtLeast || one.AtLeast
	}
	return sum, nil
}

// Lineage reads what a token was made from and what was made from it.
func (o *Operator) Lineage(ctx context.Context, q lineage.Query) (lineage.Tree, error) {
	switch {
	case q.ID == "" || len(q.ID) > maxRevocationID:
		return lineage.Tree{}, badAct("want an id of 1 to %d bytes, got %d", maxRevocationID, len(q.ID))
	case q.Limit < 0 || q.Limit > lineage.MaxNodes:
		return lineage.Tree{}, badAct("want a limit of 1 to %d, got %d", lineage.MaxNodes, q.Limit)
	case o.o.Lineage == nil:
		return lineage.Tree{}, errNoJournal
	}
	t, err := o.o.Lineage.Tree(ctx, q)
	if errors.Is(err, lineage.ErrUnknown) {
		return t, badAct("no line of this journal names a token or login %q", q.ID)
	}
	return t, err
}

var errNoJournal = errors.New("the journal cannot be read back")
