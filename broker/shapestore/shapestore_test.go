package shapestore_test

import (
	"slices"
	"testing"
	"time"

	"fedbroker/broker/shapestore"
	"fedbroker/store/engines"
	"fedbroker/upstreams/shape"
)

func TestStore_KeepsTheLastOfEachSourceAndForgetsAnUpstream(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	engine, err := engines.Open("memory", engines.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	s, err := shapestore.New(engine, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, kept := range []struct {
		upstream string
		source   shape.Source
		tokens   uint64
	}{{"acme", "login", 1}, {"acme", "exchange:at+jwt", 2}, {"acme-two", "login", 3}, {"acme", "login", 4}} {
		known := shape.Shape{Tokens: kept.tokens, Names: map[string]*shape.Name{"/sub": {Seen: 7}}}
		if err := s.Save(ctx, kept.upstream, kept.source, &known); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Load(ctx, "acme", "login"); err != nil || got.Tokens != 4 || got.Names["/sub"].Seen != 7 {
		t.Errorf("want what was saved last, got %+v, %v", got, err)
	}
	if got, err := s.Load(ctx, "acme", "actor"); err != nil || got != nil {
		t.Errorf("want nothing of what was never saved, got %+v, %v", got, err)
	}
	if got, err := s.Sources(ctx, "acme"); err != nil || !slices.Equal(got, []shape.Source{"exchange:at+jwt", "login"}) {
		t.Errorf("%v, %v", got, err)
	}
	if err := s.Forget(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Sources(ctx, "acme"); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := s.Load(ctx, "acme-two", "login"); err != nil || got == nil {
		t.Errorf("another upstream's: %v, %v", got, err)
	}
	now = now.Add(401 * 24 * time.Hour)
	if got, err := s.Load(ctx, "acme-two", "login"); err != nil || got != nil {
		t.Errorf("after more than a year without a token: %v, %v", got, err)
	}
}
