// Package store is the contract between fedbroker and whatever keeps its records: a small linearizable key-value Engine, and on
// top of it, once for all engines, typed tables with declared indexes and sealed fields.
//
// What is only appended never comes here: that is the work of store/journal. An engine holds what must be found or decided by key.
package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Errors of engines, tables and the journal wrap one of these.
var (
	// ErrNotFound: there is no such record, or it has expired.
	ErrNotFound = errors.New("record not found")
	// ErrConflict: a condition did not hold; nothing was written. The error is a *ConflictError.
	ErrConflict = errors.New("condition not met")
	// ErrTooLarge: a key, a value or a commit is over its limit; nothing was written.
	ErrTooLarge = errors.New("over the store's limit")
	// ErrUnavailable: the store can't serve now; nothing was written.
	ErrUnavailable = errors.New("store unavailable")
	// ErrUnknown: the outcome of a write is not known; see Engine.Commit.
	ErrUnknown = errors.New("outcome unknown")
	// ErrInvalid: the call itself breaks the contract. It is a mistake in the calling code, never in a request.
	ErrInvalid = errors.New("invalid use of the store")
)

// ConflictError names the first op of a Commit whose condition did not hold.
type ConflictError struct {
	Index       int // of the op in the Commit
	Bucket, Key string
	Rev         uint64 // the revision that is there; 0: the record is absent
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("op %d on %s/%s finds revision %d: %v", e.Index, e.Bucket, e.Key, e.Rev, ErrConflict)
}

// Unwrap makes a ConflictError an ErrConflict.
func (e *ConflictError) Unwrap() error { return ErrConflict }

// Engine keeps records in buckets. Package storetest holds every engine to this:
//   - Linearizable: a Get or Scan that begins after a Commit returned sees it, on every replica.
//   - A record whose Expires is at or before the clock given at Open is absent to every method, swept or not.
//   - Revisions are > 0 and never come back: a key deleted and made again gets one it never had.
//   - Bucket [a-z_]{1,32}; key 1–256 bytes of 0x21–0x7E, ordered bytewise; value ≤ 256 KiB. Slices in are not kept, slices out
//     are the caller's.
//   - Errors wrap ErrNotFound, ErrConflict, ErrTooLarge, ErrUnavailable (nothing was written), ErrUnknown (see Commit) or ErrInvalid.
type Engine interface {
	// Get returns the record, or an error that wraps ErrNotFound.
	Get(ctx context.Context, bucket, key string) (Record, error)
	// Scan returns at most r.Limit records in key order, with r.Prefix, after r.After. A short page is the last one.
	Scan(ctx context.Context, bucket string, r Range) ([]Record, error)
	// Commit applies 1–64 ops as one, across buckets, no key twice: all conditions hold and all is durable when err is nil, else
	// nothing changed. A *ConflictError names the first op that lost. ErrUnknown: ctx or connection ended after hand-over; the
	// caller must act neither as if it happened nor as if it did not. Of revs, one for each op, a Put's is the record's new
	// revision, a Check's the revision that held (0 for Absent), a Delete's 0.
	Commit(ctx context.Context, ops ...Op) (revs []uint64, err error)
	// Sweep frees at most limit expired records, in batches that delay a Commit by no more than about 2 ms each. It is safe on
	// all replicas at once. A removed count below limit says that none was left.
	Sweep(ctx context.Context, limit int) (removed int, err error)
	// Ping says whether the engine can serve: whether it reads, and whether its newest write succeeded. It writes nothing itself and is
	// cheap. An engine whose write failed tries one of its own every few seconds, so that Ping tells of the recovery without any call.
	Ping(ctx context.Context) error
	// Close ends the engine's goroutines and waits for them; commits that were taken are finished, others get ErrUnavailable.
	Close() error
}

// Record is one value under one key. A zero Expires means that it is kept. Expires has nanoseconds and is in UTC.
type Record struct {
	Key     string
	Value   []byte
	Rev     uint64
	Expires time.Time
}

// Range selects keys that begin with Prefix and sort after After; Limit is 1 to MaxScan.
type Range struct {
	Prefix, After string
	Limit         int
}

// Cond is what must be true of a key for an op to happen: Absent, Any, or the revision that must still be there.
type Cond uint64

const (
	// Absent: there is no such record.
	Absent Cond = 0
	// Any: no condition.
	Any Cond = math.MaxUint64
)

// OpKind is what an op does.
type OpKind uint8

// The kinds of Op. The zero OpKind is none of them, so that an empty Op is refused.
const (
	OpPut OpKind = iota + 1
	OpDelete
	OpCheck
)

// Op is one step of a Commit, built by Put, Delete or Check.
type Op struct {
	Kind        OpKind
	Bucket, Key string
	If          Cond
	Value       []byte
	Expires     time.Time
}

// Put writes a record if cond holds. A zero expires keeps it.
func Put(bucket, key string, value []byte, cond Cond, expires time.Time) Op {
	return Op{Kind: OpPut, Bucket: bucket, Key: key, If: cond, Value: value, Expires: expires}
}

// Delete removes a record: whatever is there (Any), or only at a revision.
func Delete(bucket, key string, cond Cond) Op {
	return Op{Kind: OpDelete, Bucket: bucket, Key: key, If: cond}
}

// Check writes nothing and holds the whole Commit to cond, Absent or a revision.
func Check(bucket, key string, cond Cond) Op {
	return Op{Kind: OpCheck, Bucket: bucket, Key: key, If: cond}
}

// Holds says whether cond is met by a key whose record has revision rev, 0 meaning that there is none.
func (c Cond) Holds(rev uint64) bool { return c == Any || uint64(c) == rev }
