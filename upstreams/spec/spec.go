// Package spec is what the configuration file says of an upstream: the keys of one entry of upstreams[], their defaults and presets, and
// the judgement of whether they make sense together. It knows no kind of upstream: those bring their own part of the judgement.
package spec

import (
	"fmt"
	"slices"
	"time"
)

// Upstream is one entry of upstreams[] as the configuration file holds it. Only Name, Kind and an issuer (its own, a preset's or a
// pattern) are always needed. Secrets are values here, files are absolute paths.
type Upstream struct {
	Name   string `yaml:"name"`
	Kind   string `yaml:"kind"`
	Preset string `yaml:"preset,omitempty"`

	// Whose tokens they are.
	Issuer        string   `yaml:"issuer,omitempty"`
	IssuerPattern string   `yaml:"issuer_pattern,omitempty"` // one path or label segment per *
	Issuers       []string `yaml:"issuers,omitempty"`        // the only ones of the pattern

	// Where its keys come from; without JWKSURI and JWKSFile by discovery.
	JWKSURI         string         `yaml:"jwks_uri,omitempty"`
	JWKSFile        string         `yaml:"jwks_file,omitempty"`
	CAFile          string         `yaml:"ca_file,omitempty"`
	BearerTokenFile string         `yaml:"bearer_token_file,omitempty"` // sent to the issuer's host and CredentialHosts only
	AllowPrivate    []string       `yaml:"allow_private,omitempty"`     // hosts that may have a private address
	CredentialHosts []string       `yaml:"credential_hosts,omitempty"`
	MaxStale        *time.Duration `yaml:"max_stale,omitempty"` // how long last-good keys serve [24h]

	// What is accepted of it.
	Audiences         []Audience        `yaml:"audiences,omitempty"` // of tokens for exchange; none by default
	AuthorizedParties []string          `yaml:"authorized_parties,omitempty"`
	Algorithms        []string          `yaml:"algorithms,omitempty"`
	AcceptTyp         *[]string         `yaml:"accept_typ,omitempty"` // beside none and JWT [at+jwt]
	Leeway            *time.Duration    `yaml:"leeway,omitempty"`
	Subject           Claims            `yaml:"subject,omitempty"` // [sub]
	ACRMap            map[string]string `yaml:"acr_map,omitempty"` // its value → ours
	AMRMap            map[string]string `yaml:"amr_map,omitempty"`
	EmailDomains      *EmailDomains     `yaml:"email_domains,omitempty"` // [Domains]

	// Login.
	DisplayName    string   `yaml:"display_name,omitempty"`
	Domains        []string `yaml:"domains,omitempty"` // home-realm discovery
	ClientID       string   `yaml:"client_id,omitempty"`
	ClientSecret   Secret   `yaml:"client_secret,omitempty"`
	AuthMethod     string   `yaml:"auth_method,omitempty"` // [client_secret_basic, with PrivateKeyFile private_key_jwt]
	PrivateKeyFile string   `yaml:"private_key_file,omitempty"`
	Scopes         []string `yaml:"scopes,omitempty"`
	ResponseMode   string   `yaml:"response_mode,omitempty"` // [query]
	TrustPrompt    bool     `yaml:"trust_prompt,omitempty"`
	Linking        bool     `yaml:"linking,omitempty"`
	Refresh        bool     `yaml:"refresh,omitempty"`

	// Endpoints of a provider that has no discovery document to name them.
	AuthorizationEndpoint string `yaml:"authorization_endpoint,omitempty"`
	TokenEndpoint         string `yaml:"token_endpoint,omitempty"`
	UserInfoEndpoint      string `yaml:"userinfo_endpoint,omitempty"`
	EmailsEndpoint        string `yaml:"emails_endpoint,omitempty"` // lists a person's addresses: [{email, primary, verified}]

	// Of kind saml.
	SSOURL           string `yaml:"sso_url,omitempty"`
	CertificatesFile string `yaml:"certificates_file,omitempty"`
	EntityID         string `yaml:"entity_id,omitempty"` // ours [issuer + /saml/NAME/metadata]

	// Opaque tokens.
	Introspection *Introspection `yaml:"introspection,omitempty"`
}

// Introspection is where and as whom opaque tokens of the upstream are introspected (RFC 7662).
type Introspection struct {
	Endpoint     string `yaml:"endpoint"`
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
}

// Format implements fmt.Formatter: under a verb that fits no pointer, fmt prints what a field of this type points to without asking Secret.
func (i Introspection) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{%s %s %s}", i.Endpoint, i.ClientID, i.ClientSecret)
}

// Audience is an audience under which tokens of the upstream may be exchanged, by everyone or by Requesters only. In the file it is
// a string or a mapping {value, requesters}.
type Audience struct {
	Value      string   `yaml:"value"`
	Requesters []string `yaml:"requesters,omitempty"`
}

// UnmarshalYAML reads either form.
func (a *Audience) UnmarshalYAML(decode func(any) error) error {
	var value string
	if decode(&value) == nil {
		*a = Audience{Value: value}
		return nil
	}
	type mapping Audience
	return decode((*mapping)(a))
}

// MarshalYAML writes the shorter form.
func (a Audience) MarshalYAML() (any, error) {
	if len(a.Requesters) == 0 {
		return a.Value, nil
	}
	type mapping Audience
	return mapping(a), nil
}

// Admits says whether requester may exchange tokens of this audience.
func (a Audience) Admits(requester string) bool {
	return len(a.Requesters) == 0 || slices.Contains(a.Requesters, requester)
}

// Claims names the claims that make a subject, in order. In the file it is a string or a list.
type Claims []string

// UnmarshalYAML reads either form.
func (c *Claims) UnmarshalYAML(decode func(any) error) error {
	var name string
	if decode(&name) == nil {
		*c = Claims{name}
		return nil
	}
	return decode((*[]string)(c))
}

// anyDomain is the word that lets an upstream vouch for every e-mail address.
const anyDomain = "any"

// EmailDomains are the domains for whose addresses an upstream may vouch. In the file it is a list, or the word any.
type EmailDomains struct {
	Any   bool     `yaml:"-"`
	Names []string `yaml:"-"`
}

// UnmarshalYAML reads either form.
func (e *EmailDomains) UnmarshalYAML(decode func(any) error) error {
	var word string
	if decode(&word) == nil {
		if word != anyDomain {
			return fmt.Errorf("want a list of domains or %s, got %q", anyDomain, word)
		}
		*e = EmailDomains{Any: true}
		return nil
	}
	*e = EmailDomains{}
	return decode(&e.Names)
}

// MarshalYAML writes what UnmarshalYAML reads.
func (e EmailDomains) MarshalYAML() (any, error) {
	if e.Any {
		return anyDomain, nil
	}
	return e.Names, nil
}
