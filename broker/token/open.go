package token

import (
	"errors"
	"fmt"
	"time"

	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/upstreams/jose"
)

// OpenerOptions describe an Opener. All but Leeway are required.
type OpenerOptions struct {
	Issuer  string
	Keyring *keyring.Keyring
	Revoked *revoke.Set
	Leeway  time.Duration // for clocks of other replicas
}

// Opener opens tokens that we made.
type Opener struct {
	o        OpenerOptions
	accepted jose.Algorithms
}

// NewOpener checks that nothing is missing: an Opener without revocations would open the dead.
func NewOpener(o OpenerOptions) (*Opener, error) {
	if o.Issuer == "" || o.Keyring == nil || o.Revoked == nil {
		return nil, errors.New("token opener: issuer, keyring and revocations are required")
	}
	accepted, err := jose.ParseAlgorithms(keyring.Algorithms())
	if err != nil {
		return nil, fmt.Errorf("token opener: %w", err)
	}
	return &Opener{o: o, accepted: accepted}, nil
}

// Own is a token of ours that verified, is in time and is not revoked.
type Own struct {
	Subject, ClientID, JTI, KeyID string
	Audience, Scopes              []string
	IssuedAt, Expires             time.Time
	OriginExpires                 time.Time // no descendant lives longer (P18)
	AuthTime                      time.Time // zero: not known
	ACR                           string
	AMR                           []string
	UpstreamName                  string // "" for a client's own token
	UpstreamIssuer                string // only where the token's client sees it (P6)
	UpstreamSubject               string
	SessionID                     string         // of an ID token
	Act                           *rules.Actor   // who acts; nil: nobody
	HasMayAct                     bool           // may_act, which we never issue
	Confirmed                     string         // thumbprint of the key that it is bound to (cnf.jkt); "" for a bearer token
	Facts                         revoke.Facts   // what a revocation can name of it
	Claims                        map[string]any // all of them, the caller's own
}

func refuse(reason oauth.Reason, cause error) error {
	return oauth.Deny(oauth.CodeInvalidRequest, reason).Because(cause)
}

// OpenAccess opens an access token of ours (at+jwt) and no other class: our ID tokens, logout tokens and ID-JAGs bear the same
// issuer and keys, and are refused (P9). Judging the audience, and act, may_act and cnf, is the caller's work.
//
// The error is an *oauth.Error: invalid_request, or temporarily_unavailable when the revocations are too old to judge by, which
// only a token that is good in all else can meet. With an error that wraps revoke.ErrRevoked comes what the dead token says.
func (o *Opener) OpenAccess(u jose.Unverified, now time.Time) (Own, error) {
	if u.Class() != jose.ClassAccessToken {
		return Own{}, refuse(oauth.ReasonTokenClass, fmt.Errorf("want an access token, got class %v", u.Class()))
	}
	return o.open(u, now, "client_id")
}

// OpenID opens an ID token of ours as OpenAccess opens an access token: as the subject of an ID-JAG (P22), and as nothing else. ClientID is its azp.
func (o *Opener) OpenID(u jose.Unverified, now time.Time) (Own, error) {
	if u.Class() != jose.ClassJWT || u.Typ() == "" {
		return Own{}, refuse(oauth.ReasonTokenClass, fmt.Errorf("want an ID token, got class %v", u.Class()))
	}
	return o.open(u, now, "azp")
}

// open opens a token of ours whose client is named by the given claim.
func (o *Opener) open(u jose.Unverified, now time.Time, client string) (Own, error) {
	claims, err := o.verify(u)
	if err != nil {
		return Own{}, err
	}
	own, err := o.read(u, claims, client)
	if err != nil {
		return Own{}, refuse(oauth.ReasonToken, err)
	}
	if err := o.inTime(claims, own.IssuedAt, own.Expires, now); err != nil {
		return Own{}, refuse(oauth.ReasonTokenTime, err)
	}
	switch err := o.o.Revoked.Check(own.Facts, own.IssuedAt); {
	case errors.Is(err, revoke.ErrStale):
		return Own{}, oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale).Because(err)
	case err != nil:
		return own, refuse(oauth.ReasonRevoked, err)
	}
	return own, nil
}

// verify holds the token to our issuer and to the one key that it names, if that key is not retired or compromised.
func (o *Opener) verify(u jose.Unverified) (jose.Claims, error) {
	if u.UnverifiedIssuer() != o.o.Issuer {
		return jose.Claims{}, refuse(oauth.ReasonTokenIssuer, errors.New("not of our issuer"))
	}
	key, ok := o.o.Keyring.Public(u.KeyID()) // all our tokens name their key; "" is none of ours
	if !ok {
		return jose.Claims{}, refuse(oauth.ReasonSignature, errors.New("not signed with a key of ours that is in use"))
	}
	verified, err := u.Verify([]jose.Key{key}, o.accepted)
	if err != nil {
		return jose.Claims{}, refuse(oauth.ReasonSignature, err)
	}
	claims, err := verified.Claims(nil)
	if err != nil {
		return jose.Claims{}, refuse(oauth.ReasonToken, err)
	}
	return claims, nil
}

