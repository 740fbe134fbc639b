package storetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fedbroker/store"
)

func testLimits(t *testing.T, h *house) {
	longest := strings.Repeat("k", store.MaxKey)
	for _, c := range []struct {
		name        string
		bucket, key string
		value       int // bytes
		want        error
	}{
		{"shortest", "b", "k", 0, nil},
		{"longest", strings.Repeat("b", store.MaxBucket), longest, store.MaxValue, nil},
		{"all of the alphabet", "az_", "!~", 1, nil},
		{"empty bucket", "", "k", 0, store.ErrInvalid},
		{"long bucket", strings.Repeat("b", store.MaxBucket+1), "k", 0, store.ErrInvalid},
		{"upper case bucket", "Codes", "k", 0, store.ErrInvalid},
		{"digit in bucket", "codes2", "k", 0, store.ErrInvalid},
		{"foreign bucket", "!meta", "k", 0, store.ErrInvalid},
		{"empty key", "codes", "", 0, store.ErrInvalid},
		{"long key", "codes", longest + "k", 0, store.ErrTooLarge},
		{"space in key", "codes", "a b", 0, store.ErrInvalid},
		{"DEL in key", "codes", "a\x7f", 0, store.ErrInvalid},
		{"zero byte in key", "codes", "a\x00", 0, store.ErrInvalid},
		{"letter beyond ASCII", "codes", "é", 0, store.ErrInvalid},
		{"large value", "codes", "k", store.MaxValue + 1, store.ErrTooLarge},
	} {
		t.Run(c.name, func(t *testing.T) {
			value := strings.Repeat("v", c.value)
			_, err := h.Commit(t.Context(), store.Put(c.bucket, c.key, []byte(value), store.Absent, kept))
			if c.want == nil {
				if err != nil {
					t.Fatalf("put: %v", err)
				}
				h.wantValue(t, c.bucket, c.key, value)
				return
			}
			wantErr(t, "put", err, c.want)
			if c.value > store.MaxValue {
				h.wantAbsent(t, c.bucket, c.key)
				return
			}
			_, err = h.Get(t.Context(), c.bucket, c.key)
			wantErr(t, "get", err, c.want)
			if c.key != "" {
				_, err = h.Scan(t.Context(), c.bucket, store.Range{Prefix: c.key, Limit: 1})
				wantErr(t, "scan", err, c.want)
				_, err = h.Scan(t.Context(), c.bucket, store.Range{After: c.key, Limit: 1})
				wantErr(t, "scan after", err, c.want)
			}
		})
	}
}

func testOps(t *testing.T, h *house) {
	puts := func(n int) (ops []store.Op) {
		for i := range n {
			ops = append(ops, store.Put("codes", fmt.Sprintf("k%02d", i), nil, store.Absent, kept))
		}
		return ops
	}
	longAgo, farOff := time.Unix(-1, 0), time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		ops  []store.Op
		want error
	}{
		{"none", nil, store.ErrInvalid},
		{"65", puts(store.MaxOps + 1), store.ErrTooLarge},
		{"a key twice", []store.Op{store.Put("codes", "a", nil, store.Any, kept), store.Put("codes", "b", nil, store.Any, kept), store.Check("codes", "a", store.Absent)}, store.ErrInvalid},
		{"an empty op", []store.Op{{Bucket: "codes", Key: "a"}}, store.ErrInvalid},
		{"an unknown kind", []store.Op{{Kind: store.OpCheck + 1, Bucket: "codes", Key: "a"}}, store.ErrInvalid},
		{"a delete of what is absent", []store.Op{store.Delete("codes", "a", store.Absent)}, store.ErrInvalid},
		{"a check for anything", []store.Op{store.Check("codes", "a", store.Any)}, store.ErrInvalid},
		{"a value in a check", []store.Op{{Kind: store.OpCheck, Bucket: "codes", Key: "a", Value: []byte("v")}}, store.ErrInvalid},
		{"an expiry before 1970", []store.Op{store.Put("codes", "a", nil, store.Any, longAgo)}, store.ErrInvalid},
		{"an expiry beyond 2262", []store.Op{store.Put("codes", "a", nil, store.Any, farOff)}, store.ErrInvalid},
		{"one bad op among good ones", append(puts(3), store.Put("codes", "", nil, store.Any, kept)), store.ErrInvalid},
	} {
		_, err := h.Commit(t.Context(), c.ops...)
		wantErr(t, c.name, err, c.want)
	}
	h.wantKeys(t, "codes", store.Range{Limit: 10})
	h.commit(t, puts(store.MaxOps)...)
	if recs, err := h.Scan(t.Context(), "codes", store.Range{Limit: store.MaxScan}); err != nil || len(recs) != store.MaxOps {
		t.Errorf("%d records, %v, want %d", len(recs), err, store.MaxOps)
	}
	h.commit(t, store.Put("a", "k", nil, store.Absent, kept), store.Put("b", "k", nil, store.Absent, kept)) // one key, two buckets
}

func testContext(t *testing.T, h *house) {
	h.commit(t, store.Put("codes", "a", nil, store.Any, kept))
	ctx := ended(t)
	_, err := h.Commit(ctx, store.Put("codes", "b", nil, store.Any, kept))
	wantErr(t, "commit", err, store.ErrUnavailable)
	wantErr(t, "commit", err, ctx.Err())
	_, err = h.Get(ctx, "codes", "a")
	wantErr(t, "get", err, store.ErrUnavailable)
	_, err = h.Scan(ctx, "codes", store.Range{Limit: 1})
	wantErr(t, "scan", err, store.ErrUnavailable)
	_, err = h.Sweep(ctx, 1)
	wantErr(t, "sweep", err, store.ErrUnavailable)
	wantErr(t, "ping", h.Ping(ctx), store.ErrUnavailable)
	h.wantKeys(t, "codes", store.Range{Limit: 2}, "a")
}

func testClosed(t *testing.T, h *house) {
	if err := h.Ping(t.Context()); err != nil {
		t.Fatalf("ping: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
	_, err := h.Commit(t.Context(), store.Put("codes", "b", nil, store.Any, kept))
	wantErr(t, "commit", err, store.ErrUnavailable)
	_, err = h.Get(t.Context(), "codes", "a")
	wantErr(t, "get", err, store.ErrUnavailable)
	_, err = h.Scan(t.Context(), "codes", store.Range{Limit: 1})
	wantErr(t, "scan", err, store.ErrUnavailable)
	_, err = h.Sweep(t.Context(), 1)
	wantErr(t, "sweep", err, store.ErrUnavailable)
	wantErr(t, "ping", h.Ping(t.Context()), store.ErrUnavailable)
	if err := h.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}
