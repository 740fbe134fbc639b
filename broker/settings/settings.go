// Package settings is the part of the configuration that means something to the broker itself: its shape, its defaults, and what is judged of it
// where no other package owns it.
package settings

import (
	"cmp"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/keyring"
	"fedbroker/broker/limit"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/upstreams"
)

// Config is the part of the configuration file that means something to the broker itself. Secrets are values here, files absolute
// paths.
type Config struct {
	Issuer             string               `yaml:"issuer"`
	Signing            SigningSpec          `yaml:"signing,omitempty"`
	Tokens             TokensSpec           `yaml:"tokens,omitempty"`
	Sessions           SessionsSpec         `yaml:"sessions,omitempty"`
	Leeway             *time.Duration       `yaml:"leeway,omitempty"`               // [30s]
	RevocationMaxStale *time.Duration       `yaml:"revocation_max_stale,omitempty"` // [10s]
	Scopes             map[string][]string  `yaml:"scopes,omitempty"`               // claims released per scope (P8)
	Limits             limit.Spec           `yaml:"limits,omitempty"`
	DPoP               DPoPSpec             `yaml:"dpop,omitempty"`
	ResourceServers    []ResourceServerSpec `yaml:"resource_servers,omitempty"`
	Upstreams          []UpstreamSpec       `yaml:"upstreams,omitempty"`
	Clients            []clients.Spec       `yaml:"clients,omitempty"`
	Exchange           []rules.Spec         `yaml:"exchange,omitempty"`
}

// UpstreamSpec is one entry of upstreams: who it is, and what its claims become.
type UpstreamSpec struct {
	upstreams.Spec `yaml:",inline"`
	Mappers        []mappers.Spec `yaml:"mappers,omitempty"`
}

// SigningSpec says what our own keys are and how often new ones come.
type SigningSpec struct {
	Algorithms  []string       `yaml:"algorithms,omitempty"`   // [ES256, RS256]
	RotateEvery *time.Duration `yaml:"rotate_every,omitempty"` // [720h]
}

// TokensSpec holds the lifetimes of what we issue.
type TokensSpec struct {
	AccessTTL    *time.Duration `yaml:"access_ttl,omitempty"`    // [10m]
	IDTTL        *time.Duration `yaml:"id_ttl,omitempty"`        // [10m]
	CodeTTL      *time.Duration `yaml:"code_ttl,omitempty"`      // [60s]
	RefreshTTL   *time.Duration `yaml:"refresh_ttl,omitempty"`   // [720h]
	RefreshIdle  *time.Duration `yaml:"refresh_idle,omitempty"`  // [168h]
	RefreshGrace *time.Duration `yaml:"refresh_grace,omitempty"` // [10s]; 0s switches it off
	ActDepth     *int           `yaml:"act_depth,omitempty"`     // [8] longest chain of actors (P20)
}

// SessionsSpec holds the lifetimes of a person's session.
type SessionsSpec struct {
	TTL  *time.Duration `yaml:"ttl,omitempty"`  // [12h]
	Idle *time.Duration `yaml:"idle,omitempty"` // [1h]
}

// DPoPSpec says what is asked of proofs of possession (RFC 9449).
type DPoPSpec struct {
	RequireNonce bool `yaml:"require_nonce,omitempty"` // every proof has to carry a nonce of ours (section 8)
}

// ResourceServerSpec is an authorization server that accepts our ID-JAGs (P23).
type ResourceServerSpec struct {
	Issuer    string            `yaml:"issuer"`
	ClientIDs map[string]string `yaml:"client_ids,omitempty"` // our client id → its id there
	Scopes    []string          `yaml:"scopes,omitempty"`
}

// Defaults.
const (
	defaultAccessTTL    = 10 * time.Minute
	defaultIDTTL        = 10 * time.Minute
	defaultCodeTTL      = time.Minute
	defaultRefreshTTL   = 720 * time.Hour
	defaultRefreshIdle  = 168 * time.Hour
	defaultRefreshGrace = 10 * time.Second
	defaultActDepth     = 8
	defaultSessionTTL   = 12 * time.Hour
	defaultSessionIdle  = time.Hour
	defaultLeeway       = 30 * time.Second
	defaultMaxStale     = 10 * time.Second
)

// WithDefaults fills what is absent; what is written stays, zero included.
func (c Config) WithDefaults() Config {
	if len(c.Signing.Algorithms) == 0 {
		c.Signing.Algorithms = keyring.DefaultAlgorithms()
	}
	fill(&c.Signing.RotateEvery, keyring.DefaultRotateEvery)
	fill(&c.Tokens.AccessTTL, defaultAccessTTL)
	fill(&c.Tokens.IDTTL, defaultIDTTL)
	fill(&c.Tokens.CodeTTL, defaultCodeTTL)
	fill(&c.Tokens.RefreshTTL, defaultRefreshTTL)
	fill(&c.Tokens.RefreshIdle, defaultRefreshIdle)
	fill(&c.Tokens.RefreshGrace, defaultRefreshGrace)
	fill(&c.Tokens.ActDepth, defaultActDepth)
	fill(&c.Sessions.TTL, defaultSessionTTL)
	fill(&c.Sessions.Idle, defaultSessionIdle)
	fill(&c.Leeway, defaultLeeway)
	fill(&c.RevocationMaxStale, defaultMaxStale)
	c.Limits.Anonymous = cmp.Or(c.Limits.Anonymous, limit.DefaultAnonymous)
	return c
}

func fill[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// UpstreamSpecs are the upstreams as their own package has them.
func (c Config) UpstreamSpecs() []upstreams.Spec {
	specs := make([]upstreams.Spec, len(c.Upstreams))
	for i, u := range c.Upstreams {
		specs[i] = u.Spec
	}
	return specs
}