// inTime judges exp, iat and nbf with a leeway that is the same on both sides (P12).
func (o *Opener) inTime(claims jose.Claims, issued, expires, now time.Time) error {
	if !now.Before(expires.Add(o.o.Leeway)) {
		return errors.New("expired")
	}
	if issued.After(now.Add(o.o.Leeway)) {
		return errors.New("issued in the future")
	}
	notBefore, err := claims.Time("nbf")
	switch {
	case errors.Is(err, jose.ErrAbsent):
		return nil
	case err != nil:
		return err
	case notBefore.After(now.Add(o.o.Leeway)):
		return errors.New("not valid yet")
	}
	return nil
}

// reader reads claims one by one and keeps the first error. What we sign has every required claim; a token without is not one
// that Mint made.
type reader struct {
	claims jose.Claims
	err    error
}

func (r *reader) keep(err error, optional bool) {
	if err != nil && r.err == nil && !(optional && errors.Is(err, jose.ErrAbsent)) {
		r.err = err
	}
}

func (r *reader) string(name string, optional bool) string {
	s, err := r.claims.String(name)
	if err == nil && s == "" && !optional {
		err = fmt.Errorf("%w: %s: empty", jose.ErrClaim, name)
	}
	r.keep(err, optional)
	return s
}

func (r *reader) time(name string, optional bool) time.Time {
	t, err := r.claims.Time(name)
	r.keep(err, optional)
	return t
}

func (r *reader) strings(name string, optional bool) []string {
	list, err := r.claims.StringList(name)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%w: %s: empty", jose.ErrClaim, name)
	}
	r.keep(err, optional)
	return list
}

// read reads the claims that appendAccess and idClaims wrote.
func (o *Opener) read(u jose.Unverified, claims jose.Claims, client string) (Own, error) {
	r := reader{claims: claims}
	own := Own{
		Subject: r.string("sub", false), ClientID: r.string(client, false), JTI: r.string("jti", false), KeyID: u.KeyID(),
		Audience: r.strings("aud", false),
		IssuedAt: r.time("iat", false), Expires: r.time("exp", false), OriginExpires: r.time("origin_exp", false), AuthTime: r.time("auth_time", true),
		ACR: r.string("acr", true), AMR: r.strings("amr", true),
		SessionID: r.string("sid", true), HasMayAct: u.Has(jose.MarkerMayAct), Claims: claims.Map(),
	}
	var err error
	own.Scopes, err = oauth.ParseScope(r.string("scope", true))
	r.keep(err, false)
	r.keep(own.readUpstream(), false)
	own.Act, err = o.readActor(own.Claims["act"])
	r.keep(err, false)
	own.Confirmed, err = readConfirmed(own.Claims["cnf"])
	r.keep(err, false)
	lineage, err := revoke.ParseLineage(own.Claims["lin"])
	r.keep(err, false)
	own.Facts = revoke.Facts{
		TokenID: own.JTI, ClientID: own.ClientID, Subject: own.Subject, Upstream: own.UpstreamName, Kid: own.KeyID, Lineage: lineage,
	}
	if _, named := own.Claims["lin"]; !named {
		r.keep(fmt.Errorf("%w: lin", jose.ErrAbsent), false)
	}
	return own, r.err
}

func (own *Own) readUpstream() error {
	value, present := own.Claims["upstream"]
	if !present {
		return nil
	}
	members, ok := value.(map[string]any)
	if !ok {
		return fmt.Errorf("%w: upstream: want an object", jose.ErrClaim)
	}
	own.UpstreamName, _ = members["name"].(string)
	own.UpstreamIssuer, _ = members["iss"].(string)
	own.UpstreamSubject, _ = members["sub"].(string)
	if own.UpstreamName == "" {
		return fmt.Errorf("%w: upstream.name: want a string", jose.ErrClaim)
	}
	return nil
}

// readActor reads the claim act, the whole chain. We wrote it: whatever it does not know is none of ours.
func (o *Opener) readActor(claim any) (*rules.Actor, error) {
	if claim == nil {
		return nil, nil //nolint:nilnil // nobody acts
	}
	members, ok := claim.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: act: want an object", jose.ErrClaim)
	}
	a := &rules.Actor{}
	a.Subject, _ = members["sub"].(string)
	a.ClientID, _ = members["client_id"].(string)
	if a.Subject == "" || members["iss"] != o.o.Issuer {
		return nil, fmt.Errorf("%w: act: want sub, and iss as ours", jose.ErrClaim)
	}
	for name := range members {
		if name != "iss" && name != "sub" && name != "client_id" && name != "act" {
			return nil, fmt.Errorf("%w: act: member %q is not known", jose.ErrClaim, name)
		}
	}
	var err error
	a.Act, err = o.readActor(members["act"])
	return a, err
}

// readConfirmed reads the claim cnf: a key's thumbprint, and nothing else (P25).
func readConfirmed(claim any) (string, error) {
	if claim == nil {
		return "", nil
	}
	members, ok := claim.(map[string]any)
	key, _ := members["jkt"].(string)
	if !ok || key == "" || len(members) != 1 {
		return "", fmt.Errorf("%w: cnf: want {jkt}", jose.ErrClaim)
	}
	return key, nil
}
