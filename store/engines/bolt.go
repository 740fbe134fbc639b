package engines

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"fedbroker/store"
)

// ErrLocked: the file is in use. bbolt is one process.
var ErrLocked = errors.New("another process holds the store file")

var (
	errNoPath = errors.New("bbolt: no path")
	errClosed = errors.New("closed")
	errLatch  = errors.New("a write failed after it became visible; the file must be opened anew")
)

// boltEngine keeps each bucket in a bbolt bucket of its name. Two more, whose names no caller can use, hold the revision counter
// and the expiry index. All writes go through one goroutine, so that callers share one fsync.
type boltEngine struct {
	db     *bolt.DB
	now    func() time.Time
	writer *store.Group[boltJob, boltResult]
	// latched is set when a commit failed after its meta page was written: what readers then see may not be on the disk, and
	// after a failed fsync the kernel may call lost pages clean, so that only opening the file anew tells the truth.
	latched atomic.Bool
	failing atomic.Pointer[boltFailure] // nil: the newest write succeeded
}

// boltFailure is why the newest write failed.
type boltFailure struct {
	error
	next time.Time // when the writer tries one of its own
}

var (
	metaBucket   = []byte("!meta")
	expiryBucket = []byte("!expiry")
	revKey       = []byte("rev")
	roomKey      = []byte("room")
)

func openBolt(o Options) (store.Engine, error) {
	if o.Path == "" {
		return nil, errNoPath
	}
	const ownerOnly = 0o600
	db, err := bolt.Open(o.Path, ownerOnly, &bolt.Options{
		Timeout:        o.OpenTimeout,
		FreelistType:   bolt.FreelistMapType,
		NoFreelistSync: true,
		NoStatistics:   true,
	})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("bbolt %s: %w", o.Path, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("bbolt %s: %w", o.Path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{metaBucket, expiryBucket} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bbolt %s: %w", o.Path, err), db.Close())
	}
	e := &boltEngine{db: db, now: o.Now}
	e.writer = store.NewGroup(store.GroupOptions[boltJob, boltResult]{Write: e.write})
	return e, nil
}

func (e *boltEngine) Get(ctx context.Context, bucket, key string) (store.Record, error) {
	if err := store.CheckName(bucket, key); err != nil {
		return store.Record{}, err
	}
	var rec store.Record
	err := e.view(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return store.ErrNotFound
		}
		raw := b.Get([]byte(key))
		h := readHeader(raw)
		if !h.live(e.now().UnixNano()) {
			return store.ErrNotFound
		}
		rec = h.record(key, raw)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return store.Record{}, fmt.Errorf("%s/%s: %w", bucket, key, err)
	}
	return rec, err
}

func (e *boltEngine) Scan(ctx context.Context, bucket string, r store.Range) ([]store.Record, error) {
	if err := store.CheckRange(bucket, r); err != nil {
		return nil, err
	}
	var recs []store.Record
	err := e.view(ctx, func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if b == nil {
			return nil
		}
		now, prefix := e.now().UnixNano(), []byte(r.Prefix)
		c := b.Cursor()
		k, raw := c.Seek([]byte(max(r.Prefix, r.After)))
		for ; k != nil && bytes.HasPrefix(k, prefix) && len(recs) < r.Limit; k, raw = c.Next() {
			if h := readHeader(raw); h.live(now) && string(k) > r.After {
				recs = append(recs, h.record(string(k), raw))
			}
		}
		return nil
	})
	return recs, err
}

func (e *boltEngine) Ping(ctx context.Context) error {
	if err := e.view(ctx, func(*bolt.Tx) error { return nil }); err != nil {
		return err
	}
	if f := e.failing.Load(); f != nil {
		return fmt.Errorf("the last write failed: %w", f.error)
	}
	return nil
}

// Close lets the writer finish first.
func (e *boltEngine) Close() error {
	e.writer.Close()
	return e.db.Close()
}

func (e *boltEngine) view(ctx context.Context, f func(*bolt.Tx) error) error {
	if err := ready(ctx); err != nil {
		return err
	}
	if e.latched.Load() {
		return unavailable(errLatch)
	}
	tx, err := e.db.Begin(false)
	if err != nil {
		return unavailable(err)
	}
	defer func() { _ = tx.Rollback() }() // ends the reading; there is nothing to undo
	return f(tx)
}

// A stored value begins with a header of three big-endian 64-bit numbers.
const headerLen = 24

type header struct {
	rev     uint64 // 0: there is no record
	expires int64  // unix nanoseconds, 0: kept
	indexed int64  // where the expiry index holds this record, at or before expires; 0: nowhere
}

func readHeader(raw []byte) header {
	if len(raw) < headerLen {
		return header{}
	}
	return header{
		rev:     binary.BigEndian.Uint64(raw),
		expires: int64(binary.BigEndian.Uint64(raw[8:])),
		indexed: int64(binary.BigEndian.Uint64(raw[16:])),
	}
}

func (h header) write(raw []byte) {
	binary.BigEndian.PutUint64(raw, h.rev)
	binary.BigEndian.PutUint64(raw[8:], uint64(h.expires))
	binary.BigEndian.PutUint64(raw[16:], uint64(h.indexed))
}

func (h header) live(now int64) bool { return h.rev != 0 && !expired(h.expires, now) }

// record copies the value out of the file's mapping.
func (h header) record(key string, raw []byte) store.Record {
	return store.Record{Key: key, Value: bytes.Clone(raw[headerLen:]), Rev: h.rev, Expires: expiryTime(h.expires)}
}
