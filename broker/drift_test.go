package broker_test

import (
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/shapestore"
	"fedbroker/upstreams/shape"
)

func TestRebind_ForgetsTheShapeOfTheClaims(t *testing.T) {
	o := options(t, config())
	open(t, o)
	kept, err := shapestore.New(o.Engine, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme", "other"} {
		known := shape.Shape{Tokens: 7, Learnt: time.Now(), Names: map[string]*shape.Name{"/sub": {Seen: 7, Of: 7}}}
		if err := kept.Save(t.Context(), name, "login", &known); err != nil {
			t.Fatal(err)
		}
	}
	acts, err := broker.NewOperator(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := acts.Drift(t.Context(), "acme"); err != nil || len(d.Sources) != 1 || d.Sources[0].Tokens != 7 || d.Sources[0].Claims[0].Claim != "sub" { // without a server, from the store
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := acts.RebindUpstream(t.Context(), "acme"); err != nil { // to what it is bound to
		t.Fatal(err)
	}
	if found, err := kept.Load(t.Context(), "acme", "login"); err != nil || found == nil {
		t.Errorf("forgotten though nothing was rebound: %v", err)
	}
	o.Config.Upstreams[0].Issuer = "https://new.test"
	if acts, err = broker.NewOperator(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := acts.RebindUpstream(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if found, err := kept.Load(t.Context(), "acme", "login"); err != nil || found != nil {
		t.Errorf("the shape of another issuer's tokens: %+v, %v", found, err)
	}
	if found, err := kept.Load(t.Context(), "other", "login"); err != nil || found == nil {
		t.Errorf("another upstream's shape: %v", err)
	}
}
