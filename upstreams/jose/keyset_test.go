package jose_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/upstreams/jose"
)

// jwkText is a key as a JWK, with members replaced ("name": value as JSON text) or, for an empty value, left out.
func jwkText(t *testing.T, k jose.Key, change ...string) string {
	t.Helper()
	raw, err := k.AppendJWK(nil)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := 0; i < len(change); i += 2 {
		name, value := change[i], change[i+1]
		if start := strings.Index(text, `"`+name+`":"`); start >= 0 {
			end := start + len(name) + 4 + strings.IndexByte(text[start+len(name)+4:], '"') + 1
			text = text[:start] + strings.TrimPrefix(text[end:], ",")
			text = strings.ReplaceAll(text, ",}", "}")
		}
		if value != "" {
			text = text[:len(text)-1] + `,"` + name + `":` + value + "}"
		}
	}
	return text
}

func set(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

func TestP14_UnfitKeysNeverEnterASet(t *testing.T) {
	s := testKeys()
	ec, rsaKey, ed := key(t, "odd", "", s.p256.Public()), key(t, "odd", "", s.rsa.Public()), key(t, "odd", "", s.ed.Public())
	n := func(n *big.Int) string { return `"` + b64(n.Bytes()) + `"` }
	one := big.NewInt(1)
	point := must(s.p256.PublicKey.Bytes())
	small, huge := new(big.Int).Lsh(one, 2046), new(big.Int).Lsh(one, 8192)
	for name, odd := range map[string]string{
		"RSA 2047 bits":            jwkText(t, rsaKey, "n", n(small.Add(small, one))),
		"RSA 8193 bits":            jwkText(t, rsaKey, "n", n(huge.Add(huge, one))),
		"RSA even modulus":         jwkText(t, rsaKey, "n", n(new(big.Int).Sub(s.rsa.N, one))),
		"RSA even exponent":        jwkText(t, rsaKey, "e", `"`+b64([]byte{1, 0, 0})+`"`),
		"RSA exponent 1":           jwkText(t, rsaKey, "e", `"AQ"`),
		"RSA exponent 0":           jwkText(t, rsaKey, "e", `"AA"`),
		"RSA exponent of 33 bits":  jwkText(t, rsaKey, "e", `"`+b64([]byte{1, 0, 0, 0, 1})+`"`),
		"RSA exponent of 32 bits":  jwkText(t, rsaKey, "e", `"`+b64([]byte{255, 0, 0, 1})+`"`),
		"RSA without n":            jwkText(t, rsaKey, "n", ""),
		"RSA without e":            jwkText(t, rsaKey, "e", ""),
		"RSA n padded":             jwkText(t, rsaKey, "n", `"`+b64(s.rsa.N.Bytes())+`="`),
		"RSA alg ES256":            jwkText(t, rsaKey, "alg", `"ES256"`),
		"RSA alg RSA-OAEP":         jwkText(t, rsaKey, "alg", `"RSA-OAEP"`),
		"RSA alg HS256":            jwkText(t, rsaKey, "alg", `"HS256"`),
		"EC alg ES384 on P-256":    jwkText(t, ec, "alg", `"ES384"`),
		"EC wrong curve":           jwkText(t, ec, "crv", `"P-384"`),
		"EC unknown curve":         jwkText(t, ec, "crv", `"secp256k1"`),
		"EC off its curve":         jwkText(t, ec, "y", `"`+b64(make([]byte, 32))+`"`),
		"EC at infinity":           jwkText(t, ec, "x", `"`+b64(make([]byte, 32))+`"`, "y", `"`+b64(make([]byte, 32))+`"`),
		"EC split elsewhere":       jwkText(t, ec, "x", `"`+b64(point[1:34])+`"`, "y", `"`+b64(point[34:])+`"`),
		"EC short coordinate":      jwkText(t, ec, "x", `"`+b64(make([]byte, 31))+`"`),
		"EC long coordinate":       jwkText(t, ec, "x", `"`+b64(make([]byte, 33))+`"`),
		"OKP wrong length":         jwkText(t, ed, "x", `"`+b64(make([]byte, 31))+`"`),
		"OKP X25519":               jwkText(t, ed, "crv", `"X25519"`),
		"use enc":                  jwkText(t, ec, "use", `"enc"`),
		"use unknown":              jwkText(t, ec, "use", `"SIG"`),
		"key_ops without verify":   jwkText(t, ec, "key_ops", `["sign","encrypt"]`),
		"key_ops empty":            jwkText(t, ec, "key_ops", `[]`),
		"key_ops not a list":       jwkText(t, ec, "key_ops", `"verify"`),
		"private d":                jwkText(t, ec, "d", `"AAAA"`),
		"private p":                jwkText(t, rsaKey, "p", `"AAAA"`),
		"symmetric":                `{"kty":"oct","kid":"odd","k":"` + b64(make([]byte, 32)) + `"}`,
		"no kty":                   jwkText(t, ec, "kty", ""),
		"kty in lower case":        jwkText(t, ec, "kty", `"ec"`),
		"members in upper case":    strings.ToUpper(jwkText(t, ec)),
		"kid not a string":         jwkText(t, ec, "kid", `7`),
		"issuer not a string":      jwkText(t, ec, "issuer", `[]`),
		"repeated member":          strings.Replace(jwkText(t, ec), `{`, `{"kty":"EC",`, 1),
		"repeated member, unread":  strings.Replace(jwkText(t, ec), `{`, `{"z":{"a":1,"a":2},`, 1),
		"bad UTF-8":                strings.Replace(jwkText(t, ec), `{`, "{\"z\":\"\xff\",", 1),
		"no object":                `7`,
		"null":                     `null`,
		"a list":                   `[]`,
		"newline inside base64url": jwkText(t, ed, "x", `"`+b64(s.ed[32:])[:20]+`\n`+b64(s.ed[32:])[20:]+`"`),
		"trailing bits set (x)":    jwkText(t, ed, "x", `"`+b64(s.ed[32:])[:42]+string(b64(s.ed[32:])[42]+1)+`"`),
	} {
		t.Run(name, func(t *testing.T) {
			keys, skipped, err := jose.ParseKeySet(set(odd, jwkText(t, key(t, "k1", "", s.p384.Public()))))
			if err != nil || len(keys) != 1 || keys[0].ID != "k1" || len(skipped) != 1 {
				t.Fatalf("got %d keys, %v, %v", len(keys), skipped, err)
			}
			if _, skipped, err := jose.ParseKeySet(set(odd)); !errors.Is(err, jose.ErrKeySet) || len(skipped) != 1 {
				t.Errorf("alone: got %v, want ErrKeySet", err)
			}
		})
	}
}

func TestP44_OneOddKeySpoilsNoneOfTheOthers(t *testing.T) {
	s := testKeys()
	keys, skipped, err := jose.ParseKeySet(set(
		jwkText(t, key(t, "a", "RS256", s.rsa.Public())), `{"kty":"NEW"}`, jwkText(t, key(t, "b", "", s.p256.Public())), `null`, `{"a":1,"a":1}`,
		jwkText(t, key(t, "c", "ES384", s.p384.Public()), "use", "", "key_ops", `["verify"]`), jwkText(t, key(t, "d", "EdDSA", s.ed.Public()), "x5c", `["MII"]`)))
	if err != nil || len(keys) != 4 || len(skipped) != 3 {
		t.Fatalf("got %d keys, %v, %v", len(keys), skipped, err)
	}
	for i, id := range []string{"a", "b", "c", "d"} {
		if keys[i].ID != id {
			t.Errorf("key %d is %q", i, keys[i].ID)
		}
	}
}

func TestP44_ASetWithoutUsableKeyIsAnError(t *testing.T) {
	good := jwkText(t, key(t, "k1", "", testKeys().p256.Public()))
	for name, data := range map[string][]byte{
		"empty": nil, "no JSON": []byte("<html>"), "null": []byte("null"), "list": []byte("[" + good + "]"), "bare key": []byte(good),
		"no keys": []byte(`{}`), "Keys": []byte(`{"Keys":[` + good + `]}`), "empty list": set(), "not a list": []byte(`{"keys":` + good + `}`),
		"keys null": []byte(`{"keys":null}`), "keys twice": []byte(`{"keys":[` + good + `],"keys":[` + good + `]}`),
		"cut off": []byte(`{"keys":[` + good), "two documents": append(set(good), set(good)...),
		"too long": append(set(good), []byte(strings.Repeat(" ", jose.MaxKeySet))...),
		"too deep": []byte(`{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `,"keys":[` + good + `]}`),
	} {
		if keys, _, err := jose.ParseKeySet(data); !errors.Is(err, jose.ErrKeySet) || keys != nil {
			t.Errorf("%s: got %v, want ErrKeySet", name, err)
		}
	}
}

func TestP44_KeysOfOneKidAreAllKept(t *testing.T) {
	s := testKeys()
	keys, _, err := jose.ParseKeySet(set(jwkText(t, key(t, "k1", "", s.other.Public())), jwkText(t, key(t, "k1", "", s.p256.Public()))))
	if err != nil || len(keys) != 2 {
		t.Fatalf("got %d keys, %v", len(keys), err)
	}
	if _, err := parse(t, es256(goodPayload)).Verify(keys, jose.DefaultAlgorithms()); err != nil {
		t.Errorf("second of its kid: %v", err)
	}
}

func TestP44_NumberOfKeysIsBounded(t *testing.T) {
	ed := key(t, "", "", testKeys().ed.Public())
	var many []string
	for i := range 300 {
		many = append(many, jwkText(t, ed, "kid", fmt.Sprintf(`"k%d"`, i)))
	}
	keys, skipped, err := jose.ParseKeySet(set(many...))
	if err != nil || len(keys) != 256 || len(skipped) != 1 {
		t.Errorf("got %d keys, %d skipped, %v", len(keys), len(skipped), err)
	}
}

func TestJWKIsReadByOthersAndByUs(t *testing.T) {
	s := testKeys()
	for _, public := range []any{s.rsa.Public(), s.p256.Public(), s.p384.Public(), s.p521.Public(), s.ed.Public()} {
		k := key(t, `k"1`, "", public)
		k.Issuer = issuer
		raw, err := k.AppendJWK([]byte("prefix"))
		if err != nil {
			t.Fatal(err)
		}
		raw = raw[len("prefix"):]
		var theirs gojose.JSONWebKey
		if err := theirs.UnmarshalJSON(raw); err != nil || !theirs.Valid() || theirs.KeyID != k.ID {
			t.Errorf("%T: %v", public, err)
		}
		if !theirs.Key.(interface{ Equal(crypto.PublicKey) bool }).Equal(public) {
			t.Errorf("%T: another key", public)
		}
		back, skipped, err := jose.ParseKeySet(set(string(raw)))
		if err != nil || len(back) != 1 || back[0].ID != k.ID || back[0].Issuer != issuer {
			t.Fatalf("%T: %v, %v", public, err, skipped)
		}
		again, err := back[0].AppendJWK(nil)
		if err != nil || string(again) != string(raw) {
			t.Errorf("%T: got %s, want %s", public, again, raw)
		}
	}
}

func TestNewKeyVets(t *testing.T) {
	weak := must(rsa.GenerateKey(rand.Reader, 1024))
	p224 := must(ecdsa.GenerateKey(elliptic.P224(), rand.Reader))
	for name, public := range map[string]any{"weak RSA": weak.Public(), "P-224": p224.Public(), "private": testKeys().p256, "nil": nil, "secret": []byte("x")} {
		if _, err := jose.NewKey("k", "", public); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := jose.NewKey("k", "RS256", testKeys().p256.Public()); err == nil {
		t.Error("RS256 for an EC key: accepted")
	}
}
