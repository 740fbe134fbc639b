package policytest

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Report is what two configurations decide otherwise.
type Report struct {
	Old     string  `json:"old"` // files
	New     string  `json:"new"`
	Changes Changes `json:"configuration"`
	Tests   Tally   `json:"tests"`
	Replay  *Tally  `json:"replay,omitempty"` // of recorded decisions; nil without any
}

// Tally counts differences, and names those that are some.
type Tally struct {
	Counts  map[Kind]int `json:"counts"`
	Drifted int          `json:"drifted,omitempty"` // recorded decisions that the old configuration does not decide as they were
	Changed []Named      `json:"changed"`           // all but Same, in the order in which they came
}

// Named is a difference and whose it is.
type Named struct {
	Name string `json:"name"` // file, line and name of a test, or id of a decision
	Difference
}

// NewTally is an empty one.
func NewTally() Tally { return Tally{Counts: map[Kind]int{}, Changed: []Named{}} }

// Add counts a difference.
func (t *Tally) Add(name string, d Difference) {
	t.Counts[d.Kind]++
	if d.Drifted {
		t.Drifted++
	}
	if d.Kind != Same {
		t.Changed = append(t.Changed, Named{name, d})
	}
}

// Changed is how many decisions are not known to be the same.
func (r Report) Changed() int {
	n := len(r.Tests.Changed)
	if r.Replay != nil {
		n += len(r.Replay.Changed)
	}
	return n
}

// Print writes the report for people.
func (r Report) Print(w io.Writer) {
	fmt.Fprintf(w, "%s → %s\n", r.Old, r.New)
	if r.Changes.None() {
		fmt.Fprintln(w, "no difference in what the configurations mean")
	}
	printEntries(w, "rules", r.Changes.Rules)
	printEntries(w, "upstreams", r.Changes.Upstreams)
	printEntries(w, "clients", r.Changes.Clients)
	if len(r.Changes.Others) > 0 {
		fmt.Fprintln(w, "others:")
		printKeys(w, "  ", r.Changes.Others)
	}
	r.Tests.print(w, "tests")
	if r.Replay != nil {
		r.Replay.print(w, "recorded decisions")
	}
}

func printEntries(w io.Writer, section string, all []Entry) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(w, "%s:\n", section)
	for _, e := range all {
		fmt.Fprintf(w, "  %s %s", e.Name, e.Change)
		if len(e.Rules) > 0 {
			fmt.Fprintf(w, "; rules that stand on it: %s", strings.Join(e.Rules, ", "))
		}
		fmt.Fprintln(w)
		printKeys(w, "    ", e.Keys)
	}
}

func printKeys(w io.Writer, indent string, keys []Key) {
	for _, k := range keys {
		fmt.Fprintf(w, "%s%s: %s → %s\n", indent, k.Path, value(k.Old), value(k.New))
	}
}

const maxShown = 100 // characters of a value in a text

func value(v any) string {
	if v == nil {
		return absent
	}
	text := []rune(shown(v))
	if len(text) > maxShown {
		return string(text[:maxShown]) + "…"
	}
	return string(text)
}

// print says how many there are of each kind, and what became of those that changed.
func (t Tally) print(w io.Writer, what string) {
	var counts []string
	for _, k := range Kinds() {
		if always := k == NewlyAllows || k == NewlyDenies || k == Same; always || t.Counts[k] > 0 {
			counts = append(counts, fmt.Sprintf("%s %d", k.words(), t.Counts[k]))
		}
	}
	fmt.Fprintf(w, "%s: %s\n", what, strings.Join(counts, ", "))
	if t.Drifted > 0 {
		fmt.Fprintf(w, "  %d of them are not what the old configuration decides: they may have been taken by yet another\n", t.Drifted)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	changed := slices.Clone(t.Changed)
	slices.SortStableFunc(changed, func(a, b Named) int { return cmp.Compare(a.Kind.rank(), b.Kind.rank()) })
	for _, d := range changed {
		text := d.Why
		if d.Kind != CannotTell {
			text = d.between()
		}
		fmt.Fprintf(table, "  %s\t%s\t%s\n", d.Kind.words(), d.Name, text)
	}
	table.Flush()
}

func (k Kind) words() string {
	if k == CannotTell {
		return "cannot tell"
	}
	return strings.ReplaceAll(string(k), "_", " ")
}

func (k Kind) rank() int { return slices.Index(Kinds(), k) }

// between says how two outcomes differ.
func (d Difference) between() string {
	before, after := d.Old.brief(), d.New.brief()
	if d.Kind != AllowsOtherwise {
		return before + " → " + after
	}
	var parts []string
	add := func(name, a, b string) {
		if a != b {
			parts = append(parts, fmt.Sprintf("%s %s → %s", name, a, b))
		}
	}
	add("rule", d.Old.Rule, d.New.Rule)
	add("sub", d.Old.Sub, d.New.Sub)
	add("audiences", list(d.Old.Audiences), list(d.New.Audiences))
	add("scopes", list(d.Old.Scopes), list(d.New.Scopes))
	add("lifetime", d.Old.Lifetime, d.New.Lifetime)
	add("act", list(d.Old.Act), list(d.New.Act))
	add("bound", fmt.Sprint(d.Old.Bound), fmt.Sprint(d.New.Bound))
	for _, key := range keysBetween("claims", any(d.Old.Claims), any(d.New.Claims)) {
		if name, _, _ := strings.Cut(strings.TrimPrefix(key.Path, "claims."), "."); !inEvery[name] {
			parts = append(parts, fmt.Sprintf("%s %s → %s", key.Path, value(key.Old), value(key.New)))
		}
	}
	return strings.Join(parts, ", ")
}

// inEvery are claims that are new with every token, or were told of already.
var inEvery = map[string]bool{"jti": true, "lin": true, "sub": true, "aud": true, "scope": true, "exp": true}

// brief is an outcome in a few words.
func (o Outcome) brief() string {
	switch {
	case o.Decision == Allow:
		return "rule " + o.Rule
	case o.Rule == "":
		return "denied with " + o.Reason
	case o.Condition == "":
		return fmt.Sprintf("denied with %s, by rule %s", o.Reason, o.Rule)
	default:
		return fmt.Sprintf("denied with %s, nearest rule %s (%s)", o.Reason, o.Rule, o.Condition)
	}
}
