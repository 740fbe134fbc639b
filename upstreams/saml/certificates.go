package saml

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
)

const (
	maxCertificates = 4 // more than are ever tried for one signature would be certificates that do nothing
	// expirySoon is how long before its end a certificate is warned of: identity providers announce a new one about then.
	expirySoon = 30 * 24 * time.Hour
)

// CertificatesSource reads the identity provider's signing certificates (PEM) and gives their keys as a key set, so that they live as all keys do. It is
// for an Upstream that is Static. A certificate is a name and two dates for a key that the operator trusts: no chain is built. One whose dates do not hold now gives
// no key; of that, and of one that ends soon, the warning tells.
func CertificatesSource(path string, now func() time.Time) keys.Source {
	return func(context.Context) (keys.Fetched, error) {
		data, err := readFile(path)
		if err != nil {
			return keys.Fetched{}, fmt.Errorf("certificates file: %w", err)
		}
		set, warning, err := keySet(data, now())
		if err != nil {
			return keys.Fetched{}, fmt.Errorf("certificates file: %w", err)
		}
		return keys.Fetched{Set: set, Warning: warning}, nil
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, jose.MaxKeySet))
}

// keySet makes a key set of the certificates in data. A key's id is its certificate's fingerprint.
func keySet(data []byte, now time.Time) (set []byte, warning, err error) {
	var fitting []string
	var warnings []error
	for n := 1; ; n++ {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			break
		}
		if n > maxCertificates {
			return nil, nil, fmt.Errorf("want at most %d certificates", maxCertificates)
		}
		key, ends, err := certified(block, now)
		if err != nil {
			warnings = append(warnings, fmt.Errorf("certificate %d: %w", n, err))
			continue
		}
		if now.After(ends.Add(-expirySoon)) {
			warnings = append(warnings, fmt.Errorf("certificate %d ends on %s", n, ends.UTC().Format(time.DateOnly)))
		}
		fitting = append(fitting, key)
	}
	warning = errors.Join(warnings...)
	if len(fitting) == 0 {
		return nil, nil, errors.Join(errors.New("no certificate that can be used"), warning)
	}
	return []byte(`{"keys":[` + strings.Join(fitting, ",") + `]}`), warning, nil
}

func certified(block *pem.Block, now time.Time) (jwk string, ends time.Time, err error) {
	if block.Type != "CERTIFICATE" {
		return "", ends, errors.New("not a certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", ends, errors.New("can't be read")
	}
	if _, isRSA := certificate.PublicKey.(*rsa.PublicKey); !isRSA {
		return "", ends, errors.New("want an RSA key")
	}
	if now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
		return "", ends, fmt.Errorf("valid from %s to %s", certificate.NotBefore.UTC().Format(time.DateOnly), certificate.NotAfter.UTC().Format(time.DateOnly))
	}
	sum := sha256.Sum256(certificate.Raw)
	key, err := jose.NewKey(base64.RawURLEncoding.EncodeToString(sum[:]), "", certificate.PublicKey)
	if err != nil {
		return "", ends, err
	}
	text, err := key.AppendJWK(nil)
	return string(text), certificate.NotAfter, err
}
