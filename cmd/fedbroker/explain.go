package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fedbroker/broker/explain"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/upstreams/jose"
)

const exitDenied = 3 // explain: the request is refused

// explainFlags are what one may ask explain.
type explainFlags struct {
	request  explain.Request
	subject  string // FILE, or - for standard input
	actor    string
	scopes   []string
	at       string
	keys     string
	export   string
	decision string
}

// Where the keys of upstreams come from.
const (
	keysNetwork = "network"
	keysFile    = "file"
)

func (a *app) explain() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain",
		Short: "Say how a decision comes about, and what would change it",
		Long: `Runs the whole decision on a token, or on what was kept of a decision, and says what the token is, which upstream speaks for
it, what each mapper changed, how each rule fared, what the first condition that it fails saw and wanted, which rule came
nearest, and the smallest change that would have admitted the request.

With --subject-token it judges by the configuration file and opens no store, unless the token is one of our own: then the
server is asked, which knows our keys, or the store is opened when none runs. With --decision it asks the server, or opens
the store, for a decision of the last audit.trace_ttl, by the id that the caller was given. Nobody is authenticated, nothing
is issued, spent or revoked, and no token is printed.

The exit code is 0 if the request is allowed, 3 if it is denied.`,
		Example: `  fedbroker explain --subject-token job.jwt --audience https://deploy.internal
  fedbroker explain --subject-token - --requester gateway --audience orders --scope orders.read < token
  fedbroker explain --decision 6f1c9a1d…
  fedbroker explain --export decisions.jsonl`,
		Args: cobra.NoArgs,
		RunE: a.does(func(ctx context.Context, _ []string) error { return a.explainOne(ctx, f) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&f.subject, "subject-token", "", "the `FILE` that holds the subject token, - for standard input")
	flags.StringVar(&f.actor, "actor-token", "", "the `FILE` that holds the actor token, - for standard input")
	flags.StringVar(&f.request.Requester, "requester", "", "the client's `ID`; without it, nobody in particular asks")
	flags.StringArrayVar(&f.request.Audiences, "audience", nil, "an `AUDIENCE` that is asked for")
	flags.StringArrayVar(&f.request.Resources, "resource", nil, "a `RESOURCE` that is asked for")
	flags.StringArrayVar(&f.scopes, "scope", nil, "a `SCOPE` that is asked for")
	flags.StringVar(&f.request.TokenType, "token-type", "", "the token `TYPE` that is asked for: access_token, jwt, id_token, id-jag")
	flags.StringVar(&f.request.SubjectTokenType, "subject-token-type", "", "the `TYPE` that the subject token is declared as [what it is]")
	flags.StringVar(&f.request.ActorTokenType, "actor-token-type", "", "the `TYPE` that the actor token is declared as [what it is]")
	flags.StringVar(&f.request.Grant, "grant", "", "the `GRANT`: token-exchange or jwt-bearer [token-exchange]")
	flags.StringVar(&f.at, "at", "", "the `TIME` that it is judged for, such as 2006-01-02T15:04:05Z [now]")
	flags.StringVar(&f.keys, "keys", keysNetwork, "`WHERE` upstreams' keys come from: network, or file, which takes only those of jwks_file")
	flags.StringVar(&f.decision, "decision", "", "the `ID` of a decision that was taken")
	flags.StringVar(&f.export, "export", "", "write all decisions that are kept to `FILE`, - for standard output, one line of JSON each")
	return a.reports(cmd)
}

func (a *app) explainOne(ctx context.Context, f explainFlags) error {
	switch asked := count3(f.subject != "", f.decision != "", f.export != ""); {
	case asked != 1:
		return misuse("want one of --subject-token, --decision and --export")
	case f.export != "":
		return a.exportDecisions(ctx, f.export)
	case f.decision != "":
		f.request.DecisionID = f.decision
		return a.explainHeld(ctx, f.request)
	case f.keys != keysNetwork && f.keys != keysFile:
		return misuse("--keys: want %s or %s, got %q", keysNetwork, keysFile, f.keys)
	}
	if err := a.readRequest(&f); err != nil {
		return err
	}
	c, err := a.load(config.Options{MayLack: true})
	if err != nil {
		return err
	}
	if own(f.request.SubjectToken, c.Issuer) || own(f.request.ActorToken, c.Issuer) {
		return a.explainHeld(ctx, f.request)
	}
	judge, err := offline(c, f.keys)
	if err != nil {
		return err
	}
	defer judge.Close()
	e, err := judge.Explain(ctx, f.request)
	if err != nil {
		return asMisuse(err)
	}
	e.Notes = append(e.Notes, "judged by the configuration alone: revocations, spent tokens and limits were not looked at")
	return a.tell(e)
}

func count3(all ...bool) (n int) {
	for _, b := range all {
		if b {
			n++
		}
	}
	return n
}

// readRequest fills the request with the tokens that the flags name.
func (a *app) readRequest(f *explainFlags) (err error) {
	if f.subject == "-" && f.actor == "-" {
		return misuse("--actor-token: want a file, since standard input holds the subject token")
	}
	if f.request.SubjectToken, err = a.readToken(f.subject); err == nil && f.actor != "" {
		f.request.ActorToken, err = a.readToken(f.actor)
	}
	if err != nil {
		return err
	}
	f.request.Scope, f.request.At = strings.Join(f.scopes, " "), time.Now()
	if f.at != "" {
		if f.request.At, err = time.Parse(time.RFC3339, f.at); err != nil {
			return misuse("--at: want a time such as 2006-01-02T15:04:05Z, got %q", f.at)
		}
	}
	return asMisuse(f.request.Check())
}

// readToken reads one token, white space around it ignored. Errors don't repeat it.
func (a *app) readToken(name string) (string, error) {
	in := a.in
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", misuse("token: %v", err)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, jose.MaxToken+1))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(text) > jose.MaxToken {
		return "", misuse("token: want 1 to %d bytes in %s, got %d", jose.MaxToken, name, len(text))
	}
	return token, nil
}

// own tells whether a token says to be ours.
func own(raw, issuer string) bool {
	t, err := jose.Parse(raw)
	return err == nil && t.UnverifiedIssuer() == issuer
}

// asMisuse gives mistakes of the request their exit code.
func asMisuse(err error) error {
	if usage, ok := errors.AsType[*explain.UsageError](err); ok {
		return misuse("%s", usage.Text)
	}
	return err
}

// tell prints an explanation, and ends with exit code 3 where it is a denial.
func (a *app) tell(e explain.Explanation) error {
	if err := a.report(e, func(w io.Writer) { _ = e.Text(w, explain.TextOptions{Color: colored(w)}) }); err != nil {
		return err
	}
	if e.Outcome.Decision == explain.Deny {
		return &failure{exitDenied, fmt.Errorf("denied: %s", e.Outcome.Reason)}
	}
	return nil
}

// colored tells whether colours are wanted: on a terminal, unless NO_COLOR says otherwise (no-color.org).
func colored(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
