package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/broker/oauth"
)

func TestNew_RefusesWhatIsMissing(t *testing.T) {
	key := make([]byte, keySize)
	for name, o := range map[string]Options{
		"no key":                {},
		"a short key":           {Key: key[1:]},
		"a leeway below zero":   {Key: key, Leeway: -time.Second},
		"a capacity below zero": {Key: key, Capacity: -1},
		"a symmetric algorithm": {Key: key, Algorithms: []string{"HS256"}},
		"none":                  {Key: key, Algorithms: []string{"none"}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := New(Options{Key: key}); err != nil {
		t.Error(err)
	}
}

// by signs with another library, as clients do.
func by(t *testing.T, alg string, key crypto.Signer) string {
	t.Helper()
	o := (&gojose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt")
	signer, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.SignatureAlgorithm(alg), Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign([]byte(text(t, members{"jti": rand.Text(), "htm": "POST", "htu": endpoint, "iat": noon.Unix()})))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func ec(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func rsaKey(t *testing.T, bits int) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestRFC9449_AlgorithmsThatAreAdvertisedHold(t *testing.T) {
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsa2048 := rsaKey(t, 2048)
	keys := map[string]crypto.Signer{"ES256": ec(t, elliptic.P256()), "ES384": ec(t, elliptic.P384()), "RS256": rsa2048, "PS256": rsa2048, "EdDSA": edwards}
	for _, alg := range Algorithms() {
		if alg == "Ed25519" { // the same signature by its other name (RFC 9864 §2.2), which go-jose does not know
			continue
		}
		proof := by(t, alg, keys[alg])
		sum, err := (&gojose.JSONWebKey{Key: keys[alg].Public()}).Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		got, err := newChecker(t).Check([]string{proof}, want())
		if err != nil || got.Key != b64(sum) {
			t.Errorf("%s: %v, %v", alg, got, err)
		}
		others := slices.DeleteFunc(Algorithms(), func(a string) bool { return a == alg })
		if _, err := newChecker(t, func(o *Options) { o.Algorithms = others }).Check([]string{proof}, want()); code(err) != oauth.CodeInvalidDPoPProof {
			t.Errorf("%s, not accepted: %v", alg, err)
		}
	}
}

func TestRFC9449_WeakKeysAreNone(t *testing.T) {
	t.Setenv("GODEBUG", "rsa1024min=0")
	if _, err := newChecker(t).Check([]string{by(t, "RS256", rsaKey(t, 1024))}, want()); code(err) != oauth.CodeInvalidDPoPProof {
		t.Errorf("RSA with 1024 bits: %v", err)
	}
	if _, err := newChecker(t).Check([]string{by(t, "ES512", ec(t, elliptic.P521()))}, want()); code(err) != oauth.CodeInvalidDPoPProof {
		t.Errorf("an algorithm that is not advertised: %v", err)
	}
}

// RFC 9449 §4.3 and RFC 7638 §3.1: the examples of the specifications themselves.
func TestRFC9449_ExampleOfTheSpecification(t *testing.T) {
	const (
		proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09r" +
			"X282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ" +
			".2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
		key = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	)
	at := time.Unix(1562262616, 0)
	c := newChecker(t, func(o *Options) { o.Now = func() time.Time { return at.Add(-time.Hour) } })
	got, err := c.Check([]string{proof}, Want{Method: "POST", URL: "https://server.example.com/token", Now: at})
	if err != nil || got.Key != key {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRFC9449_TokenHashOfTheSpecification(t *testing.T) { // §7.1
	const token, hash = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU", "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
	if got := TokenHash(token); got != hash {
		t.Errorf("got %s, want %s", got, hash)
	}
}

func TestRFC9449_Thumbprints(t *testing.T) { // §6.1, §10
	good := TokenHash("x")
	for text, want := range map[string]bool{good: true, "": false, good[1:]: false, good + "A": false, good + "=": false, good[:42] + "\n": false, good[:42] + "B": false, "+" + good[1:]: false} {
		if got := ValidThumbprint(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestCheck_ErrorsTellNothingOfTheProof(t *testing.T) {
	const hush = "hush"
	p := newProver(t)
	for _, proof := range []string{
		hush, p.proof(members{"typ": hush}, nil), p.proof(members{"alg": hush}, nil), p.proof(members{"jwk": hush}, nil), p.proof(nil, members{"htm": hush}),
		p.proof(nil, members{"htu": hush}), p.proof(nil, members{"htu": "https://" + hush + ":x/"}), p.proof(nil, members{"nonce": hush}), p.proof(nil, members{"ath": hush}), p.proof(nil, members{"iat": hush}),
	} {
		_, err := newChecker(t).Check([]string{proof}, want())
		if err == nil || strings.Contains(err.Error(), hush) {
			t.Errorf("%v", err)
		}
	}
}

func TestCheck_AnEndpointWithoutAddressIsOurFault(t *testing.T) {
	w := want()
	w.URL = "/token"
	if _, err := newChecker(t).Check([]string{newProver(t).proof(nil, nil)}, w); code(err) != oauth.CodeServerError {
		t.Error(err)
	}
}

func TestMissing(t *testing.T) {
	var e *oauth.Error
	if err := error(Missing()); !errors.As(err, &e) || e.Code != oauth.CodeInvalidDPoPProof || e.Reason != oauth.ReasonProof {
		t.Error(err)
	}
}

// What a proof costs beside a token request: one ES256 verification, and the rest.
func BenchmarkCheck(b *testing.B) {
	c, p := newChecker(b, func(o *Options) { o.Capacity = b.N }), newProver(b)
	proofs := make([]string, b.N)
	for i := range proofs {
		proofs[i] = p.proof(nil, nil)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, proof := range proofs {
		if _, err := c.Check([]string{proof}, want()); err != nil {
			b.Fatal(err)
		}
	}
}

// Who brings none pays nothing.
func BenchmarkCheck_NoProof(b *testing.B) {
	c := newChecker(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Check(nil, want()); err != nil {
			b.Fatal(err)
		}
	}
}
