package grants

import (
	"context"

	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
)

// clientCredentials is RFC 6749 §4.4: a confidential client's own authority, bounded by its registration. Its subject is the client
// itself, and there is no upstream.
type clientCredentials struct{ policy *policy.Policy }

func (clientCredentials) Type() string { return oauth.GrantClientCredentials }

func (g clientCredentials) Authorize(_ context.Context, req *oauth.TokenRequest) (policy.Authority, error) {
	if q := &req.Requester; q.Public || q.Anonymous { // RFC 6749 §4.4.2: confidential clients only
		return policy.Authority{}, oauth.Deny(oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed)
	}
	targets, err := oauth.Targets(req.Form)
	if err != nil {
		return policy.Authority{}, err
	}
	req.Seen = oauth.Seen{Subject: req.Requester.ClientID, Targets: targets}
	d, err := g.policy.ForClient(&req.Requester, targets, req.Form.Get(oauth.ParamScope), req.Proof, req.Now)
	if err != nil {
		return policy.Authority{}, err
	}
	return policy.Combine(d)
}
