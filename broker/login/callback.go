package login

import (
	"context"
	"errors"
	"slices"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/upstreams"
)

// Callback takes an identity provider's answer: of the attempt that this browser began, once, at that upstream's address.
func (s *Service) Callback(ctx context.Context, c Callback) Answer {
	v := s.visit(event.KindLogin, c.DecisionID, c.Peer)
	return v.run(ctx, func(ctx context.Context) error { return v.callback(ctx, &c) })
}

func (v *visit) callback(ctx context.Context, c *Callback) error {
	t, err := v.attemptOf(ctx, c)
	if err != nil {
		return err
	}
	a := v.asked
	provider, up, ok := v.Upstreams.Login(t.Upstream)
	if !ok || up.Issuer != t.Issuer || !a.client.Admits(t.Upstream) {
		return noAttempt(FailureExpired, "the upstream is another by now, or may not sign people in here")
	}
	v.dropAttempt(t.id) // whatever comes of it, this answer was the attempt's
	identity, err := provider.Finish(ctx, t.start(v.Issuer, v.now, a), c.Params)
	if err != nil {
		return upstreamFailure(err)
	}
	v.journal = true
	if v.event.Subject, err = v.Record.Subject(ctx, identity.BrokerSubject); err != nil {
		return unavailable(oauth.ReasonNotDurable, err)
	}
	if err := v.proven(a, t, up, &identity); err != nil {
		return err
	}
	person, err := v.person(&identity)
	if err != nil {
		return err
	}
	person.Renewal, person.RenewalNonce = identity.Renewal, t.Nonce
	return v.arrive(ctx, t, person, c.Browser.Session)
}

func (v *visit) dropAttempt(id string) {
	if v.answer.Attempt == nil {
		v.answer.Attempt = &SetAttempt{}
	}
	v.answer.Attempt.Drop = append(v.answer.Attempt.Drop, id)
}

// proven holds the authentication to what was asked: fresh by the provider's own auth_time (P31), strong enough, and the right person's.
func (v *visit) proven(a *asked, t *attempt, up Upstream, id *upstreams.Identity) error {
	if age, limited := a.maxAge(); limited && up.TrustPrompt && id.AuthTime.IsZero() {
		id.AuthTime = v.now // the operator takes its word
	} else if limited && !up.TrustPrompt {
		earliest, latest := t.Begun.Add(-age-up.Leeway), v.now.Add(up.Leeway)
		// auth_time is in whole seconds.
		if id.AuthTime.IsZero() || id.AuthTime.Before(earliest.Truncate(time.Second)) || id.AuthTime.After(latest) {
			return tell(oauth.CodeUnmetAuthentication, oauth.ReasonAuthentication, "auth_time does not prove the authentication that was asked for")
		}
	}
	if !a.meets(id.ACR) {
		return tell(oauth.CodeUnmetAuthentication, oauth.ReasonAuthentication, "acr is not one that is needed")
	}
	if a.hint != "" && a.hint != id.BrokerSubject { // OpenID Connect Core §3.1.2.1
		return tell(oauth.CodeLoginRequired, oauth.ReasonAuthentication, "another person than id_token_hint's signed in")
	}
	return nil
}

// person makes the session's content of an identity.
func (v *visit) person(id *upstreams.Identity) (session.Session, error) {
	chain, ok := v.Chains[id.Upstream]
	if !ok {
		return session.Session{}, errors.New("login: an upstream without a chain")
	}
	result, err := chain.Run(id.Claims, nil)
	if err != nil {
		return session.Session{}, mappingFailure(err)
	}
	if err := v.alive(v.now, id.BrokerSubject, id.Upstream, revoke.Lineage{}); err != nil {
		if errors.Is(err, revoke.ErrRevoked) {
			return session.Session{}, fail(FailureNotAdmitted, oauth.Deny(oauth.CodeAccessDenied, oauth.ReasonRevoked).Because(err))
		}
		return session.Session{}, err
	}
	return session.Session{
		Subject: id.BrokerSubject, Upstream: id.Upstream, UpstreamIssuer: id.Issuer, UpstreamSubject: id.Subject, UpstreamSID: id.SessionID,
		AuthTime: id.AuthTime, ACR: id.ACR, AMR: id.AMR, Principal: result.Principal,
	}, nil
}

// arrive spends the attempt and begins the session, in one commit. Another person's session in this browser is over before that.
func (v *visit) arrive(ctx context.Context, t *attempt, person session.Session, cookie string) error {
	former, err := v.session(ctx, cookie)
	if err != nil {
		return err
	}
	v.answer.Session = nil // of a revoked one: the new cookie takes its place, or nothing happens
	grant, err := v.grant(v.asked, &person)
	if err != nil {
		return err
	}
	if _, over := session.Succeed(former, person.Subject); len(over) > 0 { // Begin deletes them
		if err := v.revoke(ctx, over); err != nil {
			return err
		}
	}
	// A little longer than the attempt lives: clocks of replicas differ.
	cookie, code, begun, grant, err := v.Sessions.Begin(ctx, t.id, t.ends().Add(time.Minute), person, former, grant)
	if errors.Is(err, session.ErrSpent) {
		return noAttempt(FailureExpired, "the attempt was used before")
	}
	if err != nil {
		return unavailable(oauth.ReasonNotDurable, err)
	}
	v.event.SessionID = begun.ID
	if err := v.reply(ctx, code, grant); err != nil {
		return err
	}
	v.answer.Session = &cookie // only now: a session that is not on record is nobody's
	return nil
}

// end ends a session and those that it took over: their tokens die at once, offline families live on (P39).
func (v *visit) end(ctx context.Context, s *session.Session) error {
	sids := append(slices.Clone(s.Former), s.ID)
	if err := v.revoke(ctx, sids); err != nil {
		return err
	}
	if err := v.Sessions.End(ctx, sids...); err != nil {
		return unavailable(oauth.ReasonNotDurable, err)
	}
	return nil
}

// revoke comes before sessions are deleted: if that fails, rather too much is refused than too little.
func (v *visit) revoke(ctx context.Context, sids []string) error {
	if err := v.Revoked.RevokeEnded(ctx, revoke.KindSession, sids, v.Sessions.Over()); err != nil {
		return unavailable(oauth.ReasonNotDurable, err)
	}
	return nil
}
