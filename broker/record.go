package broker

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"fedbroker/broker/event"
	"fedbroker/store/journal"
	"fedbroker/upstreams/keys"
)

// recorder renders events: to the journal, where an answer waits for them, to the log and to the metrics.
type recorder struct {
	journal  Journal
	subjects Subjects
	log      *slog.Logger
	metrics  *event.Metrics
	now      func() time.Time
}

// durable returns when the event's line is (P26).
func (r recorder) durable(ctx context.Context, e *event.Event) error {
	begun := r.now()
	_, err := r.journal.Append(ctx, e.AppendJSON(make([]byte, 0, lineSize)))
	r.metrics.Journal(err, r.now().Sub(begun))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// lineSize fits nearly every line.
const lineSize = 1024

// queue adds the line of a refusal, if there is room for it: nobody waits for it.
func (r recorder) queue(e *event.Event) {
	if err := r.journal.Queue(e.AppendJSON(make([]byte, 0, lineSize))); err != nil {
		r.metrics.JournalDropped()
	}
}

// tell logs and counts the event.
func (r recorder) tell(ctx context.Context, e *event.Event) {
	r.metrics.Observe(e)
	if level := e.Level(); r.log.Enabled(ctx, level) {
		r.log.LogAttrs(ctx, level, e.Message(), e.Attrs()...)
	}
}

// subject is how the journal names sub; "" has no name.
func (r recorder) subject(ctx context.Context, sub string) (journal.Subject, error) {
	if sub == "" {
		return journal.Subject{}, nil
	}
	return r.subjects.Name(ctx, sub)
}

func (r recorder) keyFetch(f keys.FetchOutcome) {
	r.metrics.KeyFetch(f.Upstream, f.Class, f.Duration)
	level := slog.LevelInfo
	if f.Err != nil {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String(event.AttrUpstream, f.Upstream), slog.String(event.AttrOutcome, f.Class), slog.Float64(event.AttrDuration, f.Duration.Seconds())}
	if f.Err != nil {
		attrs = append(attrs, slog.Any(event.AttrError, f.Err))
	}
	r.log.LogAttrs(context.Background(), level, "keys of upstream", attrs...)
}
