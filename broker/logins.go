package broker

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"fedbroker/broker/grants"
	"fedbroker/broker/login"
	"fedbroker/broker/oauth"
	"fedbroker/broker/release"
	"fedbroker/broker/session"
	"fedbroker/mappers"
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
		Issuer: s.config.Issuer, Clients: s.clients, Upstreams: providers{s.upstreams, b.tried}, Chains: s.chains, Scopes: scopes, Sessions: b.sessions,
		Sealing: o.Sealing, Revoked: b.revoked, Tokens: b.opener, Proofs: b.proofs, Record: b.record, Limits: b.limits, Now: o.Now,
	})
	if err != nil {
		return grants.Logins{}, fmt.Errorf("login: %w", err)
	}
	s.scopes = scopes
	return grants.Logins{Sessions: b.sessions, Clients: s.clients, Released: scopes.Claims, Issuers: s.loginIssuer, Revoke: b.revoked, IDTTL: *s.config.Tokens.IDTTL}, nil
}

// loginIssuer is the issuer of an upstream that people can log in at, "" of any other.
func (s *snapshot) loginIssuer(name string) string {
	info, ok := s.upstreams.Info(name)
	if !ok || !info.Login {
		return ""
	}
	return info.Issuer
}

// warnLogins says what a registration asks for and no login can give.
func (s *snapshot) warnLogins(warn Report) {
	for i, u := range s.config.Upstreams { // of exchanges the policy sees to it (P29)
		info, ok := s.upstreams.Info(u.Name)
		if ok && info.Login && info.Shared && !slices.ContainsFunc(u.Mappers, func(m mappers.Spec) bool { return m.Kind == "require" }) {
			warn(fmt.Sprintf("upstreams[%d].mappers", i), "everybody with an account at %s can log in: a require mapper on %s would say whose people are meant", info.Issuer, strings.Join(info.OwnerClaims, " or "))
		}
	}
	scopes := release.New(s.config.Scopes)
	for i, c := range s.config.Clients {
		at := func(key, format string, args ...any) { warn(fmt.Sprintf("clients[%d].%s", i, key), format, args...) }
		if a := c.Assertion; a != nil {
			if info, ok := s.upstreams.Info(a.Upstream); ok && info.Shared {
				at("assertion.subject", "%s speaks for strangers, too: want a subject of immutable ids, since whoever takes over a name there becomes the client", info.Issuer)
			}
		}
		refreshes := slices.Contains(c.GrantTypes, oauth.GrantRefreshToken)
		for j, name := range c.Upstreams {
			if info, ok := s.upstreams.Info(name); ok && !info.Login {
				at(fmt.Sprintf("upstreams[%d]", j), "nobody can log in at %s: it is of kind %s", name, info.Kind)
			}
		}
		if c.SessionRefresh && !refreshes {
			at("session_refresh", "of no effect without grant type refresh_token")
		}
		if !slices.Contains(c.GrantTypes, oauth.GrantAuthorizationCode) {
			continue
		}
		if !s.admitsAnybody(c.Upstreams) {
			at("grant_types", "authorization_code, but there is no upstream that people can log in at here (kind oidc)")
		}
		for j, scope := range c.Scopes {
			switch {
			case scope == oauth.ScopeOfflineAccess && !refreshes:
				at(fmt.Sprintf("scopes[%d]", j), "offline_access is ignored without grant type refresh_token")
			case !scopes.Known(scope) && len(c.Audiences) == 0:
				at(fmt.Sprintf("scopes[%d]", j), "%s releases no claim, and the client has no audiences to use it at; scopes: {%s: [CLAIM]} would make it release some", scope, scope)
			}
		}
	}
}

// admitsAnybody tells whether people can log in at one of the upstreams; nil is all.
func (s *snapshot) admitsAnybody(names []string) bool {
	if names == nil {
		names = s.upstreams.Names()
	}
	return slices.ContainsFunc(names, func(name string) bool {
		info, ok := s.upstreams.Info(name)
		return ok && info.Login
	})
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
