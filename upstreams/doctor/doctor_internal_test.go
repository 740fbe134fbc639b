package doctor

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/upstreamtest"
)

func TestClockIsReadWithItsErrorBar(t *testing.T) {
	at := time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC)
	const date = "Fri, 15 Jan 2027 08:00:00 GMT"
	for name, tc := range map[string]struct {
		sent, received time.Duration // after at
		date, age      string
		least, most    time.Duration
		ok             bool
	}{
		"at once":             {0, 0, date, "", 0, time.Second, true},
		"slowly":              {-2 * time.Second, 2 * time.Second, date, "", -2 * time.Second, 3 * time.Second, true},
		"ours is behind":      {-time.Minute, -time.Minute, date, "", time.Minute, time.Minute + time.Second, true},
		"ours is ahead":       {time.Minute, time.Minute, date, "", -time.Minute, -time.Minute + time.Second, true},
		"out of a cache":      {time.Minute, time.Minute, date, "60", 0, 2 * time.Second, true},
		"an age that is none": {0, 0, date, "-1", 0, 0, false},
		"no date":             {0, 0, "", "", 0, 0, false},
		"nonsense":            {0, 0, "yesterday", "", 0, 0, false},
	} {
		least, most, ok := reading{at.Add(tc.sent), at.Add(tc.received), tc.date, tc.age}.bounds()
		if least != tc.least || most != tc.most || ok != tc.ok {
			t.Errorf("%s: got %v to %v, %v", name, least, most, ok)
		}
	}
}

func TestCertificateOfAKey(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signers := []crypto.Signer{ed, other}
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P521()} {
		ec, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, ec)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	chains := make([]string, len(signers))
	for i, s := range signers {
		der, err := x509.CreateCertificate(rand.Reader, template, template, s.Public(), s)
		if err != nil {
			t.Fatal(err)
		}
		chains[i] = base64.StdEncoding.EncodeToString(der)
	}
	for i, s := range signers {
		for k, chain := range append(chains, "AA==", "!", "") {
			jwk := upstreamtest.JWK(s.Public(), "a", "")
			jwk["x5c"] = []string{chain}
			text, err := json.Marshal(jwk)
			if err != nil {
				t.Fatal(err)
			}
			claims, err := jose.ParseClaims(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := certified(entry{Claims: claims}); got != (i == k) {
				t.Errorf("%T with certificate %d: got %v", s, k, got)
			}
		}
	}
}
