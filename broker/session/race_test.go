package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/broker/session"
	"fedbroker/store"
	"fedbroker/store/engines"
)

// contended is an engine whose commits to one bucket lose against a write of another caller just before, as often as lose says.
type contended struct {
	store.Engine
	bucket string
	lose   int
	before func()
	cause  error // instead of losing
	busy   bool
}

func (e *contended) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	touches := false
	for _, op := range ops {
		touches = touches || op.Bucket == e.bucket
	}
	if e.lose == 0 || e.busy || !touches {
		return e.Engine.Commit(ctx, ops...)
	}
	e.lose--
	if e.cause != nil {
		return nil, e.cause
	}
	e.busy = true
	e.before()
	e.busy = false
	return e.Engine.Commit(ctx, ops...)
}

func contend(t *testing.T, bucket string) (*house, *contended) {
	t.Helper()
	e := &contended{bucket: bucket}
	h := newHouse(t, func(o *session.Options) { e.Engine, o.Engine = o.Engine, e })
	return h, e
}

// tabs that a browser restores together: more than any number of retries.
const tabs = 100

func TestSession_ManyTabsAtOnce(t *testing.T) {
	for _, kind := range engines.Kinds() {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t, on(t, kind))
			b := h.begin("1", ada(), nil, session.Grant{})
			h.pass(time.Minute)
			stale, err := h.Session(t.Context(), b.cookie)
			if err != nil {
				t.Fatal(err)
			}
			var group sync.WaitGroup
			for range tabs {
				group.Go(func() {
					if _, _, err := h.Issue(t.Context(), stale, session.Grant{}); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if seen, err := h.Session(t.Context(), b.cookie); err != nil || !seen.Seen.Equal(h.clock()) {
				t.Errorf("seen %v, %v", seen.Seen, err)
			}
		})
	}
}

func TestIssue_NotOfASessionThatEndsMeanwhile(t *testing.T) {
	h, e := contend(t, "grants")
	b := h.begin("1", ada(), nil, session.Grant{})
	for name, pass := range map[string]time.Duration{"seen a moment ago": 0, "seen long ago": time.Minute} {
		b = h.begin(name, ada(), nil, session.Grant{})
		h.pass(pass)
		e.lose, e.before = 1, func() {
			if err := h.End(t.Context(), b.session.ID); err != nil {
				t.Error(err)
			}
		}
		if code, _, err := h.Issue(t.Context(), b.session, session.Grant{}); !errors.Is(err, session.ErrNone) || code != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := h.Issue(t.Context(), session.Session{ID: b.session.ID}, session.Grant{}); !errors.Is(err, session.ErrNone) {
		t.Errorf("a session that was never looked up: %v", err)
	}
	if all, err := h.BySubject(t.Context(), "", "", 10); err != nil || len(all) != 0 {
		t.Errorf("it was made by that: %v, %v", all, err)
	}
}

func TestEnd_WhileTheSessionIsTouched(t *testing.T) {
	h, e := contend(t, "sessions")
	b := h.begin("1", ada(), nil, session.Grant{})
	h.pass(time.Minute)
	e.lose, e.before = 1, func() {
		if _, _, err := h.Issue(t.Context(), b.session, session.Grant{}); err != nil {
			t.Error(err)
		}
	}
	if err := h.End(t.Context(), b.session.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Session(t.Context(), b.cookie); !errors.Is(err, session.ErrNone) {
		t.Errorf("it lives on: %v", err)
	}
}

func TestBegin_WhileTheFormerSessionIsTouched(t *testing.T) {
	h, e := contend(t, "login_attempts")
	former := h.begin("1", ada(), nil, session.Grant{})
	bob := ada()
	bob.Subject = "acme|bob"
	h.pass(time.Minute)
	e.lose, e.before = 1, func() {
		if _, _, err := h.Issue(t.Context(), former.session, session.Grant{}); err != nil {
			t.Error(err)
		}
	}
	b := h.begin("2", bob, &former.session, session.Grant{})
	if _, err := h.Session(t.Context(), former.cookie); !errors.Is(err, session.ErrNone) {
		t.Errorf("another person's session lives on: %v", err)
	}
	if got, err := h.Session(t.Context(), b.cookie); err != nil || got.Subject != "acme|bob" {
		t.Errorf("%v, %v", got.Subject, err)
	}
}

func TestP30_AttemptThatIsOverBeginsNothing(t *testing.T) {
	h := newHouse(t)
	// A spent mark that expires at once marks nothing.
	if _, _, _, _, err := h.Begin(t.Context(), "late", h.clock(), ada(), nil, session.Grant{}); !errors.Is(err, session.ErrSpent) {
		t.Errorf("%v", err)
	}
}

func TestP30_AttemptSpentByOneOfMany(t *testing.T) {
	for _, kind := range engines.Kinds() {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t, on(t, kind))
			won := count(t, 32, session.ErrSpent, func() error {
				_, _, _, _, err := h.Begin(t.Context(), "attempt", h.clock().Add(time.Minute), ada(), nil, session.Grant{})
				return err
			})
			if all, err := h.All(t.Context(), "", 100); won != 1 || err != nil || len(all) != 1 {
				t.Errorf("%d won, %d sessions, %v", won, len(all), err)
			}
		})
	}
}

