package upstreamtest

import (
	"fmt"
	"time"

	"fedbroker/upstreams/upstreamtest/tokens"
)

// tokenLife is how long the tokens of Claims live.
const tokenLife = 5 * time.Minute

// The immutable ids that GitHubClaims and GitLabClaims use.
const (
	GitHubOwnerID      = tokens.GitHubOwnerID
	GitHubRepositoryID = tokens.GitHubRepositoryID
	GitLabNamespaceID  = tokens.GitLabNamespaceID
	GitLabProjectID    = tokens.GitLabProjectID
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
	claims := p.Claims("repo:"+owner+"/"+repository+":ref:"+ref, aud)
	tokens.GitHub(claims, owner, repository, ref)
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
	claims := p.Claims("project_path:"+namespace+"/"+project+":ref_type:branch:ref:"+branch, aud)
	tokens.GitLab(claims, namespace, project, branch)
	return claims
}

// KubernetesClaims are those of a pod's bound service account token.
func (p *IdP) KubernetesClaims(aud, namespace, account string) map[string]any {
	claims := p.Claims("system:serviceaccount:"+namespace+":"+account, "")
	claims["aud"] = []string{aud}
	tokens.Kubernetes(claims, namespace, account)
	return claims
}
