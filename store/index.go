package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Index finds rows by equality with a value that they hold. Its entries live in a bucket of their own, expire with their row, and
// are keyed by HashKey(value), so that values may be any strings, ":" and the row's key: a row that is indexed has a key of at
// most 212 bytes.
type Index[T any] struct {
	Bucket string
	Values func(T) []string // the values that a row is found by; none is fine
}

// entry is the place of one index entry.
type entry struct{ bucket, key string }

const entrySeparator = ":" // no base64url character

func (t *Table[T]) entriesOf(key string, v T) []entry {
	var list []entry
	for _, x := range t.o.Indexes {
		for _, value := range x.Values(v) {
			e := entry{x.Bucket, HashKey(value) + entrySeparator + key}
			if !slices.Contains(list, e) {
				list = append(list, e)
			}
		}
	}
	return list
}

// entries returns the index entries of the row that is there, with the condition under which they are all of them.
func (t *Table[T]) entries(ctx context.Context, key string, cond Cond) (Cond, map[entry]bool, error) {
	if len(t.o.Indexes) == 0 || cond == Absent {
		return cond, nil, nil
	}
	row, err := t.Get(ctx, key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return 0, nil, err
	}
	if !cond.Holds(row.Rev) {
		return 0, nil, &ConflictError{Bucket: t.o.Bucket, Key: key, Rev: row.Rev}
	}
	if row.Rev == 0 {
		return Absent, nil, nil
	}
	old := make(map[entry]bool)
	for _, e := range t.entriesOf(key, row.Value) {
		old[e] = true
	}
	return Cond(row.Rev), old, nil
}

func appendDeletes(ops []Op, stale map[entry]bool) []Op {
	for _, e := range slices.SortedFunc(maps.Keys(stale), func(a, b entry) int { return strings.Compare(a.bucket+"/"+a.key, b.bucket+"/"+b.key) }) {
		ops = append(ops, Delete(e.bucket, e.key, Any))
	}
	return ops
}

// ScanIndex returns the rows that hold value in the named index, in key order, after the row key after ("": from the first), at
// most limit (1 to MaxScan). A short page is the last one. A row that left the index between two reads is left out.
func (t *Table[T]) ScanIndex(ctx context.Context, index, value, after string, limit int) ([]Row[T], error) {
	if !slices.ContainsFunc(t.o.Indexes, func(x Index[T]) bool { return x.Bucket == index }) {
		return nil, fmt.Errorf("table %s has no index %s: %w", t.o.Bucket, index, ErrInvalid)
	}
	prefix := HashKey(value) + entrySeparator
	r := Range{Prefix: prefix, Limit: limit}
	if after != "" {
		r.After = prefix + after
	}
	var rows []Row[T]
	for {
		recs, err := t.engine.Scan(ctx, index, r)
		if err != nil {
			return nil, err
		}
		for _, rec := range recs {
			row, err := t.Get(ctx, rec.Key[len(prefix):])
			if errors.Is(err, ErrNotFound) || err == nil && !slices.Contains(t.entriesOf(row.Key, row.Value), entry{index, rec.Key}) {
				continue
			}
			if err != nil {
				return nil, err
			}
			if rows = append(rows, row); len(rows) == limit {
				return rows, nil
			}
		}
		if len(recs) < limit {
			return rows, nil
		}
		r.After = recs[len(recs)-1].Key
	}
}
