// Package tokens makes the keys, certificates, signatures and hashes of the test identity provider, good ones and bad ones, and the claims that
// the machines of well-known issuers have.
package tokens

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
)

// rsaBits is the least that verifiers accept: making larger keys is slow, and proves no more.
const rsaBits = 2048

// Generate makes a key for alg: ES256, ES384, RS256, PS256 or EdDSA.
func Generate(alg string) (crypto.Signer, error) {
	switch alg {
	case "ES256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "RS256", "PS256":
		return rsa.GenerateKey(rand.Reader, rsaBits)
	case "EdDSA":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("no key for algorithm %q", alg)
}

// JWK is the public key as a JSON Web Key (RFC 7518 §6, RFC 8037 §2). It panics on a key of another kind.
func JWK(public crypto.PublicKey, kid, alg string) map[string]any {
	jwk := map[string]any{"kid": kid, "alg": alg, "use": "sig"}
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			panic(err)
		}
		half := (len(point) - 1) / 2 // 0x04, x, y
		jwk["kty"], jwk["crv"] = "EC", k.Curve.Params().Name
		jwk["x"], jwk["y"] = Encode(point[1:1+half]), Encode(point[1+half:])
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", Encode(k.N.Bytes()), Encode(big.NewInt(int64(k.E)).Bytes())
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", Encode(k)
	default:
		panic(fmt.Sprintf("no JWK for %T", public))
	}
	return jwk
}

// OddKeys are entries that a reader of key sets must step over.
func OddKeys() []any {
	const one = "AQ"
	return []any{
		"not an object",
		map[string]any{},
		map[string]any{"kty": "from-the-future", "kid": "odd-1"},
		map[string]any{"kty": "oct", "kid": "odd-2", "k": "c2VjcmV0"},
		map[string]any{"kty": "EC", "crv": "P-256", "kid": "odd-3", "x": one, "y": one},
		map[string]any{"kty": "EC", "crv": "secp256k1", "kid": "odd-4", "x": one, "y": one},
		map[string]any{"kty": "RSA", "kid": "odd-5", "n": one, "e": "AQAB"},
		map[string]any{"kty": "RSA", "kid": 6, "n": "!", "e": "AQAB"},
		map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": "odd-7", "x": one},
	}
}

// Encode is base64url without padding.
func Encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Sign signs input; alg may also be none, which is no signature, or HS256, an HMAC keyed with the signer's public key.
func Sign(alg string, signer crypto.Signer, input []byte) ([]byte, error) {
	switch alg {
	case "none":
		return nil, nil
	case "HS256":
		public, err := x509.MarshalPKIXPublicKey(signer.Public())
		if err != nil {
			return nil, err
		}
		mac := hmac.New(sha256.New, public)
		mac.Write(input)
		return mac.Sum(nil), nil
	case "EdDSA":
		return signer.Sign(rand.Reader, input, crypto.Hash(0))
	case "ES256", "ES384":
		return signECDSA(alg, signer, input)
	case "PS256":
		digest := sha256.Sum256(input)
		return signer.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256})
	}
	digest := sha256.Sum256(input)
	return signer.Sign(rand.Reader, digest[:], crypto.SHA256)
}

// signECDSA makes the fixed-length form r ‖ s (RFC 7518 §3.4).
func signECDSA(alg string, signer crypto.Signer, input []byte) ([]byte, error) {
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s wants an ECDSA key, got %T", alg, signer)
	}
	hash := crypto.SHA256
	if alg == "ES384" {
		hash = crypto.SHA384
	}
	h := hash.New()
	h.Write(input)
	r, s, err := ecdsa.Sign(rand.Reader, key, h.Sum(nil))
	if err != nil {
		return nil, err
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	out := make([]byte, 2*size)
	r.FillBytes(out[:size])
	s.FillBytes(out[size:])
	return out, nil
}

// AccessHash is at_hash (OpenID Connect Core §3.1.3.6): the left half of a hash, of the size that the algorithm's name has (EdDSA: SHA-512).
func AccessHash(alg, access string) string {
	var sum []byte
	switch alg {
	case "ES384":
		s := sha512.Sum384([]byte(access))
		sum = s[:]
	case "EdDSA":
		s := sha512.Sum512([]byte(access))
		sum = s[:]
	default:
		s := sha256.Sum256([]byte(access))
		sum = s[:]
	}
	return Encode(sum[:len(sum)/2])
}
