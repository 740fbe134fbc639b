package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
)

// Sessions is where people's sessions are kept; *session.Store is one.
type Sessions interface {
	SessionByID(ctx context.Context, sid string) (session.Session, error)
	All(ctx context.Context, after string, limit int) ([]session.Session, error)
	BySubject(ctx context.Context, subject, after string, limit int) ([]session.Session, error)
	ByUpstream(ctx context.Context, upstream, upstreamSID, after string, limit int) ([]session.Session, error)
	End(ctx context.Context, sids ...string) error
	Grant(ctx context.Context, id string) (session.Grant, error)
	EndGrant(ctx context.Context, id string) error
}

// Session is a person's sign-on in one browser, as far as it is the operator's business: no claims.
type Session struct {
	ID          string    `json:"sid"`
	Subject     string    `json:"sub"`
	Upstream    string    `json:"upstream"`
	UpstreamSID string    `json:"upstream_sid,omitempty"` // the identity provider's own name of its session
	AuthTime    time.Time `json:"auth_time,omitzero"`
	ACR         string    `json:"acr,omitempty"`
	Created     time.Time `json:"created_at"`
	Seen        time.Time `json:"seen_at"`
	Expires     time.Time `json:"expires_at"` // the nearer of its idle and its absolute end
}

// SessionQuery selects sessions: all, those of a person, or those that one session at an identity provider stands behind.
type SessionQuery struct {
	Subject     string `json:"subject,omitempty"`
	Upstream    string `json:"upstream,omitempty"`
	UpstreamSID string `json:"upstream_sid,omitempty"` // with Upstream
	After       string `json:"after,omitempty"`        // the sid that the page before ended with
	Limit       int    `json:"limit,omitempty"`        // [100] at most 1000
}

// SessionSelection names sessions to end: one by its id, or all of a person, or of a session at an identity provider.
type SessionSelection struct {
	ID          string `json:"sid,omitempty"`
	Subject     string `json:"subject,omitempty"`
	Upstream    string `json:"upstream,omitempty"`
	UpstreamSID string `json:"upstream_sid,omitempty"`
}

const (
	defaultPage = 100
	maxPage     = 1000
)

// Sessions lists live sessions in the order in which they began.
func (o *Operator) Sessions(ctx context.Context, q SessionQuery) ([]Session, error) {
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	if q.Limit < 0 || q.Limit > maxPage {
		return nil, badAct("want a limit of 1 to %d, got %d", maxPage, q.Limit)
	}
	found, err := o.find(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]Session, len(found))
	for i, s := range found {
		out[i] = Session{
			ID: s.ID, Subject: s.Subject, Upstream: s.Upstream, UpstreamSID: s.UpstreamSID, AuthTime: s.AuthTime, ACR: s.ACR,
			Created: s.Created, Seen: s.Seen, Expires: s.Expires,
		}
	}
	return out, nil
}

func (o *Operator) find(ctx context.Context, q SessionQuery) (found []session.Session, err error) {
	switch {
	case q.Subject != "" && q.Upstream+q.UpstreamSID != "":
		return nil, badAct("want a subject, or an upstream and its sid, not both")
	case (q.Upstream == "") != (q.UpstreamSID == ""):
		return nil, badAct("want an upstream and its sid, got only one of them")
	case q.Subject != "":
		found, err = o.o.Sessions.BySubject(ctx, q.Subject, q.After, q.Limit)
	case q.Upstream != "":
		found, err = o.o.Sessions.ByUpstream(ctx, q.Upstream, q.UpstreamSID, q.After, q.Limit)
	default:
		found, err = o.o.Sessions.All(ctx, q.After, q.Limit)
	}
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	return found, nil
}

// EndSessions ends what the selection names, each with the access tokens and the refresh family that live by it, and returns their ids. What
// a person was granted for longer (offline_access) lives on: that ends with the subject's revocation.
func (o *Operator) EndSessions(ctx context.Context, which SessionSelection) ([]string, error) {
	if (which.ID != "") == (which.Subject+which.Upstream+which.UpstreamSID != "") {
		return nil, badAct("want one of: a sid, a subject, an upstream and its sid")
	}
	ended := []string{}
	if which.ID != "" {
		s, err := o.o.Sessions.SessionByID(ctx, which.ID)
		if errors.Is(err, session.ErrNone) {
			return nil, badAct("there is no live session %q", which.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("sessions: %w", err)
		}
		return append(ended, s.ID), o.end(ctx, s)
	}
	q := SessionQuery{Subject: which.Subject, Upstream: which.Upstream, UpstreamSID: which.UpstreamSID, Limit: maxPage}
	for {
		page, err := o.find(ctx, q)
		if err != nil {
			return ended, err
		}
		for _, s := range page {
			if err := o.end(ctx, s); err != nil {
				return ended, err
			}
			ended = append(ended, s.ID)
		}
		if len(page) < q.Limit {
			return ended, nil
		}
		q.After = page[len(page)-1].ID
	}
}

// end revokes first: if the rest fails, too much is refused and never too little.
func (o *Operator) end(ctx context.Context, s session.Session) error {
	now := o.o.Now()
	for _, sid := range append([]string{s.ID}, s.Former...) {
		if err := o.o.Revoked.Revoke(ctx, revoke.KindSession, sid, time.Time{}, now.Add(o.o.Keep)); err != nil {
			return fmt.Errorf("revoke: %w", err)
		}
	}
	if err := o.o.Sessions.End(ctx, append([]string{s.ID}, s.Former...)...); err != nil {
		return fmt.Errorf("sessions: %w", err)
	}
	e := event.Event{Kind: event.KindSessionEnd, Upstream: s.Upstream, SessionID: s.ID, Target: event.Target{Kind: string(revoke.KindSession), ID: s.ID}}
	var err error
	if e.Subject, err = o.o.Record.Subject(ctx, s.Subject); err != nil {
		return fmt.Errorf("carried out, but the journal does not say so: %w", err)
	}
	return o.done(ctx, e)
}
