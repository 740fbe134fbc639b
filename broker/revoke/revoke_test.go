package revoke_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/broker/revoke"
	"fedbroker/store"
	"fedbroker/store/engines"
)

var start = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

// clock is a time that a test moves by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: start} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func memory(t testing.TB, now func() time.Time) store.Engine {
	t.Helper()
	e, err := engines.Open("memory", engines.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func open(t testing.TB, o revoke.Options) *revoke.Set {
	t.Helper()
	s, err := revoke.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || want == nil && got != nil {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// token is what each revocation below names one fact of.
var token = revoke.Facts{
	TokenID: "jti-1", ClientID: "gateway", Subject: "acme|alice", Upstream: "acme", Kid: "key-1",
	Lineage: revoke.Lineage{
		Tokens: []string{"parent-1"}, Rules: []string{"rule-1"}, Clients: []string{"front"}, Kids: []string{"key-0"},
		Sessions: []string{"session-1"}, Families: []string{"family-1"}, Subjects: []string{"acme|actor"}, Upstreams: []string{"other"},
	},
}

var named = []struct {
	kind revoke.Kind
	id   string
}{
	{revoke.KindToken, "jti-1"}, {revoke.KindClient, "gateway"}, {revoke.KindSubject, "acme|alice"}, {revoke.KindUpstream, "acme"}, {revoke.KindKey, "key-1"},
	{revoke.KindToken, "parent-1"}, {revoke.KindRule, "rule-1"}, {revoke.KindClient, "front"}, {revoke.KindKey, "key-0"},
	{revoke.KindSession, "session-1"}, {revoke.KindFamily, "family-1"}, {revoke.KindSubject, "acme|actor"}, {revoke.KindUpstream, "other"},
}

func TestP26_EveryFactCanBeRevoked(t *testing.T) {
	for _, n := range named {
		t.Run(string(n.kind)+" "+n.id, func(t *testing.T) {
			c := newClock()
			s := open(t, revoke.Options{Engine: memory(t, c.Now), Now: c.Now})
			want(t, "before", s.Check(token, start), nil)
			must(t, s.Revoke(t.Context(), n.kind, n.id, start, start.Add(time.Hour)))
			want(t, "its own process, at once", s.Check(token, start), revoke.ErrRevoked)
			want(t, "another token", s.Check(revoke.Facts{TokenID: "jti-2", ClientID: "c2"}, start), nil)
			for _, k := range revoke.Kinds() {
				if k != n.kind { // the same id as a fact of another kind is another fact
					must(t, s.Revoke(t.Context(), k, n.id+"'", start, start.Add(time.Hour)))
				}
			}
			want(t, "a like-named fact", s.Check(revoke.Facts{TokenID: "gateway", ClientID: "jti-1", Kid: "acme", Upstream: "key-1"}, start), nil)
		})
	}
}

func TestP26_NotBeforeTime(t *testing.T) {
	for _, test := range []struct {
		kind  revoke.Kind
		id    string
		later error // of a token issued after the time that the revocation names
	}{
		{revoke.KindClient, "gateway", nil},
		{revoke.KindSubject, "acme|alice", nil},
		{revoke.KindUpstream, "acme", nil},
		{revoke.KindRule, "rule-1", nil},
		{revoke.KindToken, "parent-1", revoke.ErrRevoked},
		{revoke.KindSession, "session-1", revoke.ErrRevoked},
		{revoke.KindFamily, "family-1", revoke.ErrRevoked},
		{revoke.KindKey, "key-1", revoke.ErrRevoked},
	} {
		t.Run(string(test.kind), func(t *testing.T) {
			c := newClock()
			s := open(t, revoke.Options{Engine: memory(t, c.Now), Now: c.Now})
			must(t, s.Revoke(t.Context(), test.kind, test.id, start.Add(500*time.Millisecond), start.Add(time.Hour)))
			want(t, "issued before", s.Check(token, start.Add(-time.Minute)), revoke.ErrRevoked)
			want(t, "issued in the same second", s.Check(token, start), revoke.ErrRevoked)
			want(t, "issued a second later", s.Check(token, start.Add(time.Second)), test.later)
		})
	}
}

func TestNoTimeMeansNow(t *testing.T) {
	c := newClock()
	s := open(t, revoke.Options{Engine: memory(t, c.Now), Now: c.Now})
	must(t, s.Revoke(t.Context(), revoke.KindClient, "gateway", time.Time{}, start.Add(time.Hour)))
	want(t, "issued now", s.Check(token, start), revoke.ErrRevoked)
	want(t, "issued later", s.Check(token, start.Add(time.Second)), nil)
}

func TestP26_EarlierRevocationStays(t *testing.T) {
	for _, test := range []struct {
		name          string
		before, until time.Duration // of the second revocation; the first is of now, for an hour
		looked        time.Duration
	}{
		{name: "a second that reaches less far back", before: -time.Hour, until: 2 * time.Hour},
		{name: "a second that ends sooner", before: time.Minute, until: 10 * time.Minute, looked: 50 * time.Minute},
		{name: "a second within the first", before: -time.Hour, until: time.Minute, looked: 50 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e, begin := memory(t, time.Now), time.Now()
				s := open(t, revoke.Options{Engine: e})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- s.Run(ctx) }()
				must(t, s.Revoke(t.Context(), revoke.KindClient, "gateway", begin, begin.Add(time.Hour)))
				must(t, s.Revoke(t.Context(), revoke.KindClient, "gateway", begin.Add(test.before), begin.Add(test.until)))
				time.Sleep(test.looked) // the sweep comes by meanwhile
				want(t, "the first", s.Check(token, begin), revoke.ErrRevoked)
				again := open(t, revoke.Options{Engine: e})
				want(t, "the first, after a restart", again.Check(token, begin), revoke.ErrRevoked)
				cancel()
				must(t, <-done)
			})
		})
	}
}

