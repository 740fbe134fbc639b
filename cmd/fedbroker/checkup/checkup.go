// Package checkup has the command "doctor", which examines identity providers from outside: any issuer, or configured upstreams as they are configured.
package checkup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/explainer"
	"fedbroker/upstreams"
	"fedbroker/upstreams/doctor"
	"fedbroker/upstreams/doctor/findings"
)

// atOnce is how many providers are examined at a time.
const atOnce = 32

// Host is the program that the command is part of. All its fields are required.
type Host struct {
	// Does wraps what a command does.
	Does func(work func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error
	// Load reads the configuration, where secrets may lack.
	Load func(config.Options) (*config.Loaded, error)
	// Report writes a value as JSON, or whatever text writes.
	Report func(value any, text func(io.Writer)) error
	Misuse func(format string, args ...any) error // an error of usage
}

// question is what is asked of one run.
type question struct {
	all, snippet bool
	allowPrivate []string
	caFile       string
	timeout      time.Duration
}

// Doctor is the command "doctor".
func (h Host) Doctor() *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:   "doctor ISSUER_URL | NAME | --all",
		Short: "Examine an identity provider: discovery, TLS, keys, algorithms, clock, what logins need",
		Long: `Asks an identity provider for what it publishes and judges that: discovery and issuer equality, endpoints and the TLS before them, the clock,
every key, algorithms, PKCE, client authentication, scopes, logout. Each finding says what was seen, what is wanted and where that is written, and
what mends it. ISSUER_URL is any issuer; NAME an upstream of --config, examined as it is configured (its CA file, private hosts,
bearer token, algorithms, scopes) and compared with it; --all every upstream of --config.

Nobody is logged in, nothing is registered, no secret is sent, and no authorization request is made: whether the redirect URI is
registered only a login tells.

The grade is A without a warning, B with one or two, C with three to five, D with more, and F when anything failed. The exit code is 1 if anything
failed, else 0.`,
		Example: `  fedbroker doctor https://idp.acme.example
  fedbroker doctor https://idp.corp.internal --allow-private idp.corp.internal --ca-file corp.pem --snippet
  fedbroker doctor acme --config fedbroker.yaml
  fedbroker doctor --all --output json`,
		Args: cobra.MaximumNArgs(1),
	}
	cmd.Flags().BoolVar(&q.all, "all", false, "every upstream of the configuration")
	cmd.Flags().BoolVar(&q.snippet, "snippet", false, "print what an unknown issuer would need in the configuration")
	cmd.Flags().StringArrayVar(&q.allowPrivate, "allow-private", nil, "a `HOST` that may be at a private address; may be repeated")
	cmd.Flags().StringVar(&q.caFile, "ca-file", "", "a PEM `FILE` of authorities that takes the place of the system's")
	cmd.Flags().DurationVar(&q.timeout, "timeout", 0, "of each request, as in `5s` (default 10s)")
	cmd.RunE = h.Does(func(ctx context.Context, args []string) error {
		patients, err := h.patients(q, args, cmd.Flags().Changed("config"))
		if err != nil {
			return err
		}
		return h.tell(examine(ctx, patients), q)
	})
	return cmd
}

// patients says who is to be examined, and how.
func (h Host) patients(q question, args []string, withConfig bool) ([]doctor.Options, error) {
	switch {
	case q.timeout < 0:
		return nil, h.Misuse("--timeout: want more than 0s, got %v", q.timeout)
	case q.all == (len(args) == 1):
		return nil, h.Misuse("want an issuer's URL, the name of an upstream, or --all")
	}
	from := doctor.Options{AllowPrivate: q.allowPrivate, CAFile: q.caFile, Timeout: q.timeout}
	if !q.all && strings.Contains(args[0], ":") { // no name has one
		from.Issuer = args[0]
		if withConfig {
			c, err := h.Load(config.Options{MayLack: true})
			if err != nil {
				return nil, err
			}
			from.OurIssuer = c.Issuer
		}
		return []doctor.Options{from}, nil
	}
	c, err := h.Load(config.Options{MayLack: true})
	if err != nil {
		return nil, err
	}
	from.OurIssuer = c.Issuer
	names := args
	if q.all {
		names = nil
		for _, u := range c.Upstreams {
			names = append(names, u.Name)
		}
	}
	return h.configured(c, from, names)
}

// configured is the upstreams of those names, each as it comes out of preset and defaults; one for many issuers is examined at each that is named.
func (h Host) configured(c *config.Loaded, from doctor.Options, names []string) ([]doctor.Options, error) {
	var specs []upstreams.Spec
	for _, u := range c.Upstreams {
		specs = append(specs, u.Spec)
	}
	// Compiled without keys it holds nothing to close; the configuration was judged when it was loaded.
	set := upstreams.NewSet(upstreams.Options{Specs: specs, OurIssuer: c.Issuer, DefaultLeeway: c.Leeway}, func(string, string, ...any) {})
	var all []doctor.Options
	for _, name := range names {
		spec, known := set.Effective(name)
		if !known {
			return nil, h.Misuse("there is no upstream %s: want one of %s, an issuer's URL, or --all", name, strings.Join(set.Names(), ", "))
		}
		o := from
		o.Upstream = &spec
		if spec.IssuerPattern == "" {
			all = append(all, o)
			continue
		}
		if len(spec.Issuers) == 0 && len(names) == 1 {
			return nil, h.Misuse("upstream %s is a pattern, %s, and names no issuer: examine one of its issuers by its URL", name, spec.IssuerPattern)
		}
		for _, issuer := range spec.Issuers {
			o.Issuer = issuer
			all = append(all, o)
		}
	}
	return all, nil
}

// examine examines some at a time, and gives the reports in their order.
func examine(ctx context.Context, patients []doctor.Options) []findings.Report {
	reports := make([]findings.Report, len(patients))
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, o := range patients {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			reports[i] = doctor.Examine(ctx, o)
		})
	}
	all.Wait()
	return reports
}

// tell prints the reports: one alone as an object, those of --all as a list.
func (h Host) tell(reports []findings.Report, q question) error {
	var value any = reports
	if !q.all && len(reports) == 1 {
		value = reports[0]
	}
	err := h.Report(value, func(w io.Writer) {
		for i, r := range reports {
			if i > 0 {
				fmt.Fprint(w, "\n\n")
			}
			_ = r.Text(w, findings.TextOptions{Color: explainer.Colored(w), Snippet: q.snippet})
		}
	})
	if err != nil {
		return err
	}
	if n := len(slices.DeleteFunc(reports, func(r findings.Report) bool { return !r.Failed() })); n > 0 {
		return errors.New(count(n, "identity provider") + " failed the examination")
	}
	return nil
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
