package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/rules/spec"
	"fedbroker/mappers"
	"fedbroker/mappers/expr"
	"fedbroker/mappers/library"
)

// What the file says of a rule; see package spec.
type (
	Spec          = spec.Rule
	SubjectSpec   = spec.Subject
	RequesterSpec = spec.Requester
	ActorSpec     = spec.Actor
	GrantSpec     = spec.Grant
	ScopeSpec     = spec.Scope
)

const (
	minTTL        = MinLife        // less would be refused at once
	maxTTL        = 24 * time.Hour // what a signing key must outlive
	maxNameLength = 2048
)

type report = func(path, format string, args ...any)

// Compile judges and compiles the rules. Every problem is reported, with a path that begins `exchange[i].`; the policy is usable only if none was.
func Compile(o Options, bad func(path, format string, args ...any)) *Set {
	p := &Set{
		rules:     make([]Rule, len(o.Rules)),
		candidate: map[candidateKey][]*Rule{}, reach: map[reachKey][]*Rule{},
		requester: map[string]bool{}, public: map[string]bool{}, clients: map[string]Client{}, upstream: map[string]expr.Members{}, actor: map[string]bool{}, sources: map[sourceKey][]string{},
		actDepth: cmp.Or(o.ActDepth, DefaultActDepth),
		leeway:   map[string]time.Duration{"": o.Leeway}, TTL: o.AccessTTL,
	}
	c := compiler{options: o, upstreams: map[string]Upstream{}, clients: p.clients, ids: map[string]int{}, envs: map[envKey]*library.Shelf{}}
	for _, u := range o.Upstreams {
		c.upstreams[u.Name] = u
		p.leeway[u.Name] = u.Leeway
	}
	for _, cl := range o.Clients {
		p.clients[cl.ID] = cl
	}
	for i, written := range o.Rules {
		at := fmt.Sprintf("exchange[%d].", i)
		c.bad = func(path, format string, args ...any) { bad(at+path, format, args...) }
		p.rules[i] = c.rule(i, written)
	}
	p.index()
	c.crowds(p, bad)
	return p
}

// crowds refuses more rules for one subject, requester and audience than an exchange may have to evaluate. A token of ours meets the rules on its
// upstream's people and those on everybody's.
func (c *compiler) crowds(p *Set, bad report) {
	for key, all := range p.candidate {
		n, last := len(all), all[len(all)-1]
		if key.own && key.upstream != "" {
			key.upstream = ""
			n += len(p.candidate[key])
		}
		if key.audience != "" && n > maxPerTriple {
			bad(fmt.Sprintf("exchange[%d].grant.audiences", last.position),
				"want at most %d rules for one upstream, requester and audience, got %d for %q, %q and %q", maxPerTriple, n, last.Upstream, key.requester, key.audience)
		}
	}
}

// compiler holds what the rules of one policy are judged against.
type compiler struct {
	options   Options
	upstreams map[string]Upstream
	clients   map[string]Client
	ids       map[string]int
	envs      map[envKey]*library.Shelf
	bad       report // of the rule at hand
}

// envKey is what a condition can see: the claims of an upstream's tokens, "" for our own, and an actor.
type envKey struct {
	upstream string
	actor    bool
}

