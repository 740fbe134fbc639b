package saml_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/saml"
	"fedbroker/upstreams/upstreamtest/samlidp"
	"fedbroker/upstreams/verify"
)

func TestP42_TheRequest(t *testing.T) {
	w := newWorld(t)
	r := w.request
	if r.Issuer != entityID || r.Destination != sso || r.ACS != acs || r.RelayState != "state-1" || r.ForceAuthn || r.NameIDFormat != samlidp.Persistent ||
		r.ProtocolBinding != "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" || r.Signature != "" || !strings.HasPrefix(r.ID, "_") || strings.Contains(r.ID, "nonce") {
		t.Errorf("asked %+v", r)
	}
	age := time.Hour
	for name, a := range map[string]rp.Attempt{"prompt=login": {Prompt: []string{"login"}}, "max_age": {MaxAge: &age}} { // P31
		a.State, a.Nonce, a.Now = "s", "n", now
		if w.begin(a); !w.request.ForceAuthn {
			t.Errorf("%s: nobody is asked again", name)
		}
	}
	for name, a := range map[string]rp.Attempt{"no state": {Nonce: "n"}, "no nonce": {State: "s"}} {
		if _, err := w.provider.Start(a); !errors.Is(err, verify.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// keyFile holds a key, and its certificate if it is an RSA key.
func keyFile(t *testing.T, key crypto.Signer) (file string, certificate []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	content := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	if private, ok := key.(*rsa.PrivateKey); ok {
		if certificate, err = samlidp.Certificate(private, now, now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		content = append(content, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})...)
	}
	file = filepath.Join(t.TempDir(), "sp.pem")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, certificate
}

func TestP42_ASignedRequest(t *testing.T) {
	w := newWorld(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var certificate []byte
	w.provider.PrivateKeyFile, certificate = keyFile(t, key)
	w.begin(w.attempt)
	signature, err := base64.StdEncoding.DecodeString(w.request.Signature)
	if err != nil || w.request.SigAlg != "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" {
		t.Fatalf("%+v, %v", w.request, err)
	}
	sum := sha256.Sum256([]byte(strings.TrimPrefix(w.request.Signed, "tenant=1&"))) // SAMLRequest, RelayState, SigAlg, and nothing else
	if err := rsa.VerifyPKCS1v15(&key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		t.Error(err)
	}
	document, err := w.provider.Metadata()
	if err != nil || !strings.Contains(string(document), `AuthnRequestsSigned="true"`) || !strings.Contains(string(document), base64.StdEncoding.EncodeToString(certificate)) ||
		strings.Contains(string(document), "PRIVATE") {
		t.Errorf("%s, %v", document, err)
	}
}

func TestP42_KeysThatSignNoRequest(t *testing.T) {
	w := newWorld(t)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.provider.PrivateKeyFile, _ = keyFile(t, curve)
	for _, file := range []string{w.provider.PrivateKeyFile, filepath.Join(t.TempDir(), "none")} {
		w.provider.PrivateKeyFile = file
		if _, err := w.provider.Start(w.attempt); !errors.Is(err, verify.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		if _, err := w.provider.Metadata(); err == nil {
			t.Error("metadata without the key")
		}
	}
}

// certificate of a public key, signed by nobody who matters.
func certificate(t *testing.T, public any, from, to time.Time) []byte {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestP42_CertificatesThatGiveNoKey(t *testing.T) {
	good, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	weak := &rsa.PublicKey{N: new(big.Int).SetBit(big.NewInt(1), 1023, 1), E: 65537}
	const year = 365 * 24 * time.Hour
	fits := certificate(t, &good.PublicKey, now, now.Add(year))
	for name, tc := range map[string]struct {
		file   []byte
		keys   int    // 0: an error
		warned string // of; "": of nothing
	}{
		"one":                     {fits, 1, ""},
		"four":                    {append(append(append(append([]byte{}, fits...), fits...), fits...), fits...), 4, ""},
		"five":                    {append(append(append(append(append([]byte{}, fits...), fits...), fits...), fits...), fits...), 0, ""},
		"none":                    {[]byte("x"), 0, ""},
		"expired":                 {certificate(t, &good.PublicKey, now.Add(-year), now.Add(-time.Second)), 0, ""},
		"expired beside another":  {append(certificate(t, &good.PublicKey, now.Add(-year), now.Add(-time.Second)), fits...), 1, "valid from"},
		"not yet":                 {append(certificate(t, &good.PublicKey, now.Add(time.Second), now.Add(year)), fits...), 1, "valid from"},
		"ends soon":               {certificate(t, &good.PublicKey, now, now.Add(29*24*time.Hour)), 1, "ends on"},
		"weak":                    {certificate(t, weak, now, now.Add(year)), 0, ""},
		"weak beside another":     {append(certificate(t, weak, now, now.Add(year)), fits...), 1, "shorter than 2048"},
		"of another kind":         {certificate(t, &curve.PublicKey, now, now.Add(year)), 0, ""},
		"a private key beside it": {append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), fits...), 1, "not a certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "idp.pem")
			if err := os.WriteFile(file, tc.file, 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := saml.CertificatesSource(file, clock)(t.Context())
			if tc.keys == 0 {
				if err == nil {
					t.Errorf("got %s", got.Set)
				}
				return
			}
			keys, _, parseErr := jose.ParseKeySet(got.Set)
			if err != nil || parseErr != nil || len(keys) != tc.keys {
				t.Fatalf("got %d keys, %v, %v", len(keys), err, parseErr)
			}
			if text := ""; got.Warning != nil || tc.warned != "" {
				if got.Warning != nil {
					text = got.Warning.Error()
				}
				if tc.warned == "" || !strings.Contains(text, tc.warned) {
					t.Errorf("want a warning of %q, got %q", tc.warned, text)
				}
			}
		})
	}
	if _, err := saml.CertificatesSource(filepath.Join(t.TempDir(), "none"), clock)(t.Context()); err == nil {
		t.Error("a file that is not there")
	}
}
