package grants

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/rules"
	"fedbroker/mappers/expr"
	"fedbroker/upstreams/jose"
)

// exchange is the token exchange (RFC 8693). What the subject token is decides its path, never which parameters came with it.
type exchange struct {
	Deps
	reads    map[string]*jose.Selection // by upstream: the claims that chain and rules read
	readsOwn expr.Members               // of our own tokens
}

func newExchange(d Deps) exchange {
	x := exchange{Deps: d, reads: make(map[string]*jose.Selection, len(d.Chains)), readsOwn: d.Policy.ReadsOwn()}
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
	subject   presented
	actor     *presented // nil: none came
	decision  policy.Decision
	authority policy.Authority
}

// step is one step of a grant, named for the trace.
type step struct {
	name string
	take func(*attempt, context.Context) error
}

// Authorize takes the steps in the order in which the contract judges them (P27): an earlier failure hides a later one.
func (x exchange) Authorize(ctx context.Context, req *oauth.TokenRequest) (policy.Authority, error) {
	a := attempt{exchange: x, req: req}
	if req.Form.Get(oauth.ParamRequestedTokenType) == oauth.TypeIDJAG {
		return a.take(ctx, idJAGSteps)
	}
	return a.take(ctx, exchangeSteps)
}

var exchangeSteps = []step{
	{stepRequester, (*attempt).admit},
	{"parameters", (*attempt).readParameters},
	{"tokens", (*attempt).parseTokens},
	{"verification", (*attempt).verifyTokens},
	{stepTarget, (*attempt).reachTarget},
	{"mapping", (*attempt).mapTokens},
	{"rules", (*attempt).applyRules},
	{"authority", (*attempt).combine},
}

func (a *attempt) take(ctx context.Context, steps []step) (policy.Authority, error) {
	for _, s := range steps {
		err := s.take(a, ctx)
		a.Trace.step(s.name, err)
		if err != nil {
			a.fare(s.name)
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
	if a.subject, err = a.parse(roleSubject, a.params.subjectToken, a.params.subjectType); err != nil || a.params.actorToken == "" {
		return err
	}
	actor, err := a.parse(roleActor, a.params.actorToken, a.params.actorType)
	if err != nil {
		return err
	}
	if a.actor = &actor; actor.id() == a.subject.id() {
		return invalid(oauth.ReasonTokenReused, errors.New("one token as subject and as actor"))
	}
	return nil
}

// reachTarget comes before any condition: what rules say of subjects is not for those who reach the target by none.
func (a *attempt) reachTarget(context.Context) error {
	if !a.Policy.Reaches(&a.req.Requester, a.params.targets, a.params.requestedType) {
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

// asked is the request as the rules see it.
func (a *attempt) asked() rules.Request {
	in := rules.Request{
		Subject: &a.subject.as, Requester: &a.req.Requester, Proof: a.req.Proof,
		Targets: a.params.targets, Scope: a.req.Form.Get(oauth.ParamScope), TokenType: a.params.requestedType, Now: a.req.Now,
	}
	if a.actor != nil {
		in.Actor = &a.actor.as
	}
	return in
}

func (a *attempt) applyRules(context.Context) (err error) {
	in := a.asked()
	a.decision, err = a.Policy.Decide(&in, a.Trace.rules())
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
