package rules

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

// Match is the rule that decides a request, and what of it the request asks for.
type Match struct {
	Rule      *Rule
	Audiences []string      // at least one
	TokenType string        // identifier
	Leeway    time.Duration // of the subject's times
	Audits    []string      // rules in mode audit that would have decided instead
}

// RuleID is the rule that decided, "" for none.
func (m Match) RuleID() string {
	if m.Rule == nil {
		return ""
	}
	return m.Rule.ID
}

// Decide finds the first rule that applies to the request. No other is looked at after it: whatever it refuses stays refused. The error is
// an *oauth.Error: invalid_target if the requester reaches the targets by no rule, else invalid_request.
func (p *Set) Decide(in *Request, tr *Trace) (Match, error) {
	if in.Subject == nil || in.Requester == nil {
		return Match{}, errors.New("policy: a request without subject or requester")
	}
	if err := p.Admits(*in.Requester); err != nil {
		return Match{}, err
	}
	r, denial := p.apply(in, tr)
	if r == nil {
		return Match{}, denial.error(p.Reaches(in.Requester, in.Targets))
	}
	audiences := in.Targets
	if len(audiences) == 0 {
		if len(r.Audiences) != 1 { // it decides, so no later rule may (P16)
			return Match{}, oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget).Because(fmt.Errorf("rule %s has several audiences and none was requested", r.ID))
		}
		audiences = r.Audiences
	}
	return Match{Rule: r, Audiences: audiences, TokenType: r.issues(in.TokenType), Leeway: p.leewayOf(in.Subject)}, nil
}

func (p *Set) leewayOf(s *Subject) time.Duration {
	if s.Own {
		return p.leeway[""]
	}
	return p.leeway[s.Upstream]
}

// apply returns the first rule that applies, or how near the others came.
func (p *Set) apply(in *Request, tr *Trace) (*Rule, denial) {
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
func (p *Set) consider(in *Request, all bool) func(yield func(*Rule) bool) {
	return func(yield func(*Rule) bool) {
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
		var b []*Rule
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
	rule   *Rule
	failed Condition
	err    error
}

func (d *denial) note(r *Rule, failed Condition, err error) {
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
		return deny.Because(fmt.Errorf("rule %s: %s: %w", d.rule.ID, d.failed, d.err))
	}
	return deny.Because(fmt.Errorf("rule %s: %s", d.rule.ID, d.failed))
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
func (j *judge) rule(r *Rule) (Condition, error) {
	s := j.in.Subject
	switch {
	case !r.names(j.in.Requester):
		return ConditionRequester, nil
	case len(j.in.Targets) > 0 && !r.Covers(j.in.Targets):
		return ConditionAudience, nil
	case r.audit:
		return ConditionMode, nil
	case r.Own != s.Own || r.Upstream != s.Upstream && (r.Upstream != "" || !r.Own):
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
func (r *Rule) names(q *oauth.Requester) bool {
	key := requesterKey(q)
	for _, id := range r.requesters {
		if id == key {
			return true
		}
	}
	return false
}

// issues is the token type that the rule issues for a requested one, "" if none that is served.
func (r *Rule) issues(requested string) string {
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
