package policy

import (
	"errors"
	"slices"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
)

// Login is what a person let a client have, as a code or a refresh token proves it, and what the client asks of it now.
type Login struct {
	Requester *oauth.Requester
	Issuer    string // ours: the audience of tokens without another (P35)
	GrantID   string // the family
	SessionID string // of the ID token, and of the lineage unless Offline
	Offline   bool   // outlives the session
	Subject   string // the broker's
	Upstream  UpstreamRef
	AuthTime  time.Time // zero: not known
	ACR       string
	AMR       []string
	Since     time.Time // when the session began: a time-limited revocation of person or upstream is held against it
	Granted   time.Time // when the person let the client have it: one of the client against this

	Scopes, Audiences []string // granted
	Scope             string   // the parameter: narrower, or "" for all
	Targets           []string // resource: of the audiences, or none for all
	Proof             oauth.Proof
	Now               time.Time

	IDToken IDToken // issued where the scope has openid
	IDTTL   time.Duration
}

// Lineage is what a revocation can name of everything that comes of the login.
func (g *Login) Lineage() revoke.Lineage {
	l := revoke.Lineage{
		Families: []string{g.GrantID}, Clients: []string{g.Requester.ClientID}, Subjects: []string{g.Subject}, Upstreams: []string{g.Upstream.Name},
		Since: g.Since.Unix(), Own: g.Granted.Unix(),
	}
	if !g.Offline {
		l.Sessions = []string{g.SessionID}
	}
	return l
}

// ForLogin decides what a client may have of a login: nothing that the person's authorization did not give. The error is an *oauth.Error:
// invalid_target for an audience beyond it.
func (p *Policy) ForLogin(g *Login) (Decision, error) {
	if g.Requester == nil || g.Requester.Anonymous || g.Requester.ClientID == "" || g.Subject == "" || g.GrantID == "" || g.Issuer == "" || g.Granted.IsZero() {
		return Decision{}, errors.New("policy: a login without client, person or grant")
	}
	bound := &rules.Rule{Audiences: g.Audiences, TTL: p.TTL}
	if len(bound.Audiences) == 0 {
		bound.Audiences = []string{g.Issuer}
	}
	for _, name := range g.Scopes {
		bound.Scopes = append(bound.Scopes, rules.Scope{Name: name})
	}
	targets := g.Targets
	if len(targets) == 0 {
		targets = bound.Audiences
	}
	if !bound.Covers(targets) {
		return Decision{}, oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget)
	}
	return Decision{login: g, requester: g.Requester, scope: g.Scope, proof: g.Proof, now: g.Now, bound: bound, audiences: targets}, nil
}

// loginIdentity says who signed in, how and when; nothing of it is refreshed.
func (d Decision) loginIdentity(a *Authority) {
	g := d.login
	a.subject, a.acr, a.amr, a.authTime = g.Subject, g.ACR, slices.Clone(g.AMR), g.AuthTime
	a.upstream = UpstreamRef{Name: g.Upstream.Name}
	if d.requester.FullUpstream { // P6
		a.upstream = g.Upstream
	}
	a.lin, a.parents = g.Lineage(), []string{g.GrantID}
}
