package engines

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"fedbroker/store"
)

func boltPath(t *testing.T) string { return filepath.Join(t.TempDir(), "db") }

func put(t *testing.T, e store.Engine, key, value string, expires time.Time) uint64 {
	t.Helper()
	revs, err := e.Commit(t.Context(), store.Put("codes", key, []byte(value), store.Any, expires))
	if err != nil {
		t.Fatal(err)
	}
	return revs[0]
}

func closeEngine(t *testing.T, e store.Engine) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBolt_RemembersRecordsAndRevisions(t *testing.T) {
	path := boltPath(t)
	e := openAt(t, "bbolt", path, time.Now)
	put(t, e, "a", "1", time.Time{})
	last := put(t, e, "b", "2", time.Time{})
	if _, err := e.Commit(t.Context(), store.Delete("codes", "b", store.Any)); err != nil {
		t.Fatal(err)
	}
	closeEngine(t, e)
	e = openAt(t, "bbolt", path, time.Now)
	if rec, err := e.Get(t.Context(), "codes", "a"); err != nil || string(rec.Value) != "1" {
		t.Errorf("get: %+v, %v", rec, err)
	}
	if rev := put(t, e, "b", "3", time.Time{}); rev <= last {
		t.Errorf("revision %d after %d: it came back with the process", rev, last)
	}
}

func TestBolt_SaysThatAnotherProcessHoldsTheFile(t *testing.T) {
	path := boltPath(t)
	openAt(t, "bbolt", path, time.Now)
	_, err := Open("bbolt", Options{Path: path, OpenTimeout: time.Millisecond}) // the lock is the open file's: one process is enough
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrLocked with the path", err)
	}
}

func TestBolt_RefusesNoPathAndForeignFiles(t *testing.T) {
	if _, err := Open("bbolt", Options{}); !errors.Is(err, errNoPath) {
		t.Errorf("no path: %v", err)
	}
	path := boltPath(t)
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open("bbolt", Options{Path: path}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a foreign file: %v", err)
	}
}

