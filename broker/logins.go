package broker

import (
	"context"
	"fmt"
	"net/url"

	lru "github.com/hashicorp/golang-lru/v2"

	"fedbroker/broker/grants"
	"fedbroker/broker/login"
	"fedbroker/broker/recheck"
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
func (b *Broker) completeLogins(s *served) (grants.Logins, error) {
	asked := recheck.New(recheck.Options{
		Upstream: s.Upstreams.Refresher, Chains: s.Chains, Sessions: b.sessions, Revoke: b.revoked, Recent: *s.Config.Tokens.AccessTTL, Flights: &b.rechecks, Now: b.now,
	})
	var err error
	s.login, err = login.New(login.Options{
		Issuer: s.Config.Issuer, Clients: s.Clients, Upstreams: providers{s.Upstreams, b.tried}, Chains: s.Chains, Scopes: s.Scopes, Sessions: b.sessions,
		Sealing: b.sealing, Revoked: b.revoked, Tokens: b.opener, Proofs: b.proofs, Recheck: asked, Record: b.record, Limits: b.limits, Now: b.now,
	})
	if err != nil {
		return grants.Logins{}, fmt.Errorf("login: %w", err)
	}
	return grants.Logins{
		Sessions: b.sessions, Clients: s.Clients, Issuers: s.LoginIssuer, Revoke: b.revoked, IDTTL: *s.Config.Tokens.IDTTL,
		Scopes: s.Scopes, Recheck: asked,
	}, nil
}

// SAMLMetadata describes us to the SAML identity provider of that name; known is false where there is none.
func (b *Broker) SAMLMetadata(name string) (document []byte, known bool, err error) {
	return b.snap.Load().Upstreams.SAMLMetadata(name)
}

// triedAttempts is how many attempts are known to have been tried, in this process: 5 MB. Who could push them out could as well begin new ones.
const triedAttempts = 1 << 16

// newTried remembers the attempts for which an upstream was asked: each is asked once, whatever comes of it, so that one attempt is no way to
// ask it, with our credentials, as often as one likes. That a login is good once is the store's to say.
func newTried() *lru.Cache[string, struct{}] {
	tried, _ := lru.New[string, struct{}](triedAttempts) // fails for a negative size alone
	return tried
}

// providers are the upstreams that people can log in at, as logins see them.
type providers struct {
	set   *upstreams.Set
	tried *lru.Cache[string, struct{}]
}

func (p providers) Names() []string { return p.set.Names() }

func (p providers) Login(name string) (login.Provider, login.Upstream, bool) {
	up, ok := p.set.Login(name)
	if !ok {
		return nil, login.Upstream{}, false
	}
	info, _ := p.set.Info(name)
	return provider{up, p.tried}, login.Upstream{
		Name: info.Name, Issuer: info.Issuer, Display: info.DisplayName, Domains: info.Domains, Leeway: info.Leeway,
		CrossSite: info.ResponseMode == spec.ResponseFormPost, TrustPrompt: info.TrustPrompt,
	}, true
}

// provider is one of them, asked once for each attempt.
type provider struct {
	upstreams.Login
	tried *lru.Cache[string, struct{}]
}

func (p provider) Finish(ctx context.Context, a upstreams.Attempt, response url.Values) (upstreams.Identity, error) {
	if before, _ := p.tried.ContainsOrAdd(a.State, struct{}{}); before {
		return upstreams.Identity{}, fmt.Errorf("attempt: %w", session.ErrSpent)
	}
	return p.Login.Finish(ctx, a, response)
}
