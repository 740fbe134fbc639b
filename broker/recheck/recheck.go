// Package recheck asks an identity provider again about people who logged in there (`refresh: true`): whether it stands for them still, and which claims it
// has of them by now. A person whom a partner has shut out stops here with the next refresh, not with the end of the family.
//
// Default deny: where the provider can't be asked nothing is issued, and where it says no, everything that came of the login is over.
package recheck

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/singleflight"

	"fedbroker/broker/event"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/mappers"
	"fedbroker/upstreams"
)

// ErrOver: the provider, or a mapper of its upstream, stands for the person no longer, or there is nothing to ask by. The login is over. Whatever else
// goes wrong says nothing of the person: nothing may be issued on it, and nothing is lost.
var ErrOver = errors.New("the identity provider does not stand for this login any more")

// Sessions keep what providers are asked by; *session.Store is one.
type Sessions interface {
	Bond(ctx context.Context, sid string) (session.Bond, error)
	Rebind(ctx context.Context, b session.Bond) (session.Bond, error)
	Unbind(ctx context.Context, sid string) error
	End(ctx context.Context, sids ...string) error
	Over() time.Time
}

// Options of New. All are required.
type Options struct {
	Upstream func(name string) (upstreams.Refresher, bool)
	Chains   map[string]*mappers.Chain // of each upstream
	Sessions Sessions
	Revoke   interface {
		RevokeEnded(ctx context.Context, kind revoke.Kind, ids []string, keepUntil time.Time) error
	}
	Recent  time.Duration       // how old an answer may be for a sign-on that asks for no new one: the life of an access token
	Flights *singleflight.Group // of the process: it goes on over reloads
	Now     func() time.Time
}

// Service asks. It is safe for concurrent use.
type Service struct{ o Options }

// New makes a service.
func New(o Options) *Service { return &Service{o} }

// Wanted says whether people of an upstream are asked about again.
func (s *Service) Wanted(upstream string) bool {
	_, wanted := s.o.Upstream(upstream)
	return wanted
}

// Recent says whether the provider stood for a login lately. It asks nobody but the store.
func (s *Service) Recent(ctx context.Context, sid string) (bool, error) {
	b, err := s.o.Sessions.Bond(ctx, sid)
	if errors.Is(err, session.ErrNone) {
		return false, nil
	}
	return err == nil && s.o.Now().Sub(b.Asked) < s.o.Recent, err
}

// Ask asks the provider of a login, once for all who want to know at the same time, and returns the principal of now. It is detached from whoever asks: a
// provider may have replaced what it was asked by, and the answer must not be lost.
func (s *Service) Ask(ctx context.Context, sid string) (map[string]any, error) {
	answer := s.o.Flights.DoChan(sid, func() (principal any, err error) {
		defer func() {
			if p := recover(); p != nil { // it would end the process
				err = event.PanicError(p)
			}
		}()
		return s.ask(context.WithoutCancel(ctx), sid)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-answer:
		principal, _ := got.Val.(map[string]any)
		return principal, got.Err
	}
}

func (s *Service) ask(ctx context.Context, sid string) (map[string]any, error) {
	b, err := s.o.Sessions.Bond(ctx, sid)
	if errors.Is(err, session.ErrNone) {
		return nil, fmt.Errorf("%w: nothing to ask by", ErrOver)
	}
	if err != nil {
		return nil, err
	}
	up, wanted := s.o.Upstream(b.Upstream)
	chain := s.o.Chains[b.Upstream]
	if !wanted || chain == nil {
		return nil, errors.New("recheck: the upstream is not asked any more")
	}
	id, next, err := up.Refresh(ctx, upstreams.Renewal{Token: b.Token, Nonce: b.Nonce, Subject: b.UpstreamSubject})
	if err == nil && (id.Issuer != b.UpstreamIssuer || id.Subject != b.UpstreamSubject) { // of a name that was bound to another issuer meanwhile (P1)
		err = errors.New("recheck: the answer is of another person")
	}
	over := errors.Is(err, upstreams.ErrDenied)
	replaced := next != ""
	if replaced {
		b.Token = next
	}
	if err == nil {
		var result mappers.Result
		if result, err = chain.Run(id.Claims, nil); err == nil {
			b.Principal, b.Asked, replaced = result.Principal, s.o.Now(), true
		} else if _, refused := errors.AsType[*mappers.RefusedError](err); refused {
			over = true
		}
	}
	if over {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrOver, err), s.end(ctx, sid))
	}
	if replaced { // also beside an error: the token before is spent there
		if _, lost := s.o.Sessions.Rebind(ctx, b); lost != nil {
			return nil, errors.Join(err, fmt.Errorf("recheck: %w", lost))
		}
	}
	if err != nil {
		return nil, err
	}
	return b.Principal, nil
}

// end ends the login: its session's tokens die at once, and of no family of it comes anything more, for there is nothing to ask by.
func (s *Service) end(ctx context.Context, sid string) error {
	if err := s.o.Revoke.RevokeEnded(ctx, revoke.KindSession, []string{sid}, s.o.Sessions.Over()); err != nil {
		return err
	}
	if err := s.o.Sessions.End(ctx, sid); err != nil {
		return err
	}
	return s.o.Sessions.Unbind(ctx, sid)
}
