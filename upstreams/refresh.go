package upstreams

import (
	"context"
	"errors"
	"time"

	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/subject"
)

// Refresher is the power of upstreams that can be asked again about somebody who logged in there (`refresh: true`).
type Refresher interface {
	Upstream
	// Refresh asks whether the upstream still stands for the person of a login, and for the claims that it has of them now. next is what to ask with the
	// next time; it is not empty also beside an error, once the upstream has replaced what was sent. Errors are *Error: one that wraps ErrDenied says that
	// the upstream stands for this login no longer; ErrUnavailable and ErrInvalid say nothing of the person. It ends within 20 seconds.
	Refresh(ctx context.Context, r Renewal) (id Identity, next spec.Secret, err error)
}

// Renewal is a login as its upstream knows it.
type Renewal struct {
	Token   spec.Secret // the refresh token: Identity.Renewal of the login, or what the refresh before returned
	Nonce   string      // of the login attempt
	Subject string      // Identity.Subject of the login: who it has to be still
}

// Refresher finds a configured upstream with `refresh: true`.
func (s *Set) Refresher(name string) (Refresher, bool) {
	m, ok := s.byName[name]
	if !ok || m.oidc == nil || !m.spec.Refresh {
		return nil, false
	}
	return interactive{m, s}, true
}

// errNoRenewal is a login that nobody could ask about again.
var errNoRenewal = errors.New("refresh: true, and the token endpoint gave no refresh token; most providers want scope offline_access, or a switch for this client")

// Refresh implements Refresher. Of acr, amr and auth_time nothing is taken: they are the login's (P17).
func (l interactive) Refresh(ctx context.Context, r Renewal) (Identity, spec.Secret, error) {
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	doc, err := l.document(ctx)
	if err != nil {
		return Identity{}, "", l.LoginError(err)
	}
	tokens, err := l.oidc.Refresh(ctx, doc, r.Token.Reveal())
	next := spec.Secret(tokens.Refresh)
	if err != nil {
		return Identity{}, next, l.renewalError(err)
	}
	id, err := l.renewed(ctx, doc, r, tokens)
	if err != nil {
		return Identity{}, next, err
	}
	if id.Subject != r.Subject || id.Issuer != l.Issuer {
		return Identity{}, next, l.Refuse(ReasonSubject, errors.New("the refresh is of another person"))
	}
	id.AuthTime, id.ACR, id.AMR = time.Time{}, "", nil
	return id, next, nil
}

// renewed is what ID token and userinfo say; a provider that sends no ID token with a refresh has to have userinfo (OpenID Connect Core §12.2).
func (l interactive) renewed(ctx context.Context, doc rp.Document, r Renewal, tokens rp.Tokens) (Identity, error) {
	var id Identity
	sub := ""
	if tokens.ID != "" {
		var err error
		if id, err = l.idToken(ctx, tokens, Want{Purpose: PurposeRefresh, Nonce: r.Nonce, Now: l.Now()}); err != nil {
			return Identity{}, err
		}
		if sub, _ = id.Claims[spec.ClaimSubject].(string); doc.UserInfoEndpoint == "" {
			return id, nil
		}
	} else if doc.UserInfoEndpoint == "" || len(l.Subject) != 1 || l.Subject[0] != spec.ClaimSubject {
		return Identity{}, l.Refuse(ReasonNonsense, errors.New("the refresh brought no ID token, and userinfo alone can't say who it is"))
	} else {
		sub = r.Subject
		id = Identity{
			Upstream: l.Upstream, Issuer: l.Issuer, Subject: sub, BrokerSubject: subject.Broker(l.Upstream, l.Issuer, sub, l.ManyIssuers()),
			Claims: map[string]any{spec.ClaimSubject: sub, "iss": l.Issuer},
		}
	}
	info, err := l.oidc.UserInfo(ctx, doc, tokens.Access, sub)
	if err != nil {
		return Identity{}, l.renewalError(err)
	}
	id.Claims = rp.Merge(id.Claims, info)
	return id, nil
}

// renewalError tells a provider that stands for the login no longer (RFC 6749 §5.2, invalid_grant) from one that refuses us, which says nothing of the
// person.
func (l interactive) renewalError(err error) *Error {
	refused := l.LoginError(err)
	switch {
	case refused.Reason == ReasonRefused && refused.Code == codeInvalidGrant, refused.Reason == ReasonDenied:
		refused.Reason = ReasonDenied
	case refused.Reason == ReasonRefused:
		refused.Reason = ReasonUnavailable
	}
	return refused
}

const codeInvalidGrant = "invalid_grant"
