package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/store"
	"fedbroker/upstreams/keys"
)

const keysBucket = "upstream_keys"

// keyStore keeps the last good keys of upstreams in the engine: the port of upstreams/keys. They are public, so they are not sealed;
// the cache vets them again when it loads them.
type keyStore struct{ table *store.Table[keys.Saved] }

func newKeyStore(e store.Engine) (keyStore, error) {
	table, err := store.NewTable[keys.Saved](e, store.TableOptions[keys.Saved]{Bucket: keysBucket, Version: 1})
	if err != nil {
		return keyStore{}, fmt.Errorf("key store: %w", err)
	}
	return keyStore{table}, nil
}

// Load returns what was saved last, nil if nothing was.
func (s keyStore) Load(ctx context.Context, upstream string) (*keys.Saved, error) {
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
func (s keyStore) Save(ctx context.Context, saved *keys.Saved) error {
	if _, err := s.table.Put(ctx, saved.Upstream, *saved, store.Any, time.Time{}); err != nil {
		return fmt.Errorf("keys of %s: %w", saved.Upstream, err)
	}
	return nil
}
