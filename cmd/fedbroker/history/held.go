// Package history has what the command line and the server know of configurations that were applied: it keeps them, says what one has otherwise than
// another, with secrets redacted, and puts one back in its place.
package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"fedbroker/broker/confighistory"
	"fedbroker/broker/event"
	"fedbroker/broker/operator"
	"fedbroker/broker/web/admin"
	"fedbroker/cmd/fedbroker/config"
)

// Keeper keeps each configuration that is applied. That it can't is told, and keeps nothing from being applied.
func Keeper(s *confighistory.Store, version string, log *slog.Logger) func(ctx context.Context, c *config.Loaded, cause confighistory.Cause) {
	return func(ctx context.Context, c *config.Loaded, cause confighistory.Cause) {
		e, err := s.Add(ctx, c.Texts(), cause, version)
		if err == nil && e.Chunks == 0 {
			err = confighistory.ErrNotKept
		}
		if err != nil {
			log.WarnContext(ctx, "configuration applied, but not kept", event.AttrError, err)
		}
	}
}

// Held answers for configurations where the state is at hand. Reload is nil where no server runs.
type Held struct {
	Store   *confighistory.Store
	Note    func(ctx context.Context, kind event.Kind, hash string) error // in the journal
	Reload  func(ctx context.Context, cause confighistory.Cause) error
	Current func() *config.Loaded
}

// ConfigLog lists what was applied.
func (h Held) ConfigLog(ctx context.Context) ([]confighistory.Entry, error) {
	all, err := h.Store.List(ctx)
	if all == nil {
		all = []confighistory.Entry{}
	}
	return all, err
}

// Config is one configuration that was applied. That it is read goes into the journal first.
func (h Held) Config(ctx context.Context, hash string) (admin.KeptConfig, error) {
	e, texts, err := h.Store.Get(ctx, hash)
	if err != nil {
		return admin.KeptConfig{}, mistaken(err)
	}
	if err := h.Note(ctx, event.KindConfigRead, e.Hash); err != nil {
		return admin.KeptConfig{}, err
	}
	return admin.KeptConfig{Entry: e, Texts: texts}, nil
}

// RolledBack journals that a configuration was put back, and applies it.
func (h Held) RolledBack(ctx context.Context, hash string) error {
	all, err := h.Store.List(ctx)
	if err != nil {
		return err
	}
	e, err := confighistory.Find(all, hash)
	if err != nil {
		return mistaken(err)
	}
	if err := h.Note(ctx, event.KindConfigRollback, e.Hash); err != nil || h.Reload == nil {
		return err
	}
	if err := h.Reload(ctx, confighistory.Rollback); err != nil {
		return &operator.ActError{Text: fmt.Sprintf("the server keeps the configuration that it has: %v", err)}
	}
	if serves := confighistory.Hash(h.Current().Texts()); serves != e.Hash {
		return &operator.ActError{Text: fmt.Sprintf("the server's files are configuration %.12s, not %.12s: does it have another --config?", serves, e.Hash)}
	}
	return nil
}

// mistaken tells the operator's mistakes, which are answered in full, from the server's.
func mistaken(err error) error {
	for _, own := range []error{confighistory.ErrNone, confighistory.ErrAmbiguous, confighistory.ErrNotKept} {
		if errors.Is(err, own) {
			return &operator.ActError{Text: err.Error()}
		}
	}
	return err
}
