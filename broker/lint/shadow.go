package lint

import (
	"fmt"
	"slices"
	"strings"

	"fedbroker/broker/rules"
)

// selection is what two rules must share for one of them to stand before the other at all.
type selection struct {
	own                 bool
	upstream, requester string
}

// file keeps a rule for those that follow it. A rule in mode audit decides nothing, and so stands before none.
func (p *policy) file(r *rule) {
	if p.filed == nil {
		p.filed = map[selection][]*rule{}
	}
	if r.Mode == modeAudit {
		return
	}
	for _, requester := range r.requesters {
		key := selection{r.Subject.Issued, r.Subject.Upstream, requester}
		p.filed[key] = append(p.filed[key], r)
	}
}

const (
	modeAudit   = "audit"
	boundAccept = "accept"
)

// maxCompared bounds the rules before one that it is held against: with each upstream, requester and audience there are at most 100.
const maxCompared = 200

// before are the rules in front of r that take its subjects from a requester, in the order of the file.
func (p *policy) before(r *rule, requester string) []*rule {
	key := selection{r.Subject.Issued, r.Subject.Upstream, requester}
	all := p.filed[key]
	if key.own && key.upstream != "" { // a rule on all our tokens takes those of each upstream, too
		key.upstream = ""
		all = slices.Concat(all, p.filed[key])
		slices.SortFunc(all, func(a, b *rule) int { return a.position - b.position })
	}
	return all[:min(len(all), maxCompared)]
}

// covers tells whether e takes whatever r takes, from a requester that both name, if the audiences are e's.
func (p *policy) covers(e, r *rule, requester string) bool {
	if p.clients[requester].Public && !e.Requester.PublicClients || r.BoundSubject == boundAccept && e.BoundSubject != boundAccept || e.delegation != r.delegation {
		return false
	}
	for _, t := range r.types {
		if !slices.Contains(e.types, t) {
			return false
		}
	}
	return (!r.delegation || selects(*e.Actor, *r.Actor) && r.actor.implies(e.actor)) && r.when.implies(e.when)
}

// selects tells whether actors of b are actors of a.
func selects(a, b rules.ActorSpec) bool {
	return a.Issued == b.Issued && (a.Upstream == b.Upstream || a.Issued && a.Upstream == "")
}

// shadows reports what of a rule never decides, since rules before it take the same.
func (p *policy) shadows(r *rule, warn Report) {
	var never, by []string
	part := map[string][]string{} // rule → what it takes
	for _, requester := range r.requesters {
		for _, e := range p.before(r, requester) {
			if !p.covers(e, r, requester) {
				continue
			}
			shared := slices.DeleteFunc(slices.Clone(r.Grant.Audiences), func(a string) bool { return !slices.Contains(e.Grant.Audiences, a) })
			if len(shared) == len(r.Grant.Audiences) {
				never = append(never, requester)
				by = append(by, e.name())
				break
			}
			if len(shared) > 0 {
				part[e.name()] = append(part[e.name()], fmt.Sprintf("%s at %s", who(requester), named(shared)))
			}
		}
	}
	slices.Sort(by)
	by = slices.Compact(by)
	switch {
	case len(never) == len(r.requesters) && len(never) > 0:
		warn("id", "rule %q never decides: %s before it takes all that it would", r.ID, strings.Join(by, " or "))
		return
	case len(never) > 0:
		warn("requester.clients", "rule %q never decides for %s: %s before it takes all that it would", r.ID, named(never), strings.Join(by, " or "))
	}
	for _, e := range sortedKeys(part) {
		warn("grant.audiences", "rule %q never decides for %s: %s before it does", r.ID, strings.Join(part[e], ", or for "), e)
	}
}

func (r *rule) name() string { return fmt.Sprintf("%q (exchange[%d])", r.ID, r.position) }
