// Package login is the heart of signing in, and knows no transport: it judges authorization requests, chooses the identity provider, seals
// the attempt in the browser that began it, and makes of the provider's answer a session and a code. Signing out is here, too.
package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"runtime/debug"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/event"
	"fedbroker/broker/limit"
	"fedbroker/broker/oauth"
	"fedbroker/broker/record"
	"fedbroker/broker/release"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/broker/token"
	"fedbroker/broker/userinfo"
	"fedbroker/mappers"
	"fedbroker/store"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
)

// Provider is an upstream that people sign in at; upstreams.Login is one.
type Provider interface {
	Start(ctx context.Context, a upstreams.Attempt) (authorizationURL string, err error)
	// Finish may also refuse with session.ErrSpent an attempt that was tried before.
	Finish(ctx context.Context, a upstreams.Attempt, response url.Values) (upstreams.Identity, error)
}

// Upstream is what has to be known of one that people sign in at.
type Upstream struct {
	Name, Issuer, Display string
	Domains               []string // for home-realm discovery
	Leeway                time.Duration
	CrossSite             bool // its answer comes by a POST from its own site
	TrustPrompt           bool // prompt and max_age are believed without auth_time
}

// Upstreams are those that people can sign in at; in the order of the configuration.
type Upstreams interface {
	Login(name string) (Provider, Upstream, bool)
	Names() []string
}

// Sessions is where sessions and grants are kept; *session.Store is one.
type Sessions interface {
	Session(ctx context.Context, cookie string) (session.Session, error)
	Begin(ctx context.Context, attemptID string, attemptEnds time.Time, s session.Session, former *session.Session, g session.Grant) (cookie, code string, _ session.Session, _ session.Grant, err error)
	Issue(ctx context.Context, s session.Session, g session.Grant) (code string, _ session.Grant, err error)
	Grant(ctx context.Context, id string) (session.Grant, error)
	End(ctx context.Context, sids ...string) error
	Over() time.Time
}

// Revocations are held against everything at use; *revoke.Set is one.
type Revocations interface {
	Check(f revoke.Facts, iat time.Time) error
	RevokeEnded(ctx context.Context, kind revoke.Kind, ids []string, keepUntil time.Time) error
}

// Recheck asks identity providers again about people who logged in there; *recheck.Service is one.
type Recheck interface {
	Wanted(upstream string) bool
	Recent(ctx context.Context, sid string) (bool, error)
	Ask(ctx context.Context, sid string) (principal map[string]any, err error)
}

// Tokens opens what we issued; *token.Opener is one.
type Tokens interface {
	OpenAccess(u jose.Unverified, now time.Time) (token.Own, error)
	OpenHint(raw string, now time.Time) (token.Hint, error)
}

// Options of New. All but Limits, Proofs, Recheck and Now are required.
type Options struct {
	Issuer  string
	Clients interface {
		Lookup(id string) (*clients.Client, bool)
	}
	Upstreams Upstreams
	Chains    map[string]*mappers.Chain // of each upstream
	Scopes    *release.Scopes
	Sessions  Sessions
	Sealing   store.Sealing
	Revoked   Revocations
	Tokens    Tokens
	Record    record.Recorder
	Limits    limit.Set
	Proofs    userinfo.Proofs  // nil: userinfo takes no bound token
	Recheck   Recheck          // nil: no identity provider is asked again
	Now       func() time.Time // [time.Now]
}

// Service signs people in and out. It keeps nothing itself and is safe for concurrent use.
type Service struct {
	Options
	info *userinfo.Service
}

// New checks that nothing is missing.
func New(o Options) (*Service, error) {
	if o.Issuer == "" || o.Clients == nil || o.Upstreams == nil || o.Scopes == nil || o.Sessions == nil || o.Sealing == nil || o.Revoked == nil || o.Tokens == nil {
		return nil, errors.New("login: a part is missing")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	info, err := userinfo.New(userinfo.Options{Issuer: o.Issuer, Clients: o.Clients, Scopes: o.Scopes, Grants: o.Sessions, Tokens: o.Tokens, Proofs: o.Proofs})
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	return &Service{Options: o, info: info}, nil
}

// UserInfo answers with the claims that a login's access token lets be known, as JSON, and the client that the token is of. The error is an
// *oauth.Error; see userinfo.Service.Answer.
func (s *Service) UserInfo(ctx context.Context, u UserInfo) (body []byte, clientID string, err error) {
	v := s.visit(event.KindUserInfo, u.DecisionID, u.Peer)
	v.run(ctx, func(ctx context.Context) error {
		u.Now = v.now
		body, err = s.info.Answer(ctx, u.Request, &v.event)
		return err
	})
	if v.answer.Failure != nil {
		return nil, v.event.ClientID, v.refused
	}
	return body, v.event.ClientID, nil
}

// visit is one request of a browser on its way. The answer gathers what the browser is to keep, however the visit ends.
type visit struct {
	*Service
	now     time.Time
	event   event.Event
	answer  Answer
	asked   *asked       // nil until the request's way back is proven
	refused *oauth.Error // what it was refused with
	journal bool         // who it is has been verified: a refusal is worth a line (P26)
}

func (s *Service) visit(kind event.Kind, decisionID string, peer netip.Addr) *visit {
	return &visit{
		Service: s, now: s.Now(), answer: Answer{DecisionID: decisionID},
		event: event.Event{Kind: kind, Outcome: event.OutcomeDone, DecisionID: decisionID, Peer: peer},
	}
}

// run does the work and tells the operator how it ended. The person always gets an answer.
func (v *visit) run(ctx context.Context, work func(context.Context) error) Answer {
	err := v.try(ctx, work)
	v.event.Duration = v.Now().Sub(v.now)
	if err != nil {
		v.refuse(ctx, err)
	}
	if err != nil || v.event.Kind != event.KindLogin || v.answer.Reply != nil { // a person on the way to an identity provider is no event yet
		v.Record.Tell(ctx, &v.event)
	}
	return v.answer
}

func (v *visit) try(ctx context.Context, work func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = event.PanicError(p)
			v.Record.Metrics.Panic()
			v.Record.Log.LogAttrs(ctx, slog.LevelError, "panic in a request", slog.String(event.AttrDecisionID, v.event.DecisionID),
				slog.Any(event.AttrError, err), slog.String(event.AttrStack, string(debug.Stack())))
		}
	}()
	if err := v.limited(v.Limits.Address); err != nil {
		return err
	}
	return work(ctx)
}

// limited refuses who comes too soon from one address.
func (v *visit) limited(l *limit.Limiter) error {
	wait := l.Take(limit.AddressKey(v.event.Peer), v.now)
	if wait == 0 {
		return nil
	}
	v.Record.Metrics.Limit(l.Name)
	return fail(FailureTooMany, tooSoon(wait))
}

// unavailable is a part of ours that can't be asked, or a write that may be lost: nothing is issued on it.
func unavailable(reason oauth.Reason, err error) error {
	return fail(FailureUnavailable, oauth.Deny(oauth.CodeTemporarilyUnavailable, reason).Because(err))
}
