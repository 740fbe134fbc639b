package decision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"fedbroker/store"
)

// ErrNone: no decision of this id is kept, or no longer.
var ErrNone = errors.New("no such decision is kept: it is too old, nobody vouched for the request, or there were too many")

const bucket = "decisions"

// sealedRecord is a Record at rest: its JSON form, sealed whole.
type sealedRecord struct {
	Record []byte `json:"record"`
}

// Store reads the decisions that an engine keeps, under their ids. It has no state of its own.
type Store struct {
	engine store.Engine
	table  *store.Table[sealedRecord]
}

// Open makes a store on an engine.
func Open(e store.Engine, sealing store.Sealing) (*Store, error) {
	table, err := store.NewTable(e, store.TableOptions[sealedRecord]{
		Bucket: bucket, Version: 1, Sealing: sealing, Sealed: func(r *sealedRecord) []*[]byte { return []*[]byte{&r.Record} },
	})
	if err != nil {
		return nil, fmt.Errorf("decisions: %w", err)
	}
	return &Store{e, table}, nil
}

// Get returns a decision. The error wraps ErrNone, or is the engine's or the seal's.
func (s *Store) Get(ctx context.Context, id string) (Record, error) {
	row, err := s.table.Get(ctx, id)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrInvalid), errors.Is(err, store.ErrTooLarge): // what is no key is no decision's
		return Record{}, fmt.Errorf("decision %.64q: %w", id, ErrNone)
	case err != nil:
		return Record{}, fmt.Errorf("decision %.64q: %w", id, err)
	}
	return read(row.Value)
}

// MaxPage is how many decisions Page gives at most.
const MaxPage = 200

// Page gives decisions that are kept, in the order of their ids, after the one of that id; fewer than MaxPage are the last.
func (s *Store) Page(ctx context.Context, after string) ([]Record, error) {
	rows, err := s.table.Scan(ctx, store.Range{After: after, Limit: MaxPage})
	if err != nil {
		return nil, fmt.Errorf("decisions: %w", err)
	}
	all := make([]Record, len(rows))
	for i, row := range rows {
		if all[i], err = read(row.Value); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Export writes every decision of a store's pages as one line of JSON each (decisions.jsonl), and returns how many.
func Export(w io.Writer, page func(after string) ([]Record, error)) (n int, err error) {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	for after := ""; ; {
		all, err := page(after)
		if err != nil {
			return n, err
		}
		for _, r := range all {
			if err := encoder.Encode(r); err != nil {
				return n, err
			}
			n++
		}
		if len(all) < MaxPage {
			return n, nil
		}
		after = all[len(all)-1].ID
	}
}

// Read reads what Export wrote. The error names the line, counted from 1.
func Read(r io.Reader) ([]Record, error) {
	var all []Record
	decoder := json.NewDecoder(r)
	for {
		var one Record
		err := decoder.Decode(&one)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err == nil && (one.ID == "" || one.At.IsZero()) {
			err = errors.New("want decision_id and at, got none")
		}
		if err != nil {
			return nil, fmt.Errorf("decision %d: %w", len(all)+1, err)
		}
		all = append(all, one)
	}
}

func read(row sealedRecord) (Record, error) {
	var r Record
	if err := json.Unmarshal(row.Record, &r); err != nil {
		return Record{}, fmt.Errorf("decision: %w", err)
	}
	return r, nil
}

// ops are those that put a record, of which there is one of its id.
func (s *Store) ops(ctx context.Context, r Record, expires time.Time) ([]store.Op, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("decision: %w", err)
	}
	return s.table.PutOps(ctx, r.ID, sealedRecord{text}, store.Any, expires)
}
