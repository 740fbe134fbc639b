package upstreams

import (
	"maps"
	"slices"

	"fedbroker/upstreams/spec"
)

// kind is what is particular of a kind of upstream.
type kind struct {
	spec.Kind
	hold  func(*member)                     // makes what it holds for logins, without I/O; nil: nothing
	login func(*Set, *member) (Login, bool) // the door that people come in by; nil: nobody logs in
}

// kinds is the table of upstream kinds: a new one is a file and a line here.
var kinds = map[string]kind{
	"jwt":    {Kind: jwtKind},
	"oauth2": {Kind: oauth2Kind, hold: holdOAuth2, login: loginOAuth2},
	"oidc":   {Kind: oidcKind, hold: holdOIDC, login: loginOIDC},
	"saml":   {Kind: samlKind, login: loginSAML},
}

// specKinds is what package spec judges by.
func specKinds() map[string]spec.Kind {
	judged := make(map[string]spec.Kind, len(kinds))
	for name, k := range kinds {
		judged[name] = k.Kind
	}
	return judged
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
