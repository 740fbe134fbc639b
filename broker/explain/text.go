package explain

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"fedbroker/mappers/printable"
)

// TextOptions say how an explanation is written.
type TextOptions struct {
	Color bool // for a terminal
}

const (
	timeForm = "2006-01-02T15:04:05Z"
	// maxListed is how many rules a text lists, the ones nearest to the decision first of all; JSON has all.
	maxListed = 12
)

// Text writes an explanation for people: short lines, a heading at the left, what it heads in columns.
func (e Explanation) Text(w io.Writer, o TextOptions) error {
	p := printer{color: o.Color}
	p.outcome("", e.Outcome)
	if e.Recorded != nil {
		p.row("then", "answered then, by the configuration of that time:")
		p.outcome("  ", *e.Recorded)
	}
	if e.DecisionID != "" {
		p.row("decision", printable.Text(e.DecisionID))
	}
	p.row("request", e.asked())
	p.token("subject", e.Subject, e.At)
	p.token("actor", e.Actor, e.At)
	p.steps(e.Steps)
	p.rules(e)
	if e.Outcome.Decision == Deny && e.Nearest != "" {
		p.row("nearest", p.strong(e.Nearest))
	}
	if e.Change != "" {
		p.row("change", p.strong(e.Change))
	}
	for _, note := range e.Notes {
		p.row("note", note)
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// asked is who asks for what.
func (e Explanation) asked() string {
	text := e.Grant + " by " + requester(e.ClientID)
	if len(e.Audiences) > 0 {
		text += " for " + printable.Text(strings.Join(e.Audiences, ", "))
	}
	if e.Scope != "" {
		text += ", scope " + printable.Text(e.Scope)
	}
	if e.TokenType != "" {
		text += ", as " + printable.Text(e.TokenType)
	}
	return text + ", at " + e.At.UTC().Format(timeForm)
}

type printer struct {
	b     strings.Builder
	color bool
}

const heading = 10 // columns

func (p *printer) row(name, text string) {
	fmt.Fprintf(&p.b, "%-*s%s\n", heading, name, text)
}

// Colours of a terminal (ECMA-48 §8.3.117).
const (
	red    = "31"
	green  = "32"
	bold   = "1"
	dimmed = "2"
)

func (p *printer) in(color, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func (p *printer) strong(text string) string { return p.in(bold, text) }

func (p *printer) outcome(indent string, o Outcome) {
	if o.Decision == Allow {
		by := "by resource_servers" // an ID-JAG, which needs no rule
		if o.Rule != "" {
			by = strings.TrimSuffix(fmt.Sprintf("by rule %s (%s)", p.strong(o.Rule), o.Kind), " ()")
		}
		p.row(indent+p.padded(green, "ALLOWED", len(indent)), by)
		if o.Sub != "" {
			p.row("", fmt.Sprintf("a token for %s at %s", printable.Text(o.Sub), printable.Text(strings.Join(o.Audiences, ", "))))
			p.row("", fmt.Sprintf("scope %s, until %s", printable.Value(strings.Fields(o.Scope)), o.Expires.UTC().Format(timeForm)))
		}
	} else {
		p.row(indent+p.padded(red, "DENIED", len(indent)), p.strong(o.Code)+": "+o.Description)
		p.row("", strings.TrimSuffix(fmt.Sprintf("reason %s: %s", o.Reason, o.Cause), ": "))
		if o.Rule != "" {
			p.row("", fmt.Sprintf("by rule %s (%s)", o.Rule, o.Kind))
		}
	}
	if len(o.Audits) > 0 {
		p.row("", "in mode audit, and would have decided: "+strings.Join(o.Audits, ", "))
	}
}

// padded colours a heading and fills it up, since colours count as letters where a width is asked for.
func (p *printer) padded(color, word string, indent int) string {
	return p.in(color, word) + strings.Repeat(" ", max(heading-indent-len(word), 1))
}

func (p *printer) token(name string, t *Token, at time.Time) {
	if t == nil {
		return
	}
	whose := "of no upstream"
	switch {
	case t.Own:
		whose = "of our own"
	case t.Upstream != "":
		whose = "of upstream " + t.Upstream
		if t.Issuer != "" {
			whose += ", of issuer " + printable.Text(t.Issuer)
		}
	}
	text := fmt.Sprintf("a token %s, class %s", whose, printable.Text(t.Class))
	if !t.Verified {
		text += p.in(red, ", not verified: what follows is only what it says")
	}
	p.row(name, text)
	names := slices.Sorted(maps.Keys(t.Claims))
	width := widest(names)
	for _, claim := range names {
		value := printable.Value(t.Claims[claim])
		if seconds, ok := t.Claims[claim].(int64); ok && (claim == "exp" || claim == "iat" || claim == "nbf" || claim == "origin_exp") {
			value += p.in(dimmed, fmt.Sprintf("  %s, %s", time.Unix(seconds, 0).UTC().Format(timeForm), relative(time.Unix(seconds, 0).Sub(at))))
		}
		p.row("", fmt.Sprintf("%-*s  %s", width, printable.Text(claim), value))
	}
	p.mapping(t.Mapping)
}

// relative is a time as seen from the moment that is judged.
func relative(d time.Duration) string {
	if d < 0 {
		return (-d).Truncate(time.Second).String() + " ago"
	}
	return "in " + d.Truncate(time.Second).String()
}

func widest(names []string) (width int) {
	for _, n := range names {
		width = max(width, len(n))
	}
	return min(width, 24)
}

func (p *printer) mapping(all []Mapping) {
	name := "mappers"
	for _, m := range all {
		step := m.Step
		if m.Step != m.Kind {
			step += " " + m.Kind
		}
		switch {
		case m.Error != "":
			p.row(name, fmt.Sprintf("%-22s%s", step, p.in(red, m.Error)))
			name = ""
		case len(m.Changes) == 0 && m.Step == m.Kind: // a stage that every chain has
			continue
		case len(m.Changes) == 0:
			p.row(name, fmt.Sprintf("%-22s%s", step, p.in(dimmed, "changes nothing")))
			name = ""
		}
		for _, c := range m.Changes {
			p.row(name, fmt.Sprintf("%-22s%s: %s → %s", step, printable.Text(c.Claim), orAbsent(c.Before), orAbsent(c.After)))
			name, step = "", ""
		}
	}
}

func orAbsent(v any) string {
	if v == nil {
		return "(absent)"
	}
	return printable.Value(v)
}

func (p *printer) steps(all []Step) {
	words := make([]string, len(all))
	for i, s := range all {
		words[i] = p.in(green, s.Name)
		if s.Error != "" {
			words[i] = p.in(red, s.Name+" refuses")
		}
	}
	if len(words) > 0 {
		p.row("steps", strings.Join(words, ", "))
	}
}

// rules lists how the rules fared; those for other requesters are only counted, as are the least near where there are many.
func (p *printer) rules(e Explanation) {
	others, listed := 0, make([]Rule, 0, len(e.Rules))
	for _, r := range e.Rules {
		if r.Failed == "requester" && r.ID != e.Nearest {
			others++
			continue
		}
		listed = append(listed, r)
	}
	cut := 0
	if len(listed) > maxListed {
		near := slices.IndexFunc(listed, func(r Rule) bool { return r.ID == e.Nearest })
		from := min(max(near-maxListed/2, 0), len(listed)-maxListed)
		cut, listed = len(listed)-maxListed, listed[from:from+maxListed]
	}
	name := "rules"
	for _, r := range listed {
		p.rule(name, r)
		name = ""
	}
	if cut > 0 {
		p.row(name, fmt.Sprintf("and %d more that do not apply", cut))
		name = ""
	}
	if others > 0 {
		p.row(name, fmt.Sprintf("and %d for other requesters", others))
	}
}

func (p *printer) rule(name string, r Rule) {
	head := fmt.Sprintf("%s %s, %s", r.Path, r.ID, r.Kind)
	if r.Failed == "" {
		p.row(name, head+": "+p.in(green, "applies"))
		return
	}
	p.row(name, head+": "+p.in(red, r.Failed))
	if len(r.Findings) == 0 {
		p.row("", "  saw     "+r.Saw)
		p.row("", "  wanted  "+r.Wanted)
		return
	}
	for _, f := range r.Findings {
		part := f.Part
		if f.Alternative {
			part += p.in(dimmed, "  (one of several ways)")
		}
		p.row("", "  "+part)
		saw := f.Saw
		if f.Nearest != "" {
			saw += ", there is " + f.Nearest
		}
		p.row("", "    saw     "+saw)
		p.row("", "    wanted  "+f.Wanted)
	}
}
