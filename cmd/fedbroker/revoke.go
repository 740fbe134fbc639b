package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"fedbroker/broker/operator"
	"fedbroker/broker/web/admin"
)

// revocable is what can be revoked by hand, with what the id is and what dies by it.
var revocable = []struct{ kind, argument, short string }{
	{"token", "JTI", "Revoke one token and every token that was exchanged from it"},
	{"client", "ID", "Revoke every token issued to a client until now"},
	{"subject", "SUB", "Revoke everything a person was given until now: tokens, refresh families and sessions"},
	{"upstream", "NAME", "Revoke everything that people and workloads of an upstream were given until now"},
	{"kid", "KID", "Revoke every token that one of our keys signed (keys rotate --compromised also takes the key away)"},
}

type revoked struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

func (a *app) revoke() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "Revoke tokens: one, or a client's, a person's, an upstream's, a key's",
		Example: `  fedbroker revoke token 0Jx9…      the jti, as the journal and introspection name it
  fedbroker revoke client gateway
  fedbroker revoke subject 'acme|ada'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, r := range revocable {
		cmd.AddCommand(a.reports(&cobra.Command{
			Use:     r.kind + " " + r.argument,
			Short:   r.short,
			Example: "  fedbroker revoke " + r.kind + " " + r.argument,
			Args:    cobra.ExactArgs(1),
			RunE: a.does(func(ctx context.Context, args []string) error {
				return a.withOperator(ctx, func(o admin.Operator) error {
					if err := o.Revoke(ctx, operator.Revocation{Kind: r.kind, ID: args[0]}); err != nil {
						return fmt.Errorf("revoke %s %s: %w", r.kind, args[0], err)
					}
					return a.report(revoked{r.kind, args[0]}, func(w io.Writer) { fmt.Fprintf(w, "revoked %s %s\n", r.kind, args[0]) })
				})
			}),
		}))
	}
	return cmd
}
