package login

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/broker/session"
	"fedbroker/broker/token"
	"fedbroker/upstreams/jose"
)

// UserInfo answers with the claims that a login's access token lets be known, as JSON (OpenID Connect Core §5.3.2), and the client that the
// token is of. The error is an *oauth.Error: invalid_token, insufficient_scope, or temporarily_unavailable.
func (s *Service) UserInfo(ctx context.Context, u UserInfo) (body []byte, clientID string, err error) {
	v := s.visit(event.KindUserInfo, u.DecisionID, u.Peer)
	v.run(ctx, func(ctx context.Context) error {
		body, err = v.userInfo(ctx, u.Token)
		return err
	})
	if v.answer.Failure != nil {
		return nil, v.event.ClientID, v.refused
	}
	return body, v.event.ClientID, nil
}

func badToken(reason oauth.Reason, cause error) error {
	return oauth.Deny(oauth.CodeInvalidToken, reason).Because(cause)
}

func (v *visit) userInfo(ctx context.Context, raw string) ([]byte, error) {
	own, err := v.openAccess(raw)
	if err != nil {
		return nil, err
	}
	client, known := v.Clients.Lookup(own.ClientID)
	if !known {
		return nil, badToken(oauth.ReasonToken, errors.New("of a client that is none any more"))
	}
	v.event.ClientID, v.event.TokenID = client.ID, own.JTI
	if !slices.Contains(own.Audience, v.Issuer) { // P35
		return nil, badToken(oauth.ReasonTokenAudience, errors.New("our issuer is not in aud"))
	}
	if !slices.Contains(own.Scopes, oauth.ScopeOpenID) {
		return nil, oauth.Deny(oauth.CodeInsufficientScope, oauth.ReasonScope).Because(errors.New("without openid"))
	}
	lineage := own.Facts.Lineage
	if len(lineage.Families) != 1 || len(lineage.Rules) > 0 || own.HasActor || own.HasConfirmation {
		return nil, badToken(oauth.ReasonToken, errors.New("not a login's own access token"))
	}
	grant, err := v.Sessions.Grant(ctx, lineage.Families[0])
	if errors.Is(err, session.ErrNone) {
		return nil, badToken(oauth.ReasonToken, err)
	}
	if err != nil {
		return nil, oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonUnavailable).Because(err)
	}
	if grant.ClientID != own.ClientID || grant.Subject != own.Subject {
		return nil, badToken(oauth.ReasonToken, errors.New("the grant is another's"))
	}
	v.event.Upstream, v.event.SessionID = grant.Upstream, grant.SessionID
	claims := v.Scopes.Of(grant.Claims, own.Scopes) // a refresh may have narrowed them
	claims["sub"], claims["upstream"] = grant.Subject, upstreamClaim(&grant, client.FullUpstream)
	body, err := json.Marshal(claims)
	if err != nil {
		return nil, fmt.Errorf("userinfo: %w", err)
	}
	return body, nil
}

// openAccess opens the token; whatever is wrong with it is its bearer's fault, a stale revocation set is nobody's.
func (v *visit) openAccess(raw string) (token.Own, error) {
	unverified, err := jose.Parse(raw)
	if err != nil {
		return token.Own{}, badToken(oauth.ReasonToken, err)
	}
	own, err := v.Tokens.OpenAccess(unverified, v.now)
	if err == nil {
		return own, nil
	}
	if refusal := oauth.AsError(err); refusal.Code == oauth.CodeInvalidRequest {
		return token.Own{}, badToken(refusal.Reason, err)
	}
	return token.Own{}, err
}

// upstreamClaim is where the person signed in; who they are there is for those who may know (P6).
func upstreamClaim(g *session.Grant, full bool) map[string]string {
	if full {
		return map[string]string{"name": g.Upstream, "iss": g.UpstreamIssuer, "sub": g.UpstreamSubject}
	}
	return map[string]string{"name": g.Upstream}
}
