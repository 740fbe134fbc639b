package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// TableOptions describe a table. Bucket and Version are required.
type TableOptions[T any] struct {
	Bucket  string
	Version int // of T's JSON form, at least 1; a record of another version is an error, never guessed at
	// Sealing closes the fields that Sealed points to; it is required where Sealed is given.
	Sealing Sealing
	// Sealed points to the secret fields: []byte fields of T itself, not behind a pointer or in a slice, since they are
	// replaced in a shallow copy. An empty field stays empty.
	Sealed  func(*T) []*[]byte
	Indexes []Index[T]
}

// Row is one record of a table.
type Row[T any] struct {
	Key     string
	Value   T
	Rev     uint64
	Expires time.Time
}

// Table keeps values of one type in one bucket of an engine, as JSON with a version member, and writes the entries of its
// declared indexes in the same Commit as the value. It has no state of its own.
type Table[T any] struct {
	engine Engine
	o      TableOptions[T]
}

// NewTable judges the options.
func NewTable[T any](e Engine, o TableOptions[T]) (*Table[T], error) {
	if err := checkBucket(o.Bucket); err != nil {
		return nil, err
	}
	if o.Version < 1 {
		return nil, fmt.Errorf("table %s: version %d, want at least 1: %w", o.Bucket, o.Version, ErrInvalid)
	}
	if o.Sealed != nil && o.Sealing == nil {
		return nil, fmt.Errorf("table %s: sealed fields without a seal: %w", o.Bucket, ErrInvalid)
	}
	seen := map[string]bool{o.Bucket: true}
	for _, x := range o.Indexes {
		if err := checkBucket(x.Bucket); err != nil {
			return nil, fmt.Errorf("index of table %s: %w", o.Bucket, err)
		}
		if seen[x.Bucket] || x.Values == nil {
			return nil, fmt.Errorf("index %s of table %s: a bucket used twice, or no values: %w", x.Bucket, o.Bucket, ErrInvalid)
		}
		seen[x.Bucket] = true
	}
	return &Table[T]{engine: e, o: o}, nil
}

// Get returns one row, or an error that wraps ErrNotFound.
func (t *Table[T]) Get(ctx context.Context, key string) (Row[T], error) {
	rec, err := t.engine.Get(ctx, t.o.Bucket, key)
	if err != nil {
		return Row[T]{}, err
	}
	return t.row(ctx, rec)
}

