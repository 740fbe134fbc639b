// Package rules is the exchange policy as the operator writes it: rules that compile once, an index that finds the few which can apply,
// which of them decides a request, and why the others do not. What the deciding rule comes to is broker/policy's.
//
// Default deny: without a rule that applies nothing is granted, rules are never combined, and there are no deny rules.
package rules

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/mappers"
	"fedbroker/mappers/expr"
	"fedbroker/mappers/library"
)

// Upstream is what the policy has to know of a configured upstream.
type Upstream struct {
	Name        string
	Exchange    bool     // has audiences to exchange from
	Shared      bool     // its issuer speaks for strangers, too: rules must pin an owner
	OwnerClaims []string // claims that name an owner immutably
	ClaimTypes  map[string]expr.Type
	Emits       []mappers.Emission
	Leeway      time.Duration
}

// Client is what the policy has to know of a configured client.
type Client struct {
	ID         string
	Public     bool
	IDTokenAlg string // that ID tokens for it are signed by
}

// Options are what Compile needs.
type Options struct {
	Rules     []Spec
	Upstreams []Upstream
	Clients   []Client
	AccessTTL time.Duration // of rules without a ttl and of client_credentials
	Leeway    time.Duration // of our own tokens
	ActDepth  int           // longest chain of actors; 0: DefaultActDepth
	Library   *library.Library
}

// DefaultActDepth is the longest chain of actors where the options name none (P20).
const DefaultActDepth = 8

// maxPerTriple is how many rules one (subject's upstream, requester, audience) may have: each of them can cost an evaluation.
const maxPerTriple = 100

// Set is the compiled exchange policy. It is immutable and safe for concurrent use.
type Set struct {
	rules        []Rule
	candidate    map[candidateKey][]*Rule // in file order
	reach        map[reachKey][]*Rule
	clients      map[string]Client
	requester    map[string]bool         // clients that a rule names, true: one that is enforced
	public       map[string]bool         // public clients that a rule with public_clients names
	upstream     map[string]expr.Members // what rules read of an external upstream's claims
	actor        map[string]bool         // upstreams whose tokens a rule takes as actors
	sources      map[sourceKey][]string  // upstreams whose tokens a requester's rules take
	actDepth     int
	leeway       map[string]time.Duration
	anonymous    bool
	readsRequest bool          // some condition does
	TTL          time.Duration // of tokens that no rule bounds
}

// Rule is one compiled rule. It is not to be written.
type Rule struct {
	ID         string
	Own        bool     // its subjects are tokens of ours
	Upstream   string   // "" with Own: of whatever upstream
	Audiences  []string // what it gives, at most
	Scopes     []Scope
	Claims     []string // names
	MadeClaims bool     // grant.claims is absent
	TTL        time.Duration
	Outlive    bool // the result may outlive an external subject
	SingleUse  bool
	Delegation bool // the result names an actor; else it is impersonation

	position   int
	when       *expr.Program
	actor      actor
	requesters []string // client ids; [""] for an anonymous rule
	public     bool     // public clients among them, too
	bound      bool     // takes a subject that is bound to another's key
	types      []string // token type identifiers
	audit      bool
}

// actor selects who acts under a rule of delegation: a token of ours or an upstream's; itself: the requester by a token of its own.
type actor struct {
	itself, own bool
	upstream    string
	when        *expr.Program
}

// Scope is one scope that a rule can give; From is never empty where the subject's scopes bound it.
type Scope struct {
	Name string
	From []string
}

// candidateKey finds rules by everything that is known before a condition runs; audience "" is any. The requester "" is anonymous.
type candidateKey struct {
	own                           bool
	upstream, requester, audience string
}

type reachKey struct{ requester, audience string }

type sourceKey struct {
	requester string
	actor     bool
}

// index files the rules under their keys.
func (p *Set) index() {
	for i := range p.rules {
		r := &p.rules[i]
		for _, when := range []*expr.Program{r.when, r.actor.when} {
			if when != nil {
				request := when.Reads().Request
				p.readsRequest = p.readsRequest || request.All || len(request.Names) > 0
			}
		}
		if r.Delegation && !r.actor.own && !r.actor.itself {
			p.actor[r.actor.upstream] = true
		}
		if !r.Own {
			p.upstream[r.Upstream] = join(p.upstream[r.Upstream], r.reads())
		}
		for _, requester := range r.requesters {
			p.requester[requester] = p.requester[requester] || !r.audit // named, and true: by a rule that is enforced
			if !r.audit {                                               // a rule that is only tried opens no door
				p.anonymous = p.anonymous || requester == ""
				p.public[requester] = p.public[requester] || r.public
				p.source(sourceKey{requester, false}, r.Upstream, !r.Own)
				p.source(sourceKey{requester, true}, r.actor.upstream, r.Delegation && !r.actor.own && !r.actor.itself)
			}
			for _, audience := range append([]string{""}, r.Audiences...) {
				c, k := candidateKey{r.Own, r.Upstream, requester, audience}, reachKey{requester, audience}
				p.candidate[c] = append(p.candidate[c], r)
				p.reach[k] = append(p.reach[k], r)
			}
		}
	}
}

