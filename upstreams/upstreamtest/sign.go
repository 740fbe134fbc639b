package upstreamtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"maps"
)

// SignOption changes one token.
type SignOption func(*signing)

type signing struct {
	header  map[string]any
	alg     string // that the signature is made with
	kid     string // of the key to sign with; empty: the newest
	payload *string
	signer  crypto.Signer
}

// Alg signs with that algorithm: one of the IdP's own, "none" for no signature, or "HS256" for an HMAC keyed with the public key that
// would have signed.
func Alg(alg string) SignOption { return func(s *signing) { s.alg, s.header["alg"] = alg, alg } }

// Typ sets the header's typ; empty leaves it out. Without this option it is JWT.
func Typ(typ string) SignOption {
	return func(s *signing) {
		s.header["typ"] = typ
		if typ == "" {
			delete(s.header, "typ")
		}
	}
}

// KeyID signs with the IdP's key of that id, if it has one, and names that id in any case.
func KeyID(kid string) SignOption { return func(s *signing) { s.kid, s.header["kid"] = kid, kid } }

// NoKeyID leaves the kid out.
func NoKeyID() SignOption { return func(s *signing) { s.header["kid"] = nil } }

// Header sets a member of the header, after everything else.
func Header(name string, value any) SignOption { return func(s *signing) { s.header[name] = value } }

// Raw replaces the payload by these bytes.
func Raw(payload string) SignOption { return func(s *signing) { s.payload = &payload } }

// SignedBy signs with a key that is not the IdP's.
func SignedBy(signer crypto.Signer) SignOption { return func(s *signing) { s.signer = signer } }

// Sign makes a token of claims with the newest key, typ JWT, and the key's kid and alg, as far as options don't say otherwise. It
// panics if it can't be made.
func (p *IdP) Sign(claims map[string]any, options ...SignOption) string {
	s := signing{header: map[string]any{"typ": "JWT"}, alg: p.o.Algorithms[0]}
	for _, option := range options {
		option(&s)
	}
	key := p.signingKey(s.alg, s.kid)
	if s.signer == nil {
		s.signer = key.signer
	}
	header := map[string]any{"alg": s.alg, "kid": key.id}
	maps.Copy(header, s.header)
	if header["kid"] == nil {
		delete(header, "kid")
	}
	payload := mustJSON(claims)
	if s.payload != nil {
		payload = []byte(*s.payload)
	}
	input := encode(mustJSON(header)) + "." + encode(payload)
	signature, err := sign(s.alg, s.signer, []byte(input))
	if err != nil {
		panic(err)
	}
	return input + "." + encode(signature)
}

// signingKey is the key of that id, else the newest for alg, else the newest.
func (p *IdP) signingKey(alg, kid string) *signingKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	newest := p.keys[len(p.keys)-len(p.o.Algorithms)]
	for _, k := range p.keys {
		if k.alg == alg {
			newest = k
		}
	}
	for _, k := range p.keys {
		if kid != "" && k.id == kid {
			return k
		}
	}
	return newest
}

func sign(alg string, signer crypto.Signer, input []byte) ([]byte, error) {
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
