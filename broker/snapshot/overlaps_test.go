package snapshot

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"fedbroker/broker/rules"
	"fedbroker/mappers"
)

// What is found in the order of prefixes is what comparing all with all finds.
func TestOverlapping_FindsEveryPairInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	found := 0
	for round := range 500 {
		all := make([]rules.Upstream, 12)
		for i := range all {
			all[i].Name = fmt.Sprint("up-", i)
			for _, claim := range []string{"email", "groups"}[r.IntN(3)/2:] {
				all[i].Emits = append(all[i].Emits, mappers.Emission{Claim: claim, Prefix: pick("", "a", "ab", "abc", "b:", "b", "ac", "abd", "c:x", "c:y")})
			}
		}
		var want []pair
		for second, b := range all {
			for first, a := range all[:second] {
				if len(overlaps(a.Emits, b.Emits)) > 0 {
					want = append(want, pair{first, second})
				}
			}
		}
		if got := overlapping(all); !slices.Equal(got, want) {
			t.Fatalf("round %d: want %v, got %v of %+v", round, want, got, all)
		}
		found += len(want)
	}
	if found < 1000 {
		t.Errorf("want many pairs to compare, got %d", found)
	}
}
