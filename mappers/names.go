package mappers

import (
	"slices"
	"strings"
)

const maxClaimName = 64 // bytes

// reserved are the claims that say what a token is, whose it is and what it may do: the broker alone sets them.
var reserved = [...]string{
	"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "scope", "client_id", "act", "may_act", "cnf", "nonce", "acr", "amr", "azp",
	"auth_time", "sid", "at_hash", "c_hash", "s_hash", "typ", "upstream", "authorization_details", "events", "active", "username",
	"token_type", "sub_id", "resource", "origin_exp", "lin", "_claim_names", "_claim_sources",
}

// Reserved says whether no mapper may set a claim of this name. The name is trimmed and compared without regard to ASCII case, since
// lenient readers of a token fold names, too.
func Reserved(name string) bool {
	name = strings.TrimSpace(name)
	return slices.ContainsFunc(reserved[:], func(r string) bool { return equalASCIIFold(r, name) })
}

// equalASCIIFold is not strings.EqualFold, which takes "ſub" for "sub".
func equalASCIIFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lowerASCII(a[i]) != lowerASCII(b[i]) {
			return false
		}
	}
	return true
}

func lowerASCII(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// ValidClaimName says whether the name matches ^[A-Za-z_][A-Za-z0-9_:./-]{0,63}$.
func ValidClaimName(name string) bool {
	if name == "" || len(name) > maxClaimName {
		return false
	}
	for i := range len(name) {
		c := lowerASCII(name[i])
		letter := 'a' <= c && c <= 'z' || c == '_'
		if !letter && (i == 0 || (c < '0' || '9' < c) && !strings.ContainsRune(":./-", rune(c))) {
			return false
		}
	}
	return true
}

// owned are the claims whose values belong to the upstream that vouches for them and leave with its prefix (RFC 7643 §4.1.2 names them).
var owned = [...]string{"entitlements", "groups", "roles"}

// OwnedClaim says whether the claim's values are prefixed with the upstream's name.
func OwnedClaim(name string) bool { return slices.Contains(owned[:], name) }

// profile are the standard claims that pass without a mapper, with their JSON types (OpenID Connect Core 1.0 §5.1, all but sub).
var profile = [...]struct {
	name string
	fits func(any) (any, bool)
}{
	{"name", text}, {"given_name", text}, {"family_name", text}, {"middle_name", text}, {"nickname", text},
	{"preferred_username", text}, {"profile", text}, {"picture", text}, {"website", text}, {"email", text},
	{"email_verified", boolean}, {"gender", text}, {"birthdate", text}, {"zoneinfo", text}, {"locale", text},
	{"phone_number", text}, {"phone_number_verified", boolean}, {"address", object}, {"updated_at", number},
}

// ProfileClaim says whether the claim is one of OpenID Connect Core 1.0 §5.1's, sub excepted.
func ProfileClaim(name string) bool {
	for i := range profile {
		if profile[i].name == name {
			return true
		}
	}
	return false
}

func text(v any) (any, bool)   { _, ok := v.(string); return v, ok }
func object(v any) (any, bool) { _, ok := v.(map[string]any); return v, ok }

func number(v any) (any, bool) {
	switch v.(type) {
	case int64, uint64, float64:
		return v, true
	}
	return nil, false
}

// boolean absorbs "true" and "false", which some providers send for the _verified claims.
func boolean(v any) (any, bool) {
	switch v {
	case true, "true":
		return true, true
	case false, "false":
		return false, true
	}
	return nil, false
}
