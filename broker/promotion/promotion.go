// Package promotion says what would become of decisions if rules in mode audit were enforced. It reads the journal, in which each decision of an
// authenticated client names the audit rules that would have taken it.
package promotion

import (
	"cmp"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"fedbroker/broker/event"
	"fedbroker/store/journal"
)

// Options say what is reported.
type Options struct {
	Rules []string  // in mode audit, in the order of the file; each is reported, whether or not it would have decided anything
	Since time.Time // decisions before it are not looked at; zero: all
}

// Report is what the journal knows of every audit rule.
type Report struct {
	Since     time.Time `json:"since,omitzero"`
	Decisions int       `json:"decisions"` // token requests that were looked at
	Rules     []Rule    `json:"rules"`
}

// Rule is what one audit rule would have decided.
type Rule struct {
	ID      string         `json:"rule"`
	Decided int            `json:"would_decide"`
	Allows  Group          `json:"newly_allows"`                // denied now
	Takes   []Takeover     `json:"takes_over"`                  // allowed now, by another rule; the most first
	Behind  map[string]int `json:"behind,omitempty"`            // audit rules in front of it that would have decided the same: of these it would get nothing
	Unknown bool           `json:"not_in_mode_audit,omitempty"` // the journal names it, the configuration does not
	Verdict string         `json:"verdict"`
}

// Takeover is what another rule allows now.
type Takeover struct {
	Rule string `json:"rule"`
	Group
}

// Group is several decisions.
type Group struct {
	Count     int            `json:"count"`
	Clients   map[string]int `json:"clients,omitempty"`
	Upstreams map[string]int `json:"upstreams,omitempty"`
	First     time.Time      `json:"first,omitzero"`
	Last      time.Time      `json:"last,omitzero"`
	Samples   []string       `json:"decision_ids,omitempty"` // the newest, at most maxSamples
}

const maxSamples = 5

func (g *Group) add(e *event.Event, at time.Time) {
	if g.Count++; g.Count == 1 {
		g.Clients, g.Upstreams, g.First = map[string]int{}, map[string]int{}, at
	}
	g.Last = at
	g.Clients[e.ClientID]++
	if e.Upstream != "" {
		g.Upstreams[e.Upstream]++
	}
	if g.Samples = append(g.Samples, e.DecisionID); len(g.Samples) > maxSamples {
		g.Samples = g.Samples[1:]
	}
}

// Read reads the lines of a journal, in order. The error is that of the lines.
func Read(lines iter.Seq2[journal.Line, error], o Options) (Report, error) {
	r := reading{Options: o, found: map[string]*tally{}, report: Report{Since: o.Since}}
	for line, err := range lines {
		if err != nil {
			return Report{}, err
		}
		if line.Kind != journal.KindEvent || line.At.Before(o.Since) {
			continue
		}
		e, err := event.ParseLine(line.Data)
		if err != nil {
			return Report{}, fmt.Errorf("line %d: %w", line.Seq, err)
		}
		if e.Kind == event.KindToken {
			r.decision(e, line.At)
		}
	}
	return r.done(), nil
}

type reading struct {
	Options
	found  map[string]*tally
	report Report
}

type tally struct {
	Rule
	takes map[string]*Group
}

func (r *reading) decision(e *event.Event, at time.Time) {
	r.report.Decisions++
	for i, id := range e.Audits {
		t := r.found[id]
		if t == nil {
			t = &tally{Rule{ID: id, Behind: map[string]int{}}, map[string]*Group{}}
			r.found[id] = t
		}
		t.Decided++
		for _, front := range e.Audits[:i] {
			t.Behind[front]++
		}
		if e.Outcome != event.OutcomeDone {
			t.Allows.add(e, at)
			continue
		}
		by := t.takes[e.Rule]
		if by == nil {
			by = &Group{}
			t.takes[e.Rule] = by
		}
		by.add(e, at)
	}
}

// done puts the rules in the order of the file, and behind them those that are no longer tried out.
func (r *reading) done() Report {
	ids := slices.Clone(r.Rules)
	for _, id := range slices.Sorted(maps.Keys(r.found)) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	r.report.Rules = []Rule{}
	for i, id := range ids {
		rule := Rule{ID: id}
		if t := r.found[id]; t != nil {
			rule = t.Rule
			for by, g := range t.takes {
				rule.Takes = append(rule.Takes, Takeover{by, *g})
			}
		}
		slices.SortFunc(rule.Takes, func(a, b Takeover) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Rule, b.Rule)) })
		rule.Unknown = i >= len(r.Rules)
		rule.Verdict = rule.verdict()
		r.report.Rules = append(r.report.Rules, rule)
	}
	return r.report
}

// verdict is one line for whoever has to decide.
func (r Rule) verdict() string {
	taken := 0
	for _, t := range r.Takes {
		taken += t.Count
	}
	switch {
	case r.Unknown:
		return "not in mode audit any more"
	case r.Decided == 0:
		return "nothing came that it would decide: there is no telling what it does"
	case r.Allows.Count == 0:
		return fmt.Sprintf("enforced, it allows nobody more, and decides %s in place of others", counted(taken, "request"))
	case taken == 0:
		return fmt.Sprintf("enforced, it newly allows %s of %s, and decides nothing in place of others", counted(r.Allows.Count, "request"), counted(len(r.Allows.Clients), "client"))
	default:
		return fmt.Sprintf("enforced, it newly allows %s of %s, and decides %d in place of others",
			counted(r.Allows.Count, "request"), counted(len(r.Allows.Clients), "client"), taken)
	}
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// Only keeps the report on one rule; false if nothing is known of it.
func (r Report) Only(id string) (Report, bool) {
	r.Rules = slices.DeleteFunc(slices.Clone(r.Rules), func(rule Rule) bool { return rule.ID != id })
	return r, len(r.Rules) > 0
}

// Print writes the report for people.
func (r Report) Print(w io.Writer) {
	if len(r.Rules) == 0 {
		fmt.Fprintln(w, "no rule is in mode audit")
		return
	}
	since := ""
	if !r.Since.IsZero() {
		since = " since " + moment(r.Since)
	}
	fmt.Fprintf(w, "%s%s\n", counted(r.Decisions, "token request"), since)
	for _, rule := range r.Rules {
		fmt.Fprintf(w, "\n%s: %s\n", rule.ID, rule.Verdict)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		if rule.Allows.Count > 0 {
			rule.Allows.print(table, "denied now")
		}
		for _, t := range rule.Takes {
			t.print(table, "allowed now by "+cmp.Or(t.Rule, "the client's registration"))
		}
		for _, front := range slices.Sorted(maps.Keys(rule.Behind)) {
			fmt.Fprintf(table, "  behind %s\t%d\twhich is tried out, too, and would decide these first\n", front, rule.Behind[front])
		}
		table.Flush()
	}
}

func (g Group) print(w io.Writer, what string) {
	fmt.Fprintf(w, "  %s\t%d\tby client: %s\n", what, g.Count, each(g.Clients))
	if len(g.Upstreams) > 0 {
		fmt.Fprintf(w, "\t\tby upstream: %s\n", each(g.Upstreams))
	}
	fmt.Fprintf(w, "\t\tfirst %s, last %s\n", moment(g.First), moment(g.Last))
	fmt.Fprintf(w, "\t\tdecisions: %s\n", strings.Join(g.Samples, " "))
}

// each lists what was counted, the most first.
func each(counts map[string]int) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b)) })
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %d", cmp.Or(name, "(nobody in particular)"), counts[name])
	}
	return strings.Join(names, ", ")
}

func moment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
