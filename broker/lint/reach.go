package lint

import (
	"slices"

	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/settings"
	"fedbroker/upstreams"
)

// Grant types as the configuration names them.
const (
	tokenExchange     = "token-exchange"
	jwtBearer         = "jwt-bearer"
	clientCredentials = "client_credentials"
	authorizationCode = "authorization_code"
)

// unmatched reports what of a rule nobody can match, and tells whether that is all of it.
func (p *policy) unmatched(r *rule, warn Report) bool {
	if why := r.when.contradiction(p.facts(r)); why != "" {
		warn("subject.when", "no token can match rule %q: %s", r.ID, why)
		return true
	}
	if r.actor != nil {
		if why := r.actor.contradiction(nil); why != "" {
			warn("actor.when", "no actor can match rule %q: %s", r.ID, why)
			return true
		}
	}
	p.idTokens(r, warn)
	if r.Requester.Anonymous {
		return p.nobody(r, warn)
	}
	useless := 0
	for i, id := range r.Requester.Clients {
		path, why := p.hinders(r, p.clients[id])
		if why == "" {
			continue
		}
		useless++
		if path == "" {
			path = indexed("requester.clients", i)
		}
		warn(path, "%s can't use rule %q: %s", id, r.ID, why)
	}
	return useless > 0 && useless == len(r.Requester.Clients)
}

// facts are what every request that reaches the rule's condition says.
func (p *policy) facts(r *rule) []test {
	issuer := p.config.Issuer
	if !r.Subject.Issued {
		issuer = p.upstreams[r.Subject.Upstream].Issuer // "" of a preset's
	}
	var facts []test
	if issuer != "" {
		facts = append(facts, test{text: "claims.iss == " + quote(issuer), of: "claims.iss", op: oneOf, values: []any{issuer}})
	}
	requesters := make([]any, len(r.requesters))
	for i, id := range r.requesters {
		requesters[i] = id
	}
	return append(facts, test{text: "requester.clients", of: "request.client_id", op: oneOf, values: requesters})
}

// nobody judges an anonymous rule.
func (p *policy) nobody(r *rule, warn Report) bool {
	u := p.upstreams[r.Subject.Upstream]
	if !admitted(u.Audiences, "") {
		warn("requester.anonymous", "nobody in particular can use rule %q: each audience of upstream %s is bound to requesters", r.ID, u.Name)
		return true
	}
	return false
}

// hinders says why a client can't use a rule, and where that is, "" at the client's place in the rule.
func (p *policy) hinders(r *rule, c clients.Spec) (path, why string) {
	u := p.upstreams[r.Subject.Upstream]
	switch {
	case !slices.Contains(c.GrantTypes, tokenExchange) && (r.Subject.Issued || r.delegation || !slices.Contains(c.GrantTypes, jwtBearer)):
		return "", "its grant_types lack " + tokenExchange
	case c.Public && !r.Requester.PublicClients:
		return "", "it is public, and the rule lacks public_clients: true"
	case !r.Subject.Issued && !admitted(u.Audiences, c.ID) && !slices.Contains(c.GrantTypes, jwtBearer): // an ID-JAG is for us, not for one of these (P23)
		return "", "no audience of upstream " + u.Name + " is open to it"
	case r.Subject.Issued && !p.presents(c):
		return "", "no token of ours names it: nothing gives an audience that is its id or one of its identifiers, and nobody logs in at it"
	case !r.delegation:
		return "", ""
	}
	switch a := r.Actor; {
	case !a.Issued && a.Upstream == "" && !slices.Contains(c.GrantTypes, clientCredentials):
		return "actor", "it would act by a token of its own, and its grant_types lack " + clientCredentials
	case !a.Issued && a.Upstream == "" && !p.named(c, c.Audiences):
		return "actor", "it would act by a token of its own, and its audiences hold neither its id nor one of its identifiers"
	case !a.Issued && a.Upstream != "" && !admitted(p.upstreams[a.Upstream].Audiences, c.ID):
		return "actor.upstream", "no audience of upstream " + a.Upstream + " is open to it"
	case a.Issued && !p.presents(c):
		return "actor", "no token of ours names it"
	}
	return "", ""
}

func admitted(audiences []upstreams.Audience, requester string) bool {
	return slices.ContainsFunc(audiences, func(a upstreams.Audience) bool { return a.Admits(requester) })
}

// presents tells whether some token of ours is this client's to present (P11): its own login's, or one with an audience that it is.
func (p *policy) presents(c clients.Spec) bool {
	if slices.Contains(c.GrantTypes, authorizationCode) || slices.Contains(c.GrantTypes, clientCredentials) && p.named(c, c.Audiences) {
		return true
	}
	return p.given[c.ID] || slices.ContainsFunc(c.Identifiers, func(name string) bool { return p.given[name] })
}

// given are the audiences that rules and registrations name.
func given(c settings.Config) map[string]bool {
	out := map[string]bool{}
	for _, cl := range c.Clients {
		for _, a := range cl.Audiences {
			out[a] = true
		}
	}
	for _, s := range c.Exchange {
		if s.Grant == nil {
			continue
		}
		for _, a := range s.Grant.Audiences {
			out[a] = true
		}
	}
	return out
}

// named tells whether a token of the client's own is its to present: an audience is the client, by its id or one of its identifiers, or is we.
func (p *policy) named(c clients.Spec, audiences []string) bool {
	return slices.ContainsFunc(audiences, func(a string) bool { return a == c.ID || a == p.config.Issuer || slices.Contains(c.Identifiers, a) })
}

// idTokens reports audiences that a rule can give nothing for: an ID token is for exactly one client (P22).
func (p *policy) idTokens(r *rule, warn Report) {
	if !slices.Equal(r.types, []string{oauth.ShortIDToken}) {
		return
	}
	for i, a := range r.Grant.Audiences {
		if _, known := p.clients[a]; !known {
			warn(indexed("grant.audiences", i), "rule %q gives ID tokens alone, which are for a client, and %q is none", r.ID, a)
		}
	}
}
