package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"fedbroker/broker"
	"fedbroker/broker/decision"
	"fedbroker/broker/explain"
	"fedbroker/broker/web/admin"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/explainer"
	"fedbroker/cmd/fedbroker/trial"
)

const exitDenied = 3 // explain: the request is refused

func (a *app) explain() *cobra.Command {
	var q explainer.Question
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say how a decision comes about, and what would change it",
		Long: `Runs the whole decision on a token, or on what was kept of a decision, and says what the token is, which upstream speaks for
it, what each mapper changed, how each rule fared, what the first condition that it fails saw and wanted, which rule came
nearest, and the smallest change that would have admitted the request.

With --subject-token it judges by the configuration file and opens no store, unless the token is one of our own, or --keys is
cache: then the server is asked, which has the keys, or the store is opened when none runs. With --decision it asks the server, or opens
the store, for a decision of the last audit.trace_ttl, by the id that the caller was given. Nobody is authenticated, nothing
is issued, spent or revoked, and no token is printed. The exit code is 0 if the request is allowed, 3 if it is denied.`,
		Example: `  fedbroker explain --subject-token job.jwt --audience https://deploy.internal
  fedbroker explain --subject-token - --requester gateway --audience orders --scope orders.read < token
  fedbroker explain --decision UZX6CHEOQKG3O3S7IHNDVZG34U
  fedbroker explain --export decisions.jsonl`,
		Args: cobra.NoArgs,
		RunE: a.does(func(ctx context.Context, _ []string) error { return asMisuse(a.answer(ctx, q)) }),
	}
	q.Flags(cmd)
	return a.reports(cmd)
}

// asMisuse gives mistakes of the question their exit code.
func asMisuse(err error) error {
	if usage, ok := errors.AsType[*explain.UsageError](err); ok {
		return misuse("%s", usage.Text)
	}
	return err
}

func (a *app) answer(ctx context.Context, q explainer.Question) error {
	if err := q.Read(a.in, time.Now()); err != nil {
		return err
	}
	c, err := a.load(config.Options{MayLack: q.Decision == "" && q.Export == ""})
	if err != nil {
		return err
	}
	if q.Export != "" {
		return a.withExplainer(ctx, func(x admin.Explainer) error { return a.export(ctx, x, q.Export) })
	}
	if q.NeedsState(c.Issuer) {
		return a.withExplainer(ctx, func(x admin.Explainer) error {
			e, err := x.Explain(ctx, q.Request)
			if err != nil {
				return err
			}
			return a.tell(e)
		})
	}
	judge, err := explainer.Offline(c.Config, q.Keys)
	if err != nil {
		return explained(err)
	}
	defer judge.Close()
	e, err := judge.Explain(ctx, q.Request)
	if err != nil {
		return err
	}
	e.Notes = append(e.Notes, "judged by the configuration alone: revocations, spent tokens and limits were not looked at")
	return a.tell(e)
}

// tell prints an explanation, and ends with exit code 3 where it is a denial.
func (a *app) tell(e explain.Explanation) error {
	if err := a.report(e, func(w io.Writer) { _ = e.Text(w, explain.TextOptions{Color: explainer.Colored(w)}) }); err != nil {
		return err
	}
	if e.Outcome.Decision == explain.Deny {
		return &failure{exitDenied, fmt.Errorf("denied: %s", e.Outcome.Reason)}
	}
	return nil
}

// withExplainer explains by the broker's state; see withState.
func (a *app) withExplainer(ctx context.Context, work func(admin.Explainer) error) error {
	c, err := a.load(config.Options{})
	if err != nil {
		return err
	}
	return a.withState(c, func(client *admin.Client) error { return work(client) }, func(held *state) error {
		judge, err := broker.OpenJudge(ctx, held.options(c))
		if err != nil {
			return explained(err)
		}
		kept, err := decision.Open(held.engine, held.sealing)
		if err != nil {
			return err
		}
		return work(newExplainer(func() *config.Loaded { return c }, func() *broker.Judge { return judge }, kept))
	})
}

func newExplainer(now func() *config.Loaded, judge func() *broker.Judge, kept *decision.Store) admin.Explainer {
	again := func(ctx context.Context, r decision.Record) (explain.Explanation, error) {
		return takeAgain(ctx, now(), r)
	}
	return explainer.Held{Judge: judge, Kept: kept, Replay: again, Now: time.Now}
}

// takeAgain takes a decision again, with tokens that say what was kept of those of then, signed with keys made for this, and explains that.
func takeAgain(ctx context.Context, c *config.Loaded, r decision.Record) (e explain.Explanation, err error) {
	s, err := trial.New(ctx, c.Name, c)
	if err != nil {
		return e, tried(err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	in, err := s.Policy().Request(ctx, r)
	if err != nil {
		return e, err
	}
	if e, err = s.Judge().Explain(ctx, explain.RequestOf(r.ClientID, in)); err != nil {
		return e, err
	}
	return e.Answered(r), nil
}

// export writes decisions.jsonl. It holds claims, so only its owner may read it.
func (a *app) export(ctx context.Context, x admin.Explainer, name string) error {
	var n int
	write := func(out io.Writer) (err error) {
		n, err = decision.Export(out, func(after string) ([]decision.Record, error) { return x.Decisions(ctx, after) })
		return err
	}
	var err error
	if name == "-" {
		err = write(a.out)
	} else {
		err = writeOwn(name, write)
	}
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	fmt.Fprintf(a.err, "%s written\n", count(n, "decision"))
	return nil
}

// writeOwn puts a new file, of mode 0600 and ours, in the place of name once all of it is written: who may read, or has open, a file that is there
// sees nothing of it. What is there and no regular file (a pipe, a device) is written to.
func writeOwn(name string, write func(io.Writer) error) (err error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		file, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(file), file.Close())
	}
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".new") // 0600
	if err != nil {
		return err
	}
	if err = errors.Join(write(file), file.Close()); err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
