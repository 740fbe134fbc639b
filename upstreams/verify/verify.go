package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/shape"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/subject"
)

// Options of a Verifier: what of its upstream's configuration matters to a token. Slices and maps are not kept by anybody else.
type Options struct {
	Upstream      string                   // the configured name
	Issuer        string                   // the only one; empty for a pattern
	Speaks        func(issuer string) bool // of a pattern: whether the issuer is one of its many; nil: it has one
	LoginAudience string                   // client_id; empty: nobody logs in here
	Audiences     []spec.Audience
	Parties       []string // authorized_parties
	Algorithms    jose.Algorithms
	AcceptTyp     []string // normalised
	Subject       spec.Claims
	ACR, AMR      map[string]string
	Leeway        time.Duration
	OurIssuer     string
	Now           func() time.Time
	Keys          Keys            // nil: can't verify
	Shapes        *shape.Sentinel // is shown the claims of what was verified; nil: nobody is
}

// Keys are where keys are looked up, by what the upstream is called. Errors are those of keys.Cache.
type Keys interface {
	Lookup(ctx context.Context, upstream, kid, issuer string) ([]jose.Key, error)
}

// ManyIssuers says whether the issuer is a part of who a subject is (P2).
func (v *Verifier) ManyIssuers() bool { return v.Speaks != nil }

// Verifier verifies the tokens of one upstream, whatever its kind. It is immutable.
type Verifier struct{ Options }

// Name is the configured name.
func (v *Verifier) Name() string { return v.Upstream }

// Verify proves that t is the upstream's and fits the purpose. What needs no key is judged first, on claims that nobody has vouched for yet: a token that fails there
// fails whether or not the keys can be had. The signature then covers the very bytes that were judged.
func (v *Verifier) Verify(ctx context.Context, t jose.Unverified, want Want) (Identity, error) {
	if want.Now.IsZero() {
		want.Now = v.Now()
	}
	j, err := v.expect(t, want)
	if err != nil {
		return Identity{}, err
	}
	verified, err := v.signature(ctx, t)
	if err != nil {
		return Identity{}, err
	}
	claims, err := verified.Claims(want.Claims)
	if err != nil {
		return Identity{}, v.Refuse(ReasonSignature, err)
	}
	if source := sourceOf(want.Purpose, t.Class()); source != "" {
		v.Shapes.Observe(v.Upstream, source, claims)
	}
	id := j.identity // true from here on
	id.Upstream, id.Issuer = v.Upstream, t.UnverifiedIssuer()
	id.BrokerSubject = subject.Broker(v.Upstream, id.Issuer, id.Subject, v.ManyIssuers())
	id.Claims = claims.Map()
	id.TokenID, id.KeyID = t.TokenID(), verified.Key().ID
	id.Class, id.Typ = t.Class(), t.Typ()
	id.HasActor, id.HasMayAct = t.Has(jose.MarkerActor), t.Has(jose.MarkerMayAct)
	return id, nil
}

// Expect is what Verify refuses for reasons that need no key. That a token passes says nothing of it.
func (v *Verifier) Expect(t jose.Unverified, want Want) error {
	_, err := v.expect(t, want)
	return err
}

func (v *Verifier) expect(t jose.Unverified, want Want) (judgement, error) {
	j := judgement{Verifier: v, token: t, iss: t.UnverifiedIssuer(), unverified: t.UnverifiedClaims(), want: want}
	for _, step := range keylessSteps {
		if err := step(&j); err != nil {
			return j, err
		}
	}
	return j, nil
}

// signature verifies it with the upstream's own keys.
func (v *Verifier) signature(ctx context.Context, t jose.Unverified) (jose.Verified, error) {
	candidates, err := v.Candidates(ctx, t.KeyID(), t.UnverifiedIssuer())
	if err != nil {
		return jose.Verified{}, err
	}
	verified, err := t.Verify(candidates, v.Algorithms)
	switch {
	case err == nil:
		return verified, nil
	case errors.Is(err, jose.ErrAlgorithm):
		return jose.Verified{}, v.Refuse(ReasonAlgorithm, err)
	case errors.Is(err, jose.ErrNoKey):
		return jose.Verified{}, v.Refuse(ReasonUnknownKey, err)
	}
	return jose.Verified{}, v.Refuse(ReasonSignature, err)
}

// Candidates are the upstream's keys that may have signed what names this key and issuer; they are looked up by upstream name (P10). Every error is an *Error.
func (v *Verifier) Candidates(ctx context.Context, kid, unverifiedIssuer string) ([]jose.Key, error) {
	if v.Keys == nil {
		return nil, v.Refuse(ReasonUnavailable, errors.New("no keys are loaded"))
	}
	candidates, err := v.Keys.Lookup(ctx, v.Upstream, kid, unverifiedIssuer)
	if err != nil {
		return nil, v.keysError(err)
	}
	return candidates, nil
}

// keysError tells a key that the upstream does not have from one that can't be had now (P27). What is neither is not the token's fault.
func (v *Verifier) keysError(err error) *Error {
	if errors.Is(err, keys.ErrUnknownKey) {
		return v.Refuse(ReasonUnknownKey, err)
	}
	refused := v.Refuse(ReasonUnavailable, err)
	if unavailable, ok := errors.AsType[*keys.UnavailableError](err); ok {
		refused.RetryAfter = unavailable.RetryAfter
	}
	return refused
}

