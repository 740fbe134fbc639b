package upstreams_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/upstreamtest"
	"fedbroker/upstreams/upstreamtest/trouble"
)

const (
	troubleStale = time.Hour
	soon         = 800 * time.Millisecond // a caller's own deadline: who waits longer hangs
)

// troubled is an upstream whose provider is spoiled, beside one that is well.
type troubled struct {
	*bench
	idp, well *upstreamtest.IdP
	front     *trouble.Front
}

// newTroubled starts both; the spoiled one's keys come through the front.
func newTroubled(t *testing.T, kind trouble.TLS) *troubled {
	t.Helper()
	c := &clock{now: time.Now()} // TLS has a clock of its own
	idp, well := newIdP(t, c, upstreamtest.Options{Name: "ill"}), newIdP(t, c, upstreamtest.Options{Name: "well"})
	front, err := trouble.New(idp, kind)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(front.Close)
	stale := troubleStale
	spec := jwtSpec("ill", idp)
	spec.MaxStale = &stale
	if kind != trouble.Plain {
		spec.CAFile = filepath.Join(t.TempDir(), "ca.pem")
		pem := front.CertPEM()
		if len(pem) == 0 {
			pem = newIdP(t, c, upstreamtest.Options{TLS: true}).CertPEM()
		}
		if err := os.WriteFile(spec.CAFile, pem, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &troubled{bench: newBench(t, c, spec, jwtSpec("well", well)), idp: idp, well: well, front: front}
}

// within verifies under a deadline of the caller's, and fails where it is not kept.
func (b *troubled) within(raw string) error {
	b.Helper()
	token, err := jose.Parse(raw)
	if err != nil {
		b.Fatal(err)
	}
	upstream, _ := b.set.ByName("ill")
	ctx, cancel := context.WithTimeout(b.Context(), soon)
	defer cancel()
	began := time.Now()
	_, err = upstream.Verify(ctx, token, exchange)
	if took := time.Since(began); took > 3*soon {
		b.Errorf("a caller with a deadline of %v waited %v", soon, took)
	}
	return err
}

// by is a token of the ill provider under that key.
func (b *troubled) by(kid string) string {
	return b.idp.Sign(b.idp.Claims("x", audience), upstreamtest.KeyID(kid))
}

func (b *troubled) others() {
	b.Helper()
	b.accepts("well", b.well.Sign(b.well.Claims("x", audience)), exchange)
}

// troubles are what a provider can do after it was well. Each returns what ends it.
var troubles = map[string]func(*troubled) (end func()){
	"slow":                           func(b *troubled) func() { return b.idp.Slow() },
	"stops after the first byte":     (*troubled).drips,
	"huge":                           knob((*upstreamtest.IdP).Huge),
	"truncated":                      knob((*upstreamtest.IdP).Truncate),
	"500s":                           knob((*upstreamtest.IdP).Down),
	"hangs up":                       knob((*upstreamtest.IdP).Refuse),
	"an empty set":                   knob((*upstreamtest.IdP).EmptySet),
	"redirects to a private address": text((*upstreamtest.IdP).Redirect, "http://10.0.0.1/jwks"),
	"redirects to cloud metadata":    text((*upstreamtest.IdP).Redirect, "http://169.254.169.254/latest/meta-data"),
	"keys at a private address":      text((*upstreamtest.IdP).MoveJWKS, "https://10.0.0.1/jwks"),
	"another content type":           text((*upstreamtest.IdP).WrongContentType, "text/html"),
}

func knob(set func(*upstreamtest.IdP, bool)) func(*troubled) func() {
	return func(b *troubled) func() { set(b.idp, true); return func() { set(b.idp, false) } }
}

func text(set func(*upstreamtest.IdP, string), value string) func(*troubled) func() {
	return func(b *troubled) func() { set(b.idp, value); return func() { set(b.idp, "") } }
}

// drips leads the provider's keys through the front, where each answer stops.
func (b *troubled) drips() (end func()) {
	b.front.Drip(true)
	b.idp.MoveJWKS(b.front.URL() + "/jwks")
	return func() { b.front.Drip(false); b.idp.MoveJWKS("") }
}

// refetch lets enough time pass for a fetch, and makes an unknown kid ask for one.
func (b *troubled) refetch() error {
	b.Helper()
	b.clock.Add(between)
	return b.within(b.idp.Sign(b.idp.Claims("x", audience), upstreamtest.Header("kid", "unknown")))
}

func TestP44_TroubleOfOneUpstream(t *testing.T) {
	for name, begin := range troubles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTroubled(t, trouble.Plain)
			known := b.idp.KeyIDs()[0]
			b.accepts("ill", b.by(known), exchange)
			b.others()
			end := begin(b)
			if err := b.refetch(); !errors.Is(err, upstreams.ErrUnavailable) {
				t.Errorf("want that nobody can tell of an unknown key, got %v", err)
			}
			if err := b.within(b.by(known)); err != nil {
				t.Errorf("a known key within max_stale: %v", err)
			}
			b.others()
			b.clock.Add(troubleStale)
			if err := b.within(b.by(known)); !errors.Is(err, upstreams.ErrUnavailable) {
				t.Errorf("a known key after max_stale: want unavailable, got %v", err)
			}
			b.others()
			end()
			b.idp.Rotate()
			b.idp.Withdraw(known)
			b.recovers(known)
			b.others()
		})
	}
}

