package grants

import (
	"context"
	"errors"
	"fmt"

	"fedbroker/broker/oauth"
	"fedbroker/broker/refusal"
	"fedbroker/broker/rules"
	"fedbroker/upstreams"
	"fedbroker/upstreams/saml"
)

// parseSAML reads a SAML assertion, which is called nothing else (P9).
func (a *attempt) parseSAML(p *presented) error {
	if !saml.Encoded(p.raw) {
		return invalid(oauth.ReasonTokenClass, errors.New("no SAML assertion, declared as one"))
	}
	assertion, err := saml.Parse(p.raw)
	if err != nil {
		return invalid(oauth.ReasonToken, err)
	}
	p.assertion = &assertion
	return nil
}

// chooseAssertion is choose for SAML assertions.
func (a *attempt) chooseAssertion(p *presented) (saml.Provider, upstreams.Want, error) {
	known := a.Policy.KnowsUpstream
	if p.role == roleActor {
		known = a.Policy.KnowsActor
	}
	up, found := a.Upstreams.SelectAssertion(p.assertion.UnverifiedIssuer(), p.assertion.UnverifiedAudience())
	if !found || !known(up.Name()) {
		return up, upstreams.Want{}, invalid(oauth.ReasonTokenIssuer, errors.New("no rule takes assertions of this issuer and audience"))
	}
	if a.req.Requester.Anonymous && len(p.assertion.UnverifiedAudience()) != 1 { // P21
		return up, upstreams.Want{}, invalid(oauth.ReasonTokenAudience, errors.New("anonymous, and the assertion has not exactly one audience"))
	}
	want := upstreams.Want{Purpose: p.role.purpose, Requester: a.req.Requester.ClientID, Now: a.req.Now, Claims: a.reads[up.Name()]}
	expected, err := up.Expect(*p.assertion, want)
	if err != nil {
		return up, want, refusal.Upstream(err)
	}
	if s := (rules.Subject{Expires: expected}); s.Fresh(a.req.Now) != nil { // P18, before anybody is asked
		return up, want, s.Fresh(a.req.Now)
	}
	return up, want, nil
}

// verifyAssertion has the one upstream verify the assertion that the policy knows for its issuer and audience.
func (a *attempt) verifyAssertion(ctx context.Context, p *presented) error {
	up, want, err := a.chooseAssertion(p)
	if err != nil {
		return err
	}
	id, err := up.Verify(ctx, *p.assertion, want)
	if err != nil {
		return refusal.Upstream(err)
	}
	return a.identify(p, &id)
}

// notAssertion refuses a SAML assertion that is called something else, before anybody is asked what it is (P9).
func notAssertion(raw, declared string) error {
	if saml.Encoded(raw) {
		return invalid(oauth.ReasonTokenClass, fmt.Errorf("a SAML assertion, declared as %s", declared))
	}
	return nil
}
