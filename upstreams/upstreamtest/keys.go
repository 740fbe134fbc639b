package upstreamtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
)

// rsaBits is the least that verifiers accept: making larger keys is slow, and proves no more.
const rsaBits = 2048

// signingKey is one key of the IdP.
type signingKey struct {
	id, alg   string
	signer    crypto.Signer
	withdrawn bool
}

// addKeys makes one key for each algorithm. The caller holds mu, or is New.
func (p *IdP) addKeys() error {
	p.sequence++
	for _, alg := range p.o.Algorithms {
		signer, err := generate(alg)
		if err != nil {
			return fmt.Errorf("identity provider %s: %w", p.o.Name, err)
		}
		id := fmt.Sprintf("%s-%s-%d", p.o.Name, strings.ToLower(alg), p.sequence)
		p.keys = append(p.keys, &signingKey{id: id, alg: alg, signer: signer})
	}
	return nil
}

func generate(alg string) (crypto.Signer, error) {
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

// Rotate makes a new key for each algorithm, which sign from now on, and returns the id of the first. The old ones stay in
// the key set until they are withdrawn.
func (p *IdP) Rotate() (kid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := len(p.keys)
	if err := p.addKeys(); err != nil {
		panic(err) // New made keys for the same algorithms
	}
	return p.keys[first].id
}

// Withdraw takes the keys of that id out of the key set. Sign can still use them, as a thief would.
func (p *IdP) Withdraw(kid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.keys {
		if k.id == kid {
			k.withdrawn = true
		}
	}
}

// KeyIDs lists the key ids in the key set, oldest first.
func (p *IdP) KeyIDs() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for _, k := range p.keys {
		if !k.withdrawn {
			ids = append(ids, k.id)
		}
	}
	return ids
}

// PublicKey is the public key of that id, nil when there is none.
func (p *IdP) PublicKey(kid string) crypto.PublicKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.keys {
		if k.id == kid {
			return k.signer.Public()
		}
	}
	return nil
}

// JWKS is the key set as it is served now.
func (p *IdP) JWKS() []byte {
	p.mu.Lock()
	k := p.knobs
	p.mu.Unlock()
	return p.keySet(k)
}

func (p *IdP) keySet(k knobs) []byte {
	p.mu.Lock()
	own := slices.Clone(p.keys)
	p.mu.Unlock()
	set := []any{}
	if k.oddKeys {
		set = append(set, oddKeys()...)
	}
	for _, key := range own {
		if k.emptySet || key.withdrawn {
			continue
		}
		if k.duplicateKids {
			foreign, err := generate("ES256")
			if err != nil {
				panic(err)
			}
			set = append(set, JWK(foreign.Public(), key.id, "ES256"))
		}
		set = append(set, JWK(key.signer.Public(), key.id, key.alg))
	}
	return mustJSON(map[string]any{"keys": set})
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
		jwk["x"], jwk["y"] = encode(point[1:1+half]), encode(point[1+half:])
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", encode(k.N.Bytes()), encode(big.NewInt(int64(k.E)).Bytes())
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", encode(k)
	default:
		panic(fmt.Sprintf("no JWK for %T", public))
	}
	return jwk
}

// oddKeys are entries that a reader of key sets must step over.
func oddKeys() []any {
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

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
