package mappers

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fedbroker/mappers/expr"
	"fedbroker/mappers/library"
)

// maxSteps bounds what one identity can cost.
const maxSteps = 100

// Options describe one chain.
type Options struct {
	Upstream     string // whose claims these are: its name is the prefix of what it owns; required unless Client
	Client       bool   // a client's own mappers: their input is a principal, all of it passes, nothing is prefixed again
	Specs        []Spec
	EmailDomains []string             // domains for whose addresses the upstream may vouch
	EmailAny     bool                 // it may vouch for every address
	ClaimTypes   map[string]expr.Type // declared by the upstream's preset
	Library      *library.Library     // of the configuration, where equal expressions are one; nil: they are not
}

// ViewTypes are the declared types of an upstream's claims as expressions see them: whatever the upstream sends, email_verified is a bool.
func ViewTypes(declared map[string]expr.Type) map[string]expr.Type {
	types := map[string]expr.Type{claimEmailVerified: expr.Bool}
	for name, t := range declared {
		if name != claimEmailVerified {
			types[name] = t
		}
	}
	return types
}

// step is a mapper in its place.
type step struct {
	kind   string
	mapper Mapper
	target string // the one claim it can make; "" for none
	reads  reading
}

// builder is what a kind builds its step from.
type builder struct {
	spec               Spec
	index              int
	client             bool
	conditions, values *library.Shelf
	groupsPrefix       *string // as written so far
	report             func(path, format string, args ...any)
}

// Compile checks the options and builds the chain. It reports every problem, with a path relative to the upstream or client, such as
// "mappers[2].expression". A chain of which anything was reported refuses every identity.
func Compile(o Options, report func(path, format string, args ...any)) *Chain {
	c := &Chain{client: o.Client, targets: map[string]bool{}, prefixes: map[string]string{}}
	bad := func(path, format string, args ...any) {
		c.unfit = true
		report(path, format, args...)
	}
	c.email = newEmailRule(o, bad)
	if !o.Client && o.Upstream == "" {
		bad("name", "want the upstream's name, got none")
	}
	if len(o.Specs) > maxSteps {
		bad("mappers", "want at most %d, got %d", maxSteps, len(o.Specs))
		return c
	}
	b, err := newBuilder(o, bad)
	if err != nil {
		bad("mappers", "%v", err)
		return c
	}
	for i, spec := range o.Specs {
		b.index, b.spec = i, spec
		if s, ok := b.step(); ok {
			c.steps = append(c.steps, s)
			c.targets[s.target] = true
		}
	}
	delete(c.targets, "")
	if c.targets[claimEmail] {
		c.targets[claimEmailVerified] = true // settled together
	}
	if !o.Client {
		c.own(o.Upstream+":", b.groupsPrefix)
	}
	return c
}

// own notes the prefix of each owned claim that the chain can make.
func (c *Chain) own(prefix string, groupsPrefix *string) {
	for _, claim := range owned {
		if c.targets[claim] {
			c.prefixes[claim] = prefix
		}
	}
	if groupsPrefix != nil {
		c.prefixes[claimGroups] = *groupsPrefix
	}
}

func newBuilder(o Options, bad func(path, format string, args ...any)) (*builder, error) {
	b := &builder{client: o.Client, report: bad}
	eo := expr.Options{Vars: expr.Claims | expr.Principal, ClaimTypes: ViewTypes(o.ClaimTypes)}
	var err error
	if b.conditions, err = o.Library.Shelf(eo); err != nil {
		return nil, err
	}
	eo.Value = true
	b.values, err = o.Library.Shelf(eo)
	return b, err
}

func (b *builder) step() (step, bool) {
	k, ok := kinds[b.spec.Kind]
	if !ok {
		b.bad("kind", "want one of %s, got %q", strings.Join(Kinds(), ", "), b.spec.Kind)
		return step{}, false
	}
	for _, key := range b.spec.written() {
		if !slices.Contains(k.keys, key) {
			b.bad(key, "want only %s for kind %s", strings.Join(k.keys, ", "), b.spec.Kind)
		}
	}
	s := k.build(b)
	s.kind = b.spec.Kind
	return s, true
}

func (b *builder) bad(key, format string, args ...any) {
	b.report(indexed("mappers", b.index)+"."+key, format, args...)
}

func (b *builder) source(key, from string) source {
	s, err := newSource(from)
	if err != nil {
		b.bad(key, "%v", err)
	}
	return s
}

// target checks the name of a claim that a mapper is to make.
func (b *builder) target(key, name string) string {
	switch {
	case name == "":
		b.bad(key, "want a claim's name, got none")
	case Reserved(name):
		b.bad(key, "want a name that is not reserved, got %q", name)
	case !ValidClaimName(name):
		b.bad(key, "want a name of 1 to %d letters, digits and _:./- that begins with a letter or _, got %q", maxClaimName, name)
	case b.client && OwnedClaim(name) && b.spec.Kind != "groups":
		b.bad(key, "want a client's mappers to make %s by kind groups only, which keeps each value's owner, got kind %s", name, b.spec.Kind)
	}
	return name
}

func (b *builder) compile(shelf *library.Shelf) *expr.Program {
	p, err := shelf.Compile(b.spec.Expression)
	if err != nil {
		b.bad("expression", "%v", err)
	}
	return p
}

func indexed(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

// Emission is one owned claim that a chain can make, and the prefix that its values leave with.
type Emission struct{ Claim, Prefix string }

// Overlaps says whether two upstreams with these emissions can emit one and the same value.
func (e Emission) Overlaps(o Emission) bool {
	return e.Claim == o.Claim && (strings.HasPrefix(e.Prefix, o.Prefix) || strings.HasPrefix(o.Prefix, e.Prefix))
}

// Emits lists the owned claims that the chain can make, in the order of their names.
func (c *Chain) Emits() []Emission {
	var all []Emission
	for _, claim := range slices.Sorted(maps.Keys(c.prefixes)) {
		all = append(all, Emission{Claim: claim, Prefix: c.prefixes[claim]})
	}
	return all
}
