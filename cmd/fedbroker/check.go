package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fedbroker/broker"
	"fedbroker/cmd/fedbroker/config"
)

// verdict is what check says of a configuration.
type verdict struct {
	OK        bool             `json:"ok"`
	File      string           `json:"file"`
	Problems  []config.Problem `json:"problems"`
	Warnings  []config.Problem `json:"warnings"`
	Rules     []rule           `json:"rules"`
	Unserved  []string         `json:"unserved"`
	Effective any              `json:"effective,omitempty"`
}

// rule says of one rule whose name its tokens speak in (P19).
type rule struct {
	ID   string `json:"id"`
	Mode string `json:"mode"`
}

const impersonation = "impersonation"

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
	if err != nil && !wrong {
		return err
	}
	if wrong {
		if a.output != outputJSON {
			return err
		}
		v := verdict{File: problems.File, Problems: problems.Problems, Warnings: []config.Problem{}, Rules: []rule{}, Unserved: []string{}}
		if c != nil {
			v.Warnings = append(v.Warnings, c.Warnings...)
		}
		if err := a.report(v, nil); err != nil {
			return err
		}
		return misuse("%s in %s", count(len(problems.Problems), "problem"), problems.File)
	}
	v := verdict{OK: true, File: c.Name, Problems: []config.Problem{}, Warnings: append([]config.Problem{}, c.Warnings...), Rules: []rule{}, Unserved: append([]string{}, broker.Unserved(c.Config)...)}
	for _, r := range c.Exchange {
		v.Rules = append(v.Rules, rule{r.ID, impersonation})
	}
	text, value, err := c.Effective()
	if err != nil {
		return err
	}
	v.Effective = value
	return a.report(v, func(w io.Writer) { v.print(w, text) })
}

func (v verdict) print(w io.Writer, effective []byte) {
	fmt.Fprintf(w, "# effective configuration, secrets redacted\n%s\n", effective)
	if len(v.Rules) > 0 {
		fmt.Fprintln(w, "rules:")
	}
	for _, r := range v.Rules {
		fmt.Fprintf(w, "  %s: %s (the token's sub is the subject, its client_id the requester, no act)\n", r.ID, r.Mode)
	}
	if len(v.Unserved) > 0 {
		fmt.Fprintln(w, "served by nothing yet:")
	}
	for _, u := range v.Unserved {
		fmt.Fprintf(w, "  %s\n", u)
	}
	if len(v.Warnings) > 0 {
		fmt.Fprintf(w, "warnings:\n%s\n", config.Render(v.File, v.Warnings))
	}
	fmt.Fprintf(w, "%s: good, with %s\n", v.File, count(len(v.Warnings), "warning"))
}
