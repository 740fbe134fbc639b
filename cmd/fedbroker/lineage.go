package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fedbroker/broker/lineage"
	"fedbroker/broker/web/admin"
	"fedbroker/cmd/fedbroker/drawing"
)

func (a *app) lineage() *cobra.Command {
	var q lineage.Query
	cmd := &cobra.Command{
		Use:   "lineage JTI",
		Short: "Draw what a token was made from and what was made from it",
		Long: `Reads the journal: up to the login or to the other issuer's token that everything began with, and down to what was
exchanged or refreshed from it, each with what it says and whether it is still good. JTI is a token's jti, the id of a login's
grant (a refresh family), or the id by which the journal's "parents" names a token of another issuer.`,
		Example: `  fedbroker lineage 6742f0a1Zk3…
  fedbroker lineage 6742f0a1Zk3… --up
  fedbroker lineage 6742f0a1Zk3… --down --live --output json`,
		Args: cobra.ExactArgs(1),
		RunE: a.does(func(ctx context.Context, args []string) error {
			q.ID = args[0]
			return a.withOperator(ctx, func(o admin.Operator) error {
				tree, err := o.Lineage(ctx, q)
				if err != nil {
					return err
				}
				return a.report(tree, func(w io.Writer) { drawing.Tree(w, tree) })
			})
		}),
	}
	cmd.Flags().BoolVar(&q.Up, "up", false, "only what it was made from")
	cmd.Flags().BoolVar(&q.Down, "down", false, "only what was made from it")
	cmd.Flags().BoolVar(&q.Live, "live", false, "of what was made from it only what has not expired")
	cmd.Flags().IntVar(&q.Limit, "limit", 200, fmt.Sprintf("how many tokens, at most %d", lineage.MaxNodes))
	cmd.MarkFlagsMutuallyExclusive("up", "down")
	return a.reports(cmd)
}
