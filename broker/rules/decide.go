package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
	Actor     *Subject // of the actor token; nil: none came
	Proof     oauth.Proof
	Now       time.Time
}

// Match is the rule that decides a request, and what of it the request asks for.
type Match struct {
	Rule      *Rule
	Audiences []string      // at least one
	TokenType string        // identifier
	Leeway    time.Duration // of the subject's times
	Audits    []string      // rules in mode audit that would have decided instead
	IDToken   Client        // whom an ID token is for; zero where none is issued
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
	if n := p.crowd(in); n > maxPerTriple { // no audience bounds them, and each can cost an evaluation
		return Match{}, oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget).Because(fmt.Errorf("%d rules could apply: the request has to name an audience", n))
	}
	m, denial := p.apply(in, tr)
	if m.Rule == nil {
		return Match{}, p.refuse(in, denial)
	}
	m.TokenType, m.Leeway = m.Rule.issues(in.TokenType), p.leewayOf(in.Subject)
	var err error
	if m.Audiences, err = p.audiences(m.Rule, in, m.TokenType); err == nil && m.TokenType == oauth.TypeIDToken {
		m.IDToken = p.clients[m.Audiences[0]]
	}
	return m, err
}

// refuse says no as if rules in mode audit were not there: who is named, or what is reached, by those alone is not.
func (p *Set) refuse(in *Request, d denial) error {
	var e *oauth.Error
	switch {
	case !p.requester[requesterKey(in.Requester)]:
		e = oauth.Deny(oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed).Because(fmt.Errorf("no rule that is enforced names client %q", in.Requester.ClientID))
	case !p.reaches(in.Requester, in.Targets, in.TokenType, false):
		e = oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget)
	default:
		e = d.error()
	}
	e.Audits = d.audits
	return e
}

// audiences are the targets, or what stands for none: of an ID token the requester itself, else the rule's only audience (P16, P22). The rule
// decides, so no later one may help.
func (p *Set) audiences(r *Rule, in *Request, tokenType string) ([]string, error) {
	audiences := in.Targets
	deny := func(format string, args ...any) ([]string, error) {
		return nil, oauth.Deny(oauth.CodeInvalidTarget, oauth.ReasonTarget).Because(fmt.Errorf("rule %s: %w", r.ID, fmt.Errorf(format, args...)))
	}
	switch {
	case tokenType == oauth.TypeIDToken && len(audiences) == 0 && !in.Requester.Anonymous:
		audiences = []string{in.Requester.ClientID}
	case len(audiences) == 0 && len(r.Audiences) != 1:
		return deny("several audiences, and none was requested")
	case len(audiences) == 0:
		audiences = r.Audiences
	}
	if tokenType == oauth.TypeIDToken && (len(audiences) != 1 || p.clients[audiences[0]].ID == "") {
		return deny("an ID token is for exactly one client, got %q", audiences)
	}
	if in.Subject.Resources != nil {
		for _, a := range audiences {
			if !slices.Contains(in.Subject.Resources, a) {
				return deny("the assertion is for %q, not for %q", in.Subject.Resources, a)
			}
		}
	}
	return audiences, nil
}

func (p *Set) leewayOf(s *Subject) time.Duration {
	if s.Own {
		return p.leeway[""]
	}
	return p.leeway[s.Upstream]
}

// apply returns the first rule that applies, or how near the others came.
func (p *Set) apply(in *Request, tr *Trace) (m Match, nearest denial) {
	j := judge{in: in, set: p}
	for r := range p.consider(in, tr != nil) {
		failed, err := j.rule(r)
		tr.add(&j, r, failed, err)
		switch failed {
		case ConditionNone:
			m.Rule = r
			return m, denial{}
		case ConditionMode:
			m.Audits = append(m.Audits, r.ID)
		}
		nearest.note(r, failed, err)
	}
	nearest.audits = m.Audits
	return Match{}, nearest
}

// crowd is how many rules a request without audience would have to be judged by.
func (p *Set) crowd(in *Request) int {
	if len(in.Targets) > 0 {
		return 0
	}
	k := candidateKey{in.Subject.Own, in.Subject.Upstream, requesterKey(in.Requester), ""}
	n := len(p.candidate[k])
	if k.own && k.upstream != "" {
		k.upstream = ""
		n += len(p.candidate[k])
	}
	return n
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
	audits []string
}

func (d *denial) note(r *Rule, failed Condition, err error) {
	if d.rule == nil || failed.rank() > d.failed.rank() {
		*d = denial{rule: r, failed: failed, err: err}
	}
}

func (d denial) error() *oauth.Error {
	deny := oauth.Deny(oauth.CodeInvalidRequest, d.failed.reason())
	if d.rule == nil {
		return deny
	}
	if d.err != nil {
		return deny.Because(fmt.Errorf("rule %s: %s: %w", d.rule.ID, d.failed, quiet(d.err)))
	}
	return deny.Because(fmt.Errorf("rule %s: %s", d.rule.ID, d.failed))
}

