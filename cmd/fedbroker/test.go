package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"fedbroker/broker"
	"fedbroker/broker/policytest"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/store"
	"fedbroker/store/engines"
)

// fixtures are the files that stand beside a configuration.
const fixtures = "*.test.yaml"

// tested is what test says of all files together.
type tested struct {
	OK       bool         `json:"ok"`
	Files    []testedFile `json:"files"`
	Untested []string     `json:"untested"` // rules that no passed test sees allow anything
}

type testedFile struct {
	Name    string       `json:"file"`
	Results []testResult `json:"tests"`
}

type testResult struct {
	Line int `json:"line"`
	policytest.Result
}

func (a *app) test() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test [FILE]…",
		Short: "Hold the policy to the examples that stand beside it",
		Long: `Carries out the tests of each FILE, by default of every *.test.yaml beside the configuration file: a token's claims and
who asks for what, and what has to come of it: allow, by which rule and with which claims out, or deny, and for which reason.

The engine is the broker's own. Claims are signed with keys made for the test, in place of the upstream's, and go through
verification, mappers, rules and minting; signatures, client authentication, revocation and spent tokens are not what it tests.
It opens no store and no connection, and needs no secrets. The exit code is 1 if a test fails, 2 for a file that is wrong.`,
		Example: `  fedbroker test
  fedbroker test --config prod.yaml prod.test.yaml --output json`,
		RunE: a.does(func(ctx context.Context, names []string) error { return a.testPolicy(ctx, names) }),
	}
	return a.reports(cmd)
}

func (a *app) testPolicy(ctx context.Context, names []string) (err error) {
	c, err := a.load(config.Options{MayLack: true})
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if names, err = beside(a.config); err != nil || len(names) == 0 {
			return misuse("there is no %s beside %s: name a FILE, or begin with examples/quickstart/fedbroker.test.yaml", fixtures, a.config)
		}
	}
	side, err := newSide(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, side.close()) }()
	all, err := a.testFiles(ctx, side.judge, side.signer, names)
	if err != nil {
		return err
	}
	all.Untested = untested(c, all)
	if err := a.report(all, all.print); err != nil {
		return err
	}
	if failed, total := all.count(); failed > 0 {
		return fmt.Errorf("%d of %s failed", failed, count(total, "test"))
	}
	return nil
}

// beside are the fixtures that stand beside a configuration.
func beside(file string) ([]string, error) {
	return filepath.Glob(filepath.Join(filepath.Dir(file), fixtures))
}

// side is a configuration as the engine takes it, and what signs tokens for it.
type side struct {
	judge  *broker.Judge
	signer *policytest.Signer
}

func newSide(ctx context.Context, c *config.Loaded) (*side, error) {
	effective := c.Config.WithDefaults()
	signer, err := policytest.NewSigner(ctx, policytest.SignerOptions{
		Issuer: c.Issuer, Leeway: *effective.Leeway, Engine: func() (store.Engine, error) { return engines.Open("memory", engines.Options{}) },
	})
	if err != nil {
		return nil, err
	}
	judge, err := broker.NewJudge(broker.JudgeOptions{Config: c.Config, Keys: signer.Keys, Own: signer.Own, Revoked: signer.Revoked})
	if err != nil {
		return nil, errors.Join(explained(err), signer.Close())
	}
	return &side{judge, signer}, nil
}

func (s *side) close() error {
	s.judge.Close()
	return s.signer.Close()
}

// testFiles reads every file before it carries out the first, so that all mistakes come at once.
func (a *app) testFiles(ctx context.Context, judge *broker.Judge, signer *policytest.Signer, names []string) (tested, error) {
	files, lines, problems := make([]policytest.File, len(names)), make([]func(string) int, len(names)), 0
	for i, name := range names {
		var err error
		lines[i], err = readFixtures(name, judge, &files[i])
		wrong, ok := errors.AsType[*config.Error](err)
		switch {
		case ok:
			problems += len(wrong.Problems)
			fmt.Fprintln(a.err, wrong)
		case err != nil:
			return tested{}, &failure{exitUsage, err}
		}
	}
	if problems > 0 {
		return tested{}, misuse("%s in the fixtures", count(problems, "problem"))
	}
	all := tested{OK: true}
	for i, name := range names {
		results, err := policytest.Run(ctx, judge, signer, files[i])
		if err != nil {
			return tested{}, fmt.Errorf("%s: %w", name, err)
		}
		file := testedFile{Name: name}
		for k, r := range results {
			file.Results = append(file.Results, testResult{lines[i](fmt.Sprintf("tests[%d]", k)), r})
			all.OK = all.OK && r.Passed
		}
		all.Files = append(all.Files, file)
	}
	return all, nil
}

func readFixtures(name string, judge *broker.Judge, into *policytest.File) (line func(path string) int, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("fixtures: %w", err)
	}
	return config.Strict(name, text, config.Options{LookupEnv: os.LookupEnv}, into, func(bad func(path, format string, args ...any)) { into.Check(judge, bad) })
}

// untested are the rules that no passed test sees allow anything, in the order of the file.
func untested(c *config.Loaded, all tested) []string {
	allows := map[string]bool{}
	for _, f := range all.Files {
		for _, r := range f.Results {
			if r.Passed && r.Got.Decision == policytest.Allow {
				allows[r.Got.Rule] = true
			}
		}
	}
	out := []string{}
	for _, r := range c.Exchange {
		if !allows[r.ID] {
			out = append(out, r.ID)
		}
	}
	return out
}

func (t tested) count() (failed, total int) {
	for _, f := range t.Files {
		for _, r := range f.Results {
			if total++; !r.Passed {
				failed++
			}
		}
	}
	return failed, total
}

// print says of each file how many tests passed, and of each that failed what was wanted and what came.
func (t tested) print(w io.Writer) {
	for _, f := range t.Files {
		for _, r := range f.Results {
			if !r.Passed {
				fmt.Fprintf(w, "FAIL %s:%d: %s\n", f.Name, r.Line, r.Name)
				printMismatches(w, r.Result)
			}
		}
	}
	for _, f := range t.Files {
		one := tested{Files: []testedFile{f}}
		failed, total := one.count()
		fmt.Fprintf(w, "%s: %d of %s passed\n", f.Name, total-failed, count(total, "test"))
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
