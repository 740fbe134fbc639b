package storetest

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fedbroker/store"
)

func testPutGet(t *testing.T, h *house) {
	expires := h.clock.now().Add(time.Hour + 123*time.Nanosecond)
	revs := h.commit(t,
		store.Put("codes", "a", []byte("one"), store.Any, expires),
		store.Put("codes", "b", nil, store.Absent, kept),
		store.Put("other_bucket", "a", []byte("two"), store.Absent, kept))
	for i, want := range []struct {
		bucket, key, value string
		expires            time.Time
	}{{"codes", "a", "one", expires}, {"codes", "b", "", kept}, {"other_bucket", "a", "two", kept}} {
		rec, err := h.Get(t.Context(), want.bucket, want.key)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Key != want.key || string(rec.Value) != want.value || rec.Rev != revs[i] || !rec.Expires.Equal(want.expires) {
			t.Errorf("%s/%s: %+v, want %+v at revision %d", want.bucket, want.key, rec, want, revs[i])
		}
		if want.expires.IsZero() != rec.Expires.IsZero() || rec.Expires.Location() != time.UTC {
			t.Errorf("%s/%s: expires %v, want %v in UTC", want.bucket, want.key, rec.Expires, want.expires)
		}
	}
}

func testNotFound(t *testing.T, h *house) {
	h.wantAbsent(t, "never_written", "a")
	h.commit(t, store.Put("codes", "a", nil, store.Any, kept))
	h.wantAbsent(t, "codes", "b")
	h.commit(t, store.Delete("codes", "a", store.Any))
	h.wantAbsent(t, "codes", "a")
	h.wantKeys(t, "never_written", store.Range{Limit: 1})
}

func testSlices(t *testing.T, h *house) {
	const size = 64 << 10 // beyond what an engine may keep in a corner of its own
	mine := strings.Repeat("m", size)
	value := []byte(mine)
	ops := []store.Op{store.Put("codes", "a", value, store.Any, kept)}
	h.commit(t, ops...)
	value[0] = 'X'
	ops[0].Key = "b"
	h.wantValue(t, "codes", "a", mine)
	for range 2 { // what the first round spoils, the second would see
		rec, err := h.Get(t.Context(), "codes", "a")
		if err != nil || string(rec.Value) != mine {
			t.Fatalf("get: %.9q…, %v", rec.Value, err)
		}
		rec.Value[0] = 'Y'
		recs, err := h.Scan(t.Context(), "codes", store.Range{Limit: 1})
		if err != nil || len(recs) != 1 || string(recs[0].Value) != mine {
			t.Fatalf("scan: %d records, %v", len(recs), err)
		}
		recs[0].Value[0] = 'Z'
	}
}

func testConditions(t *testing.T, h *house) {
	rev := h.commit(t, store.Put("codes", "a", []byte("1"), store.Absent, kept))[0]
	h.conflict(t, 0, rev, store.Put("codes", "a", []byte("2"), store.Absent, kept))
	h.conflict(t, 0, rev, store.Put("codes", "a", []byte("2"), store.Cond(rev+1), kept))
	h.conflict(t, 0, 0, store.Put("codes", "b", []byte("2"), store.Cond(rev), kept))
	h.wantValue(t, "codes", "a", "1")

	second := h.commit(t, store.Put("codes", "a", []byte("2"), store.Cond(rev), kept))[0]
	if second <= rev {
		t.Errorf("revision %d after %d", second, rev)
	}
	h.conflict(t, 0, second, store.Put("codes", "a", []byte("3"), store.Cond(rev), kept))
	h.commit(t, store.Put("codes", "a", []byte("3"), store.Any, kept))
	h.wantValue(t, "codes", "a", "3")

	h.conflict(t, 0, 0, store.Delete("codes", "b", store.Cond(second)))
	rec, err := h.Get(t.Context(), "codes", "a")
	if err != nil {
		t.Fatal(err)
	}
	h.conflict(t, 0, rec.Rev, store.Delete("codes", "a", store.Cond(second)))
	if revs := h.commit(t, store.Delete("codes", "a", store.Cond(rec.Rev)), store.Delete("codes", "b", store.Any)); revs[0] != 0 || revs[1] != 0 {
		t.Errorf("deletes return revisions %v, want 0", revs)
	}
	h.wantAbsent(t, "codes", "a")
}

