package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"fedbroker/broker/decision"
	"fedbroker/broker/policytest"
	"fedbroker/cmd/fedbroker/config"
)

// comparison is what diff is asked.
type comparison struct {
	configs  []string // old and new
	replay   string   // file of recorded decisions; "" for none
	exitCode bool
}

func (a *app) diff() *cobra.Command {
	var q comparison
	cmd := &cobra.Command{
		Use:   "diff --config OLD --config NEW",
		Short: "Say what another configuration would decide otherwise",
		Long: `Compares two configurations: which rules were added, removed, changed or moved, which upstreams and clients that rules stand on
changed, and what becomes of the tests in the *.test.yaml beside both.

With --replay, each decision of FILE, one line of JSON each, is taken again under both: by the broker's own engine, with tokens
that say what those of then said and are signed with keys made for this. A decision on a claim that was not recorded, since nothing
read it then, is told apart.

The exit code is 0 whether or not something changed; with --exit-code it is 1 if a test or a recorded decision changed, or can't be told.`,
		Example: `  fedbroker diff --config fedbroker.yaml --config next.yaml
  fedbroker diff -c fedbroker.yaml -c next.yaml --replay decisions.jsonl --exit-code --output json`,
		Args: cobra.NoArgs,
		RunE: a.does(func(ctx context.Context, _ []string) error { return a.compare(ctx, q) }),
	}
	cmd.Flags().StringArrayVarP(&q.configs, "config", "c", nil, "a configuration `FILE`: the old one, and then the new one")
	cmd.Flags().StringVar(&q.replay, "replay", "", "a `FILE` of recorded decisions")
	cmd.Flags().BoolVar(&q.exitCode, "exit-code", false, "exit with 1 if a decision changed, or can't be told")
	return a.reports(cmd)
}

func (a *app) compare(ctx context.Context, q comparison) (err error) {
	if len(q.configs) != 2 {
		return misuse("--config: want the old one and the new one, got %s", count(len(q.configs), "configuration"))
	}
	var sides [2]*side
	var effective [2]any
	for i, file := range q.configs {
		if sides[i], effective[i], err = a.sideOf(ctx, file); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sides[i].close()) }()
	}
	was, is := sides[0].policy(), sides[1].policy()
	report := policytest.Report{Old: q.configs[0], New: q.configs[1], Changes: policytest.Between(effective[0], effective[1])}
	if report.Tests, err = a.compareFixtures(ctx, q.configs, was, is); err != nil {
		return err
	}
	if q.replay != "" {
		if report.Replay, err = replay(ctx, q.replay, was, is); err != nil {
			return err
		}
	}
	if err := a.report(report, report.Print); err != nil {
		return err
	}
	if changed := report.Changed(); q.exitCode && changed > 0 {
		return fmt.Errorf("%s changed or can't be told", count(changed, "decision"))
	}
	return nil
}

// sideOf is the configuration of a file, and what it says in effect.
func (a *app) sideOf(ctx context.Context, file string) (*side, any, error) {
	one := *a
	one.config = file
	c, err := one.load(config.Options{MayLack: true})
	if err != nil {
		return nil, nil, err
	}
	_, effective, err := c.Effective()
	if err != nil {
		return nil, nil, err
	}
	s, err := newSide(ctx, c)
	return s, effective, err
}

func (s *side) policy() policytest.Side { return policytest.Side{Engine: s.judge, Signer: s.signer} }

// compareFixtures carries out the tests beside both configurations under each.
func (a *app) compareFixtures(ctx context.Context, configs []string, was, is policytest.Side) (policytest.Tally, error) {
	var files []string
	for _, c := range configs {
		found, err := beside(c)
		if err != nil {
			return policytest.Tally{}, fmt.Errorf("fixtures of %s: %w", c, err)
		}
		for _, name := range found {
			if name = filepath.Clean(name); !slices.Contains(files, name) {
				files = append(files, name)
			}
		}
	}
	tally := policytest.NewTally()
	for _, name := range files {
		f, line, err := a.decodeFixtures(name)
		if err != nil {
			return tally, err
		}
		all, err := policytest.Compare(ctx, was, is, f)
		if err != nil {
			return tally, fmt.Errorf("%s: %w", name, err)
		}
		for i, d := range all {
			tally.Add(fmt.Sprintf("%s:%d: %s", name, line(fmt.Sprintf("tests[%d]", i)), f.Tests[i].Name), d)
		}
	}
	return tally, nil
}

// decodeFixtures reads a file whose meaning is judged under each configuration.
func (a *app) decodeFixtures(name string) (f policytest.File, line func(path string) int, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return f, nil, &failure{exitUsage, fmt.Errorf("fixtures: %w", err)}
	}
	line, err = config.Strict(name, text, config.Options{LookupEnv: os.LookupEnv}, &f, func(func(path, format string, args ...any)) {})
	return f, line, err
}

// replay takes each recorded decision again.
func replay(ctx context.Context, name string, was, is policytest.Side) (*policytest.Tally, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, &failure{exitUsage, fmt.Errorf("recorded decisions: %w", err)}
	}
	defer file.Close()
	records, err := decision.Read(file)
	if err != nil {
		return nil, &failure{exitUsage, fmt.Errorf("%s: %w", name, err)}
	}
	tally := policytest.NewTally()
	for _, r := range records {
		d, err := policytest.Replay(ctx, was, is, r)
		if err != nil {
			return nil, fmt.Errorf("decision %s: %w", r.ID, err)
		}
		tally.Add(r.ID, d)
	}
	return &tally, nil
}
