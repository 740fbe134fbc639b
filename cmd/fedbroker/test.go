package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/trial"
)

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
	if len(names) == 0 {
		if names, err = trial.Beside(a.config); err != nil {
			return err
		}
	}
	side, err := a.side(ctx, a.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, side.Close()) }()
	if len(names) == 0 {
		return misuse("there is no %s beside %s: name a FILE, or begin with examples/quickstart/fedbroker.test.yaml", trial.Pattern, a.config)
	}
	all, err := side.Test(ctx, names)
	if wrong, ok := errors.AsType[*trial.FixturesError](err); ok {
		for _, file := range wrong.Files {
			fmt.Fprintln(a.err, file)
		}
		return misuse("%v", wrong)
	}
	if err != nil {
		return tried(err)
	}
	if err := a.report(all, all.Print); err != nil {
		return err
	}
	if failed, total := all.Count(); failed > 0 {
		return fmt.Errorf("%d of %s failed", failed, count(total, "test"))
	}
	return nil
}

// side is the configuration of a file, to be tried out.
func (a *app) side(ctx context.Context, file string) (*trial.Side, error) {
	one := *a
	one.config = file
	c, err := one.load(config.Options{MayLack: true})
	if err != nil {
		return nil, err
	}
	side, err := trial.New(ctx, file, c)
	return side, tried(err)
}

// tried gives errors that a file is to blame for their exit code.
func tried(err error) error {
	if blame, ok := errors.AsType[*trial.UsageError](err); ok {
		return &failure{exitUsage, blame}
	}
	return err
}
