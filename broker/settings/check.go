package settings

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

type report = func(path, format string, args ...any)

// Check judges what no other package owns. c has its defaults.
func (c Config) Check(bad func(path, format string, args ...any)) {
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
	for i, r := range c.Exchange { // what is for us alone is a login's own token (P11, P35)
		if r.Grant != nil {
			if at := slices.Index(r.Grant.Audiences, c.Issuer); at >= 0 && c.Issuer != "" {
				bad(fmt.Sprintf("exchange[%d].grant.audiences[%d]", i, at), "want another audience than our issuer, which is that of a login's own access token")
			}
		}
	}
	for i, r := range c.ResourceServers {
		checkIssuer(fmt.Sprintf("resource_servers[%d].issuer", i), strings.TrimSuffix(r.Issuer, "/"), bad) // a stranger's may end so: it is compared as it is
		if r.Issuer == c.Issuer {
			bad(fmt.Sprintf("resource_servers[%d].issuer", i), "want another than ours: no ID-JAG of ours is taken here")
		}
		for j, scope := range r.Scopes {
			if !oauth.ValidScope(scope) {
				bad(fmt.Sprintf("resource_servers[%d].scopes[%d]", i, j), "want a scope name (RFC 6749 section 3.3), got %q", scope)
			}
		}
	}
}

// checkIssuer wants an issuer identifier (RFC 8414 §2): https, or http on loopback, without query and fragment. A slash at the end would make
// two identifiers that look like one.
func checkIssuer(path, issuer string, bad report) {
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
func checkTimes(c Config, bad report) {
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
