// Package policy says what a request comes to: a Decision, made of the rule that decides an exchange, of a client's registration or of a login,
// and Combine, the one function that makes an Authority of it and lets it never be above any of its inputs.
package policy

import (
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
)

// Policy decides by compiled rules. It is immutable and safe for concurrent use.
type Policy struct{ *rules.Set }

// Compile judges and compiles the rules; see rules.Compile.
func Compile(o rules.Options, bad func(path, format string, args ...any)) *Policy {
	return &Policy{rules.Compile(o, bad)}
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
		bound: m.Rule, audiences: m.Audiences, tokenType: m.TokenType, leeway: m.Leeway, audits: m.Audits,
	}, nil
}
