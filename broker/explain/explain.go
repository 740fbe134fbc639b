// Package explain says how the engine came to a decision: what the tokens are, which upstream spoke for them, what each mapper changed, how each
// rule fared and what the first condition that it fails saw and wanted, which rule came nearest, and the smallest change that would have
// admitted the request. It decides nothing: all of it is read off the trace of the engine's own run.
//
// An Explanation holds claims, only those that rules, mappers and the protocol read, and never a token: it is an operator's to see (P47).
package explain

import (
	"slices"
	"time"

	"fedbroker/broker/decision"
	"fedbroker/broker/grants"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/mappers/expr"
	"fedbroker/upstreams"
)

// The words of an outcome.
const (
	Allow = "allow"
	Deny  = "deny"
)

// Who the result of a rule stands for (P19).
const (
	Impersonation = "impersonation" // the subject alone
	Delegation    = "delegation"    // the subject, and the actor in act
)

// Explanation is one decision and how it came about.
type Explanation struct {
	DecisionID string    `json:"decision_id,omitempty"` // of a decision that was taken before
	At         time.Time `json:"at"`                    // the moment that it is judged for
	Grant      string    `json:"grant"`
	ClientID   string    `json:"client_id,omitempty"` // "" is nobody in particular
	Audiences  []string  `json:"audiences,omitempty"` // as requested
	Scope      string    `json:"scope,omitempty"`     // as requested
	TokenType  string    `json:"token_type,omitempty"`
	Subject    *Token    `json:"subject,omitempty"`
	Actor      *Token    `json:"actor,omitempty"`
	Steps      []Step    `json:"steps"` // up to the one that refused
	Rules      []Rule    `json:"rules"` // in file order, up to the one that decided; none if the request did not come so far
	Nearest    string    `json:"nearest_rule,omitempty"`
	Change     string    `json:"change,omitempty"` // the smallest that would get the request further
	Outcome    Outcome   `json:"outcome"`
	Recorded   *Outcome  `json:"recorded,omitempty"` // what was answered then, where it is not what the configuration of now comes to
	Notes      []string  `json:"notes,omitempty"`
}

// Token is what a token says of itself, as far as rules, mappers or the protocol read it.
type Token struct {
	Class    string          `json:"class"` // of P9, such as jwt or at+jwt; opaque
	Typ      string          `json:"typ,omitempty"`
	Own      bool            `json:"own,omitempty"`      // says to be of our issuer
	Upstream string          `json:"upstream,omitempty"` // that speaks for it: chosen by iss and aud
	Issuer   string          `json:"issuer,omitempty"`   // which one of an upstream that stands for many
	Verified bool            `json:"verified"`           // else the claims are only what the token says
	Claims   decision.Claims `json:"claims,omitempty"`
	Mapping  []Mapping       `json:"mapping,omitempty"` // in order
}

// Mapping is one step of an upstream's chain.
type Mapping struct {
	Step    string   `json:"step"` // such as preset[0], mappers[1] or profile
	Kind    string   `json:"kind"`
	Changes []Change `json:"changes,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// Change is a claim of the principal before and after a step; absent is null.
type Change struct {
	Claim  string `json:"claim"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Step is one step of the engine.
type Step struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"`
}

// Rule is how one rule fared.
type Rule struct {
	ID       string         `json:"rule"`
	Path     string         `json:"path"`             // in the configuration
	Kind     string         `json:"kind"`             // Impersonation or Delegation
	Failed   string         `json:"failed,omitempty"` // the first condition that does not hold; "": the rule decided
	Saw      string         `json:"saw,omitempty"`
	Wanted   string         `json:"wanted,omitempty"`
	Change   string         `json:"change,omitempty"`
	Findings []expr.Finding `json:"findings,omitempty"` // of a condition in CEL
}

// Outcome is what is answered.
type Outcome struct {
	Decision    string    `json:"decision"` // Allow or Deny
	Code        string    `json:"error,omitempty"`
	Description string    `json:"error_description,omitempty"` // all that the caller is told
	Reason      string    `json:"reason,omitempty"`
	Cause       string    `json:"cause,omitempty"`
	Rule        string    `json:"rule,omitempty"` // that decided
	Kind        string    `json:"kind,omitempty"` // of that rule
	Sub         string    `json:"sub,omitempty"`
	Audiences   []string  `json:"audiences,omitempty"`
	Scope       string    `json:"scope,omitempty"`
	TokenType   string    `json:"issued_token_type,omitempty"`
	Expires     time.Time `json:"expires,omitzero"`
	Claims      []string  `json:"claims,omitempty"` // names of those that leave
	Audits      []string  `json:"audits,omitempty"` // rules in mode audit that would have decided
}

