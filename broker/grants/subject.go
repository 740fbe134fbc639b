package grants

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fedbroker/broker/oauth"
	"fedbroker/broker/refusal"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
)

// verifyExternal has the one upstream verify the token that the policy knows for its issuer and audience.
func (a *attempt) verifyExternal(ctx context.Context, p *presented) error {
	up, want, err := a.choose(p)
	if err != nil {
		return err
	}
	id, err := up.Verify(ctx, p.token, want)
	if err != nil {
		return refusal.Upstream(err)
	}
	if err := a.identify(p, &id); err != nil {
		return err
	}
	if p.role == roleAssertion {
		return a.asAssertion(p, &id)
	}
	return nil
}

// choose finds the upstream that speaks for a token; a token of any other is refused without a look at the network.
func (a *attempt) choose(p *presented) (upstreams.Upstream, upstreams.Want, error) {
	q, known := &a.req.Requester, a.Policy.KnowsUpstream
	if p.role == roleActor {
		known = a.Policy.KnowsActor
	}
	up, found := a.Upstreams.Select(p.token.UnverifiedIssuer(), p.token.UnverifiedAudience())
	if !found || !known(up.Name()) {
		return nil, upstreams.Want{}, invalid(oauth.ReasonTokenIssuer, errors.New("no rule takes tokens of this issuer and audience"))
	}
	if q.Anonymous && len(p.token.UnverifiedAudience()) != 1 { // P21; the verified one is the same
		return nil, upstreams.Want{}, invalid(oauth.ReasonTokenAudience, errors.New("anonymous, and the token has not exactly one audience"))
	}
	return up, upstreams.Want{
		Purpose: p.role.purpose, Requester: q.ClientID, MaxAge: p.role.maxAge, Now: a.req.Now, Claims: a.reads[up.Name()],
	}, a.lasts(p, false)
}

// introspect asks the one upstream that can vouch for an opaque token (P13).
func (a *attempt) introspect(ctx context.Context, p *presented) error {
	id, err := p.opaque.Introspect(ctx, p.raw, upstreams.Want{Purpose: p.role.purpose, Requester: a.req.Requester.ClientID, Now: a.req.Now})
	if err != nil {
		return refusal.Upstream(err)
	}
	if a.req.Requester.Anonymous && len(id.Audiences) != 1 { // P21
		return invalid(oauth.ReasonTokenAudience, errors.New("anonymous, and the token has not exactly one audience"))
	}
	return a.identify(p, &id)
}

// identify makes what an upstream verified a subject, unless something that it descends from is revoked.
func (a *attempt) identify(p *presented, id *upstreams.Identity) error {
	p.claims = id.Claims
	p.as = rules.Subject{
		Upstream: id.Upstream, UpstreamIssuer: id.Issuer, UpstreamSubject: id.Subject, Sub: id.BrokerSubject,
		Issuer: id.Issuer, Audiences: id.Audiences, IssuedAt: id.IssuedAt, Expires: id.Expires, AuthTime: id.AuthTime,
		ACR: id.ACR, AMR: id.AMR, JTI: id.JTI, Confirmed: id.Confirmed,
		Facts: revoke.Facts{TokenID: id.TokenID, Subject: id.BrokerSubject, Upstream: id.Upstream},
	}
	a.seen(p)
	if id.HasActor && id.Actors == nil || id.HasMayAct && id.MayAct == nil {
		return invalid(oauth.ReasonActor, errors.New("act or may_act could not be read"))
	}
	for i := len(id.Actors) - 1; i >= 0; i-- { // outermost first
		p.as.Act = &rules.Actor{Subject: id.Actors[i], Act: p.as.Act}
	}
	if id.MayAct != nil {
		member := func(name string) string { text, _ := id.MayAct[name].(string); return text }
		p.as.MayAct = &rules.MayAct{Issuer: member("iss"), Subject: member("sub"), ClientID: member("client_id")}
	}
	if err := p.as.Fresh(a.req.Now); err != nil { // before what a stale revocation set could answer 503 to
		return err
	}
	return revoked(a.Revoked.Check(p.as.Facts, id.IssuedAt))
}

