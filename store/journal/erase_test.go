package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fedbroker/store"
	"fedbroker/store/engines"
)

func erase(t *testing.T, s *Subjects, subject string) {
	t.Helper()
	if err := s.Erase(t.Context(), subject); err != nil {
		t.Fatal(err)
	}
}

func wantErased(t *testing.T, s *Subjects, named Subject) {
	t.Helper()
	if subject, err := s.Reveal(t.Context(), named); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("reveal of an erased line: %q, %v", subject, err)
	}
}

func wantRevealed(t *testing.T, s *Subjects, named Subject, want string) {
	t.Helper()
	if subject, err := s.Reveal(t.Context(), named); err != nil || subject != want {
		t.Errorf("reveal: %q, %v, want %q", subject, err, want)
	}
}

// TestTree_PuncturedLeafIsCoveredByNothing looks at the nodes themselves: with none that covers a position, nothing derives it.
func TestTree_PuncturedLeafIsCoveredByNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const number = 5
		inGroup := rapid.Custom(func(rt *rapid.T) uint64 {
			low := rapid.Uint64Range(0, 1<<(64-groupBits)-1).Draw(rt, "low")
			return uint64(number)<<(64-groupBits) | low>>rapid.SampledFrom([]int{0, 20, 44}).Draw(rt, "nearness")
		})
		whole := wholeGroup(number, treeKey{7})
		others := rapid.SliceOfN(inGroup, 1, 20).Draw(rt, "others")
		out := make(map[uint64]bool)
		g := whole
		for _, position := range rapid.SliceOfN(inGroup, 1, 20).Draw(rt, "punctured") {
			g = g.without(position)
			out[position] = true
			others = append(others, position, position^1, position^1<<40)
		}
		g, err := decodeGroup(g.encode())
		if err != nil {
			rt.Fatal(err)
		}
		for _, position := range others {
			i := g.cover(position)
			if out[position] != (i < 0) {
				rt.Fatalf("position %x: punctured %v, covered by node %d", position, out[position], i)
			}
			if i >= 0 && g[i].leaf(position) != whole[0].leaf(position) {
				rt.Fatalf("position %x got another key", position)
			}
		}
		for i, n := range g {
			for position := range out {
				if n.covers(position) {
					rt.Fatalf("node %d covers the punctured %x", i, position)
				}
			}
		}
	})
}

type erasureStep struct {
	Do, Subject string
	Replica     int
}

// TestP48_ExactlyTheErasedAreUnreadable after any sequence of sightings and erasures, by two processes, across restarts. Few
// sequences, but long ones: to open a tree takes longer than a step.
func TestP48_ExactlyTheErasedAreUnreadable(t *testing.T) {
	step := rapid.Custom(func(rt *rapid.T) erasureStep {
		return erasureStep{
			Do:      rapid.SampledFrom([]string{"name", "name", "name", "erase", "restart"}).Draw(rt, "do"),
			Subject: rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "subject"),
			Replica: rapid.IntRange(0, 1).Draw(rt, "replica"),
		}
	})
	steps := rapid.SliceOfN(step, 10, 20)
	for seed := range 2 {
		checkErasures(t, steps.Example(seed))
	}
}

func checkErasures(t *testing.T, steps []erasureStep) {
	e := newEngine(t)
	replicas := []*Subjects{newSubjects(t, e), newSubjects(t, e)}
	lines, erased := make(map[Subject]string), make(map[string]bool) // names by line; MACs
	for i, step := range steps {
		s := replicas[step.Replica]
		switch step.Do {
		case "name":
			s.checked.Store(0)
			named := name(t, s, step.Subject)
			if erased[named.MAC] {
				t.Fatalf("step %d of %v: the MAC of an erased subject", i, steps)
			}
			lines[named] = step.Subject
		case "erase":
			erase(t, s, step.Subject)
			for named, of := range lines {
				erased[named.MAC] = erased[named.MAC] || of == step.Subject
			}
		case "restart":
			replicas[step.Replica] = newSubjects(t, e)
		}
	}
	for named, subject := range lines {
		for _, s := range replicas {
			if erased[named.MAC] {
				wantErased(t, s, named)
			} else {
				wantRevealed(t, s, named, subject)
			}
		}
	}
}

// TestP48_ErasedMACIsNotConfirmedByTheRightGuess: the process has every key, and the name; no pseudonym that it can derive for
// the name is the erased one, and neither leaf of that is in the tree.
func TestP48_ErasedMACIsNotConfirmedByTheRightGuess(t *testing.T) {
	e := newEngine(t)
	s := newSubjects(t, e)
	p, err := s.pseudonym(t.Context(), s.state.Load(), alice)
	if err != nil {
		t.Fatal(err)
	}
	erase(t, s, alice)
	s = newSubjects(t, e)
	st := s.state.Load()
	for _, position := range []uint64{p.position, binary.BigEndian.Uint64(p.mac)} {
		if _, live, err := s.tree.leaf(t.Context(), st, position); err != nil || live {
			t.Errorf("leaf %x: live %v, %v", position, live, err)
		}
		if st.seed(groupOf(position)) != nil {
			t.Errorf("the seed above %x is still there", position)
		}
	}
}

