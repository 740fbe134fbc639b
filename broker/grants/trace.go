package grants

import (
	"maps"
	"slices"

	"fedbroker/broker/decision"
	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/mappers/expr"
	"fedbroker/upstreams/jose"
)

// Trace records one exchange for its operator: the steps taken, what each mapper changed, how each rule fared. A nil *Trace records nothing
// and costs nothing. It holds claims, so it is not for logs.
type Trace struct {
	Steps   []Step
	Mapping mappers.Trace // of the subject token
	Actor   mappers.Trace // of the actor token
	Policy  rules.Trace
}

// Step is one step of the exchange and how it ended; the one with an error is the last.
type Step struct {
	Name string
	Err  error
}

func (t *Trace) step(name string, err error) {
	if t != nil {
		t.Steps = append(t.Steps, Step{Name: name, Err: err})
	}
}

func (t *Trace) mapping(r role) *mappers.Trace {
	switch {
	case t == nil:
		return nil
	case r == roleActor:
		return &t.Actor
	default:
		return &t.Mapping
	}
}

func (t *Trace) rules() *rules.Trace {
	if t == nil {
		return nil
	}
	return &t.Policy
}

// The steps that speak for all rules before they are asked.
const (
	stepRequester = "requester"
	stepTarget    = "target"
)

// fare has the rules traced of a request that was refused before they were asked, by a step that speaks for all of them.
func (a *attempt) fare(step string) {
	if a.Trace == nil || step != stepRequester && step != stepTarget || a.req.Form.Get(oauth.ParamRequestedTokenType) == oauth.TypeIDJAG {
		return
	}
	in := a.asked()
	a.Policy.Fare(&in, &a.Trace.Policy)
}

// kept is what may be kept of the tokens that were verified, to explain the decision later (P47).
func (a *attempt) kept() (subject, actor *oauth.SeenToken) {
	if a.actor != nil && a.actor.as.Sub != "" {
		actor = a.keep(a.actor)
	}
	return a.keep(&a.subject), actor
}

func (a *attempt) keep(p *presented) *oauth.SeenToken {
	kept := &oauth.SeenToken{Own: p.as.Own, Upstream: p.as.Upstream, TokenID: p.as.Facts.TokenID, Typ: p.token.Typ(), Opaque: p.opaque != nil || p.assertion != nil}
	if p.as.Own {
		kept.Claims = decision.Keep(p.as.Claims, true, a.readsOwn)
		return kept
	}
	c, r := a.Chains[p.as.Upstream].Reads(), a.Policy.Reads(p.as.Upstream)
	names := slices.Concat(c.Names, r.Names)
	if a.SubjectClaims != nil {
		names = append(names, a.SubjectClaims(p.as.Upstream)...)
	}
	if p.token.Class() == jose.ClassIDJAG {
		names = append(names, decision.OfIDJAG()...)
	}
	claims := make(map[string]any, len(p.claims)+len(decision.Protocol()))
	maps.Copy(claims, p.claims)
	if p.opaque == nil && p.assertion == nil { // what is not read for rules and mappers was not decoded; verified by now it is, all of it
		verified := p.token.UnverifiedClaims()
		for _, name := range slices.Concat(names, decision.Protocol()) {
			if verified.Has(name) {
				claims[name] = verified.Value(name)
			}
		}
	}
	kept.Claims = decision.Keep(claims, false, expr.Members{All: c.All || r.All, Names: names})
	return kept
}
