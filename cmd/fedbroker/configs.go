package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"fedbroker/broker"
	"fedbroker/broker/confighistory"
	"fedbroker/broker/web/admin"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/history"
	"fedbroker/cmd/fedbroker/reload"
)

func (a *app) configuration() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "What the configuration file may hold, and what was applied",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	h := history.Host{Does: a.does, Configs: a.withConfigs, Report: a.report, File: func() string { return a.config }, In: a.in, Err: a.err}
	cmd.AddCommand(h.Schema(a.out))
	for _, sub := range h.Commands() {
		cmd.AddCommand(a.reports(sub))
	}
	return cmd
}

// withConfigs reaches the configurations that were applied; see withState. Where the one that is there can't be used, which is when they are needed, only a
// server has them: at socket, or where the files say as far as they can be read.
func (a *app) withConfigs(ctx context.Context, socket string, work func(admin.Configs) error) error {
	c, wrong := a.load(config.Options{})
	if c != nil && socket == "" {
		socket = c.Admin.Socket
	}
	if wrong != nil {
		client, err := admin.Dial(socket)
		if err != nil {
			return wrong
		}
		defer client.Close()
		fmt.Fprintf(a.err, "the configuration can't be used as it is; asking the server at %s\n", socket)
		return work(client)
	}
	c.Admin.Socket = socket
	return a.withState(c, func(client *admin.Client) error { return work(client) }, func(held *state) error {
		operator, err := broker.NewOperator(ctx, held.options(c))
		if err != nil {
			return explained(err)
		}
		kept, err := confighistory.Open(held.engine, held.sealing, time.Now)
		if err != nil {
			return err
		}
		return work(history.Held{Store: kept, Note: operator.NoteConfig})
	})
}

// reloading keeps the broker at what its files say, and what was applied in the store.
func (a *app) reloading(c *config.Loaded, held *state, b *broker.Broker, log *slog.Logger) (*reload.Reloader, history.Held, error) {
	kept, err := confighistory.Open(held.engine, held.sealing, time.Now)
	if err != nil {
		return nil, history.Held{}, err
	}
	anew := reload.New(reload.Options{
		Loaded: c, Load: func() (*config.Loaded, error) { return a.load(config.Options{}) }, Broker: b, Log: log, Applied: history.Keeper(kept, version, log),
	})
	return anew, history.Held{Store: kept, Note: b.Operator().NoteConfig, Reload: anew.Now, Current: anew.Current}, nil
}
