package lineage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/revoke"
	"fedbroker/store/journal"
)

// Touched is how many live tokens a revocation touches: those that it makes inactive, of ours, not expired, not revoked before.
type Touched struct {
	Tokens  int  `json:"tokens"`
	AtLeast bool `json:"at_least,omitempty"` // counting stopped there
}

// Touched counts what a revocation of id would touch, of what was issued at or before a time; zero is now.
func (r *Reader) Touched(ctx context.Context, kind revoke.Kind, id string, before time.Time) (Touched, error) {
	c := count{walk: r.walk(), kind: kind, id: id, before: before, under: make(map[string]bool)}
	var err error
	switch kind {
	case revoke.KindToken:
		err = c.below(ctx, id)
	case revoke.KindFamily:
		err = c.below(ctx, id)
	case revoke.KindSession:
		var logins []string
		if logins, err = c.logins(ctx, id); err == nil {
			err = c.below(ctx, logins...)
		}
	default:
		err = c.scan(ctx)
	}
	if err != nil && !errors.Is(err, errEnough) {
		return Touched{}, fmt.Errorf("lineage: %w", err)
	}
	return c.sum, nil
}

var errEnough = errors.New("counted enough")

// count is a counting under way.
type count struct {
	*walk
	kind   revoke.Kind
	id     string
	before time.Time
	mac    string          // of the subject
	under  map[string]bool // tokens that bear the name, or descend from one that does
	sum    Touched
}

// below counts what descends from ids, and, of tokens, these themselves.
func (c *count) below(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		e, err := c.origin(ctx, id)
		if err != nil {
			return err
		}
		c.under[id] = true
		if e != nil && e.Kind == event.KindToken {
			if err := c.add(ctx, id, e); err != nil {
				return err
			}
		}
	}
	for queue := ids; len(queue) > 0; queue = queue[1:] {
		var bad error
		err := c.children(ctx, queue[0], func(e *event.Event) bool {
			for _, child := range []string{e.TokenID, e.IDTokenID} {
				if child == "" || c.under[child] {
					continue
				}
				c.under[child] = true
				queue = append(queue, child)
				if child == e.TokenID && bad == nil {
					bad = c.add(ctx, child, e)
				}
			}
			return bad == nil
		})
		if err := errors.Join(err, bad); err != nil {
			return err
		}
	}
	return nil
}

// scan reads all lines of tokens that may live, in order, so that parents come before children.
func (c *count) scan(ctx context.Context) error {
	wanted := c.id
	if c.kind == revoke.KindSubject {
		mac, err := c.o.Subjects.Find(ctx, c.id)
		if err != nil {
			return err
		}
		c.mac, wanted = mac, mac
	}
	text, err := json.Marshal(wanted)
	if err != nil {
		return err
	}
	return c.lines.After(ctx, c.now, func(l *journal.Line) error {
		below := false
		until := event.LineNames(l.Data, func(name []byte) { below = below || c.under[string(name)] })
		if !until.After(c.now) || !below && !bytes.Contains(l.Data, text) {
			return nil
		}
		e, err := event.ParseLine(l.Data)
		if err != nil {
			return fmt.Errorf("line %d: %w", l.Seq, err)
		}
		if e.TokenID == "" || !c.bears(e) && !slices.ContainsFunc(e.Parents, func(p string) bool { return c.under[p] }) {
			return nil
		}
		c.under[e.TokenID] = true
		if e.IDTokenID != "" {
			c.under[e.IDTokenID] = true
		}
		return c.add(ctx, e.TokenID, e)
	})
}

// bears tells whether a token bears the name itself.
func (c *count) bears(e *event.Event) bool {
	switch c.kind {
	case revoke.KindClient:
		return e.ClientID == c.id
	case revoke.KindUpstream:
		return e.Upstream == c.id || e.ActorFrom == c.id
	case revoke.KindRule:
		return e.Rule == c.id
	case revoke.KindKey:
		return e.KeyID == c.id
	case revoke.KindSubject:
		return e.Subject.MAC == c.mac || slices.ContainsFunc(e.Actors, func(a journal.Subject) bool { return a.MAC == c.mac })
	}
	return false
}

// add counts a token that bears the name or descends from one that does, if it lives and the revocation's time reaches it.
func (c *count) add(ctx context.Context, id string, e *event.Event) error {
	if len(c.under) > maxCounted {
		c.sum.AtLeast = true
		return errEnough
	}
	if !e.Expires.After(c.now) {
		return nil
	}
	if c.before.IsZero() && c.o.Revoked.Len() == 0 {
		c.sum.Tokens++
		return nil
	}
	k, err := c.known(ctx, id, 0)
	if err != nil {
		return err
	}
	if _, dead := c.o.Revoked.Cause(k.facts, k.iat); dead {
		return nil
	}
	if c.before.IsZero() || revoke.Kills(c.kind, c.id, c.before, k.facts, k.iat) {
		c.sum.Tokens++
	}
	return nil
}
