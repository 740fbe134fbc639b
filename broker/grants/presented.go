package grants

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/refusal"
	"fedbroker/broker/rules"
	"fedbroker/broker/session"
	"fedbroker/mappers"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/saml"
)

// role is what a token is presented as. It never picks a verifier; it says what the token must be good for.
type role struct {
	name    string
	purpose upstreams.Purpose
	maxAge  time.Duration // 0: any
}

var (
	roleSubject   = role{name: "subject", purpose: upstreams.PurposeExchange}
	roleActor     = role{name: "actor", purpose: upstreams.PurposeActor}
	roleAssertion = role{name: "assertion", purpose: upstreams.PurposeGrant, maxAge: time.Hour} // P24
)

// presented is one token of the request on its way: parsed, verified, mapped. All that is asked of a subject token is asked of an actor token,
// too (P19).
type presented struct {
	role      role
	raw       string
	token     jose.Unverified // zero for an opaque one
	opaque    upstreams.Introspector
	assertion *saml.Assertion // of SAML; nil: it is none
	claims    map[string]any  // of an upstream's token, verified, before mapping
	as        rules.Subject
}

// id is the token's, by which two are told to be one.
func (p *presented) id() string {
	if p.opaque != nil {
		return "opaque " + p.hash()
	}
	if p.assertion != nil {
		return "saml " + p.assertion.UnverifiedID() + " " + p.assertion.UnverifiedIssuer()
	}
	return p.token.TokenID()
}

