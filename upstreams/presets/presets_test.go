package presets_test

import (
	"slices"
	"testing"

	"fedbroker/upstreams/presets"
)

func TestP29_OwnerClaimsAreStrings(t *testing.T) {
	for _, name := range presets.Names() {
		p, _ := presets.Find(name)
		if p.Shared && len(p.OwnerClaims) == 0 {
			t.Errorf("%s is shared and names no owner", name)
		}
		for _, claim := range p.OwnerClaims {
			if p.ClaimTypes[claim] != presets.TypeString {
				t.Errorf("%s: %s is declared %q", name, claim, p.ClaimTypes[claim])
			}
		}
		for claim, typ := range p.ClaimTypes {
			if _, ok := exprTypes[typ]; !ok {
				t.Errorf("%s: %s has unknown type %q", name, claim, typ)
			}
		}
	}
}

func TestFoundPresetIsTheCallersOwn(t *testing.T) {
	p, _ := presets.Find("github-actions")
	p.ClaimTypes["ref"], p.OwnerClaims[0] = "changed", "changed"
	again, _ := presets.Find("github-actions")
	if again.ClaimTypes["ref"] != presets.TypeString || again.OwnerClaims[0] == "changed" {
		t.Error("a caller changed the preset")
	}
	if _, ok := presets.Find("unknown"); ok {
		t.Error("an unknown name was found")
	}
	if !slices.IsSorted(presets.Names()) {
		t.Error("names are not sorted")
	}
}

func TestP29_SharedIsTheIssuersHost(t *testing.T) {
	for _, tc := range []struct {
		preset, issuer string
		want           bool
	}{
		{"github-actions", "https://token.actions.githubusercontent.com", true},
		{"github-actions", "https://token.actions.githubusercontent.com/acme", true},
		{"github-actions", "https://ghes.acme.example/_services/token", false},
		{"gitlab", "https://gitlab.com", true},
		{"gitlab", "https://GITLAB.com/", true},
		{"gitlab", "https://gitlab.acme.example", false},
		{"buildkite", "https://agent.buildkite.com", true},
		{"terraform-cloud", "https://app.terraform.io", true},
		{"terraform-cloud", "https://app.eu.terraform.io", true}, // HCP Europe is another region, not another owner
		{"terraform-cloud", "https://tfe.acme.example", false},
		{"google", "https://accounts.google.com", true},
		{"github", "https://github.com/login/oauth", true},
		{"github", "https://ghes.acme.example/login/oauth", false},
		{"circleci", "https://oidc.circleci.com/org/b9d5a1e3-0f7c-4a7d-9f1e-5d3c1a2b4c6d", false},
		{"gitlab", "://", true},
		{"kubernetes", "https://kubernetes.default.svc", false},
	} {
		p, _ := presets.Find(tc.preset)
		if p.SharedAt(tc.issuer) != tc.want {
			t.Errorf("%s at %s: want %v", tc.preset, tc.issuer, tc.want)
		}
	}
}