func TestP26_LoadedBeforeReady(t *testing.T) {
	c := newClock()
	e := memory(t, c.Now)
	first := open(t, revoke.Options{Engine: e, Now: c.Now})
	const many = store.MaxScan + 5 // more than one page
	for i := range many {
		must(t, first.Revoke(t.Context(), revoke.KindToken, fmt.Sprint("t", i), start, start.Add(time.Hour)))
	}
	s := open(t, revoke.Options{Engine: e, Now: c.Now})
	if s.Len() != many {
		t.Errorf("after a restart %d revocations, want %d", s.Len(), many)
	}
	want(t, "the first", s.Check(revoke.Facts{TokenID: "t0"}, start), revoke.ErrRevoked)
	want(t, "the last", s.Check(revoke.Facts{TokenID: fmt.Sprint("t", many-1)}, start), revoke.ErrRevoked)
}

func TestP26_OtherReplicaWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory(t, time.Now)
		a, b := open(t, revoke.Options{Engine: e}), open(t, revoke.Options{Engine: e})
		ctx, cancel := context.WithCancel(t.Context())
		var loops sync.WaitGroup
		loops.Go(func() { _ = a.Run(ctx) })
		loops.Go(func() { _ = b.Run(ctx) })
		for i := range 5 {
			id := fmt.Sprint("t", i)
			must(t, a.Revoke(ctx, revoke.KindToken, id, time.Now(), time.Now().Add(time.Hour)))
			time.Sleep(time.Second)
			want(t, "at the other replica", b.Check(revoke.Facts{TokenID: id}, time.Now()), revoke.ErrRevoked)
		}
		cancel()
		loops.Wait() // a loop that stays would deadlock the bubble
	})
}

// broken fails reads while it is switched on.
type broken struct {
	store.Engine
	down bool
}

var errDown = errors.New("down")

func (e *broken) Get(ctx context.Context, bucket, key string) (store.Record, error) {
	if e.down {
		return store.Record{}, errDown
	}
	return e.Engine.Get(ctx, bucket, key)
}

