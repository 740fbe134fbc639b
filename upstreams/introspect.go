package upstreams

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"time"

	"fedbroker/upstreams/introspection"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/subject"
)

// introspecting is an upstream that vouches for opaque tokens, among the others of its set.
type introspecting struct{ *member }

// Introspector is the upstream of that name, if it vouches for opaque tokens.
func (s *Set) Introspector(name string) (Introspector, bool) {
	m, ok := s.byName[name]
	if !ok || m.opaque == nil {
		return nil, false
	}
	return introspecting{m}, true
}

// opaqueSteps are what an answer is held to. It is no signed word, so acr, amr and auth_time are none of it (P4).
var opaqueSteps = [...]func(*judgement) error{
	(*judgement).issuerIsOurs, (*judgement).audience, (*judgement).times, (*judgement).confirmation, (*judgement).actors, (*judgement).readJTI, (*judgement).readSubject,
}

// Introspect implements Introspector (P13): active, sub and exp, and an aud or client_id among the audiences, or the answer vouches for nothing.
func (i introspecting) Introspect(ctx context.Context, raw string, want Want) (Identity, error) {
	if want.Now.IsZero() {
		want.Now = i.now()
	}
	if (want.Purpose != PurposeExchange && want.Purpose != PurposeActor) || len(i.audiences) == 0 {
		return Identity{}, i.refuse(ReasonPurpose, errors.New("opaque tokens are for exchange alone"))
	}
	claims, err := i.opaque.Ask(ctx, raw)
	if err != nil {
		refused := i.refuse(ReasonUnavailable, err) // whatever it is, it is not the token's fault
		if e, ok := errors.AsType[*rp.Error](err); ok {
			refused.RetryAfter = e.RetryAfter
		} else if errors.Is(err, introspection.ErrBusy) {
			refused.RetryAfter = time.Second
		}
		return Identity{}, refused
	}
	if claims.Value("active") != true {
		return Identity{}, i.refuse(ReasonInactive, errors.New("the upstream says that the token is not active"))
	}
	if err := introspection.AccessToken(claims); err != nil {
		return Identity{}, i.refuse(ReasonClass, err)
	}
	j := judgement{verifier: &i.verifier, unverified: claims, want: want, iss: i.issuer, opaque: true}
	if claims.Has("iss") {
		j.iss, _ = claims.String("iss")
	}
	for _, step := range opaqueSteps {
		if err := step(&j); err != nil {
			return Identity{}, err
		}
	}
	id := j.identity
	id.Upstream, id.Issuer, id.Claims, id.AuthTime = i.name, i.issuer, claims.Clone(), time.Time{}
	id.BrokerSubject = subject.Broker(i.name, i.issuer, id.Subject, i.manyIssuers)
	if id.IssuedAt.IsZero() { // unknown: any revocation that ever was may be later
		id.IssuedAt = time.Unix(1, 0)
	}
	sum := sha256.Sum256([]byte("opaque\x00" + raw))
	id.TokenID = base64.RawURLEncoding.EncodeToString(sum[:tokenIDBytes])
	return id, nil
}

// tokenIDBytes of a hash name a token in lineage, as of a JWT (see jose.Unverified.TokenID).
const tokenIDBytes = 16

// admitted are the audiences that the token says to have: of an opaque one aud, and the client that it was issued to (RFC 7662 §2.2, P13).
func (j *judgement) admitted() ([]string, error) {
	if !j.opaque {
		return j.token.UnverifiedAudience(), nil
	}
	aud, err := j.unverified.StringList("aud")
	if err != nil && !errors.Is(err, jose.ErrAbsent) {
		return nil, err
	}
	client, err := j.unverified.String("client_id")
	if err != nil && !errors.Is(err, jose.ErrAbsent) {
		return nil, err
	}
	if client != "" && !slices.Contains(aud, client) {
		aud = append(aud, client)
	}
	return aud, nil
}

func (j *judgement) readJTI() error {
	jti, err := j.unverified.String("jti")
	if err != nil && !errors.Is(err, jose.ErrAbsent) {
		return j.refuse(ReasonClaim, err)
	}
	j.identity.JTI = jti
	return nil
}
