package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"fedbroker/broker/rules/spec"
	"fedbroker/mappers/expr"
	"fedbroker/mappers/printable"
)

// explain is how one rule fared, in words: what its first failing condition saw, what it wanted, and the smallest change that would let that
// condition hold. It runs for traces alone.
func (j *judge) explain(r *Rule, failed Condition, err error) RuleTrace {
	t := RuleTrace{Rule: r.ID, Path: fmt.Sprintf("exchange[%d]", r.position), Delegation: r.Delegation, Failed: failed, Err: err}
	switch failed {
	case ConditionRequester:
		j.explainRequester(r, &t)
	case ConditionAudience:
		j.explainAudience(r, &t)
	case ConditionSubject:
		t.Saw, t.Wanted = j.in.Subject.selector(), selector(r.Own, r.Upstream)
		t.Change = fmt.Sprintf("a rule whose subject is %s, beside %s", j.in.Subject.selector(), t.Path)
	case ConditionTokenType:
		t.Saw, t.Wanted = shortType(j.in.TokenType), "one of "+printable.Value(shortTypes(r.types))
		t.Change = fmt.Sprintf("add %s to %s.grant.token_types", shortType(j.in.TokenType), t.Path)
	case ConditionBound:
		j.explainBound(&t)
	case ConditionActor:
		j.explainActor(r, &t)
	case ConditionWhen:
		j.explainWhen(r.when, t.Path+".subject.when", &t)
	case ConditionMode:
		t.Saw, t.Wanted, t.Change = spec.ModeAudit, spec.ModeEnforce, fmt.Sprintf("set %s.mode to %s", t.Path, spec.ModeEnforce)
	}
	return t
}

func (j *judge) explainRequester(r *Rule, t *RuleTrace) {
	q := j.in.Requester
	t.Saw, t.Wanted = "client "+printable.Text(q.ClientID), "one of "+printable.Value(r.requesters)
	switch anonymous := slices.Contains(r.requesters, ""); {
	case r.names(q): // a public one
		t.Saw, t.Wanted = "public "+t.Saw, "a client that authenticates"
		t.Change = fmt.Sprintf("set %s.requester.public_clients to true", t.Path)
	case anonymous:
		t.Wanted, t.Change = "nobody in particular (anonymous)", "ask without client credentials, where the subject token alone is enough"
	case q.Anonymous:
		t.Saw, t.Change = "nobody in particular (anonymous)", fmt.Sprintf("authenticate as one of the clients of %s", t.Path)
	default:
		t.Change = fmt.Sprintf("add %s to %s.requester.clients", joined([]string{q.ClientID}), t.Path)
	}
}

func (j *judge) explainAudience(r *Rule, t *RuleTrace) {
	if len(j.in.Targets) == 0 {
		t.Saw, t.Wanted, t.Change = "no audience and no resource", "one of "+printable.Value(r.Audiences), "ask for one: the rule gives several"
		return
	}
	beyond := slices.DeleteFunc(slices.Clone(j.in.Targets), func(a string) bool { return slices.Contains(r.Audiences, a) })
	t.Saw, t.Wanted = printable.Value(j.in.Targets), "only of "+printable.Value(r.Audiences)
	t.Change = fmt.Sprintf("add %s to %s.grant.audiences", joined(beyond), t.Path)
}

func (j *judge) explainBound(t *RuleTrace) {
	t.Saw, t.Wanted = "a subject token that is bound to a key, and no proof of it", "a DPoP proof of that key"
	t.Change = "send a DPoP proof made with the subject token's key"
	switch {
	case j.in.Subject.Confirmed == "": // of a public client
		t.Saw, t.Wanted, t.Change = "a bearer token from a public client", "a token that is bound to the client's key", "a subject token with cnf.jkt, and a DPoP proof of that key"
	case errors.Is(t.Err, errNoProof):
		t.Wanted, t.Change = "a DPoP proof of a key of the requester's", "send a DPoP proof"
	case !j.in.Requester.Public:
		t.Change += fmt.Sprintf(", or set %s.bound_subject to %s and send one of your own", t.Path, spec.BoundAccept)
	}
}

