package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"fedbroker/broker"
	"fedbroker/broker/web/admin"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/upkeep"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/store/journal"
)

// withOperator carries out work on the broker's state; see withState.
func (a *app) withOperator(ctx context.Context, work func(admin.Operator) error) (err error) {
	c, err := a.load(config.Options{})
	if err != nil {
		return err
	}
	return a.withState(c, func(client *admin.Client) error { return work(client) }, func(held *state) error {
		operator, err := broker.NewOperator(ctx, held.options(c))
		if err != nil {
			return explained(err)
		}
		return work(operator)
	})
}

// withState reaches the broker's state: through the admin socket of the server that runs, or in the file when none does. It says on standard
// error which it was.
func (a *app) withState(c *config.Loaded, asking func(*admin.Client) error, holding func(*state) error) (err error) {
	client, err := admin.Dial(c.Admin.Socket)
	if err == nil {
		defer client.Close()
		fmt.Fprintf(a.err, "asking the server at %s\n", c.Admin.Socket)
		return asking(client)
	}
	if !errors.Is(err, admin.ErrNoServer) {
		return fmt.Errorf("admin socket %s: %w", c.Admin.Socket, err)
	}
	held, err := open(c)
	if errors.Is(err, errHeld) {
		return fmt.Errorf("%w; if that is a server, its admin socket is not %s", err, c.Admin.Socket)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.close()) }()
	fmt.Fprintf(a.err, "no server answers at %s; opened %s\n", c.Admin.Socket, c.Store.Path)
	return holding(held)
}

// state is what the broker keeps on disk, and the keys to it. One process holds it.
type state struct {
	engine  store.Engine
	lines   *journal.Journal
	sealing store.Sealing
}

// errHeld: the store has one process at a time, and another is there.
var errHeld = errors.New("another process holds it")

// open opens the store and the journal that the configuration names.
func open(c *config.Loaded) (*state, error) {
	sealing, err := c.Sealer()
	if err != nil {
		return nil, err
	}
	engine, err := engines.Open(c.Store.Engine, engines.Options{Path: c.Store.Path})
	if errors.Is(err, engines.ErrLocked) {
		return nil, fmt.Errorf("store %s: %w", c.Store.Path, errHeld)
	}
	if err != nil {
		return nil, fmt.Errorf("store %s: %w", c.Store.Path, err)
	}
	lines, err := journal.Open(journal.Options{Dir: c.Audit.Dir, Durability: c.Audit.Durability})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s: %w", c.Audit.Dir, err), engine.Close())
	}
	return &state{engine, lines, sealing}, nil
}

func (s *state) close() error { return errors.Join(s.lines.Close(), s.engine.Close()) }

// options are the broker's on this state.
func (s *state) options(c *config.Loaded) broker.Options {
	return broker.Options{Config: c.Config, Engine: s.engine, Journal: s.lines, Sealing: s.sealing, TraceTTL: *c.Audit.TraceTTL}
}

// explained gives errors of start-up that the configuration is to blame for their exit code, and what to do about them.
func explained(err error) error {
	if missing, ok := errors.AsType[*store.MissingSealKeyError](err); ok {
		if missing.Known {
			return misuse("seal key %s does not open what was sealed with the key of that id: put the right key in its place", missing.ID)
		}
		return misuse("the store holds values sealed with key %s, which seal: does not have: add it to seal.keys, after the key that seals now", missing.ID)
	}
	if _, ok := errors.AsType[*broker.PinError](err); ok {
		return &failure{exitUsage, err}
	}
	if _, ok := errors.AsType[*broker.ConfigError](err); ok {
		return &failure{exitUsage, err}
	}
	return err
}

func (a *app) upstreams() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "upstreams",
		Short: "How upstreams and their keys do, and what to do about them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, sub := range a.upkeep().Upstreams() {
		cmd.AddCommand(a.reports(sub))
	}
	return cmd
}

// upkeep are the commands that look after upstreams.
func (a *app) upkeep() upkeep.Host {
	return upkeep.Host{Does: a.does, Operator: a.withOperator, Report: a.report}
}
