package rules

import (
	"slices"

	"fedbroker/mappers/expr"
)

// Reader is a part of a rule that looks at somebody's claims.
type Reader struct {
	Rule, Part string       // Part as the configuration has it, such as subject.when
	Upstream   string       // whose they are; "" with Own: of whatever upstream
	Own        bool         // by a token of ours
	Claims     expr.Members // before mapping
	Principal  expr.Members // after it; of a token of ours its claims
}

// Readers lists what of each rule reads what, in file order.
func (p *Set) Readers() (all []Reader) {
	for i := range p.rules {
		r := &p.rules[i]
		for _, c := range [...]struct {
			part string
			when *expr.Program
		}{{"subject.when", r.when}, {"actor.when", r.actor.when}} {
			if c.when == nil {
				continue
			}
			reads := c.when.Reads()
			subject := Reader{Rule: r.ID, Part: c.part, Upstream: r.Upstream, Own: r.Own, Claims: reads.Claims, Principal: reads.Principal}
			if r.Own {
				subject.Claims, subject.Principal = expr.Members{}, join(reads.Claims, reads.Principal)
			}
			all = append(all, subject)
			if r.Delegation && !r.actor.itself {
				all = append(all, Reader{Rule: r.ID, Part: c.part, Upstream: r.actor.upstream, Own: r.actor.own, Principal: reads.Actor})
			}
		}
		if len(r.Claims) > 0 {
			names := slices.Sorted(slices.Values(r.Claims))
			all = append(all, Reader{Rule: r.ID, Part: "grant.claims", Upstream: r.Upstream, Own: r.Own, Principal: expr.Members{Names: names}})
		}
	}
	return all
}

// ReadsBy are the claims that the conditions of one rule read: of an external subject before mapping, and of tokens of ours, as subject or as actor.
func (p *Set) ReadsBy(id string) (external, own expr.Members) {
	for i := range p.rules {
		r := &p.rules[i]
		if r.ID != id {
			continue
		}
		external = r.reads()
		if r.when != nil {
			own = join(external, r.when.Reads().Principal)
		}
		if r.actor.when != nil {
			own = join(own, r.actor.when.Reads().Actor)
		}
	}
	return external, own
}
