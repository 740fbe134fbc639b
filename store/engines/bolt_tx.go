package engines

import (
	"bytes"
	"encoding/binary"

	bolt "go.etcd.io/bbolt"

	"fedbroker/store"
)

// timeLedFill is how full pages get where keys come in order: nothing is ever put between them.
const timeLedFill = 0.9

// boltTx is one bbolt transaction while the writer fills it. Its methods' errors end the whole transaction.
type boltTx struct {
	tx      *bolt.Tx
	now     int64
	rev     uint64 // the newest revision
	changed bool
	expiry  *bolt.Bucket
	buckets map[string]*bolt.Bucket
}

func newBoltTx(tx *bolt.Tx, now int64) *boltTx {
	w := &boltTx{tx: tx, now: now, rev: counter(tx), expiry: tx.Bucket(expiryBucket), buckets: make(map[string]*bolt.Bucket)}
	w.expiry.FillPercent = timeLedFill
	return w
}

// finish writes the counter.
func (w *boltTx) finish() error {
	if !w.changed {
		return errUnchanged
	}
	return w.tx.Bucket(metaBucket).Put(revKey, binary.BigEndian.AppendUint64(nil, w.rev))
}

// change takes the next revision.
func (w *boltTx) change() uint64 {
	w.changed = true
	w.rev++
	return w.rev
}

// bucket returns nil for one that was never written.
func (w *boltTx) bucket(name []byte) *bolt.Bucket {
	b, ok := w.buckets[string(name)]
	if !ok {
		if b = w.tx.Bucket(name); b != nil {
			w.buckets[string(name)] = b
		}
	}
	return b
}

func (w *boltTx) find(bucket, key []byte) header {
	b := w.bucket(bucket)
	if b == nil {
		return header{}
	}
	return readHeader(b.Get(key))
}

// commit judges all conditions before it changes anything, so that a lost one leaves the transaction to the other calls.
func (w *boltTx) commit(ops []boltOp) (boltOutcome, error) {
	revs := make([]uint64, len(ops))
	writes := false
	for i, op := range ops {
		h := w.find(op.bucket, op.key)
		if h.live(w.now) {
			revs[i] = h.rev
		}
		if !op.cond.Holds(revs[i]) {
			return boltOutcome{err: &store.ConflictError{Index: i, Bucket: string(op.bucket), Key: string(op.key), Rev: revs[i]}}, nil
		}
		writes = writes || op.kind == store.OpPut || op.kind == store.OpDelete && h.rev != 0
	}
	var rev uint64
	if writes {
		rev = w.change()
	}
	for i, op := range ops {
		var err error
		switch op.kind {
		case store.OpPut:
			revs[i] = rev
			err = w.put(op, rev)
		case store.OpDelete:
			revs[i] = 0
			err = w.delete(op.bucket, op.key)
		case store.OpCheck: // it held
		}
		if err != nil {
			return boltOutcome{}, err
		}
	}
	return boltOutcome{result: boltResult{revs: revs}}, nil
}

func (w *boltTx) put(op boltOp, rev uint64) error {
	b := w.bucket(op.bucket)
	if b == nil {
		var err error
		if b, err = w.tx.CreateBucket(op.bucket); err != nil {
			return err
		}
		w.buckets[string(op.bucket)] = b
	}
	if store.TimeLed(string(op.key)) {
		b.FillPercent = timeLedFill
	}
	h := header{rev: rev, expires: op.expires, indexed: readHeader(b.Get(op.key)).indexed}
	if h.indexed != 0 && (h.expires == 0 || h.expires < h.indexed) {
		if err := w.expiry.Delete(expiryKey(h.indexed, op.bucket, op.key)); err != nil {
			return err
		}
		h.indexed = 0
	}
	// An entry that comes before the new expiry stays: Sweep moves it when it gets there, so that a record whose life is
	// prolonged at each use costs one entry at a time, not one a use.
	if h.indexed == 0 && h.expires != 0 {
		h.indexed = h.expires
		if err := w.expiry.Put(expiryKey(h.indexed, op.bucket, op.key), nil); err != nil {
			return err
		}
	}
	h.write(op.raw)
	return b.Put(op.key, op.raw)
}

func (w *boltTx) delete(bucket, key []byte) error {
	h := w.find(bucket, key)
	if h.rev == 0 {
		return nil
	}
	if h.indexed != 0 {
		if err := w.expiry.Delete(expiryKey(h.indexed, bucket, key)); err != nil {
			return err
		}
	}
	return w.bucket(bucket).Delete(key)
}

// try takes room beside the counter, or gives it back.
func (w *boltTx) try(r room) error {
	w.change()
	if r == roomGive {
		return w.tx.Bucket(metaBucket).Delete(roomKey)
	}
	return w.tx.Bucket(metaBucket).Put(roomKey, make([]byte, roomSize))
}

// sweep judges at most n entries of the expiry index, the earliest first.
func (w *boltTx) sweep(n int) (boltResult, error) {
	var due [][]byte
	c := w.expiry.Cursor()
	for k, _ := c.First(); k != nil && len(due) < n && expired(expiryAt(k), w.now); k, _ = c.Next() {
		due = append(due, bytes.Clone(k)) // a cursor does not outlive a change of its bucket
	}
	if len(due) > 0 {
		w.change()
	}
	r := boltResult{judged: len(due)}
	for _, k := range due {
		removed, err := w.judge(k)
		if err != nil {
			return r, err
		}
		if removed {
			r.removed++
		}
	}
	return r, nil
}

// judge removes the record of one due index entry, or moves the entry to where the record now expires.
func (w *boltTx) judge(entry []byte) (removed bool, err error) {
	bucket, key, _ := bytes.Cut(entry[8:], []byte{0})
	h := w.find(bucket, key)
	if expired(h.expires, w.now) {
		return true, w.delete(bucket, key)
	}
	if err := w.expiry.Delete(entry); err != nil {
		return false, err
	}
	if h.rev == 0 || h.indexed != expiryAt(entry) {
		return false, nil // an entry without its record
	}
	raw := bytes.Clone(w.bucket(bucket).Get(key))
	h.indexed = h.expires
	h.write(raw)
	if err := w.expiry.Put(expiryKey(h.indexed, bucket, key), nil); err != nil {
		return false, err
	}
	return false, w.bucket(bucket).Put(key, raw)
}

// expiryKey is the instant, big-endian so that the earliest comes first, the bucket, a zero byte and the key.
func expiryKey(at int64, bucket, key []byte) []byte {
	k := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(bucket)+1+len(key)), uint64(at))
	k = append(k, bucket...)
	k = append(k, 0)
	return append(k, key...)
}

func expiryAt(entry []byte) int64 { return int64(binary.BigEndian.Uint64(entry)) }
