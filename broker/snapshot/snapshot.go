// Package snapshot compiles a configuration: into something immutable that a request takes once, and that stands on state that outlives it. It
// touches no network and no engine, and judging a configuration is compiling it.
package snapshot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/release"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/broker/settings"
	"fedbroker/mappers"
	"fedbroker/mappers/expr"
	"fedbroker/mappers/library"
	"fedbroker/upstreams"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/presets"
	"fedbroker/upstreams/shape"
)

// Snapshot is a compiled configuration: immutable, taken once by each request. What outlives it (engine, keyring, key caches, revocations,
// limits) is the broker's.
type Snapshot struct {
	Config    settings.Config // with defaults
	Upstreams *upstreams.Set
	Chains    map[string]*mappers.Chain // by upstream
	Clients   *clients.Registry
	Policy    *policy.Policy
	Scopes    *release.Scopes
}

// Report takes one problem: a path as the file writes it, and a text like "want …, got …".
type Report = func(path, format string, args ...any)

// Parts are what a snapshot stands on; the zero value is enough to judge a configuration.
type Parts struct {
	Keys    *keys.Cache
	Shapes  *shape.Sentinel // nil: nobody watches the claims of tokens
	Breaker func(upstreams.BreakerChange)
	Spend   *revoke.Spender
	Now     func() time.Time
	Revoked clients.Revocations
	Before  *upstreams.Set // what its unchanged upstreams hold is carried over
	Sources upstreams.Sources
}

// Compile makes the parts of a snapshot that need no state. It is usable only if nothing was reported as bad.
func Compile(c settings.Config, p Parts, bad, warn Report) *Snapshot {
	c = c.WithDefaults()
	c.Check(bad)
	s := &Snapshot{Config: c, Chains: map[string]*mappers.Chain{}, Scopes: release.New(c.Scopes)}
	ids, assertions := make([]string, len(c.Clients)), []upstreams.Assertion{}
	for i, cl := range c.Clients {
		ids[i] = cl.ID
		if a := cl.Assertion; a != nil {
			assertions = append(assertions, upstreams.Assertion{Path: fmt.Sprintf("clients[%d].assertion", i), Upstream: a.Upstream, Audience: a.Audience})
		}
	}
	s.Upstreams = upstreams.NewSet(upstreams.Options{
		Specs: c.UpstreamSpecs(), OurIssuer: c.Issuer, Keys: p.Keys, Sources: p.Sources, Shapes: p.Shapes, Breaker: p.Breaker, DefaultLeeway: c.Leeway, Now: p.Now, Before: p.Before, Assertions: assertions, Clients: ids,
	}, bad)
	shared := library.New()
	known := s.compileChains(shared, bad, warn)
	s.Clients = clients.NewRegistry(s.clientOptions(p), bad, warn)
	s.warnLogins(warn)
	policyClients := make([]rules.Client, len(c.Clients))
	for i, cl := range c.Clients {
		policyClients[i] = rules.Client{ID: cl.ID, Public: cl.Public}
		if known, ok := s.Clients.Lookup(cl.ID); ok {
			policyClients[i].IDTokenAlg = known.IDTokenAlg()
		}
	}
	servers := make([]policy.ResourceServer, len(c.ResourceServers))
	for i, r := range c.ResourceServers {
		servers[i] = policy.ResourceServer(r)
	}
	s.Policy = policy.Compile(rules.Options{Rules: c.Exchange, Upstreams: known, Clients: policyClients, AccessTTL: *c.Tokens.AccessTTL, Leeway: *c.Leeway, ActDepth: *c.Tokens.ActDepth, Library: shared}, bad, servers...)
	return s
}

func (s *Snapshot) clientOptions(p Parts) clients.Options {
	o := clients.Options{
		Specs: s.Config.Clients, Issuer: s.Config.Issuer, Upstreams: map[string][]string{}, Algorithms: s.Config.Signing.Algorithms, Leeway: *s.Config.Leeway, Spend: p.Spend,
		Issuers: s.Upstreams.Issuers(), Workload: clients.Workloads{Upstreams: s.Upstreams}, Revoked: p.Revoked,
	}
	if p.Keys != nil {
		o.Keys = p.Keys
	}
	for _, u := range s.Config.Upstreams {
		audiences := make([]string, len(u.Audiences))
		for i, a := range u.Audiences {
			audiences[i] = a.Value
		}
		o.Upstreams[u.Name] = audiences
	}
	return o
}

