package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
)

// ResourceServer is an authorization server that takes our ID-JAGs (P23). The words are those of draft-ietf-oauth-identity-assertion-authz-grant.
type ResourceServer struct {
	Issuer    string
	ClientIDs map[string]string // our client id → its id there
	Scopes    []string          // that may be named in an ID-JAG
}

// maxJAGLife is how long an ID-JAG may live (P23).
const maxJAGLife = 5 * time.Minute

// serve judges the resource servers and files them by issuer.
func (p *Policy) serve(clients []rules.Client, servers []ResourceServer, bad func(path, format string, args ...any)) {
	for i, s := range servers {
		at := fmt.Sprintf("resource_servers[%d].", i)
		if _, taken := p.servers[s.Issuer]; taken {
			bad(at+"issuer", "want each issuer once, got %q again", s.Issuer)
		}
		p.servers[s.Issuer] = s
		if len(s.ClientIDs) == 0 {
			bad(at+"client_ids", "want at least one of our clients and its id there, got none")
		}
		for _, id := range slices.Sorted(maps.Keys(s.ClientIDs)) {
			known := slices.IndexFunc(clients, func(c rules.Client) bool { return c.ID == id })
			switch {
			case known < 0:
				bad(at+"client_ids", "want a configured client, got %q", id)
			case clients[known].Public:
				bad(at+"client_ids", "want a confidential client, got the public %q", id)
			case s.ClientIDs[id] == "":
				bad(at+"client_ids", "want the id of %q there, got none", id)
			}
			p.jag[id] = true
		}
	}
}

// AdmitsIDJAG refuses a requester that no resource server knows: the error is an unauthorized_client.
func (p *Policy) AdmitsIDJAG(q *oauth.Requester) error {
	if q.Anonymous || q.Public || !p.jag[q.ClientID] {
		return oauth.Deny(oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed).Because(fmt.Errorf("no resource server knows client %q", q.ClientID))
	}
	return nil
}

// JAGRequest asks for an ID-JAG: who a person is, for one authorization server of another domain.
type JAGRequest struct {
	Requester *oauth.Requester
	Subject   *rules.Subject // an own ID token of the requester
	Audiences []string       // as requested: exactly one issuer
	Resources []string       // RFC 8707, for its `resource`; none is asked for by an empty list
	Scope     string
	Proof     oauth.Proof
	Now       time.Time

	known string // as whom the audience knows the requester
}

// IDJAG is what an ID-JAG says beside the Authority.
type IDJAG struct {
	ClientID  string // the requester's id at the audience
	Resources []string
}

// ForIDJAG decides whether a client may take a person's login to another domain. The error is an *oauth.Error.
func (p *Policy) ForIDJAG(r *JAGRequest) (Decision, error) {
	if r.Requester == nil || r.Subject == nil {
		return Decision{}, errors.New("policy: an ID-JAG without requester or subject")
	}
	if err := p.AdmitsIDJAG(r.Requester); err != nil {
		return Decision{}, err
	}
	if len(r.Audiences) != 1 || p.servers[r.Audiences[0]].ClientIDs[r.Requester.ClientID] == "" {
		return Decision{}, oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget).Because(fmt.Errorf("no resource server knows client %s among %q", r.Requester.ClientID, r.Audiences))
	}
	server := p.servers[r.Audiences[0]]
	if err := loginOf(r.Subject, r.Requester); err != nil {
		return Decision{}, oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonSelector).Because(err)
	}
	jag := *r
	jag.known = server.ClientIDs[r.Requester.ClientID]
	bound := &rules.Rule{Audiences: r.Audiences, TTL: maxJAGLife}
	for _, name := range server.Scopes {
		bound.Scopes = append(bound.Scopes, rules.Scope{Name: name})
	}
	return Decision{
		subject: r.Subject, requester: r.Requester, scope: r.Scope, proof: r.Proof, now: r.Now, bound: bound, audiences: r.Audiences, tokenType: oauth.TypeIDJAG, jag: &jag,
	}, nil
}

// loginOf refuses a subject that is no ID token of a login at this very client: one that was exchanged, delegated, or came of an assertion says
// who somebody is at second hand (P23). What came by a rule or from another token has that in its lineage.
func loginOf(s *rules.Subject, q *oauth.Requester) error {
	l := s.Facts.Lineage
	switch {
	case !s.Own || !s.IDToken:
		return errors.New("the subject is no ID token of ours")
	case len(s.Audiences) != 1 || s.Audiences[0] != q.ClientID || s.ClientID != q.ClientID:
		return errors.New("the ID token is another client's")
	case s.Act != nil || s.MayAct != nil:
		return errors.New("the ID token is delegated")
	case len(l.Rules) > 0 || len(l.Families) == 0: // a client that is a workload has its credential among the tokens
		return errors.New("the ID token is not of a login")
	}
	return nil
}

// idJAG says the requester's name at the audience. Nothing else leaves: no claim that a mapper made, and not which upstream it was.
func (d Decision) idJAG(a *Authority) error {
	if d.jag == nil {
		return nil
	}
	a.claims, a.upstream = nil, UpstreamRef{}
	a.jag = &IDJAG{ClientID: d.jag.known, Resources: d.jag.Resources}
	return nil
}

// IDJAG is what the token says if it is an ID-JAG.
func (a Authority) IDJAG() (IDJAG, bool) {
	if a.jag == nil {
		return IDJAG{}, false
	}
	return *a.jag, true
}
