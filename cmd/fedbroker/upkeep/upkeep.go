// Package upkeep has the commands by which an operator looks after upstreams: how each does, its keys and what became of them, pins for an outage, and
// what an outage would mean.
package upkeep

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"fedbroker/broker/operator"
	"fedbroker/broker/web/admin"
)

// Host is the program that the commands are part of. All its fields are required.
type Host struct {
	// Does wraps what a command does.
	Does func(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error
	// Operator reaches the broker's state: the server's, or the store's when none runs.
	Operator func(ctx context.Context, work func(admin.Operator) error) error
	// Report writes a value as JSON, or whatever text writes.
	Report func(value any, text func(io.Writer)) error
}

// Upstreams are the subcommands of "upstreams".
func (h Host) Upstreams() []*cobra.Command {
	return []*cobra.Command{h.list(), h.show(), h.keys(), h.refresh(), h.pin(), h.rebind(), h.drift()}
}

func (h Host) list() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List the upstreams: how their keys do, until when they serve, what is alarming",
		Example: `  fedbroker upstreams list`,
		Args:    cobra.NoArgs,
		RunE: h.Does(func(ctx context.Context, _ []string) error {
			return h.Operator(ctx, func(o admin.Operator) error {
				all, err := o.Upstreams(ctx)
				if err != nil {
					return err
				}
				return h.Report(all, func(w io.Writer) { printList(w, all) })
			})
		}),
	}
}

func (h Host) show() *cobra.Command {
	return &cobra.Command{
		Use:     "show NAME",
		Short:   "Show how one upstream does, with its keys",
		Example: `  fedbroker upstreams show acme`,
		Args:    cobra.ExactArgs(1),
		RunE: h.Does(func(ctx context.Context, args []string) error {
			return h.Operator(ctx, func(o admin.Operator) error { return h.shown(o.Upstream(ctx, args[0])) })
		}),
	}
}

func (h Host) refresh() *cobra.Command {
	return &cobra.Command{
		Use:   "refresh NAME",
		Short: "Fetch an upstream's keys now",
		Long: `Fetches an upstream's discovery document and keys now: a key that it no longer serves stops verifying at once. The exit code is 1 when
they could not be had; the keys that were good last then serve on, as in any outage.`,
		Example: `  fedbroker upstreams refresh acme`,
		Args:    cobra.ExactArgs(1),
		RunE: h.Does(func(ctx context.Context, args []string) error {
			return h.Operator(ctx, func(o admin.Operator) error {
				u, err := o.RefreshUpstream(ctx, args[0])
				if err := h.shown(u, err); err != nil {
					return err
				}
				if u.LastError != "" {
					return fmt.Errorf("the keys of %s could not be fetched: %s", u.Name, u.LastError)
				}
				return nil
			})
		}),
	}
}

func (h Host) shown(u operator.Upstream, err error) error {
	if err != nil {
		return err
	}
	return h.Report(u, func(w io.Writer) { printUpstream(w, u) })
}

func (h Host) keys() *cobra.Command {
	past := false
	cmd := &cobra.Command{
		Use:   "keys NAME",
		Short: "List an upstream's keys, or what became of them",
		Long: `Lists the public keys that an upstream last confirmed. With --history, every key that was added, removed, or came with other key
material under a known kid: the last 1,000 changes, each with the hash of the one before. The exit code is 1 if that chain is
broken. The journal holds a copy of its head for each change (kind upstream_keys).`,
		Example: `  fedbroker upstreams keys acme
  fedbroker upstreams keys acme --history`,
		Args: cobra.ExactArgs(1),
		RunE: h.Does(func(ctx context.Context, args []string) error {
			return h.Operator(ctx, func(o admin.Operator) error {
				if past {
					return h.history(o.KeyHistory(ctx, args[0]))
				}
				u, err := o.Upstream(ctx, args[0])
				if err != nil {
					return err
				}
				return h.Report(u.Keys, func(w io.Writer) { printKeys(w, u.Keys) })
			})
		}),
	}
	cmd.Flags().BoolVar(&past, "history", false, "what became of its keys, oldest first")
	return cmd
}

