package broker

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"fedbroker/broker/grants"
	"fedbroker/broker/login"
	"fedbroker/broker/release"
	"fedbroker/broker/session"
	"fedbroker/upstreams"
	"fedbroker/upstreams/spec"
)

// openSessions opens the store of sessions and grants. A spent code is remembered for as long as what it gave can live.
func (b *Broker) openSessions(o Options, c Config) (err error) {
	b.sessions, err = session.Open(session.Options{
		Engine: o.Engine, Sealing: o.Sealing, Now: o.Now, TTL: *c.Sessions.TTL, Idle: *c.Sessions.Idle, CodeTTL: *c.Tokens.CodeTTL,
		RefreshTTL: *c.Tokens.RefreshTTL, RefreshIdle: *c.Tokens.RefreshIdle, RefreshGrace: *c.Tokens.RefreshGrace,
		Keep: max(*c.Tokens.AccessTTL, *c.Tokens.IDTTL) + *c.Leeway,
	})
	return err
}

// completeLogins adds to a snapshot what signs people in.
func (b *Broker) completeLogins(s *snapshot, o Options) (grants.Logins, error) {
	scopes := release.New(s.config.Scopes)
	var err error
	s.login, err = login.New(login.Options{
		Issuer: s.config.Issuer, Clients: s.clients, Upstreams: providers{s.upstreams}, Chains: s.chains, Scopes: scopes, Sessions: b.sessions,
		Sealing: o.Sealing, Revoked: b.revoked, Tokens: b.opener, Record: b.record, Limits: b.limits, Now: o.Now,
	})
	if err != nil {
		return grants.Logins{}, fmt.Errorf("login: %w", err)
	}
	s.scopes = scopes
	return grants.Logins{Sessions: b.sessions, Clients: s.clients, Released: scopes.Claims, Revoke: b.revoked, IDTTL: *s.config.Tokens.IDTTL}, nil
}

// providers are the upstreams that people can log in at, as logins see them.
type providers struct{ set *upstreams.Set }

func (p providers) Names() []string { return p.set.Names() }

func (p providers) Login(name string) (login.Provider, login.Upstream, bool) {
	up, ok := p.set.Login(name)
	if !ok {
		return nil, login.Upstream{}, false
	}
	info, _ := p.set.Info(name)
	return provider{up}, login.Upstream{
		Name: info.Name, Issuer: info.Issuer, Display: info.DisplayName, Domains: info.Domains, Leeway: info.Leeway,
		CrossSite: info.ResponseMode == spec.ResponseFormPost, TrustPrompt: info.TrustPrompt,
	}, true
}

// provider is one of them.
type provider struct{ up upstreams.Login }

func (p provider) Start(ctx context.Context, a login.Start) (string, error) {
	return p.up.Start(ctx, upstreams.Attempt(a))
}

func (p provider) Finish(ctx context.Context, a login.Start, response url.Values) (upstreams.Identity, string, error) {
	id, err := p.up.Finish(ctx, upstreams.Attempt(a), response)
	if errors.Is(err, upstreams.ErrDenied) {
		err = fmt.Errorf("%w: %w", login.ErrDenied, err)
	}
	return id, id.SessionID, err
}
