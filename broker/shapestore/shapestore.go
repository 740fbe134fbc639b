// Package shapestore keeps the shapes of upstreams' claims in the engine, so that a restart does not learn them anew.
package shapestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/store"
	"fedbroker/upstreams/shape"
)

const (
	bucket = "upstream_shapes"
	// keptFor is how long the shape of tokens that come no more is kept.
	keptFor = 400 * 24 * time.Hour
)

// Store is the port of upstreams/shape. A shape holds no value of any claim, so it is not sealed.
type Store struct {
	table *store.Table[shape.Shape]
	now   func() time.Time
}

// New keeps shapes in the engine.
func New(e store.Engine, now func() time.Time) (Store, error) {
	table, err := store.NewTable[shape.Shape](e, store.TableOptions[shape.Shape]{Bucket: bucket, Version: 1})
	if err != nil {
		return Store{}, fmt.Errorf("shape store: %w", err)
	}
	return Store{table: table, now: now}, nil
}

func prefix(upstream string) string { return upstream + "/" } // no upstream's name holds one

// Load returns what was saved last, nil if nothing was.
func (s Store) Load(ctx context.Context, upstream string, source shape.Source) (*shape.Shape, error) {
	row, err := s.table.Get(ctx, prefix(upstream)+string(source))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil //nolint:nilnil // the port's word for nothing
	}
	if err != nil {
		return nil, fmt.Errorf("claim shape of %s: %w", upstream, err)
	}
	return &row.Value, nil
}

// Save replaces it. Two replicas each learn from the tokens that they see, so the last one wins.
func (s Store) Save(ctx context.Context, upstream string, source shape.Source, known *shape.Shape) error {
	if _, err := s.table.Put(ctx, prefix(upstream)+string(source), *known, store.Any, s.now().Add(keptFor)); err != nil {
		return fmt.Errorf("claim shape of %s: %w", upstream, err)
	}
	return nil
}

// Sources lists those of which a shape was saved.
func (s Store) Sources(ctx context.Context, upstream string) ([]shape.Source, error) {
	rows, err := s.table.Scan(ctx, store.Range{Prefix: prefix(upstream), Limit: store.MaxScan})
	if err != nil {
		return nil, fmt.Errorf("claim shapes of %s: %w", upstream, err)
	}
	all := make([]shape.Source, len(rows))
	for i, row := range rows {
		all[i] = shape.Source(row.Key[len(prefix(upstream)):])
	}
	return all, nil
}

// Forget deletes all that was saved of an upstream.
func (s Store) Forget(ctx context.Context, upstream string) error {
	sources, err := s.Sources(ctx, upstream)
	for _, source := range sources {
		err = errors.Join(err, s.table.Delete(ctx, prefix(upstream)+string(source), store.Any))
	}
	return err
}
