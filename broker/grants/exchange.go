package grants

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/upstreams/jose"
)

// exchange is the token exchange (RFC 8693). What the subject token is decides its path, never which parameters came with it.
type exchange struct {
	Deps
	reads map[string]*jose.Selection // by upstream: the claims that chain and rules read
}

func newExchange(d Deps) exchange {
	x := exchange{Deps: d, reads: make(map[string]*jose.Selection, len(d.Chains))}
	for name, chain := range d.Chains {
		c, r := chain.Reads(), d.Policy.Reads(name)
		if !c.All && !r.All && d.Trace == nil {
			x.reads[name] = jose.NewSelection(slices.Concat(c.Names, r.Names)...)
		} // else nil: all of them, as a trace wants them, too
	}
	return x
}

func (exchange) Type() string { return oauth.GrantTokenExchange }

// attempt is one exchange on its way. Each step reads what the ones before it left.
type attempt struct {
	exchange
	req       *oauth.TokenRequest
	params    parameters
	token     jose.Unverified
	claims    map[string]any // of an external token, verified, before mapping
	subject   rules.Subject
	decision  policy.Decision
	authority policy.Authority
}

// Authorize takes the steps in the order in which the contract judges them (P27): an earlier failure hides a later one.
func (x exchange) Authorize(ctx context.Context, req *oauth.TokenRequest) (policy.Authority, error) {
	a := attempt{exchange: x, req: req}
	for _, step := range [...]struct {
		name string
		take func(*attempt, context.Context) error
	}{
		{"requester", (*attempt).admit},
		{"parameters", (*attempt).readParameters},
		{"tokens", (*attempt).parseTokens},
		{"verification", (*attempt).verifySubject},
		{"target", (*attempt).reachTarget},
		{"mapping", (*attempt).mapSubject},
		{"rules", (*attempt).applyRules},
		{"authority", (*attempt).combine},
	} {
		err := step.take(&a, ctx)
		a.Trace.step(step.name, err)
		if err != nil {
			return policy.Authority{}, err
		}
	}
	return a.authority, nil
}

// admit refuses whom no rule names, before anything of the request is looked at.
func (a *attempt) admit(context.Context) error { return a.Policy.Admits(a.req.Requester) }

func (a *attempt) readParameters(context.Context) (err error) {
	a.params, err = readParameters(a.req.Form)
	a.req.Seen.Targets = a.params.targets
	return err
}

// parseTokens reads both tokens; nothing is verified yet.
func (a *attempt) parseTokens(context.Context) error {
	var err error
	if a.token, err = a.parse(a.params.subjectToken, a.params.subjectType); err != nil || a.params.actorToken == "" {
		return err
	}
	_, err = a.parse(a.params.actorToken, a.params.actorType) // that no rule takes an actor is the policy's to say
	return err
}

// parse reads one token and holds it to what needs neither key nor clock.
func (a *attempt) parse(raw, declared string) (jose.Unverified, error) {
	t, err := jose.Parse(raw)
	if err != nil {
		return t, invalid(oauth.ReasonToken, err)
	}
	if own := t.UnverifiedIssuer() == a.Issuer; !agrees(declared, t, own) {
		return t, invalid(oauth.ReasonTokenClass, fmt.Errorf("declared type %s disagrees with class %s, own: %t", declared, t.Class(), own))
	}
	// A signature can be changed into another one that verifies: one token is what has one signing input (P14, P24).
	if t.TokenID() == a.req.Requester.CredentialTokenID {
		return t, invalid(oauth.ReasonTokenReused, errors.New("the token is the client's credential, too"))
	}
	if t.Has(jose.MarkerConfirmation) { // P25: without a proof of possession here, a bound token is nobody's to present
		return t, invalid(oauth.ReasonConfirmation, errors.New("the token is sender-constrained"))
	}
	return t, nil
}

// reachTarget comes before any condition: what rules say of subjects is not for those who reach the target by none.
func (a *attempt) reachTarget(context.Context) error {
	if !a.Policy.Reaches(&a.req.Requester, a.params.targets) {
		return oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget).Because(fmt.Errorf("no rule takes %s to %q", a.requester(), a.params.targets))
	}
	return nil
}

// requester is who asks, for the operator.
func (a *attempt) requester() string {
	if a.req.Requester.Anonymous {
		return "anonymous requests"
	}
	return "client " + a.req.Requester.ClientID
}

// mapSubject makes an identity a principal. A chain that refuses or fails is a condition that does not hold.
func (a *attempt) mapSubject(context.Context) error {
	if a.subject.Own {
		return nil
	}
	chain := a.Chains[a.subject.Upstream]
	if chain == nil {
		return fmt.Errorf("grants: no chain for upstream %s", a.subject.Upstream)
	}
	result, err := chain.Run(a.claims, a.Trace.mapping())
	if err != nil {
		if refused, ok := errors.AsType[*mappers.RefusedError](err); ok {
			return invalid(oauth.ReasonRequire, refused)
		}
		return invalid(oauth.ReasonMapping, err)
	}
	a.subject.Claims, a.subject.Principal, a.subject.Made = result.View, result.Principal, result.Made
	return nil
}

func (a *attempt) applyRules(context.Context) (err error) {
	a.decision, err = a.Policy.Decide(&rules.Request{
		Subject: &a.subject, Requester: &a.req.Requester,
		Targets: a.params.targets, Scope: a.req.Form.Get(oauth.ParamScope), TokenType: a.params.requestedType,
		Actor: a.params.actorToken != "", Now: a.req.Now,
	}, a.Trace.rules())
	return err
}

// combine judges what comes after the rule: scope and, last, what a single use needs.
func (a *attempt) combine(context.Context) (err error) {
	a.authority, err = policy.Combine(a.decision)
	return err
}

// invalid is RFC 8693 §2.2.2: whatever is wrong with a request or a token in it.
func invalid(reason oauth.Reason, cause error) *oauth.Error {
	return oauth.Deny(oauth.CodeInvalidRequest, reason).Because(cause)
}
