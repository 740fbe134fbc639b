package verify

import (
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/shape"
)

// SourceLogin is what a login's mapping sees: the ID token's claims with userinfo's, or those of whatever else the upstream proves a login by. Whoever
// puts them together shows them.
const SourceLogin shape.Source = "login"

const sourceIntrospection shape.Source = "introspection"

// sources are what tokens are for, by their class: JWTs without a typ of their own, access tokens (RFC 9068), all others.
var sources = [...][3]shape.Source{
	PurposeLogin:    {}, // SourceLogin
	PurposeExchange: {"exchange", "exchange:at+jwt", "exchange:other"},
	PurposeActor:    {"actor", "actor:at+jwt", "actor:other"},
	PurposeClient:   {"client", "client:at+jwt", "client:other"},
	PurposeGrant:    {"grant", "grant:at+jwt", "grant:other"},
	PurposeRefresh:  {}, // shown by whoever asked, as a login is
}

func sourceOf(p Purpose, c jose.Class) shape.Source {
	switch c {
	case jose.ClassJWT:
		return sources[p][0]
	case jose.ClassAccessToken:
		return sources[p][1]
	}
	return sources[p][2]
}
