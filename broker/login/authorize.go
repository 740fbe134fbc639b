package login

import (
	"context"
	"errors"
	"slices"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/broker/recheck"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/mappers"
	"fedbroker/store"
)

// Authorize answers an authorization request: with a code where a session serves, else with the chooser or the way to an identity provider.
func (s *Service) Authorize(ctx context.Context, r Request) Answer {
	v := s.visit(event.KindLogin, r.DecisionID, r.Peer)
	return v.run(ctx, func(ctx context.Context) error { return v.authorize(ctx, r) })
}

func (v *visit) authorize(ctx context.Context, r Request) error {
	if err := v.judge(r); err != nil {
		return err
	}
	a := v.asked
	possible := v.possible(a)
	if len(possible) == 0 {
		return fail(FailureServerError, oauth.Deny(oauth.CodeServerError, oauth.ReasonInternal).Because(errors.New("the client has no upstream to sign in at")))
	}
	route, err := v.route(a, possible)
	if err != nil {
		return err
	}
	current, err := v.session(ctx, r.Browser.Session)
	if err != nil {
		return err
	}
	unfit := v.unfit(a, current, route)
	if unfit == nil {
		if unfit, err = v.recheck(ctx, a, current); err != nil {
			return err
		}
	}
	switch {
	case unfit == nil:
		return v.signOn(ctx, a, current)
	case a.silent(): // never contacts an upstream (P31)
		return unfit
	}
	if route.byHint {
		if route.upstream, err = v.byDomain(a.LoginHint, possible); err != nil {
			return err
		}
	}
	if route.upstream == "" {
		v.answer.Choose = route.choice
		return nil
	}
	return v.depart(ctx, a, route.upstream, r.Browser)
}

// session is this browser's session, nil if there is none. A revoked one is ended: it serves nobody.
func (v *visit) session(ctx context.Context, cookie string) (*session.Session, error) {
	if cookie == "" {
		return nil, nil //nolint:nilnil // no session is no error
	}
	found, err := v.Sessions.Session(ctx, cookie)
	if errors.Is(err, session.ErrNone) {
		return nil, nil //nolint:nilnil // see above
	}
	if err != nil {
		return nil, unavailable(oauth.ReasonUnavailable, err)
	}
	err = v.alive(found.Created, found.Subject, found.Upstream, revoke.Lineage{Sessions: []string{found.ID}})
	if errors.Is(err, revoke.ErrRevoked) {
		if err := v.Sessions.End(ctx, found.ID); err != nil {
			return nil, unavailable(oauth.ReasonNotDurable, err)
		}
		none := ""
		v.answer.Session = &none
		return nil, nil //nolint:nilnil // see above
	}
	if err != nil {
		return nil, err
	}
	return &found, nil
}

// alive holds a person and a session against the revocations; a set too old to judge by is a 503.
func (v *visit) alive(since time.Time, subject, upstream string, lineage revoke.Lineage) error {
	err := v.Revoked.Check(revoke.Facts{Subject: subject, Upstream: upstream, Lineage: lineage}, since)
	if err != nil && !errors.Is(err, revoke.ErrRevoked) {
		return unavailable(oauth.ReasonRevocationStale, err)
	}
	return err
}

// unfit says why the session does not serve the request, as the app would be told under prompt=none; nil: it serves.
func (v *visit) unfit(a *asked, s *session.Session, r route) error {
	if s == nil {
		return tell(oauth.CodeLoginRequired, oauth.ReasonInteraction, "no session")
	}
	if a.Choose || a.Email != "" && r.upstream == "" || slices.Contains(a.Prompt, promptLogin) || slices.Contains(a.Prompt, promptSelect) {
		return tell(oauth.CodeLoginRequired, oauth.ReasonInteraction, "prompt")
	}
	if a.hint != "" && a.hint != s.Subject {
		return tell(oauth.CodeLoginRequired, oauth.ReasonInteraction, "id_token_hint is another person's")
	}
	if age, limited := a.maxAge(); limited && (age == 0 || s.AuthTime.IsZero() || v.now.Sub(s.AuthTime) > age) {
		return tell(oauth.CodeLoginRequired, oauth.ReasonInteraction, "max_age")
	}
	_, up, configured := v.Upstreams.Login(s.Upstream)
	switch {
	case !configured || up.Issuer != s.UpstreamIssuer || !a.client.Admits(s.Upstream):
		return tell(oauth.CodeInteractionRequired, oauth.ReasonInteraction, "the session's upstream does not serve this client")
	case r.wanted != "" && r.wanted != s.Upstream:
		return tell(oauth.CodeInteractionRequired, oauth.ReasonInteraction, "another upstream is asked for")
	case !a.meets(s.ACR):
		return tell(oauth.CodeInteractionRequired, oauth.ReasonInteraction, "acr")
	}
	return nil
}

