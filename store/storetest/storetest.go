// Package storetest is the suite that every storage engine passes: the contract of store.Engine, statement by statement.
package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"fedbroker/store"
)

// Open opens an empty engine that judges expiry by now, and registers its Close with t. Close is called more than once.
type Open func(t *testing.T, now func() time.Time) store.Engine

// Run holds an engine to the contract.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) store.Engine) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *house)
	}{
		{"what is put is got", testPutGet},
		{"what is not there is not found", testNotFound},
		{"slices in are not kept and slices out are the caller's", testSlices},
		{"conditions", testConditions},
		{"a check holds the commit", testCheck},
		{"a conflict names the first op that lost and changes nothing", testConflict},
		{"revisions never come back", testRevisions},
		{"a key is redeemed once by 64 callers", testRedeemOnce},
		{"no update is lost", testCounter},
		{"a record is absent from the instant it expires", testExpiry},
		{"an expired record counts as absent in conditions", testExpiredConditions},
		{"sweep frees what has expired and nothing else", testSweep},
		{"sweep follows a changed expiry", testSweepChanged},
		{"scan pages through", testScanPages},
		{"scan keeps to prefix and order", testScanPrefix},
		{"scan leaves out the expired and fills its page", testScanExpired},
		{"names and values have limits", testLimits},
		{"a commit has 1 to 64 ops and no key twice", testOps},
		{"a call whose context has ended does nothing", testContext},
		{"a closed engine is unavailable", testClosed},
		{"it behaves as the model does", testModel},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newHouse(t, open)) })
	}
}

// house is one engine with its clock.
type house struct {
	store.Engine
	open  Open
	clock *clock
}

func newHouse(t *testing.T, open Open) *house {
	c := &clock{at: time.Unix(1_900_000_000, 0)}
	return &house{Engine: open(t, c.now), open: open, clock: c}
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

var kept time.Time // the zero Expires

// commit ends the test if the commit fails.
func (h *house) commit(t *testing.T, ops ...store.Op) []uint64 {
	t.Helper()
	revs, err := h.Commit(t.Context(), ops...)
	if err != nil {
		t.Fatalf("commit: %v", err)
	}
	if len(revs) != len(ops) {
		t.Fatalf("commit of %d ops returned %d revisions", len(ops), len(revs))
	}
	return revs
}

// conflict ends the test unless the commit loses at op index, which finds revision rev.
func (h *house) conflict(t *testing.T, index int, rev uint64, ops ...store.Op) {
	t.Helper()
	_, err := h.Commit(t.Context(), ops...)
	var lost *store.ConflictError
	if !errors.As(err, &lost) || !errors.Is(err, store.ErrConflict) {
		t.Fatalf("commit: %v, want a conflict", err)
	}
	want := store.ConflictError{Index: index, Bucket: ops[index].Bucket, Key: ops[index].Key, Rev: rev}
	if *lost != want {
		t.Fatalf("conflict %+v, want %+v", *lost, want)
	}
}

// value returns "" with ok false for an absent record, and ends the test on any other error.
func (h *house) value(t *testing.T, bucket, key string) (value string, ok bool) {
	t.Helper()
	rec, err := h.Get(t.Context(), bucket, key)
	if errors.Is(err, store.ErrNotFound) {
		return "", false
	}
	if err != nil {
		t.Fatalf("get %s/%s: %v", bucket, key, err)
	}
	if rec.Key != key || rec.Rev == 0 {
		t.Fatalf("get %s/%s: key %q revision %d", bucket, key, rec.Key, rec.Rev)
	}
	return string(rec.Value), true
}

func (h *house) wantValue(t *testing.T, bucket, key, want string) {
	t.Helper()
	if got, ok := h.value(t, bucket, key); !ok || got != want {
		t.Fatalf("get %s/%s: %q, present %v, want %q", bucket, key, got, ok, want)
	}
}

func (h *house) wantAbsent(t *testing.T, bucket, key string) {
	t.Helper()
	if got, ok := h.value(t, bucket, key); ok {
		t.Fatalf("get %s/%s: %q, want it absent", bucket, key, got)
	}
}

func (h *house) wantKeys(t *testing.T, bucket string, r store.Range, want ...string) {
	t.Helper()
	recs, err := h.Scan(t.Context(), bucket, r)
	if err != nil {
		t.Fatalf("scan %+v: %v", r, err)
	}
	got := make([]string, len(recs))
	for i, rec := range recs {
		got[i] = rec.Key
	}
	if !slices.Equal(got, want) {
		t.Fatalf("scan %+v: %q, want %q", r, got, want)
	}
}

func (h *house) sweep(t *testing.T, limit, want int) {
	t.Helper()
	if got, err := h.Sweep(t.Context(), limit); err != nil || got != want {
		t.Fatalf("sweep(%d) removed %d, %v, want %d", limit, got, err, want)
	}
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: %v, want %v", what, err, want)
	}
}

func ended(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}
