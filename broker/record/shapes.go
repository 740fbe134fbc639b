package record

import (
	"context"
	"crypto/rand"
	"log/slog"

	"fedbroker/broker/event"
	"fedbroker/upstreams/shape"
)

// ClaimChange counts a change of the shape of an upstream's claims.
func (r Recorder) ClaimChange(upstream string, k shape.Kind) {
	r.Metrics.ClaimChange(upstream, string(k))
}

// ClaimsChanged tells that claims of an upstream's tokens changed their shape: by their names in the journal, with their types in the log.
func (r Recorder) ClaimsChanged(c shape.Change) {
	e := event.Event{
		Kind: event.KindUpstreamClaims, Outcome: event.OutcomeRaised, DecisionID: rand.Text(), Upstream: c.Upstream, Claims: c.Claims,
		Target: event.Target{Kind: "change", ID: string(c.Kind)},
	}
	switch c.Kind {
	case shape.Returned:
		e.Outcome = event.OutcomeCleared
	case shape.Appeared: // nothing that was read is gone
		e.Outcome = event.OutcomeDone
	}
	r.Queue(&e)
	r.Metrics.Observe(&e)
	attrs := append(e.Attrs(), slog.Any(event.AttrChanges, c.Details))
	if c.More > 0 {
		attrs = append(attrs, slog.Int(event.AttrMore, c.More))
	}
	r.Log.LogAttrs(context.Background(), e.Level(), e.Message(), attrs...)
}

// ShapeFailed logs that the shape of an upstream's claims could not be loaded or saved.
func (r Recorder) ShapeFailed(upstream string, err error) {
	r.Log.LogAttrs(context.Background(), slog.LevelWarn, "claim shape not kept", slog.String(event.AttrUpstream, upstream), slog.Any(event.AttrError, err))
}
