package engines

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"

	"fedbroker/store"
)

// boltJob is a Commit (ops), one batch of a Sweep (sweep > 0), or the writer's own try (room).
type boltJob struct {
	ops   []boltOp
	sweep int // how many entries of the expiry index to judge
	room  room
}

// room says what a try does.
type room int

const (
	roomTake room = iota + 1
	roomGive
)

const (
	// tryEvery: after a failed write the writer tries one by itself, so that an engine which is idle, or which nobody asks any more
	// because it is not ready, learns that the disk takes writes again.
	tryEvery = 5 * time.Second
	// roomSize is what a try writes: more than the pages that bbolt has free here and there on a disk that is full.
	roomSize = 32 << 10
)

// boltOp owns its bytes: raw is the stored value, whose header the writer fills.
type boltOp struct {
	kind        store.OpKind
	bucket, key []byte
	cond        store.Cond
	raw         []byte
	expires     int64
}

type boltResult struct {
	revs            []uint64
	judged, removed int
}

func (e *boltEngine) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	if err := store.CheckOps(ops); err != nil {
		return nil, err
	}
	job := boltJob{ops: make([]boltOp, len(ops))}
	for i, op := range ops {
		job.ops[i] = boltOp{kind: op.Kind, bucket: []byte(op.Bucket), key: []byte(op.Key), cond: op.If, expires: expiryNanos(op.Expires)}
		if op.Kind == store.OpPut {
			job.ops[i].raw = append(make([]byte, headerLen, headerLen+len(op.Value)), op.Value...)
		}
	}
	r, err := e.writer.Do(ctx, job)
	return r.revs, err
}

// sweepBatch keeps what a batch adds to the commits beside it well under 2 ms.
const sweepBatch = 128

func (e *boltEngine) Sweep(ctx context.Context, limit int) (int, error) {
	if err := store.CheckSweep(limit); err != nil {
		return 0, err
	}
	removed := 0
	for removed < limit {
		batch := min(sweepBatch, limit-removed)
		r, err := e.writer.Do(ctx, boltJob{sweep: batch})
		if err != nil {
			return removed, err
		}
		removed += r.removed
		if r.judged < batch {
			break
		}
	}
	return removed, nil
}

type boltCall = store.Call[boltJob, boltResult]

type boltOutcome struct {
	result boltResult
	err    error
}

// errUnchanged ends a transaction that has nothing to write, so that lost races cost no fsync.
var errUnchanged = errors.New("nothing to write")

// write does many calls in one transaction. Each call has its own outcome; only a failed write is everybody's.
func (e *boltEngine) write(calls []*boltCall) time.Duration {
	if len(calls) == 0 {
		e.try()
		return e.again()
	}
	outcomes := make([]boltOutcome, len(calls))
	if err := e.transact(calls, outcomes); err != nil {
		for i := range outcomes {
			outcomes[i] = boltOutcome{err: err}
		}
	}
	for i, c := range calls {
		c.Answer(outcomes[i].result, outcomes[i].err)
	}
	return e.again()
}

// try finds out whether writes succeed again. A latched file is beyond that.
func (e *boltEngine) try() {
	if e.failing.Load() == nil {
		return
	}
	for _, r := range []room{roomTake, roomGive} {
		if e.transact([]*boltCall{{Job: boltJob{room: r}}}, make([]boltOutcome, 1)) != nil {
			return // noted there
		}
	}
}

// again is when to try; calls in between that have nothing to write don't put it off.
func (e *boltEngine) again() time.Duration {
	f := e.failing.Load()
	if f == nil || e.latched.Load() {
		return 0
	}
	return min(max(f.next.Sub(e.now()), time.Millisecond), tryEvery)
}

// note remembers how a write ended.
func (e *boltEngine) note(err error) error {
	if err == nil {
		e.failing.Store(nil)
		return nil
	}
	e.failing.Store(&boltFailure{err, e.now().Add(tryEvery)})
	return err
}

func (e *boltEngine) transact(calls []*boltCall, outcomes []boltOutcome) error {
	if e.latched.Load() {
		return unavailable(errLatch)
	}
	var rev uint64
	err := e.db.Update(func(tx *bolt.Tx) error {
		w := newBoltTx(tx, e.now().UnixNano())
		for i, c := range calls {
			var err error
			switch {
			case c.Job.sweep > 0:
				outcomes[i].result, err = w.sweep(c.Job.sweep)
			case c.Job.room > 0:
				err = w.try(c.Job.room)
			default:
				outcomes[i], err = w.commit(c.Job.ops)
			}
			if err != nil {
				return err
			}
		}
		rev = w.rev
		return w.finish()
	})
	switch {
	case errors.Is(err, errUnchanged):
		return nil
	case err == nil:
		return e.note(nil)
	case e.reached(rev):
		e.latched.Store(true)
		return e.note(fmt.Errorf("%w: %w", store.ErrUnknown, err))
	}
	return e.note(unavailable(err))
}

// reached says whether the file shows revision rev although its transaction failed: the meta page was written, and only its fsync
// is missing. Every transaction that changes anything takes a new revision.
func (e *boltEngine) reached(rev uint64) bool {
	if rev == 0 {
		return false // it failed before it was complete
	}
	var current uint64
	err := e.db.View(func(tx *bolt.Tx) error {
		current = counter(tx)
		return nil
	})
	return err == nil && current >= rev
}

func counter(tx *bolt.Tx) uint64 {
	if raw := tx.Bucket(metaBucket).Get(revKey); len(raw) == 8 {
		return binary.BigEndian.Uint64(raw)
	}
	return 0
}
