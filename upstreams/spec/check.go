package spec

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/presets"
)

const (
	maxLeeway = 2 * time.Minute // P12
	// Keys serve an outage no longer than a token of theirs could be forged unnoticed; below a minute they would not outlive one fetch.
	minMaxStale = time.Minute
	maxMaxStale = 30 * 24 * time.Hour

	maxSubjectClaims = 4
)

var (
	namePattern     = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`) // P1: none of the delimiters that follow it in a sub
	clientIDPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)    // P3
	domainPattern   = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	hostPattern     = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	typPattern      = regexp.MustCompile(`^[A-Za-z0-9!#$&^_.+-]+(/[A-Za-z0-9!#$&^_.+-]+)?$`) // RFC 6838 §4.2
)

// changeable names claims that a person or their administrator can change, or that another can come to have: never a subject.
var changeable = []string{
	"email", "login", "name", "nickname", "phone_number", "preferred_username", "screen_name", "unique_name", "upn", "user_name", "username",
}

// otherTypes are registered types of tokens that are no subject's, beside those that have a class of their own.
var otherTypes = []string{
	"client-authentication+jwt", "dc+sd-jwt", "entity-statement+jwt", "kb+jwt", "oauth-authz-req+jwt", "resolve-response+jwt",
	"statuslist+jwt", "token-introspection+jwt", "trust-mark+jwt", "vp+jwt",
}

// Kind is what a kind of upstream brings to the judgement.
type Kind struct {
	Login   bool         // people can log in at it
	Keyless bool         // it publishes no key set: nothing of it is a JWT
	SAML    bool         // its tokens are assertions, never JWTs, and its issuer is an entity id
	Scopes  []string     // that a login asks for where none are written
	Foreign []string     // keys that mean nothing to it
	Check   func(*Check) // what must hold beside what must hold for all
}

// Options of Judge.
type Options struct {
	Kinds     map[string]Kind
	OurIssuer string
	Leeway    time.Duration // of an upstream that has none
	Asserted  bool          // a client's assertion names this upstream
	Clients   []string      // ids of configured clients; nil: requesters are not looked up
}

// Check is one judgement under way.
type Check struct {
	Options
	Spec      Upstream // as written
	Effective Upstream // with preset and defaults
	Preset    presets.Preset
	kind      Kind
	Bad       func(key, format string, args ...any)
}

// Judge applies preset and defaults to what is written, and reports everything that is wrong with it, by key, such as audiences[1].requesters.
func Judge(written Upstream, o Options, bad func(key, format string, args ...any)) (Upstream, presets.Preset) {
	preset, _ := presets.Find(written.Preset)
	kind, known := o.Kinds[written.Kind]
	c := &Check{Options: o, Spec: written, Preset: preset, kind: kind, Bad: bad}
	c.Effective = written.withDefaults(preset, kind, o.Leeway)
	for _, check := range [...]func(*Check){
		(*Check).name, (*Check).presetFits, (*Check).issuer, (*Check).keySource, (*Check).hosts, (*Check).audiences, (*Check).tokens, (*Check).subject,
		(*Check).maps, (*Check).durations, (*Check).domains, (*Check).introspection,
	} {
		check(c)
	}
	if !known {
		bad("kind", "want one of %s, got %q", strings.Join(slices.Sorted(maps.Keys(o.Kinds)), ", "), written.Kind)
		return c.Effective, preset
	}
	for _, key := range written.present() {
		if slices.Contains(kind.Foreign, key) {
			bad(key, "want none for kind %s", written.Kind)
		}
	}
	kind.Check(c)
	return c.Effective, preset
}

func (c *Check) name() {
	if !namePattern.MatchString(c.Spec.Name) {
		c.Bad("name", "want %s, got %q", namePattern, c.Spec.Name)
	}
}

func (c *Check) presetFits() {
	switch {
	case c.Spec.Preset == "":
	case c.Preset.Name == "":
		c.Bad("preset", "want one of %s, got %q", strings.Join(presets.Names(), ", "), c.Spec.Preset)
	case c.Preset.Kind != c.Spec.Kind:
		c.Bad("preset", "want kind %s for preset %s, got %q", c.Preset.Kind, c.Preset.Name, c.Spec.Kind)
	}
}

func (c *Check) issuer() {
	s := c.Spec
	switch {
	case c.Effective.IssuerPattern != "":
		c.pattern()
		return
	case len(s.Issuers) > 0:
		c.Bad("issuers", "want none without issuer_pattern")
	case c.Effective.Issuer == "" && c.Preset.Name != "":
		c.Bad("issuer", "want one: preset %s has none of its own", c.Preset.Name)
		return
	case c.Effective.Issuer == "":
		c.Bad("issuer", "want one")
		return
	case c.kind.SAML:
		c.entityIssuer()
		return
	}
	c.issuerURL("issuer", c.Effective.Issuer)
}

// issuerURL judges one issuer (OpenID Connect Discovery §3: no query, no fragment; P10: not ours; P43).
func (c *Check) issuerURL(key, issuer string) {
	if err := outbound.CheckURL(issuer); err != nil {
		c.Bad(key, "%v, got %q", err, issuer)
	} else if strings.ContainsAny(issuer, "?*") || !Printable(issuer) {
		c.Bad(key, "want neither a query nor a wildcard, got %q", issuer)
	}
	if sameIssuer(issuer, c.OurIssuer) {
		c.Bad(key, "want another issuer than our own")
	}
}

// sameIssuer takes for one what differs by case or a final slash only: who wrote such a thing meant the same server.
func sameIssuer(a, b string) bool {
	return b != "" && strings.EqualFold(strings.TrimRight(a, "/"), strings.TrimRight(b, "/"))
}

func (c *Check) pattern() {
	s := c.Effective
	if s.Issuer != "" {
		c.Bad("issuer", "want none beside issuer_pattern")
	}
	if err := checkPattern(s.IssuerPattern); err != nil {
		c.Bad("issuer_pattern", "%v, got %q", err, s.IssuerPattern)
		return
	}
	if Overlap(s.IssuerPattern, c.OurIssuer) {
		c.Bad("issuer_pattern", "want a pattern that our own issuer does not match")
	}
	for i, issuer := range s.Issuers {
		c.issuerURL(At("issuers", i), issuer)
		if !Overlap(s.IssuerPattern, issuer) {
			c.Bad(At("issuers", i), "want an issuer that issuer_pattern matches, got %q", issuer)
		}
	}
	c.Unique("issuers", s.Issuers)
}

func (c *Check) keySource() {
	s := c.Spec
	switch {
	case s.JWKSURI != "" && s.JWKSFile != "":
		c.Bad("jwks_file", "want jwks_uri or jwks_file, not both")
	case s.JWKSFile != "" && s.BearerTokenFile != "":
		c.Bad("bearer_token_file", "want none beside jwks_file: there is nobody to send it to")
	}
	if c.Effective.IssuerPattern != "" {
		if s.JWKSURI+s.JWKSFile != "" {
			c.Bad("issuer_pattern", "want neither jwks_uri nor jwks_file beside it: issuers would share keys")
		}
		if s.BearerTokenFile != "" {
			c.Bad("bearer_token_file", "want none beside issuer_pattern: it would be sent to issuers that nobody named")
		}
	}
	if s.JWKSURI == "" {
		return
	}
	if err := outbound.CheckURL(s.JWKSURI); err != nil {
		c.Bad("jwks_uri", "%v, got %q", err, s.JWKSURI)
	} else if s.BearerTokenFile != "" {
		c.credentialHost("jwks_uri", s.JWKSURI)
	}
}

// credentialHost wants a URL that gets a credential of ours to be at the issuer's host or one of credential_hosts (P43).
func (c *Check) credentialHost(key, raw string) {
	u, err := url.Parse(raw)
	if err != nil {
		return
	}
	for _, host := range c.Effective.CredentialHostList() {
		if strings.EqualFold(host, u.Host) || strings.EqualFold(host, u.Hostname()) {
			return
		}
	}
	c.Bad(key, "want the issuer's host, or %s in credential_hosts: a credential is sent there", u.Host)
}

// CredentialHostList are those that may get credentials of ours.
func (s Upstream) CredentialHostList() []string {
	hosts := slices.Clone(s.CredentialHosts)
	if u, err := url.Parse(s.Issuer); err == nil && u.Host != "" {
		hosts = append(hosts, u.Host)
	}
	return hosts
}

func (c *Check) hosts() {
	for i, h := range c.Spec.AllowPrivate {
		if _, err := netip.ParseAddr(strings.Trim(h, "[]")); err != nil && !hostPattern.MatchString(h) {
			c.Bad(At("allow_private", i), "want a host name or an address, without scheme, port or network, got %q", h)
		}
	}
	for i, h := range c.Spec.CredentialHosts {
		if u, err := url.Parse("https://" + h); err != nil || u.Host != h || u.Hostname() == "" || strings.ContainsAny(h, "*@ ") {
			c.Bad(At("credential_hosts", i), "want host or host:port, got %q", h)
		}
	}
	c.Unique("allow_private", c.Spec.AllowPrivate)
	c.Unique("credential_hosts", c.Spec.CredentialHosts)
}

func (c *Check) audiences() {
	var values []string
	for i, a := range c.Spec.Audiences {
		path := At("audiences", i)
		values = append(values, a.Value)
		if a.Value == "" {
			c.Bad(path, "want a value")
		}
		if a.Requesters != nil && len(a.Requesters) == 0 {
			c.Bad(path+".requesters", "want at least one client id; leave the key out to bind the audience to nobody")
		}
		for k, r := range a.Requesters {
			where := At(path+".requesters", k)
			if !clientIDPattern.MatchString(r) {
				c.Bad(where, "want a client id, %s, got %q", clientIDPattern, r)
			} else if c.Clients != nil && !slices.Contains(c.Clients, r) {
				c.Bad(where, "want a configured client, got %q", r)
			}
		}
		c.Unique(path+".requesters", a.Requesters)
	}
	c.Unique("audiences", values)
	c.nonEmpty("authorized_parties", c.Spec.AuthorizedParties)
	c.Unique("authorized_parties", c.Spec.AuthorizedParties)
}

// tokens judges what forms of tokens are accepted.
func (c *Check) tokens() {
	for i, name := range c.Spec.Algorithms {
		if _, err := jose.ParseAlgorithms([]string{name}); err != nil {
			c.Bad(At("algorithms", i), "%v", err)
		}
	}
	c.Unique("algorithms", c.Spec.Algorithms)
	if c.Spec.AcceptTyp == nil {
		return
	}
	for i, typ := range *c.Spec.AcceptTyp {
		switch class := jose.TypClass(typ); {
		case !typPattern.MatchString(typ):
			c.Bad(At("accept_typ", i), "want a media type, got %q", typ)
		case class != jose.ClassJWT && class != jose.ClassAccessToken && class != jose.ClassOther, slices.Contains(otherTypes, jose.NormalTyp(typ)):
			c.Bad(At("accept_typ", i), "want no type that is registered for other tokens, got %q", typ)
		}
	}
	c.Unique("accept_typ", *c.Spec.AcceptTyp)
}

func (c *Check) subject() {
	if len(c.Spec.Subject) > maxSubjectClaims {
		c.Bad("subject", "want at most %d claims, got %d", maxSubjectClaims, len(c.Spec.Subject))
	}
	for i, name := range c.Spec.Subject {
		switch {
		case name == "":
			c.Bad(At("subject", i), "want the name of a claim")
		case slices.Contains(changeable, name):
			c.Bad(At("subject", i), "want a claim that never changes and never comes to another, got %q", name)
		}
	}
	c.Unique("subject", c.Spec.Subject)
}

func (c *Check) maps() {
	c.mapped("acr_map", c.Spec.ACRMap)
	c.mapped("amr_map", c.Spec.AMRMap)
}

func (c *Check) mapped(key string, values map[string]string) {
	for _, from := range slices.Sorted(maps.Keys(values)) {
		if to := values[from]; from == "" || to == "" || !Printable(to) {
			c.Bad(key+"."+from, "want printable ASCII on both sides, got %q", to)
		}
	}
}

func (c *Check) durations() {
	if d := c.Spec.Leeway; d != nil && (*d < 0 || *d > maxLeeway) {
		c.Bad("leeway", "want 0s to %v, got %v", maxLeeway, *d)
	}
	if d := c.Spec.MaxStale; d != nil && (*d < minMaxStale || *d > maxMaxStale) {
		c.Bad("max_stale", "want %v to %v, got %v", minMaxStale, maxMaxStale, *d)
	}
}

func (c *Check) domains() {
	for i, d := range c.Spec.Domains {
		if !domainPattern.MatchString(d) {
			c.Bad(At("domains", i), "want a domain in lower case, got %q", d)
		}
	}
	c.Unique("domains", c.Spec.Domains)
}

func (c *Check) introspection() {
	in := c.Spec.Introspection
	if in == nil {
		return
	}
	if err := outbound.CheckURL(in.Endpoint); err != nil {
		c.Bad("introspection.endpoint", "%v, got %q", err, in.Endpoint)
	} else {
		c.credentialHost("introspection.endpoint", in.Endpoint)
	}
	if len(c.Spec.Audiences) == 0 {
		c.Bad("introspection", "want audiences beside it: opaque tokens are for exchange alone")
	}
	if c.Effective.IssuerPattern != "" {
		c.Bad("introspection", "want one issuer, got issuer_pattern")
	}
	if in.ClientID == "" {
		c.Bad("introspection.client_id", "want one")
	}
	if in.ClientSecret == "" {
		c.Bad("introspection.client_secret", "want one (client_secret or client_secret_file)")
	}
}

// OneOf reports a value that is written and not among the known ones.
func (c *Check) OneOf(key, value string, known ...string) {
	if value != "" && !slices.Contains(known, value) {
		c.Bad(key, "want one of %s, got %q", strings.Join(known, ", "), value)
	}
}

func (c *Check) nonEmpty(key string, values []string) {
	for i, v := range values {
		if v == "" {
			c.Bad(At(key, i), "want a value")
		}
	}
}

// Unique reports values that come twice.
func (c *Check) Unique(key string, values []string) {
	for i, v := range values {
		if first := slices.Index(values, v); first < i {
			c.Bad(At(key, i), "want each once, got %q again", v)
		}
	}
}

// At is the path of one entry of a list.
func At(key string, index int) string { return fmt.Sprintf("%s[%d]", key, index) }

// Printable says whether s has only characters of 0x20–0x7E.
func Printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7E {
			return false
		}
	}
	return true
}
