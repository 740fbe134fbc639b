package operator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/lineage"
	"fedbroker/broker/record"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/store/journal"
)

// world is an operator's, with sessions that write down what becomes of them.
type world struct {
	Sessions
	engine  store.Engine
	revoked *revoke.Set
	did     []string
	fail    error
	now     time.Time
}

func (w *world) SessionByID(_ context.Context, sid string) (session.Session, error) {
	if sid != "live" {
		return session.Session{}, session.ErrNone
	}
	return session.Session{ID: sid, Former: []string{"former"}, Subject: "acme|ada", Upstream: "acme"}, nil
}

func (w *world) End(_ context.Context, sids ...string) error {
	w.did = append(w.did, "end "+strings.Join(sids, " "))
	return w.fail
}

func (w *world) Grant(_ context.Context, id string) (session.Grant, error) {
	if id != "live" {
		return session.Grant{}, session.ErrEnded
	}
	return session.Grant{ID: id}, nil
}

func (w *world) EndGrant(_ context.Context, id string) error {
	// Before the record says so, everything that came of it is dead already: if the rest fails, too much is refused and never too little.
	if err := w.revoked.Check(revoke.Facts{Lineage: revoke.Lineage{Families: []string{id}}}, w.now); !errors.Is(err, revoke.ErrRevoked) {
		return fmt.Errorf("ended before it was revoked: %w", err)
	}
	w.did = append(w.did, "end grant "+id)
	return w.fail
}

func (w *world) Append(_ context.Context, line []byte) (journal.Position, error) {
	e, err := event.ParseLine(line)
	if err != nil {
		return journal.Position{}, err
	}
	w.did = append(w.did, fmt.Sprintf("line %s %s %s", e.Kind, e.Target.Kind, e.Target.ID))
	return journal.Position{}, nil
}

func (w *world) Queue([]byte) error { return nil }
func (w *world) Err() error         { return nil }
func (w *world) Name(_ context.Context, subject string) (journal.Subject, error) {
	return journal.Subject{MAC: "mac", Sealed: "sealed"}, nil
}

func newWorld(t *testing.T, keep time.Duration) (*world, *Operator) {
	t.Helper()
	w := &world{now: time.Unix(1_800_000_000, 0)}
	clock := func() time.Time { return w.now }
	engine, err := engines.Open("memory", engines.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	w.engine = engine
	if w.revoked, err = revoke.Open(t.Context(), revoke.Options{Engine: engine, Now: clock}); err != nil {
		t.Fatal(err)
	}
	return w, New(Options{Revoked: w.revoked, Sessions: w, Now: clock, Keep: keep,
		Record: record.Recorder{Journal: w, Subjects: w, Log: slog.New(slog.DiscardHandler), Metrics: event.NewMetrics(), Now: clock}})
}

func TestRevoke_SessionsAndFamiliesEndInTheirOwnRecordsToo(t *testing.T) {
	for _, tt := range []struct {
		kind, id string
		want     []string
		dead     []string // sessions or families
	}{
		{"session", "live", []string{"end live former", "line session_end session live"}, []string{"live", "former"}},
		{"session", "over", []string{"line operator_revoke session over"}, []string{"over"}},
		{"family", "live", []string{"end grant live", "line operator_revoke family live"}, []string{"live"}},
		{"family", "over", []string{"line operator_revoke family over"}, []string{"over"}},
		{"rule", "r1", []string{"line operator_revoke rule r1"}, nil},
	} {
		t.Run(tt.kind+" "+tt.id, func(t *testing.T) {
			w, acts := newWorld(t, 0)
			if err := acts.Revoke(t.Context(), Revocation{Kind: tt.kind, ID: tt.id}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(w.did, tt.want) {
				t.Errorf("did %q, want %q", w.did, tt.want)
			}
			for _, id := range tt.dead {
				l := revoke.Lineage{Sessions: []string{id}}
				if tt.kind == "family" {
					l = revoke.Lineage{Families: []string{id}}
				}
				if err := w.revoked.Check(revoke.Facts{Lineage: l}, w.now); !errors.Is(err, revoke.ErrRevoked) {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
}

func TestRevoke_SaysWhatWasDoneWhenTheRestFails(t *testing.T) {
	w, acts := newWorld(t, 0)
	w.fail = store.ErrUnavailable
	err := acts.Revoke(t.Context(), Revocation{Kind: "family", ID: "live"})
	if !errors.Is(err, store.ErrUnavailable) || !strings.HasPrefix(err.Error(), "revoked, but") {
		t.Errorf("%v", err)
	}
}

// A revocation is kept as long as the longest-lived thing that it can touch (P26): a refresh family may live for years.
func TestP26_RevocationIsKeptAsLongAsFamiliesLive(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for keep, want := range map[time.Duration]time.Duration{0: leastKeep, time.Hour: leastKeep, year: year} {
		w, acts := newWorld(t, keep)
		if err := acts.Revoke(t.Context(), Revocation{Kind: "subject", ID: "acme|ada"}); err != nil {
			t.Fatal(err)
		}
		iat := w.now
		f := revoke.Facts{Subject: "acme|ada"}
		for _, at := range []struct {
			after time.Duration
			dead  bool
		}{{want - time.Second, true}, {want + 2*time.Second, false}} {
			w.now = iat.Add(at.after)
			fresh, err := revoke.Open(t.Context(), revoke.Options{Engine: w.engine, Now: func() time.Time { return w.now }})
			if err != nil {
				t.Fatal(err)
			}
			if dead := fresh.Check(f, iat) != nil; dead != at.dead {
				t.Errorf("keep %v, after %v: dead is %v", keep, at.after, dead)
			}
		}
	}
}

// A session ends with those that it took over, and so is counted with them.
func TestTouched_SessionWithThoseThatItTookOver(t *testing.T) {
	w, acts := newWorld(t, 0)
	if _, err := acts.Touched(t.Context(), Revocation{Kind: "session", ID: "live"}); !errors.Is(err, errNoJournal) {
		t.Errorf("without a journal: %v", err)
	}
	lines, err := journal.Open(journal.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer lines.Close()
	write := func(e event.Event) {
		e.Outcome, e.Expires = event.OutcomeDone, w.now.Add(time.Minute)
		if _, err := lines.Append(t.Context(), e.AppendJSON(nil)); err != nil {
			t.Fatal(err)
		}
	}
	for _, sid := range []string{"live", "former", "other"} {
		write(event.Event{Kind: event.KindLogin, TokenID: "grant of " + sid, SessionID: sid})
		write(event.Event{Kind: event.KindToken, TokenID: "token of " + sid, Parents: []string{"grant of " + sid}})
	}
	acts.o.Lineage = lineage.New(lineage.Options{Dir: lines.Dir(), Revoked: w.revoked, Now: func() time.Time { return w.now }})
	for id, want := range map[string]int{"live": 2, "former": 1, "none": 0} {
		if touched, err := acts.Touched(t.Context(), Revocation{Kind: "session", ID: id}); err != nil || touched.Tokens != want {
			t.Errorf("%s: %+v, %v", id, touched, err)
		}
	}
	if _, err := acts.Touched(t.Context(), Revocation{Kind: "person", ID: "x"}); err == nil {
		t.Error("a kind that is none")
	}
}
