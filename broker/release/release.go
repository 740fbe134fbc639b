// Package release says which claims a granted scope lets leave (P8). It is pure.
package release

import (
	"maps"
	"slices"

	"fedbroker/broker/oauth"
)

// standard are the claims of OpenID Connect Core §5.4, and groups.
var standard = map[string][]string{
	oauth.ScopeProfile: {
		"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender",
		"birthdate", "zoneinfo", "locale", "updated_at",
	},
	oauth.ScopeEmail:   {claimEmail, claimVerified},
	oauth.ScopeAddress: {"address"},
	oauth.ScopePhone:   {"phone_number", "phone_number_verified"},
	oauth.ScopeGroups:  {"groups"},
}

const (
	claimEmail    = "email"
	claimVerified = "email_verified"
)

// Scopes are the scopes that release claims. It is immutable.
type Scopes struct{ claims map[string][]string }

// New adds the configured scopes to the standard ones; a name that is both releases the claims of both.
func New(configured map[string][]string) *Scopes {
	s := &Scopes{claims: maps.Clone(standard)}
	for name, claims := range configured {
		s.claims[name] = oauth.Unique(slices.Concat(s.claims[name], claims))
	}
	return s
}

// Claims are those of one scope, nil for a scope that releases none. The slice is not to be written.
func (s *Scopes) Claims(scope string) []string { return s.claims[scope] }

// Known tells whether the scope means something to a login without a resource (P35).
func (s *Scopes) Known(scope string) bool {
	return scope == oauth.ScopeOpenID || scope == oauth.ScopeOfflineAccess || s.claims[scope] != nil
}

// Of picks what the scopes release of the claims. An address never leaves without the word on whether it is verified.
func (s *Scopes) Of(claims map[string]any, scopes []string) map[string]any {
	out := map[string]any{}
	for _, scope := range scopes {
		for _, name := range s.claims[scope] {
			if value, ok := claims[name]; ok {
				out[name] = value
			}
		}
	}
	if _, ok := out[claimEmail]; ok {
		verified, known := claims[claimVerified].(bool)
		if !known {
			delete(out, claimEmail)
			delete(out, claimVerified)
		} else {
			out[claimVerified] = verified
		}
	}
	return out
}

// vouched are claims that never leave without their word.
var vouched = [...][2]string{{claimEmail, claimVerified}, {"phone_number", "phone_number_verified"}}

// Told are the claims of an ID token: of those that are wanted there, what the scopes release.
func (s *Scopes) Told(claims map[string]any, wanted, scopes []string) map[string]any {
	out := map[string]any{}
	for _, scope := range scopes {
		for _, name := range s.claims[scope] {
			if v, ok := claims[name]; ok && slices.Contains(wanted, name) {
				out[name] = v
			}
		}
	}
	for _, pair := range vouched { // whoever is told an address is told whether anybody vouches for it (P5)
		if _, told := out[pair[0]]; told {
			out[pair[1]] = claims[pair[1]] == true
		}
	}
	return out
}

// Names are all scopes that mean something to a login, sorted.
func (s *Scopes) Names() []string {
	return slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(s.claims)), oauth.ScopeOpenID, oauth.ScopeOfflineAccess)))
}

// AllClaims are all claims that some scope releases, sorted.
func (s *Scopes) AllClaims() []string {
	all := []string{"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "sid", "upstream"} // of every ID token
	for _, claims := range s.claims {
		all = append(all, claims...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
