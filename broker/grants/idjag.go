package grants

import (
	"context"

	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
)

// idJAGSteps take a person's login to another domain (P23): the resource servers are the policy there, and no rule has a say.
var idJAGSteps = []step{
	{stepRequester, (*attempt).admitIDJAG},
	{"parameters", (*attempt).readIDJAGParameters},
	{"tokens", (*attempt).parseTokens},
	{"verification", (*attempt).verifyTokens},
	{"resource server", (*attempt).chooseResourceServer},
	{"authority", (*attempt).combine},
}

func (a *attempt) admitIDJAG(context.Context) error { return a.Policy.AdmitsIDJAG(&a.req.Requester) }

func (a *attempt) readIDJAGParameters(ctx context.Context) error {
	if err := a.readParameters(ctx); err != nil {
		return err
	}
	if a.params.subjectType != oauth.TypeIDToken || a.params.actorToken != "" {
		return invalid(oauth.ReasonParameter, errIDJAGSubject)
	}
	return nil
}

func (a *attempt) chooseResourceServer(context.Context) (err error) {
	a.decision, err = a.Policy.ForIDJAG(&policy.JAGRequest{
		Requester: &a.req.Requester, Subject: &a.subject.as, Audiences: a.req.Form.All(oauth.ParamAudience), Resources: a.params.resources,
		Scope: a.req.Form.Get(oauth.ParamScope), Proof: a.req.Proof, Now: a.req.Now,
	})
	return err
}
