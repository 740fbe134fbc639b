package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/broker/token"
	"fedbroker/upstreams/jose"
)

// paramToken is the parameter of introspection and revocation (RFC 7662 §2.1, RFC 7009 §2.1). Their token_type_hint is of no use here:
// a token says itself what it is.
const paramToken = "token"

var introspectSteps = [...]step{
	(*request).limitAddress,
	(*request).authenticate,
	(*request).refusePublic,
	(*request).openToken,
	(*request).introspect,
}

var revokeSteps = [...]step{
	(*request).limitAddress,
	(*request).authenticate,
	(*request).openToken,
	(*request).revoke,
}

// Introspect answers an introspection request (RFC 7662 §2.2) as JSON. A token that is not one, not in time, revoked, or none of
// the caller's business is exactly {"active":false}: the caller learns no difference.
func (b *Broker) Introspect(ctx context.Context, in *oauth.TokenRequest) ([]byte, error) {
	r := b.begin(event.KindIntrospection, in)
	if err := r.run(ctx, introspectSteps[:]); err != nil {
		return nil, err
	}
	return r.answer, nil
}

// Revoke revokes the caller's own token, and with it all that was exchanged from it (RFC 7009 §2). A token that is not one, or is
// dead already, is no error.
func (b *Broker) Revoke(ctx context.Context, in *oauth.TokenRequest) error {
	return b.begin(event.KindRevocation, in).run(ctx, revokeSteps[:])
}

// refusePublic: who cannot authenticate introspects nothing (P38).
func (r *request) refusePublic(context.Context) error {
	if r.client.Public {
		return oauth.Deny(oauth.CodeInvalidClient, oauth.ReasonClientCredentials).Because(errors.New("public client"))
	}
	return nil
}

// openToken leaves opened zero where the token is none of ours that lives. To its revocation a dead one is open still: the call before
// may have ended between the revocation and its line, and the retry has to write that line (P26).
func (r *request) openToken(ctx context.Context) error {
	raw := r.in.Form.Get(paramToken)
	if raw == "" {
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonParameter).Because(errors.New("token is missing"))
	}
	unverified, err := jose.Parse(raw)
	if err != nil {
		return r.openFamily(ctx, raw)
	}
	own, err := r.opener.OpenAccess(unverified, r.in.Now)
	dead := r.event.Kind == event.KindRevocation && errors.Is(err, revoke.ErrRevoked)
	if err != nil && !dead {
		if refusal := oauth.AsError(err); refusal.Code != oauth.CodeInvalidRequest {
			return refusal // the revocations are too old to judge by: neither active nor inactive
		}
		return nil
	}
	r.opened = own
	return nil
}

// openFamily finds the family of a refresh token, to revoke it; to introspection a refresh token is unknown: no resource is to see one.
func (r *request) openFamily(ctx context.Context, raw string) error {
	if r.event.Kind != event.KindRevocation {
		return nil
	}
	p, err := r.sessions.Refresh(ctx, raw)
	if errors.Is(err, session.ErrNone) {
		return nil // not a token: unknown
	}
	if err != nil {
		return notDurable(err)
	}
	r.family = &p.Grant
	return nil
}

// revokeFamily ends a refresh token with all that came of the same grant, its access tokens included (RFC 7009 §2.1).
func (r *request) revokeFamily(ctx context.Context, g *session.Grant) error {
	if g.ClientID != r.client.ID {
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonGrantNotAllowed).Because(errors.New("not the token's client"))
	}
	r.event.TokenID, r.event.Upstream = g.ID, g.Upstream
	if err := r.revoked.RevokeEnded(ctx, revoke.KindFamily, []string{g.ID}, r.sessions.Over()); err != nil {
		return notDurable(err)
	}
	if err := r.sessions.EndGrant(ctx, g.ID); err != nil {
		return notDurable(err)
	}
	var err error
	if r.event.Subject, err = r.record.Subject(ctx, g.Subject); err != nil {
		return notDurable(err)
	}
	return notDurable(r.record.Durable(ctx, &r.event))
}

// introspect judges by our own clock without leeway: who asks us shall not go on longer than the token says.
func (r *request) introspect(context.Context) (err error) {
	own := &r.opened
	if own.JTI == "" || !r.in.Now.Before(own.Expires) || !r.mayIntrospect(own) {
		r.answer = []byte(`{"active":false}`)
		return nil
	}
	r.event.TokenID = own.JTI
	r.answer, err = json.Marshal(own.Introspection(r.snap.Config.Issuer))
	if err != nil {
		return fmt.Errorf("introspection: %w", err)
	}
	return nil
}

// mayIntrospect: the token is for the caller, or of the caller (P38).
func (r *request) mayIntrospect(own *token.Own) bool {
	return own.ClientID == r.client.ID || slices.ContainsFunc(own.Audience, r.in.Requester.Is)
}

// revoke is for the token's client alone; anyone else learns that the request is refused (RFC 7009 §2.1).
func (r *request) revoke(ctx context.Context) error {
	own := &r.opened
	switch {
	case r.family != nil:
		return r.revokeFamily(ctx, r.family)
	case own.JTI == "":
		return nil // RFC 7009 §2.2: nothing is left to do
	}
	if own.ClientID != r.client.ID {
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonGrantNotAllowed).Because(errors.New("not the token's client"))
	}
	until := own.OriginExpires.Add(*r.snap.Config.Leeway) // neither the token nor a descendant outlives its origin (P18)
	r.event.TokenID = own.JTI
	if err := r.revoked.RevokeIssued(ctx, own.JTI, until); err != nil {
		return notDurable(err)
	}
	subject, err := r.record.Subject(ctx, own.Subject)
	if err != nil {
		return notDurable(err)
	}
	r.event.Upstream, r.event.Subject = own.UpstreamName, subject
	return notDurable(r.record.Durable(ctx, &r.event))
}
