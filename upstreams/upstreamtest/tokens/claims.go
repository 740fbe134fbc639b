package tokens

import "maps"

// The immutable ids that GitHubClaims and GitLabClaims use.
const (
	GitHubOwnerID      = "123456"
	GitHubRepositoryID = "456789"
	GitLabNamespaceID  = "72"
	GitLabProjectID    = "20"
)

// GitHub adds the claims of a workflow run of owner/repository on ref.
func GitHub(claims map[string]any, owner, repository, ref string) {
	full := owner + "/" + repository
	maps.Copy(claims, map[string]any{
		"actor":                 "octocat",
		"actor_id":              "583231",
		"base_ref":              "",
		"event_name":            "push",
		"head_ref":              "",
		"job_workflow_ref":      full + "/.github/workflows/deploy.yml@" + ref,
		"job_workflow_sha":      "8f3b1c2d4e5f60718293a4b5c6d7e8f901234567",
		"ref":                   ref,
		"ref_protected":         "true",
		"ref_type":              "branch",
		"repository":            full,
		"repository_id":         GitHubRepositoryID,
		"repository_owner":      owner,
		"repository_owner_id":   GitHubOwnerID,
		"repository_visibility": "private",
		"run_attempt":           "1",
		"run_id":                "17283940516",
		"run_number":            "42",
		"runner_environment":    "github-hosted",
		"sha":                   "8f3b1c2d4e5f60718293a4b5c6d7e8f901234567",
		"workflow":              "deploy",
		"workflow_ref":          full + "/.github/workflows/deploy.yml@" + ref,
		"workflow_sha":          "8f3b1c2d4e5f60718293a4b5c6d7e8f901234567",
	})
}

// GitLab adds the claims of a job of namespace/project on a branch.
func GitLab(claims map[string]any, namespace, project, branch string) {
	full := namespace + "/" + project
	maps.Copy(claims, map[string]any{
		"ci_config_ref_uri":  "gitlab.com/" + full + "//.gitlab-ci.yml@refs/heads/" + branch,
		"ci_config_sha":      "714a629c0b401fdce83e847fc9589983fc6f46bc",
		"job_id":             "302",
		"namespace_id":       GitLabNamespaceID,
		"namespace_path":     namespace,
		"pipeline_id":        "574",
		"pipeline_source":    "push",
		"project_id":         GitLabProjectID,
		"project_path":       full,
		"project_visibility": "private",
		"ref":                branch,
		"ref_path":           "refs/heads/" + branch,
		"ref_protected":      "true",
		"ref_type":           "branch",
		"runner_environment": "gitlab-hosted",
		"sha":                "714a629c0b401fdce83e847fc9589983fc6f46bc",
		"user_email":         "dev@partner.example",
		"user_id":            "1",
		"user_login":         "dev",
		"runner_id":          1,
	})
}

// Kubernetes adds the claims of a pod's bound service account token.
func Kubernetes(claims map[string]any, namespace, account string) {
	claims["kubernetes.io"] = map[string]any{
		"namespace":      namespace,
		"node":           map[string]any{"name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
		"pod":            map[string]any{"name": account + "-7d4b9", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
		"serviceaccount": map[string]any{"name": account, "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
	}
}
