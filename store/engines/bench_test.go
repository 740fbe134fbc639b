package engines

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"fedbroker/store"
)

// BenchmarkCommit spends a jti a commit: alone, and with 64 callers (on two processors) who share each transaction.
func BenchmarkCommit(b *testing.B) {
	for _, c := range []struct {
		name    string
		callers int // for each processor
	}{{"alone", 0}, {"64 callers", 32}} {
		b.Run(c.name, func(b *testing.B) {
			e, err := Open("bbolt", Options{Path: filepath.Join(b.TempDir(), "db")})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			now, failed := time.Now(), atomic.Int64{}
			spend := func() {
				if _, err := e.Commit(b.Context(), store.Put("jti", store.NewKey(now), nil, store.Absent, now.Add(time.Hour))); err != nil {
					failed.Add(1)
				}
			}
			b.ReportAllocs()
			if c.callers == 0 {
				for b.Loop() {
					spend()
				}
			} else {
				b.SetParallelism(c.callers)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						spend()
					}
				})
			}
			if failed.Load() > 0 {
				b.Errorf("%d commits failed", failed.Load())
			}
		})
	}
}
