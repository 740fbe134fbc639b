package decision

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/mappers/expr"
	"fedbroker/store"
	"fedbroker/store/engines"
)

func open(t testing.TB, now func() time.Time) (store.Engine, *Store) {
	t.Helper()
	engine, err := engines.Open("memory", engines.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	sealing, err := store.NewSealer([]store.SealKey{{Key: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(engine, sealing)
	if err != nil {
		t.Fatal(err)
	}
	return engine, s
}

func recorder(t testing.TB, s *Store, o RecorderOptions) *Recorder {
	t.Helper()
	o.Store = s
	r, err := NewRecorder(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs a recorder until the function that it returns is called, which waits for its end.
func start(t testing.TB, r *Recorder) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func example(id string) Record {
	return Record{
		ID: id, At: time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC), Grant: "token-exchange", ClientID: "gateway", Audiences: []string{"orders"},
		Subject: Token{Upstream: "acme", TokenID: "t", Typ: "jwt", Claims: map[string]any{
			"sub": "ada", "whole": 1.0, "half": 0.5, "int": int64(1), "big": uint64(1 << 63), "vast": json.Number("123456789012345678901234567890"),
			"large": 1e300, "nested": map[string]any{"list": []any{2.0, int64(2), nil, true, "x"}},
		}},
		Code: "invalid_request", Reason: "condition", Rule: "partner-orders",
	}
}

// note hands over a refusal, as the pipeline does.
func (r *Recorder) note(record Record) { r.Note(true, func() Record { return record }) }

func ids(t testing.TB, s *Store) (all []string) {
	t.Helper()
	page, err := s.Page(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range page {
		all = append(all, r.ID)
	}
	return all
}

// What comes back is what was recorded, to the Go type: a condition on a number must hold again.
func TestRecorder_KeepsADecisionAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := open(t, time.Now)
		r := recorder(t, s, RecorderOptions{TTL: time.Hour})
		stop := start(t, r)
		defer stop()
		r.note(example("d1"))
		time.Sleep(flushEvery + time.Millisecond)
		got, err := s.Get(t.Context(), "d1")
		if want := example("d1"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v, %v\nwant %#v", got, err, want)
		}
		time.Sleep(time.Hour)
		if _, err := s.Get(t.Context(), "d1"); !errors.Is(err, ErrNone) {
			t.Errorf("after its ttl: want ErrNone, got %v", err)
		}
	})
}

func TestP47_DecisionsAreSealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, s := open(t, time.Now)
		r := recorder(t, s, RecorderOptions{TTL: time.Hour})
		stop := start(t, r)
		r.note(example("d1"))
		stop()
		rec, err := engine.Get(t.Context(), bucket, "d1")
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"ada", "gateway", "partner-orders", "condition"} {
			if bytes.Contains(rec.Value, []byte(secret)) {
				t.Errorf("%q is readable at rest", secret)
			}
		}
		// P45: what was sealed for one key opens under no other.
		if _, err := engine.Commit(t.Context(), store.Put(bucket, "d2", rec.Value, store.Absent, time.Time{})); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "d2"); err == nil || errors.Is(err, ErrNone) {
			t.Errorf("a record under another key: want an error of the seal, got %v", err)
		}
	})
}

