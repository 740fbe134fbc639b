package journal

import (
	"strings"
	"sync/atomic"
	"testing"
)

// BenchmarkAppend is a line of an exchange's size under Wait, 64 callers; compare user and system time, not the wall's.
func BenchmarkAppend(b *testing.B) {
	j, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	payload := []byte(`{"event":"token.exchanged","rule":"` + strings.Repeat("r", 550) + `"}`)
	const callersEach = 32 // on two processors: 64
	b.SetParallelism(callersEach)
	b.ReportAllocs()
	var failed atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := j.Append(b.Context(), payload); err != nil {
				failed.Add(1)
			}
		}
	})
	if failed.Load() > 0 {
		b.Errorf("%d appends failed", failed.Load())
	}
}
