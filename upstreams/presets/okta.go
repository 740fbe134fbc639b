package presets

// okta is an authorization server of one Okta organisation, for people. The sub of an ID token is the user's id. That of an access token is the login name, which is
// an e-mail address and can come to another, unless the authorization server's claim sub is set to user.id; uid is the id there.
func okta() Preset {
	types := person()
	types["ver"] = TypeInt
	typed(types, TypeString, "cid", "idp", "uid")
	typed(types, TypeStringList, "groups", "scp")
	return Preset{
		Kind:       "oidc",
		Algorithms: []string{"RS256"},
		ClaimTypes: types,
		Conditions: []Condition{{
			Expression: `!has(claims.cid) || has(claims.uid) && claims.uid == claims.sub`,
			Message:    "the subject is a user's id, not a login name and not an application",
		}},
	}
}
