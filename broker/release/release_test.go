package release_test

import (
	"fmt"
	"slices"
	"testing"

	"fedbroker/broker/release"
)

var scopes = release.New(map[string][]string{"billing": {"cost_center"}, "profile": {"tenant"}, "contact": {"email"}})

func TestP8_AScopeReleasesItsClaimsAndNoOthers(t *testing.T) {
	claims := map[string]any{"name": "Ada", "tenant": "acme", "cost_center": "100", "email": "a@b.example", "email_verified": true, "groups": []string{"g"}, "secret": "s", "phone_number": "1"}
	for scope, want := range map[string]string{
		"openid": "map[]", "offline_access": "map[]", "unknown": "map[]", "": "map[]",
		"profile": "map[name:Ada tenant:acme]", "billing": "map[cost_center:100]", "groups": "map[groups:[g]]", "phone": "map[phone_number:1]",
		"email": "map[email:a@b.example email_verified:true]", "contact": "map[email:a@b.example email_verified:true]",
	} {
		if got := fmt.Sprint(scopes.Of(claims, []string{scope})); got != want {
			t.Errorf("%s: %s, want %s", scope, got, want)
		}
	}
	if got := scopes.Of(claims, nil); len(got) != 0 {
		t.Error(got)
	}
}

func TestP5_AnAddressNeverLeavesWithoutTheWordOnIt(t *testing.T) {
	for name, c := range map[string]struct {
		claims map[string]any
		want   string
	}{
		"verified":     {map[string]any{"email": "a@b.example", "email_verified": true}, "map[email:a@b.example email_verified:true]"},
		"not verified": {map[string]any{"email": "a@b.example", "email_verified": false}, "map[email:a@b.example email_verified:false]"},
		"not said":     {map[string]any{"email": "a@b.example"}, "map[]"},
	} {
		for _, scope := range []string{"email", "contact"} {
			if got := fmt.Sprint(scopes.Of(c.claims, []string{scope})); got != c.want {
				t.Errorf("%s by %s: %s, want %s", name, scope, got, c.want)
			}
		}
	}
}

func TestP5_AWordThatIsNoneTakesTheAddressWithIt(t *testing.T) {
	for _, word := range []any{"true", 1, nil} {
		if got := scopes.Of(map[string]any{"email": "a@b.example", "email_verified": word}, []string{"email"}); len(got) != 0 {
			t.Errorf("%v: %v", word, got)
		}
	}
}

func TestP35_ScopesThatMeanSomethingToALogin(t *testing.T) {
	for _, scope := range []string{"openid", "offline_access", "profile", "email", "address", "phone", "groups", "billing"} {
		if !scopes.Known(scope) || !slices.Contains(scopes.Names(), scope) {
			t.Errorf("%s is not known", scope)
		}
	}
	if scopes.Known("orders.read") || scopes.Known("") {
		t.Error("a scope of an audience is known")
	}
}

func TestConfiguredScopesLeaveTheStandardOnesAlone(t *testing.T) {
	if slices.Contains(release.New(nil).Claims("profile"), "tenant") {
		t.Error("one configuration reached another")
	}
	if all := scopes.AllClaims(); !slices.IsSorted(all) || !slices.Contains(all, "sub") || !slices.Contains(all, "cost_center") || len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Error(all)
	}
}
