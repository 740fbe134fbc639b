package mappers

import (
	"maps"
	"slices"

	"fedbroker/mappers/expr"
)

// reading is what a step can look at.
type reading struct {
	claims expr.Members // of the upstream's claims
	made   expr.Members // of what earlier steps made
	path   []string     // into the one claim that it reads, where it reads but a part of it; nil: all of it
}

// readsOf is what a program reads; one that did not compile reads nothing.
func readsOf(p *expr.Program) reading {
	if p == nil {
		return reading{}
	}
	r := p.Reads()
	return reading{claims: r.Claims, made: r.Principal}
}

// reads is where a source looks: among what earlier steps made, then among the upstream's claims.
func (s source) reads() reading {
	one := expr.Members{Names: []string{s.name}}
	r := reading{claims: one, made: one}
	if len(s.tokens) > 1 {
		r.path = s.tokens[1:]
	}
	return r
}

// Reader is one step of a chain, by what it reads and makes.
type Reader struct {
	Kind   string
	Makes  string       // the one claim that it can make; "" for none
	Claims expr.Members // of the upstream's claims it can look at
	Made   expr.Members // of what earlier steps made
	Path   []string     // into the one claim that it looks at, where that is but a part of it; nil: all of it
}

// Readers lists the steps in order, the preset's conditions among them.
func (c *Chain) Readers() []Reader {
	all := make([]Reader, len(c.steps))
	for i, s := range c.steps {
		all[i] = Reader{Kind: s.kind, Makes: s.target, Claims: s.reads.claims, Made: s.reads.made, Path: slices.Clone(s.reads.path)}
	}
	return all
}

// Passes tells whether a claim of the upstream gets into the principal by itself, without a step that makes it.
func (c *Chain) Passes(name string) bool {
	standard := c.client
	for i := range profile {
		standard = standard || profile[i].name == name
	}
	return standard && !c.targets[name]
}

// Reads are the upstream's claims that the chain can look at or pass on.
func (c *Chain) Reads() expr.Members {
	all := map[string]bool{}
	for i := range profile {
		all[profile[i].name] = true
	}
	r := expr.Members{All: c.client}
	for _, s := range c.steps {
		r.All = r.All || s.reads.claims.All
		for _, name := range s.reads.claims.Names {
			all[name] = true
		}
	}
	r.Names = slices.Sorted(maps.Keys(all))
	return r
}
