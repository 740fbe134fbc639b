package upstreams_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/shape"
	"fedbroker/upstreams/upstreamtest"
)

// watchedBench is a bench with a sentinel, which loads what it is asked for whenever the test lets it.
func watchedBench(t *testing.T, c *clock, specs ...upstreams.Spec) (*bench, *shape.Sentinel) {
	t.Helper()
	shapes := shape.New(shape.Options{
		Now: c.Now, Count: func(string, shape.Kind) {}, Tell: func(shape.Change) {}, Fail: func(name string, err error) { t.Errorf("%s: %v", name, err) },
	})
	cache := keys.New(keys.Options{Now: c.Now})
	set := upstreams.NewSet(upstreams.Options{Specs: specs, OurIssuer: ourIssuer, Keys: cache, Shapes: shapes, Now: c.Now}, func(path, format string, args ...any) {
		t.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
	})
	t.Cleanup(func() { cache.Close(); set.Close() })
	return &bench{T: t, clock: c, set: set}, shapes
}

// settle lets the sentinel attend to what waits.
func settle(t *testing.T, shapes *shape.Sentinel) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := shapes.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// looked are the names that are known of each source.
func looked(t *testing.T, shapes *shape.Sentinel) map[shape.Source][]string {
	t.Helper()
	all, err := shapes.Shapes(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	names := map[shape.Source][]string{}
	for _, s := range all {
		names[s.Source] = slices.Sorted(maps.Keys(s.Names))
	}
	return names
}

func TestShapes_OfEveryPurposeAndClassByItself(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	spec := jwtSpec("acme", idp)
	spec.AcceptTyp = &[]string{"at+jwt"}
	b, shapes := watchedBench(t, c, spec)
	actor := upstreams.Want{Purpose: upstreams.PurposeActor}
	client := upstreams.Want{Purpose: upstreams.PurposeClient, ClientAudience: "for-clients"}
	grant := upstreams.Want{Purpose: upstreams.PurposeGrant}
	for range 2 { // the first of each sort only asks for what was kept
		b.accepts("acme", idp.Sign(with(idp.Claims("a", audience), "x", 1)), exchange)
		b.accepts("acme", idp.Sign(with(idp.Claims("a", audience), "y", 1), upstreamtest.Typ("at+jwt")), exchange)
		b.accepts("acme", idp.Sign(idp.Claims("a", audience)), actor)
		b.accepts("acme", idp.Sign(idp.Claims("a", "for-clients")), client)
		b.accepts("acme", idp.Sign(idp.Claims("a", audience)), grant)
		settle(t, shapes)
	}
	forged := idp.Sign(with(idp.Claims("a", audience), "forged", 1))
	b.refuses("acme", forged[:len(forged)-6]+"AAAAAA", exchange, upstreams.ReasonSignature)
	b.refuses("acme", idp.Sign(with(idp.Claims("a", "elsewhere"), "elsewhere", 1)), exchange, upstreams.ReasonAudience)

	got := looked(t, shapes)
	if want := []shape.Source{"actor", "client", "exchange", "exchange:at+jwt", "grant"}; !slices.Equal(slices.Sorted(maps.Keys(got)), want) {
		t.Fatalf("got %v", got)
	}
	common := []string{"/aud", "/exp", "/iat", "/iss", "/jti", "/nbf", "/sub"}
	for source, want := range map[shape.Source][]string{"actor": common, "exchange": append(slices.Clone(common), "/x"), "exchange:at+jwt": append(slices.Clone(common), "/y")} {
		if !slices.Equal(got[source], want) {
			t.Errorf("%s: %q", source, got[source])
		}
	}
}

func TestShapes_OfALoginWithItsUserinfo(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, loginOptions())
	b, shapes := watchedBench(t, c, loginSpec("acme", idp))
	for range 2 {
		visitAt(t, b, idp).accepted()
		settle(t, shapes)
	}
	got := looked(t, shapes)
	if len(got) != 1 || !slices.Contains(got["login"], "/phone_number") || !slices.Contains(got["login"], "/nonce") {
		t.Errorf("got %v", got)
	}
}

func TestShapes_OfAnswersAboutOpaqueTokens(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	o := &oracle{status: http.StatusOK, media: "application/json"}
	o.answer = func() string {
		return fmt.Sprintf(`{"active":true,"sub":"alice","exp":%d,"aud":%q,"dept":["R&D"]}`, c.Now().Add(time.Hour).Unix(), audience)
	}
	spec := jwtSpec("acme", idp)
	spec.Introspection = &upstreams.Introspection{Endpoint: newServer(t, o) + "/introspect", ClientID: "broker", ClientSecret: "s"}
	spec.CredentialHosts = []string{"127.0.0.1"}
	b, shapes := watchedBench(t, c, spec)
	in, ok := b.set.Introspector("acme")
	if !ok {
		t.Fatal("no introspector")
	}
	for i := range 2 {
		if _, err := in.Introspect(t.Context(), fmt.Sprintf("opaque-%d", i), exchange); err != nil {
			t.Fatal(err)
		}
		settle(t, shapes)
	}
	if got := looked(t, shapes)["introspection"]; !slices.Equal(got, []string{"/active", "/aud", "/dept", "/exp", "/sub"}) {
		t.Errorf("got %q", got)
	}
}
