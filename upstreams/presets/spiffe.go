package presets

// spiffe is a trust domain's issuer of JWT-SVIDs. The specification needs no iss and no iat (JWT-SVID §3); here both must be present, as for every token: a token
// without iss could be any trust domain's. SPIRE sends it where its jwt_issuer is set. A workload's id has a path, of which no part is a dot or two (SPIFFE-ID
// §2.2), and one audience, so that no recipient can pass the token on to another (JWT-SVID §6.2).
func spiffe() Preset {
	return Preset{
		Kind:       "jwt",
		Algorithms: []string{"RS256", "ES256", "ES384"},
		ClaimTypes: map[string]string{},
		Conditions: []Condition{{
			Expression: `claims.sub.matches("^(spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*)+)$")`,
			Message:    "the subject is a workload's SPIFFE ID",
		}, {
			Expression: `list(claims.aud).size() == 1`,
			Message:    "the token is for one audience",
		}},
	}
}