func TestBolt_FileIsItsOwnersOnly(t *testing.T) {
	path := boltPath(t)
	openAt(t, "bbolt", path, time.Now)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestBolt_CallsOfOneTransactionHaveTheirOwnOutcomes drives the writer by hand: four calls in one transaction, each judged on
// what those before it left.
func TestBolt_CallsOfOneTransactionHaveTheirOwnOutcomes(t *testing.T) {
	e := openAt(t, "bbolt", boltPath(t), time.Now).(*boltEngine)
	call := func(value string) *boltCall {
		raw := append(make([]byte, headerLen), value...)
		other := boltOp{kind: store.OpPut, bucket: []byte("codes"), key: []byte("by-" + value), cond: store.Any, raw: append(make([]byte, headerLen), value...)}
		return &boltCall{Job: boltJob{ops: []boltOp{other, {kind: store.OpPut, bucket: []byte("jti"), key: []byte("one"), cond: store.Absent, raw: raw}}}}
	}
	calls := []*boltCall{call("first"), call("second"), {Job: boltJob{sweep: 1}}, call("third")}
	outcomes := make([]boltOutcome, len(calls))
	if err := e.transact(calls, outcomes); err != nil {
		t.Fatal(err)
	}
	for i, o := range outcomes {
		if lost := errors.Is(o.err, store.ErrConflict); lost != (i == 1 || i == 3) {
			t.Errorf("call %d: %v", i, o.err)
		}
	}
	recs, err := e.Scan(t.Context(), "codes", store.Range{Limit: 10})
	if err != nil || len(recs) != 1 || recs[0].Key != "by-first" {
		t.Errorf("records %v, %v: a call that lost has left something", recs, err)
	}
}

// TestBolt_LostRacesWriteNothing: only the winner's transaction reaches the disk.
func TestBolt_LostRacesWriteNothing(t *testing.T) {
	e := openAt(t, "bbolt", boltPath(t), time.Now).(*boltEngine)
	put(t, e, "a", "1", time.Time{})
	txid := func() (id int) {
		_ = e.db.View(func(tx *bolt.Tx) error { id = tx.ID(); return nil })
		return id
	}
	before := txid()
	if _, err := e.Commit(t.Context(), store.Put("codes", "a", nil, store.Absent, time.Time{})); !errors.Is(err, store.ErrConflict) {
		t.Fatal(err)
	}
	if _, err := e.Commit(t.Context(), store.Check("codes", "b", store.Absent)); err != nil {
		t.Fatal(err)
	}
	if after := txid(); after != before {
		t.Errorf("transaction %d after %d: an unchanged one was written", after, before)
	}
}

// TestBolt_ExpiryIndexHoldsOneEntryForEachRecord: prolonging a record at each use must not grow the file.
func TestBolt_ExpiryIndexHoldsOneEntryForEachRecord(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	var mu sync.Mutex
	e := openAt(t, "bbolt", boltPath(t), func() time.Time { mu.Lock(); defer mu.Unlock(); return now }).(*boltEngine)
	entries := func() (n int) {
		_ = e.db.View(func(tx *bolt.Tx) error { n = tx.Bucket(expiryBucket).Inspect().KeyN; return nil })
		return n
	}
	for i := range 10 {
		put(t, e, "prolonged", "p", now.Add(time.Duration(i+1)*time.Minute))
		put(t, e, "shortened", "s", now.Add(time.Hour-time.Duration(i)*time.Minute))
		if n := entries(); n != 2 {
			t.Fatalf("%d entries after %d writes of 2 records", n, i+1)
		}
	}
	mu.Lock()
	now = now.Add(2 * time.Minute)
	mu.Unlock()
	if n, err := e.Sweep(t.Context(), 10); n != 0 || err != nil || entries() != 2 {
		t.Errorf("sweep removed %d, %v, leaving %d entries, want 2", n, err, entries())
	}
	if _, err := e.Commit(t.Context(), store.Delete("codes", "prolonged", store.Any), store.Put("codes", "shortened", nil, store.Any, time.Time{})); err != nil {
		t.Fatal(err)
	}
	if n := entries(); n != 0 {
		t.Errorf("%d entries without a record that expires", n)
	}
}

// TestBolt_SweepOutlivesEntriesWithoutTheirRecord: they must neither stop it nor cost a record.
func TestBolt_SweepOutlivesEntriesWithoutTheirRecord(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	e := openAt(t, "bbolt", boltPath(t), func() time.Time { return now }).(*boltEngine)
	put(t, e, "live", "v", now.Add(time.Hour))
	put(t, e, "kept", "v", time.Time{})
	err := e.db.Update(func(tx *bolt.Tx) error {
		for _, k := range [][]byte{[]byte("live"), []byte("kept"), []byte("gone")} {
			if err := tx.Bucket(expiryBucket).Put(expiryKey(now.UnixNano()-1, []byte("codes"), k), nil); err != nil {
				return err
			}
		}
		return tx.Bucket(expiryBucket).Put(expiryKey(now.UnixNano()-1, []byte("never_made"), []byte("k")), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := e.Sweep(t.Context(), 10); n != 0 || err != nil {
		t.Errorf("sweep removed %d, %v", n, err)
	}
	if rec, err := e.Get(t.Context(), "codes", "live"); err != nil || string(rec.Value) != "v" {
		t.Errorf("get: %+v, %v", rec, err)
	}
	_ = e.db.View(func(tx *bolt.Tx) error {
		if n := tx.Bucket(expiryBucket).Inspect().KeyN; n != 1 {
			t.Errorf("%d entries, want the live record's own", n)
		}
		return nil
	})
}

// TestBolt_LatchesWhenAFailedCommitIsVisible: after a failed sync of the meta page readers would see what may not be on the disk.
func TestBolt_LatchesWhenAFailedCommitIsVisible(t *testing.T) {
	e := openAt(t, "bbolt", boltPath(t), time.Now).(*boltEngine)
	rev := put(t, e, "a", "1", time.Time{})
	if !e.reached(rev) || e.reached(rev+1) || e.reached(0) {
		t.Errorf("reached: %v, %v, %v", e.reached(rev), e.reached(rev+1), e.reached(0))
	}
	e.latched.Store(true)
	_, errGet := e.Get(t.Context(), "codes", "a")
	_, errCommit := e.Commit(t.Context(), store.Put("codes", "b", nil, store.Any, time.Time{}))
	for _, err := range []error{errGet, errCommit, e.Ping(t.Context())} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
}

func TestBolt_CounterIsStored(t *testing.T) {
	e := openAt(t, "bbolt", boltPath(t), time.Now).(*boltEngine)
	rev := put(t, e, "a", "1", time.Time{})
	_ = e.db.View(func(tx *bolt.Tx) error {
		if raw := tx.Bucket(metaBucket).Get(revKey); binary.BigEndian.Uint64(raw) != rev {
			t.Errorf("stored counter %x, want %d", raw, rev)
		}
		return nil
	})
}

const envFull = "FEDBROKER_FULL_DISK_CHILD"

// TestBolt_FullDisk starts this test again as a child whose files may not grow (RLIMIT_FSIZE), as on a full disk: what was
// acknowledged stays, what fails is ErrUnavailable and leaves nothing, Ping tells, and room makes all work again.
func TestBolt_FullDisk(t *testing.T) {
	if path := os.Getenv(envFull); path != "" {
		synctest.Test(t, func(t *testing.T) { outliveFullDisk(t, path) })
		return
	}
	child := exec.Command(os.Args[0], "-test.run=^TestBolt_FullDisk$")
	child.Env = append(os.Environ(), envFull+"="+boltPath(t))
	if out, err := child.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func outliveFullDisk(t *testing.T, path string) {
	e := openAt(t, "bbolt", path, time.Now)
	put(t, e, "before", "v", time.Time{})
	written := 0
	check := func() {
		t.Helper()
		recs, err := e.Scan(context.Background(), "codes", store.Range{Prefix: "k", Limit: store.MaxScan})
		if err != nil || len(recs) != written {
			t.Errorf("%d records, %v, want the %d acknowledged", len(recs), err, written)
		}
	}
	wantPing := func(what string, good bool) {
		t.Helper()
		err := e.Ping(context.Background())
		if good != (err == nil) || !good && (!errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), syscall.EFBIG.Error())) {
			t.Errorf("ping %s: %v", what, err)
		}
	}
	wantPing("before", true)

	room := fillDisk(t, e, path, &written)
	check()
	wantPing("after the failed write", false)
	if _, err := e.Commit(context.Background(), store.Put("codes", "before", nil, store.Absent, time.Time{})); !errors.Is(err, store.ErrConflict) {
		t.Errorf("lost race: %v", err)
	}
	wantPing("after a commit that had nothing to write", false)
	time.Sleep(3 * tryEvery) // the bubble's clock
	wantPing("while the disk is full", false)
	room()
	time.Sleep(tryEvery + time.Millisecond)
	wantPing("of an idle engine that has room again", true)
	check()
	_ = e.(*boltEngine).db.View(func(tx *bolt.Tx) error {
		if tx.Bucket(metaBucket).Get(roomKey) != nil {
			t.Error("what was written to find out is still there")
		}
		return nil
	})

	room = fillDisk(t, e, path, &written)
	wantPing("after the second failed write", false)
	room()
	put(t, e, fmt.Sprintf("k%03d", written), "v", time.Time{})
	written++
	wantPing("after a good write", true)
	check()
	closeEngine(t, e)
	e = openAt(t, "bbolt", path, time.Now)
	check()
}

// fillDisk writes, counting in written, until the file may not grow any more; room lifts the limit.
func fillDisk(t *testing.T, e store.Engine, path string, written *int) (room func()) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	limit := func(r unix.Rlimit) {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &r); err != nil {
			t.Fatal(err)
		}
	}
	limit(unix.Rlimit{Cur: uint64(info.Size()) + 64<<10, Max: old.Max})
	value := make([]byte, 4<<10)
	for end := *written + 900; *written < end; *written++ {
		_, err := e.Commit(context.Background(), store.Put("codes", fmt.Sprintf("k%03d", *written), value, store.Absent, time.Time{}))
		if err == nil {
			continue
		}
		// bbolt flattens some errors into text.
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), syscall.EFBIG.Error()) {
			t.Fatalf("after %d records: %v, want ErrUnavailable by %v", *written, err, syscall.EFBIG)
		}
		return func() { limit(old) }
	}
	t.Fatalf("%d records without a full disk", *written)
	return nil
}
