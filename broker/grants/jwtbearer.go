package grants

import (
	"context"
	"errors"
	"fmt"

	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/upstreams/jose"
)

// jwtBearer is the JWT authorization grant (RFC 7523 §2.1): an assertion of an upstream, an ID-JAG of one among them, under the same rules as a
// token exchange. It gives access tokens only, never refresh tokens (P18).
type jwtBearer struct{ exchange }

func (jwtBearer) Type() string { return oauth.GrantJWTBearer }

var jwtBearerSteps = []step{
	{stepRequester, (*attempt).admit},
	{"parameters", (*attempt).readAssertion},
	{"tokens", (*attempt).parseAssertion},
	{"verification", (*attempt).verifyTokens},
	{stepTarget, (*attempt).reachTarget},
	{"mapping", (*attempt).mapTokens},
	{"rules", (*attempt).applyRules},
	{"authority", (*attempt).combine},
}

// Authorize says invalid_grant where an exchange says invalid_request of the token or of what is in it (P27).
func (g jwtBearer) Authorize(ctx context.Context, req *oauth.TokenRequest) (policy.Authority, error) {
	a := attempt{exchange: g.exchange, req: req}
	authority, err := a.take(ctx, jwtBearerSteps)
	if e, refused := errors.AsType[*oauth.Error](err); refused && e.Code == oauth.CodeInvalidRequest && e.Reason != oauth.ReasonParameter {
		denied := *e
		denied.Code = oauth.CodeInvalidGrant
		return authority, &denied
	}
	if err != nil {
		return authority, err
	}
	return authority.WithoutType(), nil
}

func (a *attempt) readAssertion(context.Context) (err error) {
	a.params.subjectToken = a.req.Form.Get(oauth.ParamAssertion)
	if a.params.subjectToken == "" {
		return invalid(oauth.ReasonParameter, fmt.Errorf("%s is missing", oauth.ParamAssertion))
	}
	for _, name := range [...]string{oauth.ParamSubjectToken, oauth.ParamSubjectTokenType, oauth.ParamActorToken, oauth.ParamActorTokenType, oauth.ParamRequestedTokenType} {
		if a.req.Form.Has(name) { // an exchange's: who sends it means something that would not happen
			return invalid(oauth.ReasonParameter, fmt.Errorf("%s is no parameter of this grant", name))
		}
	}
	a.params.requestedType = oauth.TypeAccessToken // there is no other for this grant
	a.params.targets, err = oauth.Targets(a.req.Form)
	a.req.Seen.Targets = a.params.targets
	return err
}

// parseAssertion takes an upstream's JWT: of our own tokens none is an assertion, an ID-JAG of ours least of all (P23).
func (a *attempt) parseAssertion(context.Context) error {
	t, err := jose.Parse(a.params.subjectToken)
	if err != nil {
		return invalid(oauth.ReasonToken, err)
	}
	switch t.Class() {
	case jose.ClassJWT, jose.ClassAccessToken, jose.ClassOther, jose.ClassIDJAG:
	default:
		return invalid(oauth.ReasonTokenClass, fmt.Errorf("assertion of class %s", t.Class()))
	}
	if t.UnverifiedIssuer() == a.Issuer {
		return invalid(oauth.ReasonTokenClass, errors.New("a token of ours as assertion"))
	}
	a.subject = presented{role: roleAssertion, raw: a.params.subjectToken, token: t}
	return a.presentable(&a.subject)
}
