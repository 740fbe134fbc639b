package main

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"fedbroker/cmd/fedbroker/demo"
)

func (a *app) demo() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work on loopback, without a configuration",
		Long: `Starts partners' identity providers with login forms, the broker, a sample app and a sample API in one process on free
ports of loopback, walks through a login, both kinds of exchange and three refusals, and then runs on: open the sample app in a
browser; each exchange has a curl line. Nothing is kept.`,
		Example: `  fedbroker demo
  fedbroker demo --once      walk through and end`,
		Args: cobra.NoArgs,
		RunE: a.does(func(ctx context.Context, _ []string) error {
			return demo.Run(ctx, demo.Options{Out: a.out, Once: once, Color: wantsColor(a.out)})
		}),
	}
	cmd.Flags().BoolVar(&once, "once", false, "end after the walk")
	return cmd
}

// wantsColor: on a terminal, unless NO_COLOR is set (https://no-color.org).
func wantsColor(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
