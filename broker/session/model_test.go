package session_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fedbroker/broker/session"
)

// familyModel is P36 written down once more, as plainly as can be: what a family is, and what each of its tokens amounts to at an instant.
type familyModel struct {
	bound       bool
	idle        time.Duration // the family's, without use
	tokens      []string      // of generations 1, 2, …
	born, used  time.Time
	graceEnds   time.Time // of the last token but one
	sessionBorn time.Time
	sessionSeen time.Time
	ended       bool // somebody ended the session
}

func (m *familyModel) sessionLives(now time.Time) bool {
	return !m.ended && now.Before(m.sessionBorn.Add(ttl)) && now.Before(m.sessionSeen.Add(idle))
}

// gone says whether the engine may have forgotten the record: what came of the grant is over, its access tokens, too.
func (m *familyModel) gone(now time.Time) bool {
	return !now.Before(m.ends()) && !now.Before(m.used.Add(keep))
}

func (m *familyModel) ends() time.Time {
	ends := []time.Time{m.born.Add(refreshTTL), m.used.Add(m.idle)}
	if m.bound {
		ends = append(ends, m.sessionBorn.Add(ttl))
	}
	return slices.MinFunc(ends, time.Time.Compare)
}

func (m *familyModel) state(generation int, now time.Time) session.State {
	current := len(m.tokens) - 1
	inGrace := generation == current-1 && now.Before(m.graceEnds)
	switch {
	case m.gone(now):
		return none
	case generation < current && !inGrace:
		return session.Spent // theft is seen as such whatever else is over
	case m.bound && !m.sessionLives(now):
		return none
	case !now.Before(m.ends()):
		return session.Expired
	case inGrace:
		return session.Grace
	}
	return session.Fresh
}

// none is for what is not found.
const none session.State = 0

// TestP36_FamilyBehavesAsTheModel presents any generation at any time, and does with it what a client or a thief would.
func TestP36_FamilyBehavesAsTheModel(t *testing.T) {
	const short = 5 * time.Minute // over before the record is
	for name, c := range map[string]struct {
		engine string
		idle   time.Duration
	}{"bbolt": {"bbolt", refreshIdle}, "memory": {"memory", refreshIdle}, "idle soon": {"memory", short}} {
		t.Run(name, func(t *testing.T) {
			h, families := newHouse(t, on(t, c.engine), func(o *session.Options) { o.RefreshIdle = c.idle }), 0
			rapid.Check(t, func(r *rapid.T) {
				families++
				m := newFamily(r, t.Context(), h, strconv.Itoa(families))
				m.idle = c.idle
				r.Repeat(map[string]func(*rapid.T){
					"wait": func(r *rapid.T) {
						h.pass(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, grace - time.Second, grace, short, idle - time.Minute, 100 * time.Hour}).Draw(r, "wait"))
					},
					"rotate": func(r *rapid.T) { m.use(r, t.Context(), h, false) },
					"keep":   func(r *rapid.T) { m.use(r, t.Context(), h, true) },
					"end":    func(r *rapid.T) { m.end(r, t.Context(), h) },
					"":       func(r *rapid.T) { m.check(r, t.Context(), h) },
				})
			})
			if families == 0 {
				t.Error("nothing was tried")
			}
		})
	}
}

func newFamily(r *rapid.T, ctx context.Context, h *house, attempt string) *familyModel {
	m := &familyModel{bound: rapid.Bool().Draw(r, "session-bound"), sessionBorn: h.clock(), sessionSeen: h.clock()}
	_, code, _, _, err := h.Begin(ctx, attempt, h.clock().Add(time.Nanosecond), ada(), nil, session.Grant{Offline: !m.bound, SessionBound: m.bound})
	if err != nil {
		r.Fatal(err)
	}
	p, err := h.Code(ctx, code)
	if err != nil {
		r.Fatal(err)
	}
	first, err := h.Redeem(ctx, p, "", false)
	if err != nil {
		r.Fatal(err)
	}
	m.tokens, m.born, m.used = []string{first}, h.clock(), h.clock()
	return m
}

// use presents a token and rotates it, or keeps it, if it is good.
func (m *familyModel) use(r *rapid.T, ctx context.Context, h *house, keep bool) {
	generation := rapid.IntRange(max(0, len(m.tokens)-3), len(m.tokens)-1).Draw(r, "generation")
	now, current := h.clock(), len(m.tokens)-1
	p, err := h.Refresh(ctx, m.tokens[generation])
	if want := m.state(generation, now); p.State != want {
		r.Fatalf("generation %d of %d is %v (%v), want %v", generation, current, p.State, err, want)
	}
	if errors.Is(err, session.ErrNone) {
		return
	}
	next, err := h.Rotate(ctx, p, "", keep)
	switch {
	case p.State == session.Fresh && err == nil:
		m.used = now
		if m.bound && !now.Before(m.sessionSeen.Add(time.Second)) {
			m.sessionSeen = now
		}
		if m.graceEnds = now; !keep {
			m.tokens, m.graceEnds = append(m.tokens, next), now.Add(grace)
		}
		if keep && next != m.tokens[current] {
			r.Fatal("kept, and another token")
		}
	case p.State == session.Grace && err == nil:
		if next != m.tokens[current] {
			r.Fatal("another successor than the first time")
		}
	case p.State == session.Fresh || p.State == session.Grace || !errors.Is(err, session.ErrSpent) || next != "":
		r.Fatalf("state %v: %v", p.State, err)
	}
}

func (m *familyModel) end(r *rapid.T, ctx context.Context, h *house) {
	found, err := h.BySubject(ctx, ada().Subject, "", 1000)
	if err != nil {
		r.Fatal(err)
	}
	for _, s := range found {
		if err := h.End(ctx, s.ID); err != nil {
			r.Fatal(err)
		}
	}
	m.ended = true
}

// check holds every generation to the model, and all tokens to being different.
func (m *familyModel) check(r *rapid.T, ctx context.Context, h *house) {
	seen := map[string]bool{}
	for i, token := range m.tokens {
		p, err := h.Refresh(ctx, token)
		if err != nil && !errors.Is(err, session.ErrNone) {
			r.Fatal(err)
		}
		if want := m.state(i, h.clock()); p.State != want || (err != nil) != (want == none) {
			r.Fatalf("generation %d of %d is %v (%v), want %v", i, len(m.tokens)-1, p.State, err, want)
		}
		if seen[token] {
			r.Fatal("one token twice")
		}
		seen[token] = true
	}
}
