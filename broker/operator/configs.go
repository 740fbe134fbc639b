package operator

import (
	"context"

	"fedbroker/broker/event"
)

// A configuration is named by the first digits of its hash.
const (
	kindConfig  = "configuration"
	shownDigits = 12
)

// NoteConfig journals what an operator did with a configuration that is kept: KindConfigRead or KindConfigRollback.
func (o *Operator) NoteConfig(ctx context.Context, kind event.Kind, hash string) error {
	return o.done(ctx, event.Event{Kind: kind, Target: event.Target{Kind: kindConfig, ID: hash[:min(shownDigits, len(hash))]}})
}
