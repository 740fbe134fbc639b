package upstreams_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/shape"
	"fedbroker/upstreams/upstreamtest"
)

// BenchmarkVerify is parsing, selection and verification of a CI job's token with keys at hand; BenchmarkVerifyWatched is the same with a sentinel that
// watches the claims' shape, BenchmarkBareVerify is its signature alone.
func BenchmarkVerify(b *testing.B) { benchmarkVerify(b, nil) }

func BenchmarkVerifyWatched(b *testing.B) {
	silent := func(string, error) {}
	shapes := shape.New(shape.Options{Now: time.Now, Count: func(string, shape.Kind) {}, Tell: func(shape.Change) {}, Fail: silent})
	ctx, cancel := context.WithCancel(b.Context())
	var g sync.WaitGroup
	g.Go(func() { _ = shapes.Run(ctx) })
	benchmarkVerify(b, shapes)
	cancel()
	g.Wait()
}

func benchmarkVerify(b *testing.B, shapes *shape.Sentinel) {
	b.Helper()
	c := newClock()
	idp := upstreamtest.Must(upstreamtest.Options{Now: c.Now})
	defer idp.Close()
	cache := keys.New(keys.Options{Now: c.Now})
	defer cache.Close()
	set := upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{jwtSpec("acme", idp)}, OurIssuer: ourIssuer, Keys: cache, Shapes: shapes, Now: c.Now},
		func(path, format string, args ...any) { b.Errorf("%s: %s", path, fmt.Sprintf(format, args...)) })
	raw := idp.Sign(idp.GitHubClaims(audience, "org", "app", "refs/heads/main"))
	want := upstreams.Want{Purpose: upstreams.PurposeExchange, Claims: jose.NewSelection("repository_owner_id", "ref")}
	b.ReportAllocs()
	for b.Loop() {
		token, err := jose.Parse(raw)
		if err != nil {
			b.Fatal(err)
		}
		upstream, ok := set.Select(token.UnverifiedIssuer(), token.UnverifiedAudience())
		if !ok {
			b.Fatal("not selected")
		}
		if _, err := upstream.Verify(context.Background(), token, want); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareVerify(b *testing.B) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("token"))
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest[:], signature) {
			b.Fatal("not verified")
		}
	}
}
