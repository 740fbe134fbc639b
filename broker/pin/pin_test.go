package pin_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"fedbroker/broker/pin"
	"fedbroker/store/engines"
)

func open(t *testing.T) *pin.Pins {
	t.Helper()
	e, err := engines.Open("memory", engines.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	p, err := pin.New(e, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestP1_KnownNameWithAnotherIssuerIsRefused(t *testing.T) {
	p := open(t)
	ctx := t.Context()
	if err := p.Hold(ctx, map[string]string{"acme": "https://a.test", "other": "https://o.test"}); err != nil {
		t.Fatal(err)
	}
	if err := p.Hold(ctx, map[string]string{"acme": "https://a.test"}); err != nil {
		t.Errorf("the same issuer: %v", err)
	}
	err := p.Hold(ctx, map[string]string{"acme": "https://b.test", "new": "https://n.test"})
	if e, ok := errors.AsType[*pin.Error](err); !ok || *e != (pin.Error{Name: "acme", Pinned: "https://a.test", Configured: "https://b.test"}) {
		t.Errorf("%v", err)
	}
}

func TestP1_NothingThatDiffersByAByteIsTheSame(t *testing.T) {
	p := open(t)
	if err := p.Hold(t.Context(), map[string]string{"acme": "https://a.test"}); err != nil {
		t.Fatal(err)
	}
	for _, issuer := range []string{"https://a.test/", "https://A.test", "http://a.test", ""} {
		if err := p.Hold(t.Context(), map[string]string{"acme": issuer}); err == nil {
			t.Errorf("%q passed", issuer)
		}
	}
}

func TestRebind(t *testing.T) {
	p := open(t)
	ctx := t.Context()
	if b, err := p.Rebind(ctx, "acme", "https://a.test"); err != nil || b != (pin.Binding{Name: "acme", Issuer: "https://a.test"}) {
		t.Fatalf("of a new name: %v, %v", b, err)
	}
	if b, err := p.Rebind(ctx, "acme", "https://b.test"); err != nil || b.Was != "https://a.test" {
		t.Errorf("%v, %v", b, err)
	}
	if err := p.Hold(ctx, map[string]string{"acme": "https://a.test"}); err == nil {
		t.Error("the old issuer still passes")
	}
	all, err := p.All(ctx)
	if want := []pin.Binding{{Name: "acme", Issuer: "https://b.test"}}; err != nil || !slices.Equal(all, want) {
		t.Errorf("%v, %v", all, err)
	}
}

func TestHold_StoreThatFailsIsNoMismatch(t *testing.T) {
	p := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.Hold(ctx, map[string]string{"acme": "https://a.test"})
	if _, mismatch := errors.AsType[*pin.Error](err); err == nil || mismatch {
		t.Errorf("%v", err)
	}
}
