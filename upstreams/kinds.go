package upstreams

import (
	"maps"
	"slices"

	"fedbroker/upstreams/spec"
)

// kinds is the table of upstream kinds: a new one is a file and a line here.
var kinds = map[string]spec.Kind{
	"jwt":  jwtKind,
	"oidc": {Login: true, Check: spec.CheckOIDC}, // an OpenID provider: ID tokens of login attempts, and tokens of its other clients for exchange
}

// Kinds returns the names of all upstream kinds, sorted.
func Kinds() []string { return slices.Sorted(maps.Keys(kinds)) }

// What the configuration file holds of an upstream.
type (
	Spec          = spec.Upstream
	Audience      = spec.Audience
	Claims        = spec.Claims
	EmailDomains  = spec.EmailDomains
	Introspection = spec.Introspection
	Secret        = spec.Secret
)