func TestP47_OnlyClaimsThatAreReadAreKept(t *testing.T) {
	claims := map[string]any{
		"iss": "i", "sub": "s", "aud": "a", "exp": int64(1), "nbf": int64(1), "iat": int64(1), "jti": "j", "ref": "main", "ssn": "1", "email": "a@b",
		"client_id": "c", "scope": "x", "origin_exp": int64(1), "upstream": map[string]any{}, "lin": map[string]any{},
	}
	for _, test := range []struct {
		name  string
		own   bool
		reads expr.Members
		want  string
	}{
		{"an upstream's", false, expr.Members{Names: []string{"absent", "ref"}}, "aud exp iat iss jti nbf ref sub"},
		{"ours", true, expr.Members{}, "aud client_id exp iat iss jti nbf origin_exp scope sub upstream"},
		{"where a rule reads all", false, expr.Members{All: true}, "aud client_id email exp iat iss jti nbf origin_exp ref scope ssn sub upstream"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(slices.Sorted(maps.Keys(Keep(claims, test.own, test.reads))), " ")
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// Recording is bounded: a burst that fills the queue is dropped and counted, and costs its records nothing.
func TestNote_DropsWhatTheQueueCannotHold(t *testing.T) {
	_, s := open(t, time.Now)
	dropped, made := 0, 0
	r := recorder(t, s, RecorderOptions{TTL: time.Hour, Dropped: func(n int) { dropped += n }})
	for i := range queue + 3 {
		r.Note(true, func() Record { made++; return example(fmt.Sprint(i)) })
	}
	if dropped != 3 || made != queue {
		t.Errorf("dropped %d, made %d; want 3 and %d", dropped, made, queue)
	}
}

func TestRun_WritesABatchASecondRefusalsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := open(t, time.Now)
		r := recorder(t, s, RecorderOptions{TTL: time.Hour})
		for i := range batch {
			r.Note(false, func() Record { return Record{ID: fmt.Sprintf("issued-%02d", i), At: time.Now()} })
		}
		for i := range 2 {
			r.note(example(fmt.Sprintf("refused-%d", i)))
		}
		stop := start(t, r)
		time.Sleep(flushEvery + time.Millisecond)
		got := ids(t, s)
		if len(got) != batch || !slices.Contains(got, "refused-0") || !slices.Contains(got, "refused-1") {
			t.Errorf("after one interval: %d records, refusals among them: %v; want %d", len(got), got[len(got)-2:], batch)
		}
		stop() // what is left is written at the end
		if got := ids(t, s); len(got) != batch+2 {
			t.Errorf("after the end: %d records, want %d", len(got), batch+2)
		}
	})
}

func TestRun_ABatchThatIsLostIsToldAndTheNextIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine, s := open(t, time.Now)
		var lost int
		var told error
		r := recorder(t, s, RecorderOptions{TTL: time.Hour, Dropped: func(n int) { lost += n }, Failed: func(err error) { told = err }})
		r.o.Store = &Store{failing{engine}, s.table}
		r.note(example("d1"))
		r.flush(t.Context())
		if lost != 1 || !errors.Is(told, store.ErrUnavailable) {
			t.Errorf("lost %d, told %v", lost, told)
		}
		r.o.Store, lost = s, 0
		r.note(example("d2"))
		r.note(example("d2"))
		r.flush(t.Context())
		if got := ids(t, s); !slices.Equal(got, []string{"d2"}) || lost != 1 {
			t.Errorf("got %v, lost %d; one id twice in a batch must lose only itself", got, lost)
		}
	})
}

type failing struct{ store.Engine }

func (failing) Commit(context.Context, ...store.Op) ([]uint64, error) {
	return nil, store.ErrUnavailable
}

// The last half of what may be kept is for refusals.
func TestMeter_HoldsWhatIsKept(t *testing.T) {
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	_, s := open(t, time.Now)
	r := recorder(t, s, RecorderOptions{TTL: time.Hour, Now: func() time.Time { return now }})
	takes := func(refused bool) bool {
		taken := false
		r.Note(refused, func() Record { taken = true; return example("x") })
		return taken
	}
	for _, step := range []struct {
		after           time.Duration
		written         int
		issued, refused bool
	}{
		{0, maxKept/2 - 1, true, true},
		{0, 1, false, true},
		{0, maxKept / 2, false, false},
		{30 * time.Minute, 1, false, true},
		{time.Minute, 0, true, true},
		{-time.Hour, 0, true, true}, // a clock that was set back frees nothing and breaks nothing
	} {
		now = now.Add(step.after)
		r.meter(now, step.written)
		if i, f := takes(false), takes(true); i != step.issued || f != step.refused {
			t.Errorf("after %v and %d more: takes issued %t, refused %t; want %t, %t", step.after, step.written, i, f, step.issued, step.refused)
		}
	}
}

