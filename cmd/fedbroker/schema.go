package main

import (
	"context"

	"github.com/spf13/cobra"

	"fedbroker/cmd/fedbroker/config"
)

func (a *app) configuration() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "What the configuration file may hold",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of the configuration file",
		Long:    "Prints the JSON Schema of the configuration file, for an editor that completes and checks YAML by it.",
		Example: `  fedbroker config schema > fedbroker.schema.json`,
		Args:    cobra.NoArgs,
		RunE: a.does(func(context.Context, []string) error {
			text, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = a.out.Write(text)
			return err
		}),
	})
	return cmd
}
