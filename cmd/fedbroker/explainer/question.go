package explainer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"fedbroker/broker/explain"
	"fedbroker/upstreams/jose"
)

// Where the keys of upstreams come from.
const (
	KeysNetwork = "network"
	KeysFile    = "file"  // only those of jwks_file
	KeysCache   = "cache" // a broker's: of the server that runs, or the last good ones of the store
)

// Question is what the command line asks.
type Question struct {
	Request  explain.Request
	Keys     string // KeysNetwork, KeysFile or KeysCache
	Decision string // id
	Export   string // FILE, - for standard output

	subject, actor string // FILE, - for standard input
	scopes         []string
	at             string
}

// Flags gives a command the flags that fill the question.
func (q *Question) Flags(cmd *cobra.Command) {
	flags, r := cmd.Flags(), &q.Request
	flags.StringVar(&q.subject, "subject-token", "", "the `FILE` that holds the subject token, - for standard input")
	flags.StringVar(&q.actor, "actor-token", "", "the `FILE` that holds the actor token, - for standard input")
	flags.StringVar(&r.Requester, "requester", "", "the client's `ID`; without it, nobody in particular asks")
	flags.StringArrayVar(&r.Audiences, "audience", nil, "an `AUDIENCE` that is asked for")
	flags.StringArrayVar(&r.Resources, "resource", nil, "a `RESOURCE` that is asked for")
	flags.StringArrayVar(&q.scopes, "scope", nil, "a `SCOPE` that is asked for")
	flags.StringVar(&r.TokenType, "token-type", "", "the token `TYPE` that is asked for: access_token, jwt, id_token, id-jag")
	flags.StringVar(&r.SubjectTokenType, "subject-token-type", "", "the `TYPE` that the subject token is declared as [what it is]")
	flags.StringVar(&r.ActorTokenType, "actor-token-type", "", "the `TYPE` that the actor token is declared as [what it is]")
	flags.StringVar(&r.Grant, "grant", "", "the `GRANT`: token-exchange or jwt-bearer [token-exchange]")
	flags.StringVar(&q.at, "at", "", "the `TIME` that it is judged for, such as 2006-01-02T15:04:05Z [now]")
	flags.StringVar(&q.Keys, "keys", KeysNetwork, "`WHERE` upstreams' keys come from: network, file (only those of jwks_file) or cache (the server's, or the store's)")
	flags.BoolVar(&r.DPoP, "dpop", false, "take it that a DPoP proof by the key that the subject token is bound to came along")
	flags.StringVar(&q.Decision, "decision", "", "the `ID` of a decision that was taken")
	flags.StringVar(&q.Export, "export", "", "write all decisions that are kept to `FILE`, - for standard output, one line of JSON each")
}

func misused(format string, args ...any) error {
	return &explain.UsageError{Text: fmt.Sprintf(format, args...)}
}

// Read completes the request: with the tokens that the flags name, or with the decision's id. Mistakes are *explain.UsageErrors, and don't repeat
// a token.
func (q *Question) Read(in io.Reader, now time.Time) error {
	asked := 0
	for _, what := range []string{q.subject, q.Decision, q.Export} {
		if what != "" {
			asked++
		}
	}
	switch {
	case asked != 1:
		return misused("want one of --subject-token, --decision and --export")
	case q.Keys != KeysNetwork && q.Keys != KeysFile && q.Keys != KeysCache:
		return misused("--keys: want %s, %s or %s, got %q", KeysNetwork, KeysFile, KeysCache, q.Keys)
	case q.subject == "-" && q.actor == "-":
		return misused("--actor-token: want a file, since standard input holds the subject token")
	}
	q.Request.DecisionID = q.Decision
	if q.subject == "" {
		return nil
	}
	var err error
	if q.Request.SubjectToken, err = read(in, q.subject); err == nil && q.actor != "" {
		q.Request.ActorToken, err = read(in, q.actor)
	}
	if err != nil {
		return err
	}
	q.Request.Scope, q.Request.At = strings.Join(q.scopes, " "), now
	if q.at != "" {
		if q.Request.At, err = time.Parse(time.RFC3339, q.at); err != nil {
			return misused("--at: want a time such as 2006-01-02T15:04:05Z, got %q", q.at)
		}
	}
	return q.Request.Check()
}

// read reads one token, white space around it ignored.
func read(in io.Reader, name string) (token string, err error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", misused("token: %v", err)
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, jose.MaxToken+1))
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	token = strings.TrimSpace(string(text))
	if token == "" || len(text) > jose.MaxToken {
		return "", misused("token: want 1 to %d bytes in %s, got %d", jose.MaxToken, name, len(text))
	}
	return token, nil
}

// NeedsState tells whether only a broker's state can answer: its decisions, its cache of keys, or, of a token of ours, its own keys.
func (q *Question) NeedsState(issuer string) bool {
	if q.Decision != "" || q.Keys == KeysCache {
		return true
	}
	for _, raw := range []string{q.Request.SubjectToken, q.Request.ActorToken} {
		if t, err := jose.Parse(raw); err == nil && t.UnverifiedIssuer() == issuer {
			return true
		}
	}
	return false
}

// Colored tells whether colours are wanted: on a terminal, unless NO_COLOR says otherwise (no-color.org).
func Colored(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