func TestNewRecorder_OffWithoutTTL(t *testing.T) {
	_, s := open(t, time.Now)
	r, err := NewRecorder(RecorderOptions{Store: s})
	if r != nil || err != nil {
		t.Fatalf("got %v, %v", r, err)
	}
	r.Note(true, func() Record { t.Error("a record is made"); return Record{} })
	if err := r.Run(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNote_ADroppedDecisionAllocatesNothing(t *testing.T) {
	_, s := open(t, time.Now)
	r := recorder(t, s, RecorderOptions{TTL: time.Hour})
	r.full.Store(allFull)
	in := &oauth.TokenRequest{GrantType: oauth.GrantTokenExchange}
	if n := testing.AllocsPerRun(100, func() { r.Request(in, Ending{Rule: "r", Known: true}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestExport_ReadsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := open(t, time.Now)
		r := recorder(t, s, RecorderOptions{TTL: time.Hour})
		want := []Record{example("a"), example("b")}
		want[1].Actor = &Token{Own: true, Claims: map[string]any{"sub": "svc"}}
		for _, one := range want {
			r.note(one)
		}
		r.flush(t.Context())
		var out bytes.Buffer
		if n, err := Export(&out, func(after string) ([]Record, error) { return s.Page(t.Context(), after) }); n != 2 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if lines := strings.Count(out.String(), "\n"); lines != 2 {
			t.Errorf("%d lines, want 2", lines)
		}
		if got, err := Read(&out); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %#v, %v", got, err)
		}
		if _, err := Read(strings.NewReader(`{"decision_id":"a","at":"2030-01-02T12:00:00Z"}` + "\n{}\n")); err == nil || !strings.HasPrefix(err.Error(), "decision 2: ") {
			t.Errorf("got %v", err)
		}
	})
}

func TestGet_WhatIsNoIDIsNoDecision(t *testing.T) {
	_, s := open(t, time.Now)
	for _, id := range []string{"", "absent", "with space", strings.Repeat("x", 300)} {
		if _, err := s.Get(t.Context(), id); !errors.Is(err, ErrNone) {
			t.Errorf("%.20q: got %v", id, err)
		}
	}
}

func TestExport_EveryPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := open(t, time.Now)
		r := recorder(t, s, RecorderOptions{TTL: time.Hour})
		for i := range 2*MaxPage + 1 {
			r.note(example(fmt.Sprintf("%04d", i)))
			if i%batch == 0 {
				r.flush(t.Context())
			}
		}
		for range 2 {
			r.flush(t.Context())
		}
		var out bytes.Buffer
		n, err := Export(&out, func(after string) ([]Record, error) { return s.Page(t.Context(), after) })
		if n != 2*MaxPage+1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	})
}

// What a stranger writes into one record costs no other record its place.
func TestP47_OneLargeRecordLosesNoOther(t *testing.T) {
	_, s := open(t, time.Now)
	lost := 0
	r := recorder(t, s, RecorderOptions{TTL: time.Hour, Dropped: func(n int) { lost += n }})
	r.note(example("small"))
	large := example("large")
	large.Subject.Claims = Claims{"x": strings.Repeat("<", 60000)}
	r.note(large)
	r.flush(t.Context())
	if lost != 0 || len(ids(t, s)) != 2 {
		t.Fatalf("lost %d, kept %v", lost, ids(t, s))
	}
	got, err := s.Get(t.Context(), "large")
	if err != nil || len(got.Subject.Claims) > 0 || got.Whole() {
		t.Errorf("%+v, %v", got, err)
	}
	if got.Partial[0] != PartClaims || len(got.Unverified()) > 0 {
		t.Errorf("it was verified: %v", got.Partial)
	}
	bloated := example("bloated")
	bloated.Subject.Typ = strings.Repeat("<", 60000)
	hopeless := example("hopeless")
	hopeless.Reason = strings.Repeat("<", 10000)
	r.note(bloated)
	r.note(hopeless)
	r.note(example("other"))
	r.flush(t.Context())
	if got := ids(t, s); lost != 1 || !slices.Equal(got, []string{"bloated", "large", "other", "small"}) {
		t.Errorf("lost %d, kept %v", lost, got)
	}
}

