package demo

import (
	"maps"
	"sync"

	"fedbroker/upstreams/upstreamtest"
)

// Names of the partners, as the configuration has them, and who can sign in there.
const (
	acme     = "acme"
	globex   = "globex"
	ada      = "ada"
	callback = "/callback/"
	// clientAtPartner is how the partners know the broker.
	clientAtPartner = "fedbroker"
)

// Two partners that say the same things in different words: that is what mappers are for.
func people(partner string) []upstreamtest.Person {
	if partner == globex {
		return []upstreamtest.Person{
			{Login: "grace", Subject: "G-1906", Claims: map[string]any{
				"name": "Grace Hopper", "given_name": "Grace", "family_name": "Hopper", "email": "grace@globex.example", "email_verified": true,
			}, UserinfoOnly: map[string]any{"memberOf": []string{"Order Desk", "Navy"}, "costCentre": "310"}},
		}
	}
	return []upstreamtest.Person{
		{Login: ada, Subject: "7f3a91", Claims: map[string]any{
			"name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "email": "ada@acme.example", "email_verified": true,
			"department": "R&D", "realm": map[string]any{"roles": []string{"eng-ord", "staff"}},
		}},
		{Login: "alan", Subject: "2c81d0", Claims: map[string]any{
			"name": "Alan Turing", "given_name": "Alan", "family_name": "Turing", "email": "alan@example.org", "email_verified": true, // not acme's to vouch for
			"department": "Sales", "realm": map[string]any{"roles": []string{"staff"}},
		}},
	}
}

// partner is a partner's identity provider, and what it said last of each person.
type partner struct {
	*upstreamtest.IdP
	secret string

	mu       sync.Mutex
	idToken  map[string]map[string]any // by subject
	userinfo map[string]map[string]any
}

func newPartner(name, display, accent, broker string) (*partner, error) {
	p := &partner{secret: random(), idToken: map[string]map[string]any{}, userinfo: map[string]map[string]any{}}
	var err error
	p.IdP, err = upstreamtest.New(upstreamtest.Options{
		Name: name, DisplayName: display, Accent: accent, CookieName: name + "-session", People: people(name),
		Clients: []upstreamtest.Client{{ID: clientAtPartner, Secret: p.secret, RedirectURIs: []string{broker + callback + name}}},
	})
	if err != nil {
		return nil, err
	}
	p.AlterIDToken(func(claims map[string]any) { p.note(p.idToken, claims) })
	p.AlterUserinfo(func(claims map[string]any) { p.note(p.userinfo, claims) })
	return p, nil
}

// note changes nothing: it remembers what is said.
func (p *partner) note(where map[string]map[string]any, claims map[string]any) {
	subject, _ := claims["sub"].(string)
	p.mu.Lock()
	defer p.mu.Unlock()
	where[subject] = maps.Clone(claims)
}

// said is what the partner said last of a person.
func (p *partner) said(subject string) (idToken, userinfo map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.idToken[subject]), maps.Clone(p.userinfo[subject])
}
