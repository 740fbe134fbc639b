package presets

// entra is one tenant of Microsoft Entra ID, for people; the issuer is https://login.microsoftonline.com/, the tenant's id, and /v2.0. The sub differs from client to client:
// the subject is tenant and object by id, which is one person's in a login and in an exchange. 9188040d-… is the tenant of all private
// accounts, which is everyone's. In an application's own token sub is oid.
func entra() Preset {
	types := person()
	types["_claim_names"], types["_claim_sources"] = TypeMap, TypeMap
	types["acct"], types["hasgroups"] = TypeInt, TypeBool
	typed(types, TypeStringList, "groups", "roles", "wids")
	typed(types, TypeString, "aio", "azpacr", "idp", "idtyp", "login_hint", "oid", "rh", "scp", "tid", "uti", "ver")
	return Preset{
		Kind:        "oidc",
		Algorithms:  []string{"RS256"},
		Subject:     []string{"tid", "oid"},
		ClaimTypes:  types,
		OwnerClaims: []string{"tid"},
		Conditions: append(entraTenant(), Condition{
			Expression: `claims.oid != claims.sub && (!has(claims.idtyp) || claims.idtyp == "user")`,
			Message:    "the token is a person's, not an application's",
		}),
	}
}

// entraTenant is what holds for every token of a tenant.
func entraTenant() []Condition {
	return []Condition{{
		Expression: `claims.iss.endsWith("/" + claims.tid + "/v2.0")`,
		Message:    "the token is of the issuer's own tenant, in its second version",
	}, {
		Expression: `claims.tid != "9188040d-6c67-4c5b-b112-36a304b66dad"`,
		Message:    "the tenant is not that of all private accounts",
	}}
}

// entraMultitenant is all tenants of Microsoft Entra ID, for tokens of people and of applications that are exchanged; nobody logs in by it. Anybody can have a tenant, so
// that a rule names those that are meant.
func entraMultitenant() Preset {
	p := entra()
	p.Kind = "jwt"
	p.IssuerPattern = "https://login.microsoftonline.com/*/v2.0"
	p.Conditions, p.Shared = entraTenant(), true
	return p
}
