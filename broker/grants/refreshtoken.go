package grants

import (
	"context"
	"errors"

	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/recheck"
	"fedbroker/broker/refusal"
	"fedbroker/broker/session"
	"fedbroker/mappers"
)

// refreshToken is RFC 6749 §6 with rotation (RFC 9700 §4.14.2, P36).
type refreshToken struct{ login }

func (refreshToken) Type() string { return oauth.GrantRefreshToken }

func (g refreshToken) Authorize(ctx context.Context, req *oauth.TokenRequest) (policy.Authority, error) {
	if req.Requester.Anonymous {
		return policy.Authority{}, nobody()
	}
	token := req.Form.Get(oauth.ParamRefreshToken)
	if token == "" {
		return policy.Authority{}, invalid(oauth.ReasonParameter, errors.New("refresh_token is required"))
	}
	targets, err := oauth.Targets(req.Form)
	if err != nil {
		return policy.Authority{}, err
	}
	p, err := g.present(ctx, req, token)
	if err != nil {
		return policy.Authority{}, err
	}
	a, err := g.authority(req, &p.Grant, targets, req.Form.Get(oauth.ParamScope), "") // OpenID Connect Core §12.2: no nonce
	if err != nil {
		return policy.Authority{}, err
	}
	client, _ := g.Logins.Clients.Lookup(req.Requester.ClientID)
	if !client.Keeps(p.Grant.Offline) {
		return policy.Authority{}, badGrant(oauth.ReasonGrantNotAllowed, errors.New("the client lost the right to this kind of family"))
	}
	if p.State == session.Fresh && g.Logins.Recheck != nil && g.Logins.Recheck.Wanted(p.Grant.Upstream) { // all that needs nobody else was judged
		if err := g.recheck(ctx, client, &p); err != nil {
			return policy.Authority{}, err
		}
		if a, err = g.authority(req, &p.Grant, targets, req.Form.Get(oauth.ParamScope), ""); err != nil {
			return policy.Authority{}, err
		}
	}
	keep := !client.Rotates() || p.Grant.BoundKey != ""
	req.Redeem = func(ctx context.Context) (string, error) {
		next, err := g.Logins.Sessions.Rotate(ctx, p, req.Proof.Key, keep)
		if errors.Is(err, session.ErrSpent) { // another was quicker: this token may be in its grace now
			again, err := g.present(ctx, req, token)
			if err != nil {
				return "", err
			}
			return rotated(g.Logins.Sessions.Rotate(ctx, again, req.Proof.Key, keep))
		}
		return rotated(next, err)
	}
	return a, nil
}

// recheck asks the person's identity provider whether it stands for them still. Where it does, the grant has the claims of now; where it does not, the
// grant is over, and so is all that came of it.
func (g refreshToken) recheck(ctx context.Context, client *clients.Client, p *session.Presented) error {
	principal, err := g.Logins.Recheck.Ask(ctx, p.Grant.SessionID)
	if errors.Is(err, recheck.ErrOver) {
		if lost := g.over(ctx, p.Grant.ID); lost != nil {
			return unavailable(errors.Join(err, lost))
		}
		return badGrant(oauth.ReasonIdPDenied, err)
	}
	if err != nil {
		return refusal.Asked(err)
	}
	claims, err := client.Told(principal, p.Grant.Scopes, g.Logins.Scopes)
	if _, refused := errors.AsType[*mappers.RefusedError](err); refused {
		return badGrant(oauth.ReasonRequire, err)
	}
	if err == nil {
		err = p.Renew(claims)
	}
	return err
}

// rotated reads the outcome of a rotation.
func rotated(next string, err error) (string, error) {
	switch {
	case errors.Is(err, session.ErrNone): // the session ended in between
		return "", badGrant(oauth.ReasonRefreshToken, err)
	case err != nil:
		return "", unavailable(err)
	}
	return next, nil
}

// present looks the token up. One that was used before ends its family, if its own client brings it: from another it says nothing of who lost it.
func (g refreshToken) present(ctx context.Context, req *oauth.TokenRequest, token string) (session.Presented, error) {
	p, err := g.Logins.Sessions.Refresh(ctx, token)
	switch {
	case errors.Is(err, session.ErrEnded):
		return p, badGrant(oauth.ReasonRevoked, err)
	case errors.Is(err, session.ErrNone):
		return p, badGrant(oauth.ReasonRefreshToken, err)
	case err != nil:
		return p, unavailable(err)
	case p.Grant.ClientID != req.Requester.ClientID:
		return p, badGrant(oauth.ReasonRefreshToken, errors.New("another client's refresh token"))
	case p.Grant.BoundKey != "" && !req.Proof.Proves(p.Grant.BoundKey): // whoever has the token alone has nothing, and can spoil nothing
		return p, unproven("no proof by the refresh token's key")
	case p.Grant.Proven && req.Proof.Key == "": // sender constraint never falls (P17)
		return p, unproven("no proof, but what the grant gave before is bound")
	case p.State == session.Spent, p.State == session.Grace && p.Grant.RotatedBy != req.Proof.Key: // P36: from the same client and key
		return p, g.reused(ctx, req, &p.Grant)
	case p.State == session.Expired:
		return p, badGrant(oauth.ReasonRefreshToken, errors.New("the refresh token has expired"))
	}
	return p, nil
}
