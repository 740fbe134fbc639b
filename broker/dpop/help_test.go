package dpop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/broker/oauth"
)

const (
	endpoint = "https://login.example.com/token"
	token    = "an.access.token"
	leeway   = 30 * time.Second
)

// begun is when the checkers of these tests begin; noon, when they are asked, is far enough from it.
var (
	begun = time.Date(2026, 7, 1, 11, 0, 0, 0, time.UTC)
	noon  = begun.Add(time.Hour)
)

func newChecker(t testing.TB, change ...func(*Options)) *Checker {
	t.Helper()
	o := Options{Leeway: leeway, Now: func() time.Time { return begun }, Key: []byte(strings.Repeat("k", keySize))}
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func want() Want { return Want{Method: "POST", URL: endpoint, Now: noon} }

// prover is who holds a key.
type prover struct {
	t   testing.TB
	key *ecdsa.PrivateKey
}

func newProver(t testing.TB) prover {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return prover{t, key}
}

func (p prover) jwk() map[string]any {
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		p.t.Fatal(err)
	}
	return map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
}

func (p prover) thumbprint() string {
	sum, err := (&gojose.JSONWebKey{Key: p.key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		p.t.Fatal(err)
	}
	return b64(sum)
}

type members = map[string]any

// proof makes a good proof at noon, but for what is changed: a nil value takes a member away.
func (p prover) proof(header, claims members) string {
	h := members{"typ": "dpop+jwt", "alg": "ES256", "jwk": p.jwk()}
	c := members{"jti": rand.Text(), "htm": "POST", "htu": endpoint, "iat": noon.Unix()}
	return p.sign(text(p.t, changed(h, header)), text(p.t, changed(c, claims)))
}

// sign signs any header and payload by ES256.
func (p prover) sign(header, payload string) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, sum[:])
	if err != nil {
		p.t.Fatal(err)
	}
	var signature [64]byte
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return input + "." + b64(signature[:])
}

func changed(m, by members) members {
	maps.Copy(m, by)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return m
}

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// code is the error's, "" for none.
func code(err error) oauth.Code {
	if err == nil {
		return ""
	}
	return oauth.AsError(err).Code
}
