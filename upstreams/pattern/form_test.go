package pattern_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"fedbroker/upstreams/pattern"
)

func TestP28_OneSegmentPerWildcardAnchored(t *testing.T) {
	eks := pattern.NewForm("https://oidc.eks.*.amazonaws.com/id/*", nil)
	for issuer, want := range map[string]bool{
		"https://oidc.eks.eu-west-1.amazonaws.com/id/0A1B_c-9": true,
		"https://oidc.eks.*.amazonaws.com/id/*":                false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id/*":        false,
		"https://oidc.eks.eu.west.amazonaws.com/id/x":          false,
		"https://oidc.eks..amazonaws.com/id/x":                 false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id/":         false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id":          false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id/x/":       false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id/x/y":      false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id/x.y":      false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id/..":       false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id/x?y":      false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id/x#y":      false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id/x%2fy":    false,
		"https://oidc.eks.eu-west-1.amazonaws.com/id/é":        false,
		"https://oidc.eks.eu-west-1.amazonaws.com:443/id/x":    false,
		"https://oidc.eks.eu-west-1.amazonaws.com.evil/id/x":   false,
		"https://evil.eks.eu-west-1.amazonaws.com/id/x":        false,
		"https://oidc.eks.evil.example/.amazonaws.com/id/x":    false,
		"https://a@oidc.eks.eu-west-1.amazonaws.com/id/x":      false,
		"http://oidc.eks.eu-west-1.amazonaws.com/id/x":         false,
		" https://oidc.eks.eu-west-1.amazonaws.com/id/x":       false,
		"": false,
		"https://oidc.eks.e.amazonaws.com/id/" + strings.Repeat("x", 99):  true,
		"https://oidc.eks.e.amazonaws.com/id/" + strings.Repeat("x", 999): false,
	} {
		if eks.Matches(issuer) != want {
			t.Errorf("%s: want %v", issuer, want)
		}
	}
}

// TestP28_NoWildcardMakesASuffixOfStrangers: below s3.us-east-1.amazonaws.com everybody registers, below s3.local.amazonaws.com only Amazon does.
func TestP28_NoWildcardMakesASuffixOfStrangers(t *testing.T) {
	f := pattern.NewForm("https://*.s3.*.amazonaws.com", nil)
	if f.Matches("https://stranger.s3.us-east-1.amazonaws.com") {
		t.Error("a stranger's bucket is an issuer")
	}
	if !f.Matches("https://bucket.s3.local.amazonaws.com") {
		t.Error("what is of the same domain is none")
	}
}

func TestP28_ListedIssuersAreTheOnlyOnes(t *testing.T) {
	f := pattern.NewForm("https://idp.example/*", []string{"https://idp.example/a"})
	if !f.Matches("https://idp.example/a") || f.Matches("https://idp.example/b") {
		t.Error("want the listed one alone")
	}
}

func TestP28_KeysOnTheIssuersOwnHost(t *testing.T) {
	const issuer = "https://oidc.eu.idp.example:8443/id/x"
	for uri, want := range map[string]bool{
		"https://oidc.eu.idp.example:8443/keys": true, "https://OIDC.eu.idp.example:8443/keys": true,
		"https://oidc.us.idp.example:8443/keys": false, "https://oidc.eu.idp.example/keys": false, "http://oidc.eu.idp.example:8443/keys": false,
		"https://a@oidc.eu.idp.example:8443.evil/keys": false, "": false, "%": false,
	} {
		if pattern.SameHost(issuer, uri) != want {
			t.Errorf("%s: want %v", uri, want)
		}
	}
}

func TestIndexFindsWhatMatchesAndNothingElse(t *testing.T) {
	var x pattern.Index[int]
	patterns := []string{"https://*.a.example/*", "https://*.a.example/v2", "https://b.a.example/*", "https://*.a.example/*/v2", "https://*.a.example/*"}
	for i, p := range patterns {
		x.Add(p, i)
	}
	for i := range 5000 {
		x.Add(fmt.Sprintf("https://*.t%d.example/*", i), 1000+i)
	}
	for issuer, want := range map[string][]int{
		"https://b.a.example/v2": {0, 1, 2, 4}, "https://c.a.example/v3": {0, 4}, "https://b.a.example/x/v2": {3}, "https://*.a.example/*": nil,
		"https://x.t4321.example/y": {5321}, "https://x.t5000.example/y": nil, "": nil, "https://b.a.example/v2/": nil,
	} {
		found := x.Find(issuer)
		slices.Sort(found)
		if !slices.Equal(found, want) {
			t.Errorf("%s: want %v, got %v", issuer, want, found)
		}
		for i, p := range patterns {
			if pattern.NewForm(p, nil).Matches(issuer) != slices.Contains(found, i) {
				t.Errorf("%s and %s: form and index differ", p, issuer)
			}
		}
	}
}

// FuzzForm: whatever matches has only what is written beside one segment for each wildcard.
func FuzzForm(f *testing.F) {
	form := pattern.NewForm("https://oidc.eks.*.amazonaws.com/id/*", nil)
	matching := 0
	for _, seed := range []string{"https://oidc.eks.eu.amazonaws.com/id/x", "https://oidc.eks.*.amazonaws.com/id/*", "https://oidc.eks.a.b.amazonaws.com/id/x", ""} {
		f.Add(seed)
		if form.Matches(seed) {
			matching++
		}
	}
	if matching != 1 {
		f.Fatalf("%d seeds match", matching)
	}
	f.Fuzz(func(t *testing.T, issuer string) {
		if !form.Matches(issuer) {
			return
		}
		rest, ok := strings.CutPrefix(issuer, "https://oidc.eks.")
		region, id, cut := strings.Cut(rest, ".amazonaws.com/id/")
		if !ok || !cut || region == "" || id == "" || strings.Trim(region+id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			t.Errorf("%q matches", issuer)
		}
	})
}
