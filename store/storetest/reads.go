package storetest

import (
	"fmt"
	"testing"
	"time"

	"fedbroker/store"
)

func testExpiry(t *testing.T, h *house) {
	at := h.clock.now().Add(time.Minute)
	h.commit(t, store.Put("codes", "a", []byte("v"), store.Absent, at))
	h.clock.advance(time.Minute - time.Nanosecond)
	h.wantValue(t, "codes", "a", "v")
	h.wantKeys(t, "codes", store.Range{Limit: 10}, "a")
	h.clock.advance(time.Nanosecond)
	h.wantAbsent(t, "codes", "a")
	h.wantKeys(t, "codes", store.Range{Limit: 10})

	h.commit(t, store.Put("codes", "dead", nil, store.Absent, h.clock.now()))
	h.wantAbsent(t, "codes", "dead")
}

func testExpiredConditions(t *testing.T, h *house) {
	at := h.clock.now().Add(time.Minute)
	var revs []uint64
	for _, key := range []string{"put", "delete", "check", "again"} {
		revs = append(revs, h.commit(t, store.Put("codes", key, nil, store.Absent, at))[0])
	}
	h.clock.advance(time.Minute)
	h.conflict(t, 0, 0, store.Put("codes", "put", nil, store.Cond(revs[0]), kept))
	h.conflict(t, 0, 0, store.Delete("codes", "delete", store.Cond(revs[1])))
	h.conflict(t, 0, 0, store.Check("codes", "check", store.Cond(revs[2])))
	h.commit(t, store.Check("codes", "check", store.Absent))
	if rev := h.commit(t, store.Put("codes", "again", []byte("new"), store.Absent, kept))[0]; rev == revs[3] {
		t.Errorf("revision %d came back", rev)
	}
	h.wantValue(t, "codes", "again", "new")
}

func testSweep(t *testing.T, h *house) {
	const dead = 300 // more than one batch of any engine
	now := h.clock.now()
	for i := 0; i < dead; i += 50 {
		var ops []store.Op
		for j := i; j < i+50; j++ {
			ops = append(ops, store.Put("codes", fmt.Sprintf("dead%03d", j), nil, store.Absent, now.Add(time.Duration(j%7+1)*time.Second)))
		}
		h.commit(t, ops...)
	}
	h.commit(t,
		store.Put("codes", "kept", []byte("k"), store.Absent, kept),
		store.Put("codes", "later", []byte("l"), store.Absent, now.Add(time.Hour)))
	h.sweep(t, 1000, 0)
	h.clock.advance(10 * time.Second)
	h.sweep(t, 100, 100)
	h.sweep(t, 1000, 200)
	h.sweep(t, 1000, 0)
	h.wantValue(t, "codes", "kept", "k")
	h.wantValue(t, "codes", "later", "l")
	h.wantKeys(t, "codes", store.Range{Limit: 10}, "kept", "later")
	_, err := h.Sweep(t.Context(), 0)
	wantErr(t, "sweep of nothing", err, store.ErrInvalid)
}

// testSweepChanged: wherever an engine keeps what expires when, a changed record must not be freed by what is noted of the old one.
func testSweepChanged(t *testing.T, h *house) {
	in := func(d time.Duration) time.Time { return h.clock.now().Add(d) }
	rev := h.commit(t,
		store.Put("sessions", "prolonged", []byte("p"), store.Any, in(time.Minute)),
		store.Put("sessions", "shortened", []byte("s"), store.Any, in(time.Hour)),
		store.Put("sessions", "unbounded", []byte("u"), store.Any, in(time.Minute)),
		store.Put("sessions", "made_again", []byte("m"), store.Any, in(time.Minute)),
		store.Put("sessions", "gone", nil, store.Any, in(time.Minute)))
	h.commit(t, store.Delete("sessions", "made_again", store.Any), store.Delete("sessions", "gone", store.Any))
	prolonged := h.commit(t,
		store.Put("sessions", "prolonged", []byte("p"), store.Cond(rev[0]), in(3*time.Minute)),
		store.Put("sessions", "shortened", []byte("s"), store.Any, in(time.Second)),
		store.Put("sessions", "unbounded", []byte("u"), store.Any, kept),
		store.Put("sessions", "made_again", []byte("m"), store.Absent, in(time.Hour)))[0]
	h.clock.advance(time.Second)
	h.wantAbsent(t, "sessions", "shortened")
	h.sweep(t, 10, 1)
	h.clock.advance(time.Minute)
	h.sweep(t, 10, 0)
	h.wantKeys(t, "sessions", store.Range{Limit: 10}, "made_again", "prolonged", "unbounded")
	if rec := must(h.Get(t.Context(), "sessions", "prolonged")); rec.Rev != prolonged || string(rec.Value) != "p" {
		t.Errorf("sweep changed a live record: %+v, want revision %d", rec, prolonged)
	}
	h.clock.advance(2 * time.Minute)
	h.wantKeys(t, "sessions", store.Range{Limit: 10}, "made_again", "unbounded")
	h.sweep(t, 10, 1)
	h.sweep(t, 10, 0)
}

