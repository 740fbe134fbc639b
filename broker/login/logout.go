package login

import (
	"context"
	"errors"
	"slices"

	"fedbroker/broker/clients"
	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/broker/session"
)

// Logout signs the person out of this browser (OpenID Connect RP-Initiated Logout 1.0). Only a good hint spares the question; without one
// nobody is sent anywhere (P39).
func (s *Service) Logout(ctx context.Context, l Logout) Answer {
	v := s.visit(event.KindLogout, l.DecisionID, l.Peer)
	return v.run(ctx, func(ctx context.Context) error { return v.logout(ctx, &l) })
}

func (v *visit) logout(ctx context.Context, l *Logout) error {
	current, err := v.Sessions.Session(ctx, l.Browser.Session)
	if err != nil && !errors.Is(err, session.ErrNone) {
		return unavailable(oauth.ReasonUnavailable, err)
	}
	none := ""
	if err != nil {
		if l.Browser.Session != "" {
			v.answer.Session = &none
		}
		v.answer.SignOut = &SignOut{}
		return nil
	}
	client := v.hinted(l, &current)
	if client == nil && !l.Confirmed {
		v.answer.SignOut = &SignOut{Ask: true}
		return nil
	}
	if err := v.signOut(ctx, &current, client); err != nil {
		return err
	}
	v.answer.Session = &none
	if client != nil && client.PostLogoutAllowed(l.PostLogoutRedirectURI) {
		v.answer.Location = l.PostLogoutRedirectURI
		if l.State != "" {
			v.answer.Location = oauth.AddQuery(l.PostLogoutRedirectURI, [][2]string{{"state", l.State}})
		}
		return nil
	}
	v.answer.SignOut = &SignOut{}
	if client != nil {
		v.answer.SignOut.ClientID = client.ID
	}
	return nil
}

// hinted is the client of a good hint: our ID token for that client, of this browser's session or one that it took over.
func (v *visit) hinted(l *Logout, s *session.Session) *clients.Client {
	if l.IDTokenHint == "" {
		return nil
	}
	hint, err := v.Tokens.OpenHint(l.IDTokenHint, v.now)
	if err != nil || hint.SessionID == "" || hint.Subject != s.Subject {
		return nil
	}
	if hint.SessionID != s.ID && !slices.Contains(s.Former, hint.SessionID) {
		s.Former = append(s.Former, hint.SessionID) // begun at the same time as this one: it ends with it, if the person says so
		return nil
	}
	client, known := v.Clients.Lookup(hint.ClientID)
	if !known || l.ClientID != "" && l.ClientID != hint.ClientID {
		return nil
	}
	return client
}

func (v *visit) signOut(ctx context.Context, s *session.Session, client *clients.Client) error {
	e := &v.event
	e.Upstream, e.SessionID, v.journal = s.Upstream, s.ID, true
	if client != nil {
		e.ClientID = client.ID
	}
	if err := v.end(ctx, s); err != nil {
		return err
	}
	var err error
	if e.Subject, err = v.Record.Subject(ctx, s.Subject); err == nil {
		err = v.Record.Durable(ctx, e)
	}
	if err != nil {
		return unavailable(oauth.ReasonNotDurable, err)
	}
	return nil
}
