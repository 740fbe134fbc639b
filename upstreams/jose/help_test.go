package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"fedbroker/upstreams/jose"
)

const issuer = "https://idp.example"

// signers are one private key per type, made once for all tests: RSA keys take long.
type signers struct {
	rsa   *rsa.PrivateKey
	p256  *ecdsa.PrivateKey
	p384  *ecdsa.PrivateKey
	p521  *ecdsa.PrivateKey
	ed    ed25519.PrivateKey
	other *ecdsa.PrivateKey // P-256, too
}

var testKeys = sync.OnceValue(func() signers {
	var s signers
	s.rsa = must(rsa.GenerateKey(rand.Reader, 2048))
	s.p256 = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	s.p384 = must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
	s.p521 = must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))
	s.other = must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	_, s.ed, _ = ed25519.GenerateKey(rand.Reader)
	return s
})

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// compact signs header and payload texts exactly as they are.
func compact(header, payload string, alg string, key crypto.Signer) string {
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	return input + "." + b64(sign(input, alg, key))
}

func sign(input, alg string, key crypto.Signer) []byte {
	hash := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[len(alg)-3:]]
	digest := []byte(input)
	if hash != 0 {
		h := hash.New()
		h.Write(digest)
		digest = h.Sum(nil)
	}
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, k, digest)
		must(0, err)
		size := (k.Curve.Params().BitSize + 7) / 8
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	case *rsa.PrivateKey:
		if strings.HasPrefix(alg, "PS") {
			return must(k.Sign(rand.Reader, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: hash}))
		}
		return must(k.Sign(rand.Reader, digest, hash))
	default:
		return must(key.Sign(rand.Reader, digest, hash))
	}
}

// es256 is a well-made token with these claims.
func es256(payload string) string {
	return compact(`{"alg":"ES256","kid":"k1"}`, payload, "ES256", testKeys().p256)
}

func key(t *testing.T, id, alg string, public crypto.PublicKey) jose.Key {
	t.Helper()
	k, err := jose.NewKey(id, alg, public)
	if err != nil {
		t.Fatalf("key %s: %v", id, err)
	}
	return k
}

func goodKeys(t *testing.T) []jose.Key {
	return []jose.Key{key(t, "k1", "", testKeys().p256.Public())}
}

func parse(t *testing.T, raw string) jose.Unverified {
	t.Helper()
	u, err := jose.Parse(raw)
	if err != nil {
		t.Fatalf("parse: %v", err)
	}
	return u
}

// verified parses and verifies a token signed by es256.
func verified(t *testing.T, raw string) jose.Verified {
	t.Helper()
	v, err := parse(t, raw).Verify(goodKeys(t), jose.DefaultAlgorithms())
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return v
}

func claims(t *testing.T, payload string, want *jose.Selection) jose.Claims {
	t.Helper()
	c, err := verified(t, es256(payload)).Claims(want)
	if err != nil {
		t.Fatalf("claims: %v", err)
	}
	return c
}

func jsonText(v any) string { return string(must(json.Marshal(v))) }
