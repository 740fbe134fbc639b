package upstreams_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/presets"
)

// minimal is an upstream with nothing wrong.
func minimal(change func(*upstreams.Spec)) upstreams.Options {
	s := upstreams.Spec{Name: "acme", Kind: "jwt", Issuer: "https://idp.example", Audiences: []upstreams.Audience{{Value: "x"}}}
	change(&s)
	return upstreams.Options{Specs: []upstreams.Spec{s}}
}

// interactive is an upstream for login with nothing wrong.
func interactive(change func(*upstreams.Spec)) upstreams.Options {
	s := upstreams.Spec{Name: "acme", Kind: "oidc", Issuer: "https://idp.example", ClientID: loginID, ClientSecret: "s3cret"}
	change(&s)
	return upstreams.Options{Specs: []upstreams.Spec{s}}
}

func TestP1_NamePattern(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "0-a": true, "acme-prod-2": true, strings.Repeat("a", 32): true,
		"": false, "-a": false, "A": false, "a_b": false, "a|b": false, "a#b": false, "a b": false, "a\n": false, "é": false, strings.Repeat("a", 33): false,
	} {
		found := problems(minimal(func(s *upstreams.Spec) { s.Name = name }))
		if (found["upstreams[0].name"] == "") != ok || ok && len(found) > 0 {
			t.Errorf("%q: want ok %v, got %v", name, ok, found)
		}
	}
}

func TestP1_NamesAreUnique(t *testing.T) {
	o := minimal(func(*upstreams.Spec) {})
	o.Specs = append(o.Specs, o.Specs[0])
	if found := problems(o); len(found) != 1 || found["upstreams[1].name"] == "" {
		t.Errorf("got %v", found)
	}
}

func TestP1_IssuersToPin(t *testing.T) {
	o := minimal(func(*upstreams.Spec) {})
	o.Specs = append(o.Specs,
		upstreams.Spec{Name: "github", Kind: "jwt", Preset: "github-actions", Audiences: []upstreams.Audience{{Value: "x"}}},
		upstreams.Spec{Name: "eks", Kind: "jwt", IssuerPattern: "https://oidc.eks.*.amazonaws.com/id/*", Audiences: []upstreams.Audience{{Value: "x"}}})
	set := upstreams.NewSet(o, func(path, format string, args ...any) { t.Errorf("%s: %s", path, fmt.Sprintf(format, args...)) })
	want := map[string]string{"acme": "https://idp.example", "github": "https://token.actions.githubusercontent.com",
		"eks": "https://oidc.eks.*.amazonaws.com/id/*"}
	if got := set.Issuers(); !maps.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
	if names := set.Names(); !slices.Equal(names, []string{"acme", "github", "eks"}) {
		t.Errorf("names: %v", names)
	}
}

func TestP5_EmailDomainsDefaultToDomainsAndAnyMustBeWritten(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*upstreams.Spec)
		names  []string
		any    bool
	}{
		{"neither", func(*upstreams.Spec) {}, nil, false},
		{"domains", func(s *upstreams.Spec) { s.Domains = []string{"acme.example"} }, []string{"acme.example"}, false},
		{"written", func(s *upstreams.Spec) {
			s.Domains, s.EmailDomains = []string{"acme.example"}, &upstreams.EmailDomains{Names: []string{"mail.example"}}
		}, []string{"mail.example"}, false},
		{"written empty", func(s *upstreams.Spec) {
			s.Domains, s.EmailDomains = []string{"acme.example"}, &upstreams.EmailDomains{Names: []string{}}
		}, nil, false},
		{"any", func(s *upstreams.Spec) { s.EmailDomains = &upstreams.EmailDomains{Any: true} }, nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set := upstreams.NewSet(interactive(tc.change), func(path, format string, args ...any) { t.Errorf("%s: %s", path, fmt.Sprintf(format, args...)) })
			if info, _ := set.Info("acme"); !slices.Equal(info.EmailDomains, tc.names) || info.EmailAny != tc.any {
				t.Errorf("want %v %v, got %+v", tc.names, tc.any, info)
			}
		})
	}
}

