package presets

// gke is the issuers of service account tokens of all clusters in Google Kubernetes Engine: project, location and cluster by name. Anybody can have one, so that a rule says by its
// issuer whose cluster is meant. A project of a domain (example.com:project) is not matched, and is configured by its issuer.
func gke() Preset {
	p := kubernetes()
	p.IssuerPattern = "https://container.googleapis.com/v1/projects/*/locations/*/clusters/*"
	p.Algorithms = []string{"RS256"}
	typed(p.ClaimTypes, TypeString, "iss")
	p.OwnerClaims, p.Shared = []string{"iss"}, true
	return p
}
