package upkeep

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"fedbroker/broker/operator"
	"fedbroker/upstreams/breaker"
	"fedbroker/upstreams/keys"
)

func printList(w io.Writer, all []operator.Upstream) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NAME\tKIND\tSTATE\tKEYS\tCONFIRMED\tSERVES UNTIL\tNEXT FETCH\tLAST ERROR\tALARMS\tNOT ASKED")
	for _, u := range all {
		held := strconv.Itoa(len(u.Keys))
		if u.State == operator.StateByIssuer {
			held = fmt.Sprintf("of %d issuers", len(u.Issuers))
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", u.Name, u.Kind, u.State, held, moment(u.Confirmed), moment(u.ServesUntil),
			moment(u.NextFetch), or(u.LastError), or(alarms(u.Alarms)), or(strings.Join(notAsked(u.Breakers), ", ")))
	}
	table.Flush()
}

func printUpstream(w io.Writer, u operator.Upstream) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, value string) { fmt.Fprintf(table, "%s\t%s\n", name, value) }
	line("upstream", u.Name)
	line("kind", u.Kind)
	line("issuer", u.Issuer)
	line("state", u.State)
	line("endpoints not asked", or(strings.Join(notAsked(u.Breakers), ", ")))
	if u.State == operator.StateKeyless {
		line("keys", "none: kind "+u.Kind+" publishes no key set")
		table.Flush()
		return
	}
	if u.State == operator.StateByIssuer {
		line("issuers met", strconv.Itoa(len(u.Issuers)))
		table.Flush()
		printIssuers(w, u.Issuers)
		return
	}
	line("jwks_uri", or(u.JWKSURI))
	line("confirmed", moment(u.Confirmed))
	line("serves until", moment(u.ServesUntil)+" (max_stale "+Span(time.Duration(u.MaxStale)*time.Second)+")")
	line("next fetch", moment(u.NextFetch))
	line("last fetch", moment(u.Tried))
	line("last error", or(u.LastError))
	if u.Warning != "" {
		line("discovery", u.Warning+": the last good one is followed")
	}
	line("alarms", or(alarms(u.Alarms)))
	table.Flush()
	if len(u.Keys) > 0 {
		fmt.Fprintln(w)
		printKeys(w, u.Keys)
	}
}

// notAsked are the endpoints that a breaker holds back, and until when.
func notAsked(all []operator.Breaker) (held []string) {
	for _, b := range all {
		switch breaker.State(b.State) {
		case breaker.Open:
			held = append(held, b.Endpoint+" until "+moment(b.Until))
		case breaker.HalfOpen:
			held = append(held, b.Endpoint+" but by a probe")
		}
	}
	return held
}

func printKeys(w io.Writer, all []operator.UpstreamKey) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KID\tALGORITHM\tFIRST SEEN\tPINNED UNTIL\tTHUMBPRINT")
	for _, k := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", plain(k.KeyID), or(k.Algorithm), moment(k.FirstSeen), moment(k.PinnedUntil), k.Thumbprint)
	}
	table.Flush()
}

func printIssuers(w io.Writer, all []operator.MetIssuer) {
	if len(all) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nISSUER\tSTATE\tKEYS\tMET\tVERIFIED\tCONFIRMED\tSERVES UNTIL\tLAST ERROR")
	for _, i := range all {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", plain(i.Issuer), i.State, i.Keys, moment(i.Since), moment(i.Verified), moment(i.Confirmed),
			moment(i.ServesUntil), or(i.LastError))
	}
	table.Flush()
}

func printHistory(w io.Writer, past operator.KeyHistory) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "TIME\tCHANGE\tKID\tTHUMBPRINT\tPREVIOUS")
	for _, e := range past.Entries {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", moment(e.Time()), plain(string(e.Change)), plain(e.KeyID), plain(e.Thumbprint), plain(e.Previous))
	}
	table.Flush()
	if past.Dropped > 0 {
		fmt.Fprintf(w, "%d older entries are not kept\n", past.Dropped)
	}
	switch {
	case past.Broken != "":
		fmt.Fprintln(w, past.Broken)
	case past.Head == "":
		fmt.Fprintln(w, "no key was ever seen")
	default:
		fmt.Fprintf(w, "the chain holds; head %s\n", past.Head)
	}
}

func printOutage(w io.Writer, out operator.Outage) {
	switch {
	case out.State == operator.StateKeyless:
		fmt.Fprintf(w, "%s has no keys: its kind publishes no key set, and nothing ends for want of one\n", out.Upstream)
	case out.State == operator.StateByIssuer:
		printIssuerOutage(w, out)
	case len(out.Keys) == 0:
		fmt.Fprintf(w, "verification of known keys does not survive: %s has no key that serves now (%s)\n", out.Upstream, out.State)
	default:
		fmt.Fprintf(w, "verification of known keys survives %s\n", Span(time.Duration(out.Survives)*time.Second))
		fmt.Fprintf(w, "it ends at %s, by %s\n", moment(out.Until), ends[out.EndsBy])
		for _, k := range out.Keys {
			if !k.Until.Equal(out.Until) {
				fmt.Fprintf(w, "key %s ends before, at %s, by %s\n", plain(k.KeyID), moment(k.Until), ends[k.EndsBy])
			}
		}
	}
	if out.Restart {
		fmt.Fprintln(w, "a restart of the broker changes nothing: the keys are in the store")
	}
	if out.State != operator.StateKeyless && out.State != operator.StateByIssuer {
		fmt.Fprintln(w, "from the first moment: tokens under other kids are answered 503 with Retry-After")
	}
	if out.Login {
		fmt.Fprintf(w, "from the first moment: nobody can log in at %s; sessions that stand go on\n", out.Upstream)
	}
	if out.Opaque {
		fmt.Fprintln(w, "from the first moment, but for answers of the last 30 s: opaque tokens are answered 503")
	}
}

// printIssuerOutage is the outage of a pattern, each of whose issuers has keys of its own.
func printIssuerOutage(w io.Writer, out operator.Outage) {
	if len(out.Issuers) == 0 {
		fmt.Fprintf(w, "%s has met no issuer whose keys serve now\n", out.Upstream)
	} else {
		fmt.Fprintf(w, "verification of known keys survives %s for all %d issuers that were met\n", Span(time.Duration(out.Survives)*time.Second), len(out.Issuers))
		for _, i := range out.Issuers {
			fmt.Fprintf(w, "issuer %s until %s, by max_stale\n", plain(i.Issuer), moment(i.Until))
		}
	}
	fmt.Fprintln(w, "from the first moment, and after a restart: tokens of issuers that were not met, and tokens under other kids, are answered 503 with Retry-After")
}

// ends says what ends the verification, in words.
var ends = map[string]string{
	operator.EndsByMaxStale: "max_stale",
	operator.EndsByPin:      "the end of its pin",
}

// Span is a duration for people, as in "6 h 12 m".
func Span(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%d s", d/time.Second)
	}
	hours, minutes := d/time.Hour, d%time.Hour/time.Minute
	switch {
	case hours == 0:
		return fmt.Sprintf("%d m", minutes)
	case minutes == 0:
		return fmt.Sprintf("%d h", hours)
	}
	return fmt.Sprintf("%d h %d m", hours, minutes)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func or(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func alarms(all []keys.Alarm) string {
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = string(a)
	}
	return strings.Join(names, ",")
}

// plain is what a stranger named, without what a terminal would act on.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
