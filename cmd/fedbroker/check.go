package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/trial"
)

func (a *app) check() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Judge the configuration and print what it means",
		Long: `Reads the configuration, compiles every mapper and rule, reports every mistake at once with its line, and prints
the effective configuration: every default written, every secret redacted. It opens no store and no connection, and a secret or
certificate file that is not there is a warning only, so that it can judge where secrets are not; serve refuses to start then.`,
		Example: `  fedbroker check
  fedbroker check --config /etc/fedbroker/fedbroker.yaml --output json`,
		Args: cobra.NoArgs,
		RunE: a.does(func(context.Context, []string) error { return a.judge() }),
	}
	return a.reports(cmd)
}

func (a *app) judge() error {
	c, err := a.load(config.Options{MayLack: true})
	problems, wrong := errors.AsType[*config.Error](err)
	if err != nil && (!wrong || a.output != outputJSON) {
		return err
	}
	if wrong {
		if err := a.report(trial.Refused(problems, c), nil); err != nil {
			return err
		}
		return misuse("%s in %s", count(len(problems.Problems), "problem"), problems.File)
	}
	v, effective, err := trial.Good(c)
	if err != nil {
		return err
	}
	return a.report(v, func(w io.Writer) { v.Print(w, effective) })
}
