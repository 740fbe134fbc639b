package grants

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/release"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
)

// Sessions is where codes and refresh families are kept; *session.Store is one.
type Sessions interface {
	Code(ctx context.Context, code string) (session.Presented, error)
	Redeem(ctx context.Context, p session.Presented, key string, bind bool) (refresh string, err error)
	Refresh(ctx context.Context, token string) (session.Presented, error)
	Rotate(ctx context.Context, p session.Presented, key string, keep bool) (refresh string, err error)
	EndGrant(ctx context.Context, id string) error
	Over() time.Time
}

// Revoker makes revocations durable; *revoke.Set is one.
type Revoker interface {
	RevokeEnded(ctx context.Context, kind revoke.Kind, ids []string, keepUntil time.Time) error
}

// Recheck asks identity providers again about people who logged in there; *recheck.Service is one.
type Recheck interface {
	Wanted(upstream string) bool
	Ask(ctx context.Context, sid string) (principal map[string]any, err error)
}

// Logins are what the two grants of a login stand on. All but Recheck are required.
type Logins struct {
	Sessions Sessions
	Clients  interface {
		Lookup(id string) (*clients.Client, bool)
	}
	Scopes  *release.Scopes
	Issuers func(upstream string) string // of an upstream that people can log in at; "" of any other
	Revoke  Revoker
	IDTTL   time.Duration

	Recheck Recheck // of identity providers that are asked again on each refresh; nil: of none
}

// login is what authorization_code and refresh_token share.
type login struct{ Deps }

// authority is what is left of a grant for its client now: revocations, the client's registration and the upstreams have their say each time.
// targets and scope are what the request asks of it, "" for all.
func (l login) authority(req *oauth.TokenRequest, g *session.Grant, targets []string, scope, nonce string) (policy.Authority, error) {
	req.Seen = oauth.Seen{Upstream: g.Upstream, Subject: g.Subject, TokenID: g.ID, Targets: targets}
	client, known := l.Logins.Clients.Lookup(req.Requester.ClientID)
	if !known || client.ID != g.ClientID {
		return policy.Authority{}, errors.New("grants: a login of another client")
	}
	scopes := registered(g.Scopes, client.Scopes)
	if err := l.stands(g, client, scopes); err != nil {
		return policy.Authority{}, err
	}
	in := policy.Login{
		Requester: &req.Requester, Issuer: l.Issuer, GrantID: g.ID, SessionID: g.SessionID, Offline: g.Offline, Subject: g.Subject,
		Upstream: policy.UpstreamRef{Name: g.Upstream, Issuer: g.UpstreamIssuer, Subject: g.UpstreamSubject},
		AuthTime: g.AuthTime, ACR: g.ACR, AMR: g.AMR, Since: g.Since, Granted: g.Created,
		Scopes: scopes, Audiences: g.Audiences, Scope: scope, Targets: targets, Proof: req.Proof, Now: req.Now,
		IDToken: policy.IDToken{Nonce: nonce, SessionID: g.SessionID, Alg: client.IDTokenAlg(), Claims: l.told(g, client, scopes, scope)},
		IDTTL:   l.Logins.IDTTL,
	}
	facts := revoke.Facts{ClientID: g.ClientID, Subject: g.Subject, Upstream: g.Upstream, Lineage: in.Lineage()}
	if err := l.alive(facts, g.Created); err != nil {
		return policy.Authority{}, err
	}
	d, err := l.Policy.ForLogin(&in)
	if err != nil {
		return policy.Authority{}, err
	}
	return policy.Combine(d)
}

// stands holds a grant to the configuration of now: what an operator took from a client, no older grant gives back. scopes are those of the grant
// that the client still has.
func (l login) stands(g *session.Grant, client *clients.Client, scopes []string) error {
	switch {
	case l.Logins.Issuers(g.Upstream) != g.UpstreamIssuer: // also of a name that is rebound (P1)
		return badGrant(oauth.ReasonSelector, fmt.Errorf("upstream %s is not what it was", g.Upstream))
	case !client.Admits(g.Upstream):
		return badGrant(oauth.ReasonSelector, fmt.Errorf("upstream %s may not log in here any more", g.Upstream))
	case len(scopes) == 0 && len(g.Scopes) > 0:
		return badGrant(oauth.ReasonScope, errors.New("the client lost every scope of the grant"))
	case client.Spec.RequireACR != "" && g.ACR != client.Spec.RequireACR:
		return badGrant(oauth.ReasonAuthentication, errors.New("the client wants a stronger authentication by now"))
	case !within(g.Audiences, client.Audiences):
		return badGrant(oauth.ReasonTarget, errors.New("the client lost an audience of the grant"))
	}
	return nil
}

// told are the claims of the ID token: of those that the client wants there, what the scopes of this very token release (P8).
func (l login) told(g *session.Grant, client *clients.Client, scopes []string, scope string) map[string]any {
	if scope != "" { // a malformed one, or one beyond, is refused by Combine
		asked, _ := oauth.ParseScope(scope)
		scopes = registered(scopes, asked)
	}
	return l.Logins.Scopes.Told(g.Claims, client.IDTokenClaims(l.Logins.Scopes.Claims), scopes)
}

// alive refuses what a revocation names; a set that is too old to judge by is nobody's fault.
func (l login) alive(f revoke.Facts, since time.Time) error {
	switch err := l.Revoked.Check(f, since); {
	case errors.Is(err, revoke.ErrStale):
		return oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale).Because(err)
	case err != nil:
		return badGrant(oauth.ReasonRevoked, err)
	}
	return nil
}

// reused revokes everything that came of a grant: what was good once came twice, so somebody else holds it (RFC 6749 §4.1.2, RFC 9700 §4.14.2).
// Where that can't be made durable the answer says so, and the next use is seen again.
func (l login) reused(ctx context.Context, req *oauth.TokenRequest, g *session.Grant) error {
	req.Seen = oauth.Seen{Upstream: g.Upstream, Subject: g.Subject, TokenID: g.ID}
	if err := l.over(ctx, g.ID); err != nil {
		return unavailable(err)
	}
	return badGrant(oauth.ReasonReuse, errors.New("used twice: what came of it is revoked"))
}

// over ends a grant and everything that came of it.
func (l login) over(ctx context.Context, id string) error {
	if err := l.Logins.Revoke.RevokeEnded(ctx, revoke.KindFamily, []string{id}, l.Logins.Sessions.Over()); err != nil {
		return err
	}
	return l.Logins.Sessions.EndGrant(ctx, id)
}

// unproven refuses a grant that is bound to a key, without a proof by that key: to whom it was given is not who brings it (RFC 9449 §5, §10).
func unproven(cause string) error { return badGrant(oauth.ReasonConfirmation, errors.New(cause)) }

// nobody refuses who is no client: what a login gives is a client's (RFC 6749 §5.2).
func nobody() error { return oauth.Deny(oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed) }

// unavailable is a store that can't be asked: nothing is issued on it.
func unavailable(err error) error {
	return oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonNotDurable).Because(err)
}

// badGrant is RFC 6749 §5.2: the grant is at fault.
func badGrant(reason oauth.Reason, cause error) *oauth.Error {
	return oauth.Deny(oauth.CodeInvalidGrant, reason).Because(cause)
}

// registered are the granted scopes that the client still has.
func registered(granted, has []string) []string {
	out := make([]string, 0, len(granted))
	for _, s := range granted {
		if slices.Contains(has, s) {
			out = append(out, s)
		}
	}
	return out
}

func within(all, of []string) bool {
	return !slices.ContainsFunc(all, func(s string) bool { return !slices.Contains(of, s) })
}
