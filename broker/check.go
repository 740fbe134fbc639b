package broker

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/mappers"
	"fedbroker/upstreams/outbound"
)

// Report takes one problem: a path as the file writes it, and a text like "want …, got …".
type Report = func(path, format string, args ...any)

// Check judges and compiles the whole configuration without I/O. Either report may be nil.
func Check(c Config, bad, warn Report) { compile(c, parts{}, orSilent(bad), orSilent(warn)) }

// Unserved lists the keys and grant types that are judged, but that nothing serves yet, one text each, sorted.
func (c Config) Unserved() []string {
	s := compile(c, parts{}, orSilent(nil), orSilent(nil))
	out := slices.Clone(s.policy.Unserved())
	add := func(present bool, path string) {
		if present {
			out = append(out, path)
		}
	}
	for i, u := range c.Upstreams {
		for _, key := range u.Unserved() {
			out = append(out, fmt.Sprintf("upstreams[%d].%s", i, key))
		}
	}
	for i, cl := range c.Clients {
		for _, key := range cl.Unserved() {
			out = append(out, fmt.Sprintf("clients[%d].%s", i, key))
		}
	}
	add(c.Tokens.ActDepth != nil, "tokens.act_depth")
	add(len(c.ResourceServers) > 0, "resource_servers")
	slices.Sort(out)
	return slices.Compact(out)
}

func orSilent(r Report) Report {
	if r == nil {
		return func(string, string, ...any) {}
	}
	return r
}

// checkOwn judges what no other package owns. c has its defaults.
func checkOwn(c Config, bad Report) {
	checkIssuer("issuer", c.Issuer, bad)
	keyring.Check(c.Signing.Algorithms, *c.Signing.RotateEvery, func(path, format string, args ...any) { bad("signing."+path, format, args...) })
	checkTimes(c, bad)
	c.Limits.Check(func(path, format string, args ...any) { bad("limits."+path, format, args...) })
	for _, scope := range slices.Sorted(maps.Keys(c.Scopes)) {
		if !oauth.ValidScope(scope) {
			bad("scopes", "want a scope name (RFC 6749 section 3.3), got %q", scope)
		}
		for i, claim := range c.Scopes[scope] {
			if !mappers.ValidClaimName(claim) || mappers.Reserved(claim) {
				bad(fmt.Sprintf("scopes.%s[%d]", scope, i), "want a claim that is not reserved, got %q", claim)
			}
		}
	}
	for i, r := range c.ResourceServers {
		checkIssuer(fmt.Sprintf("resource_servers[%d].issuer", i), r.Issuer, bad)
		for j, scope := range r.Scopes {
			if !oauth.ValidScope(scope) {
				bad(fmt.Sprintf("resource_servers[%d].scopes[%d]", i, j), "want a scope name (RFC 6749 section 3.3), got %q", scope)
			}
		}
	}
}

// checkIssuer wants an issuer identifier (RFC 8414 §2): https, or http on loopback, without query and fragment. A slash at the end would make
// two identifiers that look like one.
func checkIssuer(path, issuer string, bad Report) {
	if issuer == "" {
		bad(path, "want an https URL, got none")
		return
	}
	if err := outbound.CheckURL(issuer); err != nil {
		bad(path, "want an https URL, or http on loopback, got %q: %v", issuer, err)
		return
	}
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.RawQuery != "" || u.ForceQuery || strings.ContainsAny(issuer, "?#"):
		bad(path, "want no query and no fragment, got %q", issuer)
	case strings.HasSuffix(issuer, "/"):
		bad(path, "want no slash at the end, got %q", issuer)
	case u.RawPath != "" || strings.ContainsAny(u.Path, ":*") || strings.Contains(u.Path, "//"):
		bad(path, "want a path of plain segments, got %q", issuer)
	}
}

const (
	second = time.Second
	day    = 24 * time.Hour
)

// checkTimes holds every duration to its range.
func checkTimes(c Config, bad Report) {
	for _, d := range []struct {
		path     string
		value    time.Duration
		min, max time.Duration
	}{
		{"leeway", *c.Leeway, 0, 2 * time.Minute}, // P12
		{"revocation_max_stale", *c.RevocationMaxStale, 2 * second, 5 * time.Minute},
		{"tokens.access_ttl", *c.Tokens.AccessTTL, 10 * second, day},
		{"tokens.id_ttl", *c.Tokens.IDTTL, 10 * second, day},
		{"tokens.code_ttl", *c.Tokens.CodeTTL, 5 * second, 10 * time.Minute}, // RFC 6749 §4.1.2
		{"tokens.refresh_ttl", *c.Tokens.RefreshTTL, time.Minute, 3660 * day},
		{"tokens.refresh_idle", *c.Tokens.RefreshIdle, time.Minute, 3660 * day},
		{"tokens.refresh_grace", *c.Tokens.RefreshGrace, 0, time.Minute}, // P36
		{"sessions.ttl", *c.Sessions.TTL, time.Minute, 366 * day},
		{"sessions.idle", *c.Sessions.Idle, time.Minute, 366 * day},
	} {
		if d.value < d.min || d.value > d.max {
			bad(d.path, "want %v to %v, got %v", d.min, d.max, d.value)
		}
	}
	const maxDepth = 32
	if depth := *c.Tokens.ActDepth; depth < 1 || depth > maxDepth {
		bad("tokens.act_depth", "want 1 to %d, got %d", maxDepth, depth)
	}
}
