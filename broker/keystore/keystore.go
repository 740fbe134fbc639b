// Package keystore keeps the last good keys of upstreams in the engine, so that a restart during an upstream's outage verifies on, and what became
// of them.
package keystore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/store"
	"fedbroker/upstreams/history"
	"fedbroker/upstreams/keys"
)

const (
	bucket    = "upstream_keys"
	histories = "upstream_key_history"
)

// Store is the port of upstreams/keys. What it keeps is public, so it is not sealed; the cache vets it again when it loads it.
type Store struct {
	engine  store.Engine
	table   *store.Table[keys.Saved]
	history *store.Table[history.Log]
}

// New keeps keys in the engine.
func New(e store.Engine) (Store, error) {
	table, err := store.NewTable[keys.Saved](e, store.TableOptions[keys.Saved]{Bucket: bucket, Version: 1})
	if err != nil {
		return Store{}, fmt.Errorf("key store: %w", err)
	}
	past, err := store.NewTable[history.Log](e, store.TableOptions[history.Log]{Bucket: histories, Version: 1})
	if err != nil {
		return Store{}, fmt.Errorf("key history: %w", err)
	}
	return Store{engine: e, table: table, history: past}, nil
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

// Save replaces it, in one commit with the history where that has changed. Two replicas that fetched at once both have good keys, so the last one wins.
func (s Store) Save(ctx context.Context, saved *keys.Saved) error {
	ops, err := s.table.PutOps(ctx, saved.Upstream, *saved, store.Any, time.Time{})
	if err != nil {
		return fmt.Errorf("keys of %s: %w", saved.Upstream, err)
	}
	if saved.History != nil {
		more, err := s.history.PutOps(ctx, saved.Upstream, *saved.History, store.Any, time.Time{})
		if err != nil {
			return fmt.Errorf("key history of %s: %w", saved.Upstream, err)
		}
		ops = append(ops, more...)
	}
	if _, err := s.engine.Commit(ctx, ops...); err != nil {
		return fmt.Errorf("keys of %s: %w", saved.Upstream, err)
	}
	return nil
}

// History returns what became of the upstream's keys so far.
func (s Store) History(ctx context.Context, upstream string) (history.Log, error) {
	row, err := s.history.Get(ctx, upstream)
	if errors.Is(err, store.ErrNotFound) {
		return history.Log{}, nil
	}
	if err != nil {
		return history.Log{}, fmt.Errorf("key history of %s: %w", upstream, err)
	}
	return row.Value, nil
}