func testScanPages(t *testing.T, h *house) {
	const records, page = 25, 10
	var want []string
	for i := range records {
		key := fmt.Sprintf("k%02d", i)
		want = append(want, key)
		h.commit(t, store.Put("codes", key, []byte(key), store.Absent, kept))
	}
	h.commit(t, store.Put("codez", "k05x", nil, store.Absent, kept)) // a neighbour bucket
	var got []string
	for r := (store.Range{Limit: page}); ; r.After = got[len(got)-1] {
		recs, err := h.Scan(t.Context(), "codes", r)
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range recs {
			if string(rec.Value) != rec.Key || rec.Rev == 0 {
				t.Errorf("record %+v", rec)
			}
			got = append(got, rec.Key)
		}
		if len(recs) < page {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("paged %q, want %q", got, want)
	}
	h.wantKeys(t, "codes", store.Range{After: "k24", Limit: page})
	h.wantKeys(t, "codes", store.Range{After: "k225", Limit: page}, "k23", "k24")
}

func testScanPrefix(t *testing.T, h *house) {
	for _, key := range []string{"!", "A", "Z", "a", "a!", "a-1", "a-2", "a.", "ab", "b", "~", "~~"} {
		h.commit(t, store.Put("codes", key, nil, store.Absent, kept))
	}
	h.wantKeys(t, "codes", store.Range{Limit: 20}, "!", "A", "Z", "a", "a!", "a-1", "a-2", "a.", "ab", "b", "~", "~~")
	h.wantKeys(t, "codes", store.Range{Prefix: "a", Limit: 20}, "a", "a!", "a-1", "a-2", "a.", "ab")
	h.wantKeys(t, "codes", store.Range{Prefix: "a-", Limit: 20}, "a-1", "a-2")
	h.wantKeys(t, "codes", store.Range{Prefix: "a-", After: "a-1", Limit: 20}, "a-2")
	h.wantKeys(t, "codes", store.Range{Prefix: "a-", After: "A", Limit: 1}, "a-1")
	h.wantKeys(t, "codes", store.Range{Prefix: "a-", After: "b", Limit: 20})
	h.wantKeys(t, "codes", store.Range{Prefix: "~", Limit: 20}, "~", "~~")
	h.wantKeys(t, "codes", store.Range{Prefix: "c", Limit: 20})
	for _, limit := range []int{-1, 0, store.MaxScan + 1} {
		_, err := h.Scan(t.Context(), "codes", store.Range{Limit: limit})
		wantErr(t, fmt.Sprintf("limit %d", limit), err, store.ErrInvalid)
	}
	h.wantKeys(t, "codes", store.Range{Prefix: "b", Limit: store.MaxScan}, "b")
}

func testScanExpired(t *testing.T, h *house) {
	for i := range 10 {
		expires := kept
		if i%2 == 0 {
			expires = h.clock.now().Add(time.Second)
		}
		h.commit(t, store.Put("codes", fmt.Sprintf("k%d", i), nil, store.Absent, expires))
	}
	h.clock.advance(time.Second)
	h.wantKeys(t, "codes", store.Range{Limit: 3}, "k1", "k3", "k5")
	h.wantKeys(t, "codes", store.Range{After: "k5", Limit: 3}, "k7", "k9")
}
