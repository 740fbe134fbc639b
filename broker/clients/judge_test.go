package clients_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/mappers"
)

const issuer = "https://login.example.com"

var hash = strings.Repeat("ab", 32)

// wiki is a good confidential client, spa a good public one.
func wiki() clients.Spec {
	return clients.Spec{
		ID: "wiki", SecretSHA256: hash, RedirectURIs: []string{"https://wiki.example.com/callback"}, GrantTypes: []string{"authorization_code", "refresh_token"},
		Scopes: []string{"openid"}, Upstreams: []string{"acme"},
	}
}

func spa() clients.Spec {
	return clients.Spec{ID: "spa", Public: true, RedirectURIs: []string{"https://spa.example.com/cb"}, Origins: []string{"https://spa.example.com"}, GrantTypes: []string{"authorization_code"}}
}

// problems judges specs and returns the paths of problems and of warnings.
func problems(specs ...clients.Spec) (bad, warn []string, texts string) {
	note := func(to *[]string) func(path, format string, args ...any) {
		return func(path, format string, args ...any) {
			*to = append(*to, path)
			texts += path + ": " + fmt.Sprintf(format, args...) + "\n"
		}
	}
	clients.NewRegistry(clients.Options{
		Specs: specs, Issuer: issuer, Upstreams: map[string][]string{"acme": {"gw"}, "cluster": {issuer}}, Algorithms: []string{"ES256", "RS256"},
	}, note(&bad), note(&warn))
	return bad, warn, texts
}

func ptr[T any](v T) *T { return &v }

// change is one thing done to the wiki client and where it is a problem, "" meaning nowhere.
type change struct {
	name string
	do   func(*clients.Spec)
	at   string
}

func judgeChanges(t *testing.T, base func() clients.Spec, all []change) {
	t.Helper()
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			s := base()
			c.do(&s)
			var want []string
			if c.at != "" {
				want = []string{"clients[0]." + c.at}
			}
			if bad, _, texts := problems(s); !slices.Equal(bad, want) {
				t.Errorf("problems %q, want %q", texts, want)
			}
		})
	}
}

func TestGoodClients(t *testing.T) {
	if bad, warn, texts := problems(wiki(), spa()); len(bad)+len(warn) > 0 {
		t.Error(texts)
	}
}

func TestP3_ClientIDs(t *testing.T) {
	for id, good := range map[string]bool{
		"wiki": true, "A-z_0.9": true, strings.Repeat("a", 64): true, "": false, strings.Repeat("a", 65): false, "a b": false, "a|b": false, "a#b": false,
		"a:b": false, "ä": false, "a/b": false, "dcr_x": false, "cimd_x": false, "a\n": false,
	} {
		s := wiki()
		s.ID = id
		if bad, _, _ := problems(s); slices.Contains(bad, "clients[0].id") == good {
			t.Errorf("id %q: problems %v", id, bad)
		}
	}
	if bad, _, _ := problems(wiki(), wiki()); !slices.Equal(bad, []string{"clients[1].id"}) {
		t.Errorf("one id twice: %v", bad)
	}
}

func TestP37_OneCredential(t *testing.T) {
	judgeChanges(t, wiki, []change{
		{"none", func(s *clients.Spec) { s.SecretSHA256 = "" }, "secret_sha256"},
		{"secret and public", func(s *clients.Spec) { s.Public = true }, "secret_sha256"},
		{"secret and keys", func(s *clients.Spec) { s.JWKSFile = "/keys" }, "jwks_file"},
		{"upper-case hash", func(s *clients.Spec) { s.SecretSHA256 = strings.ToUpper(hash) }, "secret_sha256"},
		{"short hash", func(s *clients.Spec) { s.SecretSHA256 = hash[2:] }, "secret_sha256"},
		{"a secret in place of its hash", func(s *clients.Spec) { s.SecretSHA256 = strings.Repeat("zz", 32) }, "secret_sha256"},
		{"keys over http", func(s *clients.Spec) { s.SecretSHA256, s.JWKSURI = "", "http://keys.example.com/" }, "jwks_uri"},
		{"keys over https", func(s *clients.Spec) { s.SecretSHA256, s.JWKSURI = "", "https://keys.example.com/" }, ""},
		{"basic", func(s *clients.Spec) { s.AuthMethod = "client_secret_basic" }, ""},
		{"post", func(s *clients.Spec) { s.AuthMethod = "client_secret_post" }, ""},
		{"none beside a secret", func(s *clients.Spec) { s.AuthMethod = "none" }, "auth_method"},
		{"private_key_jwt beside a secret", func(s *clients.Spec) { s.AuthMethod = "private_key_jwt" }, "auth_method"},
		{"client_secret_jwt", func(s *clients.Spec) { s.AuthMethod = "client_secret_jwt" }, "auth_method"},
		{"legacy audience beside a secret", func(s *clients.Spec) { s.AssertionAud = "legacy" }, "assertion_aud"},
		{"legacy audience beside keys", func(s *clients.Spec) { s.SecretSHA256, s.JWKSFile, s.AssertionAud = "", "/keys", "legacy" }, ""},
		{"another audience", func(s *clients.Spec) { s.SecretSHA256, s.JWKSFile, s.AssertionAud = "", "/keys", "any" }, "assertion_aud"},
	})
}

