package upstreams

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"fedbroker/upstreams/introspection"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/oauth2"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/pattern"
	"fedbroker/upstreams/presets"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/shape"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/verify"
)

// defaultLeeway is P12's.
const defaultLeeway = 30 * time.Second

// Options of NewSet. Specs and OurIssuer are required.
type Options struct {
	Specs         []Spec
	OurIssuer     string
	Keys          *keys.Cache         // each upstream is registered with it; nil: the set is only judged, and verifies nothing
	Sources       Sources             // [where the specs say]
	DefaultLeeway *time.Duration      // for upstreams without leeway [30s]
	Now           func() time.Time    // [time.Now]
	Assertions    []Assertion         // of clients
	Clients       []string            // ids of configured clients; nil: requesters are not looked up
	Shapes        *shape.Sentinel     // watches the claims of tokens; nil: nobody does
	Breaker       func(BreakerChange) // is told of breakers under their lock: it must not block or ask the set; nil: nobody is
	Before        *Set                // of the configuration before: what an upstream that has not changed holds goes on; nil: none
}

// Sources say where the keys of an upstream come from in place of where its spec does; nil: from there.
type Sources func(Spec) keys.Source

// Assertion is a client's way to authenticate with tokens of an upstream.
type Assertion struct {
	Path     string // of the client's key, such as clients[3].assertion
	Upstream string
	Audience string
}

// Set holds the configured upstreams. It is immutable.
type Set struct {
	members  []*member // in file order
	byName   map[string]*member
	byIssuer map[string][]*member
	patterns pattern.Index[*member]
	keys     *keys.Cache
	shapes   *shape.Sentinel
}

// member is one upstream in its set.
type member struct {
	*verify.Verifier
	spec   Spec // effective
	preset presets.Preset
	from   Sources
	told   func(BreakerChange)
	held
}

// held is what an upstream of a set that is not only judged holds beside its verifier. It goes on over a reload that does not change the upstream.
type held struct {
	clients   *outbound.Client
	opaque    *introspection.Client // nil: none of its tokens is opaque
	gates     []gate                // the clients of its endpoints: whoever brings tokens or codes must not keep keys waiting for a connection
	discovery *rp.Discovery
	issuers   *pattern.Issuers // of a pattern, which has them in the place of discovery
	oidc      *rp.Client       // of kind oidc
	oauth2    *oauth2.Client   // of kind oauth2
}

