package explain

import (
	"fmt"
	"strings"

	"fedbroker/broker/decision"
	"fedbroker/broker/oauth"
)

// Recorded explains what is known of a decision that cannot be taken again: its tokens were never verified, or only their upstream can tell what
// they say.
func Recorded(r decision.Record) Explanation {
	e := Explanation{Steps: []Step{}, Rules: []Rule{}, Outcome: answered(r)}
	e.describe(r)
	if tokens := r.Unverified(); len(tokens) > 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("the %s token was refused before all of it was verified, so nothing of it was kept", strings.Join(tokens, " and the ")))
	}
	if len(r.Partial) > len(r.Unverified()) {
		e.Notes = append(e.Notes, "what the request or its tokens said was too much to be kept")
	}
	for name, t := range map[string]*decision.Token{"subject": &r.Subject, "actor": r.Actor} {
		if t != nil && t.Opaque {
			e.Notes = append(e.Notes, "the "+name+" token was introspected: what it said then, only its upstream could say again")
		}
	}
	return e
}

// Answered completes the explanation of a decision that was taken again by the configuration of now with what was answered then.
func (e Explanation) Answered(r decision.Record) Explanation {
	e.describe(r)
	if r.Subject.Own {
		e.Outcome.Claims = nil // those that leave without being read were not kept
	}
	then := answered(r)
	if then.Decision == e.Outcome.Decision && then.Code == e.Outcome.Code && then.Reason == e.Outcome.Reason && then.Rule == e.decided() {
		return e
	}
	e.Recorded = &then
	note := "the configuration of now decides it otherwise than the one of then"
	if state[oauth.Reason(then.Reason)] {
		note = "what refused it then is no matter of configuration: " + then.Reason + " is judged on the state of that moment"
	}
	e.Notes = append(e.Notes, note)
	return e
}

// decided is the rule that issued; of a denial none did, as the record of one has none.
func (e Explanation) decided() string {
	if e.Outcome.Decision == Deny {
		return ""
	}
	return e.Outcome.Rule
}

// state are reasons that no configuration decides.
var state = map[oauth.Reason]bool{
	oauth.ReasonReplay: true, oauth.ReasonRevoked: true, oauth.ReasonRevocationStale: true, oauth.ReasonKeysUnavailable: true,
	oauth.ReasonNotDurable: true, oauth.ReasonRateLimit: true, oauth.ReasonUnavailable: true, oauth.ReasonInternal: true,
}

func answered(r decision.Record) Outcome {
	if r.Allowed() {
		return Outcome{Decision: Allow, Rule: r.Rule}
	}
	code := oauth.Code(r.Code)
	return Outcome{Decision: Deny, Code: r.Code, Description: code.Description(), Reason: r.Reason}
}

func (e *Explanation) describe(r decision.Record) {
	e.DecisionID, e.At, e.Grant, e.ClientID = r.ID, r.At, r.Grant, r.ClientID
	e.Audiences, e.Scope, e.TokenType = r.Audiences, r.Scope, r.TokenType
}
