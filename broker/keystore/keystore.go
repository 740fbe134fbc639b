// Package keystore keeps the last good keys of upstreams in the engine, so that a restart during an upstream's outage verifies on.
package keystore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/store"
	"fedbroker/upstreams/keys"
)

const bucket = "upstream_keys"

// Store is the port of upstreams/keys. What it keeps is public, so it is not sealed; the cache vets it again when it loads it.
type Store struct{ table *store.Table[keys.Saved] }

// New keeps keys in the engine.
func New(e store.Engine) (Store, error) {
	table, err := store.NewTable[keys.Saved](e, store.TableOptions[keys.Saved]{Bucket: bucket, Version: 1})
	if err != nil {
		return Store{}, fmt.Errorf("key store: %w", err)
	}
	return Store{table}, nil
}

// Load returns what was saved last, nil if nothing was.
func (s Store) Load(ctx context.Context, upstream string) (*keys.Saved, error) {
	row, err := s.table.Get(ctx, upstream)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil //nolint:nilnil // the port's word for nothing
	}
	if err != nil {
		return nil, fmt.Errorf("keys of %s: %w", upstream, err)
	}
	return &row.Value, nil
}

// Save replaces it. Two replicas that fetched at once both have good keys, so the last one wins.
func (s Store) Save(ctx context.Context, saved *keys.Saved) error {
	if _, err := s.table.Put(ctx, saved.Upstream, *saved, store.Any, time.Time{}); err != nil {
		return fmt.Errorf("keys of %s: %w", saved.Upstream, err)
	}
	return nil
}
