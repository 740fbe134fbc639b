package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"fedbroker/upstreams/jose"
)

func all(t *testing.T) jose.Algorithms {
	a, err := jose.ParseAlgorithms([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestP14_EveryAlgorithmVerifiesItsOwnSignatureOnly(t *testing.T) {
	s := testKeys()
	signersOf := map[string]crypto.Signer{"RS256": s.rsa, "RS384": s.rsa, "RS512": s.rsa, "PS256": s.rsa, "PS384": s.rsa, "PS512": s.rsa,
		"ES256": s.p256, "ES384": s.p384, "ES512": s.p521, "EdDSA": s.ed, "Ed25519": s.ed}
	var keys []jose.Key
	for _, k := range []crypto.Signer{s.rsa, s.p256, s.p384, s.p521, s.ed} {
		keys = append(keys, key(t, "k1", "", k.Public()))
	}
	for made, signer := range signersOf {
		for claimed := range signersOf {
			if made == claimed || strings.HasPrefix(made, "Ed") && strings.HasPrefix(claimed, "Ed") { // EdDSA and Ed25519 are one
				continue
			}
			raw := compact(`{"alg":"`+claimed+`","kid":"k1"}`, goodPayload, made, signer)
			if _, err := parse(t, raw).Verify(keys, all(t)); !errors.Is(err, jose.ErrSignature) {
				t.Errorf("%s passed as %s: %v", made, claimed, err)
			}
		}
		raw := compact(`{"alg":"`+made+`","kid":"k1"}`, goodPayload, made, signer)
		if _, err := parse(t, raw).Verify(keys, all(t)); err != nil {
			t.Errorf("%s: %v", made, err)
		}
	}
}

func TestP14_AnyChangeBreaksTheSignature(t *testing.T) {
	good := es256(goodPayload)
	verified(t, good)
	for i := range len(good) {
		if good[i] == '.' {
			continue
		}
		changed := good[:i] + string('A'+(good[i]-'A'+1)%26) + good[i+1:]
		if changed == good {
			continue
		}
		u, err := jose.Parse(changed)
		if err == nil {
			_, err = u.Verify(goodKeys(t), jose.DefaultAlgorithms())
		}
		if err == nil {
			t.Fatalf("byte %d changed and still good", i)
		}
	}
}

func TestP14_AlgFromTheUpstreamsList(t *testing.T) {
	only, err := jose.ParseAlgorithms([]string{"RS256"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse(t, es256(goodPayload)).Verify(goodKeys(t), only); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("got %v, want ErrAlgorithm", err)
	}
	if _, err := parse(t, es256(goodPayload)).Verify(goodKeys(t), jose.Algorithms{}); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("empty list: got %v, want ErrAlgorithm", err)
	}
	if got, want := jose.DefaultAlgorithms().Names(), []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}; !slices.Equal(got, want) {
		t.Errorf("default is %v, want %v", got, want)
	}
}

func TestP14_NoneAndHMACNeverVerify(t *testing.T) {
	for _, name := range []string{"none", "None", "NONE", "", "HS256", "HS384", "HS512", "es256", "ES256K", "RSA-OAEP", "RS1", "ES256 "} {
		if _, err := jose.ParseAlgorithms([]string{name}); err == nil {
			t.Errorf("%q can be configured", name)
		}
	}
	for _, alg := range []string{"none", "nOnE", "HS256", "es256"} {
		for _, tail := range []string{"", "AAAA"} {
			raw := b64([]byte(`{"alg":"`+alg+`"}`)) + "." + b64([]byte(goodPayload)) + "." + tail
			if _, err := parse(t, raw).Verify(goodKeys(t), all(t)); !errors.Is(err, jose.ErrAlgorithm) {
				t.Errorf("%s: got %v, want ErrAlgorithm", alg, err)
			}
		}
	}
	if _, err := parse(t, strings.TrimRight(parts(goodHeader, goodPayload), "A")).Verify(goodKeys(t), all(t)); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("no signature: got %v", err)
	}
}

func TestP14_PSSSaltIsAsLongAsTheHash(t *testing.T) {
	keys := []jose.Key{key(t, "k1", "", testKeys().rsa.Public())}
	input := b64([]byte(`{"alg":"PS256","kid":"k1"}`)) + "." + b64([]byte(goodPayload))
	digest := sha256.Sum256([]byte(input))
	for salt, want := range map[int]error{32: nil, 20: jose.ErrSignature, 64: jose.ErrSignature} {
		sig, err := testKeys().rsa.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: salt, Hash: crypto.SHA256})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(t, input+"."+b64(sig)).Verify(keys, all(t)); !errors.Is(err, want) {
			t.Errorf("salt of %d bytes: got %v, want %v", salt, err, want)
		}
	}
}

func TestP14_HS256OverThePublicKeyRefused(t *testing.T) {
	der, err := x509.MarshalPKIXPublicKey(testKeys().rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	keys := []jose.Key{key(t, "k1", "", testKeys().rsa.Public())}
	for _, secret := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), testKeys().rsa.N.Bytes()} {
		input := b64([]byte(`{"alg":"HS256","kid":"k1"}`)) + "." + b64([]byte(goodPayload))
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(input))
		if _, err := parse(t, input+"."+b64(mac.Sum(nil))).Verify(keys, all(t)); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("got %v, want ErrAlgorithm", err)
		}
	}
}

