package dpop

import (
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	gojose "github.com/go-jose/go-jose/v4"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"fedbroker/upstreams/jose"
)

// proof is what a proof says whose signature its own key made. That proves possession and nothing else: the key is anybody's.
type proof struct {
	key              string // thumbprint
	jti, method, url string // url is normalised
	nonce, ath       string // "" where absent
	issued           time.Time
	begins, ends     time.Time // nbf and exp; zero where absent
}

const (
	typ = "dpop+jwt" // check 4

	claimJTI, claimHTM, claimHTU, claimIAT = "jti", "htm", "htu", "iat"
	claimNonce, claimATH                   = "nonce", "ath"
	claimNBF, claimEXP                     = "nbf", "exp"
)

// open takes checks 2 to 7 of RFC 9449 §4.3: a JWT in strict form with the required claims, of its type, signed by an accepted asymmetric algorithm
// with the public key in its header. The errors hold no value of the proof.
func (c *Checker) open(raw string) (proof, error) {
	if len(raw) > maxProof {
		return proof{}, fmt.Errorf("longer than %d bytes", maxProof)
	}
	unverified, err := jose.Parse(raw)
	if err != nil {
		return proof{}, err
	}
	if unverified.Typ() != typ {
		return proof{}, errors.New("typ is not dpop+jwt")
	}
	key, err := headerKey(raw)
	if err != nil {
		return proof{}, fmt.Errorf("jwk: %w", err)
	}
	key.ID, key.Issuer = unverified.KeyID(), "" // the proof has one key, and no issuer
	verified, err := unverified.Verify([]jose.Key{key}, c.accepted)
	if err != nil {
		return proof{}, err
	}
	claims, err := verified.Claims(jose.NewSelection())
	if err != nil {
		return proof{}, err
	}
	p, err := read(claims)
	if err != nil {
		return proof{}, err
	}
	p.key, err = thumbprint(key)
	return p, err
}

// headerKey reads the header's jwk as strictly as a key of a key set: a private, symmetric, weak or malformed one is none (RFC 9449 §4.3, check 7).
// raw was parsed: its header is one JSON object without repeated members.
func headerKey(raw string) (jose.Key, error) {
	head, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil {
		return jose.Key{}, errors.New("not base64url")
	}
	var h struct {
		JWK jsontext.Value `json:"jwk"`
	}
	if err := json.Unmarshal(text, &h); err != nil || h.JWK.Kind() != '{' {
		return jose.Key{}, errors.New("absent or not an object")
	}
	keys, skipped, err := jose.ParseKeySet([]byte(`{"keys":[` + string(h.JWK) + `]}`))
	if err != nil {
		return jose.Key{}, errors.Join(append(skipped, err)...)
	}
	return keys[0], nil
}

// thumbprint is the SHA-256 JWK thumbprint (RFC 7638 §3).
func thumbprint(key jose.Key) (string, error) {
	jwk := gojose.JSONWebKey{Key: key.Public}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// read takes the claims of RFC 9449 §4.2: four that must be there, and four that may.
func read(claims jose.Claims) (p proof, err error) {
	for _, text := range [...]struct {
		name     string
		to       *string
		required bool
	}{
		{claimJTI, &p.jti, true}, {claimHTM, &p.method, true}, {claimHTU, &p.url, true}, {claimNonce, &p.nonce, false}, {claimATH, &p.ath, false},
	} {
		if !text.required && !claims.Has(text.name) {
			continue
		}
		if *text.to, err = claims.String(text.name); err != nil {
			return proof{}, err
		}
		if *text.to == "" {
			return proof{}, fmt.Errorf("%s is empty", text.name)
		}
	}
	for _, when := range [...]struct {
		name     string
		to       *time.Time
		required bool
	}{{claimIAT, &p.issued, true}, {claimNBF, &p.begins, false}, {claimEXP, &p.ends, false}} {
		if !when.required && !claims.Has(when.name) {
			continue
		}
		if *when.to, err = claims.Time(when.name); err != nil {
			return proof{}, err
		}
	}
	if len(p.jti) > maxJTI {
		return proof{}, fmt.Errorf("jti is longer than %d bytes", maxJTI)
	}
	if p.ath != "" && !ValidThumbprint(p.ath) { // a SHA-256 as well
		return proof{}, errors.New("ath is not a SHA-256")
	}
	if p.url, err = normalURL(p.url); err != nil {
		return proof{}, fmt.Errorf("htu: %w", err)
	}
	return p, nil
}

// fits takes checks 8, 9 and 12: made for this method, this address, and this token.
func (p proof) fits(w Want, target string) error {
	switch {
	case p.method != w.Method: // methods are case-sensitive (RFC 9110 §9.1)
		return errors.New("htm is not the request's method")
	case p.url != target:
		return errors.New("htu is not the request's address")
	case w.Token != "" && !equal(p.ath, TokenHash(w.Token)):
		return errors.New("ath is not the access token's hash")
	}
	return nil
}

// inTime is check 11. nbf and exp are not asked for, but hold where they are (RFC 7519 §4.1.4, §4.1.5).
func (p proof) inTime(now time.Time, leeway time.Duration) error {
	switch {
	case p.issued.After(now.Add(leeway)):
		return errors.New("iat is in the future")
	case now.After(p.issued.Add(maxAge + leeway)):
		return errors.New("iat is too long ago")
	case p.begins.After(now.Add(leeway)):
		return errors.New("nbf is in the future")
	case !p.ends.IsZero() && !now.Before(p.ends.Add(leeway)):
		return errors.New("expired")
	}
	return nil
}