func (h Host) history(past operator.KeyHistory, err error) error {
	if err != nil {
		return err
	}
	if err := h.Report(past, func(w io.Writer) { printHistory(w, past) }); err != nil {
		return err
	}
	if past.Broken != "" {
		return fmt.Errorf("upstream %s: %s", past.Upstream, past.Broken)
	}
	return nil
}

func (h Host) pin() *cobra.Command {
	var d time.Duration
	cmd := &cobra.Command{
		Use:   "pin NAME KID --for DURATION",
		Short: "Let a known key of an upstream serve beyond max_stale, for an outage",
		Long: `Lets a key that the upstream confirmed last verify tokens although max_stale passes, for at most 72h from now and never more than
72h beyond max_stale, however often it is pinned. Everything else about a token is judged as ever. The pin is journalled, an
alarm is raised while it lasts, and it ends at once when the upstream answers again without that key. --for 0s lifts it.`,
		Example: `  fedbroker upstreams pin acme 2026-07 --for 12h
  fedbroker upstreams pin acme 2026-07 --for 0s`,
		Args: cobra.ExactArgs(2),
		RunE: h.Does(func(ctx context.Context, args []string) error {
			return h.Operator(ctx, func(o admin.Operator) error {
				p, err := o.PinKey(ctx, operator.Pin{Upstream: args[0], KeyID: args[1], Seconds: int64(d / time.Second)})
				if err != nil {
					return err
				}
				return h.Report(p, func(w io.Writer) {
					if p.Until.IsZero() {
						fmt.Fprintf(w, "key %s of %s is not pinned any more\n", p.KeyID, p.Upstream)
						return
					}
					fmt.Fprintf(w, "key %s of %s serves until %s, also beyond max_stale\n", p.KeyID, p.Upstream, moment(p.Until))
				})
			})
		}),
	}
	cmd.Flags().DurationVar(&d, "for", 0, "for how long, as in `12h`; at most 72h")
	_ = cmd.MarkFlagRequired("for") // fails only for a flag that is not there
	return cmd
}

func (h Host) rebind() *cobra.Command {
	return &cobra.Command{
		Use:   "rebind NAME",
		Short: "Let an upstream's name stand for the issuer that the configuration gives it now",
		Long: `An upstream's name is bound to its issuer when the broker first starts with it, since its subjects carry the name:
another issuer under the same name would inherit them. rebind says that this is meant.`,
		Example: `  fedbroker upstreams rebind acme`,
		Args:    cobra.ExactArgs(1),
		RunE: h.Does(func(ctx context.Context, args []string) error {
			return h.Operator(ctx, func(o admin.Operator) error {
				binding, err := o.RebindUpstream(ctx, args[0])
				if err != nil {
					return fmt.Errorf("rebind %s: %w", args[0], err)
				}
				return h.Report(binding, func(w io.Writer) {
					if binding.Was == "" {
						fmt.Fprintf(w, "%s is bound to %s\n", binding.Name, binding.Issuer)
						return
					}
					fmt.Fprintf(w, "%s is bound to %s (was %s)\n", binding.Name, binding.Issuer, binding.Was)
				})
			})
		}),
	}
}

// Drill is the command "drill".
func (h Host) Drill(reports func(*cobra.Command) *cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Say what a failure would mean, from the state of now",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	name := ""
	outage := &cobra.Command{
		Use:     "outage --upstream NAME",
		Short:   "Say how long tokens of an upstream verify on if it can't be reached from now on",
		Example: `  fedbroker drill outage --upstream acme`,
		Args:    cobra.NoArgs,
		RunE: h.Does(func(ctx context.Context, _ []string) error {
			return h.Operator(ctx, func(o admin.Operator) error {
				out, err := o.DrillOutage(ctx, name)
				if err != nil {
					return err
				}
				return h.Report(out, func(w io.Writer) { printOutage(w, out) })
			})
		}),
	}
	outage.Flags().StringVar(&name, "upstream", "", "the `NAME` of the upstream")
	_ = outage.MarkFlagRequired("upstream") // fails only for a flag that is not there
	cmd.AddCommand(reports(outage))
	return cmd
}
