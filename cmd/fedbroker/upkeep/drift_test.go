package upkeep

import (
	"strings"
	"testing"
	"time"

	"fedbroker/broker/operator"
	"fedbroker/upstreams/shape"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestPrintDrift(t *testing.T) {
	drift := operator.Drift{Upstream: "acme", Sources: []operator.ClaimShape{{
		Source: "exchange", Tokens: 120, Baseline: noon, Last: noon.Add(time.Hour),
		Claims: []operator.Claim{{Claim: "roles", Types: "string or list of string", Percent: 97, Last: noon.Add(time.Hour)}},
		Changes: []operator.ClaimDrift{
			{Claim: "roles", Change: shape.Retyped, Was: "list of string", Is: "string", Since: noon, Last: noon.Add(time.Hour), ReadBy: []string{"mappers[1] groups", "exchange partner-orders (subject.when)"}},
			{Claim: "/realm/x\x1b[2J", Change: shape.Vanished, Was: "bool", Since: noon.Add(time.Minute), Last: noon, ReadBy: []string{"subject"}},
			{Claim: "tid", Change: shape.Appeared, Is: "string", Since: noon.Add(time.Hour), Last: noon.Add(time.Hour), ReadBy: []string{}},
		},
	}, {
		Source: "login", Tokens: 12, Lacking: 38, Last: noon, Claims: []operator.Claim{{Claim: "sub", Types: "string", Percent: 100, Last: noon}},
	}}}
	want := `exchange: 120 tokens looked at, the last 2026-11-23T13:00:00Z; since the baseline of 2026-11-23T12:00:00Z:
CLAIM         CHANGE                   SINCE                 LAST SEEN             READ BY
roles         list of string → string  2026-11-23T12:00:00Z  2026-11-23T13:00:00Z  mappers[1] groups
                                                                                   exchange partner-orders (subject.when)
/realm/x?[2J  vanished: bool           2026-11-23T12:01:00Z  2026-11-23T12:00:00Z  subject
tid           appeared: string         2026-11-23T13:00:00Z  2026-11-23T13:00:00Z  nothing

CLAIM  TYPES                     TOKENS  LAST SEEN
roles  string or list of string  97 %    2026-11-23T13:00:00Z

login: 12 tokens looked at, the last 2026-11-23T12:00:00Z; 38 more make a baseline

CLAIM  TYPES   TOKENS  LAST SEEN
sub    string  100 %   2026-11-23T12:00:00Z
`
	var b strings.Builder
	printDrift(&b, drift)
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	b.Reset()
	printDrift(&b, operator.Drift{Upstream: "acme"})
	if got := b.String(); got != "nothing is known of the claims of acme: no token of it has been looked at\n" {
		t.Error(got)
	}
	b.Reset()
	printDrift(&b, operator.Drift{Upstream: "acme", Sources: []operator.ClaimShape{{Source: "login", Tokens: 60, Baseline: noon, Last: noon}}})
	if got := b.String(); !strings.HasPrefix(got, "login: 60 tokens looked at, the last 2026-11-23T12:00:00Z; no drift since the baseline of 2026-11-23T12:00:00Z\n") {
		t.Error(got)
	}
}
