package upstreams_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"

	"fedbroker/upstreams"
)

// What is told of many upstreams is what would be told of each two of them alone: none that have something in common are left uncompared.
func TestNewSet_ComparesAllThatHaveSomethingInCommon(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	told := 0
	for round := range 200 {
		specs := make([]upstreams.Spec, 8)
		for i := range specs {
			s := upstreams.Spec{Name: fmt.Sprintf("up-%d", i)}
			issuer, value := fmt.Sprintf("https://%s.idp.example", pick("a", "b", "c")), func() string { return pick("x", "y", "z", "w") }
			switch pick("jwt", "oidc", "pattern", "listed", "oauth2") {
			case "jwt":
				s.Kind, s.Issuer, s.Audiences = "jwt", issuer, []upstreams.Audience{{Value: value()}}
			case "oidc":
				s.Kind, s.Issuer, s.ClientID, s.AuthMethod, s.PrivateKeyFile = "oidc", issuer, value(), "private_key_jwt", "/keys/"+value()
				s.Audiences = []upstreams.Audience{{Value: value() + value()}, {Value: value()}}
			case "pattern":
				s.Kind, s.IssuerPattern, s.Audiences = "jwt", "https://*.idp.example", []upstreams.Audience{{Value: value()}}
			case "listed":
				s.Kind, s.IssuerPattern, s.Issuers, s.Audiences = "jwt", "https://*.idp.example", []string{issuer}, []upstreams.Audience{{Value: value()}}
			case "oauth2":
				s.Kind, s.Issuer, s.ClientID, s.ClientSecret, s.Subject = "oauth2", issuer, value(), "s3cret", []string{"id"}
				s.AuthorizationEndpoint, s.TokenEndpoint, s.UserInfoEndpoint = issuer+"/authorize", pick("https://t.example/token", "https://T.example:443/token", issuer+"/token"), issuer+"/me"
				s.CredentialHosts = []string{"t.example"}
			}
			specs[i] = s
		}
		want := map[string]bool{}
		for k := range specs {
			for i := range specs[:k] {
				maps.Copy(want, compared(specs, i, k))
			}
		}
		got := compared(specs)
		if !maps.Equal(got, want) {
			t.Fatalf("round %d: want\n%v\ngot\n%v", round, want, got)
		}
		told += len(got)
	}
	if told < 1000 {
		t.Errorf("want many problems to compare, got %d", told)
	}
}

// compared is what is told of those of the upstreams, or of all.
func compared(specs []upstreams.Spec, only ...int) map[string]bool {
	if only == nil {
		for i := range specs {
			only = append(only, i)
		}
	}
	some, told := make([]upstreams.Spec, len(only)), map[string]bool{}
	for i, of := range only {
		some[i] = specs[of]
	}
	upstreams.NewSet(upstreams.Options{Specs: some, OurIssuer: ourIssuer}, func(path, format string, args ...any) {
		told[renumbered(path+": "+fmt.Sprintf(format, args...), only)] = true
	})
	return told
}

var index = regexp.MustCompile(`upstreams\[([0-9]+)\]`)

// renumbered is a text about some upstreams as it is told of them among all.
func renumbered(text string, only []int) string {
	return index.ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.Atoi(index.FindStringSubmatch(s)[1])
		return fmt.Sprintf("upstreams[%d]", only[n])
	})
}