func TestP26_IndexUnavailableNeverAllows(t *testing.T) {
	c := newClock()
	e := &broken{Engine: memory(t, c.Now)}
	s := open(t, revoke.Options{Engine: e, Now: c.Now, MaxStale: 10 * time.Second})
	e.down = true
	c.Advance(10 * time.Second)
	want(t, "poll", s.Poll(t.Context()), errDown)
	want(t, "as old as allowed", s.Check(token, start), nil)
	c.Advance(time.Millisecond)
	want(t, "older", s.Check(token, start), revoke.ErrStale)
	want(t, "older, for readiness", s.Fresh(), revoke.ErrStale)
	e.down = false
	must(t, s.Poll(t.Context()))
	want(t, "read again", s.Check(token, start), nil)

	e.down = true
	if _, err := revoke.Open(t.Context(), revoke.Options{Engine: e, Now: c.Now}); !errors.Is(err, errDown) {
		t.Errorf("open without the store: %v, want %v", err, errDown)
	}
}

// A head that is gone or older than what was read is a store that lost revocations.
func TestP26_LostHeadGoesStale(t *testing.T) {
	for _, test := range []struct {
		name string
		op   store.Op
	}{
		{"gone", store.Delete("revocations_head", "head", store.Any)},
		{"older", store.Put("revocations_head", "head", []byte("0000000000000000"), store.Any, time.Time{})},
		{"not a number", store.Put("revocations_head", "head", []byte("x"), store.Any, time.Time{})},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newClock()
			e := memory(t, c.Now)
			s := open(t, revoke.Options{Engine: e, Now: c.Now})
			must(t, s.Revoke(t.Context(), revoke.KindToken, "a", start, start.Add(time.Hour)))
			_, err := e.Commit(t.Context(), test.op)
			must(t, err)
			if s.Poll(t.Context()) == nil {
				t.Error("poll: no error")
			}
			c.Advance(revoke.DefaultMaxStale + time.Second)
			want(t, "check", s.Check(token, start), revoke.ErrStale)
		})
	}
}

func TestP26_UnknownKindIsNotIgnored(t *testing.T) {
	c := newClock()
	e := memory(t, c.Now)
	s := open(t, revoke.Options{Engine: e, Now: c.Now})
	must(t, s.Revoke(t.Context(), revoke.KindToken, "a", start, start.Add(time.Hour)))
	rec, err := e.Get(t.Context(), "revocations", "0000000000000001")
	must(t, err)
	value := strings.Replace(string(rec.Value), `"token"`, `"planet"`, 1)
	_, err = e.Commit(t.Context(), store.Put("revocations", rec.Key, []byte(value), store.Any, rec.Expires))
	must(t, err)
	if _, err := revoke.Open(t.Context(), revoke.Options{Engine: e, Now: c.Now}); err == nil {
		t.Error("a revocation of a kind that is not known was passed over")
	}
}

func TestReplicasLoseNothing(t *testing.T) {
	e := memory(t, newClock().Now)
	sets := []*revoke.Set{
		open(t, revoke.Options{Engine: e, Now: newClock().Now}), open(t, revoke.Options{Engine: e, Now: newClock().Now}),
		open(t, revoke.Options{Engine: e, Now: newClock().Now}),
	}
	const each = 40
	var all sync.WaitGroup
	for i, s := range sets {
		all.Go(func() {
			for j := range each {
				if err := s.Revoke(t.Context(), revoke.KindToken, fmt.Sprint(i, "-", j), start, start.Add(time.Hour)); err != nil {
					t.Error(err)
				}
				_ = s.Check(token, start) // readers beside writers, for the race detector
			}
		})
	}
	all.Wait()
	for i, s := range sets {
		must(t, s.Poll(t.Context()))
		if s.Len() != each*len(sets) {
			t.Errorf("set %d holds %d revocations, want %d", i, s.Len(), each*len(sets))
		}
	}
}

func TestForgottenWhenNoTokenIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, revoke.Options{Engine: memory(t, time.Now)})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		must(t, s.Revoke(ctx, revoke.KindToken, "short", time.Now(), time.Now().Add(time.Minute)))
		must(t, s.Revoke(ctx, revoke.KindToken, "long", time.Now(), time.Now().Add(time.Hour)))
		must(t, s.Revoke(ctx, revoke.KindToken, "past", time.Now(), time.Now().Add(-time.Second)))
		if s.Len() != 2 {
			t.Errorf("%d revocations, want 2", s.Len())
		}
		time.Sleep(3 * time.Minute)
		if s.Len() != 1 {
			t.Errorf("after the first expired: %d revocations, want 1", s.Len())
		}
		want(t, "the one that is left", s.Check(revoke.Facts{TokenID: "long"}, time.Now()), revoke.ErrRevoked)
		cancel()
		must(t, <-done)
	})
}

// ticking is an engine whose commits take a while.
type ticking struct {
	store.Engine
	tick func()
}

func (e ticking) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	e.tick()
	return e.Engine.Commit(ctx, ops...)
}

func TestP26_NowIncludesWhatIsIssuedDuringTheCommit(t *testing.T) {
	c := newClock()
	s := open(t, revoke.Options{Engine: ticking{memory(t, c.Now), func() { c.Advance(time.Second) }}, Now: c.Now})
	must(t, s.Revoke(t.Context(), revoke.KindRule, "rule-1", time.Time{}, start.Add(time.Hour)))
	want(t, "issued while the record became durable", s.Check(token, start.Add(time.Second)), revoke.ErrRevoked)
}

func TestBounds(t *testing.T) {
	c := newClock()
	s := open(t, revoke.Options{Engine: memory(t, c.Now), Now: c.Now, MaxEntries: 10})
	later := start.Add(time.Hour)
	for _, id := range strings.Split("abcdefghi", "") {
		must(t, s.RevokeIssued(t.Context(), id, later))
	}
	want(t, "a client, beyond nine tenths", s.RevokeIssued(t.Context(), "j", later), revoke.ErrFull)
	must(t, s.Revoke(t.Context(), revoke.KindClient, "flooding", start, later)) // what an operator does about it
	want(t, "one too many", s.Revoke(t.Context(), revoke.KindToken, "c2", start, later), revoke.ErrFull)
	want(t, "one that is there, wider", s.Revoke(t.Context(), revoke.KindClient, "flooding", start.Add(time.Minute), later), nil)
	want(t, "a compromised key", s.Revoke(t.Context(), revoke.KindKey, "k", start, later), nil)
	want(t, "one that is there", s.Revoke(t.Context(), revoke.KindToken, "a", start, later), nil)
	for _, test := range []struct {
		name string
		kind revoke.Kind
		id   string
	}{
		{"unknown kind", "planet", "a"}, {"no id", revoke.KindRule, ""}, {"long id", revoke.KindSubject, strings.Repeat("a", 513)},
	} {
		if err := s.Revoke(t.Context(), test.kind, test.id, start, later); err == nil || errors.Is(err, revoke.ErrFull) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := revoke.ParseKind("planet"); err == nil || !strings.Contains(err.Error(), "token, session") {
		t.Errorf("unknown kind: %v", err)
	}
}

func TestP24_OneOf64Wins(t *testing.T) {
	s := revoke.NewSpender(memory(t, newClock().Now))
	var all sync.WaitGroup
	results := make(chan error, 64)
	for range cap(results) {
		all.Go(func() {
			results <- s.Spend(t.Context(), "github", "https://iss.example", "jti", start.Add(time.Minute))
		})
	}
	all.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
		} else {
			want(t, "loser", err, revoke.ErrSpent)
		}
	}
	if won != 1 {
		t.Errorf("%d callers spent it, want 1", won)
	}
}

