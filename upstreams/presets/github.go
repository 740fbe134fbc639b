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

// github is GitHub itself, for people: plain OAuth 2.0, without an ID token. Everyone can have an account. The id is one account's for ever, and a number; login and name are changed at will, and another's
// tomorrow. An address counts only as the primary one of those that the API lists, if it is verified: the one in the profile is what somebody wrote there. GitHub Enterprise
// Server has endpoints of its own, which have to be written.
func github() Preset {
	types := person()
	typed(types, TypeString,
		"avatar_url", "bio", "blog", "company", "created_at", "gravatar_id", "html_url", "location", "login", "node_id", "sub", "twitter_username",
		"type", "url", "user_view_type",
	)
	typed(types, TypeInt,
		"collaborators", "disk_usage", "followers", "following", "id", "owned_private_repos", "private_gists", "public_gists", "public_repos",
		"total_private_repos",
	)
	typed(types, TypeBool, "hireable", "site_admin", "two_factor_authentication")
	typed(types, TypeMap, "plan")
	return Preset{
		Kind:        "oauth2",
		Issuer:      "https://github.com/login/oauth", // its iss in authorization responses (RFC 9207)
		Subject:     []string{"id"},
		ClaimTypes:  types,
		OwnerClaims: []string{"sub"},
		Shared:      true,
		Endpoints: Endpoints{
			Authorization: "https://github.com/login/oauth/authorize",
			Token:         "https://github.com/login/oauth/access_token",
			UserInfo:      "https://api.github.com/user",
			Emails:        "https://api.github.com/user/emails?per_page=100",
		},
		AuthMethod:      "client_secret_post",
		CredentialHosts: []string{"api.github.com"},
		Scopes:          []string{"read:user", "user:email"},
		Standard:        map[string]string{"picture": "avatar_url", "preferred_username": "login", "profile": "html_url"},
		Conditions: []Condition{{
			Expression: `has(claims.type) && claims.type == "User"`,
			Message:    "the account is a person's",
		}},
	}
}