// Refuse is an error of this upstream.
func (v *Verifier) Refuse(reason Reason, err error) *Error {
	return &Error{Reason: reason, Upstream: v.Upstream, Err: err}
}

// judgement is one token on its way through the steps.
type judgement struct {
	*Verifier
	token      jose.Unverified // zero: an opaque one
	iss        string
	unverified jose.Claims
	opaque     bool
	want       Want
	identity   Identity // filled by the steps; means nothing before the signature is verified
}

// keylessSteps are all checks but the signature's, in order.
var keylessSteps = [...]func(*judgement) error{
	(*judgement).purpose, (*judgement).class, (*judgement).issuerIsOurs, (*judgement).audience, (*judgement).times,
	(*judgement).confirmation, (*judgement).actors, (*judgement).idJAG, (*judgement).nonce, (*judgement).algorithm, (*judgement).readClaims, (*judgement).readSubject,
}

func (j *judgement) refused(reason Reason, format string, args ...any) error {
	return j.Refuse(reason, fmt.Errorf(format, args...))
}

// purpose refuses what this upstream is not configured for (P11).
func (j *judgement) purpose() error {
	switch j.want.Purpose {
	case PurposeExchange, PurposeActor, PurposeGrant:
		if len(j.Audiences) == 0 {
			return j.refused(ReasonPurpose, "no audiences for exchange")
		}
	case PurposeLogin, PurposeRefresh:
		if j.LoginAudience == "" || j.want.Nonce == "" {
			return j.refused(ReasonPurpose, "no login attempt at this upstream")
		}
	case PurposeClient:
		if j.want.ClientAudience == "" || j.want.ClientAudience == j.LoginAudience || j.Exchanges(j.want.ClientAudience) {
			return j.refused(ReasonPurpose, "no audience of its own for assertions")
		}
	default:
		return j.refused(ReasonPurpose, "unknown purpose")
	}
	return nil
}

// Exchanges says whether tokens of that audience may be exchanged (P11).
func (v *Verifier) Exchanges(audience string) bool {
	return slices.ContainsFunc(v.Audiences, func(a spec.Audience) bool { return a.Value == audience })
}

// class accepts typ absent, JWT or one of accept_typ (P9). An access token ends no login, whatever accept_typ says.
func (j *judgement) class() error {
	switch class := j.token.Class(); class {
	case jose.ClassJWT:
		return nil
	case jose.ClassAccessToken, jose.ClassOther:
		if !(j.login() && class == jose.ClassAccessToken) && slices.Contains(j.AcceptTyp, j.token.Typ()) {
			return nil
		}
		return j.refused(ReasonClass, "typ is not accepted for this purpose: %s", class)
	case jose.ClassIDJAG: // for us to redeem, and for nothing else (P23)
		if j.want.Purpose == PurposeGrant {
			return nil
		}
		return j.refused(ReasonClass, "an ID-JAG")
	default:
		return j.refused(ReasonClass, "a token of class %s", class)
	}
}

func (j *judgement) issuerIsOurs() error {
	if j.Speaks != nil && j.Speaks(j.iss) {
		return nil
	}
	if j.Issuer == "" || j.iss != j.Issuer {
		return j.refused(ReasonIssuer, "iss is not the upstream's")
	}
	return nil
}

// login says whether the token is one of a login's own, at its end or at a refresh of it.
func (j *judgement) login() bool {
	return j.want.Purpose == PurposeLogin || j.want.Purpose == PurposeRefresh
}

// nonce binds an ID token to its login attempt (OpenID Connect Core §3.1.3.7 step 11). One that came with a refresh may leave it out (§12.2).
func (j *judgement) nonce() error {
	if !j.login() {
		return nil
	}
	nonce, err := j.unverified.String("nonce")
	if j.want.Purpose == PurposeRefresh && errors.Is(err, jose.ErrAbsent) {
		return nil
	}
	if err != nil || nonce != j.want.Nonce {
		return j.refused(ReasonNonce, "nonce is not the attempt's")
	}
	return nil
}

func (j *judgement) algorithm() error {
	if !j.Algorithms.Holds(j.token.Alg()) {
		return j.Refuse(ReasonAlgorithm, jose.ErrAlgorithm)
	}
	return nil
}

// readClaims reads what the protocol uses beside times and audience; of acr and amr only what is mapped (P4).
func (j *judgement) readClaims() error {
	if err := j.readJTI(); err != nil {
		return err
	}
	if acr, err := j.unverified.String("acr"); err == nil {
		j.identity.ACR = j.ACR[acr]
	}
	amr, err := j.unverified.StringList("amr")
	if err != nil {
		return nil // absent, or of a form that no value of amr_map has
	}
	for _, method := range amr {
		if mapped, ok := j.AMR[method]; ok && !slices.Contains(j.identity.AMR, mapped) {
			j.identity.AMR = append(j.identity.AMR, mapped)
		}
	}
	return nil
}

func (j *judgement) readSubject() error {
	name, err := subject.Of(j.unverified, j.Subject)
	if err != nil {
		return j.Refuse(ReasonSubject, err)
	}
	j.identity.Subject = name
	return nil
}
