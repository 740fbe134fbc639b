package rp

import (
	"maps"
	"slices"
	"strings"
)

// protocol names the claims that userinfo has no say in: what tokens are about, and how somebody was authenticated (P4, P7).
var protocol = []string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id", "act", "may_act", "cnf", "nonce", "acr", "amr", "azp", "auth_time", "sid",
	"at_hash", "c_hash", "s_hash", "typ", "upstream", "authorization_details", "events", "active", "username", "token_type", "sub_id", "resource",
	"origin_exp", "lin", "_claim_names", "_claim_sources",
}

// vouched maps a claim to the one that it vouches for (OpenID Connect Core §5.1).
var vouched = map[string]string{"email_verified": "email", "phone_number_verified": "phone_number"}

// Merge adds to the ID token's claims those that only userinfo has. Where both have one the ID token's counts, which is signed. What userinfo
// says to be verified is verified only if it is the value that is kept.
func Merge(idToken, userinfo map[string]any) map[string]any {
	out := maps.Clone(idToken)
	for name, value := range userinfo {
		if _, taken := idToken[name]; taken || slices.Contains(protocol, strings.ToLower(strings.TrimSpace(name))) {
			continue
		}
		if of, vouches := vouched[name]; vouches {
			kept, has := idToken[of].(string)
			if _, any := idToken[of]; any && (!has || kept != userinfo[of]) {
				continue
			}
		}
		out[name] = value
	}
	return out
}
