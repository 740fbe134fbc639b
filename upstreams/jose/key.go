package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// An RSA key's modulus in bits: fewer are too weak (RFC 7518 §3.3), more cost too much to check.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Key is a public key that signs tokens. NewKey and ParseKeySet make vetted ones; one that is not fits no token.
type Key struct {
	ID     string           // kid; empty: serves only tokens without one
	Alg    string           // the only algorithm it may be used with; empty: any that its type fits
	Use    string           // sig or empty
	Issuer string           // the only issuer whose tokens it signs, where the key set says so; empty: any
	Public crypto.PublicKey // *rsa.PublicKey, *ecdsa.PublicKey or ed25519.PublicKey
}

// NewKey vets a public key as ParseKeySet vets those of a set.
func NewKey(id, alg string, public crypto.PublicKey) (Key, error) {
	k := Key{ID: id, Alg: alg, Use: "sig", Public: public}
	if err := k.vet(); err != nil {
		return Key{}, err
	}
	return k, nil
}

// tenantTemplate stands for one path segment in the issuer that Microsoft Entra gives with keys of all tenants.
const tenantTemplate = "{tenantid}"

// Serves says whether a token with this kid and issuer may have been signed by the key. Of an issuer with a template all must be the token's
// but the one path segment that it stands for.
func (k Key) Serves(kid, issuer string) bool {
	if kid != "" && k.ID != kid {
		return false
	}
	if k.Issuer == "" || k.Issuer == issuer {
		return true
	}
	before, after, template := strings.Cut(k.Issuer, tenantTemplate)
	tenant, begins := strings.CutPrefix(issuer, before)
	tenant, ends := strings.CutSuffix(tenant, after)
	return template && begins && ends && strings.HasSuffix(before, "/") && tenant != "" && !strings.ContainsAny(tenant, "/?#")
}

// vet refuses keys that are weak, malformed, or made for something else.
func (k Key) vet() error {
	if k.Use != "" && k.Use != "sig" {
		return errors.New("not for signatures")
	}
	switch pub := k.Public.(type) {
	case *rsa.PublicKey:
		if err := vetRSA(pub); err != nil {
			return err
		}
	case *ecdsa.PublicKey:
		if _, ok := curves[pub.Curve.Params().Name]; !ok {
			return errors.New("curve not supported")
		}
		if _, err := pub.Bytes(); err != nil {
			return errors.New("point not on its curve")
		}
	case ed25519.PublicKey:
		if len(pub) != ed25519.PublicKeySize {
			return errors.New("wrong length")
		}
	default:
		return errors.New("key type not supported")
	}
	if k.Alg != "" {
		i := algorithmIndex(k.Alg)
		if i < 0 || !k.fits(algorithms[i]) {
			return errors.New("alg does not fit the key")
		}
	}
	return nil
}

func vetRSA(pub *rsa.PublicKey) error {
	switch bits := pub.N.BitLen(); {
	case bits < minRSABits:
		return fmt.Errorf("RSA key shorter than %d bits", minRSABits)
	case bits > maxRSABits:
		return fmt.Errorf("RSA key longer than %d bits", maxRSABits)
	case pub.N.Bit(0) == 0:
		return errors.New("RSA modulus is even")
	case pub.E < 3 || pub.E%2 == 0:
		return errors.New("RSA exponent is even or too small")
	}
	return nil
}

// fits says whether the key may be used with the algorithm: by its type, its curve, and its own alg.
func (k Key) fits(a algorithm) bool {
	if k.Alg != "" && k.Alg != a.name {
		return false
	}
	switch pub := k.Public.(type) {
	case *rsa.PublicKey:
		return a.kty == "RSA" && pub.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey:
		return a.kty == "EC" && a.curve == pub.Curve.Params().Name
	case ed25519.PublicKey:
		return a.kty == "OKP"
	}
	return false
}

// AppendJWK appends the public key as a JWK (RFC 7517 §4), its members always in the same order, so that equal keys give equal bytes.
func (k Key) AppendJWK(dst []byte) ([]byte, error) {
	var err error
	text := func(name, value string) {
		if value == "" || err != nil {
			return
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), name...), `":`...)
		dst, err = jsontext.AppendQuote(dst, value)
	}
	bytes := func(name string, value []byte) { text(name, base64.RawURLEncoding.EncodeToString(value)) }
	dst = append(dst, '{')
	switch pub := k.Public.(type) {
	case *rsa.PublicKey:
		text("kty", "RSA")
		bytes("n", pub.N.Bytes())
		bytes("e", bigEndian(pub.E))
	case *ecdsa.PublicKey:
		point, pointErr := pub.Bytes()
		if pointErr != nil {
			return nil, fmt.Errorf("point of key %q: %w", k.ID, pointErr)
		}
		half := (len(point) - 1) / 2 // 0x04 ‖ x ‖ y
		text("kty", "EC")
		text("crv", pub.Curve.Params().Name)
		bytes("x", point[1:1+half])
		bytes("y", point[1+half:])
	case ed25519.PublicKey:
		text("kty", "OKP")
		text("crv", "Ed25519")
		bytes("x", pub)
	default:
		return nil, fmt.Errorf("key %q: type %T not supported", k.ID, k.Public)
	}
	text("kid", k.ID)
	text("alg", k.Alg)
	text("use", k.Use)
	text("issuer", k.Issuer)
	return append(dst, '}'), err
}

func bigEndian(n int) []byte {
	var b []byte
	for ; n > 0; n >>= 8 {
		b = append([]byte{byte(n)}, b...)
	}
	return b
}

var curves = map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