// count runs f many times at once and returns how often it succeeded; every other outcome has to be want.
func count(t *testing.T, many int, want error, f func() error) (won int) {
	t.Helper()
	var mu sync.Mutex
	var group sync.WaitGroup
	for range many {
		group.Go(func() {
			err := f()
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, want) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	return won
}

func TestP36_CurrentTokenRotatedByOneOfMany(t *testing.T) {
	for _, kind := range engines.Kinds() {
		for name, g := range map[string]session.Grant{"offline": {Offline: true}, "session-bound": {SessionBound: true}} {
			t.Run(kind+" "+name, func(t *testing.T) {
				h := newHouse(t, on(t, kind))
				first := h.redeem(h.begin("1", ada(), nil, g).code)
				h.pass(time.Minute)
				p, err := h.Refresh(t.Context(), first)
				if err != nil {
					t.Fatal(err)
				}
				if won := count(t, 32, session.ErrSpent, func() error { _, err := h.Rotate(t.Context(), p, "", false); return err }); won != 1 {
					t.Errorf("%d rotated it", won)
				}
				if got := h.state(first); got != session.Grace {
					t.Errorf("whoever looks again finds %v", got)
				}
			})
		}
	}
}

func TestP36_RotatesWhileItsSessionIsTouched(t *testing.T) {
	h, e := contend(t, "grants")
	b := h.begin("1", ada(), nil, session.Grant{SessionBound: true})
	first := h.redeem(b.code)
	h.pass(time.Minute)
	e.lose, e.before = 1, func() {
		s, err := h.SessionByID(t.Context(), b.session.ID)
		if err == nil {
			_, _, err = h.Issue(t.Context(), s, session.Grant{})
		}
		if err != nil {
			t.Error(err)
		}
	}
	if next := h.rotate(first); h.state(next) != session.Fresh {
		t.Error("not rotated")
	}
}

func TestP36_NotRotatedOnceItsSessionHasEnded(t *testing.T) {
	h, e := contend(t, "grants")
	b := h.begin("1", ada(), nil, session.Grant{SessionBound: true})
	first := h.redeem(b.code)
	p, err := h.Refresh(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	e.lose, e.before = 1, func() {
		if err := h.End(t.Context(), b.session.ID); err != nil {
			t.Error(err)
		}
	}
	if next, err := h.Rotate(t.Context(), p, "", false); !errors.Is(err, session.ErrNone) || next != "" {
		t.Errorf("%v", err)
	}
}

func TestUnknownOutcome_IssuesNothing(t *testing.T) {
	h, e := contend(t, "grants")
	e.cause = fmt.Errorf("engine: %w", store.ErrUnknown)
	b := h.begin("1", ada(), nil, session.Grant{Offline: true})
	refresh := h.redeem(h.begin("2", ada(), nil, session.Grant{Offline: true}).code)
	code, err1 := h.Code(t.Context(), b.code)
	family, err2 := h.Refresh(t.Context(), refresh)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() (string, error){
		"begin": func() (string, error) {
			cookie, code, _, _, err := h.Begin(t.Context(), "3", h.clock().Add(time.Minute), ada(), nil, session.Grant{})
			return cookie + code, err
		},
		"issue":  func() (string, error) { c, _, err := h.Issue(t.Context(), b.session, session.Grant{}); return c, err },
		"redeem": func() (string, error) { return h.Redeem(t.Context(), code, "", false) },
		"rotate": func() (string, error) { return h.Rotate(t.Context(), family, "", false) },
	} {
		e.lose = 1
		if got, err := f(); got != "" || !errors.Is(err, store.ErrUnknown) || errors.Is(err, session.ErrSpent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPresented_PrintsNoSecret(t *testing.T) {
	h := newHouse(t)
	b := h.begin("1", ada(), nil, session.Grant{Offline: true})
	token := h.redeem(b.code)
	p, err := h.Refresh(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if text, want := fmt.Sprintf(verb, p), "grant "+b.grant.ID; !strings.HasPrefix(text, want) || len(text) > len(want)+16 {
			t.Errorf("%s: %s", verb, text)
		}
	}
}
