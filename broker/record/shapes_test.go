package record

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/event"
	"fedbroker/store/journal"
	"fedbroker/upstreams/shape"
)

// lines is a journal that remembers what was queued.
type lines struct{ queued []string }

func (l *lines) Append(context.Context, []byte) (journal.Position, error) {
	return journal.Position{}, nil
}
func (l *lines) Queue(line []byte) error { l.queued = append(l.queued, string(line)); return nil }
func (l *lines) Err() error              { return nil }

func TestClaimsChanged_JournalHasNamesAndTheLogTypes(t *testing.T) {
	var written lines
	var log bytes.Buffer
	r := Recorder{Journal: &written, Log: slog.New(slog.NewJSONHandler(&log, nil)), Metrics: event.NewMetrics(), Now: time.Now}
	r.ClaimsChanged(shape.Change{Upstream: "acme", Kind: shape.Retyped, Claims: []string{"groups"}, Details: []string{"login groups: list of string → string"}, More: 3})
	r.ClaimsChanged(shape.Change{Upstream: "acme", Kind: shape.Returned, Claims: []string{"groups"}, Details: []string{"login groups: string again"}})
	if len(written.queued) != 2 || !strings.Contains(written.queued[0], `"kind":"upstream_claims","outcome":"raised"`) ||
		!strings.Contains(written.queued[0], `"upstream":"acme","claims":["groups"],"target":{"kind":"change","id":"retyped"}`) || !strings.Contains(written.queued[1], `"outcome":"cleared"`) {
		t.Errorf("journal %q", written.queued)
	}
	var first struct {
		Level, Msg, Upstream string
		Changes              []string
		More                 int
	}
	if err := json.NewDecoder(&log).Decode(&first); err != nil || first.Level != "WARN" || first.Msg != "claims of upstream changed" || first.Upstream != "acme" ||
		len(first.Changes) != 1 || first.Changes[0] != "login groups: list of string → string" || first.More != 3 {
		t.Errorf("log %+v, %v", first, err)
	}
}