func TestP24_ReplayMemory(t *testing.T) {
	c := newClock()
	s := revoke.NewSpender(memory(t, c.Now))
	until := start.Add(time.Minute)
	must(t, s.Spend(t.Context(), "a", "i", "j", until))
	want(t, "again", s.Spend(t.Context(), "a", "i", "j", until), revoke.ErrSpent)
	want(t, "again, with another expiry", s.Spend(t.Context(), "a", "i", "j", until.Add(time.Hour)), revoke.ErrSpent)
	want(t, "another upstream", s.Spend(t.Context(), "b", "i", "j", until), nil)
	want(t, "another issuer", s.Spend(t.Context(), "a", "i2", "j", until), nil)
	want(t, "another jti", s.Spend(t.Context(), "a", "i", "j2", until), nil)
	want(t, "parts that run together", s.Spend(t.Context(), "ai", "", "j", until), nil)
	if s.Spend(t.Context(), "a", "i", "", until) == nil {
		t.Error("an empty jti was spent")
	}
	want(t, "a jti of any size and bytes", s.Spend(t.Context(), "a", "i", strings.Repeat("\xff/ ", 5000), until), nil)
	c.Advance(time.Minute - time.Nanosecond)
	want(t, "until it expires", s.Spend(t.Context(), "a", "i", "j", until), revoke.ErrSpent)
}

func TestP39_SessionsOfALogoutDieInOneCommit(t *testing.T) {
	c := newClock()
	engine := memory(t, c.Now)
	s := open(t, revoke.Options{Engine: engine, Now: c.Now})
	until := c.Now().Add(time.Hour)
	if err := s.RevokeEnded(t.Context(), revoke.KindSession, []string{"s1", "s2", "s3"}, until); err != nil {
		t.Fatal(err)
	}
	other := open(t, revoke.Options{Engine: engine, Now: c.Now}) // what was written is what another process reads
	for _, set := range []*revoke.Set{s, other} {
		for sid, dead := range map[string]bool{"s1": true, "s2": true, "s3": true, "s4": false} {
			err := set.Check(revoke.Facts{Lineage: revoke.Lineage{Sessions: []string{sid}}}, c.Now().Add(time.Minute))
			if errors.Is(err, revoke.ErrRevoked) != dead {
				t.Errorf("%s: %v", sid, err)
			}
		}
	}
	if err := s.Revoke(t.Context(), revoke.KindClient, "c", time.Time{}, until); err != nil { // numbers go on
		t.Error(err)
	}
	if err := s.RevokeEnded(t.Context(), revoke.KindClient, []string{"c"}, until); err == nil {
		t.Error("clients end no clients")
	}
	for name, sids := range map[string][]string{"none": nil, "empty": {"s5", ""}, "too many": make([]string, 64)} {
		if err := s.RevokeEnded(t.Context(), revoke.KindSession, sids, until); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := s.RevokeEnded(t.Context(), revoke.KindSession, []string{"s6"}, c.Now().Add(-time.Second)); err != nil || s.Len() != 4 {
		t.Errorf("what nothing can live by: %v, %d entries", err, s.Len())
	}
}

// However many sessions and families people and clients end, an operator can still revoke them.
func TestP26_RoomIsLeftForAnOperator(t *testing.T) {
	c := newClock()
	s := open(t, revoke.Options{Engine: memory(t, c.Now), Now: c.Now, MaxEntries: 20})
	until := c.Now().Add(time.Hour)
	full := 0
	for i := range 30 {
		if err := s.RevokeEnded(t.Context(), revoke.KindFamily, []string{fmt.Sprint("f", i)}, until); errors.Is(err, revoke.ErrFull) {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if full != 12 {
		t.Errorf("%d of 30 were refused, want 12: a tenth is an operator's", full)
	}
	if err := s.Revoke(t.Context(), revoke.KindClient, "c", time.Time{}, until); err != nil {
		t.Errorf("the operator: %v", err)
	}
}
