package presets

// eks is the issuers of service account tokens of all clusters in Amazon EKS, https://oidc.eks.REGION.amazonaws.com/id/ID: anybody can have a cluster, so that a rule says by
// its issuer whose cluster is meant. Clusters in China have another domain, and are configured by their issuers.
func eks() Preset {
	p := kubernetes()
	p.IssuerPattern = "https://oidc.eks.*.amazonaws.com/id/*"
	p.Algorithms = []string{"RS256"}
	typed(p.ClaimTypes, TypeString, "iss")
	p.OwnerClaims, p.Shared = []string{"iss"}, true
	return p
}
