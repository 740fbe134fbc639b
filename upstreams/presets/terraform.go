package presets

// terraformCloud is the issuer of workload identity tokens of HCP Terraform, one for all organisations of a region, or, with an issuer of its own, an
// installation of Terraform Enterprise. The sub is made of names; the subject is organisation and workspace by id, and whether the run plans or applies. Tokens
// of Stacks name no workspace and are refused.
func terraformCloud() Preset {
	types := map[string]string{}
	typed(types, TypeString,
		"terraform_full_workspace", "terraform_organization_id", "terraform_organization_name", "terraform_project_id", "terraform_project_name",
		"terraform_run_id", "terraform_run_phase", "terraform_workspace_id", "terraform_workspace_name",
	)
	return Preset{
		Kind:        "jwt",
		Issuer:      "https://app.terraform.io",
		Algorithms:  []string{"RS256"},
		Subject:     []string{"terraform_organization_id", "terraform_workspace_id", "terraform_run_phase"},
		ClaimTypes:  types,
		OwnerClaims: []string{"terraform_organization_id", "terraform_project_id", "terraform_workspace_id"},
		Shared:      true,
		SharedHosts: []string{"app.eu.terraform.io"},
		Conditions: []Condition{{
			Expression: `claims.terraform_organization_id.startsWith("org-") && claims.terraform_workspace_id.startsWith("ws-")`,
			Message:    "a run's token names its organization and its workspace by id",
		}, {
			Expression: `claims.sub.endsWith(":run_phase:" + claims.terraform_run_phase)`,
			Message:    "the subject is of the phase that the token names",
		}},
	}
}
