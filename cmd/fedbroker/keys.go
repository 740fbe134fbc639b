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

func (a *app) keys() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "List or rotate the keys that sign our tokens",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var compromised string
	rotate := &cobra.Command{
		Use:   "rotate",
		Short: "Make the next keys now; they sign once verifiers can know them",
		Long: `Publishes new keys, which sign after the JWKS max-age. With --compromised the new key signs at once, the named
one leaves the JWKS, and every token that it signed is dead.`,
		Example: `  fedbroker keys rotate
  fedbroker keys rotate --compromised 6cX2…`,
		Args: cobra.NoArgs,
		RunE: a.does(func(ctx context.Context, _ []string) error {
			return a.withOperator(ctx, func(o admin.Operator) error {
				if compromised != "" {
					return a.printKeys(o.CompromiseKey(ctx, compromised))
				}
				return a.printKeys(o.RotateKeys(ctx))
			})
		}),
	}
	rotate.Flags().StringVar(&compromised, "compromised", "", "the `KID` of a key that others may hold")
	list := &cobra.Command{
		Use:     "list",
		Short:   "List the keys, with what each does now",
		Example: `  fedbroker keys list --output json`,
		Args:    cobra.NoArgs,
		RunE: a.does(func(ctx context.Context, _ []string) error {
			return a.withOperator(ctx, func(o admin.Operator) error { return a.printKeys(o.Keys(ctx)) })
		}),
	}
	cmd.AddCommand(a.reports(list), a.reports(rotate))
	return cmd
}

func (a *app) printKeys(keys []operator.Key, err error) error {
	if err != nil {
		return err
	}
	return a.report(keys, func(w io.Writer) {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "KID\tALGORITHM\tSTATE\tCREATED\tSIGNS FROM\tRETIRES")
		for _, k := range keys {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.KeyID, k.Algorithm, k.State, moment(k.CreatedAt), moment(k.SignsFrom), moment(k.RetiresAt))
		}
		table.Flush()
	})
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