// openOwn takes an access token of ours, presented by one whom it was meant for (P11). An ID token of ours can yield an ID-JAG only (P22), and
// the rest of what we sign is nobody's subject.
func (a *attempt) openOwn(p *presented) error {
	q := &a.req.Requester
	idJAG := a.ownClass() == jose.ClassJWT
	if err := a.expectOwn(p); err != nil {
		return err
	}
	open := a.Own.OpenAccess
	if idJAG {
		open = a.Own.OpenID
	}
	own, err := open(p.token, a.req.Now)
	if err != nil {
		return err
	}
	if !names(own.Audience, q) && !(isOnly(own.Audience, a.Issuer) && !q.Anonymous && own.ClientID == q.ClientID) {
		return foreign()
	}
	p.as = rules.Subject{
		Own: true, IDToken: idJAG, Upstream: own.UpstreamName, UpstreamIssuer: own.UpstreamIssuer, UpstreamSubject: own.UpstreamSubject,
		Sub: own.Subject, ClientID: own.ClientID, Issuer: a.Issuer, Claims: own.Claims, Principal: own.Claims, Made: released(own.Claims),
		Scopes: own.Scopes, Audiences: own.Audience,
		IssuedAt: own.IssuedAt, Expires: own.Expires, OriginExpires: own.OriginExpires, AuthTime: own.AuthTime,
		ACR: own.ACR, AMR: own.AMR, JTI: own.JTI, Facts: own.Facts, Confirmed: own.Confirmed, Act: own.Act,
	}
	a.seen(p)
	if own.HasMayAct { // none of ours has one
		p.as.MayAct = &rules.MayAct{}
	}
	return nil
}

// expectOwn judges what needs no key, before what a stale revocation set could answer 503 to (P27).
func (a *attempt) expectOwn(p *presented) error {
	if want := a.ownClass(); p.token.Class() != want {
		return invalid(oauth.ReasonTokenClass, fmt.Errorf("own token of class %s, want %s", p.token.Class(), want))
	}
	if unverified := p.token.UnverifiedAudience(); !names(unverified, &a.req.Requester) && !isOnly(unverified, a.Issuer) {
		return foreign()
	}
	return a.lasts(p, true)
}

func (a *attempt) ownClass() jose.Class {
	if a.params.requestedType == oauth.TypeIDJAG {
		return jose.ClassJWT
	}
	return jose.ClassAccessToken
}

func foreign() error {
	return invalid(oauth.ReasonTokenAudience, errors.New("own token is not meant for this requester"))
}

// lasts refuses a token with too little life left (P18) before anybody is asked about it: that needs no key, so a 503 must not hide it
// (P27). Nothing is verified yet; a time that is absent or none is left to the verification, after which Fresh judges again.
func (a *attempt) lasts(p *presented, own bool) error {
	claims := p.token.UnverifiedClaims()
	expires, err := claims.Time("exp")
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	s := rules.Subject{Own: own, Expires: expires}
	if own {
		s.OriginExpires, _ = claims.Time("origin_exp")
	}
	return s.Fresh(a.req.Now)
}

// names tells whether an audience holds the requester, by its client id or one of its identifiers.
func names(audience []string, q *oauth.Requester) bool { return slices.ContainsFunc(audience, q.Is) }

// isOnly tells whether the audience is exactly the issuer: a login's own access token.
func isOnly(audience []string, issuer string) bool {
	return len(audience) == 1 && audience[0] == issuer
}

// released are the claims of an own token that a rule once let leave: all but the broker's own.
func released(claims map[string]any) []string {
	names := make([]string, 0, len(claims))
	for name := range claims {
		if !mappers.Reserved(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// revoked reads the answer of the revocation set: without a fresh one nothing is allowed (P26).
func revoked(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, revoke.ErrRevoked):
		return invalid(oauth.ReasonRevoked, err)
	default:
		return oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale).Because(err)
	}
}