func TestP29_SharedIssuersAndTheirOwners(t *testing.T) {
	x := []upstreams.Audience{{Value: "x"}}
	for _, tc := range []struct {
		spec   upstreams.Spec
		shared bool
		owners []string
	}{
		{upstreams.Spec{Name: "a", Kind: "jwt", Preset: "github-actions", Audiences: x}, true, []string{"enterprise_id", "repository_id", "repository_owner_id"}},
		{upstreams.Spec{Name: "a", Kind: "jwt", Preset: "github-actions", Issuer: "https://token.actions.githubusercontent.com/acme", Audiences: x}, true,
			[]string{"enterprise_id", "repository_id", "repository_owner_id"}},
		{upstreams.Spec{Name: "a", Kind: "jwt", Preset: "gitlab", Audiences: x}, true, []string{"namespace_id", "project_id"}},
		{upstreams.Spec{Name: "a", Kind: "jwt", Preset: "gitlab", Issuer: "https://gitlab.acme.example", Audiences: x}, false, []string{"namespace_id", "project_id"}},
		{upstreams.Spec{Name: "a", Kind: "jwt", Preset: "kubernetes", Issuer: "https://kubernetes.default.svc", Audiences: x}, false, nil},
		{upstreams.Spec{Name: "a", Kind: "jwt", Issuer: "https://idp.example", Audiences: x}, false, nil},
		{upstreams.Spec{Name: "a", Kind: "jwt", Preset: "eks", Audiences: x}, true, []string{"iss"}},
		{upstreams.Spec{Name: "a", Kind: "jwt", Preset: "eks", Issuer: "https://oidc.eks.eu-west-1.amazonaws.com/id/A", Audiences: x}, false, []string{"iss"}},
		{upstreams.Spec{Name: "a", Kind: "jwt", Preset: "eks", Issuers: []string{"https://oidc.eks.eu-west-1.amazonaws.com/id/A"}, Audiences: x}, false, []string{"iss"}},
		{upstreams.Spec{Name: "a", Kind: "jwt", Preset: "entra-multitenant", Audiences: x}, true, []string{"tid", "iss"}},
		{upstreams.Spec{Name: "a", Kind: "jwt", IssuerPattern: "https://idp.example/*", Audiences: x}, true, []string{"iss"}},
		{upstreams.Spec{Name: "a", Kind: "jwt", IssuerPattern: "https://idp.example/*", Issuers: []string{"https://idp.example/t1"}, Audiences: x}, false, []string{"iss"}},
	} {
		set := upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{tc.spec}}, func(path, format string, args ...any) {
			t.Errorf("%s: %s", path, fmt.Sprintf(format, args...))
		})
		if info, _ := set.Info("a"); info.Shared != tc.shared || !slices.Equal(info.OwnerClaims, tc.owners) {
			t.Errorf("%+v: got %+v", tc.spec, info)
		}
	}
}

func TestPresetGivesWhatIsNotWritten(t *testing.T) {
	set := upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{{Name: "github", Kind: "jwt", Preset: "github-actions",
		Audiences: []upstreams.Audience{{Value: "x"}}}}}, func(path, format string, args ...any) { t.Errorf("%s: %s", path, fmt.Sprintf(format, args...)) })
	s, ok := set.Effective("github")
	if !ok || s.Issuer != "https://token.actions.githubusercontent.com" || !slices.Equal(s.Algorithms, []string{"RS256"}) ||
		!slices.Equal(s.Subject, upstreams.Claims{"sub"}) || *s.Leeway != 30*time.Second || *s.MaxStale != 24*time.Hour ||
		!slices.Equal(*s.AcceptTyp, []string{"at+jwt"}) {
		t.Errorf("got %+v", s)
	}
	info, _ := set.Info("github")
	if info.ClaimTypes["repository_owner_id"] != "string" || len(info.Conditions) != 1 || info.DisplayName != "github" {
		t.Errorf("got %+v", info)
	}
}

