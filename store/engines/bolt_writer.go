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

// boltJob is a Commit (ops) or one batch of a Sweep (sweep > 0).
type boltJob struct {
	ops   []boltOp
	sweep int // how many entries of the expiry index to judge
}

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
		return 0
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
	return 0
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
			if c.Job.sweep > 0 {
				outcomes[i].result, err = w.sweep(c.Job.sweep)
			} else {
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
	case err == nil, errors.Is(err, errUnchanged):
		return nil
	case e.reached(rev):
		e.latched.Store(true)
		return fmt.Errorf("%w: %w", store.ErrUnknown, err)
	}
	return unavailable(err)
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