func testCheck(t *testing.T, h *house) {
	rev := h.commit(t, store.Put("keys", "current", []byte("k1"), store.Any, kept))[0]
	revs := h.commit(t, store.Check("keys", "current", store.Cond(rev)), store.Check("keys", "next", store.Absent), store.Put("codes", "a", nil, store.Absent, kept))
	if revs[0] != rev || revs[1] != 0 || revs[2] <= rev {
		t.Errorf("revisions %v after %d", revs, rev)
	}
	if revs := h.commit(t, store.Check("keys", "current", store.Cond(rev))); revs[0] != rev {
		t.Errorf("a check alone returns %v, want %d", revs, rev)
	}
	h.conflict(t, 1, rev, store.Put("codes", "b", nil, store.Absent, kept), store.Check("keys", "current", store.Absent))
	h.conflict(t, 1, 0, store.Put("codes", "b", nil, store.Absent, kept), store.Check("keys", "next", store.Cond(rev)))
	h.wantAbsent(t, "codes", "b")
	h.wantValue(t, "keys", "current", "k1")
}

func testConflict(t *testing.T, h *house) {
	rev := h.commit(t, store.Put("codes", "a", []byte("old"), store.Any, kept), store.Put("sessions", "s", []byte("old"), store.Any, kept))[0]
	h.conflict(t, 2, 0,
		store.Put("codes", "a", []byte("new"), store.Any, kept),
		store.Delete("sessions", "s", store.Any),
		store.Put("sessions", "t", nil, store.Cond(rev), kept),
		store.Put("families", "f", nil, store.Absent, kept),
		store.Check("codes", "z", store.Cond(rev)))
	h.wantValue(t, "codes", "a", "old")
	h.wantValue(t, "sessions", "s", "old")
	h.wantAbsent(t, "families", "f")
	if rec := must(h.Get(t.Context(), "codes", "a")); rec.Rev != rev {
		t.Errorf("revision %d after a lost commit, want %d", rec.Rev, rev)
	}
}

func testRevisions(t *testing.T, h *house) {
	seen := make(map[uint64]bool)
	for range 5 {
		rev := h.commit(t, store.Put("codes", "a", nil, store.Absent, kept))[0]
		if rev == 0 || seen[rev] {
			t.Fatalf("revision %d is 0 or came back", rev)
		}
		seen[rev] = true
		h.commit(t, store.Delete("codes", "a", store.Cond(rev)))
	}
	last := h.commit(t, store.Put("codes", "a", nil, store.Absent, h.clock.now().Add(time.Second)))[0]
	h.clock.advance(time.Second)
	h.sweep(t, 10, 1)
	if rev := h.commit(t, store.Put("codes", "a", nil, store.Absent, kept))[0]; rev == last || seen[rev] {
		t.Errorf("revision %d came back after a sweep", rev)
	}
	h.conflict(t, 0, must(h.Get(t.Context(), "codes", "a")).Rev, store.Put("codes", "a", nil, store.Cond(last), kept))
}

func must(rec store.Record, err error) store.Record {
	if err != nil {
		panic(err)
	}
	return rec
}

const callers = 64

// testRedeemOnce is what a one-shot value lives by: spent by exactly one, and spent with what it gives.
func testRedeemOnce(t *testing.T, h *house) {
	rev := h.commit(t, store.Put("codes", "code", []byte("fresh"), store.Absent, kept))[0]
	var wins atomic.Int32
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range callers {
		group.Go(func() {
			<-start
			me := strconv.Itoa(i)
			_, err := h.Commit(t.Context(),
				store.Put("codes", "code", []byte(me), store.Cond(rev), kept),
				store.Put("jti", "one", []byte(me), store.Absent, kept),
				store.Put("families", "family-"+me, nil, store.Absent, kept))
			switch {
			case err == nil:
				wins.Add(1)
				if rec, err := h.Get(t.Context(), "codes", "code"); err != nil || string(rec.Value) != me {
					t.Errorf("the winner reads %q, %v after its commit, want %q", rec.Value, err, me)
				}
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("caller %d: %v", i, err)
			}
		})
	}
	close(start)
	group.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d callers redeemed the code, want 1", wins.Load())
	}
	winner, _ := h.value(t, "codes", "code")
	h.wantValue(t, "jti", "one", winner)
	h.wantKeys(t, "families", store.Range{Limit: callers}, "family-"+winner)
}

func testCounter(t *testing.T, h *house) {
	const writers, rounds = 8, 20
	h.commit(t, store.Put("counters", "n", []byte("0"), store.Absent, kept))
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for done := 0; done < rounds; {
				rec, err := h.Get(t.Context(), "counters", "n")
				if err != nil {
					t.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(rec.Value))
				_, err = h.Commit(t.Context(), store.Put("counters", "n", []byte(strconv.Itoa(n+1)), store.Cond(rec.Rev), kept))
				if err == nil {
					done++
				} else if !errors.Is(err, store.ErrConflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	h.wantValue(t, "counters", "n", strconv.Itoa(writers*rounds))
}
