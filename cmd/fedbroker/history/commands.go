package history

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"fedbroker/broker/confighistory"
	"fedbroker/broker/web/admin"
	"fedbroker/cmd/fedbroker/config"
)

// Host is the program that the commands are part of. All its fields are required.
type Host struct {
	// Does wraps what a command does.
	Does func(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error
	// Configs reaches what is kept: the server's, at socket unless it is "", or the store's when none runs.
	Configs func(ctx context.Context, socket string, work func(admin.Configs) error) error
	// Report writes a value as JSON, or whatever text writes.
	Report func(value any, text func(io.Writer)) error
	// File is the name of the main file.
	File func() string

	In  io.Reader
	Err io.Writer
}

const shownDigits = 12 // of a hash

// Commands are the subcommands of "config" that report.
func (h Host) Commands() []*cobra.Command {
	return []*cobra.Command{h.log(), h.diff(), h.rollback()}
}

// Schema prints the JSON Schema of the configuration file, or that of fragments.
func (h Host) Schema(out io.Writer) *cobra.Command {
	fragment := false
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Long:  "Prints the JSON Schema of the configuration file, for an editor that completes and checks YAML by it; with --fragment, that of the files in " + config.Folder + ".",
		Example: `  fedbroker config schema > fedbroker.schema.json
  fedbroker config schema --fragment > fedbroker.fragment.schema.json`,
		Args: cobra.NoArgs,
		RunE: h.Does(func(context.Context, []string) error {
			print := config.Schema
			if fragment {
				print = config.FragmentSchema
			}
			text, err := print()
			if err != nil {
				return err
			}
			_, err = out.Write(text)
			return err
		}),
	}
	cmd.Flags().BoolVar(&fragment, "fragment", false, "that of a fragment")
	return cmd
}

// reaching adds the flag that says where the server is, for when the files can't.
func reaching(cmd *cobra.Command, socket *string) *cobra.Command {
	cmd.Flags().StringVar(socket, "socket", "", "the admin `SOCKET` of the server, where the configuration can't be read for it")
	return cmd
}

func (h Host) log() *cobra.Command {
	var socket string
	return reaching(&cobra.Command{
		Use:   "log",
		Short: "List the configurations that were applied last",
		Long: `Lists the last 20 configurations that were applied, the one applied last first: the beginning of its hash, when, by what, by which version, and
what it changed. The hash is that of the file and its fragments as they are written; what they only name is no part of it.`,
		Example: `  fedbroker config log`,
		Args:    cobra.NoArgs,
		RunE: h.Does(func(ctx context.Context, _ []string) error {
			return h.Configs(ctx, socket, func(s admin.Configs) error {
				all, err := s.ConfigLog(ctx)
				if err != nil {
					return err
				}
				return h.Report(all, func(w io.Writer) { printLog(w, all) })
			})
		}),
	}, &socket)
}

func printLog(w io.Writer, all []confighistory.Entry) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "HASH\tAPPLIED\tBY\tVERSION\tCHANGED")
	for i, e := range all {
		changed := e.Changes
		if e.Chunks == 0 {
			changed += "; not kept"
		}
		if i == 0 {
			changed += " (applied last)"
		}
		fmt.Fprintf(table, "%.*s\t%s\t%s\t%s\t%s\n", shownDigits, e.Hash, e.Last.UTC().Format(time.RFC3339), e.Cause, e.Version, changed)
	}
	table.Flush()
}

// comparison is what diff reports.
type comparison struct {
	From string `json:"from"`
	To   string `json:"to"`
	Diff string `json:"diff"`
}

func (h Host) diff() *cobra.Command {
	var socket string
	return reaching(&cobra.Command{
		Use:   "diff HASH [HASH]",
		Short: "Compare two configurations that were applied",
		Long: `Prints what the second configuration has otherwise than the first, as a unified diff of the files as they were written. Without a second one it is
the one that was applied last. Secrets that stand in the files are numbered instead of shown: equal ones have equal numbers. What it reads is journalled.`,
		Example: `  fedbroker config diff 5f2c91d0
  fedbroker config diff 5f2c91d0 a41be077`,
		Args: cobra.RangeArgs(1, 2),
		RunE: h.Does(func(ctx context.Context, args []string) error {
			return h.Configs(ctx, socket, func(s admin.Configs) error {
				if len(args) == 1 {
					all, err := s.ConfigLog(ctx)
					if err != nil {
						return err
					}
					if len(all) == 0 {
						return errors.New("no configuration was applied yet")
					}
					args = append(args, all[0].Hash)
				}
				return h.compare(ctx, s, args[0], args[1])
			})
		}),
	}, &socket)
}

