package snapshot

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fedbroker/broker/rules"
	"fedbroker/mappers"
)

// warnOverlaps names every pair of upstreams that can emit one value of a claim that has an owner (P5).
func warnOverlaps(all []rules.Upstream, warn Report) {
	for _, p := range overlapping(all) {
		a, b := all[p.first], all[p.second]
		for _, claim := range overlaps(a.Emits, b.Emits) {
			warn(fmt.Sprintf("upstreams[%d].mappers", p.second), "%s can emit the same %s as %s (upstreams[%d])", b.Name, claim, a.Name, p.first)
		}
	}
}

// pair is two upstreams by their places, the first before the second.
type pair struct{ first, second int }

// emission is one claim that an upstream can make.
type emission struct {
	mappers.Emission
	upstream int
}

// overlapping are the pairs whose emissions overlap, in order. In the order of their prefixes, those that one emission overlaps with follow it at once:
// so each is compared with the prefixes that it begins with, and with nobody else.
func overlapping(all []rules.Upstream) []pair {
	var emissions []emission
	for i, u := range all {
		for _, e := range u.Emits {
			emissions = append(emissions, emission{e, i})
		}
	}
	slices.SortFunc(emissions, func(a, b emission) int {
		return cmp.Or(strings.Compare(a.Claim, b.Claim), strings.Compare(a.Prefix, b.Prefix), a.upstream-b.upstream)
	})
	var (
		pairs []pair
		begun []emission // whose prefixes the one at hand begins with
	)
	for _, e := range emissions {
		for len(begun) > 0 && !begun[len(begun)-1].Overlaps(e.Emission) {
			begun = begun[:len(begun)-1]
		}
		for _, other := range begun {
			if other.upstream != e.upstream {
				pairs = append(pairs, pair{min(other.upstream, e.upstream), max(other.upstream, e.upstream)})
			}
		}
		begun = append(begun, e)
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(a.second-b.second, a.first-b.first) })
	return slices.Compact(pairs)
}

func overlaps(a, b []mappers.Emission) (claims []string) {
	for _, x := range a {
		for _, y := range b {
			if x.Overlaps(y) {
				claims = append(claims, x.Claim)
			}
		}
	}
	return claims
}
