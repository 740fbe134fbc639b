// Package lint reads an exchange policy as a reviewer does: it finds rules that can never decide, rules that nobody can match, and patterns that
// admit more than whoever wrote them can have meant. For these it makes a witness: a text of somebody hostile that the pattern admits.
//
// Nothing here refuses anything; what must not be is refused where rules are compiled. It takes a configuration in which nothing is wrong, and
// what it can't tell it leaves unsaid.
package lint

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/broker/settings"
	"fedbroker/mappers"
)

// Report takes what is odd: the path of the configuration at which it is, and a text.
type Report = func(path, format string, args ...any)

// Policy reports what is odd about the rules of a configuration, and about the conditions and patterns of its upstreams' mappers.
func Policy(c settings.Config, warn Report) {
	read, err := newConditions()
	if err != nil {
		warn("exchange", "%v", err)
		return
	}
	p := policy{config: c.WithDefaults(), read: read, clients: map[string]clients.Spec{}, upstreams: map[string]settings.UpstreamSpec{}}
	for _, cl := range c.Clients {
		p.clients[cl.ID] = cl
	}
	for _, u := range c.Upstreams {
		p.upstreams[u.Name] = u
	}
	p.given = given(c)
	for i, spec := range c.Exchange {
		if spec.Subject == nil || spec.Requester == nil || spec.Grant == nil {
			return // reported by whoever compiles the rules
		}
		p.rules = append(p.rules, p.rule(i, spec))
	}
	for i := range p.rules {
		r := &p.rules[i]
		at := func(path, format string, args ...any) { warn(fmt.Sprintf("exchange[%d].%s", i, path), format, args...) }
		if !p.unmatched(r, at) {
			p.shadows(r, at)
		}
		p.wide("subject.when", r.when, r, at)
		if r.actor != nil {
			p.wide("actor.when", r.actor, r, at)
		}
		p.file(r)
	}
	p.mappers(warn)
}

// policy is a configuration as its rules are read one after the other.
type policy struct {
	config    settings.Config
	read      *conditions
	clients   map[string]clients.Spec
	upstreams map[string]settings.UpstreamSpec
	given     map[string]bool // audiences that tokens of ours can have
	rules     []rule
	filed     map[selection][]*rule // rules that were read, in the order of the file
}

// rule is one entry, its defaults written.
type rule struct {
	rules.Spec
	position   int
	requesters []string // client ids; [""] for nobody in particular
	types      []string
	when       *condition
	delegation bool
	actor      *condition // nil under impersonation
}

func (p *policy) rule(i int, s rules.Spec) rule {
	r := rule{
		Spec: s, position: i, requesters: s.Requester.Clients, types: s.Grant.TokenTypes,
		when: p.read.of(s.Subject.When), delegation: s.Actor != nil && *s.Actor != rules.ActorSpec{},
	}
	if s.Requester.Anonymous {
		r.requesters = []string{""}
	}
	if r.types == nil {
		r.types = []string{oauth.ShortAccessToken, oauth.ShortJWT}
	}
	if r.delegation {
		r.actor = p.read.of(s.Actor.When)
	}
	return r
}

// wide reports each pattern of a condition that admits somebody hostile.
func (p *policy) wide(path string, c *condition, r *rule, warn Report) {
	c.wide(func(t test, witness string, way []test) {
		text := fmt.Sprintf("%q also admits %q", t.text, witness)
		if witness == "" {
			text = fmt.Sprintf("%q also admits the empty text", t.text)
		}
		if owner := p.owner(r, way); owner != "" {
			text += "; nothing but the condition on " + owner + " keeps a stranger's out"
		}
		warn(path, "%s", text)
	})
}

// owner is a claim by which the same way names whose token it must be, "" for none.
func (p *policy) owner(r *rule, way []test) string {
	if r == nil {
		return ""
	}
	for _, t := range way {
		name, claim := strings.CutPrefix(strings.TrimSuffix(strings.TrimPrefix(t.of, "str("), ")"), "claims.")
		if claim && t.op == oneOf && !t.not && (strings.HasSuffix(name, "owner_id") || strings.HasSuffix(name, "namespace_id") || strings.HasSuffix(name, "organization_id") || name == "tid") {
			return "claims." + name
		}
	}
	return ""
}

// mappers judges the conditions of require and cel, and what groups keeps, the same way.
func (p *policy) mappers(warn Report) {
	for i, u := range p.config.Upstreams {
		for k, m := range u.Mappers {
			at := fmt.Sprintf("upstreams[%d].mappers[%d]", i, k)
			if m.Kind == kindRequire {
				p.wide(at+".expression", p.read.of(m.Expression), nil, warn)
			}
			keepAll(at, m, warn)
		}
	}
}

const kindRequire = "require" // of mappers; cel makes values, which say nothing by themselves

func keepAll(at string, m mappers.Spec, warn Report) {
	for n, pattern := range m.Keep {
		anchored := "^(?:" + pattern + ")$"
		if _, err := regexp.Compile(anchored); err != nil {
			continue
		}
		for _, witness := range patternWitnesses("groups", anchored, true) {
			if witness != evil && witness != "" { // .* is what it says, and a group without a name is none
				warn(fmt.Sprintf("%s.keep[%d]", at, n), "%q also admits %q", pattern, witness)
				break
			}
		}
	}
}

// named joins names for a sentence.
func named(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(quoted, ", ")
}

// who is a requester for a sentence.
func who(requester string) string { return cmp.Or(requester, "nobody in particular") }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func indexed(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

func quote(text string) string { return fmt.Sprintf("%q", text) }
