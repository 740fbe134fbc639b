package policytest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"fedbroker/mappers"
)

// Mismatch is one thing that is not as it was expected.
type Mismatch struct {
	What string `json:"what"` // the key of Expect, such as rule or claims.commit
	Want string `json:"want"`
	Got  string `json:"got"`
}

// absent stands for a value that is not there.
const absent = "(none)"

// compare holds an outcome to what was expected, in the order of Expect's keys. Where the decision is another one, the rest means nothing.
func (x Expect) compare(got Outcome) []Mismatch {
	c := comparison{}
	if c.text("decision", x.Decision, got.Decision); len(c.found) > 0 {
		return c.found
	}
	c.text("rule", x.Rule, got.Rule)
	c.text("reason", x.Reason, got.Reason)
	c.text("condition", x.Condition, got.Condition)
	c.text("error", x.Error, got.Error)
	c.text("sub", x.Sub, got.Sub)
	if x.Audiences != nil {
		c.set("audiences", x.Audiences, got.Audiences)
	}
	if x.Scopes != nil {
		c.set("scopes", *x.Scopes, got.Scopes)
	}
	if x.Lifetime != nil {
		c.text("lifetime", x.Lifetime.String(), got.Lifetime)
	}
	if x.Act != nil && !slices.Equal(*x.Act, got.Act) {
		c.differs("act", list(*x.Act), list(got.Act))
	}
	if x.Bound != nil && *x.Bound != got.Bound {
		c.differs("bound", fmt.Sprint(*x.Bound), fmt.Sprint(got.Bound))
	}
	for _, name := range slices.Sorted(maps.Keys(x.Claims)) {
		c.claim(name, x.Claims[name], got.Claims)
	}
	if x.OnlyClaims {
		for _, name := range slices.Sorted(maps.Keys(got.Claims)) {
			if _, wanted := x.Claims[name]; !wanted && !mappers.Reserved(name) {
				c.differs("claims."+name, absent, shown(got.Claims[name]))
			}
		}
	}
	return c.found
}

type comparison struct{ found []Mismatch }

func (c *comparison) differs(what, want, got string) {
	if got == "" {
		got = absent
	}
	c.found = append(c.found, Mismatch{what, want, got})
}

func (c *comparison) text(what, want, got string) {
	if want != "" && want != got {
		c.differs(what, want, got)
	}
}

// set compares without regard to order: neither scope nor aud has one (RFC 6749 §3.3, RFC 7519 §4.1.3).
func (c *comparison) set(what string, want, got []string) {
	w, g := slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(got))
	if !slices.Equal(w, g) {
		c.differs(what, list(w), list(g))
	}
}

func list(values []string) string { return "[" + strings.Join(values, ", ") + "]" }

func (c *comparison) claim(name string, want any, claims map[string]any) {
	w, g := absent, absent
	if want != nil {
		w = shown(want)
	}
	if v, there := claims[name]; there {
		g = shown(v)
	}
	if w != g {
		c.differs("claims."+name, w, g)
	}
}

// shown is a value as JSON writes it, names in order: two values are one if they are shown alike.
func shown(v any) string {
	text, err := plainJSON(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(text)
}