func TestP14_KeysInTheHeaderAreIgnored(t *testing.T) {
	own, err := key(t, "k1", "ES256", testKeys().other.Public()).AppendJWK(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, member := range []string{`"jwk":` + string(own), `"jku":"https://evil.example/jwks"`, `"x5u":"https://evil.example/c"`, `"x5c":["MIIB"]`} {
		header := `{"alg":"ES256","kid":"k1",` + member + `}`
		if _, err := parse(t, compact(header, goodPayload, "ES256", testKeys().p256)).Verify(goodKeys(t), all(t)); err != nil {
			t.Errorf("%s beside a good signature: %v", member[:6], err)
		}
		if _, err := parse(t, compact(header, goodPayload, "ES256", testKeys().other)).Verify(goodKeys(t), all(t)); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s brings its own key: got %v, want ErrSignature", member[:6], err)
		}
		header = `{"alg":"ES256",` + member + `}`
		if _, err := parse(t, compact(header, goodPayload, "ES256", testKeys().other)).Verify(goodKeys(t), all(t)); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s without kid: got %v, want ErrSignature", member[:6], err)
		}
	}
}

func TestP14_AlgMatchesTheKeysTypeAndOwnAlg(t *testing.T) {
	s := testKeys()
	rs, es := compact(`{"alg":"RS256","kid":"k1"}`, goodPayload, "RS256", s.rsa), es256(goodPayload)
	for name, tc := range map[string]struct {
		raw string
		key jose.Key
	}{
		"ES256 token, RSA key":        {es, key(t, "k1", "", s.rsa.Public())},
		"RS256 token, EC key":         {rs, key(t, "k1", "", s.p256.Public())},
		"ES256 token, P-384 key":      {es, key(t, "k1", "", s.p384.Public())},
		"ES256 token, Ed25519 key":    {es, key(t, "k1", "", s.ed.Public())},
		"RS256 token, PS256 only key": {rs, key(t, "k1", "PS256", s.rsa.Public())},
		"unvetted kind of key":        {es, jose.Key{ID: "k1", Public: s.p256}},
		"no key material":             {es, jose.Key{ID: "k1"}},
		"another kid":                 {es, key(t, "k2", "", s.p256.Public())},
		"a key without kid":           {es, key(t, "", "", s.p256.Public())},
	} {
		if _, err := parse(t, tc.raw).Verify([]jose.Key{tc.key}, all(t)); !errors.Is(err, jose.ErrNoKey) {
			t.Errorf("%s: got %v, want ErrNoKey", name, err)
		}
	}
}

func TestP10_JWKIssuerMatchesTheTokens(t *testing.T) {
	k := key(t, "k1", "", testKeys().p256.Public())
	raw := es256(goodPayload)
	for iss, want := range map[string]error{"": nil, issuer: nil, issuer + "/": jose.ErrNoKey, "https://other.example": jose.ErrNoKey} {
		k.Issuer = iss
		if _, err := parse(t, raw).Verify([]jose.Key{k}, all(t)); !errors.Is(err, want) {
			t.Errorf("issuer %q: got %v, want %v", iss, err, want)
		}
	}
}

func TestP14_ECDSASignatureIsFixedLength(t *testing.T) {
	raw := es256(goodPayload)
	input := raw[:strings.LastIndex(raw, ".")]
	digest := sha256.Sum256([]byte(input))
	der, err := testKeys().p256.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	fixed := sign(input, "ES256", testKeys().p256)
	for name, sig := range map[string][]byte{
		"ASN.1": der, "zero": make([]byte, 64), "empty": nil, "short": fixed[:63], "long": append(slices.Clone(fixed), 0),
		"padded halves":  slices.Concat([]byte{0}, fixed[:32], []byte{0}, fixed[32:]),
		"r of the order": slices.Concat(testKeys().p256.Params().N.Bytes(), fixed[32:]),
		"r plus order":   overflowing(fixed),
	} {
		if _, err := parse(t, input+"."+b64(sig)).Verify(goodKeys(t), all(t)); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("%s: got %v, want ErrSignature", name, err)
		}
	}
}

// overflowing adds the group's order to r, in 65 bytes if need be.
func overflowing(sig []byte) []byte {
	r := new(big.Int).SetBytes(sig[:32])
	return append(r.Add(r, testKeys().p256.Params().N).Bytes(), sig[32:]...)
}

func TestP14_AtMostFourFittingKeysAreTried(t *testing.T) {
	good, bad := testKeys().p256.Public(), testKeys().other.Public()
	for _, kid := range []string{"", "k1"} {
		header := `{"alg":"ES256"}`
		if kid != "" {
			header = `{"alg":"ES256","kid":"k1"}`
		}
		raw := compact(header, goodPayload, "ES256", testKeys().p256)
		var keys []jose.Key
		for range 20 { // these do not fit and do not count
			keys = append(keys, key(t, "k1", "", testKeys().p384.Public()))
		}
		for range 3 {
			keys = append(keys, key(t, "k1", "", bad))
		}
		if _, err := parse(t, raw).Verify(append(keys, key(t, "k1", "", good)), all(t)); err != nil {
			t.Errorf("kid %q: the fourth: %v", kid, err)
		}
		keys = append(keys, key(t, "k1", "", bad))
		if _, err := parse(t, raw).Verify(append(keys, key(t, "k1", "", good)), all(t)); !errors.Is(err, jose.ErrSignature) {
			t.Errorf("kid %q: the fifth: got %v, want ErrSignature", kid, err)
		}
	}
}

func TestVerifiedSaysWhichKey(t *testing.T) {
	v := verified(t, es256(goodPayload))
	if v.Key().ID != "k1" || v.Token().UnverifiedIssuer() != issuer {
		t.Errorf("got key %q", v.Key().ID)
	}
	if pub, ok := v.Key().Public.(*ecdsa.PublicKey); !ok || !pub.Equal(testKeys().p256.Public()) {
		t.Error("not the key that signed")
	}
}
