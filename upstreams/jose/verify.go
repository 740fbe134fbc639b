package jose

import "fmt"

// maxTried bounds how many fitting keys one token may cost, be it without a kid or with one that several keys share.
const maxTried = 4

// Verified is a token whose signature one of its issuer's keys made. Only Verify returns one that holds anything.
type Verified struct {
	token Unverified
	key   Key
	ok    bool
}

// Verify checks the signature with the first of keys that fits: the algorithm is accepted and is the key's own, the key's type and
// curve are the algorithm's, its kid is the token's if that has one, and its issuer, if the key set names one, is the token's.
// At most 4 fitting keys are tried. ErrAlgorithm, ErrNoKey or ErrSignature.
func (u Unverified) Verify(keys []Key, accepted Algorithms) (Verified, error) {
	if !accepted.Holds(u.header.alg) {
		return Verified{}, ErrAlgorithm
	}
	alg := algorithms[algorithmIndex(u.header.alg)]
	signed := []byte(u.signingInput)
	if alg.hash != 0 {
		h := alg.hash.New()
		h.Write(signed)
		signed = h.Sum(nil)
	}
	tried := 0
	for i := range keys {
		if !keys[i].fits(alg) || !keys[i].Serves(u.header.kid, u.issuer) {
			continue
		}
		if alg.verify(keys[i].Public, alg.hash, signed, u.signature) {
			return Verified{token: u, key: keys[i], ok: true}, nil
		}
		if tried++; tried == maxTried {
			break
		}
	}
	if tried == 0 {
		return Verified{}, ErrNoKey
	}
	return Verified{}, ErrSignature
}

// Token is what was parsed, which is now true as far as its issuer can be believed.
func (v Verified) Token() Unverified { return v.token }

// Key is the key that made the signature.
func (v Verified) Key() Key { return v.key }

// Claims decodes the selected claims, all of them for nil. It fails only for the zero Verified.
func (v Verified) Claims(want *Selection) (Claims, error) {
	if !v.ok {
		return Claims{}, fmt.Errorf("claims of a token that was not verified: %w", ErrSignature)
	}
	room := len(v.token.members)
	if want != nil {
		room = min(room, len(want.names))
	}
	c := Claims{members: v.token.members, selected: make(map[string]any, room)}
	for _, m := range c.members {
		if want == nil {
			c.selected[string(m.name)] = value(m.value)
		} else if _, ok := want.names[string(m.name)]; ok {
			c.selected[string(m.name)] = value(m.value)
		}
	}
	return c, nil
}
