package presets

// kubernetes is a cluster's issuer of service account tokens. Each cluster has an issuer of its own, which belongs to those
// who run it. Only bound tokens (TokenRequest) are meant: the older ones, kept in secrets, have no exp and fail for that.
func kubernetes() Preset {
	return Preset{
		Kind:       "jwt",
		Algorithms: []string{"RS256", "ES256", "ES384"},
		ClaimTypes: map[string]string{"kubernetes.io": TypeMap},
		Conditions: []Condition{{
			Expression: `claims.sub.startsWith("system:serviceaccount:") && claims.sub == "system:serviceaccount:" + claims["kubernetes.io"].namespace + ":" + claims["kubernetes.io"].serviceaccount.name`,
			Message:    "the token is the service account's that it names",
		}},
	}
}
