package upstreamtest

import (
	"crypto"
	"fmt"
	"slices"
	"strings"

	"fedbroker/upstreams/upstreamtest/tokens"
)

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
		signer, err := tokens.Generate(alg)
		if err != nil {
			return fmt.Errorf("identity provider %s: %w", p.o.Name, err)
		}
		id := fmt.Sprintf("%s-%s-%d", p.o.Name, strings.ToLower(alg), p.sequence)
		p.keys = append(p.keys, &signingKey{id: id, alg: alg, signer: signer})
	}
	return nil
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
	own := slices.DeleteFunc(slices.Clone(p.keys), func(key *signingKey) bool { return key.withdrawn })
	p.mu.Unlock()
	set := []any{}
	if k.oddKeys {
		set = append(set, tokens.OddKeys()...)
	}
	for _, key := range own {
		if k.emptySet {
			break
		}
		if k.duplicateKids {
			foreign, err := tokens.Generate("ES256")
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
	return tokens.JWK(public, kid, alg)
}