// quiet leaves out why a condition has no value, unless it is a name that the condition itself has: the library's words may quote a claim. A trace
// has them.
func quiet(err error) error {
	e, ok := errors.AsType[*expr.EvalError](err)
	if !ok {
		return err
	}
	if name, missing := strings.CutPrefix(e.Err.Error(), "no such key: "); missing && strings.Contains(e.Source, name) {
		return err
	}
	return fmt.Errorf("%q has no value for this request", e.Source)
}

// rank orders the conditions as they are judged.
func (c Condition) rank() int {
	for i, o := range [...]Condition{ConditionRequester, ConditionAudience, ConditionSubject, ConditionTokenType, ConditionBound, ConditionActor, ConditionWhen, ConditionMode} {
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
	case ConditionBound:
		return oauth.ReasonConfirmation
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
	in         *Request
	set        *Set
	activation *expr.Activation
	err        error // the input cannot be judged by any expression
}

// rule returns the first condition that fails. An expression that cannot be evaluated does not hold. A rule in mode audit is judged like any
// other, and fails last.
func (j *judge) rule(r *Rule) (Condition, error) {
	s := j.in.Subject
	switch {
	case !r.names(j.in.Requester), j.in.Requester.Public && !r.public: // P21
		return ConditionRequester, nil
	case len(j.in.Targets) > 0 && !r.Covers(j.in.Targets):
		return ConditionAudience, nil
	case r.Own != s.Own || r.Upstream != s.Upstream && (r.Upstream != "" || !r.Own):
		return ConditionSubject, nil
	case r.issues(j.in.TokenType) == "":
		return ConditionTokenType, nil
	}
	if err := j.bound(r); err != nil {
		return ConditionBound, err
	}
	if err := j.acts(r); err != nil {
		return ConditionActor, err
	}
	for _, c := range [...]struct {
		when *expr.Program
		is   Condition
	}{{r.actor.when, ConditionActor}, {r.when, ConditionWhen}} {
		if c.when == nil {
			continue
		}
		if holds, err := j.holds(c.when); !holds {
			return c.is, err
		}
	}
	if r.audit {
		return ConditionMode, nil
	}
	return ConditionNone, nil
}

// bound holds a sender-constrained subject to its key, or, where the rule takes it, the requester to one of its own: what comes of it is bound
// to that (P25). A public client is its key (P21).
func (j *judge) bound(r *Rule) error {
	s, proof := j.in.Subject, j.in.Proof
	switch {
	case j.in.Requester.Public && (s.Confirmed == "" || !s.Proven):
		return errPublicUnproven
	case s.Confirmed == "" || s.Proven && proof.Key != "":
		return nil
	case !r.bound:
		return errBoundSubject
	case proof.Key == "":
		return errNoProof
	}
	return nil
}

// acts judges who acts: nobody under impersonation; under delegation the actor that the rule selects, if the subject lets it (P19, P20).
func (j *judge) acts(r *Rule) error {
	s, a := j.in.Subject, j.in.Actor
	switch {
	case !r.Delegation && (a != nil || s.Act != nil || s.MayAct != nil):
		return errImpersonation
	case !r.Delegation:
		return nil
	case a == nil:
		return errNoActor
	case !r.actor.selects(a, j.in.Requester):
		return errOtherActor
	case s.MayAct != nil && !s.MayAct.allows(s, a, j.in.Requester):
		return errMayAct
	case s.Act.Depth() >= j.set.actDepth:
		return errActDepth
	}
	return nil
}

// What the conditions on keys and actors say to the operator.
var (
	errPublicUnproven = errors.New("a public client has to prove the key that its subject token is bound to")
	errBoundSubject   = errors.New("the subject is bound to a key that the requester did not prove")
	errNoProof        = errors.New("the subject is bound to a key, and the requester proved none of its own")
	errImpersonation  = errors.New("the rule is impersonation, and there is an actor token, or the subject carries act or may_act")
	errNoActor        = errors.New("the rule is delegation, and there is no actor token")
	errOtherActor     = errors.New("the actor token is not one that the rule selects")
	errMayAct         = errors.New("the subject's may_act does not allow this actor and requester")
	errActDepth       = errors.New("the chain of actors would be too long")
)

// selects tells whether the rule takes this actor.
func (a *actor) selects(s *Subject, q *oauth.Requester) bool {
	switch {
	case a.itself:
		return s.Own && !q.Anonymous && s.Sub == q.ClientID && s.ClientID == q.ClientID
	case a.own:
		return s.Own && (a.upstream == "" || a.upstream == s.Upstream)
	default:
		return !s.Own && a.upstream == s.Upstream
	}
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

// issues is the token type that the rule issues for a requested one, "" if none.
func (r *Rule) issues(requested string) string {
	for _, t := range r.types {
		if requested == "" || t == requested {
			return t
		}
	}
	return ""
}