// hash is what the ath of a proof for this token has to be (RFC 9449 §4.2).
func (p *presented) hash() string {
	sum := sha256.Sum256([]byte(p.raw))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// own tells whether the token says to be of ours.
func (a *attempt) own(p *presented) bool {
	return p.opaque == nil && p.assertion == nil && p.token.UnverifiedIssuer() == a.Issuer
}

// parse reads one token and holds it to what needs neither key nor clock.
func (a *attempt) parse(r role, raw, declared string) (presented, error) {
	p := presented{role: r, raw: raw}
	if declared == oauth.TypeSAML2 {
		return p, a.parseSAML(&p)
	}
	if err := notAssertion(raw, declared); err != nil {
		return p, err
	}
	var err error
	if p.token, err = jose.Parse(raw); err != nil {
		if declared != oauth.TypeAccessToken || strings.Count(raw, ".") == 2 {
			return p, invalid(oauth.ReasonToken, err)
		}
		return p, a.introspects(&p)
	}
	if own := a.own(&p); !agrees(declared, p.token, own) {
		return p, invalid(oauth.ReasonTokenClass, fmt.Errorf("declared type %s disagrees with class %s, own: %t", declared, p.token.Class(), own))
	}
	return p, a.presentable(&p)
}

// introspects finds the one upstream that can vouch for an opaque token: the requester's rules must leave exactly one, for upstreams are never
// tried in turn (P13).
func (a *attempt) introspects(p *presented) error {
	if session.IsHandle(p.raw) { // sent to an upstream, a code or refresh token of ours would be the upstream's
		return invalid(oauth.ReasonTokenClass, errors.New("a handle of ours"))
	}
	for _, name := range a.Policy.Sources(&a.req.Requester, p.role.purpose == upstreams.PurposeActor) {
		in, ok := a.Upstreams.Introspector(name)
		if !ok {
			continue
		}
		if p.opaque != nil {
			return invalid(oauth.ReasonTokenIssuer, errors.New("an opaque token, and the requester's rules leave several upstreams that introspect"))
		}
		p.opaque = in
	}
	if p.opaque == nil {
		return invalid(oauth.ReasonToken, errors.New("not a JWT, and the requester's rules leave no upstream that introspects"))
	}
	return nil
}

// presentable refuses a bound token without any proof, a delegated one as actor, and one that is the client's credential, too. A signature can be
// changed into another one that verifies: one token is what has one signing input (P14, P24).
func (a *attempt) presentable(p *presented) error {
	if p.token.Has(jose.MarkerConfirmation) && a.req.Proof.Key == "" { // whose key it is needs no key of ours (P27)
		return invalid(oauth.ReasonConfirmation, fmt.Errorf("the %s token is bound to a key, and the request proves none", p.role.name))
	}
	if p.role == roleActor && p.token.Has(jose.MarkerActor|jose.MarkerMayAct) { // whose chain would it be?
		return invalid(oauth.ReasonActor, errors.New("the actor token is delegated itself"))
	}
	if p.token.TokenID() == a.req.Requester.CredentialTokenID {
		return invalid(oauth.ReasonTokenReused, errors.New("the token is the client's credential, too"))
	}
	return nil
}

// verifyTokens goes one of three ways for each token, by what it is alone.
func (a *attempt) verifyTokens(ctx context.Context) error {
	if err := a.proofFits(); err != nil {
		return err
	}
	if err := a.expect(a.actor); err != nil {
		return err
	}
	if err := a.verify(ctx, &a.subject); err != nil {
		return err
	}
	if err := a.lastsAndProves(&a.subject); err != nil {
		return err
	}
	if a.actor == nil {
		return nil
	}
	if err := a.verify(ctx, a.actor); err != nil {
		return err
	}
	if err := a.lastsAndProves(a.actor); err != nil {
		return err
	}
	if s := &a.actor.as; s.Act != nil || s.MayAct != nil { // whose chain would it be?
		return invalid(oauth.ReasonActor, errors.New("the actor token is delegated itself"))
	}
	return nil
}

// proofFits refuses a proof that was made for a token which is not presented here.
func (a *attempt) proofFits() error {
	hash := a.req.Proof.TokenHash
	if hash == "" || hash == a.subject.hash() || a.actor != nil && hash == a.actor.hash() {
		return nil
	}
	return oauth.Deny(oauth.CodeInvalidDPoPProof, oauth.ReasonProof).Because(errors.New("ath is of another token"))
}

// expect refuses an actor token for what needs no key before the subject's upstream is asked: that it cannot be is no reason for a 503 (P27).
func (a *attempt) expect(p *presented) error {
	switch {
	case p == nil || p.opaque != nil:
		return nil
	case p.assertion != nil:
		_, _, err := a.chooseAssertion(p)
		return err
	case a.own(p):
		return a.expectOwn(p)
	}
	up, want, err := a.choose(p)
	if err != nil {
		return err
	}
	if early, ok := up.(interface {
		Expect(t jose.Unverified, want upstreams.Want) error
	}); ok {
		return refusal.Upstream(early.Expect(p.token, want))
	}
	return nil
}

func (a *attempt) verify(ctx context.Context, p *presented) error {
	switch {
	case p.opaque != nil:
		return a.introspect(ctx, p)
	case p.assertion != nil:
		return a.verifyAssertion(ctx, p)
	case a.own(p):
		return a.openOwn(p)
	default:
		return a.verifyExternal(ctx, p)
	}
}

// lastsAndProves judges, of what is verified, the life that is left and the key that it is bound to.
func (a *attempt) lastsAndProves(p *presented) error {
	if err := p.as.Fresh(a.req.Now); err != nil {
		return err
	}
	key := p.as.Confirmed
	if key == "" {
		return nil
	}
	proof, isOwnClient := a.req.Proof, p.as.Own && !a.req.Requester.Anonymous && p.as.ClientID == a.req.Requester.ClientID
	switch {
	case p.role == roleAssertion: // made for this very request: no ath is defined for it
		p.as.Proven = proof.Proves(key)
	case p.role == roleActor: // one proof has one ath: the subject's, if that is bound, too
		p.as.Proven = proof.Proves(key) && (proof.TokenHash == p.hash() || a.subject.as.Proven)
	default:
		p.as.Proven = proof.Proves(key) && proof.TokenHash == p.hash() && (isOwnClient || !p.as.Own)
	}
	if !p.as.Proven && (isOwnClient || p.role != roleSubject) { // of a subject that is another's, the rule says whether it passes (P25)
		return invalid(oauth.ReasonConfirmation, fmt.Errorf("the %s token is bound to a key that the request does not prove", p.role.name))
	}
	return nil
}

// mapTokens makes identities principals. A chain that refuses or fails is a condition that does not hold.
func (a *attempt) mapTokens(context.Context) error {
	if err := a.mapToken(&a.subject); err != nil || a.actor == nil {
		return err
	}
	return a.mapToken(a.actor)
}

func (a *attempt) mapToken(p *presented) error {
	if p.as.Own {
		return nil
	}
	chain := a.Chains[p.as.Upstream]
	if chain == nil {
		return fmt.Errorf("grants: no chain for upstream %s", p.as.Upstream)
	}
	result, err := chain.Run(p.claims, a.Trace.mapping(p.role))
	if err != nil {
		if refused, ok := errors.AsType[*mappers.RefusedError](err); ok {
			return invalid(oauth.ReasonRequire, refused)
		}
		return invalid(oauth.ReasonMapping, err)
	}
	p.as.Claims, p.as.Principal, p.as.Made = result.View, result.Principal, result.Made
	return nil
}

// seen notes the verified subject for the journal, which names it whatever it is refused for from here on.
func (a *attempt) seen(p *presented) {
	if p.role == roleActor {
		return
	}
	s, of := &a.req.Seen, &p.as
	s.Upstream, s.Subject, s.TokenID, s.Tokens = of.Upstream, of.Sub, of.Facts.TokenID, a.kept
}

// asAssertion holds what the JWT authorization grant takes to its rules: an ID-JAG is for the client that presents it, once (P23).
func (a *attempt) asAssertion(p *presented, id *upstreams.Identity) error {
	if p.token.Class() != jose.ClassIDJAG {
		return nil
	}
	if q := &a.req.Requester; q.Anonymous || q.Public || id.ClientID != q.ClientID {
		return invalid(oauth.ReasonTokenAudience, errors.New("the ID-JAG is for another client"))
	}
	p.as.Scoped, p.as.Scopes, p.as.Resources, p.as.Once = true, id.Scopes, id.Resources, true
	return nil
}

var errIDJAGSubject = errors.New("an ID-JAG is made of an ID token, without an actor")
