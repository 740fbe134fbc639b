package trial

import (
	"fmt"
	"io"
	"strings"

	"fedbroker/broker"
	"fedbroker/broker/explain"
	"fedbroker/broker/rules"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/config/strict"
)

// Verdict is what check says of a configuration.
type Verdict struct {
	OK        bool             `json:"ok"`
	File      string           `json:"file"`
	Files     []string         `json:"files"` // that make the configuration: File, and the fragments beside it
	Problems  []config.Problem `json:"problems"`
	Warnings  []config.Problem `json:"warnings"`
	Rules     []Rule           `json:"rules"`
	Unserved  []string         `json:"unserved"`
	Effective any              `json:"effective,omitempty"`
}

// Rule says of one rule whose name its tokens speak in (P19).
type Rule struct {
	ID    string `json:"id"`
	Mode  string `json:"mode"`            // impersonation or delegation
	Audit bool   `json:"audit,omitempty"` // tried out: it never decides
}

func ruleOf(s rules.Spec) Rule {
	r := Rule{s.ID, explain.Impersonation, s.Mode == modeAudit}
	if s.Actor != nil && *s.Actor != (rules.ActorSpec{}) {
		r.Mode = explain.Delegation
	}
	return r
}

// meaning is what the rule's tokens say.
func (r Rule) meaning() string {
	text := r.Mode + " (the token's sub is the subject, its client_id the requester, no act)"
	if r.Mode == explain.Delegation {
		text = r.Mode + " (the token's sub is the subject, its act the actor, its client_id the requester)"
	}
	if r.Audit {
		text += "; in mode audit: noted where it would decide, never enforced"
	}
	return text
}

// Refused is the verdict on a file with problems; c is nil if nothing could be read of it.
func Refused(problems *config.Error, c *config.Loaded) Verdict {
	v := Verdict{File: problems.File, Files: []string{problems.File}, Problems: problems.Problems, Warnings: []config.Problem{}, Rules: []Rule{}, Unserved: []string{}}
	if c != nil {
		v.Files, v.Warnings = c.Files(), append(v.Warnings, c.Warnings...)
	}
	return v
}

// Good is the verdict on a configuration without any, and its effective form as a file has it.
func Good(c *config.Loaded) (v Verdict, effective []byte, err error) {
	v = Verdict{
		OK: true, File: c.Name, Files: c.Files(), Problems: []config.Problem{}, Warnings: append([]config.Problem{}, c.Warnings...), Rules: []Rule{},
		Unserved: append([]string{}, broker.Unserved(c.Config)...),
	}
	for _, r := range c.Exchange {
		v.Rules = append(v.Rules, ruleOf(r))
	}
	effective, v.Effective, err = c.Effective()
	return v, effective, err
}

// Print writes the verdict for people.
func (v Verdict) Print(w io.Writer, effective []byte) {
	fmt.Fprintf(w, "# effective configuration, secrets redacted\n%s\n", effective)
	if len(v.Files) > 1 {
		fmt.Fprintf(w, "files:\n  %s\n", strings.Join(v.Files, "\n  "))
	}
	if len(v.Rules) > 0 {
		fmt.Fprintln(w, "rules:")
	}
	for _, r := range v.Rules {
		fmt.Fprintf(w, "  %s: %s\n", r.ID, r.meaning())
	}
	if len(v.Unserved) > 0 {
		fmt.Fprintln(w, "served by nothing yet:")
	}
	for _, u := range v.Unserved {
		fmt.Fprintf(w, "  %s\n", u)
	}
	if len(v.Warnings) > 0 {
		fmt.Fprintf(w, "warnings:\n%s\n", strict.Render(v.File, v.Warnings))
	}
	noun := "warnings"
	if len(v.Warnings) == 1 {
		noun = "warning"
	}
	fmt.Fprintf(w, "%s: good, with %d %s\n", v.File, len(v.Warnings), noun)
}
