// Package confighistory keeps the configurations that were applied last, as they were written, so that one can be compared with another and put back.
// All of it is sealed: a file may hold a secret. What a file only names, such as a secret's own file, is not kept.
package confighistory

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"fedbroker/store"
)

// Kept is how many configurations are kept.
const Kept = 20

// Cause is why a configuration was applied.
type Cause string

// The causes.
const (
	Start      Cause = "start"
	FileChange Cause = "file change"
	Hangup     Cause = "SIGHUP"
	Rollback   Cause = "rollback"
)

// Text is one file of a configuration, before any variable was put in.
type Text struct {
	Name string `json:"name,omitempty"` // relative to the main file's folder; "" for the main file
	Text string `json:"text"`
}

// Entry is one configuration that was applied.
type Entry struct {
	Hash    string    `json:"hash"`  // SHA-256 of the files, 64 hex digits
	First   time.Time `json:"first"` // when it was first applied
	Last    time.Time `json:"last"`
	Cause   Cause     `json:"cause"` // of the last time
	Version string    `json:"version"`
	Files   int       `json:"files"`
	Bytes   int       `json:"bytes"`
	Changes string    `json:"changes"` // what it changed when it was first applied, in one line
	Chunks  int       `json:"chunks"`  // 0: it could not be kept
}

// Hash names a configuration. The main file's name is no part of it.
func Hash(texts []Text) string {
	h := sha256.New()
	for _, t := range texts {
		for _, s := range []string{t.Name, t.Text} {
			_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s)))) // a hash takes everything
			_, _ = h.Write([]byte(s))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Errors that name what the operator can't have.
var (
	ErrNone      = errors.New("no such configuration is kept")
	ErrAmbiguous = errors.New("more than one configuration begins so")
	ErrNotKept   = errors.New("it was too large to be kept, or no UTF-8")
)

const (
	bucket   = "config_history"
	indexKey = "index"
	attempts = 8 // at a commit that another process won
)

// sealed is a record of either kind: the list of entries, or a piece of a configuration.
type sealed struct {
	Box []byte `json:"box"`
}

// Store keeps them in an engine. It has no state of its own.
type Store struct {
	engine store.Engine
	table  *store.Table[sealed]
	now    func() time.Time
}

// Open reads nothing yet.
func Open(e store.Engine, s store.Sealing, now func() time.Time) (*Store, error) {
	table, err := store.NewTable(e, store.TableOptions[sealed]{Bucket: bucket, Version: 1, Sealing: s, Sealed: func(r *sealed) []*[]byte { return []*[]byte{&r.Box} }})
	if err != nil {
		return nil, fmt.Errorf("configuration history: %w", err)
	}
	return &Store{engine: e, table: table, now: now}, nil
}

// List is the entries, the one applied last first.
func (s *Store) List(ctx context.Context) ([]Entry, error) {
	all, _, err := s.index(ctx)
	return all, err
}

func (s *Store) index(ctx context.Context) (all []Entry, rev uint64, err error) {
	row, err := s.table.Get(ctx, indexKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil, uint64(store.Absent), nil
	}
	if err == nil {
		err = json.Unmarshal(row.Value.Box, &all)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("configuration history: %w", err)
	}
	return all, row.Rev, nil
}

// leastPrefix is how many digits of a hash name it.
const leastPrefix = 4