// NewSet judges all specs and builds the upstreams. It reports every problem, with a path such as upstreams[2].leeway; the set is fit
// for use only if nothing was reported. It touches neither network nor files.
func NewSet(o Options, report func(path, format string, args ...any)) *Set {
	fit := true
	bad := func(path, format string, args ...any) {
		fit = false
		report(path, format, args...)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Set{byName: map[string]*member{}, byIssuer: map[string][]*member{}, keys: o.Keys, shapes: o.Shapes}
	for i, written := range o.Specs {
		path := spec.At("upstreams", i)
		m := o.judged(written, func(key, format string, args ...any) { bad(path+"."+key, format, args...) })
		if _, taken := s.byName[written.Name]; taken {
			first := slices.IndexFunc(o.Specs, func(u Spec) bool { return u.Name == written.Name })
			bad(path+".name", "want each name once, got %q, which upstreams[%d] has, too", written.Name, first)
			continue
		}
		s.members = append(s.members, m)
		s.byName[written.Name] = m
		if !kinds[m.spec.Kind].Keyless && !kinds[m.spec.Kind].SAML {
			s.index(m)
		}
	}
	judgePairs(o.Specs, s, bad)
	o.judgeAssertions(s, bad)
	if fit && o.Keys != nil {
		s.register(o.Before)
	}
	return s
}

// judged reports what is wrong with one spec, and builds what it describes.
func (o Options) judged(written Spec, bad func(key, format string, args ...any)) *member {
	leeway := defaultLeeway
	if o.DefaultLeeway != nil {
		leeway = *o.DefaultLeeway
	}
	effective, preset := spec.Judge(written, spec.Options{
		Kinds: specKinds(), OurIssuer: o.OurIssuer, Leeway: leeway, Clients: o.Clients,
		Asserted: slices.ContainsFunc(o.Assertions, func(a Assertion) bool { return a.Upstream == written.Name }),
	}, bad)
	m := &member{spec: effective, preset: preset, from: o.Sources, told: o.Breaker}
	v := verify.Options{
		Upstream: written.Name, Issuer: effective.Issuer, Speaks: speaksFor(effective), LoginAudience: effective.LoginAudience(),
		Audiences: slices.Clone(written.Audiences), Parties: slices.Clone(written.AuthorizedParties), Subject: effective.Subject,
		ACR: maps.Clone(written.ACRMap), AMR: maps.Clone(written.AMRMap), Leeway: *effective.Leeway, OurIssuer: o.OurIssuer, Now: o.Now, Shapes: o.Shapes,
	}
	if o.Keys != nil {
		v.Keys = o.Keys
	}
	for _, typ := range *effective.AcceptTyp {
		v.AcceptTyp = append(v.AcceptTyp, jose.NormalTyp(typ))
	}
	if algorithms, err := jose.ParseAlgorithms(effective.Algorithms); err == nil && !kinds[effective.Kind].SAML { // what is wrong with them was reported
		v.Algorithms = algorithms
	}
	m.Verifier = &verify.Verifier{Options: v}
	return m
}

// judgeAssertions reports clients whose assertions could be taken for subject tokens (P24).
func (o Options) judgeAssertions(s *Set, bad func(path, format string, args ...any)) {
	for _, a := range o.Assertions {
		m, ok := s.byName[a.Upstream]
		switch {
		case !ok:
			bad(a.Path+".upstream", "want one of %s, got %q", strings.Join(s.Names(), ", "), a.Upstream)
		case kinds[m.spec.Kind].Keyless, kinds[m.spec.Kind].SAML:
			bad(a.Path+".upstream", "want an upstream that signs JWTs: %s is of kind %s", a.Upstream, m.spec.Kind)
		case a.Audience == "":
			bad(a.Path+".audience", "want one")
		case a.Audience == m.LoginAudience || m.Exchanges(a.Audience):
			bad(a.Path+".audience", "want another value than the upstream's client_id and audiences for exchange")
		}
	}
}

// register makes the upstreams' keys known to the cache.
func (s *Set) register(before *Set) {
	sources := map[string]keys.Upstream{}
	for _, m := range s.members {
		if !m.carryOver(before) {
			m.hold(s.keys, sources)
		}
		if m.issuers != nil {
			m.Keys = m.issuers
		}
	}
	s.keys.RegisterAll(sources)
}

// hold makes what the upstream holds, and adds where its keys come from to sources. It does no I/O.
func (m *member) hold(cache *keys.Cache, sources map[string]keys.Upstream) {
	client, err := outbound.New(outboundOptions(m.spec))
	if err != nil {
		return // only for limits that are not set here; such an upstream stays without keys
	}
	m.clients = client
	if m.ManyIssuers() {
		m.holdIssuers(cache, client)
		return
	}
	m.discovery = discovery(m.spec, client, m.Now)
	if !kinds[m.spec.Kind].Keyless {
		sources[m.Upstream] = m.keysOf(m.spec, client, m.discovery)
	}
	if in := m.spec.Introspection; in != nil {
		asking := m.endpoint(EndpointIntrospection)
		m.opaque = introspection.New(introspection.Options{Now: m.Now, Ask: func(ctx context.Context, token string) (jose.Claims, error) {
			return rp.Introspect(ctx, asking, in.Endpoint, in.ClientID, in.ClientSecret.Reveal(), token)
		}})
	}
	if hold := kinds[m.spec.Kind].hold; hold != nil {
		hold(m)
	}
}

// index makes the upstream findable by its issuers.
func (s *Set) index(m *member) {
	if m.ManyIssuers() && len(m.spec.Issuers) == 0 {
		s.patterns.Add(m.spec.IssuerPattern, m)
		return
	}
	for _, issuer := range m.spec.SpeaksFor() {
		if issuer != "" {
			s.byIssuer[issuer] = append(s.byIssuer[issuer], m)
		}
	}
}

// Select finds the upstream to which a token belongs by what it says of itself: the one of that issuer that has one of these audiences
// for exchange. A token that fits several belongs to none: upstreams are never tried in turn (P10).
func (s *Set) Select(unverifiedIssuer string, unverifiedAudience []string) (Upstream, bool) {
	var found *member
	candidates := s.byIssuer[unverifiedIssuer]
	if many := s.patterns.Find(unverifiedIssuer); len(many) > 0 {
		candidates = slices.Concat(candidates, many)
	}
	for _, m := range candidates {
		if !slices.ContainsFunc(unverifiedAudience, m.Exchanges) {
			continue
		}
		if found != nil {
			return nil, false
		}
		found = m
	}
	if found == nil {
		return nil, false
	}
	return found.upstream(), true
}

// ByName finds a configured upstream.
func (s *Set) ByName(name string) (Upstream, bool) {
	m, ok := s.byName[name]
	if !ok {
		return nil, false
	}
	return m.upstream(), true
}

// Names lists the upstreams in file order.
func (s *Set) Names() []string {
	names := make([]string, len(s.members))
	for i, m := range s.members {
		names[i] = m.Upstream
	}
	return names
}

// asks is the part of the spec by which the upstream is asked, or its whole: issuers of a pattern that were met are too dear to be forgotten for less.
func (m *member) asks() Spec {
	s := m.spec
	if !m.ManyIssuers() {
		return s
	}
	return Spec{IssuerPattern: s.IssuerPattern, Issuers: s.Issuers, CAFile: s.CAFile, AllowPrivate: s.AllowPrivate, MaxStale: s.MaxStale}
}

// carryOver takes what the upstream held before, if nothing about it has changed: its keys, its discovery, its connections.
func (m *member) carryOver(before *Set) bool {
	if before == nil || before.byName[m.Upstream] == nil {
		return false
	}
	was := before.byName[m.Upstream]
	if was.clients == nil || !reflect.DeepEqual(was.asks(), m.asks()) {
		return false
	}
	m.held = was.held
	return true
}

// Close ends what is fetched for logins, waits for it, and ends idle connections.
func (s *Set) Close() { s.CloseFor(&Set{}) }

// CloseFor is Close, but for what next carries over.
func (s *Set) CloseFor(next *Set) {
	for _, m := range s.members {
		if n := next.byName[m.Upstream]; m.clients != nil && (n == nil || n.clients != m.clients) {
			if m.discovery != nil {
				m.discovery.Close()
			}
			if m.issuers != nil {
				m.issuers.Close()
			}
			m.clients.Close()
			m.closeEndpoints()
		}
	}
}
