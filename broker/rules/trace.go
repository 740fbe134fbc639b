package rules

import "fedbroker/mappers/expr"

// Condition is one thing that a rule asks of a request, in the order of judgement.
type Condition string

// The conditions. ConditionNone: all hold.
const (
	ConditionNone      Condition = ""
	ConditionRequester Condition = "requester"
	ConditionAudience  Condition = "audience"
	ConditionSubject   Condition = "subject"
	ConditionTokenType Condition = "token_type"
	ConditionBound     Condition = "bound_subject"
	ConditionActor     Condition = "actor"
	ConditionWhen      Condition = "when"
	ConditionMode      Condition = "mode" // all else holds, and the rule is in mode audit
)

// Trace records how each rule fared, in file order, up to the one that decided. A nil *Trace records nothing and costs nothing.
type Trace struct{ Rules []RuleTrace }

// RuleTrace is one rule considered: the first condition that failed, if any, and what was wrong with it or why it could not be evaluated, if so.
type RuleTrace struct {
	Rule       string
	Path       string // in the configuration, such as exchange[2]
	Delegation bool   // else impersonation (P19)
	Failed     Condition
	Err        error
	Saw        string         // what the failing condition saw
	Wanted     string         // what it wanted
	Change     string         // the smallest change that would let it hold
	Findings   []expr.Finding // of a failing condition in CEL
}

func (t *Trace) add(j *judge, r *Rule, failed Condition, err error) {
	if t != nil {
		t.Rules = append(t.Rules, j.explain(r, failed, err))
	}
}

// Nearest is the rule that decided, or else the one of which the most conditions held, the first of several; false without any rule.
func (t *Trace) Nearest() (nearest RuleTrace, ok bool) {
	for i, r := range t.Rules {
		if r.Failed == ConditionNone {
			return r, true
		}
		if i == 0 || r.Failed.rank() > nearest.Failed.rank() {
			nearest = r
		}
	}
	return nearest, len(t.Rules) > 0
}
