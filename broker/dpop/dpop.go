// Package dpop checks proofs of possession (RFC 9449): that who sends a request holds the private key of the public key that the proof brings,
// for this request, now, and for the first time. It is the one place that judges proofs, at the token endpoint and at userinfo.
package dpop

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/upstreams/jose"
)

// Options describe a Checker. Key is required.
type Options struct {
	Algorithms   []string         // [Algorithms()]
	Leeway       time.Duration    // of the client's clock, both ways
	Now          func() time.Time // [time.Now]
	RequireNonce bool             // every proof has to carry one of ours (RFC 9449 §8)
	Key          []byte           // 32 random bytes of this process, from which nonces are made
	Capacity     int              // proofs that are remembered at most [262144]
}

const (
	// maxAge is how old a proof may be. A client makes one for each request, so the leeway aside it is the time that a request takes.
	maxAge = time.Minute
	// maxProof bounds a proof that is looked at, in bytes: it holds one of the longest keys and signatures that there are.
	maxProof = 8 << 10
	// maxJTI bounds jti, in bytes. It needs 96 random bits or a UUID (RFC 9449 §4.2).
	maxJTI = 256
	// defaultCapacity is some 2,000 proofs a second for as long as each is remembered, in about 10 MiB.
	defaultCapacity = 1 << 18

	keySize = 32
)

// Algorithms are those that proofs may be signed by: asymmetric ones alone (RFC 9449 §4.3, check 5).
func Algorithms() []string {
	return []string{"ES256", "RS256", "PS256", "ES384", "EdDSA", "Ed25519"}
}

// Checker checks proofs, and remembers those that held. It is safe for concurrent use.
type Checker struct {
	accepted  jose.Algorithms
	leeway    time.Duration
	required  bool
	nonces    nonces
	begun     time.Time // what was proven before, nobody remembers
	seen      *memory
	strangers *memory // of those who prove nothing else
}

// New makes a Checker that remembers nothing yet.
func New(o Options) (*Checker, error) {
	if len(o.Key) != keySize {
		return nil, fmt.Errorf("dpop: want a key of %d bytes", keySize)
	}
	if o.Leeway < 0 || o.Capacity < 0 {
		return nil, errors.New("dpop: leeway and capacity can't be negative")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = Algorithms()
	}
	if o.Capacity == 0 {
		o.Capacity = defaultCapacity
	}
	accepted, err := jose.ParseAlgorithms(o.Algorithms)
	if err != nil {
		return nil, fmt.Errorf("dpop: algorithms: %w", err)
	}
	begun := o.Now()
	return &Checker{
		accepted: accepted, leeway: o.Leeway, required: o.RequireNonce, nonces: newNonces(o.Key), begun: begun,
		// A proof may be first seen when the client's clock is ahead by the leeway, and again until it is too old with that clock behind.
		seen: newMemory(o.Capacity, maxAge+2*o.Leeway, begun), strangers: newMemory(max(o.Capacity/strangersShare, 1), maxAge+2*o.Leeway, begun),
	}, nil
}

// Want is what a proof has to fit: the request that it came with.
type Want struct {
	Method string    // HTTP's
	URL    string    // of the endpoint, as the world outside names it; query and fragment do not count
	Token  string    // access token that came with it, whose hash the proof has to carry; "": any hash is only returned
	Now    time.Time // of the request
	Nobody bool      // who sent the request proved nothing else: its proof takes up no room of those who did
}

// strangersShare is the part of the capacity that is for proofs of those who prove nothing else: anybody could fill it.
const strangersShare = 4

// Check judges the values of a request's DPoP header (RFC 9449 §4.3) and remembers the proof. Without the header it is the zero Proof: whether one
// is needed is the caller's to say. The error is an *oauth.Error: invalid_dpop_proof; use_dpop_nonce with the nonce to use; or
// temporarily_unavailable where a proof could not be remembered.
func (c *Checker) Check(headers []string, w Want) (oauth.Proof, error) {
	switch len(headers) {
	case 0:
		return oauth.Proof{}, nil
	case 1:
	default: // check 1
		return oauth.Proof{}, refuse(errors.New("more than one DPoP header"))
	}
	p, err := c.open(headers[0])
	if err != nil {
		return oauth.Proof{}, refuse(err)
	}
	target, err := normalURL(w.URL)
	if err != nil {
		return oauth.Proof{}, fmt.Errorf("dpop: address of the endpoint: %w", err)
	}
	if err := p.fits(w, target); err != nil {
		return oauth.Proof{}, refuse(err)
	}
	if err := p.inTime(w.Now, c.leeway); err != nil {
		return oauth.Proof{}, refuse(err)
	}
	if err := c.fresh(p, w.Now); err != nil {
		return oauth.Proof{}, err
	}
	switch c.remember(fingerprint(p.key, target, p.jti), w) {
	case seenBefore: // RFC 9449 §11.1
		return oauth.Proof{}, refuse(errors.New("the proof was used before"))
	case noRoom: // to forget another would let that one be used again
		return oauth.Proof{}, oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonProof).Because(errors.New("no room to remember the proof"))
	}
	return oauth.Proof{Key: p.key, TokenHash: p.ath}, nil
}

// remember is the memory of who sent the request; a proof that the other one has was used, too. That one is asked again afterwards: of two who bring
// the same proof at once, each by another memory, both may be refused, but never both taken.
func (c *Checker) remember(m mark, w Want) remembered {
	into, other := c.seen, c.strangers
	if w.Nobody {
		into, other = other, into
	}
	if other.has(m) {
		return seenBefore
	}
	if was := into.add(m, w.Now); was != added {
		return was
	}
	if other.has(m) {
		return seenBefore
	}
	return added
}

// fresh is check 10 of RFC 9449 §4.3: a nonce has to be one of ours. Without one a proof is taken where none is demanded, unless it may have been
// used before this process began: what was remembered then is gone, and the client's clock may be ahead.
func (c *Checker) fresh(p proof, now time.Time) error {
	switch {
	case p.nonce != "" && c.nonces.holds(p.nonce, now):
		return nil
	case p.nonce == "" && !c.required && p.issued.After(c.begun.Add(c.leeway)):
		return nil
	}
	e := oauth.Deny(oauth.CodeUseDPoPNonce, oauth.ReasonProof)
	e.DPoPNonce = c.nonces.at(now)
	return e.Because(errors.New("the proof has no nonce of ours"))
}

// Nonce is what a proof made now should carry.
func (c *Checker) Nonce(now time.Time) string { return c.nonces.at(now) }

// Offer is the nonce to send along with a success (RFC 9449 §8.2): that of now where every proof needs one, else "". A client that was given one has
// to use it from then on, and would come twice each time that it grew old.
func (c *Checker) Offer(now time.Time) string {
	if !c.required {
		return ""
	}
	return c.nonces.at(now)
}

// Missing refuses a request that needed a proof and brought none.
func Missing() *oauth.Error { return refuse(errors.New("no DPoP header")) }

func refuse(cause error) *oauth.Error {
	return oauth.Deny(oauth.CodeInvalidDPoPProof, oauth.ReasonProof).Because(cause)
}

// TokenHash is the ath of an access token (RFC 9449 §4.2).
func TokenHash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ValidThumbprint says whether a text is a SHA-256 JWK thumbprint as cnf.jkt and dpop_jkt have it (RFC 9449 §6.1, §10).
func ValidThumbprint(text string) bool {
	sum, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(sum) == sha256.Size && len(text) == base64.RawURLEncoding.EncodedLen(sha256.Size)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
