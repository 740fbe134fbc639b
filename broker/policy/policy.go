// Package policy says what a request comes to: a Decision, made of the rule that decides an exchange, of a client's registration or of a login,
// and Combine, the one function that makes an Authority of it and lets it never be above any of its inputs.
package policy

import (
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
)

// Policy decides by compiled rules. It is immutable and safe for concurrent use.
type Policy struct {
	*rules.Set
	servers map[string]ResourceServer // by issuer
	jag     map[string]bool           // clients that a resource server knows
}

// Compile judges and compiles the rules (see rules.Compile) and the authorization servers that take our ID-JAGs.
func Compile(o rules.Options, bad func(path, format string, args ...any), servers ...ResourceServer) *Policy {
	p := &Policy{Set: rules.Compile(o, bad), servers: map[string]ResourceServer{}, jag: map[string]bool{}}
	p.serve(o.Clients, servers, bad)
	return p
}

// Decision is what a rule, or a client's registration, allows for one request: the bounds, and whom they are for. Only this package
// makes one, and only Combine can use it.
type Decision struct {
	subject   *rules.Subject // nil: the client itself, or a login
	login     *Login         // of a person; nil: none
	requester *oauth.Requester
	scope     string
	now       time.Time
	bound     *rules.Rule
	audiences []string
	tokenType string
	leeway    time.Duration // of the subject's times
	audits    []string
	actor     *rules.Subject // nil: nobody acts
	proof     oauth.Proof    // of the requester
	idClient  rules.Client   // whom an ID token is for
	jag       *JAGRequest    // nil: no ID-JAG is asked for
}

// RuleID is the rule that decided, "" if it was the client's registration.
func (d Decision) RuleID() string {
	if d.bound == nil {
		return ""
	}
	return d.bound.ID
}

// Decide finds the one rule that decides the request. The error is an *oauth.Error; see rules.Set.Decide.
func (p *Policy) Decide(in *rules.Request, tr *rules.Trace) (Decision, error) {
	m, err := p.Set.Decide(in, tr)
	if err != nil {
		return Decision{}, err
	}
	return Decision{
		subject: in.Subject, requester: in.Requester, scope: in.Scope, now: in.Now,
		bound: m.Rule, audiences: m.Audiences, tokenType: m.TokenType, leeway: m.Leeway, audits: m.Audits, actor: in.Actor, proof: in.Proof, idClient: m.IDToken,
	}, nil
}