func TestProblemsAreNamedByKey(t *testing.T) {
	day, second := 31*24*time.Hour, time.Second
	for _, tc := range []struct {
		path, text string
		o          upstreams.Options
	}{
		{"kind", "want one of " + strings.Join(upstreams.Kinds(), ", ") + `, got "ldap"`, minimal(func(s *upstreams.Spec) { s.Kind = "ldap" })},
		{"preset", "want one of " + strings.Join(presets.Names(), ", ") + `, got "x"`, minimal(func(s *upstreams.Spec) { s.Preset = "x" })},
		{"preset", "want kind jwt for preset gitlab", interactive(func(s *upstreams.Spec) { s.Preset = "gitlab" })},
		{"issuer", "want one", minimal(func(s *upstreams.Spec) { s.Issuer = "" })},
		{"issuer", "preset kubernetes has none of its own", minimal(func(s *upstreams.Spec) { s.Preset, s.Issuer = "kubernetes", "" })},
		{"issuer", "", minimal(func(s *upstreams.Spec) { s.Issuer = "http://idp.example" })},
		{"issuer", "", minimal(func(s *upstreams.Spec) { s.Issuer = "https://idp.example/?tenant=a" })},
		{"issuer", "", minimal(func(s *upstreams.Spec) { s.Issuer = "https://idp.example/#a" })},
		{"issuer", "", minimal(func(s *upstreams.Spec) { s.Issuer = "https://u:p@idp.example" })},
		{"issuer", "wildcard", minimal(func(s *upstreams.Spec) { s.Issuer = "https://idp.example/*" })},
		{"issuer", "beside issuer_pattern", minimal(func(s *upstreams.Spec) { s.IssuerPattern = "https://idp.example/*" })},
		{"issuers", "without issuer_pattern", minimal(func(s *upstreams.Spec) { s.Issuers = []string{"https://idp.example"} })},
		{"issuers[0]", "matches", minimal(func(s *upstreams.Spec) {
			s.Issuer, s.IssuerPattern, s.Issuers = "", "https://idp.example/*", []string{"https://idp.example/a/b"}
		})},
		{"issuer_pattern", "share keys", minimal(func(s *upstreams.Spec) {
			s.Issuer, s.IssuerPattern, s.JWKSURI = "", "https://idp.example/*", "https://idp.example/jwks"
		})},
		{"issuer_pattern", "kind oidc", interactive(func(s *upstreams.Spec) { s.Issuer, s.IssuerPattern = "", "https://idp.example/*" })},
		{"jwks_uri", "", minimal(func(s *upstreams.Spec) { s.JWKSURI = "http://10.0.0.1/jwks" })},
		{"jwks_file", "not both", minimal(func(s *upstreams.Spec) { s.JWKSURI, s.JWKSFile = "https://idp.example/jwks", "/jwks.json" })},
		{"bearer_token_file", "nobody", minimal(func(s *upstreams.Spec) { s.BearerTokenFile, s.JWKSFile = "/token", "/jwks.json" })},
		{"allow_private[1]", "10.0.0.0/8", minimal(func(s *upstreams.Spec) { s.AllowPrivate = []string{"10.0.0.1", "10.0.0.0/8"} })},
		{"allow_private[0]", "https://x", minimal(func(s *upstreams.Spec) { s.AllowPrivate = []string{"https://x"} })},
		{"credential_hosts[0]", "", minimal(func(s *upstreams.Spec) { s.CredentialHosts = []string{"https://x"} })},
		{"credential_hosts[0]", "", minimal(func(s *upstreams.Spec) { s.CredentialHosts = []string{"*.example"} })},
		{"max_stale", "want 1m0s to 720h0m0s, got 744h0m0s", minimal(func(s *upstreams.Spec) { s.MaxStale = &day })},
		{"max_stale", "got 1s", minimal(func(s *upstreams.Spec) { s.MaxStale = &second })},
		{"algorithms[1]", "HS256", minimal(func(s *upstreams.Spec) { s.Algorithms = []string{"ES256", "HS256"} })},
		{"algorithms[0]", "none", minimal(func(s *upstreams.Spec) { s.Algorithms = []string{"none"} })},
		{"algorithms[1]", "again", minimal(func(s *upstreams.Spec) { s.Algorithms = []string{"ES256", "ES256"} })},
		{"subject", "at most 4", minimal(func(s *upstreams.Spec) { s.Subject = upstreams.Claims{"a", "b", "c", "d", "e"} })},
		{"subject[1]", "again", minimal(func(s *upstreams.Spec) { s.Subject = upstreams.Claims{"a", "a"} })},
		{"authorized_parties[0]", "", minimal(func(s *upstreams.Spec) { s.AuthorizedParties = []string{""} })},
		{"acr_map.x", "", minimal(func(s *upstreams.Spec) { s.ACRMap = map[string]string{"x": ""} })},
		{"amr_map.x", "", minimal(func(s *upstreams.Spec) { s.AMRMap = map[string]string{"x": "é"} })},
		{"domains", "kind jwt", minimal(func(s *upstreams.Spec) { s.Domains = []string{"acme.example"} })},
		{"client_id", "kind jwt", minimal(func(s *upstreams.Spec) { s.ClientID = "x" })},
		{"trust_prompt", "kind jwt", minimal(func(s *upstreams.Spec) { s.TrustPrompt = true })},
		{"domains[0]", "lower case", interactive(func(s *upstreams.Spec) { s.Domains = []string{"Acme.example"} })},
		{"client_id", "", interactive(func(s *upstreams.Spec) { s.ClientID = "" })},
		{"client_secret", "", interactive(func(s *upstreams.Spec) { s.ClientSecret = "" })},
		{"client_secret", "private_key_jwt", interactive(func(s *upstreams.Spec) { s.PrivateKeyFile = "/key.pem" })},
		{"private_key_file", "want a file", interactive(func(s *upstreams.Spec) { s.ClientSecret, s.AuthMethod = "", "private_key_jwt" })},
		{"private_key_file", "want none", interactive(func(s *upstreams.Spec) { s.PrivateKeyFile, s.AuthMethod = "/key.pem", "client_secret_post" })},
		{"auth_method", "client_secret_jwt", interactive(func(s *upstreams.Spec) { s.AuthMethod = "client_secret_jwt" })},
		{"response_mode", "fragment", interactive(func(s *upstreams.Spec) { s.ResponseMode = "fragment" })},
		{"scopes", "openid", interactive(func(s *upstreams.Spec) { s.Scopes = []string{"email"} })},
		{"scopes[1]", "a b", interactive(func(s *upstreams.Spec) { s.Scopes = []string{"openid", "a b"} })},
		{"introspection.endpoint", "credential_hosts", minimal(func(s *upstreams.Spec) {
			s.Introspection = &upstreams.Introspection{Endpoint: "https://other.example/i", ClientID: "c", ClientSecret: "s"}
		})},
		{"introspection.client_secret", "", minimal(func(s *upstreams.Spec) {
			s.Introspection = &upstreams.Introspection{Endpoint: "https://idp.example/i", ClientID: "c"}
		})},
		{"introspection.client_id", "", minimal(func(s *upstreams.Spec) {
			s.Introspection = &upstreams.Introspection{Endpoint: "https://idp.example/i", ClientSecret: "s"}
		})},
		{"introspection.endpoint", "http://idp.example/i", minimal(func(s *upstreams.Spec) {
			s.Introspection = &upstreams.Introspection{Endpoint: "http://idp.example/i", ClientID: "c", ClientSecret: "s"}
		})},
		{"introspection", "audiences", interactive(func(s *upstreams.Spec) {
			s.Audiences, s.Introspection = nil, &upstreams.Introspection{Endpoint: s.Issuer + "/i", ClientID: "c", ClientSecret: "s"}
		})},
		{"introspection", "one issuer", minimal(func(s *upstreams.Spec) {
			s.Issuer, s.IssuerPattern, s.CredentialHosts = "", "https://idp.example/*", []string{"idp.example"}
			s.Introspection = &upstreams.Introspection{Endpoint: "https://idp.example/i", ClientID: "c", ClientSecret: "s"}
		})},
	} {
		t.Run(tc.path+" "+tc.text, func(t *testing.T) {
			found := problems(tc.o)
			if text := found["upstreams[0]."+tc.path]; text == "" || !strings.Contains(text, tc.text) || len(found) != 1 {
				t.Errorf("want %q at %s alone, got %v", tc.text, tc.path, found)
			}
		})
	}
}

