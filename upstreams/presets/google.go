package presets

// google is Google's OpenID provider, for people. Everyone can have an account, and every project of Google Cloud can have tokens of this issuer for any audience,
// for its service accounts: only hd, the domain of a Workspace organisation, tells whose an account is, and a token without it is refused. A domain is no id: who
// holds it holds its hd. The sub is one account's for ever.
func google() Preset {
	types := person()
	typed(types, TypeString, "hd", "sub")
	return Preset{
		Kind:        "oidc",
		Issuer:      "https://accounts.google.com",
		Algorithms:  []string{"RS256"},
		ClaimTypes:  types,
		OwnerClaims: []string{"hd", "sub"},
		Shared:      true,
		Conditions: []Condition{{
			Expression: `has(claims.hd) && claims.hd != ""`,
			Message:    "the account is a Workspace organisation's",
		}},
	}
}
