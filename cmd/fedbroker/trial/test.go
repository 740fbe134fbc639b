package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"fedbroker/broker/policytest"
	"fedbroker/cmd/fedbroker/config"
)

// Tested is what came of all fixtures together.
type Tested struct {
	OK       bool     `json:"ok"`
	Files    []File   `json:"files"`
	Untested []string `json:"untested"` // rules that no passed test sees allow anything
}

// File is what came of one file.
type File struct {
	Name    string   `json:"file"`
	Results []Result `json:"tests"`
}

// Result is what came of one test.
type Result struct {
	Line int `json:"line"`
	policytest.Result
}

// Test carries out the tests of each file. It reads every file before it carries out the first, so that all mistakes come at once: the error is a
// *FixturesError then, or a *UsageError.
func (s *Side) Test(ctx context.Context, names []string) (Tested, error) {
	files, lines := make([]policytest.File, len(names)), make([]func(string) int, len(names))
	var wrong FixturesError
	for i, name := range names {
		var err error
		files[i], lines[i], err = readFixtures(name, func(f policytest.File, bad func(path, format string, args ...any)) { f.Check(s.judge, bad) })
		if problems, ok := errors.AsType[*config.Error](err); ok {
			wrong.Files = append(wrong.Files, problems)
		} else if err != nil {
			return Tested{}, err
		}
	}
	if len(wrong.Files) > 0 {
		return Tested{}, &wrong
	}
	all := Tested{OK: true}
	for i, name := range names {
		results, err := policytest.Run(ctx, s.judge, s.signer, files[i])
		if err != nil {
			return Tested{}, fmt.Errorf("%s: %w", name, err)
		}
		file := File{Name: name}
		for k, r := range results {
			file.Results = append(file.Results, Result{lines[i](testPath(k)), r})
			all.OK = all.OK && r.Passed
		}
		all.Files = append(all.Files, file)
	}
	all.Untested = s.untested(all)
	return all, nil
}

func testPath(i int) string { return fmt.Sprintf("tests[%d]", i) }

// untested are the rules that no passed test sees allow anything, in the order of the file. A rule in mode audit allows nothing.
func (s *Side) untested(all Tested) []string {
	allows := map[string]bool{}
	for _, f := range all.Files {
		for _, r := range f.Results {
			if r.Passed && r.Got.Decision == policytest.Allow {
				allows[r.Got.Rule] = true
			}
		}
	}
	out := []string{}
	for _, r := range s.config.Exchange {
		if !allows[r.ID] && r.Mode != modeAudit {
			out = append(out, r.ID)
		}
	}
	return out
}

const modeAudit = "audit" // of a rule that is tried out

// Count is how many tests there were, and how many of them failed.
func (t Tested) Count() (failed, total int) {
	for _, f := range t.Files {
		for _, r := range f.Results {
			if total++; !r.Passed {
				failed++
			}
		}
	}
	return failed, total
}

// Print says of each file how many tests passed, and of each that failed what was wanted and what came.
func (t Tested) Print(w io.Writer) {
	for _, f := range t.Files {
		for _, r := range f.Results {
			if !r.Passed {
				fmt.Fprintf(w, "FAIL %s:%d: %s\n", f.Name, r.Line, r.Name)
				printMismatches(w, r.Result)
			}
		}
	}
	for _, f := range t.Files {
		failed, total := Tested{Files: []File{f}}.Count()
		noun := "tests"
		if total == 1 {
			noun = "test"
		}
		fmt.Fprintf(w, "%s: %d of %d %s passed\n", f.Name, total-failed, total, noun)
	}
	for _, rule := range t.Untested {
		fmt.Fprintf(w, "rule %s: no test that passed sees it allow anything\n", rule)
	}
}

func printMismatches(w io.Writer, r policytest.Result) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range r.Mismatches {
		fmt.Fprintf(table, "  %s\twant %s\tgot %s\n", m.What, m.Want, m.Got)
	}
	table.Flush()
	switch got := r.Got; {
	case got.Decision == policytest.Allow:
		fmt.Fprintf(w, "  allowed by rule %s\n", got.Rule)
	case got.Rule == "":
		fmt.Fprintf(w, "  denied with %s before any rule was asked: %s\n", got.Reason, got.Cause)
	case got.Condition == "":
		fmt.Fprintf(w, "  rule %s applies; denied with %s: %s\n", got.Rule, got.Reason, got.Cause)
	default:
		why := strings.TrimPrefix(got.Cause, fmt.Sprintf("rule %s: %s", got.Rule, got.Condition)) // the rest: why it could not be judged
		fmt.Fprintf(w, "  denied with %s; nearest rule %s, first condition that fails: %s%s\n", got.Reason, got.Rule, got.Condition, why)
	}
}