func (p *Set) source(key sourceKey, upstream string, external bool) {
	if external && !slices.Contains(p.sources[key], upstream) {
		p.sources[key] = append(p.sources[key], upstream)
	}
}

// Sources are the upstreams whose tokens the requester's rules take, as subjects or as actors, in file order.
func (p *Set) Sources(q *oauth.Requester, asActor bool) []string {
	return p.sources[sourceKey{requesterKey(q), asActor}]
}

// reads are the subject's claims that the rule reads before mapping: the actor's condition sees them, too.
func (r *Rule) reads() (all expr.Members) {
	for _, when := range [...]*expr.Program{r.when, r.actor.when} {
		if when != nil {
			all = join(all, when.Reads().Claims)
		}
	}
	return all
}

func join(a, b expr.Members) expr.Members {
	names := slices.Concat(a.Names, b.Names)
	slices.Sort(names)
	return expr.Members{All: a.All || b.All, Names: slices.Compact(names)}
}

// HasAnonymous tells whether any rule takes requests of nobody: without one, absent client credentials are an error.
func (p *Set) HasAnonymous() bool { return p.anonymous }

// KnowsUpstream tells whether a rule takes this upstream's tokens as external subjects.
func (p *Set) KnowsUpstream(name string) bool { _, ok := p.upstream[name]; return ok }

// KnowsActor tells whether a rule takes this upstream's tokens as actors.
func (p *Set) KnowsActor(name string) bool { return p.actor[name] }

// Reads are the claims of an upstream's tokens that rules read.
func (p *Set) Reads(upstream string) expr.Members { return p.upstream[upstream] }

// Longest is the longest life that a token of this policy can have.
func (p *Set) Longest() time.Duration {
	longest := p.TTL
	for i := range p.rules {
		longest = max(longest, p.rules[i].TTL)
	}
	return longest
}

// Admits refuses a requester that no rule names, and public clients that no rule takes as such: the error is an unauthorized_client. Whom only
// rules in mode audit name may go on, to be judged by them; Decide refuses in the same words.
func (p *Set) Admits(r oauth.Requester) error {
	key := requesterKey(&r)
	_, named := p.requester[key]
	switch {
	case r.Public && !p.public[key]:
		return oauth.Deny(oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed).Because(fmt.Errorf("no rule takes the public client %s", r.ClientID))
	case !named:
		return oauth.Deny(oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed).Because(fmt.Errorf("no rule names client %q", r.ClientID))
	}
	return nil
}

// Reaches tells whether some rule leads this requester to all the targets, whoever the subject is. Without targets a rule with
// exactly one audience does; or any that issues ID tokens, if one is asked for: that is for the requester itself (P22).
func (p *Set) Reaches(r *oauth.Requester, targets []string, tokenType string) bool {
	return p.reaches(r, targets, tokenType, true)
}

func (p *Set) reaches(q *oauth.Requester, targets []string, tokenType string, audit bool) bool {
	return slices.ContainsFunc(p.reach[reachKey{requesterKey(q), first(targets)}], func(r *Rule) bool {
		return (audit || !r.audit) && (r.Covers(targets) || len(targets) == 0 && tokenType == oauth.TypeIDToken && slices.Contains(r.types, tokenType))
	})
}

// Covers tells whether the rule gives all the targets; none means its only one.
func (r *Rule) Covers(targets []string) bool {
	if len(targets) == 0 {
		return len(r.Audiences) == 1
	}
	for _, t := range targets {
		if !slices.Contains(r.Audiences, t) {
			return false
		}
	}
	return true
}

// requesterKey is the index key of a requester: an anonymous one has no client id, and a client always has one.
func requesterKey(r *oauth.Requester) string {
	if r.Anonymous {
		return ""
	}
	return cmp.Or(r.ClientID, "\x00nobody")
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
