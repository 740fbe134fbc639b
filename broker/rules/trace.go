package rules

// Condition is one thing that a rule asks of a request, in the order of judgement.
type Condition string

// The conditions. ConditionNone: all hold.
const (
	ConditionNone      Condition = ""
	ConditionRequester Condition = "requester"
	ConditionAudience  Condition = "audience"
	ConditionMode      Condition = "mode"
	ConditionSubject   Condition = "subject"
	ConditionTokenType Condition = "token_type"
	ConditionActor     Condition = "actor"
	ConditionWhen      Condition = "when"
)

// Trace records how each rule fared, in file order, up to the one that decided. A nil *Trace records nothing and costs nothing.
type Trace struct{ Rules []RuleTrace }

// RuleTrace is one rule considered: the first condition that failed, if any, and why it could not be evaluated, if so.
type RuleTrace struct {
	Rule   string
	Failed Condition
	Err    error
}

func (t *Trace) add(r *Rule, failed Condition, err error) {
	if t != nil {
		t.Rules = append(t.Rules, RuleTrace{Rule: r.ID, Failed: failed, Err: err})
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
