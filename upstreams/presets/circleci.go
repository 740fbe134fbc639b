package presets

// circleci is CircleCI's issuer of job tokens. Each organisation has an issuer of its own, https://oidc.circleci.com/org/ and its id. There are two forms of sub, and
// both name who began the run, so the subject is the project. Who reruns a job with SSH has a shell in it, and its tokens.
func circleci() Preset {
	types := map[string]string{"oidc.circleci.com/context-ids": TypeStringList, "oidc.circleci.com/ssh-rerun": TypeBool}
	typed(types, TypeString,
		"oidc.circleci.com/job-id", "oidc.circleci.com/pipeline-definition-id", "oidc.circleci.com/project-id", "oidc.circleci.com/vcs-origin",
		"oidc.circleci.com/vcs-ref", "oidc.circleci.com/vcs-sha", "oidc.circleci.com/workflow-id",
	)
	return Preset{
		Kind:        "jwt",
		Algorithms:  []string{"RS256"},
		Subject:     []string{"oidc.circleci.com/project-id"},
		ClaimTypes:  types,
		OwnerClaims: []string{"oidc.circleci.com/project-id"},
		Conditions: []Condition{{
			Expression: `claims.sub.contains("/project/" + claims["oidc.circleci.com/project-id"] + "/")`,
			Message:    "the subject is of the project that the token names",
		}, {
			Expression: `!("oidc.circleci.com/ssh-rerun" in claims) || !claims["oidc.circleci.com/ssh-rerun"]`,
			Message:    "the job was not rerun with SSH",
		}},
	}
}
