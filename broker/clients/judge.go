package clients

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"fedbroker/broker/oauth"
	"fedbroker/mappers"
	"fedbroker/upstreams/outbound"
)

// report takes a problem, or a warning: its path and what was wanted.
type report = func(path, format string, args ...any)

const (
	maxID   = 64
	maxName = 2048 // bytes of an identifier, an audience or a URI
)

// reservedPrefixes begin the ids of clients that register themselves or name themselves by a metadata document (P3).
var reservedPrefixes = [...]string{"dcr_", "cimd_"}

// ValidID tells whether s is the id of a client in the configuration: ^[A-Za-z0-9._-]{1,64}$ (P3).
func ValidID(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("._-", rune(c)) {
			return false
		}
	}
	return s != "" && len(s) <= maxID
}

// judge judges one entry by itself; what concerns several is judged by NewRegistry.
func (o *Options) judge(s *Spec, bad, warn report) {
	if !ValidID(s.ID) {
		bad("id", "want 1 to %d of A-Z a-z 0-9 . _ -, got %q", maxID, s.ID)
	}
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(s.ID, prefix) {
			bad("id", "want none that begins with %s: such ids are given to clients that register themselves", prefix)
		}
	}
	s.judgeCredential(bad)
	s.judgeMethod(bad)
	o.judgeGrants(s, bad)
	s.judgeLogin(bad, warn)
	o.judgeRest(s, bad)
}

// judgeCredential: exactly one way to prove who it is, or public. Two would leave one that nobody watches.
func (s *Spec) judgeCredential(bad report) {
	var given []string
	for _, c := range []struct {
		name    string
		present bool
	}{
		{"public", s.Public}, {"secret_sha256", s.SecretSHA256 != ""}, {"jwks_uri", s.JWKSURI != ""}, {"jwks_file", s.JWKSFile != ""}, {"assertion", s.Assertion != nil},
	} {
		if c.present {
			given = append(given, c.name)
		}
	}
	const want = "want one of secret_file, secret_sha256, jwks_uri, jwks_file, assertion, public"
	switch len(given) {
	case 0:
		bad("secret_sha256", "%s: got none", want)
	case 1:
	default:
		bad(given[len(given)-1], "%s: got %s", want, strings.Join(given, " and "))
	}
	if s.SecretSHA256 != "" {
		if raw, err := hex.DecodeString(s.SecretSHA256); err != nil || len(raw) != 32 || strings.ToLower(s.SecretSHA256) != s.SecretSHA256 {
			bad("secret_sha256", "want the SHA-256 of the secret as 64 lower-case hex digits (`fedbroker secret` prints one)")
		}
	}
	if s.JWKSURI != "" {
		if err := outbound.CheckURL(s.JWKSURI); err != nil {
			bad("jwks_uri", "%v", err)
		}
	}
}

// judgeMethod: the method written has to be one that the credential allows.
func (s *Spec) judgeMethod(bad report) {
	var allowed []string
	switch {
	case s.Public:
		allowed = []string{oauth.AuthNone}
	case s.SecretSHA256 != "":
		allowed = []string{oauth.AuthSecretBasic, oauth.AuthSecretPost}
	case s.JWKSURI != "" || s.JWKSFile != "" || s.Assertion != nil:
		allowed = []string{oauth.AuthPrivateKeyJWT}
	}
	if s.AuthMethod != "" && !slices.Contains(allowed, s.AuthMethod) {
		if _, known := methods[s.AuthMethod]; !known {
			bad("auth_method", "want one of %s, %s, %s, %s, got %q", oauth.AuthSecretBasic, oauth.AuthSecretPost, oauth.AuthPrivateKeyJWT, oauth.AuthNone, s.AuthMethod)
		} else {
			bad("auth_method", "%s does not fit what the client authenticates with", s.AuthMethod)
		}
	}
	if s.AssertionAud != "" {
		oneOf(bad, "assertion_aud", s.AssertionAud, assertionIssuer, assertionLegacy)
		if s.JWKSURI == "" && s.JWKSFile == "" {
			bad("assertion_aud", "means something only beside jwks_uri or jwks_file")
		}
	}
}

func oneOf(bad report, path, got string, want ...string) {
	if !slices.Contains(want, got) {
		bad(path, "want %s, got %q", strings.Join(want, " or "), got)
	}
}

