package rules

import "fedbroker/mappers/expr"

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
