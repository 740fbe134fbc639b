package upkeep

import (
	"strings"
	"testing"
	"time"

	"fedbroker/broker/operator"
)

func TestUpstreamWithoutKeysIsShownWithoutThem(t *testing.T) {
	var shown, drilled strings.Builder
	printUpstream(&shown, operator.Upstream{Name: "github", Kind: "oauth2", Issuer: "https://github.com/login/oauth", State: operator.StateKeyless})
	printOutage(&drilled, operator.Outage{Upstream: "github", State: operator.StateKeyless, Login: true, Opaque: true})
	for _, want := range []string{"oauth2", "https://github.com/login/oauth", "keyless", "publishes no key set"} {
		if !strings.Contains(shown.String(), want) {
			t.Errorf("want %q, got\n%s", want, shown.String())
		}
	}
	for text, want := range map[string]bool{
		"github has no keys": true, "nobody can log in at github": true, "opaque tokens are answered 503": true, "other kids": false, "verification of known keys": false,
	} {
		if strings.Contains(drilled.String(), text) != want {
			t.Errorf("%q: want %v, got\n%s", text, want, drilled.String())
		}
	}
	if strings.Contains(shown.String(), "max_stale") {
		t.Errorf("got\n%s", shown.String())
	}
}

func TestUpstreamIsShownWithTheEndpointsThatNobodyAsks(t *testing.T) {
	var listed, shown strings.Builder
	u := operator.Upstream{Name: "acme", Kind: "oidc", State: "ok", Breakers: []operator.Breaker{
		{Endpoint: "token", State: "open", Until: time.Unix(1_800_000_000, 0)}, {Endpoint: "userinfo", State: "closed"}, {Endpoint: "introspection", State: "half_open"},
	}}
	printList(&listed, []operator.Upstream{u})
	printUpstream(&shown, u)
	for _, text := range []string{listed.String(), shown.String()} {
		if !strings.Contains(text, "token until 2027-01-15") || !strings.Contains(text, "introspection but by a probe") || strings.Contains(text, "userinfo") {
			t.Errorf("got\n%s", text)
		}
	}
}

func TestPatternIsShownByItsIssuers(t *testing.T) {
	var listed, shown, drilled, fresh strings.Builder
	end := time.Unix(1_800_000_000, 0)
	u := operator.Upstream{Name: "clusters", Kind: "jwt", Issuer: "https://*.idp.example", State: operator.StateByIssuer, Issuers: []operator.MetIssuer{
		{Issuer: "https://a.idp.example", State: "ok", Keys: 2, ServesUntil: end}, {Issuer: "https://b.idp.example", State: "stale", LastError: "timeout"},
	}}
	printList(&listed, []operator.Upstream{u})
	printUpstream(&shown, u)
	printOutage(&drilled, operator.Outage{Upstream: "clusters", State: operator.StateByIssuer, Survives: 7200, Issuers: []operator.IssuerOutage{{Issuer: "https://a.idp.example", Until: end}}})
	printOutage(&fresh, operator.Outage{Upstream: "clusters", State: operator.StateByIssuer})
	for text, wants := range map[string][]string{
		listed.String():  {"of 2 issuers"},
		shown.String():   {"https://*.idp.example", "https://a.idp.example", "2027-01-15", "https://b.idp.example", "timeout"},
		drilled.String(): {"survives 2 h for all 1 issuers", "issuer https://a.idp.example until 2027-01-15", "after a restart"},
		fresh.String():   {"has met no issuer"},
	} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("want %q, got\n%s", want, text)
			}
		}
	}
}