func TestP33_RedirectURIs(t *testing.T) {
	const (
		good = iota
		warned
		refused
	)
	for _, test := range []struct {
		uri            string
		normal, native int
	}{
		{"https://a.example/cb", good, good},
		{"https://a.example:8443/cb?x=1", good, good},
		{"http://127.0.0.1:8080/cb", warned, good},
		{"http://[::1]/cb", warned, good},
		{"http://localhost/cb", warned, warned},
		{"http://a.example/cb", refused, refused},
		{"http://127.0.0.1.a.example/cb", refused, refused},
		{"http://127.0.0.2/cb", refused, refused},
		{"https://a.example/*", refused, refused},
		{"https://*.example/", refused, refused},
		{"https://a.example/cb#", refused, refused},
		{"https://a.example/cb#x", refused, refused},
		{"https://user@a.example/cb", refused, refused},
		{"https://user:pw@a.example/cb", refused, refused},
		{"https:///cb", refused, refused},
		{"/cb", refused, refused},
		{"", refused, refused},
		{"https://a.example/c b", refused, refused},
		{"https://a.example/\x01", refused, refused},
		{"javascript:alert(1)", refused, refused},
		{"data:text/html,x", refused, refused},
		{"com.example.app:/cb", refused, good},
		{"com.example.app://host/cb", refused, refused},
		{"app:/cb", refused, refused},
	} {
		for native, want := range map[bool]int{false: test.normal, true: test.native} {
			s := wiki()
			s.RedirectURIs, s.PostLogoutRedirectURIs, s.Native = []string{test.uri}, []string{test.uri}, native
			bad, warn, texts := problems(s)
			got := good
			if len(warn) > 0 {
				got = warned
			}
			if len(bad) > 0 {
				got = refused
				if !slices.Equal(bad, []string{"clients[0].redirect_uris[0]", "clients[0].post_logout_redirect_uris[0]"}) {
					t.Errorf("%q: problems at %v", test.uri, bad)
				}
			}
			if got != want {
				t.Errorf("%q native %v: %d, want %d (%s)", test.uri, native, got, want, texts)
			}
			if strings.Contains(texts, ":pw@") {
				t.Errorf("the password is shown: %s", texts)
			}
		}
	}
}

func TestP32_PKCE(t *testing.T) {
	s := wiki()
	s.PKCE = "optional"
	if bad, warn, _ := problems(s); len(bad) > 0 || !slices.Equal(warn, []string{"clients[0].pkce"}) {
		t.Errorf("confidential: problems %v, warnings %v", bad, warn)
	}
	judgeChanges(t, spa, []change{
		{"optional for a public client", func(s *clients.Spec) { s.PKCE = "optional" }, "pkce"},
		{"unknown", func(s *clients.Spec) { s.PKCE = "plain" }, "pkce"},
		{"required", func(s *clients.Spec) { s.PKCE = "required" }, ""},
	})
}

func TestOrigins(t *testing.T) {
	for origin, good := range map[string]bool{
		"https://spa.example.com": true, "https://spa.example.com:8443": true, "http://localhost:3000": true, "https://spa.example.com/": false,
		"https://spa.example.com:443": false, "https://Spa.example.com": false, "https://*.example.com": false, "http://spa.example.com": false, "*": false,
		"null": false, "https://u@spa.example.com": false, "": false,
	} {
		s := spa()
		s.Origins = []string{origin}
		if bad, _, texts := problems(s); (len(bad) == 0) != good {
			t.Errorf("%q: %s", origin, texts)
		}
	}
}

