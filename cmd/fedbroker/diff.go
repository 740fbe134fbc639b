package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"fedbroker/cmd/fedbroker/trial"
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
	var sides [2]*trial.Side
	for i, file := range q.configs {
		if sides[i], err = a.side(ctx, file); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sides[i].Close()) }()
	}
	report, err := trial.Diff(ctx, sides[0], sides[1], q.replay)
	if err != nil {
		return tried(err)
	}
	if err := a.report(report, report.Print); err != nil {
		return err
	}
	if changed := report.Changed(); q.exitCode && changed > 0 {
		return fmt.Errorf("%s changed or can't be told", count(changed, "decision"))
	}
	return nil
}
