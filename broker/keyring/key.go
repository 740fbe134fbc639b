package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	gojose "github.com/go-jose/go-jose/v4"
)

// The algorithms that we sign with (RFC 7518 section 3.1, RFC 8037 section 3.1).
const (
	ES256 = "ES256"
	ES384 = "ES384"
	RS256 = "RS256"
	PS256 = "PS256"
	EdDSA = "EdDSA"
)

// rsaBits is the size of the RSA keys that are made here: 112 bits of security, as RFC 7518 section 3.3 demands, at a quarter
// of the price of 3072 for each signature.
const rsaBits = 2048

// algorithm is how one algorithm makes its keys and signatures.
type algorithm struct {
	name     string
	slow     bool // to generate: hundreds of milliseconds
	hash     crypto.Hash
	options  crypto.SignerOpts
	half     int // bytes of r and of s in an ECDSA signature; 0: what the signer returns is the signature
	generate func() (crypto.Signer, error)
}

var algorithms = [...]algorithm{
	{ES256, false, crypto.SHA256, crypto.SHA256, 32, func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
	{ES384, false, crypto.SHA384, crypto.SHA384, 48, func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) }},
	{RS256, true, crypto.SHA256, crypto.SHA256, 0, generateRSA},
	{PS256, true, crypto.SHA256, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: crypto.SHA256}, 0, generateRSA},
	{EdDSA, false, 0, crypto.Hash(0), 0, func() (crypto.Signer, error) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}},
}

func generateRSA() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, rsaBits) }

func algorithmOf(name string) (*algorithm, bool) {
	i := slices.IndexFunc(algorithms[:], func(a algorithm) bool { return a.name == name })
	if i < 0 {
		return nil, false
	}
	return &algorithms[i], true
}

// Algorithms are the names of all algorithms that a key can be made for.
func Algorithms() []string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = a.name
	}
	return names
}

// Key is a key that signs now.
type Key struct {
	ID, Alg string
	a       *algorithm
	signer  crypto.Signer
}

// AppendSignature appends the JWS signature over input (RFC 7515 section 5.1 step 5), not yet encoded.
func (k *Key) AppendSignature(dst, input []byte) ([]byte, error) {
	digest := input
	if k.a.hash != 0 {
		h := k.a.hash.New()
		_, _ = h.Write(input)
		digest = h.Sum(nil)
	}
	signature, err := k.signer.Sign(rand.Reader, digest, k.a.options)
	if err != nil {
		return nil, fmt.Errorf("sign with key %s: %w", k.ID, err)
	}
	if k.a.half == 0 {
		return append(dst, signature...), nil
	}
	return appendRaw(dst, signature, k.a.half)
}

var errDER = errors.New("signer returned no ECDSA signature")

// appendRaw turns SEQUENCE { r INTEGER, s INTEGER }, which every crypto.Signer returns, into r ‖ s of fixed length (RFC 7518
// section 3.4). Both numbers are at most 49 bytes, so that every DER length is a single byte.
func appendRaw(dst, der []byte, half int) ([]byte, error) {
	if len(der) < 2 || der[0] != 0x30 || int(der[1]) != len(der)-2 {
		return nil, errDER
	}
	rest := der[2:]
	for range 2 {
		if len(rest) < 2 || rest[0] != 0x02 || int(rest[1]) > len(rest)-2 {
			return nil, errDER
		}
		number := rest[2 : 2+int(rest[1])]
		rest = rest[2+len(number):]
		for len(number) > 0 && number[0] == 0 {
			number = number[1:]
		}
		if len(number) > half {
			return nil, errDER
		}
		dst = append(dst, make([]byte, half-len(number))...)
		dst = append(dst, number...)
	}
	if len(rest) != 0 {
		return nil, errDER
	}
	return dst, nil
}

// thumbprint is the key id (RFC 7638): it tells which key it is, wherever it is made.
func thumbprint(public crypto.PublicKey) (string, error) {
	sum, err := (&gojose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// generate makes a key of an algorithm, as the ring keeps it.
func generate(a *algorithm) (entry, error) {
	signer, err := a.generate()
	if err != nil {
		return entry{}, fmt.Errorf("generate a key for %s: %w", a.name, err)
	}
	id, err := thumbprint(signer.Public())
	if err != nil {
		return entry{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		return entry{}, fmt.Errorf("encode a key for %s: %w", a.name, err)
	}
	public, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return entry{}, fmt.Errorf("encode a key for %s: %w", a.name, err)
	}
	return entry{ID: id, Alg: a.name, Private: private, Public: public}, nil
}

// signer returns the private half of an entry.
func (e *entry) signer() (crypto.Signer, error) {
	private, err := x509.ParsePKCS8PrivateKey(e.Private)
	if err != nil {
		return nil, fmt.Errorf("private key %s: not as it was written", e.ID)
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("private key %s: type %T does not sign", e.ID, private)
	}
	return signer, nil
}
