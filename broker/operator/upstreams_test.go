package operator

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/record"
	"fedbroker/store/journal"
	"fedbroker/upstreams"
	"fedbroker/upstreams/history"
	"fedbroker/upstreams/keys"
)

var drilled = time.Unix(1_800_000_000, 0)

// fakeKeys is the keys of one upstream, acme.
type fakeKeys struct {
	inspection keys.Inspection
	log        history.Log
	pinned     time.Duration
	fail       error
}

func (f *fakeKeys) Inspect(_ context.Context, name string) (keys.Inspection, error) {
	if name != "acme" {
		return keys.Inspection{}, keys.ErrNotRegistered
	}
	return f.inspection, f.fail
}
func (f *fakeKeys) History(context.Context, string) (history.Log, error) { return f.log, f.fail }
func (f *fakeKeys) Refresh(context.Context, string) error                { return f.fail }
func (f *fakeKeys) Pin(_ context.Context, _, _ string, d time.Duration) (time.Time, error) {
	f.pinned = d
	return drilled.Add(d), f.fail
}

// written is a journal that remembers its lines.
type written struct{ lines []string }

func (w *written) Append(_ context.Context, line []byte) (journal.Position, error) {
	w.lines = append(w.lines, string(line))
	return journal.Position{}, nil
}
func (w *written) Queue([]byte) error { return nil }
func (w *written) Err() error         { return nil }

func upstreamOperator(t *testing.T, f *fakeKeys) (*Operator, *written) {
	t.Helper()
	set := upstreams.NewSet(upstreams.Options{OurIssuer: "https://login.test", Specs: []upstreams.Spec{
		{Name: "acme", Kind: "oidc", Issuer: "https://acme.test", ClientID: "fedbroker", ClientSecret: "s"},
		{Name: "github", Kind: "oauth2", Preset: "github", ClientID: "fedbroker", ClientSecret: "s"},
	}}, func(path, format string, _ ...any) { t.Errorf("%s: %s", path, format) })
	lines := &written{}
	now := func() time.Time { return drilled }
	return New(Options{
		Issuers: set.Issuers, Upstreams: func() *upstreams.Set { return set }, UpstreamKeys: f, Now: now,
		Record: record.Recorder{Journal: lines, Log: slog.New(slog.DiscardHandler), Metrics: event.NewMetrics(), Now: now},
	}), lines
}

func TestDrill_SaysHowLongKnownKeysVerifyAndWhatEndsIt(t *testing.T) {
	end := drilled.Add(6*time.Hour + 12*time.Minute)
	f := &fakeKeys{inspection: keys.Inspection{Status: keys.Status{State: keys.StateStale}, ServesUntil: end, Set: []keys.KeyInfo{{KeyID: "k1"}, {KeyID: "k2"}}}}
	o, lines := upstreamOperator(t, f)
	out, err := o.DrillOutage(t.Context(), "acme")
	if err != nil || out.Survives != 22320 || !out.Until.Equal(end) || out.EndsBy != EndsByMaxStale || len(out.Keys) != 2 || !out.Login || !out.Restart || out.Opaque {
		t.Errorf("%+v, %v", out, err)
	}
	f.inspection.Set[0].PinnedUntil = drilled.Add(20 * time.Hour)
	if out, err = o.DrillOutage(t.Context(), "acme"); err != nil || out.Survives != 72000 || out.EndsBy != EndsByPin || !out.Keys[1].Until.Equal(end) {
		t.Errorf("pinned: %+v, %v", out, err)
	}
	f.inspection.ServesUntil = drilled.Add(-time.Second) // past max_stale only the pinned key serves
	if out, err = o.DrillOutage(t.Context(), "acme"); err != nil || len(out.Keys) != 1 || out.Keys[0].KeyID != "k1" {
		t.Errorf("expired, pinned: %+v, %v", out, err)
	}
	f.inspection.Set[0].PinnedUntil = time.Time{}
	if out, err = o.DrillOutage(t.Context(), "acme"); err != nil || out.Survives != 0 || len(out.Keys) != 0 || !out.Until.IsZero() {
		t.Errorf("expired: %+v, %v", out, err)
	}
	if len(lines.lines) != 0 {
		t.Errorf("a drill changes nothing, and yet %v", lines.lines)
	}
}

