package verify

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

// opaqueSteps are what an answer is held to. It is no signed word, so acr, amr and auth_time are none of it (P4).
var opaqueSteps = [...]func(*judgement) error{
	(*judgement).issuerIsOurs, (*judgement).audience, (*judgement).times, (*judgement).confirmation, (*judgement).actors, (*judgement).readJTI, (*judgement).readSubject,
}

// Introspect is what the upstream's answer about an opaque token proves (P13): active, sub and exp, and an aud or client_id among the audiences, or
// it vouches for nothing. Errors are those of Verify.
func (v *Verifier) Introspect(ctx context.Context, upstream *introspection.Client, raw string, want Want) (Identity, error) {
	if want.Now.IsZero() {
		want.Now = v.Now()
	}
	if (want.Purpose != PurposeExchange && want.Purpose != PurposeActor) || len(v.Audiences) == 0 {
		return Identity{}, v.Refuse(ReasonPurpose, errors.New("opaque tokens are for exchange alone"))
	}
	claims, err := upstream.Ask(ctx, raw)
	if err != nil {
		refused := v.Refuse(ReasonUnavailable, err) // whatever it is, it is not the token's fault
		if e, ok := errors.AsType[*rp.Error](err); ok {
			refused.RetryAfter = e.RetryAfter
		} else if errors.Is(err, introspection.ErrBusy) {
			refused.RetryAfter = time.Second
		}
		return Identity{}, refused
	}
	if claims.Value("active") != true {
		return Identity{}, v.Refuse(ReasonInactive, errors.New("the upstream says that the token is not active"))
	}
	if err := introspection.AccessToken(claims); err != nil {
		return Identity{}, v.Refuse(ReasonClass, err)
	}
	j := judgement{Verifier: v, unverified: claims, want: want, iss: v.Issuer, opaque: true}
	if claims.Has("iss") {
		j.iss, _ = claims.String("iss")
	}
	for _, step := range opaqueSteps {
		if err := step(&j); err != nil {
			return Identity{}, err
		}
	}
	v.Shapes.Observe(v.Upstream, sourceIntrospection, claims)
	id := j.identity
	id.Upstream, id.Issuer, id.Claims, id.AuthTime = v.Upstream, v.Issuer, claims.Clone(), time.Time{}
	id.BrokerSubject = subject.Broker(v.Upstream, v.Issuer, id.Subject, v.ManyIssuers())
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
		return j.Refuse(ReasonClaim, err)
	}
	j.identity.JTI = jti
	return nil
}
