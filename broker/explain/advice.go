package explain

import (
	"fmt"
	"slices"
	"strings"

	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/mappers/nearest"
	"fedbroker/mappers/printable"
	"fedbroker/upstreams"
	"fedbroker/upstreams/pattern"
)

// advice is the smallest change that would get a request further which was refused by something else than a condition of a rule.
func (c Configuration) advice(e *Explanation, refusal *oauth.Error) string {
	if long(e.TokenType) == oauth.TypeIDJAG && (refusal.Reason == oauth.ReasonSelector || refusal.Reason == oauth.ReasonTarget || refusal.Reason == oauth.ReasonScope || refusal.Reason == oauth.ReasonGrantNotAllowed) {
		return "an ID token that this client got at a login, and an entry of resource_servers that has the audience, the client and the scopes"
	}
	switch refusal.Reason {
	case oauth.ReasonTokenIssuer, oauth.ReasonTokenAudience:
		return c.adviceOnUpstream(e, refusal)
	case oauth.ReasonTokenTime:
		return "a fresh token: this one is not valid, or not for long enough, at " + e.At.UTC().Format(timeForm)
	case oauth.ReasonTokenClass:
		return "a token of another class, or declared as what it is; what an upstream's tokens may be is in its accept_typ"
	case oauth.ReasonSignature:
		return "a token as the issuer signed it, with a key that it publishes and an algorithm of upstreams[].algorithms"
	case oauth.ReasonKeysUnavailable:
		return "nothing: once the upstream's keys can be fetched again, the same request is judged by them"
	case oauth.ReasonConfirmation, oauth.ReasonProof:
		return "a DPoP proof by the key that the token is bound to"
	case oauth.ReasonRevoked:
		return "a new token: this one is revoked, or something that it descends from"
	case oauth.ReasonRequire, oauth.ReasonMapping:
		return c.adviceOnMapping(e)
	case oauth.ReasonScope:
		return c.adviceOnScope(e)
	case oauth.ReasonReplay:
		return "a token with a jti that was not used before: the rule says single_use"
	case oauth.ReasonClientCredentials:
		return "a configured client; without one, a rule with requester: {anonymous: true}"
	case oauth.ReasonGrantNotAllowed:
		return "the grant in the client's grant_types, and a rule that names the client"
	case oauth.ReasonParameter, oauth.ReasonFormRules:
		return "the parameter that the cause names"
	case oauth.ReasonTarget:
		return "an audience or resource that a rule gives, and just one rule's"
	}
	return ""
}

// adviceOnUpstream finds out why no upstream speaks for the subject token.
func (c Configuration) adviceOnUpstream(e *Explanation, refusal *oauth.Error) string {
	t := e.Subject
	if t != nil && t.Verified && e.Actor != nil {
		t = e.Actor
	}
	if t == nil || t.Class == classOpaque {
		return "a JWT, or a rule for this requester whose upstream introspects"
	}
	if t.Own {
		return "a token whose aud holds the requester's client id or one of its identifiers"
	}
	issuer, _ := t.Claims["iss"].(string)
	audience := audiences(t.Claims["aud"])
	var issuers []string
	for _, u := range c.Upstreams {
		issuers = append(issuers, u.Spec.SpeaksFor()...)
		if !u.speaks(issuer) || t.Upstream != "" && t.Upstream != u.Spec.Name {
			continue
		}
		values := make([]string, len(u.Spec.Audiences))
		for i, a := range u.Spec.Audiences {
			values[i] = a.Value
		}
		switch {
		case len(values) == 0:
			return fmt.Sprintf("audiences of exchange in %s.audiences: %s has none, so that none of its tokens is exchanged", u.Path, u.Spec.Name)
		case t.Upstream == "":
			return fmt.Sprintf("a token whose aud is one of %s, as %s.audiences has them; its aud is %s", printable.Value(values), u.Path, printable.Value(t.Claims["aud"]))
		case !c.Policy.KnowsUpstream(t.Upstream):
			return fmt.Sprintf("a rule whose subject is {upstream: %s}: none takes its tokens", t.Upstream)
		case closed(u.Spec.Audiences, audience, e.ClientID):
			return fmt.Sprintf("%s among the requesters of that audience in %s.audiences", requester(e.ClientID), u.Path)
		default:
			return "a token with exactly one aud, that of the exchange: " + printable.Value(values)
		}
	}
	text := fmt.Sprintf("an upstream whose issuer is %s", printable.Value(issuer))
	if near, ok := nearest.Name(issuer, issuers); ok {
		text += ", to the byte; there is " + printable.Value(near)
	}
	return text
}

// speaks tells whether an issuer is the upstream's, or one of its many.
func (u Upstream) speaks(issuer string) bool {
	if u.Spec.IssuerPattern != "" {
		return pattern.NewForm(u.Spec.IssuerPattern, u.Spec.Issuers).Matches(issuer)
	}
	return u.Spec.Issuer == issuer
}

// closed tells whether an audience that the token has is for other requesters.
func closed(all []upstreams.Audience, have []string, requester string) bool {
	return slices.ContainsFunc(all, func(a upstreams.Audience) bool { return slices.Contains(have, a.Value) && !a.Admits(requester) })
}

func audiences(claim any) (all []string) {
	switch v := claim.(type) {
	case string:
		return []string{v}
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

func requester(id string) string {
	if id == "" {
		return "nobody in particular (anonymous)"
	}
	return "client " + printable.Text(id)
}

// adviceOnMapping names the step that refused.
func (c Configuration) adviceOnMapping(e *Explanation) string {
	for _, t := range []*Token{e.Subject, e.Actor} {
		if t == nil {
			continue
		}
		for _, m := range t.Mapping {
			if m.Error != "" {
				return fmt.Sprintf("claims that %s of upstream %s (%s) takes", m.Step, t.Upstream, m.Kind)
			}
		}
	}
	return "claims that the upstream's mappers take"
}

// adviceOnScope says what the rule gives, and what of it the subject carries.
func (c Configuration) adviceOnScope(e *Explanation) string {
	for _, r := range e.Rules {
		if r.Failed != string(rules.ConditionNone) {
			continue
		}
		text := fmt.Sprintf("scopes of %s.grant.scopes", r.Path)
		if e.Subject != nil && e.Subject.Own {
			carried, _ := e.Subject.Claims["scope"].(string)
			text += ", and of those only what the subject's own allow: " + printable.Value(strings.Fields(carried))
		}
		return text
	}
	return "scopes that the rule gives"
}
