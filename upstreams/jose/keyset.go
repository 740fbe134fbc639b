package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxKeySet is the size of the largest key set document that is looked at, in bytes.
	MaxKeySet = 512 << 10
	// maxKeys of one set are kept; the largest public sets hold a dozen.
	maxKeys = 256
)

// ErrKeySet: the document is no key set, or holds no key that could verify anything. A fetch that brought it has failed (P44).
var ErrKeySet = errors.New("no usable key set")

// ParseKeySet reads a JWK Set (RFC 7517 §5). A key that can't be used (weak, malformed, private, symmetric, for encryption) is
// skipped with a reason and spoils none of the others; a set without one usable key is an error. Several keys may share a kid.
func ParseKeySet(data []byte) (keys []Key, skipped []error, err error) {
	entries, err := keySetEntries(data)
	if err != nil {
		return nil, nil, err
	}
	for i, entry := range entries {
		k, err := parseKey(entry)
		switch {
		case err != nil:
			skipped = append(skipped, fmt.Errorf("keys[%d]: %w", i, err))
		case len(keys) == maxKeys:
			return keys, append(skipped, fmt.Errorf("keys[%d] and on: more than %d keys", i, maxKeys)), nil
		default:
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, skipped, fmt.Errorf("%w: %d keys, none usable", ErrKeySet, len(entries))
	}
	return keys, skipped, nil
}

// keySetEntries takes the set apart without judging its entries: repeated members and bad UTF-8 inside one are that entry's fault.
func keySetEntries(data []byte) ([]jsontext.Value, error) {
	if len(data) > MaxKeySet {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrKeySet, MaxKeySet)
	}
	if !within(data, maxDepth) {
		return nil, fmt.Errorf("%w: nested deeper than %d", ErrKeySet, maxDepth)
	}
	if !jsontext.Value(data).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
		return nil, fmt.Errorf("%w: not valid JSON", ErrKeySet)
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '{' {
		return nil, fmt.Errorf("%w: not a JSON object", ErrKeySet)
	}
	var entries []jsontext.Value
	found := false
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("%w: not valid JSON", ErrKeySet)
		}
		if name.String() != "keys" {
			if err := dec.SkipValue(); err != nil {
				return nil, fmt.Errorf("%w: not valid JSON", ErrKeySet)
			}
			continue
		}
		if found {
			return nil, fmt.Errorf("%w: repeated member keys", ErrKeySet)
		}
		found = true
		if dec.PeekKind() != '[' {
			return nil, fmt.Errorf("%w: member keys is not a list", ErrKeySet)
		}
		_, _ = dec.ReadToken()
		for dec.PeekKind() != ']' {
			v, err := dec.ReadValue()
			if err != nil {
				return nil, fmt.Errorf("%w: not valid JSON", ErrKeySet)
			}
			entries = append(entries, own(data, dec, v))
		}
		_, _ = dec.ReadToken()
	}
	if !found {
		return nil, fmt.Errorf("%w: no member keys", ErrKeySet)
	}
	return entries, nil
}

// jwk is the members of a JWK that are read. Members that hold private or symmetric key material are only looked for.
type jwk struct {
	kty, crv, n, e, x, y string
	key                  Key
	secret               bool
	ops                  []string
}

func parseKey(data jsontext.Value) (Key, error) {
	members, err := parseObject(data)
	if err != nil {
		return Key{}, err
	}
	var j jwk
	texts := map[string]*string{"kty": &j.kty, "crv": &j.crv, "n": &j.n, "e": &j.e, "x": &j.x, "y": &j.y,
		"kid": &j.key.ID, "alg": &j.key.Alg, "use": &j.key.Use, "issuer": &j.key.Issuer}
	for _, m := range members {
		name := string(m.name)
		if to, ok := texts[name]; ok {
			*to, err = m.text()
		}
		switch name {
		case "key_ops":
			j.ops, err = m.texts(false)
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k":
			j.secret = true
		}
		if err != nil {
			return Key{}, err
		}
	}
	return j.parse()
}

func (j jwk) parse() (Key, error) {
	if j.secret {
		return Key{}, errors.New("holds private or symmetric key material")
	}
	if j.ops != nil && !slices.Contains(j.ops, "verify") {
		return Key{}, errors.New("not for signatures")
	}
	var err error
	switch j.kty {
	case "RSA":
		j.key.Public, err = j.rsa()
	case "EC":
		j.key.Public, err = j.ec()
	case "OKP":
		j.key.Public, err = j.okp()
	default:
		err = errors.New("key type not supported")
	}
	if err != nil {
		return Key{}, err
	}
	if err := j.key.vet(); err != nil {
		return Key{}, err
	}
	return j.key, nil
}

func (j jwk) rsa() (*rsa.PublicKey, error) {
	n, err := appendBase64URL(nil, j.n)
	if err != nil {
		return nil, fmt.Errorf("n: %w", err)
	}
	e, err := appendBase64URL(nil, j.e)
	if err != nil {
		return nil, fmt.Errorf("e: %w", err)
	}
	const maxExponentBytes = 4 // crypto/rsa takes exponents below 2³¹
	exponent := new(big.Int).SetBytes(e)
	if len(n) > maxRSABits/8+1 || exponent.BitLen() >= 8*maxExponentBytes {
		return nil, errors.New("RSA modulus or exponent too long")
	}
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, nil
}

// ec wants both coordinates at the curve's full length (RFC 7518 §6.2.1.2) and checks that the point is on the curve.
func (j jwk) ec() (*ecdsa.PublicKey, error) {
	curve, ok := curves[j.crv]
	if !ok {
		return nil, errors.New("curve not supported")
	}
	size := (curve.Params().BitSize + 7) / 8
	point := make([]byte, 1, 1+2*size)
	point[0] = 4 // uncompressed (SEC 1 §2.3.3)
	for _, c := range []string{j.x, j.y} {
		length := len(point)
		var err error
		if point, err = appendBase64URL(point, c); err != nil {
			return nil, fmt.Errorf("coordinate: %w", err)
		}
		if len(point)-length != size {
			return nil, errors.New("coordinate of the wrong length")
		}
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil, errors.New("point not on its curve")
	}
	return pub, nil
}

func (j jwk) okp() (ed25519.PublicKey, error) {
	if j.crv != "Ed25519" {
		return nil, errors.New("curve not supported")
	}
	x, err := appendBase64URL(nil, j.x)
	if err != nil {
		return nil, fmt.Errorf("x: %w", err)
	}
	return ed25519.PublicKey(x), nil
}