func (c *compiler) rule(i int, s Spec) Rule {
	r := Rule{position: i, ID: s.ID, audit: s.Mode == spec.ModeAudit}
	c.id(i, s.ID)
	if s.Mode != "" && s.Mode != spec.ModeEnforce && s.Mode != spec.ModeAudit {
		c.bad("mode", "want %s or %s, got %q", spec.ModeEnforce, spec.ModeAudit, s.Mode)
	}
	if s.BoundSubject != "" && s.BoundSubject != spec.BoundRefuse && s.BoundSubject != spec.BoundAccept {
		c.bad("bound_subject", "want %s or %s, got %q", spec.BoundRefuse, spec.BoundAccept, s.BoundSubject)
	}
	r.bound = s.BoundSubject == spec.BoundAccept
	r.Delegation = s.Actor != nil && *s.Actor != ActorSpec{}
	if s.Subject == nil {
		c.bad("subject", "want {upstream: NAME} or {issued: true}, got none")
	} else {
		c.subject(&r, *s.Subject)
	}
	if s.Requester == nil {
		c.bad("requester", "want {clients: [ID]} or {anonymous: true}, got none")
	} else {
		c.requester(&r, *s.Requester)
	}
	if s.Grant == nil {
		c.bad("grant.audiences", "want at least one, got none")
	} else {
		c.grant(&r, *s.Grant)
	}
	if r.Delegation {
		c.actor(&r, *s.Actor)
	}
	c.whose(&r)
	if slices.Contains(r.requesters, "") && slices.Contains(r.types, oauth.TypeIDToken) { // P22: azp is the requester
		c.bad("grant.token_types", "want no %s under requester.anonymous, got it: it names the client that it is issued to", oauth.ShortIDToken)
	}
	return r
}

// actor comes last: its condition sees the subject's claims, too.
func (c *compiler) actor(r *Rule, s ActorSpec) {
	u, known := c.upstreams[s.Upstream]
	switch {
	case !s.Required:
		c.bad("actor.required", "want true, or actor: none, got false: no actor is optional")
	case s.Upstream != "" && !known:
		c.bad("actor.upstream", "want one of %q, got %q", slices.Sorted(maps.Keys(c.upstreams)), s.Upstream)
	case s.Upstream != "" && !s.Issued && !u.Exchange: // P11
		c.bad("actor.upstream", "want an upstream with audiences to exchange from, got %q, which has none", s.Upstream)
	case s.Upstream == "" && !s.Issued && slices.Contains(r.requesters, ""):
		c.bad("actor", "want {upstream: NAME} under requester.anonymous, got the requester itself, which is nobody")
	case s.Issued && slices.Contains(r.requesters, ""): // P21
		c.bad("actor.issued", "want an upstream's tokens under requester.anonymous, got issued: true")
	}
	if !s.Issued && u.Shared { // P29: what pins an owner is a claim, and of an actor conditions see the principal alone
		c.bad("actor.upstream", "want an upstream whose issuer speaks for nobody else, got %s", s.Upstream)
	}
	r.actor = actor{itself: s.Upstream == "" && !s.Issued, own: s.Issued, upstream: s.Upstream}
	if s.When != "" {
		r.actor.when = c.when(r, "actor.when", s.When)
	}
}

func (c *compiler) id(i int, id string) {
	if !validID(id) {
		c.bad("id", "want 1 to %d characters of A-Z a-z 0-9 . _ -, got %q", maxID, id)
		return
	}
	if first, taken := c.ids[id]; taken {
		c.bad("id", "want a unique id, got %q, which exchange[%d] has, too", id, first)
		return
	}
	c.ids[id] = i
}

const maxID = 64 // a rule id stands in client ids (anonymous:…), in lineages and in metric labels