func (j *judge) explainActor(r *Rule, t *RuleTrace) {
	s, a := j.in.Subject, j.in.Actor
	switch {
	case !r.Delegation:
		t.Saw, t.Wanted, t.Change = "an actor token", "nobody to act (impersonation)", fmt.Sprintf("set %s.actor to {required: true}", t.Path)
		if a == nil {
			t.Saw = "a subject token with " + map[bool]string{true: "act", false: "may_act"}[s.Act != nil]
			t.Change += ", and send an actor token"
		}
	case a == nil:
		t.Saw, t.Wanted, t.Change = "no actor token", r.actor.wanted(), "send actor_token and actor_token_type"
	case errors.Is(t.Err, errOtherActor):
		t.Saw, t.Wanted = "the actor "+printable.Text(a.Sub)+", "+a.selector(), r.actor.wanted()
		t.Change = fmt.Sprintf("send another actor token, or select this one in %s.actor", t.Path)
	case errors.Is(t.Err, errMayAct):
		t.Saw = "the actor " + printable.Text(a.Sub)
		t.Wanted, t.Change = "the one that may_act of the subject token names", "a subject token whose may_act names this actor and requester"
	case errors.Is(t.Err, errActDepth):
		t.Saw, t.Wanted = fmt.Sprintf("a chain of %d actors already", s.Act.Depth()), fmt.Sprintf("at most %d with this one", j.set.actDepth)
		t.Change = "raise tokens.act_depth"
	default:
		j.explainWhen(r.actor.when, t.Path+".actor.when", t)
	}
}

// wanted is the actor that a rule selects.
func (a *actor) wanted() string {
	if a.itself {
		return "a token of the requester's own, by client_credentials"
	}
	return selector(a.own, a.upstream)
}

func (j *judge) explainWhen(when *expr.Program, path string, t *RuleTrace) {
	if j.activation == nil || when == nil {
		t.Saw, t.Wanted = printable.Text(fmt.Sprint(j.err)), "claims that a condition can judge"
		return
	}
	t.Findings = when.Explain(j.activation)
	var saw, wanted, changes []string
	for _, f := range t.Findings {
		operand := f.Operand
		if operand == "" {
			operand = f.Part
		}
		saw, wanted = append(saw, operand+": "+f.Saw), append(wanted, operand+": "+f.Wanted)
		change := fmt.Sprintf("condition '%s' saw %s", f.Part, f.Saw)
		if f.Nearest != "" {
			change += ", and there is " + f.Nearest
		}
		if !f.Alternative || len(changes) == 0 { // of alternatives one is enough
			changes = append(changes, change)
		}
	}
	t.Saw, t.Wanted = strings.Join(saw, "; "), strings.Join(wanted, "; ")
	t.Change = fmt.Sprintf("%s (%s)", strings.Join(changes, "; "), path)
}

// selector is whose token a subject is, as a rule would write it.
func (s *Subject) selector() string { return selector(s.Own, s.Upstream) }

func selector(own bool, upstream string) string {
	switch {
	case own && upstream == "":
		return "{issued: true}"
	case own:
		return "{issued: true, upstream: " + upstream + "}"
	}
	return "{upstream: " + upstream + "}"
}

func joined(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = printable.Value(n)
	}
	return strings.Join(quoted, ", ")
}

// shortType is a token type as a configuration writes it.
func shortType(urn string) string {
	if urn == "" {
		return "(none)"
	}
	return urn[strings.LastIndexByte(urn, ':')+1:]
}

func shortTypes(urns []string) []string {
	short := make([]string, len(urns))
	for i, urn := range urns {
		short[i] = shortType(urn)
	}
	return short
}

// Fare traces the rules for a request that was refused before they were asked, since none names its requester, or none that does leads to its
// targets: each fails by the one or the other.
func (p *Set) Fare(in *Request, tr *Trace) {
	j := judge{in: in, set: p}
	for i := range p.rules {
		failed := ConditionAudience
		if c, _ := j.rule(&p.rules[i]); c == ConditionRequester {
			failed = c
		}
		tr.add(&j, &p.rules[i], failed, nil)
	}
}

// ReadsOwn are the claims of our own tokens that rules read, as subjects and as actors.
func (p *Set) ReadsOwn() (all expr.Members) {
	for i := range p.rules {
		r := &p.rules[i]
		if r.when != nil && r.Own {
			all = join(join(all, r.when.Reads().Claims), r.when.Reads().Principal)
		}
		if r.actor.when != nil {
			all = join(all, r.actor.when.Reads().Actor)
		}
	}
	return all
}