// judgeGrants judges the grant types and what bounds them.
func (o *Options) judgeGrants(s *Spec, bad report) {
	for i, name := range s.GrantTypes {
		path := fmt.Sprintf("grant_types[%d]", i)
		if _, ok := oauth.GrantType(name); !ok {
			bad(path, "want one of %s, got %q", strings.Join(oauth.GrantNames(), ", "), name)
		}
		if slices.Contains(s.GrantTypes[:i], name) {
			bad(path, "%s is listed twice", name)
		}
		if wire, _ := oauth.GrantType(name); wire == oauth.GrantClientCredentials && s.Public {
			bad(path, "a public client has no credentials of its own (RFC 6749 section 4.4)")
		} else if wire == oauth.GrantClientCredentials && len(s.Audiences) == 0 {
			bad("audiences", "want at least one: it is what the client's own tokens (client_credentials) are for")
		} else if wire == oauth.GrantAuthorizationCode && len(s.RedirectURIs) == 0 {
			bad("redirect_uris", "want at least one: authorization_code ends there")
		}
	}
	names(bad, "identifiers", s.Identifiers)
	if slices.Contains(s.Identifiers, o.Issuer) {
		bad(fmt.Sprintf("identifiers[%d]", slices.Index(s.Identifiers, o.Issuer)), "want a resource of the client's, got our issuer")
	}
	names(bad, "audiences", s.Audiences)
	for i, name := range s.Scopes {
		if !oauth.ValidScope(name) {
			bad(fmt.Sprintf("scopes[%d]", i), "want a scope name (RFC 6749 section 3.3), got %q", name)
		}
		if slices.Contains(s.Scopes[:i], name) {
			bad(fmt.Sprintf("scopes[%d]", i), "%s is listed twice", name)
		}
	}
}

// names judges a set of names of resources.
func names(bad report, key string, all []string) {
	for i, name := range all {
		path := fmt.Sprintf("%s[%d]", key, i)
		if len(name) > maxName || !printable(name) {
			bad(path, "want 1 to %d printable characters without space, got %q", maxName, name)
		}
		if slices.Contains(all[:i], name) {
			bad(path, "%s is listed twice", name)
		}
	}
}

// judgeRest judges keys that need what other parts of the configuration say, or are of later use.
func (o *Options) judgeRest(s *Spec, bad report) {
	if s.Upstreams != nil && len(s.Upstreams) == 0 {
		bad("upstreams", "want at least one, or no key at all for every upstream")
	}
	for i, name := range s.Upstreams {
		o.knownUpstream(bad, fmt.Sprintf("upstreams[%d]", i), name)
	}
	if a := s.Assertion; a != nil {
		o.judgeAssertion(a, func(path, format string, args ...any) { bad("assertion."+path, format, args...) })
	}
	if s.UpstreamClaim != "" {
		oneOf(bad, "upstream_claim", s.UpstreamClaim, upstreamName, upstreamFull)
	}
	if s.Profile != "" {
		oneOf(bad, "profile", s.Profile, profileFAPI2)
	}
	if s.IDTokenAlg != "" && o.Algorithms != nil && !slices.Contains(o.Algorithms, s.IDTokenAlg) {
		bad("id_token_alg", "want one of signing.algorithms (%s), got %q", strings.Join(o.Algorithms, ", "), s.IDTokenAlg)
	}
	for i, name := range s.IDTokenClaims {
		if !mappers.ValidClaimName(name) || mappers.Reserved(name) {
			bad(fmt.Sprintf("id_token_claims[%d]", i), "want the name of a claim that is not reserved, got %q", name)
		}
	}
	if len(s.Mappers) > 0 {
		mappers.Compile(mappers.Options{Client: true, Specs: s.Mappers}, bad)
	}
}

func (o *Options) judgeAssertion(a *AssertionSpec, bad report) {
	o.knownUpstream(bad, "upstream", a.Upstream)
	if a.Subject == "" {
		bad("subject", "want the exact sub of the workload, got none")
	}
	if a.Audience == "" {
		bad("audience", "want the exact aud of the workload's token, got none")
	} else if slices.Contains(o.Upstreams[a.Upstream], a.Audience) {
		bad("audience", "want one that upstream %s does not exchange tokens for: a token must not serve as both", a.Upstream)
	} else if name, found := o.exchangedElsewhere(a); found {
		bad("audience", "want one that upstream %s, which has the same issuer, does not exchange tokens for", name)
	}
	if issuer, known := o.Issuers[a.Upstream]; known && (issuer == "" || strings.Contains(issuer, "*")) {
		bad("upstream", "want one of a single issuer: a subject means something only beside its issuer")
	}
	if a.MaxAge != nil && (*a.MaxAge <= 0 || *a.MaxAge > maxAssertionMaxAge) {
		bad("max_age", "want more than 0s, at most %v, got %v", maxAssertionMaxAge, *a.MaxAge)
	}
}

// exchangedElsewhere finds an upstream of the same issuer that takes tokens for the assertion's audience in exchange.
func (o *Options) exchangedElsewhere(a *AssertionSpec) (string, bool) {
	for _, name := range slices.Sorted(maps.Keys(o.Upstreams)) {
		if issuer := o.Issuers[name]; issuer != "" && issuer == o.Issuers[a.Upstream] && slices.Contains(o.Upstreams[name], a.Audience) {
			return name, true
		}
	}
	return "", false
}

func (o *Options) knownUpstream(bad report, path, name string) {
	if _, known := o.Upstreams[name]; !known && o.Upstreams != nil {
		bad(path, "there is no upstream %q", name)
	}
}
