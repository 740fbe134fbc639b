package rp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// assertionLife is short: an assertion is used at once.
const assertionLife = time.Minute

// assertion proves us by our own key (RFC 7523 §3, OpenID Connect Core §9). Its audience is the configured issuer as a single string: a token
// endpoint is a name that a hostile discovery document could give (P37).
func (c *Client) assertion() (string, error) {
	key, alg, err := readKey(c.o.PrivateKeyFile)
	if err != nil {
		return "", fmt.Errorf("private_key_file: %w", err)
	}
	public := jose.JSONWebKey{Key: key.Public()}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("private_key_file: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: base64.RawURLEncoding.EncodeToString(thumbprint)}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", fmt.Errorf("private_key_file: %w", err)
	}
	now := c.o.Now()
	claims := map[string]any{
		"iss": c.o.ClientID, "sub": c.o.ClientID, "aud": c.o.Issuer, "jti": newID(), "iat": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	}
	return jwt.Signed(signer).Claims(claims).Serialize()
}

var errKey = errors.New("want a PEM private key: RSA of 2048 bits or more, P-256, P-384 or Ed25519")

// readKey reads the one private key of a PEM file, and the algorithm that fits it. Its errors hold nothing of the content.
func readKey(path string) (crypto.Signer, jose.SignatureAlgorithm, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, "", errKey
	}
	var key any
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, "", errKey
	}
	const leastRSA = 2048
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() >= leastRSA {
			return k, jose.RS256, nil
		}
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return k, jose.ES256, nil
		case elliptic.P384():
			return k, jose.ES384, nil
		}
	case ed25519.PrivateKey:
		return k, jose.EdDSA, nil
	}
	return nil, "", errKey
}
