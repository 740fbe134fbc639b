package token

import (
	"fedbroker/broker/oauth"
	"fedbroker/mappers"
)

// Introspection is what a resource server can use of a token: its standard members, the upstream, and the claims that the rule
// released; not the lineage, which is ours.
func (own *Own) Introspection(issuer string) map[string]any {
	out := make(map[string]any, len(own.Claims)+1)
	for name, value := range own.Claims {
		if !mappers.Reserved(name) {
			out[name] = value
		}
	}
	for _, name := range []string{"upstream", "acr", "amr", "auth_time", "act", "cnf"} {
		if value, present := own.Claims[name]; present {
			out[name] = value
		}
	}
	out["active"], out["iss"], out["sub"], out["client_id"] = true, issuer, own.Subject, own.ClientID
	out["aud"], out["scope"], out["jti"] = own.Audience, oauth.JoinScope(own.Scopes), own.JTI
	out["iat"], out["exp"], out["token_type"] = own.IssuedAt.Unix(), own.Expires.Unix(), oauth.Bearer
	if own.Confirmed != "" { // RFC 9449 §6.2
		out["token_type"] = oauth.DPoP
	}
	return out
}
