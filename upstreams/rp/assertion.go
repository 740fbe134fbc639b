package rp

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const (
	assertionLife = time.Minute // RFC 7523 §3: short; it is used at once
	minRSABits    = 2048        // RFC 7518 §3.3
	maxKeyFile    = 64 << 10    // bytes
)

// assertion is a client assertion for the token endpoint (RFC 7523 §2.2). Its audience is the configured issuer alone, as a string, so
// that nothing a provider says of itself can make it good at another (P37). The key is read anew each time, so that it can rotate.
func (c *Client) assertion(doc Document) (string, error) {
	key, err := readKey(c.o.PrivateKeyFile)
	if err != nil {
		return "", fmt.Errorf("private key file %s: %w", c.o.PrivateKeyFile, err)
	}
	alg, err := algorithm(key, doc.AssertionAlgorithms)
	if err != nil {
		return "", fmt.Errorf("private key file %s: %w", c.o.PrivateKeyFile, err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("private key file %s: no signer", c.o.PrivateKeyFile)
	}
	now := c.o.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": c.o.ClientID, "sub": c.o.ClientID, "aud": c.o.Issuer, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", errors.New("signing")
	}
	return signed.CompactSerialize()
}

// readKey reads PEM (PKCS #8, SEC 1, PKCS #1) or a JWK, whose kid the provider may want to see. Its errors quote nothing.
func readKey(path string) (*jose.JSONWebKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // the path is named by the caller
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, errors.New("can't be read")
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(data) != nil || key.IsPublic() || !key.Valid() {
			return nil, errors.New("not a private JWK")
		}
		return &key, nil
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("neither PEM nor a JWK")
	}
	for _, parse := range [...]func([]byte) (any, error){
		x509.ParsePKCS8PrivateKey,
		func(der []byte) (any, error) { return x509.ParseECPrivateKey(der) },
		func(der []byte) (any, error) { return x509.ParsePKCS1PrivateKey(der) },
	} {
		if key, err := parse(block.Bytes); err == nil {
			return &jose.JSONWebKey{Key: key}, nil
		}
	}
	return nil, errors.New("not a private key")
}

// algorithm is the JWK's own, or what fits the key. RSA signs as every provider can verify, but as PSS where only that is supported.
func algorithm(key *jose.JSONWebKey, supported []string) (jose.SignatureAlgorithm, error) {
	if key.Algorithm != "" {
		return jose.SignatureAlgorithm(key.Algorithm), nil
	}
	switch private := key.Key.(type) {
	case *rsa.PrivateKey:
		switch {
		case private.N.BitLen() < minRSABits:
			return "", fmt.Errorf("RSA key shorter than %d bits", minRSABits)
		case slices.Contains(supported, string(jose.PS256)) && !slices.Contains(supported, string(jose.RS256)):
			return jose.PS256, nil
		}
		return jose.RS256, nil
	case *ecdsa.PrivateKey:
		switch private.Params().BitSize {
		case 256:
			return jose.ES256, nil
		case 384:
			return jose.ES384, nil
		case 521:
			return jose.ES512, nil
		}
	case ed25519.PrivateKey:
		return jose.EdDSA, nil
	}
	return "", errors.New("no signature algorithm for a key of this type")
}
