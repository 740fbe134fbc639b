package upkeep

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"fedbroker/broker/operator"
	"fedbroker/broker/web/admin"
)

// Signing are the commands of the keys that sign our tokens.
func (h Host) Signing(reports func(*cobra.Command) *cobra.Command) *cobra.Command {
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
		RunE: h.Does(func(ctx context.Context, _ []string) error {
			return h.Operator(ctx, func(o admin.Operator) error {
				if compromised != "" {
					return h.signing(o.CompromiseKey(ctx, compromised))
				}
				return h.signing(o.RotateKeys(ctx))
			})
		}),
	}
	rotate.Flags().StringVar(&compromised, "compromised", "", "the `KID` of a key that others may hold")
	list := &cobra.Command{
		Use:     "list",
		Short:   "List the keys, with what each does now",
		Example: `  fedbroker keys list --output json`,
		Args:    cobra.NoArgs,
		RunE: h.Does(func(ctx context.Context, _ []string) error {
			return h.Operator(ctx, func(o admin.Operator) error { return h.signing(o.Keys(ctx)) })
		}),
	}
	cmd.AddCommand(reports(list), reports(rotate))
	return cmd
}

func (h Host) signing(keys []operator.Key, err error) error {
	if err != nil {
		return err
	}
	return h.Report(keys, func(w io.Writer) {
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "KID\tALGORITHM\tSTATE\tCREATED\tSIGNS FROM\tRETIRES")
		for _, k := range keys {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", k.KeyID, k.Algorithm, k.State, moment(k.CreatedAt), moment(k.SignsFrom), moment(k.RetiresAt))
		}
		table.Flush()
	})
}
