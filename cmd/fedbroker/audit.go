package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"fedbroker/broker/promotion"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/store/journal"
)

const modeAudit = "audit" // of a rule that is tried out

func (a *app) audit() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "What the journal knows",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.reports(a.promotion()))
	return cmd
}

func (a *app) promotion() *cobra.Command {
	const day = 24 * time.Hour
	var since time.Duration
	var rule string
	cmd := &cobra.Command{
		Use:   "promotion",
		Short: "Say what would change if rules in mode audit were enforced",
		Long: `Reads the journal, beside a server that writes it or without one: of each rule in mode audit, the decisions that it would have taken. Of
those, the ones that are denied now would newly be allowed, as far as the scope that was asked for lets them; of the others it says which rule
takes them now. Refusals of anonymous requests and public clients are not in the journal, so that they are not counted.`,
		Example: `  fedbroker audit promotion
  fedbroker audit promotion --since 168h --rule partner-orders-next --output json`,
		Args: cobra.NoArgs,
		RunE: a.does(func(context.Context, []string) error { return a.promote(rule, since) }),
	}
	cmd.Flags().DurationVar(&since, "since", day, "how far to look back; 0s: to the beginning")
	cmd.Flags().StringVar(&rule, "rule", "", "one rule `ID` alone")
	return cmd
}

func (a *app) promote(rule string, since time.Duration) error {
	c, err := a.load(config.Options{MayLack: true})
	if err != nil {
		return err
	}
	if since < 0 {
		return misuse("--since: want 0s or more, got %v", since)
	}
	var o promotion.Options
	if since > 0 {
		o.Since = time.Now().Add(-since).Truncate(time.Second)
	}
	for _, r := range c.Exchange {
		if r.Mode == modeAudit {
			o.Rules = append(o.Rules, r.ID)
		}
	}
	report, err := promotion.Read(journal.Scan(c.Audit.Dir), o)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("journal %s: there is none yet", c.Audit.Dir)
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", c.Audit.Dir, err)
	}
	if rule != "" {
		known := false
		if report, known = report.Only(rule); !known {
			return misuse("--rule: want a rule in mode audit, or one that the journal names as such, got %q", rule)
		}
	}
	return a.report(report, report.Print)
}
