package policy

import (
	"errors"
	"fmt"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/mappers/expr"
)

// Request is one exchange to be judged. Everything in it has been verified or is the request's own word.
type Request struct {
	Subject   *Subject
	Requester *oauth.Requester
	Targets   []string // audience and resource, one set; empty: the rule's only one
	Scope     string   // the parameter as sent; "" asks for all that rule and subject allow
	TokenType string   // requested token type identifier; "" is the first that the rule lists
	Actor     bool     // an actor token came with it
	Now       time.Time
}

// Decision is what a rule, or a client's registration, allows for one request: the bounds, and whom they are for. Only this package
// makes one, and only Combine can use it.
type Decision struct {
	subject   *Subject // nil: the client itself, or a login
	login     *Login   // of a person; nil: none
	requester *oauth.Requester
	scope     string
	now       time.Time
	bound     *rule
	audiences []string
	tokenType string
	leeway    time.Duration // of the subject's times
}

// RuleID is the rule that decided, "" if it was the client's registration.
func (d Decision) RuleID() string {
	if d.bound == nil {
		return ""
	}
	return d.bound.id
}

// Decide finds the first rule that applies to the request. No other is looked at after it: whatever it refuses stays refused. The error is
// an *oauth.Error: invalid_target if the requester reaches the targets by no rule, else invalid_request.
func (p *Policy) Decide(in *Request, tr *Trace) (Decision, error) {
	if in.Subject == nil || in.Requester == nil {
		return Decision{}, errors.New("policy: a request without subject or requester")
	}
	if err := p.Admits(*in.Requester); err != nil {
		return Decision{}, err
	}
	r, denial := p.apply(in, tr)
	if r == nil {
		return Decision{}, denial.error(p.Reaches(in.Requester, in.Targets))
	}
	audiences := in.Targets
	if len(audiences) == 0 {
		if len(r.audiences) != 1 { // it decides, so no later rule may (P16)
			return Decision{}, oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget).Because(fmt.Errorf("rule %s has several audiences and none was requested", r.id))
		}
		audiences = r.audiences
	}
	return Decision{
		subject: in.Subject, requester: in.Requester, scope: in.Scope, now: in.Now,
		bound: r, audiences: audiences, tokenType: r.issues(in.TokenType), leeway: p.leewayOf(in.Subject),
	}, nil
}

func (p *Policy) leewayOf(s *Subject) time.Duration {
	if s.Own {
		return p.leeway[""]
	}
	return p.leeway[s.Upstream]
}

// apply returns the first rule that applies, or how near the others came.
func (p *Policy) apply(in *Request, tr *Trace) (*rule, denial) {
	j := judge{in: in, readsRequest: p.readsRequest}
	var nearest denial
	for r := range p.consider(in, tr != nil) {
		failed, err := j.rule(r)
		tr.add(r, failed, err)
		if failed == ConditionNone {
			return r, denial{}
		}
		nearest.note(r, failed, err)
	}
	return nil, nearest
}

// consider yields, in file order, the rules that can apply by the index; for a trace, all.
func (p *Policy) consider(in *Request, all bool) func(yield func(*rule) bool) {
	return func(yield func(*rule) bool) {
		if all {
			for i := range p.rules {
				if !yield(&p.rules[i]) {
					return
				}
			}
			return
		}
		k := candidateKey{in.Subject.Own, in.Subject.Upstream, requesterKey(in.Requester), first(in.Targets)}
		a := p.candidate[k]
		var b []*rule
		if k.own && k.upstream != "" {
			k.upstream = ""
			b = p.candidate[k]
		}
		for len(a)+len(b) > 0 {
			if len(a) == 0 || len(b) > 0 && b[0].position < a[0].position {
				a, b = b, a
			}
			if !yield(a[0]) {
				return
			}
			a = a[1:]
		}
	}
}

// denial is the refusal nearest to a grant: the rule of which the most conditions held.
type denial struct {
	rule   *rule
	failed Condition
	err    error
}

func (d *denial) note(r *rule, failed Condition, err error) {
	if d.rule == nil || failed.rank() > d.failed.rank() {
		*d = denial{rule: r, failed: failed, err: err}
	}
}

func (d denial) error(reached bool) error {
	if !reached {
		return oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget)
	}
	deny := oauth.Deny(oauth.CodeInvalidRequest, d.failed.reason())
	if d.rule == nil {
		return deny
	}
	if d.err != nil {
		return deny.Because(fmt.Errorf("rule %s: %s: %w", d.rule.id, d.failed, d.err))
	}
	return deny.Because(fmt.Errorf("rule %s: %s", d.rule.id, d.failed))
}

// rank orders the conditions as they are judged.
func (c Condition) rank() int {
	for i, o := range [...]Condition{ConditionRequester, ConditionAudience, ConditionMode, ConditionSubject, ConditionTokenType, ConditionActor, ConditionWhen} {
		if c == o {
			return i
		}
	}
	return -1
}

func (c Condition) reason() oauth.Reason {
	switch c {
	case ConditionTokenType:
		return oauth.ReasonTokenType
	case ConditionActor:
		return oauth.ReasonActor
	case ConditionWhen:
		return oauth.ReasonCondition
	default:
		return oauth.ReasonSelector
	}
}

// judge holds what the conditions of one request share.
type judge struct {
	in           *Request
	readsRequest bool // some condition does
	activation   *expr.Activation
	err          error // the input cannot be judged by any expression
}

// rule returns the first condition that fails. An expression that cannot be evaluated does not hold.
func (j *judge) rule(r *rule) (Condition, error) {
	s := j.in.Subject
	switch {
	case !r.names(j.in.Requester):
		return ConditionRequester, nil
	case len(j.in.Targets) > 0 && !r.covers(j.in.Targets):
		return ConditionAudience, nil
	case r.audit:
		return ConditionMode, nil
	case r.own != s.Own || r.upstream != s.Upstream && (r.upstream != "" || !r.own):
		return ConditionSubject, nil
	case r.issues(j.in.TokenType) == "":
		return ConditionTokenType, nil
	case j.in.Actor || s.Delegated: // every rule is impersonation, which knows neither
		return ConditionActor, nil
	case r.when == nil:
		return ConditionNone, nil
	}
	if holds, err := j.holds(r.when); !holds {
		return ConditionWhen, err
	}
	return ConditionNone, nil
}

func (j *judge) holds(when *expr.Program) (bool, error) {
	if j.activation == nil && j.err == nil {
		j.activation, j.err = expr.NewActivation(j.input())
	}
	if j.err != nil {
		return false, j.err
	}
	return when.Holds(j.activation)
}

// names tells whether the requester may ask under this rule.
func (r *rule) names(q *oauth.Requester) bool {
	key := requesterKey(q)
	for _, id := range r.requesters {
		if id == key {
			return true
		}
	}
	return false
}

// issues is the token type that the rule issues for a requested one, "" if none that is served.
func (r *rule) issues(requested string) string {
	for _, t := range r.types {
		if requested != "" && t != requested {
			continue
		}
		if t == oauth.TypeIDToken { // listed, but nothing serves it
			return ""
		}
		return t
	}
	return ""
}