func TestSubjects_AnotherReplicaSeesAnErasureWithinItsBound(t *testing.T) {
	e, now := newEngine(t), fixedNow()
	one := newSubjects(t, e)
	two, err := NewSubjects(t.Context(), SubjectsOptions{Engine: e, Sealing: newSealing(t, "k1"), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	old := name(t, two, alice)
	erase(t, one, alice)
	wantErased(t, two, old) // Reveal asks each time; so the copy is new
	erase(t, one, alice)
	stale := name(t, two, alice)
	now = now.Add(maxStale)
	if fresh := name(t, two, alice); fresh.MAC == stale.MAC || fresh.MAC != name(t, one, alice).MAC {
		t.Errorf("after %v a replica says %s, before %s", maxStale, fresh.MAC, stale.MAC)
	}
	erase(t, two, bob) // on the newest tree: what the other has taken out stays out
	wantErased(t, one, old)
	wantErased(t, one, stale)
}

// breaking fails commits, after carrying them out or before.
type breaking struct {
	store.Engine
	before, after, get error
}

func (b *breaking) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	if b.before != nil {
		return nil, b.before
	}
	revs, err := b.Engine.Commit(ctx, ops...)
	return revs, errors.Join(err, b.after)
}

func (b *breaking) Get(ctx context.Context, bucket, key string) (store.Record, error) {
	if b.get != nil {
		return store.Record{}, b.get
	}
	return b.Engine.Get(ctx, bucket, key)
}

func TestSubjects_BrokenEraseIsWholeOrNothing(t *testing.T) {
	e := &breaking{Engine: newEngine(t)}
	s := newSubjects(t, e)
	a, b := name(t, s, alice), name(t, s, bob)
	e.before = store.ErrUnavailable
	if err := s.Erase(t.Context(), alice); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("erase: %v", err)
	}
	wantRevealed(t, s, a, alice)
	e.before, e.after = nil, store.ErrUnknown
	if err := s.Erase(t.Context(), alice); !errors.Is(err, store.ErrUnknown) {
		t.Fatalf("erase: %v", err)
	}
	for _, s := range []*Subjects{s, newSubjects(t, e)} {
		wantErased(t, s, a)
		wantRevealed(t, s, b, bob)
		if name(t, s, alice).MAC == a.MAC {
			t.Error("the MAC came back")
		}
	}
}

func TestSubjects_NameFailsWhenTheTreeMayBeTooOld(t *testing.T) {
	e, now := &breaking{Engine: newEngine(t)}, fixedNow()
	s, err := NewSubjects(t.Context(), SubjectsOptions{Engine: e, Sealing: newSealing(t, "k1"), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	e.get = store.ErrUnavailable
	now = now.Add(maxStale - 1)
	name(t, s, alice)
	now = now.Add(1)
	if _, err := s.Name(t.Context(), alice); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("name: %v", err)
	}
}

// TestSubjects_MissingRecordIsDamageNotAnErasure, and no new tree is made beside what is left of the old.
func TestSubjects_MissingRecordIsDamageNotAnErasure(t *testing.T) {
	e := newEngine(t)
	s := newSubjects(t, e)
	a := name(t, s, alice)
	mac := name(t, s, alice).MAC
	erase(t, s, alice)
	recs, err := e.Scan(t.Context(), groupBucket, store.Range{Limit: 10})
	if err != nil || len(recs) == 0 {
		t.Fatal(recs, err)
	}
	for _, rec := range recs {
		if _, err := e.Commit(t.Context(), store.Delete(groupBucket, rec.Key, store.Any)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := newSubjects(t, e).Reveal(t.Context(), a); !errors.Is(err, errDamaged) {
		t.Errorf("reveal of %s: %v", mac, err)
	}
	for _, key := range []string{shelfName(3), rootName} {
		if _, err := e.Commit(t.Context(), store.Delete(treeBucket, key, store.Any)); err != nil {
			t.Fatal(err)
		}
		if _, err := NewSubjects(t.Context(), SubjectsOptions{Engine: e, Sealing: newSealing(t, "k1")}); err == nil {
			t.Errorf("no error without %s", key)
		}
	}
}

func TestP48_ErasureSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	lines := make(map[string]Subject)
	for round := range 2 {
		e, err := engines.Open("bbolt", engines.Options{Path: path, Now: fixedNow})
		if err != nil {
			t.Fatal(err)
		}
		s := newSubjects(t, e)
		if round == 0 {
			for i := range 5 {
				subject := fmt.Sprint("acme|", i)
				lines[subject] = name(t, s, subject)
			}
			erase(t, s, "acme|3")
		}
		for subject, named := range lines {
			if subject == "acme|3" {
				wantErased(t, s, named)
			} else {
				wantRevealed(t, s, named, subject)
			}
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
