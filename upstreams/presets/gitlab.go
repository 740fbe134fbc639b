package presets

// gitlab is GitLab CI's issuer of ID tokens: gitlab.com, or, with an issuer of its own, an installation that one runs oneself.
// Ids are strings but for runner_id.
func gitlab() Preset {
	types := map[string]string{"runner_id": TypeInt, "groups_direct": TypeStringList}
	typed(types, TypeString,
		"ci_config_ref_uri", "ci_config_sha", "deployment_tier", "environment", "environment_action", "environment_protected", "job_id",
		"job_namespace_id", "job_namespace_path", "job_project_id", "job_project_path", "namespace_id", "namespace_path", "pipeline_id",
		"pipeline_source", "project_id", "project_path", "project_visibility", "ref", "ref_path", "ref_protected", "ref_type",
		"runner_environment", "sha", "user_access_level", "user_email", "user_id", "user_login",
	)
	return Preset{
		Kind:        "jwt",
		Issuer:      "https://gitlab.com",
		Algorithms:  []string{"RS256"},
		ClaimTypes:  types,
		OwnerClaims: []string{"namespace_id", "project_id"},
		Shared:      true,
		Conditions: []Condition{{
			Expression: `has(claims.project_id) && claims.project_id != "" && has(claims.namespace_id) && claims.namespace_id != ""`,
			Message:    "a job's token names its project and its namespace by id",
		}},
	}
}
