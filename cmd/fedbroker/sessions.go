package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"fedbroker/broker/operator"
	"fedbroker/broker/web/admin"
)

func (a *app) sessions() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "List or revoke people's sessions",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.reports(a.listSessions()), a.reports(a.revokeSessions()))
	return cmd
}

func (a *app) listSessions() *cobra.Command {
	var q operator.SessionQuery
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List live sessions, oldest first",
		Example: `  fedbroker sessions list
  fedbroker sessions list --subject 'acme|ada'
  fedbroker sessions list --upstream acme --upstream-sid 08a5019c…`,
		Args: cobra.NoArgs,
		RunE: a.does(func(ctx context.Context, _ []string) error {
			return a.withOperator(ctx, func(o admin.Operator) error {
				found, err := o.Sessions(ctx, q)
				if err != nil {
					return err
				}
				return a.report(found, func(w io.Writer) { printSessions(w, found, q) })
			})
		}),
	}
	selection(cmd, &q.Subject, &q.Upstream, &q.UpstreamSID)
	cmd.Flags().StringVar(&q.After, "after", "", "begin after this `SID`, the last one of the page before")
	cmd.Flags().IntVar(&q.Limit, "limit", 100, "how many, at most 1000")
	return cmd
}

// selection are the flags that say whose sessions are meant.
func selection(cmd *cobra.Command, subject, upstream, sid *string) {
	cmd.Flags().StringVar(subject, "subject", "", "those of one person: the `SUB` that our tokens have")
	cmd.Flags().StringVar(upstream, "upstream", "", "with --upstream-sid: those behind which one session at this `NAME` stands")
	cmd.Flags().StringVar(sid, "upstream-sid", "", "the `SID` of the identity provider's own session")
}

func printSessions(w io.Writer, found []operator.Session, q operator.SessionQuery) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SID\tSUBJECT\tUPSTREAM\tSIGNED IN\tSEEN\tENDS")
	for _, s := range found {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID, s.Subject, s.Upstream, moment(s.Created), moment(s.Seen), moment(s.Expires))
	}
	table.Flush()
	if len(found) > 0 && len(found) == q.Limit {
		fmt.Fprintf(w, "there may be more: --after %s\n", found[len(found)-1].ID)
	}
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func (a *app) revokeSessions() *cobra.Command {
	var which operator.SessionSelection
	cmd := &cobra.Command{
		Use:   "revoke [SID]",
		Short: "End a session, or all sessions of a person, with the tokens that live by it",
		Long: `Ends sessions: apps that ask send the person to sign in again, access tokens and session-bound refresh tokens are dead at
once. Refresh tokens by offline_access live on: "fedbroker revoke" with the person's subject ends those, too.`,
		Example: `  fedbroker sessions revoke 6742f0a1Zk3…
  fedbroker sessions revoke --subject 'acme|ada'`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.does(func(ctx context.Context, args []string) error {
			if len(args) == 1 {
				which.ID = args[0]
			}
			return a.withOperator(ctx, func(o admin.Operator) error {
				ended, err := o.EndSessions(ctx, which)
				if err != nil {
					return err
				}
				return a.report(ended, func(w io.Writer) {
					for _, sid := range ended {
						fmt.Fprintf(w, "ended session %s\n", sid)
					}
					if len(ended) == 0 {
						fmt.Fprintln(w, "no live session")
					}
				})
			})
		}),
	}
	selection(cmd, &which.Subject, &which.Upstream, &which.UpstreamSID)
	return cmd
}
