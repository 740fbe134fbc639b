package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	_ "crypto/sha256" // crypto.SHA256.New
	_ "crypto/sha512" // crypto.SHA384.New, crypto.SHA512.New
	"fmt"
	"slices"
	"strings"
)

// algorithm is a way to check a signature (RFC 7518 §3, RFC 8037 §3.1, RFC 9864 §2). Only asymmetric ones exist here: neither HS* nor none can be
// written down, so neither verifies anything.
type algorithm struct {
	name   string
	hash   crypto.Hash // zero: the algorithm hashes by itself
	kty    string      // RSA, EC or OKP
	curve  string      // of EC and OKP
	verify func(pub crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool
}

var algorithms = [...]algorithm{
	{"RS256", crypto.SHA256, "RSA", "", verifyPKCS1},
	{"RS384", crypto.SHA384, "RSA", "", verifyPKCS1},
	{"RS512", crypto.SHA512, "RSA", "", verifyPKCS1},
	{"PS256", crypto.SHA256, "RSA", "", verifyPSS},
	{"PS384", crypto.SHA384, "RSA", "", verifyPSS},
	{"PS512", crypto.SHA512, "RSA", "", verifyPSS},
	{"ES256", crypto.SHA256, "EC", "P-256", verifyECDSA},
	{"ES384", crypto.SHA384, "EC", "P-384", verifyECDSA},
	{"ES512", crypto.SHA512, "EC", "P-521", verifyECDSA},
	{"EdDSA", 0, "OKP", "Ed25519", verifyEd25519},
	{"Ed25519", 0, "OKP", "Ed25519", verifyEd25519},
}

// Algorithms is a set of signature algorithms that an upstream's tokens may use. The zero value holds none.
type Algorithms struct{ set uint32 } // bit i: algorithms[i]

// DefaultAlgorithms are RS256, PS256, ES256, ES384 and EdDSA.
func DefaultAlgorithms() Algorithms {
	a, _ := ParseAlgorithms([]string{"RS256", "PS256", "ES256", "ES384", "EdDSA"})
	return a
}

// ParseAlgorithms makes a set of names; none is the default set. A name that can't be used is an error that lists those that can.
func ParseAlgorithms(names []string) (Algorithms, error) {
	if len(names) == 0 {
		return DefaultAlgorithms(), nil
	}
	var a Algorithms
	for _, n := range names {
		i := algorithmIndex(n)
		if i < 0 {
			return Algorithms{}, fmt.Errorf("want of %s, got %q", strings.Join(algorithmNames(^uint32(0)), ", "), n)
		}
		a.set |= 1 << i
	}
	return a, nil
}

// Names lists the set.
func (a Algorithms) Names() []string { return algorithmNames(a.set) }

// Holds says whether the set holds the algorithm of that name.
func (a Algorithms) Holds(name string) bool {
	i := algorithmIndex(name)
	return i >= 0 && a.set&(1<<i) != 0
}

func algorithmIndex(name string) int {
	return slices.IndexFunc(algorithms[:], func(a algorithm) bool { return a.name == name })
}

func algorithmNames(set uint32) []string {
	var names []string
	for i, a := range algorithms {
		if set&(1<<i) != 0 {
			names = append(names, a.name)
		}
	}
	return names
}

func verifyPKCS1(pub crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool {
	key, ok := pub.(*rsa.PublicKey)
	return ok && rsa.VerifyPKCS1v15(key, hash, digest, signature) == nil
}

// verifyPSS wants the salt as long as the hash (RFC 7518 §3.5).
func verifyPSS(pub crypto.PublicKey, hash crypto.Hash, digest, signature []byte) bool {
	key, ok := pub.(*rsa.PublicKey)
	return ok && rsa.VerifyPSS(key, hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
}

// verifyECDSA wants r and s at the curve's full length, one after the other, never ASN.1 (RFC 7518 §3.4).
func verifyECDSA(pub crypto.PublicKey, _ crypto.Hash, digest, signature []byte) bool {
	key, ok := pub.(*ecdsa.PublicKey)
	if !ok {
		return false
	}
	size := (key.Curve.Params().BitSize + 7) / 8
	if len(signature) != 2*size {
		return false
	}
	return ecdsa.VerifyASN1(key, digest, derSignature(signature[:size], signature[size:]))
}

// derSignature is SEQUENCE { r INTEGER, s INTEGER }, without the detour over big.Int that ecdsa.Verify takes.
func derSignature(r, s []byte) []byte {
	const head = 3 // the tag, and a length of one byte or, above 127, of two
	der := make([]byte, head, maxDER)
	der = appendDERInteger(appendDERInteger(der, r), s)
	length := byte(len(der) - head)
	if length < 0x80 {
		der = der[1:]
		der[0], der[1] = derSequence, length
		return der
	}
	der[0], der[1], der[2] = derSequence, 0x81, length
	return der
}

// The parts of DER (X.690) that an ECDSA signature has.
const (
	derSequence = 0x30
	derInteger  = 0x02
	maxDER      = 3 + 2*(2+1+66) // of a P-521 signature
)

// appendDERInteger appends an unsigned big-endian number: without leading zeros, but one where the first bit would be a sign.
func appendDERInteger(dst, number []byte) []byte {
	for len(number) > 1 && number[0] == 0 {
		number = number[1:]
	}
	sign := 0
	if number[0]&0x80 != 0 {
		sign = 1
	}
	dst = append(dst, derInteger, byte(len(number)+sign))
	if sign == 1 {
		dst = append(dst, 0)
	}
	return append(dst, number...)
}

func verifyEd25519(pub crypto.PublicKey, _ crypto.Hash, signed, signature []byte) bool {
	key, ok := pub.(ed25519.PublicKey)
	return ok && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed, signature)
}
