package revoke_test

import (
	"fmt"
	"testing"
	"time"

	"fedbroker/broker/revoke"
)

// BenchmarkCheck: thirteen facts of a token against 1,000 revocations of each kind that it has.
func BenchmarkCheck(b *testing.B) {
	s := open(b, revoke.Options{Engine: memory(b, time.Now), MaxStale: time.Hour})
	for _, k := range revoke.Kinds() {
		for i := range 1000 {
			must(b, s.Revoke(b.Context(), k, fmt.Sprint("id-", i), time.Now(), time.Now().Add(time.Hour)))
		}
	}
	now := time.Now().Add(time.Minute)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Check(token, now); err != nil {
			b.Fatal(err)
		}
	}
}