func TestP47_OnlyWordsThatARequestCanSayAreKept(t *testing.T) {
	for name, form := range map[string]oauth.Form{
		"long scope":     {oauth.ParamScope: {strings.Repeat("x", maxScope+1)}},
		"no scope":       {oauth.ParamScope: {`a "quoted" one`}},
		"requested type": {oauth.ParamRequestedTokenType: {"urn:x"}},
		"subject type":   {oauth.ParamSubjectTokenType: {strings.Repeat("x", 60000)}},
		"actor type":     {oauth.ParamActorTokenType: {"urn:x"}},
	} {
		r := Of(&oauth.TokenRequest{Form: form}, Ending{})
		if r.Scope+r.TokenType+r.SubjectType+r.ActorType != "" || !slices.Contains(r.Partial, PartRequest) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	form := oauth.Form{oauth.ParamScope: {"a b"}, oauth.ParamSubjectTokenType: {oauth.TypeJWT}}
	if r := Of(&oauth.TokenRequest{Form: form}, Ending{}); r.Scope != "a b" || r.SubjectType != oauth.TypeJWT || slices.Contains(r.Partial, PartRequest) {
		t.Errorf("%+v", r)
	}
}

// An op that the engine takes with no other is lost alone.
func TestCommit_OneBadOpLosesNoOther(t *testing.T) {
	engine, s := open(t, time.Now)
	lost := 0
	r := recorder(t, s, RecorderOptions{TTL: time.Hour, Dropped: func(n int) { lost += n }})
	r.o.Store = &Store{picky{engine, "bad"}, s.table}
	for _, id := range []string{"a", "bad", "c"} {
		r.note(example(id))
	}
	r.flush(t.Context())
	if got := ids(t, s); lost != 1 || !slices.Equal(got, []string{"a", "c"}) {
		t.Errorf("lost %d, kept %v", lost, got)
	}
}

type picky struct {
	store.Engine
	key string
}

func (p picky) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	if slices.ContainsFunc(ops, func(op store.Op) bool { return op.Key == p.key }) {
		return nil, store.ErrTooLarge
	}
	return p.Engine.Commit(ctx, ops...)
}

// A client that is refused all the time has its share, and no more.
func TestRequest_OneClientsRefusalsLeaveRoomForOthers(t *testing.T) {
	now := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	_, s := open(t, time.Now)
	dropped := 0
	r := recorder(t, s, RecorderOptions{TTL: time.Hour, Now: func() time.Time { return now }, Dropped: func(n int) { dropped += n }})
	takes := func(client string) bool {
		before := dropped
		in := &oauth.TokenRequest{GrantType: oauth.GrantTokenExchange, Requester: oauth.Requester{ClientID: client}}
		r.Request(in, Ending{Known: true, Refusal: oauth.Deny(oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed)})
		return dropped == before
	}
	for _, step := range []struct {
		after        time.Duration
		written      int
		noisy, other bool
	}{{0, maxClient - 1, true, true}, {0, 1, false, true}, {time.Minute, 0, true, true}, {0, maxClient, false, true}, {2 * time.Hour, 0, true, true}} {
		now = now.Add(step.after)
		r.charge(now, map[string]int{"noisy": step.written})
		r.meter(now, step.written)
		if n, o := takes("noisy"), takes("other"); n != step.noisy || o != step.other {
			t.Errorf("after %v and %d more: takes noisy %t, other %t; want %t, %t", step.after, step.written, n, o, step.noisy, step.other)
		}
	}
	r.refused, r.clients = make(chan Record, queue), map[string]float64{} // what is written is charged
	r.note(example("d"))
	r.flush(t.Context())
	if r.clients["gateway"] < 1 {
		t.Errorf("charged %v", r.clients)
	}
}
