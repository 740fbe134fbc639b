package grants

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
)

// verifySubject goes one of two ways, by the token's issuer alone.
func (a *attempt) verifySubject(ctx context.Context) error {
	if a.token.UnverifiedIssuer() == a.Issuer {
		return a.openOwn()
	}
	return a.verifyExternal(ctx)
}

// verifyExternal has the one upstream verify the token that the policy knows for its issuer and audience: any other is refused without a
// look at the network.
func (a *attempt) verifyExternal(ctx context.Context) error {
	q := &a.req.Requester
	up, found := a.Upstreams.Select(a.token.UnverifiedIssuer(), a.token.UnverifiedAudience())
	if !found || !a.Policy.KnowsUpstream(up.Name()) {
		return invalid(oauth.ReasonTokenIssuer, errors.New("no rule takes tokens of this issuer and audience"))
	}
	if q.Anonymous && len(a.token.UnverifiedAudience()) != 1 { // P21; the verified one is the same
		return invalid(oauth.ReasonTokenAudience, errors.New("anonymous, and the token has not exactly one audience"))
	}
	if err := a.lasts(false); err != nil {
		return err
	}
	id, err := up.Verify(ctx, a.token, upstreams.Want{
		Purpose: upstreams.PurposeExchange, Requester: q.ClientID, Now: a.req.Now, Claims: a.reads[up.Name()],
	})
	if err != nil {
		return upstreamError(err)
	}
	a.claims = id.Claims
	a.subject = rules.Subject{
		Upstream: id.Upstream, UpstreamIssuer: id.Issuer, UpstreamSubject: id.Subject, Sub: id.BrokerSubject,
		Issuer: id.Issuer, Audiences: id.Audiences, IssuedAt: id.IssuedAt, Expires: id.Expires, AuthTime: id.AuthTime,
		ACR: id.ACR, AMR: id.AMR, JTI: id.JTI, Delegated: id.HasActor || id.HasMayAct,
		Facts: revoke.Facts{TokenID: id.TokenID, Subject: id.BrokerSubject, Upstream: id.Upstream},
	}
	a.seen()
	if err := a.subject.Fresh(a.req.Now); err != nil {
		return err
	}
	return revoked(a.Revoked.Check(a.subject.Facts, id.IssuedAt))
}

// openOwn takes an access token of ours, presented by one whom it was meant for (P11). Our ID tokens could yield an id-jag only, which is
// not served, and the rest of what we sign is nobody's subject.
func (a *attempt) openOwn() error {
	if a.token.Class() != jose.ClassAccessToken {
		return invalid(oauth.ReasonTokenClass, fmt.Errorf("own token of class %s", a.token.Class()))
	}
	q, unverified := &a.req.Requester, a.token.UnverifiedAudience()
	if !names(unverified, q) && !isOnly(unverified, a.Issuer) { // before what a stale revocation set could answer 503 to
		return foreign()
	}
	if err := a.lasts(true); err != nil {
		return err
	}
	own, err := a.Own.OpenAccess(a.token, a.req.Now)
	if err != nil {
		return err
	}
	if !names(own.Audience, q) && !(isOnly(own.Audience, a.Issuer) && !q.Anonymous && own.ClientID == q.ClientID) {
		return foreign()
	}
	if own.HasConfirmation {
		return invalid(oauth.ReasonConfirmation, errors.New("own token is sender-constrained"))
	}
	a.subject = rules.Subject{
		Own: true, Upstream: own.UpstreamName, UpstreamIssuer: own.UpstreamIssuer, UpstreamSubject: own.UpstreamSubject,
		Sub: own.Subject, ClientID: own.ClientID, Issuer: a.Issuer, Claims: own.Claims, Principal: own.Claims, Made: released(own.Claims),
		Scopes: own.Scopes, Audiences: own.Audience,
		IssuedAt: own.IssuedAt, Expires: own.Expires, OriginExpires: own.OriginExpires, AuthTime: own.AuthTime,
		ACR: own.ACR, AMR: own.AMR, JTI: own.JTI, Facts: own.Facts, Delegated: own.HasActor || own.HasMayAct,
	}
	a.seen()
	return a.subject.Fresh(a.req.Now)
}

func foreign() error {
	return invalid(oauth.ReasonTokenAudience, errors.New("own token is not meant for this requester"))
}

// lasts refuses a token with too little life left (P18) before anybody is asked about it: that needs no key, so a 503 must not hide it
// (P27). Nothing is verified yet; a time that is absent or none is left to the verification, after which Fresh judges again.
func (a *attempt) lasts(own bool) error {
	claims := a.token.UnverifiedClaims()
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

// seen notes the verified subject for the journal.
func (a *attempt) seen() {
	s := &a.req.Seen
	s.Upstream, s.Subject, s.TokenID = a.subject.Upstream, a.subject.Sub, a.subject.Facts.TokenID
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

// upstreamError keeps apart what is the token's fault and what is not (P27): a caller whose token may be good is told to come back.
func upstreamError(err error) error {
	e, ok := errors.AsType[*upstreams.Error](err)
	switch {
	case !ok:
		return err
	case !errors.Is(err, upstreams.ErrUnavailable):
		return invalid(upstreamReason(e.Reason), err)
	}
	deny := oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable).Because(err)
	if e.RetryAfter > 0 {
		deny.RetryAfter = e.RetryAfter
	}
	return deny
}

func upstreamReason(r upstreams.Reason) oauth.Reason {
	switch r {
	case upstreams.ReasonClass:
		return oauth.ReasonTokenClass
	case upstreams.ReasonIssuer:
		return oauth.ReasonTokenIssuer
	case upstreams.ReasonAudience:
		return oauth.ReasonTokenAudience
	case upstreams.ReasonTime:
		return oauth.ReasonTokenTime
	case upstreams.ReasonConfirmation:
		return oauth.ReasonConfirmation
	case upstreams.ReasonAlgorithm, upstreams.ReasonUnknownKey, upstreams.ReasonSignature:
		return oauth.ReasonSignature
	default:
		return oauth.ReasonToken
	}
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
