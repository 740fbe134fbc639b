package broker

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/grants"
	"fedbroker/broker/login"
	"fedbroker/broker/metadata"
	"fedbroker/broker/policy"
	"fedbroker/broker/release"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/mappers/expr"
	"fedbroker/upstreams"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/presets"
)

// snapshot is a compiled configuration: immutable, taken once by each request. What outlives it (engine, keyring, key caches, revocations,
// limits) is the broker's.
type snapshot struct {
	config    Config // with defaults
	upstreams *upstreams.Set
	chains    map[string]*mappers.Chain // by upstream
	clients   *clients.Registry
	policy    *policy.Policy
	grants    map[string]grants.Grant // by wire name
	login     *login.Service
	scopes    *release.Scopes
	metadata  metadata.Document
}

// parts are what a snapshot stands on; the zero value is enough to judge a configuration.
type parts struct {
	keys  *keys.Cache
	spend *revoke.Spender
	now   func() time.Time

	revoked clients.Revocations
}

// compile makes the parts of a snapshot that need no state. It is usable only if nothing was reported as bad.
func compile(c Config, p parts, bad, warn Report) *snapshot {
	c = c.WithDefaults()
	c.Check(bad)
	s := &snapshot{config: c, chains: map[string]*mappers.Chain{}}
	ids, assertions := make([]string, len(c.Clients)), []upstreams.Assertion{}
	for i, cl := range c.Clients {
		ids[i] = cl.ID
		if a := cl.Assertion; a != nil {
			assertions = append(assertions, upstreams.Assertion{Path: fmt.Sprintf("clients[%d].assertion", i), Upstream: a.Upstream, Audience: a.Audience})
		}
	}
	s.upstreams = upstreams.NewSet(upstreams.Options{
		Specs: c.UpstreamSpecs(), OurIssuer: c.Issuer, Keys: p.keys, DefaultLeeway: c.Leeway, Now: p.now, Assertions: assertions, Clients: ids,
	}, bad)
	known := s.compileChains(bad, warn)
	s.clients = clients.NewRegistry(s.clientOptions(p), bad, warn)
	s.warnLogins(warn)
	policyClients := make([]rules.Client, len(c.Clients))
	for i, cl := range c.Clients {
		policyClients[i] = rules.Client{ID: cl.ID, Public: cl.Public}
		if known, ok := s.clients.Lookup(cl.ID); ok {
			policyClients[i].IDTokenAlg = known.IDTokenAlg()
		}
	}
	servers := make([]policy.ResourceServer, len(c.ResourceServers))
	for i, r := range c.ResourceServers {
		servers[i] = policy.ResourceServer(r)
	}
	s.policy = policy.Compile(rules.Options{Rules: c.Exchange, Upstreams: known, Clients: policyClients, AccessTTL: *c.Tokens.AccessTTL, Leeway: *c.Leeway, ActDepth: *c.Tokens.ActDepth}, bad, servers...)
	return s
}

func (s *snapshot) clientOptions(p parts) clients.Options {
	o := clients.Options{
		Specs: s.config.Clients, Issuer: s.config.Issuer, Upstreams: map[string][]string{}, Algorithms: s.config.Signing.Algorithms, Leeway: *s.config.Leeway, Spend: p.spend,
		Issuers: s.upstreams.Issuers(), Workload: clients.Workloads{Upstreams: s.upstreams}, Revoked: p.revoked,
	}
	if p.keys != nil {
		o.Keys = p.keys
	}
	for _, u := range s.config.Upstreams {
		audiences := make([]string, len(u.Audiences))
		for i, a := range u.Audiences {
			audiences[i] = a.Value
		}
		o.Upstreams[u.Name] = audiences
	}
	return o
}

// compileChains compiles each upstream's mappers, the preset's conditions before its own, and returns what the policy has to know of each.
func (s *snapshot) compileChains(bad, warn Report) []rules.Upstream {
	var known []rules.Upstream
	for i, u := range s.config.Upstreams {
		info, ok := s.upstreams.Info(u.Name)
		if !ok {
			continue // reported
		}
		types := claimTypes(info.ClaimTypes)
		specs := conditions(info.Conditions)
		chain := mappers.Compile(mappers.Options{
			Upstream: u.Name, Specs: append(specs, u.Mappers...), EmailDomains: info.EmailDomains, EmailAny: info.EmailAny, ClaimTypes: types,
		}, shifted(bad, fmt.Sprintf("upstreams[%d].", i), len(specs)))
		s.chains[u.Name] = chain
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

// warnOverlaps names every pair of upstreams that can emit one value of a claim that has an owner (P5).
func warnOverlaps(all []rules.Upstream, warn Report) {
	for j, b := range all {
		for i, a := range all[:j] {
			for _, claim := range overlaps(a.Emits, b.Emits) {
				warn(fmt.Sprintf("upstreams[%d].mappers", j), "%s can emit the same %s as %s (upstreams[%d])", b.Name, claim, a.Name, i)
			}
		}
	}
}

func overlaps(a, b []mappers.Emission) (claims []string) {
	for _, x := range a {
		for _, y := range b {
			if x.Overlaps(y) {
				claims = append(claims, x.Claim)
			}
		}
	}
	return claims
}

// complete adds what needs the broker's state.
func (b *Broker) complete(s *snapshot, o Options) error {
	logins, err := b.completeLogins(s, o)
	if err != nil {
		return err
	}
	s.grants = grants.Table(grants.Deps{
		Issuer: s.config.Issuer, Policy: s.policy, Upstreams: s.upstreams, Chains: s.chains, Own: b.opener, Revoked: b.revoked, Logins: logins,
		SubjectClaims: s.subjectClaims,
	})
	s.metadata, err = metadata.New(metadata.Options{
		Issuer: s.config.Issuer, Algorithms: s.config.Signing.Algorithms, Grants: slices.Collect(maps.Keys(s.grants)),
		Scopes: s.scopes.Names(), Claims: s.scopes.AllClaims(), IDJAG: len(s.config.ResourceServers) > 0,
	})
	return err
}

// subjectClaims are the claims that name an upstream's subjects.
func (s *snapshot) subjectClaims(upstream string) []string {
	spec, _ := s.upstreams.Effective(upstream)
	return spec.Subject
}
