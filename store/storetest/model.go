package storetest

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fedbroker/store"
)

// model is the contract written down without any thought of speed.
type model struct {
	clock   *clock
	records map[place]store.Record // expired ones included, until they are swept
	spent   map[uint64]bool        // every revision that ever was; one commit may give one to all its puts
}

type place struct{ bucket, key string }

func (m *model) live(p place) (store.Record, bool) {
	rec, ok := m.records[p]
	if !ok || !rec.Expires.IsZero() && !rec.Expires.After(m.clock.now()) {
		return store.Record{}, false
	}
	return rec, true
}

// loser returns the first op whose condition does not hold, -1 for none.
func (m *model) loser(ops []store.Op) int {
	return slices.IndexFunc(ops, func(op store.Op) bool {
		rec, _ := m.live(place{op.Bucket, op.Key})
		return op.If != store.Any && uint64(op.If) != rec.Rev
	})
}

func (m *model) apply(rt *rapid.T, ops []store.Op, revs []uint64) {
	for i, op := range ops {
		p := place{op.Bucket, op.Key}
		switch op.Kind {
		case store.OpPut:
			if revs[i] == 0 || m.spent[revs[i]] {
				rt.Fatalf("revision %d of %v is 0 or came back", revs[i], p)
			}
			m.records[p] = store.Record{Key: op.Key, Value: op.Value, Rev: revs[i], Expires: op.Expires}
		case store.OpDelete:
			delete(m.records, p)
		case store.OpCheck:
		}
	}
	for _, rev := range revs {
		m.spent[rev] = true
	}
}

func (m *model) scan(bucket string, r store.Range) []store.Record {
	var recs []store.Record
	for _, p := range slices.SortedFunc(maps.Keys(m.records), func(a, b place) int { return strings.Compare(a.key, b.key) }) {
		rec, ok := m.live(p)
		if ok && p.bucket == bucket && strings.HasPrefix(p.key, r.Prefix) && p.key > r.After && len(recs) < r.Limit {
			recs = append(recs, rec)
		}
	}
	return recs
}

func (m *model) sweep() (dead int) {
	for p := range m.records {
		if _, ok := m.live(p); !ok {
			delete(m.records, p)
			dead++
		}
	}
	return dead
}

// testModel draws few keys and short lives, so that ops meet.
func testModel(t *testing.T, h *house) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHouse(t, h.open)
		defer h.Close()
		m := &model{clock: h.clock, records: make(map[place]store.Record), spent: make(map[uint64]bool)}
		rt.Repeat(map[string]func(*rapid.T){
			"commit": func(rt *rapid.T) { m.commit(t, rt, h) },
			"get":    func(rt *rapid.T) { m.get(t, rt, h) },
			"scan": func(rt *rapid.T) {
				bucket := buckets.Draw(rt, "bucket")
				r := store.Range{
					Prefix: rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "prefix"),
					After:  rapid.SampledFrom([]string{"", "a", "aa", "b"}).Draw(rt, "after"),
					Limit:  rapid.IntRange(1, 4).Draw(rt, "limit"),
				}
				recs, err := h.Scan(t.Context(), bucket, r)
				if want := m.scan(bucket, r); err != nil || !slices.EqualFunc(recs, want, sameRecord) {
					rt.Fatalf("scan %s %+v: %v, %v, want %v", bucket, r, recs, err, want)
				}
			},
			"sweep": func(rt *rapid.T) {
				if n, err := h.Sweep(t.Context(), store.MaxScan); err != nil || n != m.sweep() {
					rt.Fatalf("sweep removed %d, %v", n, err)
				}
			},
			"wait": func(rt *rapid.T) {
				h.clock.advance(time.Duration(rapid.IntRange(1, 3).Draw(rt, "seconds")) * time.Second)
			},
		})
	})
}

var (
	buckets = rapid.SampledFrom([]string{"codes", "jti"})
	keys    = rapid.SampledFrom([]string{"a", "aa", "ab", "b", "ba"})
)

func (m *model) commit(t *testing.T, rt *rapid.T, h *house) {
	places := rapid.SliceOfNDistinct(rapid.Custom(func(rt *rapid.T) place {
		return place{buckets.Draw(rt, "bucket"), keys.Draw(rt, "key")}
	}), 1, 4, rapid.ID).Draw(rt, "places")
	var ops []store.Op
	for _, p := range places {
		ops = append(ops, m.drawOp(rt, p))
	}
	revs, err := h.Commit(t.Context(), ops...)
	lost := m.loser(ops)
	if lost < 0 {
		if err != nil {
			rt.Fatalf("commit %+v: %v", ops, err)
		}
		m.apply(rt, ops, revs)
		return
	}
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) || conflict.Index != lost {
		rt.Fatalf("commit %+v: %v, want op %d to lose", ops, err, lost)
	}
}

func (m *model) drawOp(rt *rapid.T, p place) store.Op {
	stored := m.records[p].Rev // of an expired record too: it must not count
	conds := []store.Cond{store.Absent, store.Any, store.Cond(stored), store.Cond(stored + 1)}
	cond := rapid.SampledFrom(conds).Draw(rt, "cond")
	kind := rapid.SampledFrom([]store.OpKind{store.OpPut, store.OpPut, store.OpDelete, store.OpCheck}).Draw(rt, "kind")
	switch {
	case kind == store.OpDelete && cond != store.Absent:
		return store.Delete(p.bucket, p.key, cond)
	case kind == store.OpCheck && cond != store.Any:
		return store.Check(p.bucket, p.key, cond)
	}
	expires := kept
	if life := rapid.IntRange(0, 5).Draw(rt, "life"); life > 0 {
		expires = m.clock.now().Add(time.Duration(life-1) * time.Second)
	}
	return store.Put(p.bucket, p.key, rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(rt, "value"), cond, expires)
}

func (m *model) get(t *testing.T, rt *rapid.T, h *house) {
	p := place{buckets.Draw(rt, "bucket"), keys.Draw(rt, "key")}
	rec, err := h.Get(t.Context(), p.bucket, p.key)
	want, ok := m.live(p)
	if !ok && errors.Is(err, store.ErrNotFound) {
		return
	}
	if !ok || err != nil || !sameRecord(rec, want) {
		rt.Fatalf("get %v: %+v, %v, want %+v, present %v", p, rec, err, want, ok)
	}
}

func sameRecord(a, b store.Record) bool {
	return a.Key == b.Key && string(a.Value) == string(b.Value) && a.Rev == b.Rev && a.Expires.Equal(b.Expires)
}
