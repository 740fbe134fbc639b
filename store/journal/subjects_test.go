package journal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"fedbroker/store"
	"fedbroker/store/engines"
)

// counting counts commits: each costs a sync in a real engine.
type counting struct {
	store.Engine
	commits, gets atomic.Int64
}

func (c *counting) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	c.commits.Add(1)
	return c.Engine.Commit(ctx, ops...)
}

func (c *counting) Get(ctx context.Context, bucket, key string) (store.Record, error) {
	c.gets.Add(1)
	return c.Engine.Get(ctx, bucket, key)
}

func newEngine(t *testing.T) *counting {
	t.Helper()
	e, err := engines.Open("memory", engines.Options{Now: fixedNow})
	if err != nil {
		t.Fatal(err)
	}
	return &counting{Engine: e}
}

func newSealing(t *testing.T, id string) store.Sealing {
	t.Helper()
	s, err := store.NewSealer([]store.SealKey{{ID: id, Key: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newSubjects(t *testing.T, e store.Engine) *Subjects {
	t.Helper()
	s, err := NewSubjects(t.Context(), SubjectsOptions{Engine: e, Sealing: newSealing(t, "k1"), Cache: 2})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func name(t *testing.T, s *Subjects, subject string) Subject {
	t.Helper()
	named, err := s.Name(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	return named
}

const alice, bob = "acme|alice", "acme|bob"

func TestSubjects_OneMACForEachSubjectOnAllReplicas(t *testing.T) {
	e := newEngine(t)
	one, two := newSubjects(t, e), newSubjects(t, e)
	a, b := name(t, one, alice), name(t, one, bob)
	if a.MAC == b.MAC || a.Sealed == b.Sealed {
		t.Error("two subjects share a MAC or a sealed value")
	}
	again := name(t, two, alice)
	if again.MAC != a.MAC {
		t.Errorf("another replica says %s, want %s", again.MAC, a.MAC)
	}
	for _, named := range []Subject{a, again} {
		if subject, err := two.Reveal(t.Context(), named); err != nil || subject != alice {
			t.Errorf("reveal: %q, %v", subject, err)
		}
	}
	if mac, err := two.Find(t.Context(), alice); err != nil || mac != a.MAC {
		t.Errorf("find: %q, %v, want %q", mac, err, a.MAC)
	}
	if _, err := two.Reveal(t.Context(), Subject{MAC: a.MAC, Sealed: b.Sealed}); !errors.Is(err, errForeign) {
		t.Errorf("a sealed value under another MAC: %v", err)
	}
	if line := string(a.AppendJSON([]byte("x"))); line != `x{"mac":"`+a.MAC+`","sealed":"`+a.Sealed+`"}` || strings.Contains(line, "alice") {
		t.Errorf("in a line: %s", line)
	}
}

func TestSubjects_OneCommitForEachSubjectAndNoneAfter(t *testing.T) {
	e := newEngine(t)
	s := newSubjects(t, e)
	e.commits.Store(0)
	first := name(t, s, alice)
	if n := e.commits.Load(); n != 1 {
		t.Errorf("%d commits for a new subject, want 1", n)
	}
	e.gets.Store(0)
	if again := name(t, s, alice); again != first || e.commits.Load() != 1 || e.gets.Load() != 0 {
		t.Errorf("a known subject costs %d commits and %d reads, want none", e.commits.Load()-1, e.gets.Load())
	}
	for i := range 3 { // more than the cache holds
		name(t, s, fmt.Sprintf("acme|%d", i))
	}
	e.commits.Store(0)
	if again := name(t, s, alice); again.MAC != first.MAC || e.commits.Load() != 0 {
		t.Errorf("an evicted subject costs %d commits, want none, and got MAC %s, want %s", e.commits.Load(), again.MAC, first.MAC)
	}
}

func TestSubjects_FirstSightByManyGivesOneMAC(t *testing.T) {
	e := newEngine(t)
	var macs sync.Map
	var group sync.WaitGroup
	for range 16 {
		s := newSubjects(t, e)
		group.Go(func() {
			named, err := s.Name(t.Context(), alice)
			if err != nil {
				t.Error(err)
			}
			macs.Store(named.MAC, true)
		})
	}
	group.Wait()
	n := 0
	macs.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d MACs for one subject", n)
	}
}

// TestP48_ErasedSubjectAndTheChainStillVerifies: what is in the chain can't be opened or confirmed any more, and stays as it was.
func TestP48_ErasedSubjectAndTheChainStillVerifies(t *testing.T) {
	e, dir := newEngine(t), t.TempDir()
	s, j := newSubjects(t, e), openJournal(t, Options{Dir: dir})
	a, b := name(t, s, alice), name(t, s, bob)
	for _, named := range []Subject{a, b, a} {
		if _, err := j.Append(t.Context(), append(named.AppendJSON([]byte(`{"sub":`)), '}')); err != nil {
			t.Fatal(err)
		}
	}
	before, err := Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // erasing twice is no error
		if err := s.Erase(t.Context(), alice); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Reveal(t.Context(), a); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("reveal after erasing: %v", err)
	}
	if _, err := s.Find(t.Context(), alice); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("find after erasing: %v", err)
	}
	if again := name(t, s, alice); again.MAC == a.MAC {
		t.Error("the MAC came back: who is erased could be recognised")
	}
	for _, bucket := range []string{subjectBucket, macIndex} {
		recs, err := e.Scan(t.Context(), bucket, store.Range{Limit: 10})
		if err != nil || len(recs) != 2 { // bob and the new alice
			t.Errorf("%s holds %d records, %v, want 2", bucket, len(recs), err)
		}
	}
	if subject, err := s.Reveal(t.Context(), b); err != nil || subject != bob {
		t.Errorf("another subject: %q, %v", subject, err)
	}
	if after, err := Verify(dir); err != nil || after != before {
		t.Errorf("chain after erasing: %+v, %v, want %+v", after, err, before)
	}
}

func TestSubjects_EngineHoldsNoNameAndNoKeyInClear(t *testing.T) {
	e := newEngine(t)
	s := newSubjects(t, e)
	name(t, s, alice)
	for _, bucket := range []string{subjectBucket, macIndex, keyBucket} {
		recs, err := e.Scan(t.Context(), bucket, store.Range{Limit: 10})
		if err != nil || len(recs) != 1 {
			t.Fatalf("%s: %d records, %v", bucket, len(recs), err)
		}
		if text := recs[0].Key + string(recs[0].Value); strings.Contains(text, "alice") || strings.Contains(text, string(s.lookup)) {
			t.Errorf("%s holds %s", bucket, text)
		}
	}
}

func TestP45_SubjectsWithoutTheirSealKeyNameIt(t *testing.T) {
	e := newEngine(t)
	newSubjects(t, e)
	_, err := NewSubjects(t.Context(), SubjectsOptions{Engine: e, Sealing: newSealing(t, "k2")})
	var missing *store.MissingSealKeyError
	if !errors.As(err, &missing) || missing.ID != "k1" || missing.Known {
		t.Errorf("got %v, want the missing seal key k1", err)
	}
	recs, err := e.Scan(t.Context(), keyBucket, store.Range{Limit: 10})
	if err != nil || len(recs) != 1 || recs[0].Rev != 1 {
		t.Errorf("a new key was made in place of the sealed one: %v, %v", recs, err)
	}
}