// recovers wants the newest key to pass once the provider can be asked again, and the withdrawn one no more.
func (b *troubled) recovers(withdrawn string) {
	b.Helper()
	const attempts = 20 // a fetch that hangs has its own end; here the clock is moved instead
	ids := b.idp.KeyIDs()
	fresh := ids[len(ids)-1]
	var err error
	for range attempts {
		b.clock.Add(between)
		if err = b.within(b.by(fresh)); err == nil {
			break
		}
	}
	if err != nil {
		b.Fatalf("the newest key after the trouble: %v", err)
	}
	if err := b.within(b.by(withdrawn)); err == nil {
		b.Error("a withdrawn key passes after a refresh")
	}
}

func TestP44_AnotherIssuersDiscoveryChangesNothing(t *testing.T) {
	b := newTroubled(t, trouble.Plain)
	known := b.idp.KeyIDs()[0]
	b.accepts("ill", b.by(known), exchange)
	b.idp.WrongIssuer("https://evil.example")
	b.idp.MoveJWKS(b.front.URL() + "/jwks")
	if err := b.refetch(); err == nil {
		t.Error("an unknown key passes")
	}
	b.accepts("ill", b.by(known), exchange)
	if n := b.front.Requests(); n != 0 {
		t.Errorf("the keys of another issuer's document were fetched %d times", n)
	}
	b.others()
}

// A provider that replaces its keys all the time costs itself what it costs, and nobody else anything; its fetches stay within their budget.
func TestP44_KeysThatRotateAtEachRequest(t *testing.T) {
	b := newTroubled(t, trouble.Plain)
	b.front.RotateEvery(1)
	b.idp.MoveJWKS(b.front.URL() + "/jwks")
	b.accepts("ill", b.by(b.idp.KeyIDs()[0]), exchange) // the first fetch is not of the budget
	const rounds = 20
	for range rounds {
		old := b.idp.KeyIDs()[0]
		b.clock.Add(between)
		if err := b.within(b.by(old)); err != nil { // the fetch that it caused named it, and replaced it
			t.Fatalf("the key that the last answer named: %v", err)
		}
		before := b.front.Requests()
		for range rounds { // its successor is in no answer yet
			if err := b.within(b.by(b.idp.KeyIDs()[0])); !errors.Is(err, upstreams.ErrUnavailable) {
				t.Fatalf("a key that no answer named: want unavailable, got %v", err)
			}
		}
		if n := b.front.Requests() - before; n != 0 {
			t.Errorf("%d fetches within the minute", n)
		}
		b.clock.Add(between)
		if err := b.within(b.by(b.idp.KeyIDs()[0])); err != nil {
			t.Fatalf("its successor: %v", err)
		}
		if err := b.within(b.by(old)); err == nil {
			t.Fatal("a withdrawn key passes after a refresh")
		}
		b.others()
	}
}

func TestP43_TroubleWithTLS(t *testing.T) {
	for _, kind := range []trouble.TLS{trouble.Expired, trouble.Future, trouble.Cleartext, trouble.HangsUp, trouble.Good} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			b := newTroubled(t, kind)
			known := b.idp.KeyIDs()[0]
			b.idp.MoveJWKS(b.front.URL() + "/jwks")
			err := b.within(b.by(known))
			switch {
			case kind == trouble.Good && err != nil:
				t.Errorf("good TLS: %v", err)
			case kind != trouble.Good && !errors.Is(err, upstreams.ErrUnavailable):
				t.Errorf("want unavailable, got %v", err)
			}
			b.others()
		})
	}
}

// What a provider whose clock is off signs is the token's fault, in either direction, and costs no fetch.
func TestProviderWithItsClockTenMinutesOff(t *testing.T) {
	for name, off := range map[string]time.Duration{"fast": 10 * time.Minute, "slow": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			theirs := &clock{now: c.Now().Add(off)}
			idp, well := newIdP(t, theirs, upstreamtest.Options{}), newIdP(t, c, upstreamtest.Options{})
			b := newBench(t, c, jwtSpec("ill", idp), jwtSpec("well", well))
			b.refuses("ill", idp.Sign(idp.Claims("x", audience)), exchange, upstreams.ReasonTime)
			if d, j := idp.Fetches(); d+j != 0 {
				t.Errorf("%d fetches for a token that no key makes good", d+j)
			}
			b.accepts("well", well.Sign(well.Claims("x", audience)), exchange)
			theirs.Add(-off) // mended
			b.accepts("ill", idp.Sign(idp.Claims("x", audience)), exchange)
		})
	}
}

func TestP44_OddAndDuplicateKeysAfterARotation(t *testing.T) {
	b := newTroubled(t, trouble.Plain)
	known := b.idp.KeyIDs()[0]
	b.accepts("ill", b.by(known), exchange)
	b.idp.OddKeys(true)
	b.idp.DuplicateKids(true)
	fresh := b.idp.Rotate()
	b.clock.Add(between)
	for _, kid := range []string{fresh, known} {
		if err := b.within(b.by(kid)); err != nil {
			t.Errorf("%s among odd keys and namesakes: %v", kid, err)
		}
	}
	b.idp.Rotate()
	b.idp.Withdraw(known)
	b.recovers(known)
	b.others()
}