// compileChains compiles each upstream's mappers, the preset's conditions before its own, and returns what the policy has to know of each.
func (s *Snapshot) compileChains(shared *library.Library, bad, warn Report) []rules.Upstream {
	var known []rules.Upstream
	for i, u := range s.Config.Upstreams {
		info, ok := s.Upstreams.Info(u.Name)
		if !ok {
			continue // reported
		}
		types := claimTypes(info.ClaimTypes)
		specs := conditions(info.Conditions)
		chain := mappers.Compile(mappers.Options{
			Upstream: u.Name, Specs: append(specs, u.Mappers...), EmailDomains: info.EmailDomains, EmailAny: info.EmailAny, ClaimTypes: types, Library: shared,
		}, shifted(bad, fmt.Sprintf("upstreams[%d].", i), len(specs)))
		s.Chains[u.Name] = chain
		known = append(known, rules.Upstream{
			Name: u.Name, Exchange: info.Exchange, Shared: info.Shared, OwnerClaims: info.OwnerClaims, ClaimTypes: types, Emits: chain.Emits(), Leeway: info.Leeway,
		})
	}
	warnOverlaps(known, warn)
	return known
}

func conditions(all []presets.Condition) []mappers.Spec {
	specs := make([]mappers.Spec, len(all))
	for i, c := range all {
		specs[i] = mappers.Spec{Kind: "require", Expression: c.Expression, Message: c.Message}
	}
	return specs
}

// shifted reports under prefix, with mappers counted as the file has them: without the preset's before them.
func shifted(bad Report, prefix string, before int) Report {
	return func(path, format string, args ...any) {
		if rest, ok := strings.CutPrefix(path, "mappers["); ok {
			digits, tail, _ := strings.Cut(rest, "]")
			if n, err := strconv.Atoi(digits); err == nil {
				if path = fmt.Sprintf("mappers[%d]%s", n-before, tail); n < before {
					path = "preset"
				}
			}
		}
		bad(prefix+path, format, args...)
	}
}

func claimTypes(names map[string]string) map[string]expr.Type {
	known := map[string]expr.Type{
		presets.TypeBool: expr.Bool, presets.TypeInt: expr.Int, presets.TypeDouble: expr.Double,
		presets.TypeString: expr.String, presets.TypeStringList: expr.StringList, presets.TypeMap: expr.Map,
	}
	types := make(map[string]expr.Type, len(names))
	for claim, name := range names {
		types[claim] = known[name]
	}
	return types
}

// LoginIssuer is the issuer of an upstream that people can log in at, "" of any other.
func (s *Snapshot) LoginIssuer(name string) string {
	info, ok := s.Upstreams.Info(name)
	if !ok || !info.Login {
		return ""
	}
	return info.Issuer
}

// warnLogins says what a registration asks for and no login can give.
func (s *Snapshot) warnLogins(warn Report) {
	for i, u := range s.Config.Upstreams { // of exchanges the policy sees to it (P29)
		info, ok := s.Upstreams.Info(u.Name)
		if ok && info.Login && info.Shared && !slices.ContainsFunc(u.Mappers, func(m mappers.Spec) bool { return m.Kind == "require" }) {
			warn(fmt.Sprintf("upstreams[%d].mappers", i), "everybody with an account at %s can log in: a require mapper on %s would say whose people are meant", info.Issuer, strings.Join(info.OwnerClaims, " or "))
		}
	}
	scopes := s.Scopes
	for i, c := range s.Config.Clients {
		at := func(key, format string, args ...any) { warn(fmt.Sprintf("clients[%d].%s", i, key), format, args...) }
		if a := c.Assertion; a != nil {
			if info, ok := s.Upstreams.Info(a.Upstream); ok && info.Shared {
				at("assertion.subject", "%s speaks for strangers, too: want a subject of immutable ids, since whoever takes over a name there becomes the client", info.Issuer)
			}
		}
		refreshes := slices.Contains(c.GrantTypes, oauth.GrantRefreshToken)
		for j, name := range c.Upstreams {
			if info, ok := s.Upstreams.Info(name); ok && !info.Login {
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
			at("grant_types", "authorization_code, but there is no upstream here that people can log in at")
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
func (s *Snapshot) admitsAnybody(names []string) bool {
	if names == nil {
		names = s.Upstreams.Names()
	}
	return slices.ContainsFunc(names, func(name string) bool {
		info, ok := s.Upstreams.Info(name)
		return ok && info.Login
	})
}
