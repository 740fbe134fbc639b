package journal

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"fedbroker/store"
	"fedbroker/store/engines"
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

// BenchmarkFirstName names subjects that were never seen, of which none, or 1,000, were erased before.
func BenchmarkFirstName(b *testing.B) {
	for _, erased := range []int{0, 1000} {
		b.Run(strconv.Itoa(erased)+"_erased", func(b *testing.B) {
			e, err := engines.Open("bbolt", engines.Options{Path: filepath.Join(b.TempDir(), "b.db")})
			if err != nil {
				b.Fatal(err)
			}
			defer e.Close()
			sealing, err := store.NewSealer([]store.SealKey{{Key: [32]byte{1}}})
			if err != nil {
				b.Fatal(err)
			}
			s, err := NewSubjects(b.Context(), SubjectsOptions{Engine: e, Sealing: sealing})
			if err != nil {
				b.Fatal(err)
			}
			for i := range erased {
				if err := s.Erase(b.Context(), "erased|"+strconv.Itoa(i)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if _, err := s.Name(b.Context(), "repo:acme/app:run:"+strconv.Itoa(i)); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkErase includes loading the tree anew.
func BenchmarkErase(b *testing.B) {
	e, err := engines.Open("memory", engines.Options{})
	if err != nil {
		b.Fatal(err)
	}
	sealing, err := store.NewSealer([]store.SealKey{{Key: [32]byte{1}}})
	if err != nil {
		b.Fatal(err)
	}
	s, err := NewSubjects(b.Context(), SubjectsOptions{Engine: e, Sealing: sealing})
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	for b.Loop() {
		if err := s.Erase(b.Context(), "erased|"+strconv.Itoa(i)); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
