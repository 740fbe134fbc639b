package presets

// githubActions is the issuer of GitHub Actions' workflow tokens. All of its claims are strings, "true" and ids included. The
// default sub names organisation and repository (repo:org/repo:…), since July 2026 with their ids (repo:org@ID/repo@ID:…) for new and
// renamed repositories: a rule should pin the ids, which are claims of their own in both.
func githubActions() Preset {
	types := map[string]string{}
	typed(types, TypeString,
		"actor", "actor_id", "base_ref", "check_run_id", "enterprise", "enterprise_id", "environment", "environment_node_id", "event_name", "head_ref",
		"job_workflow_ref", "job_workflow_sha", "ref", "ref_protected", "ref_type", "repository", "repository_id", "repository_owner",
		"repository_owner_id", "repository_visibility", "run_attempt", "run_id", "run_number", "runner_environment", "sha", "workflow",
		"workflow_ref", "workflow_sha",
	)
	return Preset{
		Kind:        "jwt",
		Issuer:      "https://token.actions.githubusercontent.com",
		Algorithms:  []string{"RS256"},
		ClaimTypes:  types,
		OwnerClaims: []string{"enterprise_id", "repository_id", "repository_owner_id"},
		Shared:      true,
		Conditions: []Condition{{
			Expression: `has(claims.repository_id) && claims.repository_id != "" && has(claims.repository_owner_id) && claims.repository_owner_id != ""`,
			Message:    "a workflow token names its repository and its owner by id",
		}},
	}
}
