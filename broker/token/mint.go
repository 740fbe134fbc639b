// Package token makes and opens our own tokens, one file for each class. Minting takes a policy.Authority and nothing else, so that
// no token says more than the policy decided; opening accepts exactly one class, so that no token stands for another (P9).
package token

import (
	"encoding/base64"
	"fmt"
	"sync"
	"sync/atomic"

	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/upstreams/jose"
)

// MinterOptions describe a Minter; both are required. It has no clock: an Authority says when it was decided.
type MinterOptions struct {
	Issuer  string
	Keyring *keyring.Keyring
}

// Minter makes our tokens.
type Minter struct {
	o      MinterOptions
	access atomic.Pointer[header]             // of the key that signed last
	jag    atomic.Pointer[header]             // the same for ID-JAGs
	ids    map[string]*atomic.Pointer[header] // the same for ID tokens, by algorithm
	spare  sync.Pool                          // *buffers
}

// NewMinter returns a Minter of tokens by the options' issuer.
func NewMinter(o MinterOptions) *Minter {
	m := &Minter{o: o, ids: map[string]*atomic.Pointer[header]{}, spare: sync.Pool{New: func() any { return new(buffers) }}}
	for _, alg := range keyring.Algorithms() {
		m.ids[alg] = new(atomic.Pointer[header])
	}
	return m
}

// header is a JOSE header, encoded once for each key.
type header struct {
	key     *keyring.Key
	encoded []byte // base64url and the dot behind it
}

// headerOf returns the encoded header of a token class that key signs. cached holds the last one.
func headerOf(cached *atomic.Pointer[header], typ string, key *keyring.Key) *header {
	if h := cached.Load(); h != nil && h.key == key {
		return h
	}
	// Neither typ, alg nor kid, a base64url thumbprint, needs escaping.
	plain := fmt.Appendf(nil, `{"typ":"%s","alg":"%s","kid":"%s"}`, typ, key.Alg, key.ID)
	h := &header{key: key, encoded: append(base64.RawURLEncoding.AppendEncode(nil, plain), '.')}
	cached.Store(h)
	return h
}

// buffers are scratch space, used by one call at a time; nothing that leaves the call points into them.
type buffers struct{ payload, token, signature []byte }

// maxSpare is the capacity above which a buffer is not kept for the next call.
const maxSpare = 4 * jose.MaxToken

func (m *Minter) release(b *buffers) {
	if cap(b.payload) <= maxSpare && cap(b.token) <= maxSpare {
		m.spare.Put(b)
	}
}

// fits refuses a token that would be too long under h: nobody, not even we, would open it. What makes it long are claims of the subject
// and what mappers made of them. signature is the length of the signature to come, in bytes.
func (b *buffers) fits(h *header, signature int) error {
	b64 := base64.RawURLEncoding
	if size := len(h.encoded) + b64.EncodedLen(len(b.payload)) + len(".") + b64.EncodedLen(signature); size > jose.MaxToken {
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonMapping).Because(fmt.Errorf("token of %d bytes, at most %d", size, jose.MaxToken))
	}
	return nil
}

// sign makes the compact serialization (RFC 7515 section 7.1) of b.payload under h.
func (b *buffers) sign(h *header) (string, error) {
	b.token = append(b.token[:0], h.encoded...)
	b.token = base64.RawURLEncoding.AppendEncode(b.token, b.payload)
	var err error
	if b.signature, err = h.key.AppendSignature(b.signature[:0], b.token); err != nil {
		return "", err
	}
	b.token = append(b.token, '.')
	b.token = base64.RawURLEncoding.AppendEncode(b.token, b.signature)
	return string(b.token), nil
}
