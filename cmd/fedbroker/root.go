package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fedbroker/cmd/fedbroker/checkup"
	"fedbroker/cmd/fedbroker/config"
)

// Exit codes, the same for every command.
const (
	exitDone   = 0
	exitFailed = 1 // the command was understood and could not be carried out
	exitUsage  = 2 // bad usage or bad configuration, a missing seal key included
)

// Forms of a report.
const (
	outputText = "text"
	outputJSON = "json"
)

// failure is an error with the exit code that it means. What is not a failure comes from cobra and is bad usage.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// misuse is an error of usage or configuration.
func misuse(format string, args ...any) error {
	return &failure{exitUsage, fmt.Errorf(format, args...)}
}

// app is what the commands share: where they read and write, and the flags that all have.
type app struct {
	in       io.Reader
	out, err io.Writer
	config   string
	output   string
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot(&app{in: in, out: out, err: errOut})
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if problems, ok := errors.AsType[*config.Error](err); ok {
		fmt.Fprintln(errOut, problems)
		fmt.Fprintf(errOut, "fedbroker: %s in %s\n", count(len(problems.Problems), "problem"), problems.File)
		return exitUsage
	}
	fmt.Fprintf(errOut, "fedbroker: %v\n", err)
	if f, ok := errors.AsType[*failure](err); ok {
		return f.code
	}
	fmt.Fprintln(errOut, "Run it with --help to see what it takes.")
	return exitUsage
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "fedbroker",
		Short: "One issuer that your services trust, in front of the many they should not have to know",
		Long: `fedbroker verifies tokens of several identity providers, maps their claims into one vocabulary,
asks an explicit default-deny policy, and answers with tokens that the next audience accepts.`,
		Example: `  fedbroker demo --once                        see it work, no configuration needed
  fedbroker check --config fedbroker.yaml      judge a configuration
  fedbroker serve --config fedbroker.yaml      run the broker`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentFlags().StringVarP(&a.config, "config", "c", "fedbroker.yaml", "the configuration `FILE`")
	root.AddCommand(a.serve(), a.check(), a.test(), a.diff(), a.audit(), a.explain(), a.reports(checkup.Host{Does: a.does, Load: a.load, Report: a.report, Misuse: misuse}.Doctor()), a.demo(), a.secret(), a.upkeep().Signing(a.reports), a.lineage(), a.revoke(), a.sessions(), a.upstreams(), a.upkeep().Drill(a.reports), a.configuration(), a.version())
	return root
}

// reports gives a command the flag --output.
func (a *app) reports(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&a.output, "output", "o", outputText, "the `FORM` of the report: text or json")
	return cmd
}

// does wraps what a command does: its errors are failures unless they say otherwise, and --output is judged before anything happens.
func (a *app) does(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if a.output != "" && a.output != outputText && a.output != outputJSON {
			return fmt.Errorf("--output: want %s or %s, got %q", outputText, outputJSON, a.output)
		}
		err := work(cmd.Context(), args)
		if err == nil {
			return nil
		}
		if _, ok := errors.AsType[*config.Error](err); ok {
			return err
		}
		if _, ok := errors.AsType[*failure](err); ok {
			return err
		}
		return &failure{exitFailed, err}
	}
}

// report writes a value as JSON, or whatever text writes.
func (a *app) report(value any, text func(io.Writer)) error {
	if a.output != outputJSON {
		text(a.out)
		return nil
	}
	encoder := json.NewEncoder(a.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
