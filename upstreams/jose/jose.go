// Package jose reads JSON Web Tokens of strangers: it parses a token once, says what class it is of, and verifies its signature
// with vetted keys (RFC 7515, 7517, 7518, 7519; RFC 8725 for what to distrust).
//
// It has a parser of its own, on jsontext and the standard library's signature algorithms, for two reasons. A token is refused for
// what general libraries let pass: line breaks inside base64url, a second spelling of the same bytes, repeated members at any
// depth, bad UTF-8, "ISS" for "iss", ten thousand levels of nesting. And this is the hot path of every exchange: one walk over
// the payload checks the whole of it and remembers where each claim lies, so that only the claims that someone reads are ever
// turned into Go values, and nothing is decoded twice. A differential fuzz test holds it to go-jose: what passes here passes there,
// with the same payload.
package jose

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

const (
	// MaxToken is the length of the longest token that is looked at, in bytes.
	MaxToken = 16 << 10
	// maxDepth is how deep objects and lists may nest, the outermost included.
	maxDepth = 32
	// tokenIDBytes of the hash name an external token: 128 bits, so that no two tokens share a name.
	tokenIDBytes = 16
)

// What Parse and Verify return wraps one of these. The texts hold no value of the token.
var (
	// ErrMalformed: not a token at all, or one that says something this package does not understand (crit, zip, enc, b64).
	ErrMalformed = errors.New("malformed token")
	// ErrAlgorithm: the token's alg is not among those accepted.
	ErrAlgorithm = errors.New("algorithm not accepted")
	// ErrNoKey: none of the keys fits the token's alg, kid and issuer.
	ErrNoKey = errors.New("no key fits the token")
	// ErrSignature: keys fit, and none of them made this signature.
	ErrSignature = errors.New("signature does not verify")
)

// Unverified is a parsed token whose signature nobody has checked: what it says serves to choose a path, never to decide.
// The zero value is of no class, and nothing verifies it.
type Unverified struct {
	signingInput string // header and payload as signed
	signature    []byte
	header       header
	members      []member // of the payload, in order
	issuer       string
	audience     []string
	markers      Marker
	class        Class
}

// Parse checks the whole of a token's form: the compact serialization (RFC 7515 §7.1) within MaxToken, canonical base64url, header and
// payload each one JSON object in UTF-8 without repeated members, at most 32 levels deep. It refuses extensions that it does
// not understand, and an iss or aud that is not what RFC 7519 §4.1 says. Times, and whether a claim must be there, are its caller's.
func Parse(raw string) (Unverified, error) {
	if len(raw) > MaxToken {
		return Unverified{}, malformed("longer than %d bytes", MaxToken)
	}
	if strings.Count(raw, ".") != 2 { // before anything is split: a million dots must not allocate
		return Unverified{}, malformed("want three parts")
	}
	first, last := strings.IndexByte(raw, '.'), strings.LastIndexByte(raw, '.')
	buf := make([]byte, 0, base64.RawURLEncoding.DecodedLen(len(raw)))
	head, err := appendBase64URL(buf, raw[:first])
	if err != nil {
		return Unverified{}, fmt.Errorf("header: %w", err)
	}
	payload, err := appendBase64URL(head[len(head):], raw[first+1:last])
	if err != nil {
		return Unverified{}, fmt.Errorf("payload: %w", err)
	}
	signature, err := appendBase64URL(payload[len(payload):], raw[last+1:])
	if err != nil {
		return Unverified{}, fmt.Errorf("signature: %w", err)
	}
	u := Unverified{signingInput: raw[:last], signature: signature}
	if u.header, err = parseHeader(head); err != nil {
		return Unverified{}, fmt.Errorf("header: %w", err)
	}
	if err := u.readPayload(payload); err != nil {
		return Unverified{}, fmt.Errorf("payload: %w", err)
	}
	u.class = classify(u.header.typ, u.markers)
	return u, nil
}

// Class is what kind of token this is, by its typ and its marker claims (P9).
func (u Unverified) Class() Class { return u.class }

// Typ is the header's typ in lower case, without "application/"; empty when there is none.
func (u Unverified) Typ() string { return u.header.typ }

// Alg is the header's alg as written.
func (u Unverified) Alg() string { return u.header.alg }

// KeyID is the header's kid as written; empty when there is none.
func (u Unverified) KeyID() string { return u.header.kid }

// UnverifiedIssuer is the claim iss; empty when there is none.
func (u Unverified) UnverifiedIssuer() string { return u.issuer }

// UnverifiedAudience is the claim aud as a list, in the token's order; nil when there is none. It is not the caller's to change.
func (u Unverified) UnverifiedAudience() []string { return u.audience }

// Has says whether the payload holds any of the marker claims m, whatever their values.
func (u Unverified) Has(m Marker) bool { return u.markers&m != 0 }

// UnverifiedClaims are the claims of a token whose signature nobody has checked. They serve to refuse what fails by itself, before keys
// are asked for: what they say is true only once Verify has succeeded on the same Unverified, which is the same bytes. The typed
// readers see every claim; Map is nil.
func (u Unverified) UnverifiedClaims() Claims { return Claims{members: u.members} }

// Hash stands for the token: the SHA-256 of its signing input. The signature is left out because others can change it into
// another one that verifies.
func (u Unverified) Hash() [sha256.Size]byte { return sha256.Sum256([]byte(u.signingInput)) }

// TokenID names the token in lineage: the first 16 bytes of Hash as base64url, 22 characters.
func (u Unverified) TokenID() string {
	sum := u.Hash()
	return base64.RawURLEncoding.EncodeToString(sum[:tokenIDBytes])
}

// strictBase64URL refuses set trailing bits, a second spelling of the same bytes (RFC 4648 §3.5).
var strictBase64URL = base64.RawURLEncoding.Strict()

// appendBase64URL appends what s stands for. The decoder skips line breaks, so they are refused first.
func appendBase64URL(dst []byte, s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, malformed("not canonical base64url")
	}
	dst, err := strictBase64URL.AppendDecode(dst, []byte(s))
	if err != nil {
		return nil, malformed("not canonical base64url")
	}
	return dst, nil
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}
