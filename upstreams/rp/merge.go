package rp

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// protocol names the claims that userinfo has no say in: what tokens are about, and how somebody was authenticated (P4, P7).
var protocol = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id", "act", "may_act", "cnf", "nonce", "acr", "amr", "azp", "auth_time", "sid",
	"at_hash", "c_hash", "s_hash", "typ", "upstream", "authorization_details", "events", "active", "username", "token_type", "sub_id", "resource",
	"origin_exp", "lin", "_claim_names", "_claim_sources",
}

// pairs are claims that mean something together only: an address, and the word that it is verified (OpenID Connect Core §5.1).
var pairs = [...][2]string{{"email", "email_verified"}, {"phone_number", "phone_number_verified"}}

// Merge adds to the ID token's claims those that only userinfo has. Where both have one the ID token's counts, which is signed. Where it has
// one half of a pair, the other half is added only if userinfo has the same first: a word about one address says nothing of another.
func Merge(idToken, userinfo map[string]any) map[string]any {
	out := maps.Clone(idToken)
	for name, value := range userinfo {
		if _, taken := idToken[name]; !taken && !slices.Contains(protocol, strings.ToLower(strings.TrimSpace(name))) && pairFits(idToken, userinfo, name) {
			out[name] = value
		}
	}
	return out
}

func pairFits(idToken, userinfo map[string]any, name string) bool {
	for _, pair := range pairs {
		other := ""
		switch name {
		case pair[0]:
			other = pair[1]
		case pair[1]:
			other = pair[0]
		default:
			continue
		}
		signed, has := idToken[other]
		return !has || reflect.DeepEqual(signed, userinfo[other])
	}
	return true
}
