package journal

import (
	"context"
	"encoding/base64"
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
	s, err := NewSubjects(t.Context(), SubjectsOptions{Engine: e, Sealing: newSealing(t, "k1"), Cache: 2, Now: fixedNow})
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

func TestSubjects_FirstSightCostsNoCommitAndNoRead(t *testing.T) {
	e := newEngine(t)
	s := newSubjects(t, e)
	e.commits.Store(0)
	e.gets.Store(0)
	first := name(t, s, alice)
	for i := range 3 { // more than the cache holds
		name(t, s, fmt.Sprintf("acme|%d", i))
	}
	if again := name(t, s, alice); again.MAC != first.MAC {
		t.Errorf("an evicted subject got MAC %s, want %s", again.MAC, first.MAC)
	}
	if c, g := e.commits.Load(), e.gets.Load(); c != 0 || g != 0 {
		t.Errorf("naming cost %d commits and %d reads, want none", c, g)
	}
}

func TestSubjects_FirstSightByManyGivesOneMAC(t *testing.T) {
	e := newEngine(t)
	var macs sync.Map
	var group sync.WaitGroup
	for range 4 {
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
	again := name(t, s, alice)
	if again.MAC == a.MAC {
		t.Error("the MAC came back: who is erased could be recognised")
	}
	if mac, err := s.Find(t.Context(), alice); err != nil || mac != again.MAC {
		t.Errorf("find after erasing: %q, %v, want the new %q", mac, err, again.MAC)
	}
	if subject, err := s.Reveal(t.Context(), again); err != nil || subject != alice {
		t.Errorf("reveal of a line after erasing: %q, %v", subject, err)
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
	if err := s.Erase(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	st, err := s.newest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seed := st.seed(0)
	if seed == nil {
		seed = st.seed(1)
	}
	for bucket, want := range map[string]int{treeBucket: 1 + shelves, groupBucket: 2} {
		recs, err := e.Scan(t.Context(), bucket, store.Range{Limit: 100})
		if err != nil || len(recs) != want {
			t.Fatalf("%s: %d records, %v, want %d", bucket, len(recs), err, want)
		}
		for _, rec := range recs {
			for _, secret := range [][]byte{[]byte("alice"), st.root.Value.Key, seed[:]} {
				for _, text := range []string{string(secret), base64.StdEncoding.EncodeToString(secret)} {
					if strings.Contains(rec.Key+string(rec.Value), text) {
						t.Errorf("%s/%s holds a secret", bucket, rec.Key)
					}
				}
			}
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
	if n := e.commits.Load(); n != 1 {
		t.Errorf("%d commits, want the first start's: a new tree was made in place of the sealed one", n)
	}
}
