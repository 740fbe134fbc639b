package upstreamtest

import (
	"crypto"
	"maps"

	"fedbroker/upstreams/upstreamtest/tokens"
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
	input := tokens.Encode(mustJSON(header)) + "." + tokens.Encode(payload)
	signature, err := tokens.Sign(s.alg, s.signer, []byte(input))
	if err != nil {
		panic(err)
	}
	return input + "." + tokens.Encode(signature)
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