// Find is the entry whose hash begins so. Errors wrap ErrNone or ErrAmbiguous.
func Find(all []Entry, prefix string) (Entry, error) {
	var found []Entry
	for _, e := range all {
		if len(prefix) >= leastPrefix && strings.HasPrefix(e.Hash, prefix) {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return Entry{}, fmt.Errorf("%q: %w", prefix, ErrNone)
	case 1:
		return found[0], nil
	}
	return Entry{}, fmt.Errorf("%q: %w", prefix, ErrAmbiguous)
}

// Get is a configuration by the beginning of its hash. Errors wrap ErrNone, ErrAmbiguous or ErrNotKept.
func (s *Store) Get(ctx context.Context, prefix string) (Entry, []Text, error) {
	all, err := s.List(ctx)
	if err != nil {
		return Entry{}, nil, err
	}
	e, err := Find(all, prefix)
	if err != nil {
		return Entry{}, nil, err
	}
	texts, err := s.texts(ctx, e)
	return e, texts, err
}

func (s *Store) texts(ctx context.Context, e Entry) ([]Text, error) {
	if e.Chunks == 0 {
		return nil, fmt.Errorf("%.12s: %w", e.Hash, ErrNotKept)
	}
	var packed []byte
	for i := range e.Chunks {
		row, err := s.table.Get(ctx, chunkKey(e.Hash, i))
		if err != nil {
			return nil, fmt.Errorf("configuration %.12s: %w", e.Hash, err)
		}
		packed = append(packed, row.Value.Box...)
	}
	texts, err := unpack(packed)
	if err == nil && Hash(texts) != e.Hash {
		err = errors.New("what is kept is another")
	}
	if err != nil {
		return nil, fmt.Errorf("configuration %.12s: %w", e.Hash, err)
	}
	return texts, nil
}

// Add notes that a configuration was applied, and keeps it unless it is kept already; then the one that was applied longest ago goes.
func (s *Store) Add(ctx context.Context, texts []Text, cause Cause, version string) (Entry, error) {
	for attempt := 1; ; attempt++ {
		e, err := s.add(ctx, texts, cause, version)
		if !errors.Is(err, store.ErrConflict) || attempt == attempts {
			return e, err
		}
	}
}

func (s *Store) add(ctx context.Context, texts []Text, cause Cause, version string) (e Entry, err error) {
	all, rev, err := s.index(ctx)
	if err != nil {
		return e, err
	}
	now := s.now().UTC()
	e = Entry{Hash: Hash(texts), First: now, Files: len(texts)}
	var ops []store.Op
	if at := slices.IndexFunc(all, func(k Entry) bool { return k.Hash == e.Hash }); at >= 0 {
		e = all[at]
		all = slices.Delete(all, at, at+1)
	} else if ops, err = s.fresh(ctx, &e, texts, all); err != nil {
		return e, err
	}
	e.Last, e.Cause, e.Version = now, cause, version
	all = slices.Insert(all, 0, e)
	for len(all) > Kept {
		last := all[len(all)-1]
		for i := range last.Chunks {
			ops = append(ops, store.Delete(bucket, chunkKey(last.Hash, i), store.Any))
		}
		all = all[:len(all)-1]
	}
	list, err := json.Marshal(all)
	if err != nil {
		return e, fmt.Errorf("configuration history: %w", err)
	}
	index, err := s.table.PutOps(ctx, indexKey, sealed{list}, store.Cond(rev), time.Time{})
	if err != nil {
		return e, fmt.Errorf("configuration history: %w", err)
	}
	if _, err := s.engine.Commit(ctx, append(index, ops...)...); err != nil {
		return e, fmt.Errorf("configuration history: %w", err)
	}
	return e, nil
}

// fresh are the ops that keep a configuration, none if it can't be. It fills in what is said of it.
func (s *Store) fresh(ctx context.Context, e *Entry, texts []Text, all []Entry) (ops []store.Op, err error) {
	for _, t := range texts {
		e.Bytes += len(t.Text)
	}
	e.Changes = fmt.Sprintf("the first of %d files", len(texts))
	if len(all) > 0 {
		before, err := s.texts(ctx, all[0])
		e.Changes = changes(before, texts)
		if err != nil { // what can't be read keeps nothing from being kept
			e.Changes = fmt.Sprintf("%d files; those before can't be read", len(texts))
		}
	}
	packed, err := pack(texts)
	if err != nil {
		return nil, fmt.Errorf("configuration %.12s: %w", e.Hash, err)
	}
	if len(packed) > maxChunks*chunkSize || slices.ContainsFunc(texts, func(t Text) bool { return !utf8.ValidString(t.Name + t.Text) }) {
		return nil, nil
	}
	for piece := range slices.Chunk(packed, chunkSize) {
		put, err := s.table.PutOps(ctx, chunkKey(e.Hash, e.Chunks), sealed{piece}, store.Any, time.Time{})
		if err != nil {
			return nil, fmt.Errorf("configuration %.12s: %w", e.Hash, err)
		}
		ops = append(ops, put...)
		e.Chunks++
	}
	return ops, nil
}
