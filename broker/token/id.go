package token

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/store"
	"fedbroker/upstreams/jose"
)

// typID is the typ of an ID token: none is registered for it, and JWT keeps it apart from at+jwt (RFC 8725 section 3.11).
const typID = "JWT"

// longestSignature is that of a 4096-bit RSA key, in bytes; longestAtHash half a SHA-512, as base64url.
const (
	longestSignature = 512
	longestAtHash    = 43
)

// idDraft is an ID token that is written, but for at_hash, and not signed.
type idDraft struct {
	head    *header
	payload []byte // without its end: at_hash follows
	jti     string
}

// prepareID writes the ID token of a login.
func (m *Minter) prepareID(a *policy.Authority, id policy.IDToken) (*idDraft, error) {
	key, err := m.o.Keyring.Signing(id.Alg)
	if err != nil {
		return nil, oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonUnavailable).Because(err)
	}
	d := &idDraft{head: headerOf(m.ids[id.Alg], typID, key), jti: store.NewKey(a.IssuedAt())}
	o := object{}
	o.idClaims(m.o.Issuer, &Minted{JTI: d.jti, KeyID: key.ID, IssuedAt: a.IssuedAt(), Expires: id.Expires}, a, &id)
	if o.err != nil {
		return nil, o.err
	}
	d.payload = o.buf
	b64 := base64.RawURLEncoding
	tail := len(`,"at_hash":""}`) + longestAtHash
	if size := len(d.head.encoded) + b64.EncodedLen(len(d.payload)+tail) + len(".") + b64.EncodedLen(longestSignature); size > jose.MaxToken {
		return nil, oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonMapping).Because(fmt.Errorf("ID token of %d bytes, at most %d", size, jose.MaxToken))
	}
	return d, nil
}

// appendID writes the ID token of an exchange (P22).
func appendID(dst []byte, issuer string, t *Minted, a *policy.Authority) ([]byte, error) {
	id, _ := a.IDToken()
	o := object{buf: dst}
	o.idClaims(issuer, t, a, &id)
	return o.end()
}

// idClaims writes the claims of an ID token (OpenID Connect Core section 2). jti and lin let it be revoked: it can become an ID-JAG.
func (o *object) idClaims(issuer string, t *Minted, a *policy.Authority, id *policy.IDToken) {
	o.string("iss", issuer)
	o.string("sub", a.Subject())
	o.string("aud", id.Audience)
	o.seconds("exp", t.Expires)
	o.seconds("iat", t.IssuedAt)
	o.string("jti", t.JTI)
	o.seconds("auth_time", a.AuthTime())
	o.optional("nonce", id.Nonce)
	o.optional("acr", a.ACR())
	if amr := a.AMR(); len(amr) > 0 {
		o.strings("amr", amr)
	}
	o.string("azp", id.Requester)
	o.optional("sid", id.SessionID)
	o.upstream(a.Upstream())
	o.actor(issuer, a.Act())
	if id.Exchanged { // of a login, the key is the access token's
		o.confirmed(a.Confirmed())
	}
	o.seconds("origin_exp", a.OriginExpires())
	o.lineage(factsOf(t.JTI, t.KeyID, a))
	o.released(id.Claims)
}

// sign ends the ID token with the hash of its access token, and signs it.
func (d *idDraft) sign(buf *buffers, access string) (string, error) {
	o := object{buf: append(buf.payload[:0], d.payload...)}
	o.string("at_hash", atHash(d.head.key.Alg, access))
	var err error
	if buf.payload, err = o.end(); err != nil {
		return "", err
	}
	return buf.sign(d.head)
}

// atHash is the left half of the access token's hash, by the hash of the ID token's algorithm (OpenID Connect Core section 3.1.3.6); Ed25519's
// is SHA-512 (RFC 8032 section 5.1).
func atHash(alg, access string) string {
	var sum []byte
	switch alg {
	case keyring.ES384:
		full := sha512.Sum384([]byte(access))
		sum = full[:]
	case keyring.EdDSA:
		full := sha512.Sum512([]byte(access))
		sum = full[:]
	default:
		full := sha256.Sum256([]byte(access))
		sum = full[:]
	}
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// Hint is an ID token of ours as id_token_hint: it says who somebody was, and is no credential (P39).
type Hint struct {
	Subject, ClientID, SessionID string
}

// OpenHint opens an ID token of ours, also one that has expired, or whose key is retired: nothing else may be a hint. Revocations do not
// matter: a hint names what is to be ended. The error is an *oauth.Error.
func (o *Opener) OpenHint(raw string, now time.Time) (Hint, error) {
	u, err := jose.Parse(raw)
	if err != nil {
		return Hint{}, refuse(oauth.ReasonToken, err)
	}
	if u.Class() != jose.ClassJWT || u.Typ() == "" || u.UnverifiedIssuer() != o.o.Issuer {
		return Hint{}, refuse(oauth.ReasonTokenClass, fmt.Errorf("want an ID token of ours, got class %v", u.Class()))
	}
	key, ok := o.o.Keyring.Retired(u.KeyID())
	if !ok {
		return Hint{}, refuse(oauth.ReasonSignature, errors.New("not signed with a key of ours that is known"))
	}
	verified, err := u.Verify([]jose.Key{key}, o.accepted)
	if err != nil {
		return Hint{}, refuse(oauth.ReasonSignature, err)
	}
	claims, err := verified.Claims(nil)
	if err != nil {
		return Hint{}, refuse(oauth.ReasonToken, err)
	}
	r := reader{claims: claims}
	aud := r.strings("aud", false)
	h := Hint{Subject: r.string("sub", false), ClientID: r.string("azp", false), SessionID: r.string("sid", true)}
	issued := r.time("iat", false)
	if r.err == nil && (len(aud) != 1 || !slices.Contains(aud, h.ClientID)) {
		r.err = errors.New("aud is not one client")
	}
	if r.err == nil && issued.After(now.Add(o.o.Leeway)) {
		r.err = errors.New("issued in the future")
	}
	if r.err != nil {
		return Hint{}, refuse(oauth.ReasonToken, r.err)
	}
	return h, nil
}
