package session_test

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"fedbroker/broker/session"
	"fedbroker/store"
	"fedbroker/store/engines"
)

const (
	ttl   = 12 * time.Hour
	idle  = time.Hour
	grace = 10 * time.Second
	keep  = 11 * time.Minute

	refreshTTL  = 720 * time.Hour
	refreshIdle = 168 * time.Hour
)

// house is a store on an engine, memory unless on says otherwise, with a clock that the test moves.
type house struct {
	*session.Store
	t      *testing.T
	engine store.Engine
	mu     sync.Mutex
	now    time.Time
}

func (h *house) clock() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now }

func (h *house) pass(d time.Duration) { h.mu.Lock(); defer h.mu.Unlock(); h.now = h.now.Add(d) }

// on puts the house on an engine of the named kind.
func on(t *testing.T, kind string) func(*session.Options) {
	return func(o *session.Options) { o.Engine = openEngine(t, kind, o.Now) }
}

func openEngine(t *testing.T, kind string, now func() time.Time) store.Engine {
	t.Helper()
	engine, err := engines.Open(kind, engines.Options{Path: filepath.Join(t.TempDir(), "sessions.db"), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	return engine
}

func newSealer(t *testing.T) *store.Sealer {
	t.Helper()
	var key [32]byte
	_, _ = rand.Read(key[:])
	sealer, err := store.NewSealer([]store.SealKey{{Key: key}})
	if err != nil {
		t.Fatal(err)
	}
	return sealer
}

func newHouse(t *testing.T, change ...func(*session.Options)) *house {
	t.Helper()
	h := &house{t: t, now: time.Unix(1_800_000_000, 0)}
	o := session.Options{
		Engine: openEngine(t, "memory", h.clock), Sealing: newSealer(t), Now: h.clock, TTL: ttl, Idle: idle, CodeTTL: time.Minute,
		RefreshTTL: refreshTTL, RefreshIdle: refreshIdle, RefreshGrace: grace, Keep: keep,
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	if h.Store, err = session.Open(o); err != nil {
		t.Fatal(err)
	}
	h.engine = o.Engine
	return h
}

func ada() session.Session {
	return session.Session{Subject: "acme|ada", Upstream: "acme", UpstreamSID: "idp-1", Principal: map[string]any{"name": "Ada", "n": int64(9007199254740993)}}
}

type begun struct {
	cookie, code string
	session      session.Session
	grant        session.Grant
}

func (h *house) begin(attempt string, s session.Session, former *session.Session, g session.Grant) begun {
	h.t.Helper()
	cookie, code, s, g, err := h.Begin(h.t.Context(), attempt, h.clock().Add(10*time.Minute), s, former, g)
	if err != nil {
		h.t.Fatal(err)
	}
	return begun{cookie, code, s, g}
}

func (h *house) redeem(code string) string {
	h.t.Helper()
	p, err := h.Code(h.t.Context(), code)
	if err != nil || p.State != session.Fresh {
		h.t.Fatalf("code: %v, %v", p.State, err)
	}
	token, err := h.Redeem(h.t.Context(), p, "", false)
	if err != nil {
		h.t.Fatal(err)
	}
	return token
}

func (h *house) state(token string) session.State {
	h.t.Helper()
	p, err := h.Refresh(h.t.Context(), token)
	if err != nil && !errors.Is(err, session.ErrNone) {
		h.t.Fatal(err)
	}
	return p.State
}

func (h *house) rotate(token string) string {
	h.t.Helper()
	p, err := h.Refresh(h.t.Context(), token)
	if err != nil {
		h.t.Fatal(err)
	}
	next, err := h.Rotate(h.t.Context(), p, "", false)
	if err != nil {
		h.t.Fatal(err)
	}
	return next
}

func TestP30_AttemptSpentOnce(t *testing.T) {
	h := newHouse(t)
	b := h.begin("attempt", ada(), nil, session.Grant{})
	if _, _, _, _, err := h.Begin(t.Context(), "attempt", h.clock().Add(time.Minute), ada(), nil, session.Grant{}); !errors.Is(err, session.ErrSpent) {
		t.Fatalf("want ErrSpent, got %v", err)
	}
	if all, err := h.All(t.Context(), "", 10); err != nil || len(all) != 1 || all[0].ID != b.session.ID {
		t.Errorf("the second callback left something: %v, %v", all, err)
	}
}

func TestP30_EveryCallbackANewSessionID(t *testing.T) {
	h := newHouse(t)
	first := h.begin("1", ada(), nil, session.Grant{})
	second := h.begin("2", ada(), &first.session, session.Grant{})
	if first.session.ID == second.session.ID || first.cookie == second.cookie {
		t.Error("one session id for two callbacks")
	}
	if f := second.session.Former; len(f) != 1 || f[0] != first.session.ID {
		t.Errorf("former %v", f)
	}
	if _, err := h.SessionByID(t.Context(), first.session.ID); err != nil {
		t.Errorf("the same person's session before: %v", err)
	}
	bob := ada()
	bob.Subject = "acme|bob"
	h.begin("3", bob, &second.session, session.Grant{})
	if _, err := h.Session(t.Context(), second.cookie); !errors.Is(err, session.ErrNone) {
		t.Errorf("another person's session lives on: %v", err)
	}
}

func TestSession_ByItsCookieAlone(t *testing.T) {
	h := newHouse(t)
	a, b := h.begin("1", ada(), nil, session.Grant{}), h.begin("2", ada(), nil, session.Grant{})
	got, err := h.Session(t.Context(), a.cookie)
	if err != nil || got.ID != a.session.ID || got.Principal["n"] != int64(9007199254740993) || got.Subject != "acme|ada" {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, cookie := range map[string]string{
		"empty": "", "no secret": a.session.ID, "empty secret": a.session.ID + ".", "another's secret": a.session.ID + b.cookie[len(b.session.ID):],
		"code": a.code, "long": a.cookie + string(make([]byte, 5000)), "no key": ".x", "strange": "../../etc/passwd.x", "id in capitals": "ABCDEF01" + a.cookie[8:],
	} {
		if _, err := h.Session(t.Context(), cookie); !errors.Is(err, session.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSession_EndsWhenIdleAndInAnyCase(t *testing.T) {
	h := newHouse(t)
	b := h.begin("1", ada(), nil, session.Grant{})
	h.pass(idle)
	if _, err := h.Session(t.Context(), b.cookie); !errors.Is(err, session.ErrNone) {
		t.Errorf("idle: %v", err)
	}
	b = h.begin("2", ada(), nil, session.Grant{})
	for range 12 {
		h.pass(idle - time.Second)
		s, err := h.Session(t.Context(), b.cookie)
		if err != nil {
			t.Fatalf("in use: %v", err)
		}
		if _, _, err := h.Issue(t.Context(), s, session.Grant{}); err != nil {
			t.Fatal(err)
		}
	}
	h.pass(idle / 2)
	if _, err := h.Session(t.Context(), b.cookie); !errors.Is(err, session.ErrNone) {
		t.Errorf("beyond its absolute end: %v", err)
	}
}

func TestSessions_FoundByPersonAndByTheIdentityProvidersSession(t *testing.T) {
	h := newHouse(t)
	a := h.begin("1", ada(), nil, session.Grant{})
	bob := ada()
	bob.Subject, bob.UpstreamSID = "acme|bob", "idp-2"
	h.begin("2", bob, nil, session.Grant{})
	bySubject, err1 := h.BySubject(t.Context(), "acme|ada", "", 10)
	byUpstream, err2 := h.ByUpstream(t.Context(), "acme", "idp-1", "", 10)
	elsewhere, err3 := h.ByUpstream(t.Context(), "globex", "idp-1", "", 10)
	if err := errors.Join(err1, err2, err3); err != nil || len(bySubject) != 1 || len(byUpstream) != 1 || byUpstream[0].ID != a.session.ID || len(elsewhere) != 0 {
		t.Fatalf("%v %v %v %v", bySubject, byUpstream, elsewhere, err)
	}
	if err := h.End(t.Context(), a.session.ID, a.session.ID, "nobody"); err != nil {
		t.Fatal(err)
	}
	if err := h.End(t.Context(), a.session.ID); err != nil {
		t.Errorf("ended twice: %v", err)
	}
	if left, err := h.BySubject(t.Context(), "acme|ada", "", 10); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestSession_TwoTabsAtOnce(t *testing.T) {
	h := newHouse(t)
	b := h.begin("1", ada(), nil, session.Grant{})
	stale, err := h.Session(t.Context(), b.cookie)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, _, err := h.Issue(t.Context(), stale, session.Grant{}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := h.End(t.Context(), b.session.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Issue(t.Context(), stale, session.Grant{}); !errors.Is(err, session.ErrNone) {
		t.Errorf("a code of an ended session: %v", err)
	}
}

func TestCode_SpentByOneOfMany(t *testing.T) {
	h := newHouse(t)
	b := h.begin("1", ada(), nil, session.Grant{Offline: true})
	p, err := h.Code(t.Context(), b.code)
	if err != nil {
		t.Fatal(err)
	}
	won, mu := 0, sync.Mutex{}
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			_, err := h.Redeem(t.Context(), p, "", false)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, session.ErrSpent) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if again, err := h.Code(t.Context(), b.code); won != 1 || err != nil || again.State != session.Spent {
		t.Errorf("%d redeemed it; now %v, %v", won, again.State, err)
	}
}

func TestCode_StatesAndStrangers(t *testing.T) {
	h := newHouse(t)
	a, b := h.begin("1", ada(), nil, session.Grant{}), h.begin("2", ada(), nil, session.Grant{})
	for name, code := range map[string]string{"cookie": a.cookie, "another's secret": a.grant.ID + b.code[len(b.grant.ID):], "empty": "", "id": a.grant.ID} {
		if _, err := h.Code(t.Context(), code); !errors.Is(err, session.ErrNone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if token := h.redeem(a.code); token != "" {
		t.Error("a refresh token that nobody was granted")
	}
	h.pass(time.Minute)
	late, err := h.Code(t.Context(), b.code)
	if err != nil || late.State != session.Expired {
		t.Errorf("late: %v, %v", late.State, err)
	}
	h.pass(9 * time.Minute) // what it gave may live: the replay has to be seen
	spent, err := h.Code(t.Context(), a.code)
	if err != nil || spent.State != session.Spent {
		t.Errorf("spent: %v, %v", spent.State, err)
	}
	for name, p := range map[string]session.Presented{"late": late, "spent": spent, "none": {}} {
		if _, err := h.Redeem(t.Context(), p, "", false); !errors.Is(err, session.ErrSpent) {
			t.Errorf("%s: redeemed, %v", name, err)
		}
		if _, err := h.Rotate(t.Context(), p, "", false); !errors.Is(err, session.ErrSpent) {
			t.Errorf("%s: rotated, %v", name, err)
		}
	}
}

func TestP36_Rotates(t *testing.T) {
	h := newHouse(t)
	first := h.redeem(h.begin("1", ada(), nil, session.Grant{Offline: true}).code)
	second := h.rotate(first)
	if first == second || h.state(second) != session.Fresh {
		t.Error("not rotated")
	}
	if h.state(second+"x") != 0 || h.state(first[:len(first)-2]) != 0 {
		t.Error("a token that was never made is one")
	}
}

func TestP36_GraceGivesTheIdenticalSuccessor(t *testing.T) {
	h := newHouse(t)
	first := h.redeem(h.begin("1", ada(), nil, session.Grant{Offline: true}).code)
	second := h.rotate(first)
	h.pass(grace - time.Second)
	if h.state(first) != session.Grace || h.rotate(first) != second {
		t.Error("another successor")
	}
}

func TestP36_ReuseAfterGraceIsSeen(t *testing.T) {
	h := newHouse(t)
	first := h.redeem(h.begin("1", ada(), nil, session.Grant{Offline: true}).code)
	h.rotate(first)
	h.pass(grace)
	if got := h.state(first); got != session.Spent {
		t.Errorf("state %v", got)
	}
}

func TestP36_SuccessorUsedEndsGrace(t *testing.T) {
	h := newHouse(t)
	first := h.redeem(h.begin("1", ada(), nil, session.Grant{Offline: true}).code)
	h.rotate(h.rotate(first))
	if got := h.state(first); got != session.Spent {
		t.Errorf("state %v", got)
	}
}

func TestP36_NoGraceWhereItIsSwitchedOff(t *testing.T) {
	h := newHouse(t, func(o *session.Options) { o.RefreshGrace = 0 })
	first := h.redeem(h.begin("1", ada(), nil, session.Grant{Offline: true}).code)
	h.rotate(first)
	if got := h.state(first); got != session.Spent {
		t.Errorf("state %v", got)
	}
}

func TestP36_TwoAtOnceGetOneSuccessor(t *testing.T) {
	h := newHouse(t)
	first := h.redeem(h.begin("1", ada(), nil, session.Grant{Offline: true}).code)
	var mu sync.Mutex
	got := map[string]bool{}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for {
				p, err := h.Refresh(t.Context(), first)
				if err != nil {
					t.Error(err)
					return
				}
				next, err := h.Rotate(t.Context(), p, "", false)
				if errors.Is(err, session.ErrSpent) {
					continue // as the caller does: looks again
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				got[next] = true
				mu.Unlock()
				return
			}
		})
	}
	group.Wait()
	if len(got) != 1 {
		t.Errorf("%d successors", len(got))
	}
}

func TestP36_KeptWithoutRotation(t *testing.T) {
	h := newHouse(t)
	first := h.redeem(h.begin("1", ada(), nil, session.Grant{Offline: true}).code)
	h.pass(167 * time.Hour)
	p, err := h.Refresh(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if next, err := h.Rotate(t.Context(), p, "", true); err != nil || next != first {
		t.Errorf("%v", err)
	}
	h.pass(167 * time.Hour)
	if got := h.state(first); got != session.Fresh {
		t.Errorf("its idle time was not renewed: %v", got)
	}
}

func TestP36_FamilyEndsIdleAndInAnyCase(t *testing.T) {
	h := newHouse(t)
	token := h.redeem(h.begin("1", ada(), nil, session.Grant{Offline: true}).code)
	h.pass(168 * time.Hour)
	if got := h.state(token); got == session.Fresh {
		t.Error("idle for a week")
	}
	token = h.redeem(h.begin("2", ada(), nil, session.Grant{Offline: true}).code)
	for range 4 {
		h.pass(167 * time.Hour)
		token = h.rotate(token)
	}
	h.pass(52 * time.Hour)
	if got := h.state(token); got == session.Fresh {
		t.Error("beyond refresh_ttl")
	}
}

func TestP36_SessionBoundFamilyDiesWithItsSession(t *testing.T) {
	h := newHouse(t)
	b := h.begin("1", ada(), nil, session.Grant{SessionBound: true})
	token := h.redeem(b.code)
	for range 3 { // who works with the app is not idle
		h.pass(idle - time.Second)
		token = h.rotate(token)
	}
	if err := h.End(t.Context(), b.session.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Refresh(t.Context(), token); !errors.Is(err, session.ErrNone) {
		t.Errorf("%v", err)
	}
}

func TestOpen_WantsWhatItNeeds(t *testing.T) {
	if _, err := session.Open(session.Options{}); err == nil {
		t.Error("a store on nothing")
	}
}