func TestP47_APinIsJournalledWithItsEnd(t *testing.T) {
	f := &fakeKeys{}
	o, lines := upstreamOperator(t, f)
	p, err := o.PinKey(t.Context(), Pin{Upstream: "acme", KeyID: "k1", Seconds: 3600})
	if err != nil || f.pinned != time.Hour || !p.Until.Equal(drilled.Add(time.Hour)) {
		t.Fatalf("%+v, %v", p, err)
	}
	if len(lines.lines) != 1 || !strings.Contains(lines.lines[0], `"kind":"upstream_pin","outcome":"done"`) || !strings.Contains(lines.lines[0], `"kid":"k1"`) || !strings.Contains(lines.lines[0], `"exp":1800003600`) {
		t.Errorf("journal %v", lines.lines)
	}
	if p, err = o.PinKey(t.Context(), Pin{Upstream: "acme", KeyID: "k1"}); err != nil || !p.Until.IsZero() || len(lines.lines) != 2 {
		t.Errorf("lifted: %+v, %v", p, err)
	}
	_, _ = o.PinKey(t.Context(), Pin{Upstream: "acme", KeyID: "k1", Seconds: 1 << 62}) // must not wrap round to a short time
	if f.pinned <= keys.MaxPin {
		t.Errorf("pinned for %v", f.pinned)
	}
	for _, fail := range []error{keys.ErrNotPinnable, keys.ErrPinDuration} {
		f.fail = fail
		before := len(lines.lines)
		_, err := o.PinKey(t.Context(), Pin{Upstream: "acme", KeyID: "k1", Seconds: 3600})
		if _, mistake := errors.AsType[*ActError](err); !mistake || len(lines.lines) != before {
			t.Errorf("%v: %v, journal %v", fail, err, lines.lines)
		}
	}
}

func TestUpstreams_UnknownNamesAreTheOperatorsMistake(t *testing.T) {
	o, _ := upstreamOperator(t, &fakeKeys{})
	for name, act := range map[string]func() error{
		"show":    func() error { _, err := o.Upstream(t.Context(), "zeta"); return err },
		"history": func() error { _, err := o.KeyHistory(t.Context(), "zeta"); return err },
		"refresh": func() error { _, err := o.RefreshUpstream(t.Context(), "zeta"); return err },
		"pin":     func() error { _, err := o.PinKey(t.Context(), Pin{Upstream: "zeta"}); return err },
		"drill":   func() error { _, err := o.DrillOutage(t.Context(), "zeta"); return err },
	} {
		if _, mistake := errors.AsType[*ActError](act()); !mistake {
			t.Errorf("%s: %v", name, act())
		}
	}
}

func TestUpstreams_AFailedRefreshAndABrokenHistoryAreSaid(t *testing.T) {
	f := &fakeKeys{inspection: keys.Inspection{Status: keys.Status{State: keys.StateStale, LastError: "connect"}}, fail: nil}
	f.log.Append("acme", drilled, []history.Entry{{KeyID: "k1", Change: history.Added}})
	o, lines := upstreamOperator(t, f)
	if u, err := o.RefreshUpstream(t.Context(), "acme"); err != nil || u.LastError != "connect" || len(lines.lines) != 1 {
		t.Errorf("%+v, %v, %v", u, err, lines.lines)
	}
	if past, err := o.KeyHistory(t.Context(), "acme"); err != nil || past.Broken != "" || len(past.Entries) != 1 {
		t.Errorf("%+v, %v", past, err)
	}
	f.log.Entries[0].KeyID = "k9"
	if past, err := o.KeyHistory(t.Context(), "acme"); err != nil || past.Broken == "" {
		t.Errorf("%+v, %v", past, err)
	}
}

// github is of a kind that has no keys: there is nothing to show, to fetch or to pin, and an outage ends nothing but logins.
func TestUpstreams_OfAKindWithoutKeys(t *testing.T) {
	o, lines := upstreamOperator(t, &fakeKeys{fail: keys.ErrNotRegistered})
	if u, err := o.Upstream(t.Context(), "github"); err != nil || u.State != StateKeyless || u.Kind != "oauth2" || len(u.Keys) != 0 {
		t.Errorf("shown as %+v, %v", u, err)
	}
	if out, err := o.DrillOutage(t.Context(), "github"); err != nil || out.State != StateKeyless || !out.Login || out.Survives != 0 || out.Restart {
		t.Errorf("an outage: %+v, %v", out, err)
	}
	if past, err := o.KeyHistory(t.Context(), "github"); err != nil || len(past.Entries) != 0 || past.Broken != "" {
		t.Errorf("history: %+v, %v", past, err)
	}
	_, refreshed := o.RefreshUpstream(t.Context(), "github")
	_, pinned := o.PinKey(t.Context(), Pin{Upstream: "github", KeyID: "k", Seconds: 60})
	for _, err := range []error{refreshed, pinned} {
		if err == nil || !strings.Contains(err.Error(), "has no keys: it is of kind oauth2") {
			t.Errorf("got %v", err)
		}
	}
	if len(lines.lines) != 0 {
		t.Errorf("journalled: %v", lines.lines)
	}
}
