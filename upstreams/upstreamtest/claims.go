package upstreamtest

import (
	"fmt"
	"time"
)

// tokenLife is how long the tokens of Claims live.
const tokenLife = 5 * time.Minute

// The immutable ids that GitHubClaims and GitLabClaims use.
const (
	GitHubOwnerID      = "123456"
	GitHubRepositoryID = "456789"
	GitLabNamespaceID  = "72"
	GitLabProjectID    = "20"
)

// Claims are the registered claims of a token for sub and aud, issued now: iss, sub, aud, iat, nbf, exp and a jti that no other
// token of this IdP has. The map is the caller's to change.
func (p *IdP) Claims(sub, aud string) map[string]any {
	p.mu.Lock()
	p.issued++
	jti := fmt.Sprintf("%s-%d", p.o.Name, p.issued)
	p.mu.Unlock()
	now := p.o.Now()
	return map[string]any{
		"iss": p.Issuer(),
		"sub": sub,
		"aud": aud,
		"iat": now.Unix(),
		"nbf": now.Unix(),
		"exp": now.Add(tokenLife).Unix(),
		"jti": jti,
	}
}

// GitHubClaims are those of a workflow run of owner/repository on ref (refs/heads/main) with the sub in use until July 2026,
// repo:owner/repository:ref:….
func (p *IdP) GitHubClaims(aud, owner, repository, ref string) map[string]any {
	full := owner + "/" + repository
	claims := p.Claims("repo:"+full+":ref:"+ref, aud)
	for name, value := range map[string]string{
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
	} {
		claims[name] = value
	}
	return claims
}

// GitHubImmutableClaims are GitHubClaims with the sub of repositories made or renamed since July 2026, repo:owner@ID/repository@ID:ref:….
func (p *IdP) GitHubImmutableClaims(aud, owner, repository, ref string) map[string]any {
	claims := p.GitHubClaims(aud, owner, repository, ref)
	claims["sub"] = fmt.Sprintf("repo:%s@%s/%s@%s:ref:%s", owner, GitHubOwnerID, repository, GitHubRepositoryID, ref)
	return claims
}

// GitLabClaims are those of a job of namespace/project on a branch.
func (p *IdP) GitLabClaims(aud, namespace, project, branch string) map[string]any {
	full := namespace + "/" + project
	claims := p.Claims("project_path:"+full+":ref_type:branch:ref:"+branch, aud)
	for name, value := range map[string]string{
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
	} {
		claims[name] = value
	}
	claims["runner_id"] = 1
	return claims
}

// KubernetesClaims are those of a pod's bound service account token.
func (p *IdP) KubernetesClaims(aud, namespace, account string) map[string]any {
	claims := p.Claims("system:serviceaccount:"+namespace+":"+account, "")
	claims["aud"] = []string{aud}
	claims["kubernetes.io"] = map[string]any{
		"namespace":      namespace,
		"node":           map[string]any{"name": "node-1", "uid": "646e7c5e-32d6-4d42-9dbd-e504e6cbe6b1"},
		"pod":            map[string]any{"name": account + "-7d4b9", "uid": "5e0bd49b-f040-43b0-99b7-22765a53f7f3"},
		"serviceaccount": map[string]any{"name": account, "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
	}
	return claims
}
