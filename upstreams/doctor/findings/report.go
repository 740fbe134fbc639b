// Package findings is what an examination of an identity provider comes to: graded findings, each with what is wanted, where that is written and what mends it,
// and the report that they make, for people and for machines.
package findings

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"fedbroker/mappers/printable"
)

// Grade is how grave a finding is.
type Grade string

// The grades, the gravest last.
const (
	OK   Grade = "ok"
	Note Grade = "note" // worth knowing, nothing to mend
	Warn Grade = "warn" // works, and should be mended
	Fail Grade = "fail" // does not work with this broker, or is a danger to everybody who trusts the provider
)

// grades is the order in which findings are told.
var grades = []Grade{Fail, Warn, Note, OK}

// Overall grades. One failure is an F; else warnings are counted.
const (
	OverallA = "A" // no warning
	OverallB = "B" // one or two
	OverallC = "C" // three to five
	OverallD = "D" // more
	OverallF = "F" // a failure

	maxB, maxC = 2, 5
)

// Finding is one thing that was looked at. Its texts are printable and bounded, whatever the provider said.
type Finding struct {
	ID     string `json:"id"`
	Grade  Grade  `json:"grade"`
	About  string `json:"about"`
	Seen   string `json:"seen"`
	Want   string `json:"want"`
	Source string `json:"source"`
	Fix    string `json:"fix,omitempty"` // empty for OK
}

// Registration is what to register at the provider, for logins.
type Registration struct {
	RedirectURI  string   `json:"redirect_uri"`
	EntityID     string   `json:"entity_id,omitempty"` // of SAML
	ResponseType string   `json:"response_type,omitempty"`
	AuthMethod   string   `json:"auth_method,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`
}

// Report is an examination's.
type Report struct {
	Issuer       string        `json:"issuer"`
	Upstream     string        `json:"upstream,omitempty"` // its name, if it is configured
	Kind         string        `json:"kind"`
	Time         time.Time     `json:"time"`
	Overall      string        `json:"overall"`
	Counts       map[Grade]int `json:"counts"`
	Findings     []Finding     `json:"findings"`  // worst first
	Unchecked    []string      `json:"unchecked"` // what was not looked at, and why
	Registration *Registration `json:"registration,omitempty"`
	Snippet      string        `json:"snippet,omitempty"` // upstreams: for the configuration file, of an issuer that nobody configured
}

// Add notes a finding. What fills the blank of its fix may be the provider's words, as about and seen may be.
func (r *Report) Add(g Grade, id, about, seen string, fills ...string) {
	a := catalogue[id]
	f := Finding{ID: id, Grade: g, About: printable.Text(about), Seen: printable.Text(seen), Want: a.want, Source: a.source}
	if g != OK {
		f.Fix = strings.ReplaceAll(a.fix, blank, printable.Text(strings.Join(fills, ", ")))
	}
	r.Findings = append(r.Findings, f)
}

// Settle orders the findings and grades the whole.
func (r *Report) Settle() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int {
		return cmp.Compare(slices.Index(grades, a.Grade), slices.Index(grades, b.Grade))
	})
	if r.Findings == nil {
		r.Findings = []Finding{}
	}
	if r.Unchecked == nil {
		r.Unchecked = []string{}
	}
	r.Counts = map[Grade]int{OK: 0, Note: 0, Warn: 0, Fail: 0}
	for _, f := range r.Findings {
		r.Counts[f.Grade]++
	}
	switch warnings := r.Counts[Warn]; {
	case r.Counts[Fail] > 0:
		r.Overall = OverallF
	case warnings > maxC:
		r.Overall = OverallD
	case warnings > maxB:
		r.Overall = OverallC
	case warnings > 0:
		r.Overall = OverallB
	default:
		r.Overall = OverallA
	}
}

// IDs lists the ids that a finding may have.
func IDs() []string { return slices.Sorted(maps.Keys(catalogue)) }

// Failed says whether anything failed.
func (r *Report) Failed() bool { return r.Counts[Fail] > 0 }
