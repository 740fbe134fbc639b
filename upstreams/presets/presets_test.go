package presets_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fedbroker/mappers"
	"fedbroker/mappers/expr"
	"fedbroker/upstreams/presets"
)

// registered are claims that a preset need not declare: RFC 7519 §4.1 types them.
var registered = []string{"aud", "exp", "iat", "iss", "jti", "nbf", "sub"}

// untyped are claims of real tokens that no single type describes.
var untyped = map[string][]string{"gitlab": {"user_identities"}}

var exprTypes = map[string]expr.Type{
	presets.TypeBool: expr.Bool, presets.TypeInt: expr.Int, presets.TypeDouble: expr.Double, presets.TypeString: expr.String,
	presets.TypeStringList: expr.StringList, presets.TypeMap: expr.Map,
}

// golden reads what a real issuer sends, with whole numbers as integers.
func golden(t *testing.T, file string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil {
		t.Fatal(err)
	}
	for name, v := range claims {
		if f, ok := v.(float64); ok {
			claims[name] = int64(f)
		}
	}
	return claims
}

func typeOf(v any) string {
	switch v := v.(type) {
	case bool:
		return presets.TypeBool
	case int64:
		return presets.TypeInt
	case string:
		return presets.TypeString
	case map[string]any:
		return presets.TypeMap
	case []any:
		for _, e := range v {
			if _, ok := e.(string); !ok {
				return "list"
			}
		}
		return presets.TypeStringList
	}
	return "?"
}

func TestGoldenTokensHaveTheDeclaredClaims(t *testing.T) {
	for file, name := range map[string]string{
		"github-actions.json":           "github-actions",
		"github-actions-immutable.json": "github-actions",
		"gitlab.json":                   "gitlab",
		"kubernetes.json":               "kubernetes",
	} {
		t.Run(file, func(t *testing.T) {
			preset, ok := presets.Find(name)
			if !ok || preset.Name != name {
				t.Fatalf("no preset %s", name)
			}
			claims := golden(t, file)
			for claim, value := range claims {
				if slices.Contains(registered, claim) || slices.Contains(untyped[name], claim) {
					continue
				}
				if got := typeOf(value); preset.ClaimTypes[claim] != got {
					t.Errorf("%s: declared %q, sent %q", claim, preset.ClaimTypes[claim], got)
				}
			}
			if preset.Issuer != "" && claims["iss"] != preset.Issuer {
				t.Errorf("issuer %v", claims["iss"])
			}
			types := map[string]expr.Type{}
			for claim, typ := range preset.ClaimTypes {
				types[claim] = exprTypes[typ]
			}
			activation, err := expr.NewActivation(expr.Input{Claims: claims, Principal: map[string]any{}})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range preset.Conditions {
				program, err := expr.Compile(c.Expression, expr.Options{Vars: expr.Claims, ClaimTypes: mappers.ViewTypes(types)})
				if err != nil {
					t.Fatalf("%s: %v", c.Expression, err)
				}
				if holds, err := program.Holds(activation); err != nil || !holds {
					t.Errorf("%s: %v, %v", c.Expression, holds, err)
				}
			}
		})
	}
}

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
		{"gitlab", "://", true},
		{"kubernetes", "https://kubernetes.default.svc", false},
	} {
		p, _ := presets.Find(tc.preset)
		if p.SharedAt(tc.issuer) != tc.want {
			t.Errorf("%s at %s: want %v", tc.preset, tc.issuer, tc.want)
		}
	}
}