func TestAllProblemsAreReportedAtOnce(t *testing.T) {
	hour := time.Hour
	found := problems(minimal(func(s *upstreams.Spec) {
		*s = upstreams.Spec{Name: "A", Kind: "ldap", Preset: "x", Issuer: "ftp://x", JWKSURI: "x", Algorithms: []string{"HS256"}, Leeway: &hour,
			AllowPrivate: []string{"/"}, Subject: upstreams.Claims{"email"}, AcceptTyp: &[]string{"logout+jwt"}}
	}))
	want := []string{"accept_typ[0]", "algorithms[0]", "allow_private[0]", "issuer", "jwks_uri", "kind", "leeway", "name", "preset", "subject[0]"}
	var got []string
	for _, path := range slices.Sorted(maps.Keys(found)) {
		got = append(got, strings.TrimPrefix(path, "upstreams[0]."))
	}
	if !slices.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
}

func TestDomainsBelongToOneUpstream(t *testing.T) {
	o := interactive(func(s *upstreams.Spec) { s.Domains = []string{"acme.example"} })
	o.Specs = append(o.Specs, upstreams.Spec{Name: "b", Kind: "oidc", Issuer: "https://b.example", ClientID: "c", ClientSecret: "s",
		Domains: []string{"b.example", "acme.example"}})
	if found := problems(o); len(found) != 1 || found["upstreams[1].domains[1]"] == "" {
		t.Errorf("got %v", found)
	}
}

func TestSetWithProblemsRegistersNothing(t *testing.T) {
	c := newClock()
	b := newBench(t, c)
	o := minimal(func(s *upstreams.Spec) { s.Kind = "ldap" })
	upstreams.NewSet(o, func(string, string, ...any) {})
	if _, ok := b.set.ByName("acme"); ok {
		t.Error("an empty set knows a name")
	}
	if _, ok := b.set.Info("acme"); ok {
		t.Error("an empty set describes a name")
	}
	if _, ok := b.set.Effective("acme"); ok {
		t.Error("an empty set has a spec")
	}
}
