package upkeep

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"fedbroker/broker/operator"
	"fedbroker/broker/web/admin"
	"fedbroker/cmd/fedbroker/explainer"
	"fedbroker/upstreams/shape"
)

func (h Host) drift() *cobra.Command {
	accept := false
	cmd := &cobra.Command{
		Use:   "drift NAME",
		Short: "Show what has changed in the names and types of an upstream's claims, and what reads it",
		Long: `The first 50 tokens of each sort that verify make a baseline: how their claims are called and of which JSON types they are, never a value.
Shows what differs from it since: claims that appeared, vanished (a claim that nearly every token had and 50 in a row have not), or come
as another type; and which mappers, rules, scopes and clients read them, directly or by what a mapper makes of them. With --accept, the
claims as they come now are the baseline from here on; that is journalled (kind upstream_accept).`,
		Example: `  fedbroker upstreams drift acme
  fedbroker upstreams drift acme --output json
  fedbroker upstreams drift acme --accept`,
		Args: cobra.ExactArgs(1),
		RunE: h.Does(func(ctx context.Context, args []string) error {
			return h.Operator(ctx, func(o admin.Operator) error {
				if accept {
					return h.accepted(o.AcceptShape(ctx, args[0]))
				}
				d, err := o.Drift(ctx, args[0])
				if err != nil {
					return err
				}
				return h.Report(d, func(w io.Writer) { printDrift(w, d) })
			})
		}),
	}
	cmd.Flags().BoolVar(&accept, "accept", false, "make the claims as they come now the baseline")
	return cmd
}

func (h Host) accepted(a operator.Accepted, err error) error {
	if err != nil {
		return err
	}
	return h.Report(a, func(w io.Writer) {
		if a.Changes == 0 {
			fmt.Fprintf(w, "nothing of %s differs from its baseline\n", a.Upstream)
			return
		}
		fmt.Fprintf(w, "the claims of %s as they come now are its baseline; changes accepted: %d\n", a.Upstream, a.Changes)
	})
}

func printDrift(w io.Writer, d operator.Drift) {
	if len(d.Sources) == 0 {
		fmt.Fprintf(w, "nothing is known of the claims of %s: no token of it has been looked at\n", d.Upstream)
	}
	for i, s := range d.Sources {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s: %d tokens looked at, the last %s", s.Source, s.Tokens, moment(s.Last))
		switch {
		case s.Lacking > 0:
			fmt.Fprintf(w, "; %d more make a baseline\n", s.Lacking)
		case len(s.Changes) == 0:
			fmt.Fprintf(w, "; no drift since the baseline of %s\n", moment(s.Baseline))
		default:
			fmt.Fprintf(w, "; since the baseline of %s:\n", moment(s.Baseline))
			printChanges(w, s.Changes)
		}
		fmt.Fprintln(w)
		table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "CLAIM\tTYPES\tTOKENS\tLAST SEEN")
		for _, c := range s.Claims {
			fmt.Fprintf(table, "%s\t%s\t%d %%\t%s\n", plain(c.Claim), c.Types, c.Percent, moment(c.Last))
		}
		table.Flush()
	}
}

// printChanges writes a row for each change and each of its readers. What breaks readers is marked.
func printChanges(w io.Writer, changes []operator.ClaimDrift) {
	var text strings.Builder
	var marks []string // by line
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	row := func(mark, line string) {
		marks = append(marks, mark)
		fmt.Fprintln(table, line)
	}
	row("", "CLAIM\tCHANGE\tSINCE\tLAST SEEN\tREAD BY")
	for _, c := range changes {
		mark := yellow
		if c.Change == shape.Appeared || len(c.ReadBy) == 0 {
			mark = ""
		}
		readers := c.ReadBy
		if len(readers) == 0 {
			readers = []string{"nothing"}
		}
		row(mark, fmt.Sprintf("%s\t%s\t%s\t%s\t%s", plain(c.Claim), became(c), moment(c.Since), moment(c.Last), readers[0]))
		for _, more := range readers[1:] {
			row(mark, "\t\t\t\t"+more)
		}
	}
	table.Flush()
	colored := explainer.Colored(w)
	for i, line := range strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n") {
		if colored && marks[i] != "" {
			line = marks[i] + line + reset
		}
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

const (
	yellow = "\x1b[33m"
	reset  = "\x1b[0m"
)

func became(c operator.ClaimDrift) string {
	switch c.Change {
	case shape.Appeared:
		return "appeared: " + c.Is
	case shape.Vanished:
		return "vanished: " + c.Was
	}
	return c.Was + " → " + c.Is
}
