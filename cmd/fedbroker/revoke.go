package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fedbroker/broker/keyring"
	"fedbroker/broker/lineage"
	"fedbroker/broker/operator"
	"fedbroker/broker/web/admin"
)

// revocable is what can be revoked by hand, with what the id is, what dies by it, what becomes of it beside the tokens, and whether the same name
// will be used again, so that a time can be given.
var revocable = []struct {
	kind, argument, short, also string
	timed                       bool
}{
	{"token", "JTI", "Revoke one token and every token that was made from it", "", false},
	{"session", "SID", "End one sign-on of a person, with the tokens that live by it", "the session has ended; refresh tokens by offline_access live on", false},
	{"family", "ID", "End a refresh family, with every token that came of the same login", "nothing is refreshed by it again", false},
	{"client", "ID", "Revoke every token issued to a client until now", "what it was granted until then is not refreshed", true},
	{"subject", "SUB", "Revoke everything a person was given until now: tokens, refresh families and sessions", "refresh families and sessions begun until then are over", true},
	{"upstream", "NAME", "Revoke everything that people and workloads of an upstream were given until now", "refresh families and sessions begun until then are over", true},
	{"rule", "ID", "Revoke every token that a rule of the exchange policy issued until now", "the rule itself still decides: take it out of the configuration to end that", true},
	{"kid", "KID", "Revoke every token of a key that signs no more (for one that does: keys rotate --compromised)", "", false},
}

type revoked struct {
	Kind    string    `json:"kind"`
	ID      string    `json:"id"`
	Before  time.Time `json:"before,omitzero"`
	Tokens  *int      `json:"live_tokens,omitempty"` // absent: not known
	AtLeast bool      `json:"at_least,omitempty"`
	Revoked bool      `json:"revoked"`
}

// revocation is one run of the command.
type revocation struct {
	*app
	kind, id, also string
	before         string
	yes, dry       bool
}

func (a *app) revoke() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke",
		Short: "Revoke tokens: one, or a session's, a login's, a client's, a person's, an upstream's, a rule's, a key's",
		Long: `Makes tokens inactive, with everything that was made from them. Says beforehand how many live tokens that is, and on a
terminal asks; --dry-run only says it.`,
		Example: `  fedbroker revoke token 6742f0a1Zk3…      the jti, as the journal and introspection name it
  fedbroker revoke client gateway --dry-run
  fedbroker revoke subject 'acme|ada'
  fedbroker revoke rule partner-orders --before 2026-07-01T00:00:00Z --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, kind := range revocable {
		r := &revocation{app: a, kind: kind.kind, also: kind.also}
		sub := &cobra.Command{
			Use:     kind.kind + " " + kind.argument,
			Short:   kind.short,
			Example: "  fedbroker revoke " + kind.kind + " " + kind.argument,
			Args:    cobra.ExactArgs(1),
			RunE: a.does(func(ctx context.Context, args []string) error {
				r.id = args[0]
				return r.run(ctx)
			}),
		}
		sub.Flags().BoolVarP(&r.yes, "yes", "y", false, "do not ask")
		sub.Flags().BoolVar(&r.dry, "dry-run", false, "only say how many live tokens it touches")
		if kind.timed {
			sub.Flags().StringVar(&r.before, "before", "", "only what was issued at or before this `TIME`, as in 2026-07-01T00:00:00Z")
		}
		cmd.AddCommand(a.reports(sub))
	}
	return cmd
}

func (r *revocation) run(ctx context.Context) error {
	what := operator.Revocation{Kind: r.kind, ID: r.id}
	if r.before != "" {
		var err error
		if what.Before, err = time.Parse(time.RFC3339, r.before); err != nil {
			return misuse("--before: want a time as in 2026-07-01T00:00:00Z, got %q", r.before)
		}
	}
	return r.withOperator(ctx, func(o admin.Operator) error {
		if err := r.refuse(ctx, o); err != nil {
			return err
		}
		touched, err := o.Touched(ctx, what)
		if mistake, ok := errors.AsType[*operator.ActError](err); ok {
			return mistake
		}
		out := revoked{Kind: r.kind, ID: r.id, Before: what.Before, Tokens: &touched.Tokens, AtLeast: touched.AtLeast}
		if err != nil { // no reason to leave them alive
			fmt.Fprintf(r.err, "how many live tokens that touches cannot be said: %v\n", err)
			out.Tokens = nil
		}
		if r.dry {
			return r.report(out, func(w io.Writer) {
				fmt.Fprintf(w, "%s %s: %s; nothing was revoked\n", r.kind, r.id, living(touched, err))
			})
		}
		if !r.confirmed(living(touched, err)) {
			return fmt.Errorf("revoke %s %s: not confirmed, nothing was revoked", r.kind, r.id)
		}
		if err := o.Revoke(ctx, what); err != nil {
			return fmt.Errorf("revoke %s %s: %w", r.kind, r.id, err)
		}
		out.Revoked = true
		return r.report(out, func(w io.Writer) {
			fmt.Fprintf(w, "revoked %s %s: %s inactive now\n", r.kind, r.id, living(touched, err))
			if r.also != "" {
				fmt.Fprintln(w, r.also)
			}
		})
	})
}

// refuse keeps an operator from revoking a key that still signs: each token it signs from then on would be dead at birth.
func (r *revocation) refuse(ctx context.Context, o admin.Operator) error {
	if r.kind != "kid" {
		return nil
	}
	keys, err := o.Keys(ctx)
	if err != nil {
		return err
	}
	for _, k := range keys {
		switch {
		case k.KeyID != r.id:
		case k.State == string(keyring.StateSigning) || k.State == string(keyring.StatePending):
			return fmt.Errorf("key %s is %s, and what it signs from now on would be dead, too: fedbroker keys rotate --compromised %s withdraws it, and another signs at once", r.id, k.State, r.id)
		default:
			return nil
		}
	}
	return fmt.Errorf("there is no signing key %q", r.id)
}

// confirmed asks where somebody is there to answer.
func (r *revocation) confirmed(living string) bool {
	return r.yes || !onTerminal(r.in) || r.ask(living)
}

func (r *revocation) ask(living string) bool {
	fmt.Fprintf(r.err, "This makes %s inactive, with all that is made from them. Revoke %s %s? [y/N] ", living, r.kind, r.id)
	answer, _ := bufio.NewReader(r.in).ReadString('\n') // the end of the input is a no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}

// onTerminal tells whether somebody sits at the other end. The null device is a character device, too.
func onTerminal(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

func living(t lineage.Touched, err error) string {
	switch {
	case err != nil:
		return "an unknown number of live tokens"
	case t.AtLeast:
		return "at least " + count(t.Tokens, "live token")
	}
	return count(t.Tokens, "live token")
}
