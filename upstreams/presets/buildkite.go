package presets

// buildkite is the issuer of Buildkite's job tokens, one for all organisations. The default sub is made of names that change and of the commit, so
// the subject is organisation and pipeline by id. Both ids are optional claims: a job asks for them with --claim organization_id,pipeline_id. build_tag and
// step_key are null where there is none.
func buildkite() Preset {
	types := map[string]string{"build_number": TypeInt, "https://aws.amazon.com/tags": TypeMap}
	typed(types, TypeString,
		"agent_id", "build_branch", "build_commit", "build_id", "build_source", "build_tag", "cluster_id", "cluster_name", "job_id", "organization_id",
		"organization_slug", "pipeline_id", "pipeline_slug", "queue_id", "queue_key", "runner_environment", "step_key",
	)
	return Preset{
		Kind:        "jwt",
		Issuer:      "https://agent.buildkite.com",
		Algorithms:  []string{"RS256"},
		Subject:     []string{"organization_id", "pipeline_id"},
		ClaimTypes:  types,
		OwnerClaims: []string{"cluster_id", "organization_id", "pipeline_id"},
		Shared:      true,
		Conditions: []Condition{{
			Expression: `has(claims.organization_id) && claims.organization_id != "" && has(claims.pipeline_id) && claims.pipeline_id != ""`,
			Message:    "a job's token names its organization and its pipeline by id: ask for it with --claim organization_id,pipeline_id",
		}},
	}
}