// Scan returns rows in key order, as Engine.Scan does.
func (t *Table[T]) Scan(ctx context.Context, r Range) ([]Row[T], error) {
	recs, err := t.engine.Scan(ctx, t.o.Bucket, r)
	if err != nil {
		return nil, err
	}
	rows := make([]Row[T], len(recs))
	for i, rec := range recs {
		if rows[i], err = t.row(ctx, rec); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// putAttempts bounds how often Put and Delete with Any begin anew because another caller changed the record in between.
const putAttempts = 16

// Put writes v under key if cond holds and returns its revision. A zero expires keeps it.
func (t *Table[T]) Put(ctx context.Context, key string, v T, cond Cond, expires time.Time) (uint64, error) {
	return t.commit(ctx, cond, func() ([]Op, error) { return t.PutOps(ctx, key, v, cond, expires) })
}

// Delete removes the row under key if cond holds. With Any, a row that is not there is no error.
func (t *Table[T]) Delete(ctx context.Context, key string, cond Cond) error {
	_, err := t.commit(ctx, cond, func() ([]Op, error) { return t.DeleteOps(ctx, key, cond) })
	return err
}

// commit retries only under Any: the ops then carry the revision that their index entries were computed from.
func (t *Table[T]) commit(ctx context.Context, cond Cond, ops func() ([]Op, error)) (uint64, error) {
	for attempt := 1; ; attempt++ {
		list, err := ops()
		if err != nil {
			return 0, err
		}
		revs, err := t.engine.Commit(ctx, list...)
		switch {
		case err == nil:
			return revs[0], nil
		case cond != Any || attempt == putAttempts || !errors.Is(err, ErrConflict):
			return 0, err
		}
	}
}

// PutOps returns the ops of a Put, the record's first, so that several tables can share one Commit. A table with indexes reads
// the record that is there, and under Any holds the op to its revision: the Commit may then conflict, and is made anew.
func (t *Table[T]) PutOps(ctx context.Context, key string, v T, cond Cond, expires time.Time) ([]Op, error) {
	value, err := t.encode(ctx, key, v)
	if err != nil {
		return nil, err
	}
	cond, stale, err := t.entries(ctx, key, cond)
	if err != nil {
		return nil, err
	}
	ops := []Op{Put(t.o.Bucket, key, value, cond, expires)}
	for _, e := range t.entriesOf(key, v) {
		ops = append(ops, Put(e.bucket, e.key, nil, Any, expires))
		delete(stale, e)
	}
	return appendDeletes(ops, stale), nil
}

// DeleteOps returns the ops of a Delete, the record's first. Of a table with indexes the same holds as for PutOps; there, a row
// that is not there leaves only a Check that it stays so.
func (t *Table[T]) DeleteOps(ctx context.Context, key string, cond Cond) ([]Op, error) {
	cond, stale, err := t.entries(ctx, key, cond)
	if err != nil {
		return nil, err
	}
	if cond == Absent {
		return []Op{Check(t.o.Bucket, key, Absent)}, nil
	}
	return appendDeletes([]Op{Delete(t.o.Bucket, key, cond)}, stale), nil
}

// Check returns an op that holds a Commit to a row's revision, or to its absence.
func (t *Table[T]) Check(key string, cond Cond) Op { return Check(t.o.Bucket, key, cond) }

// envelope is the stored form.
type envelope[V any] struct {
	Version int `json:"v"`
	Data    V   `json:"d"`
}

func (t *Table[T]) encode(ctx context.Context, key string, v T) ([]byte, error) {
	if t.o.Sealed != nil {
		for _, field := range t.o.Sealed(&v) { // v is the callee's copy; the caller's slices are not written to
			if len(*field) == 0 {
				continue
			}
			sealed, err := t.o.Sealing.Seal(ctx, t.o.Bucket, key, *field)
			if err != nil {
				return nil, fmt.Errorf("seal %s/%s: %w", t.o.Bucket, key, err)
			}
			*field = sealed
		}
	}
	value, err := json.Marshal(envelope[T]{Version: t.o.Version, Data: v})
	if err != nil {
		return nil, fmt.Errorf("encode %s/%s: %w", t.o.Bucket, key, err)
	}
	return value, nil
}

func (t *Table[T]) row(ctx context.Context, rec Record) (Row[T], error) {
	var env envelope[json.RawMessage]
	row := Row[T]{Key: rec.Key, Rev: rec.Rev, Expires: rec.Expires}
	if err := json.Unmarshal(rec.Value, &env); err != nil {
		return Row[T]{}, fmt.Errorf("decode %s/%s: %w", t.o.Bucket, rec.Key, err)
	}
	if env.Version != t.o.Version {
		return Row[T]{}, fmt.Errorf("decode %s/%s: version %d of the record, this program knows %d", t.o.Bucket, rec.Key, env.Version, t.o.Version)
	}
	if err := json.Unmarshal(env.Data, &row.Value); err != nil {
		return Row[T]{}, fmt.Errorf("decode %s/%s: %w", t.o.Bucket, rec.Key, err)
	}
	if t.o.Sealed == nil {
		return row, nil
	}
	for _, field := range t.o.Sealed(&row.Value) {
		if len(*field) == 0 {
			continue
		}
		plain, err := t.o.Sealing.Open(ctx, t.o.Bucket, rec.Key, *field)
		if err != nil {
			return Row[T]{}, fmt.Errorf("open %s/%s: %w", t.o.Bucket, rec.Key, err)
		}
		*field = plain
	}
	return row, nil
}
