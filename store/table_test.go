package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/store"
	"fedbroker/store/engines"
)

type session struct {
	Subject string   `json:"sub"`
	Clients []string `json:"clients,omitempty"`
	Secret  []byte   `json:"secret,omitempty"`
}

var tableNow = time.Unix(1_900_000_000, 0)

type bench struct {
	engine store.Engine
	table  *store.Table[session]
	mu     sync.Mutex
	now    time.Time
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{now: tableNow}
	var err error
	b.engine, err = engines.Open("memory", engines.Options{Now: func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	}})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := store.NewSealer([]store.SealKey{{ID: "k", Key: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	b.table, err = store.NewTable(b.engine, options(sealer))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func options(sealing store.Sealing) store.TableOptions[session] {
	return store.TableOptions[session]{
		Bucket: "sessions", Version: 1, Sealing: sealing,
		Sealed: func(s *session) []*[]byte { return []*[]byte{&s.Secret} },
		Indexes: []store.Index[session]{
			{Bucket: "sessions_by_subject", Values: func(s session) []string { return []string{s.Subject} }},
			{Bucket: "sessions_by_client", Values: func(s session) []string { return s.Clients }},
		},
	}
}

func (b *bench) put(t *testing.T, key string, s session, cond store.Cond, expires time.Time) uint64 {
	t.Helper()
	rev, err := b.table.Put(t.Context(), key, s, cond, expires)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func (b *bench) wantIndex(t *testing.T, index, value string, want ...string) {
	t.Helper()
	rows, err := b.table.ScanIndex(t.Context(), index, value, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, r := range rows {
		keys = append(keys, r.Key)
	}
	if !slices.Equal(keys, want) {
		t.Errorf("%s = %q: %q, want %q", index, value, keys, want)
	}
}

func (b *bench) size(t *testing.T, bucket string) int {
	t.Helper()
	recs, err := b.engine.Scan(t.Context(), bucket, store.Range{Limit: store.MaxScan})
	if err != nil {
		t.Fatal(err)
	}
	return len(recs)
}

var forever time.Time

func TestTable_RowsComeBackAsTheyWere(t *testing.T) {
	b := newBench(t)
	secret := []byte("refresh token")
	in := session{Subject: "acme|alice", Clients: []string{"wiki", "spa", "wiki"}, Secret: secret}
	rev := b.put(t, "s1", in, store.Absent, tableNow.Add(time.Hour))
	if string(secret) != "refresh token" {
		t.Error("put wrote to the caller's slice")
	}
	row, err := b.table.Get(t.Context(), "s1")
	if err != nil || row.Key != "s1" || row.Rev != rev || !row.Expires.Equal(tableNow.Add(time.Hour)) {
		t.Fatalf("get: %+v, %v", row, err)
	}
	if row.Value.Subject != in.Subject || !slices.Equal(row.Value.Clients, in.Clients) || string(row.Value.Secret) != string(secret) {
		t.Errorf("value %+v, want %+v", row.Value, in)
	}
	rows, err := b.table.Scan(t.Context(), store.Range{Limit: 10})
	if err != nil || len(rows) != 1 || string(rows[0].Value.Secret) != string(secret) {
		t.Errorf("scan: %+v, %v", rows, err)
	}
	if _, err := b.table.Get(t.Context(), "s2"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get of nothing: %v", err)
	}
}

func TestTable_StoredFormHasAVersionAndSealsItsSecret(t *testing.T) {
	b := newBench(t)
	b.put(t, "s1", session{Subject: "acme|alice", Secret: []byte("secret")}, store.Absent, forever)
	rec, err := b.engine.Get(t.Context(), "sessions", "s1")
	if err != nil || !strings.HasPrefix(string(rec.Value), `{"v":1,"d":{"sub":"acme|alice","secret":"`) || strings.Contains(string(rec.Value), "c2VjcmV0") {
		t.Errorf("stored %s, %v", rec.Value, err)
	}
	if _, err := b.engine.Commit(t.Context(), store.Put("sessions", "s2", rec.Value, store.Absent, forever)); err != nil {
		t.Fatal(err)
	}
	var missing *store.MissingSealKeyError
	if _, err := b.table.Get(t.Context(), "s2"); !errors.As(err, &missing) {
		t.Errorf("a sealed field moved to another key: %v", err)
	}
	for _, value := range []string{`{"v":2,"d":{}}`, `{"d":{}}`, `{}`, ``, `[]`, `{"v":1,"d":[]}`} {
		if _, err := b.engine.Commit(t.Context(), store.Put("sessions", "odd", []byte(value), store.Any, forever)); err != nil {
			t.Fatal(err)
		}
		if row, err := b.table.Get(t.Context(), "odd"); err == nil {
			t.Errorf("stored form %q is read as %+v", value, row)
		}
	}
}

func TestTable_IndexesFollowTheirRow(t *testing.T) {
	b := newBench(t)
	rev := b.put(t, "s1", session{Subject: "acme|alice", Clients: []string{"wiki", "spa"}}, store.Absent, forever)
	b.put(t, "s2", session{Subject: "acme|alice"}, store.Absent, forever)
	b.wantIndex(t, "sessions_by_subject", "acme|alice", "s1", "s2")
	b.wantIndex(t, "sessions_by_subject", "acme|alic")
	b.wantIndex(t, "sessions_by_client", "spa", "s1")

	b.put(t, "s1", session{Subject: "acme|bob", Clients: []string{"spa", "cli"}}, store.Cond(rev), forever)
	b.wantIndex(t, "sessions_by_subject", "acme|alice", "s2")
	b.wantIndex(t, "sessions_by_subject", "acme|bob", "s1")
	b.wantIndex(t, "sessions_by_client", "wiki")
	b.wantIndex(t, "sessions_by_client", "spa", "s1")
	b.put(t, "s1", session{Subject: "acme|carol"}, store.Any, forever)
	b.wantIndex(t, "sessions_by_subject", "acme|carol", "s1")
	if n := b.size(t, "sessions_by_subject") + b.size(t, "sessions_by_client"); n != 2 {
		t.Errorf("%d index entries, want 2: some were left behind", n)
	}

	for range 2 { // the second time nothing is there
		if err := b.table.Delete(t.Context(), "s1", store.Any); err != nil {
			t.Fatal(err)
		}
	}
	if n := b.size(t, "sessions_by_subject") + b.size(t, "sessions_by_client"); n != 1 {
		t.Errorf("%d index entries after a delete, want 1", n)
	}
	if _, err := b.table.ScanIndex(t.Context(), "sessions_by_colour", "red", "", 10); !errors.Is(err, store.ErrInvalid) {
		t.Errorf("an unknown index: %v", err)
	}
}

func TestTable_ConditionsHold(t *testing.T) {
	b := newBench(t)
	rev := b.put(t, "s1", session{Subject: "a"}, store.Absent, forever)
	_, errAbsent := b.table.Put(t.Context(), "s1", session{Subject: "b"}, store.Absent, forever)
	_, errStale := b.table.Put(t.Context(), "s1", session{Subject: "b"}, store.Cond(rev+1), forever)
	errDelete := b.table.Delete(t.Context(), "s1", store.Cond(rev+1))
	errGone := b.table.Delete(t.Context(), "s2", store.Cond(rev))
	for i, err := range []error{errAbsent, errStale, errDelete, errGone} {
		var lost *store.ConflictError
		if !errors.As(err, &lost) || lost.Index != 0 || lost.Bucket != "sessions" {
			t.Errorf("%d: %v, want a conflict of op 0", i, err)
		}
	}
	b.wantIndex(t, "sessions_by_subject", "a", "s1")
	b.wantIndex(t, "sessions_by_subject", "b")
	if err := b.table.Delete(t.Context(), "s1", store.Cond(rev)); err != nil {
		t.Error(err)
	}
}

func TestTable_IndexPages(t *testing.T) {
	b := newBench(t)
	for _, key := range []string{"s1", "s2", "s3", "s4", "s5"} {
		b.put(t, key, session{Subject: "a"}, store.Absent, forever)
	}
	// An entry whose row no longer says so, as a reader between two commits can meet it, must not make a page look like the last.
	raw := store.Put("sessions", "s2", []byte(`{"v":1,"d":{"sub":"b"}}`), store.Any, forever)
	if _, err := b.engine.Commit(t.Context(), raw, store.Delete("sessions", "s1", store.Any)); err != nil {
		t.Fatal(err)
	}
	rows, err := b.table.ScanIndex(t.Context(), "sessions_by_subject", "a", "", 2)
	if err != nil || len(rows) != 2 || rows[0].Key != "s3" || rows[1].Key != "s4" {
		t.Fatalf("first page %+v, %v", rows, err)
	}
	rows, err = b.table.ScanIndex(t.Context(), "sessions_by_subject", "a", rows[1].Key, 2)
	if err != nil || len(rows) != 1 || rows[0].Key != "s5" {
		t.Errorf("second page %+v, %v", rows, err)
	}
}

func TestTable_IndexEntriesExpireWithTheirRow(t *testing.T) {
	b := newBench(t)
	b.put(t, "s1", session{Subject: "a"}, store.Absent, tableNow.Add(time.Minute))
	b.now = tableNow.Add(time.Minute)
	b.wantIndex(t, "sessions_by_subject", "a")
	if n := b.size(t, "sessions_by_subject"); n != 0 {
		t.Errorf("%d index entries, want 0", n)
	}
	b.put(t, "s1", session{Subject: "a"}, store.Absent, forever)
	b.wantIndex(t, "sessions_by_subject", "a", "s1")
}

func TestTable_SeveralTablesShareACommit(t *testing.T) {
	b := newBench(t)
	other, err := store.NewTable(b.engine, store.TableOptions[int]{Bucket: "counters", Version: 3})
	if err != nil {
		t.Fatal(err)
	}
	rev := b.put(t, "s1", session{Subject: "a"}, store.Absent, forever)
	commit := func() error {
		one, err1 := b.table.PutOps(t.Context(), "s2", session{Subject: "a"}, store.Absent, forever)
		two, err2 := other.PutOps(t.Context(), "n", 7, store.Any, forever)
		three, err3 := b.table.DeleteOps(t.Context(), "s3", store.Any)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		_, err := b.engine.Commit(t.Context(), slices.Concat(one, two, three, []store.Op{b.table.Check("s1", store.Cond(rev))})...)
		return err
	}
	if err := commit(); err != nil {
		t.Fatal(err)
	}
	if row, err := other.Get(t.Context(), "n"); err != nil || row.Value != 7 {
		t.Errorf("%+v, %v", row, err)
	}
	b.wantIndex(t, "sessions_by_subject", "a", "s1", "s2")
	if err := commit(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("second commit: %v, want a conflict", err)
	}
}

func TestTable_ALostConditionIsNotTriedAgain(t *testing.T) {
	b := newBench(t)
	b.put(t, "s1", session{Subject: "a"}, store.Absent, forever)
	sealer, _ := store.NewSealer([]store.SealKey{{ID: "k", Key: [32]byte{1}}})
	r := &racing{Engine: b.engine}
	mine, err := store.NewTable[session](r, options(sealer))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Put(t.Context(), "s1", session{}, store.Absent, forever); !errors.Is(err, store.ErrConflict) || r.n != -1 {
		t.Errorf("got %v after %d commits, want a conflict after 1", err, -r.n)
	}
}

// racing changes the row just before each of the first n commits.
type racing struct {
	store.Engine
	n     int
	table *store.Table[session]
}

func (r *racing) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	if r.n--; r.n >= 0 {
		if _, err := r.table.Put(ctx, "s1", session{Subject: "other" + strings.Repeat("x", r.n)}, store.Any, forever); err != nil {
			return nil, err
		}
	}
	return r.Engine.Commit(ctx, ops...)
}

func TestTable_PutAnyWinsAgainstOthersAndLeavesNoEntries(t *testing.T) {
	b := newBench(t)
	sealer, _ := store.NewSealer([]store.SealKey{{ID: "k", Key: [32]byte{1}}})
	mine, err := store.NewTable[session](&racing{Engine: b.engine, n: 5, table: b.table}, options(sealer))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Put(t.Context(), "s1", session{Subject: "mine"}, store.Any, forever); err != nil {
		t.Fatal(err)
	}
	b.wantIndex(t, "sessions_by_subject", "mine", "s1")
	if n := b.size(t, "sessions_by_subject"); n != 1 {
		t.Errorf("%d index entries, want 1", n)
	}
}

func TestNewTable_Refuses(t *testing.T) {
	sealer, _ := store.NewSealer([]store.SealKey{{Key: [32]byte{1}}})
	for name, change := range map[string]func(*store.TableOptions[session]){
		"no bucket":               func(o *store.TableOptions[session]) { o.Bucket = "" },
		"no version":              func(o *store.TableOptions[session]) { o.Version = 0 },
		"secrets without a seal":  func(o *store.TableOptions[session]) { o.Sealing = nil },
		"an index in the table":   func(o *store.TableOptions[session]) { o.Indexes[0].Bucket = o.Bucket },
		"two indexes in a bucket": func(o *store.TableOptions[session]) { o.Indexes[0].Bucket = o.Indexes[1].Bucket },
		"an index of nothing":     func(o *store.TableOptions[session]) { o.Indexes[0].Values = nil },
		"a bad index bucket":      func(o *store.TableOptions[session]) { o.Indexes[0].Bucket = "By-Subject" },
	} {
		o := options(sealer)
		change(&o)
		if _, err := store.NewTable(nil, o); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
