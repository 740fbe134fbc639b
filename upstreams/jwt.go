package upstreams

import "fedbroker/upstreams/spec"

// jwtKind verifies an issuer's JWTs and does nothing else: CI systems, clusters, workload identity.
var jwtKind = spec.Kind{
	Foreign: append(append(spec.EndpointKeys(), spec.SAMLKeys()...),
		"auth_method", "client_id", "client_secret", "domains", "linking", "private_key_file", "refresh", "response_mode", "scopes", "trust_prompt",
	),
	Check: func(c *spec.Check) {
		if len(c.Spec.Audiences) == 0 && !c.Asserted { // P11
			c.Bad("audiences", "want at least one, or a client whose assertion names this upstream: nothing can be done with its tokens")
		}
	},
}