func validID(id string) bool {
	for _, c := range []byte(id) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._-", c) >= 0) {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}

func (c *compiler) subject(r *Rule, s SubjectSpec) {
	r.Own, r.Upstream = s.Issued, s.Upstream
	u, known := c.upstreams[s.Upstream]
	switch {
	case s.Upstream == "" && !s.Issued:
		c.bad("subject", "want {upstream: NAME} or {issued: true}, got neither")
		return
	case s.Upstream != "" && !known:
		c.bad("subject.upstream", "want one of %q, got %q", slices.Sorted(maps.Keys(c.upstreams)), s.Upstream)
		return
	case !s.Issued && !u.Exchange: // P11
		c.bad("subject.upstream", "want an upstream with audiences to exchange from, got %q, which has none", s.Upstream)
	}
	if s.When != "" {
		r.when = c.when(r, "subject.when", s.When)
	}
	if !r.Own && u.Shared && (s.When == "" || r.when != nil && !r.when.PinsOneOf(u.OwnerClaims...)) { // P29
		c.bad("subject.when", "want a top-level == or in on an owner of the shared issuer of %s, one of %s, got none", u.Name, claimsOf(u.OwnerClaims))
	}
}

// when compiles a condition. Without an actor, naming one could never hold, so it is no word there.
func (c *compiler) when(r *Rule, path, source string) *expr.Program {
	key := envKey{r.Upstream, r.Delegation}
	if r.Own { // an own token's claims are ours, whatever upstream they came from
		key.upstream = ""
	}
	env := c.envs[key]
	if env == nil {
		vars := expr.Claims | expr.Principal | expr.Scopes | expr.Request
		if key.actor {
			vars |= expr.Actor
		}
		var err error
		env, err = c.options.Library.Shelf(expr.Options{
			Vars: vars, ClaimTypes: mappers.ViewTypes(c.upstreams[key.upstream].ClaimTypes), RequestTypes: requestTypes(),
		})
		if err != nil {
			c.bad(path, "%v", err)
			return nil
		}
		c.envs[key] = env
	}
	program, err := env.Compile(source)
	if err != nil {
		c.bad(path, "%v", err)
		return nil
	}
	return program
}

// whose holds both conditions to saying whose claims they read, the subject's and the actor's: either condition sees both.
func (c *compiler) whose(r *Rule) {
	for _, when := range [...]*expr.Program{r.when, r.actor.when} {
		if when == nil {
			continue
		}
		reads := when.Reads()
		if r.Own && r.Upstream == "" {
			c.ambiguous("subject.upstream", reads.Claims, reads.Principal)
		}
		if r.actor.own && r.actor.upstream == "" {
			c.ambiguous("actor.upstream", reads.Actor)
		}
	}
}

// ambiguous refuses a claim that more than one upstream owns, where the rule does not say whose it means (P5).
func (c *compiler) ambiguous(path string, reads ...expr.Members) {
	emitters := map[string][]string{}
	for _, u := range c.options.Upstreams {
		for _, e := range u.Emits {
			if !slices.Contains(emitters[e.Claim], u.Name) {
				emitters[e.Claim] = append(emitters[e.Claim], u.Name)
			}
		}
	}
	for _, claim := range slices.Sorted(maps.Keys(emitters)) {
		if from := emitters[claim]; len(from) > 1 && slices.ContainsFunc(reads, func(m expr.Members) bool { return m.Has(claim) }) {
			c.bad(path, "want the upstream whose %s the condition reads, one of %q, got none", claim, from)
		}
	}
}

func claimsOf(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = "claims." + n
	}
	return strings.Join(out, ", ")
}

func (c *compiler) requester(r *Rule, s RequesterSpec) {
	switch {
	case s.Anonymous && len(s.Clients) > 0:
		c.bad("requester", "want clients or anonymous, got both")
	case s.Anonymous && s.PublicClients:
		c.bad("requester.public_clients", "want it with clients, got it with anonymous")
	case s.Anonymous && r.Own: // P21
		c.bad("requester.anonymous", "want a rule on an upstream's tokens, got issued: true")
	case !s.Anonymous && len(s.Clients) == 0:
		c.bad("requester.clients", "want at least one client, or anonymous: true, got none")
	}
	if s.Anonymous {
		r.requesters = []string{""}
		return
	}
	for i, id := range s.Clients {
		path := fmt.Sprintf("requester.clients[%d]", i)
		if _, known := c.clients[id]; !known {
			c.bad(path, "want a configured client, got %q", id)
		} else if slices.Contains(s.Clients[:i], id) {
			c.bad(path, "want each client once, got %q again", id)
		}
	}
	r.requesters, r.public = oauth.Unique(s.Clients), s.PublicClients
}