// Upstream is what an explanation has to know of a configured upstream.
type Upstream struct {
	Spec       upstreams.Spec // preset and defaults applied
	Path       string         // in the configuration
	Conditions int            // steps of its chain that come from its preset, before its own
}

// Configuration is what a run stood on.
type Configuration struct {
	Issuer    string // ours
	Upstreams []Upstream
	Reads     func(upstream string, own bool) expr.Members // what mappers and rules read of a token
	Select    grants.Selector
	Policy    *policy.Policy
}

// Run is one run of the engine.
type Run struct {
	Request   Request
	Trace     grants.Trace
	Authority policy.Authority
	Err       error // that it ended with
}

// Explain puts a run into words.
func (c Configuration) Explain(r Run) Explanation {
	e := Explanation{
		At: r.Request.At, Grant: r.Request.grant(), ClientID: r.Request.Requester, Audiences: slices.Concat(r.Request.Audiences, r.Request.Resources),
		Scope: r.Request.Scope, TokenType: r.Request.TokenType, Steps: []Step{}, Rules: []Rule{},
	}
	verified := false
	for _, s := range r.Trace.Steps {
		verified = verified || s.Name == stepVerification && s.Err == nil
		e.Steps = append(e.Steps, Step{Name: s.Name, Error: cause(s.Err)})
	}
	e.Subject = c.token(r.Request.SubjectToken, verified, r.Trace.Mapping)
	e.Actor = c.token(r.Request.ActorToken, verified, r.Trace.Actor)
	for _, t := range r.Trace.Policy.Rules {
		e.Rules = append(e.Rules, ruleOf(t))
	}
	e.Outcome = c.outcome(r)
	if nearest, asked := r.Trace.Policy.Nearest(); asked {
		e.Nearest, e.Change = nearest.Rule, nearest.Change
		if nearest.Failed == rules.ConditionNone {
			e.Outcome.Rule, e.Outcome.Kind = nearest.Rule, kind(nearest.Delegation)
		}
	}
	if e.Outcome.Decision == Deny && e.Change == "" {
		e.Change = c.advice(&e, oauth.AsError(r.Err))
	}
	return e
}

// stepVerification is the step of a grant after which what the tokens say is true.
const stepVerification = "verification"

func ruleOf(t rules.RuleTrace) Rule {
	return Rule{
		ID: t.Rule, Path: t.Path, Kind: kind(t.Delegation), Failed: string(t.Failed), Saw: t.Saw, Wanted: t.Wanted, Change: t.Change, Findings: t.Findings,
	}
}

func kind(delegation bool) string {
	if delegation {
		return Delegation
	}
	return Impersonation
}

func (c Configuration) outcome(r Run) Outcome {
	if r.Err != nil {
		refusal := oauth.AsError(r.Err)
		return Outcome{
			Decision: Deny, Code: string(refusal.Code), Description: refusal.Description(), Reason: string(refusal.Reason), Cause: cause(refusal), Audits: refusal.Audits,
		}
	}
	a := r.Authority
	o := Outcome{
		Decision: Allow, Rule: a.RuleID(), Kind: kind(a.Act() != nil), Sub: a.Subject(), Audiences: a.Audiences(), Scope: a.Scope(),
		TokenType: a.IssuedType(), Expires: a.Expires(), Audits: a.Audits(),
	}
	for name := range a.Claims() {
		o.Claims = append(o.Claims, name)
	}
	slices.Sort(o.Claims)
	return o
}

// mapping names the steps of a chain as the configuration does.
func mapping(tr mappers.Trace, presets int) []Mapping {
	var all []Mapping
	for _, s := range tr.Steps {
		m := Mapping{Step: stepName(s, presets), Kind: s.Kind, Error: cause(s.Err)}
		for _, change := range s.Changes {
			m.Changes = append(m.Changes, Change(change))
		}
		all = append(all, m)
	}
	return all
}
