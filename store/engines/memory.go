package engines

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"fedbroker/store"
)

// memoryEngine keeps records in this process only: for tests and the demo. Nothing in it survives Close.
type memoryEngine struct {
	now func() time.Time

	mu      sync.RWMutex
	closed  bool
	rev     uint64
	buckets map[string]*memoryBucket
}

// memoryBucket has its keys in order beside the map, so that Scan needs no sorting.
type memoryBucket struct {
	keys    []string
	records map[string]memoryRecord
}

type memoryRecord struct {
	value   []byte
	rev     uint64
	expires int64
}

func openMemory(o Options) (store.Engine, error) {
	return &memoryEngine{now: o.Now, buckets: make(map[string]*memoryBucket)}, nil
}

func (e *memoryEngine) Get(ctx context.Context, bucket, key string) (store.Record, error) {
	if err := store.CheckName(bucket, key); err != nil {
		return store.Record{}, err
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := e.ready(ctx); err != nil {
		return store.Record{}, err
	}
	r, ok := e.live(bucket, key, e.now().UnixNano())
	if !ok {
		return store.Record{}, fmt.Errorf("%s/%s: %w", bucket, key, store.ErrNotFound)
	}
	return r.record(key), nil
}

func (e *memoryEngine) Scan(ctx context.Context, bucket string, r store.Range) ([]store.Record, error) {
	if err := store.CheckRange(bucket, r); err != nil {
		return nil, err
	}
	e.mu.RLock()
	defer e.mu.RUnlock()
	if err := e.ready(ctx); err != nil {
		return nil, err
	}
	b := e.buckets[bucket]
	if b == nil {
		return nil, nil
	}
	var recs []store.Record
	now := e.now().UnixNano()
	first, _ := slices.BinarySearch(b.keys, max(r.Prefix, r.After))
	for _, key := range b.keys[first:] {
		if !strings.HasPrefix(key, r.Prefix) || len(recs) == r.Limit {
			break
		}
		if rec := b.records[key]; key > r.After && !expired(rec.expires, now) {
			recs = append(recs, rec.record(key))
		}
	}
	return recs, nil
}

func (e *memoryEngine) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	if err := store.CheckOps(ops); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return nil, err
	}
	now := e.now().UnixNano()
	revs := make([]uint64, len(ops))
	for i, op := range ops {
		r, _ := e.live(op.Bucket, op.Key, now)
		if revs[i] = r.rev; !op.If.Holds(r.rev) {
			return nil, &store.ConflictError{Index: i, Bucket: op.Bucket, Key: op.Key, Rev: r.rev}
		}
	}
	e.rev++
	for i, op := range ops {
		switch op.Kind {
		case store.OpPut:
			revs[i] = e.rev
			e.put(op.Bucket, op.Key, memoryRecord{value: bytes.Clone(op.Value), rev: e.rev, expires: expiryNanos(op.Expires)})
		case store.OpDelete:
			revs[i] = 0
			e.delete(op.Bucket, op.Key)
		case store.OpCheck: // it held
		}
	}
	return revs, nil
}

// Sweep frees bucket by bucket, and lets commits in between.
func (e *memoryEngine) Sweep(ctx context.Context, limit int) (int, error) {
	if err := store.CheckSweep(limit); err != nil {
		return 0, err
	}
	if err := e.Ping(ctx); err != nil {
		return 0, err
	}
	e.mu.RLock()
	names := slices.Collect(maps.Keys(e.buckets))
	e.mu.RUnlock()
	removed := 0
	for _, name := range names {
		n, err := e.sweepBucket(ctx, name, limit-removed)
		removed += n
		if err != nil || removed == limit {
			return removed, err
		}
	}
	return removed, nil
}

func (e *memoryEngine) sweepBucket(ctx context.Context, name string, limit int) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ready(ctx); err != nil {
		return 0, err
	}
	b, now, removed := e.buckets[name], e.now().UnixNano(), 0
	b.keys = slices.DeleteFunc(b.keys, func(key string) bool {
		if removed == limit || !expired(b.records[key].expires, now) {
			return false
		}
		delete(b.records, key)
		removed++
		return true
	})
	return removed, nil
}

func (e *memoryEngine) Ping(ctx context.Context) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.ready(ctx)
}

func (e *memoryEngine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	return nil
}

func (e *memoryEngine) ready(ctx context.Context) error {
	if e.closed {
		return unavailable(errClosed)
	}
	return ready(ctx)
}

func (e *memoryEngine) live(bucket, key string, now int64) (memoryRecord, bool) {
	b := e.buckets[bucket]
	if b == nil {
		return memoryRecord{}, false
	}
	r, ok := b.records[key]
	if !ok || expired(r.expires, now) {
		return memoryRecord{}, false
	}
	return r, true
}

func (e *memoryEngine) put(bucket, key string, r memoryRecord) {
	b := e.buckets[bucket]
	if b == nil {
		b = &memoryBucket{records: make(map[string]memoryRecord)}
		e.buckets[bucket] = b
	}
	if _, ok := b.records[key]; !ok {
		at, _ := slices.BinarySearch(b.keys, key)
		b.keys = slices.Insert(b.keys, at, key)
	}
	b.records[key] = r
}

func (e *memoryEngine) delete(bucket, key string) {
	b := e.buckets[bucket]
	if b == nil {
		return
	}
	if _, ok := b.records[key]; !ok {
		return
	}
	at, _ := slices.BinarySearch(b.keys, key)
	b.keys = slices.Delete(b.keys, at, at+1)
	delete(b.records, key)
}

func (r memoryRecord) record(key string) store.Record {
	return store.Record{Key: key, Value: bytes.Clone(r.value), Rev: r.rev, Expires: expiryTime(r.expires)}
}