// recheck asks the identity provider again about the person of a session, if that is wanted there and it was not asked lately. unfit: it stands for them no
// longer, and they have to sign in; or nobody may be asked now (P31).
func (v *visit) recheck(ctx context.Context, a *asked, s *session.Session) (unfit, err error) {
	if v.Recheck == nil || !v.Recheck.Wanted(s.Upstream) {
		return nil, nil
	}
	recent, err := v.Recheck.Recent(ctx, s.ID)
	if err != nil {
		return nil, unavailable(oauth.ReasonUnavailable, err)
	}
	if recent {
		return nil, nil
	}
	if a.silent() {
		return tell(oauth.CodeLoginRequired, oauth.ReasonInteraction, "the identity provider was not asked about the person lately"), nil
	}
	v.event.Upstream = s.Upstream
	principal, err := v.Recheck.Ask(ctx, s.ID)
	if errors.Is(err, recheck.ErrOver) {
		return tell(oauth.CodeLoginRequired, oauth.ReasonIdPDenied, err.Error()), nil
	}
	if err != nil {
		return nil, upstreamFailure(err)
	}
	s.Principal = principal // the store has it already: Issue finds the session changed, and looks again
	return nil, nil
}

// signOn is single sign-on: the identity provider is not asked for a login again.
func (v *visit) signOn(ctx context.Context, a *asked, s *session.Session) error {
	v.event.Upstream, v.journal = s.Upstream, true
	grant, err := v.grant(a, s)
	if err != nil {
		return err
	}
	code, grant, err := v.Sessions.Issue(ctx, *s, grant)
	if errors.Is(err, session.ErrNone) { // it ended meanwhile
		return failRetry(FailureExpired, oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonAttempt).Because(err))
	}
	if err != nil {
		return unavailable(oauth.ReasonNotDurable, err)
	}
	return v.reply(ctx, code, grant)
}

// grant is what the client may have of a session.
func (v *visit) grant(a *asked, s *session.Session) (session.Grant, error) {
	claims, err := a.client.Told(s.Principal, a.scopes, v.Scopes)
	if err != nil {
		return session.Grant{}, mappingFailure(err)
	}
	g := session.Grant{
		ClientID: a.client.ID, Subject: s.Subject, Upstream: s.Upstream, UpstreamIssuer: s.UpstreamIssuer, UpstreamSubject: s.UpstreamSubject,
		AuthTime: s.AuthTime, ACR: s.ACR, AMR: s.AMR, RedirectURI: a.RedirectURI, Challenge: a.CodeChallenge, Nonce: a.Nonce, DPoPKey: a.DPoPKey,
		Scopes: a.scopes, Audiences: a.audiences, Claims: claims,
	}
	g.Offline = slices.Contains(a.scopes, oauth.ScopeOfflineAccess)
	g.SessionBound = !g.Offline && a.client.Spec.SessionRefresh && a.client.MayUse(oauth.GrantRefreshToken)
	return g, nil
}

// mappingFailure: a mapper that refused the person is the operator's will, one that broke is a fault.
func mappingFailure(err error) error {
	if refused, ok := errors.AsType[*mappers.RefusedError](err); ok {
		return fail(FailureNotAdmitted, oauth.Deny(oauth.CodeAccessDenied, oauth.ReasonRequire).Because(refused))
	}
	return fail(FailureServerError, oauth.Deny(oauth.CodeServerError, oauth.ReasonMapping).Because(err))
}

// reply hands the code to the app once the line about it is durable (P26).
func (v *visit) reply(ctx context.Context, code string, g session.Grant) error {
	e := &v.event
	e.ClientID, e.Upstream, e.SessionID, e.TokenID, e.Scopes, e.Audiences = g.ClientID, g.Upstream, g.SessionID, g.ID, g.Scopes, g.Audiences
	e.Issued, e.Expires = g.Created, g.CodeExpires
	var err error
	if e.Subject.MAC == "" { // a callback has named the person already
		e.Subject, err = v.Record.Subject(ctx, g.Subject)
	}
	if err == nil {
		err = v.Record.Durable(ctx, e)
	}
	if err != nil {
		return unavailable(oauth.ReasonNotDurable, err)
	}
	v.answer.Reply = v.asked.reply(v.Issuer, [2]string{"code", code})
	return nil
}

// depart sends the person to the identity provider. The attempt is sealed before the provider is asked for anything.
func (v *visit) depart(ctx context.Context, a *asked, name string, b Browser) error {
	v.event.Upstream = name
	provider, up, ok := v.Upstreams.Login(name)
	if !ok {
		return errors.New("login: an upstream that is none was chosen")
	}
	if a.Email != "" {
		a.LoginHint = a.Email
	}
	t := &attempt{
		Purpose: purposeLogin, Upstream: name, Issuer: up.Issuer, Nonce: secret(), Verifier: secret(), Begun: v.now, Params: a.params, id: store.NewKey(v.now),
	}
	if err := v.seal(ctx, t, b, up.CrossSite); err != nil {
		return err
	}
	to, err := provider.Start(ctx, t.start(v.Issuer, v.now, a))
	if err != nil {
		v.answer.Attempt = nil
		return upstreamFailure(err)
	}
	v.answer.Redirect = to
	return nil
}