func TestGrantsAndBounds(t *testing.T) {
	judgeChanges(t, wiki, []change{
		{"unknown grant type", func(s *clients.Spec) { s.GrantTypes = append(s.GrantTypes, "password") }, "grant_types[2]"},
		{"grant type by its URN", func(s *clients.Spec) {
			s.GrantTypes = append(s.GrantTypes, "urn:ietf:params:oauth:grant-type:token-exchange")
		}, "grant_types[2]"},
		{"grant type twice", func(s *clients.Spec) { s.GrantTypes = append(s.GrantTypes, "refresh_token") }, "grant_types[2]"},
		{"every grant type", func(s *clients.Spec) {
			s.GrantTypes, s.Audiences = []string{"authorization_code", "refresh_token", "client_credentials", "token-exchange", "jwt-bearer", "device_code"}, []string{"a"}
		}, ""},
		{"client_credentials for nothing", func(s *clients.Spec) { s.GrantTypes = []string{"client_credentials"} }, "audiences"},
		{"authorization_code that ends nowhere", func(s *clients.Spec) { s.RedirectURIs = nil }, "redirect_uris"},
		{"scope with a space", func(s *clients.Spec) { s.Scopes = []string{"a b"} }, "scopes[0]"},
		{"scope twice", func(s *clients.Spec) { s.Scopes = []string{"a", "a"} }, "scopes[1]"},
		{"empty audience", func(s *clients.Spec) { s.Audiences = []string{""} }, "audiences[0]"},
		{"unknown upstream", func(s *clients.Spec) { s.Upstreams = []string{"acme", "nobody"} }, "upstreams[1]"},
		{"no upstream at all", func(s *clients.Spec) { s.Upstreams = []string{} }, "upstreams"},
		{"unknown upstream_claim", func(s *clients.Spec) { s.UpstreamClaim = "all" }, "upstream_claim"},
		{"unknown profile", func(s *clients.Spec) { s.Profile = "fapi1" }, "profile"},
		{"algorithm that is not signed with", func(s *clients.Spec) { s.IDTokenAlg = "EdDSA" }, "id_token_alg"},
		{"reserved claim in the ID token", func(s *clients.Spec) { s.IDTokenClaims = []string{"sub"} }, "id_token_claims[0]"},
		{"bad mapper", func(s *clients.Spec) { s.Mappers = []mappers.Spec{{Kind: "set", Claim: "sub", Value: "x"}} }, "mappers[0].claim"},
		{"our issuer as an identifier", func(s *clients.Spec) { s.Identifiers = []string{issuer} }, "identifiers[0]"},
	})
	judgeChanges(t, spa, []change{{"client_credentials of a public client", func(s *clients.Spec) {
		s.GrantTypes, s.Audiences = []string{"client_credentials"}, []string{"a"}
	}, "grant_types[0]"}})
}

func TestP11_IdentifiersAreUnique(t *testing.T) {
	a, b := wiki(), spa()
	a.Identifiers, b.Identifiers = []string{"orders"}, []string{"billing", "orders"}
	if bad, _, _ := problems(a, b); !slices.Equal(bad, []string{"clients[1].identifiers[1]"}) {
		t.Errorf("of two clients: %v", bad)
	}
	a.Identifiers, b.Identifiers = []string{"spa"}, nil
	if bad, _, _ := problems(a, b); !slices.Equal(bad, []string{"clients[0].identifiers[0]"}) {
		t.Errorf("another client's id: %v", bad)
	}
	a.Identifiers = []string{"orders", "orders"}
	if bad, _, _ := problems(a, b); !slices.Equal(bad, []string{"clients[0].identifiers[1]"}) {
		t.Errorf("twice of one client: %v", bad)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	s := clients.Spec{ID: "a b", GrantTypes: []string{"x"}, RedirectURIs: []string{"*"}, Scopes: []string{""}, AuthMethod: "magic", PKCE: "no", UpstreamClaim: "x"}
	bad, _, _ := problems(s)
	for _, path := range []string{"id", "secret_sha256", "auth_method", "grant_types[0]", "scopes[0]", "redirect_uris[0]", "pkce", "upstream_claim"} {
		if !slices.Contains(bad, "clients[0]."+path) {
			t.Errorf("%s is not reported: %v", path, bad)
		}
	}
}

func TestUnserved(t *testing.T) {
	s := wiki()
	s.GrantTypes = append(s.GrantTypes, "client_credentials", "token-exchange", "jwt-bearer", "device_code")
	s.Assertion = &clients.AssertionSpec{}
	want := []string{"grant_types: device_code"}
	if got := s.Unserved(); !slices.Equal(got, want) {
		t.Errorf("unserved %q, want %q", got, want)
	}
	s = clients.Spec{ID: "gateway", SecretSHA256: hash, GrantTypes: []string{"client_credentials"}, Audiences: []string{"orders"}, Identifiers: []string{"g"}, Scopes: []string{"a"}, UpstreamClaim: "full"}
	if got := s.Unserved(); len(got) != 0 {
		t.Errorf("unserved %q, want none", got)
	}
}

func TestDefaults(t *testing.T) {
	s := clients.Spec{ID: "a", JWKSFile: "/keys", Assertion: &clients.AssertionSpec{}}
	d := s.WithDefaults()
	if d.AuthMethod != "private_key_jwt" || d.PKCE != "required" || d.UpstreamClaim != "name" || d.AssertionAud != "issuer" || *d.Assertion.MaxAge != time.Hour {
		t.Errorf("defaults %+v", d)
	}
	if s.Assertion.MaxAge != nil {
		t.Error("the spec itself was written to")
	}
	if m := (clients.Spec{SecretSHA256: hash}).WithDefaults().AuthMethod; m != "" {
		t.Errorf("a secret is held to %q, want basic or post", m)
	}
	if m := (clients.Spec{Assertion: &clients.AssertionSpec{}}).WithDefaults().AuthMethod; m != "private_key_jwt" {
		t.Errorf("a workload: %q", m)
	}
	if m := (clients.Spec{Public: true}).WithDefaults().AuthMethod; m != "none" {
		t.Errorf("public: %q", m)
	}
}
