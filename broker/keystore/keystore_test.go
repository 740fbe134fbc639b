package keystore_test

import (
	"testing"

	"fedbroker/broker/keystore"
	"fedbroker/store/engines"
	"fedbroker/upstreams/keys"
)

func TestStore_KeepsTheLastOfEachUpstream(t *testing.T) {
	engine, err := engines.Open("memory", engines.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	s, err := keystore.New(engine)
	if err != nil {
		t.Fatal(err)
	}
	for _, saved := range []keys.Saved{{Upstream: "acme", Issuer: "https://old.example"}, {Upstream: "beta"}, {Upstream: "acme", Issuer: "https://new.example"}} {
		if err := s.Save(t.Context(), &saved); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Load(t.Context(), "acme"); err != nil || got.Issuer != "https://new.example" {
		t.Errorf("want what was saved last, got %+v, %v", got, err)
	}
	if got, err := s.Load(t.Context(), "carl"); err != nil || got != nil {
		t.Errorf("want nothing of an upstream that was never saved, got %+v, %v", got, err)
	}
}
