// Package record renders events: to the journal, where an answer waits for them, to the log and to the metrics.
package record

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"fedbroker/broker/event"
	"fedbroker/store/journal"
	"fedbroker/upstreams/history"
	"fedbroker/upstreams/keys"
)

// Journal is where events become durable; *journal.Journal is one.
type Journal interface {
	Append(ctx context.Context, payload []byte) (journal.Position, error)
	Queue(payload []byte) error
	Err() error
}

// Subjects gives a subject the name that a line of the journal may hold (P48); *journal.Subjects is one.
type Subjects interface {
	Name(ctx context.Context, subject string) (journal.Subject, error)
}

// Recorder tells the operator. All its fields are required.
type Recorder struct {
	Journal  Journal
	Subjects Subjects
	Log      *slog.Logger
	Metrics  *event.Metrics
	Now      func() time.Time
}

// Durable returns when the event's line is (P26).
func (r Recorder) Durable(ctx context.Context, e *event.Event) error {
	begun := r.Now()
	_, err := r.Journal.Append(ctx, e.AppendJSON(make([]byte, 0, lineSize)))
	r.Metrics.Journal(err, r.Now().Sub(begun))
	if err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	return nil
}

// lineSize fits nearly every line.
const lineSize = 1024

// Queue adds the line of a refusal, if there is room for it: nobody waits for it.
func (r Recorder) Queue(e *event.Event) {
	if err := r.Journal.Queue(e.AppendJSON(make([]byte, 0, lineSize))); err != nil {
		r.Metrics.JournalDropped()
	}
}

// Tell logs and counts the event.
func (r Recorder) Tell(ctx context.Context, e *event.Event) {
	r.Metrics.Observe(e)
	if level := e.Level(); r.Log.Enabled(ctx, level) {
		r.Log.LogAttrs(ctx, level, e.Message(), e.Attrs()...)
	}
}

// Subject is how the journal names sub; "" has no name.
func (r Recorder) Subject(ctx context.Context, sub string) (journal.Subject, error) {
	if sub == "" {
		return journal.Subject{}, nil
	}
	return r.Subjects.Name(ctx, sub)
}

// KeyFetch tells of a fetch of an upstream's keys.
func (r Recorder) KeyFetch(f keys.FetchOutcome) {
	r.Metrics.KeyFetch(f.Upstream, f.Class, f.Duration)
	level := slog.LevelInfo
	if f.Err != nil {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String(event.AttrUpstream, f.Upstream), slog.String(event.AttrOutcome, f.Class), slog.Float64(event.AttrDuration, f.Duration.Seconds())}
	if f.Issuer != "" {
		attrs = append(attrs, slog.String(event.AttrIssuer, f.Issuer))
	}
	if f.Err != nil {
		attrs = append(attrs, slog.Any(event.AttrError, f.Err))
	}
	if f.Warning != nil {
		level, attrs = slog.LevelWarn, append(attrs, slog.String(event.AttrDetail, "the set counts, but it was found by the last good discovery: "+f.Warning.Error()))
	}
	r.Log.LogAttrs(context.Background(), level, "keys of upstream", attrs...)
	if len(f.Changes) > 0 {
		r.keysChanged(f)
	}
}

// maxChanges of one fetch are named in the log; the history has them all.
const maxChanges = 8

// keysChanged tells that an upstream's set is another, with the head of its history, so that the journal holds a copy of each.
func (r Recorder) keysChanged(f keys.FetchOutcome) {
	level := slog.LevelInfo
	var named []string
	for _, c := range f.Changes {
		r.Metrics.KeyChange(f.Upstream, string(c.Change))
		if c.Change == history.Changed { // a kid stands for another key than it did
			level = slog.LevelWarn
		}
		if len(named) < maxChanges {
			named = append(named, string(c.Change)+" "+c.KeyID)
		}
	}
	e := event.Event{
		Kind: event.KindUpstreamKeys, Outcome: event.OutcomeDone, DecisionID: rand.Text(), Upstream: f.Upstream,
		Target: event.Target{Kind: "key_history", ID: f.Head},
	}
	r.Queue(&e)
	r.Metrics.Observe(&e)
	r.Log.LogAttrs(context.Background(), level, e.Message(), append(e.Attrs(), slog.Any(event.AttrChanges, named))...)
}

// KeyAlarm tells of an alarm that was raised or cleared.
func (r Recorder) KeyAlarm(a keys.AlarmChange) {
	e := event.Event{
		Kind: event.KindUpstreamAlarm, Outcome: event.OutcomeCleared, DecisionID: rand.Text(), Upstream: a.Upstream, Issuer: a.Issuer,
		Target: event.Target{Kind: "alarm", ID: string(a.Alarm)},
	}
	if a.Raised {
		e.Outcome = event.OutcomeRaised
	}
	r.Queue(&e)
	r.Tell(context.Background(), &e)
}