func (c *compiler) grant(r *Rule, s GrantSpec) {
	c.audiences(r, s.Audiences)
	c.scopes(r, s.Scopes)
	c.claims(r, s.Claims)
	c.tokenTypes(r, s.TokenTypes)
	r.TTL, r.Outlive, r.SingleUse = c.options.AccessTTL, s.OutliveSubject, s.SingleUse
	if s.TTL != nil {
		r.TTL = *s.TTL
		if r.TTL < minTTL || r.TTL > maxTTL || r.TTL%time.Second != 0 {
			c.bad("grant.ttl", "want %v to %v in whole seconds, got %v", minTTL, maxTTL, r.TTL)
		}
	}
	if s.OutliveSubject && r.Own { // P18
		c.bad("grant.outlive_subject", "want a rule on an upstream's tokens, got issued: true")
	}
}

func (c *compiler) audiences(r *Rule, audiences []string) {
	if len(audiences) == 0 {
		c.bad("grant.audiences", "want at least one, got none")
	}
	for i, a := range audiences {
		path := fmt.Sprintf("grant.audiences[%d]", i)
		switch {
		case a == "" || len(a) > maxNameLength || strings.ContainsFunc(a, func(c rune) bool { return c <= ' ' || c > '~' }):
			c.bad(path, "want 1 to %d visible ASCII characters, got %q", maxNameLength, a)
		case slices.Contains(audiences[:i], a):
			c.bad(path, "want each audience once, got %q again", a)
		}
	}
	r.Audiences = oauth.Unique(audiences)
}

func (c *compiler) scopes(r *Rule, scopes []ScopeSpec) {
	for i, s := range scopes {
		path := fmt.Sprintf("grant.scopes[%d]", i)
		if !oauth.ValidScope(s.Name) {
			c.bad(path, "want a scope name (RFC 6749 §3.3), got %q", s.Name)
		}
		if slices.ContainsFunc(r.Scopes, func(o Scope) bool { return o.Name == s.Name }) {
			c.bad(path, "want each scope once, got %q again", s.Name)
		}
		if len(s.From) > 0 && !r.Own {
			c.bad(path+".from", "want a plain name, got from: a token of an upstream carries no scopes of ours")
		}
		for k, from := range s.From {
			if !oauth.ValidScope(from) {
				c.bad(fmt.Sprintf("%s.from[%d]", path, k), "want a scope name (RFC 6749 §3.3), got %q", from)
			}
		}
		entry := Scope(s)
		if len(entry.From) == 0 {
			entry.From = []string{s.Name}
		}
		r.Scopes = append(r.Scopes, entry)
	}
}

func (c *compiler) claims(r *Rule, claims *[]string) {
	if r.MadeClaims = claims == nil; r.MadeClaims {
		return
	}
	for i, name := range *claims {
		if path := fmt.Sprintf("grant.claims[%d]", i); !mappers.ValidClaimName(name) {
			c.bad(path, "want a claim name, got %q", name)
		} else if mappers.Reserved(name) {
			c.bad(path, "want a claim that is not the broker's own, got %q", name)
		}
	}
	r.Claims = *claims
}

func (c *compiler) tokenTypes(r *Rule, types []string) {
	if types == nil {
		types = []string{oauth.ShortAccessToken, oauth.ShortJWT}
	}
	if len(types) == 0 {
		c.bad("grant.token_types", "want at least one, got none")
	}
	known := map[string]string{oauth.ShortAccessToken: oauth.TypeAccessToken, oauth.ShortJWT: oauth.TypeJWT, oauth.ShortIDToken: oauth.TypeIDToken}
	for i, name := range types {
		path := fmt.Sprintf("grant.token_types[%d]", i)
		if urn := known[name]; urn == "" {
			c.bad(path, "want one of %q, got %q", slices.Sorted(maps.Keys(known)), name)
		} else if slices.Contains(types[:i], name) {
			c.bad(path, "want each token type once, got %q again", name)
		} else {
			r.types = append(r.types, urn)
		}
	}
}