func (h Host) compare(ctx context.Context, s admin.Configs, from, to string) error {
	a, err := s.Config(ctx, from)
	if err != nil {
		return err
	}
	b, err := s.Config(ctx, to)
	if err != nil {
		return err
	}
	c := comparison{a.Entry.Hash, b.Entry.Hash, differences(filepath.Base(h.File()), a.Texts, b.Texts)}
	return h.Report(c, func(w io.Writer) {
		if c.Diff == "" {
			fmt.Fprintln(w, "no difference")
		}
		fmt.Fprint(w, c.Diff)
	})
}

// rolledBack is what a rollback reports.
type rolledBack struct {
	Hash    string   `json:"hash"`
	Written []string `json:"written"`
	Aside   []string `json:"aside"`
}

func (h Host) rollback() *cobra.Command {
	var socket string
	var yes bool
	cmd := reaching(&cobra.Command{
		Use:   "rollback HASH",
		Short: "Put a configuration that was applied back in its place",
		Long: `Writes the file and the fragments of a configuration back as they were, after it was judged whole, with the secrets and certificates that are there
now: what would not load is not written. It shows what changes and asks. Each file that it replaces is kept as FILE` + Backup + `; a fragment
that did not exist then is moved there. The server applies it at once; where none runs, the next start does. It is journalled.`,
		Example: `  fedbroker config rollback 5f2c91d0
  fedbroker config rollback 5f2c91d0 --yes`,
		Args: cobra.ExactArgs(1),
		RunE: h.Does(func(ctx context.Context, args []string) error {
			return h.Configs(ctx, socket, func(s admin.Configs) error { return h.putBack(ctx, s, args[0], yes) })
		}),
	}, &socket)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func (h Host) putBack(ctx context.Context, s admin.Configs, hash string, yes bool) error {
	kept, err := s.Config(ctx, hash)
	if err != nil {
		return err
	}
	file := h.File()
	if _, err := config.Judge(file, kept.Texts, config.Options{}); err != nil {
		fmt.Fprintf(h.Err, "configuration %.*s can't be used as things are now; nothing was written\n", shownDigits, kept.Entry.Hash)
		return err
	}
	now, unread, err := config.Written(file)
	if err != nil {
		return err
	}
	p, err := newPlan(file, now, unread, kept.Texts)
	if err != nil {
		return err
	}
	done := rolledBack{Hash: kept.Entry.Hash, Written: []string{}, Aside: append([]string{}, p.aside...)}
	for _, w := range p.writes {
		done.Written = append(done.Written, w.path)
	}
	if !p.empty() {
		fmt.Fprint(h.Err, differences(filepath.Base(file), now, kept.Texts))
		if err := h.confirm(p, yes); err != nil {
			return err
		}
		if err := p.carryOut(); err != nil {
			return err
		}
	}
	if err := s.RolledBack(ctx, kept.Entry.Hash); err != nil {
		return fmt.Errorf("the files are those of %.*s, but: %w", shownDigits, kept.Entry.Hash, err)
	}
	return h.Report(done, func(w io.Writer) {
		fmt.Fprintf(w, "rolled back to %.*s: %d written, %d moved aside\n", shownDigits, done.Hash, len(done.Written), len(done.Aside))
	})
}

// errNotConfirmed: the operator did not say yes.
var errNotConfirmed = errors.New("not confirmed; nothing was written")

func (h Host) confirm(p plan, yes bool) error {
	if yes {
		return nil
	}
	for _, name := range p.aside {
		fmt.Fprintf(h.Err, "moves aside %s\n", name)
	}
	fmt.Fprintf(h.Err, "Write %d and move %d aside? [y/N] ", len(p.writes), len(p.aside))
	answer, err := bufio.NewReader(h.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("rollback: %w", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errNotConfirmed
	}
	return nil
}
