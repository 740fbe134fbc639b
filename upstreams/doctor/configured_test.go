package doctor_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"fedbroker/upstreams"
	"fedbroker/upstreams/doctor"
	"fedbroker/upstreams/doctor/findings"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/upstreamtest"
)

const ourIssuer = "https://login.example"

// configured is an upstream as the configuration file would have it.
func configured(t *testing.T, s upstreams.Spec) *spec.Upstream {
	t.Helper()
	s.Name = "acme"
	set := upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{s}, OurIssuer: ourIssuer}, func(path, format string, args ...any) {
		t.Errorf(path+": "+format, args...)
	})
	effective, ok := set.Effective("acme")
	if !ok {
		t.Fatal("no upstream")
	}
	return &effective
}

func (c *clinic) configure(s upstreams.Spec) {
	c.Helper()
	s.Kind, s.Issuer = "oidc", c.Issuer()
	s.ClientID = "fedbroker"
	if s.PrivateKeyFile == "" {
		s.ClientSecret = "secret"
	}
	c.o = doctor.Options{Upstream: configured(c.T, s), OurIssuer: ourIssuer, Timeout: 5 * time.Second}
}

func TestConfiguredUpstreamIsCompared(t *testing.T) {
	for name, tc := range map[string]struct {
		spec   upstreams.Spec
		change map[string]any
		g      findings.Grade
		id     string
		words  string
	}{
		"method":       {upstreams.Spec{AuthMethod: spec.AuthPost}, map[string]any{"token_endpoint_auth_methods_supported": []string{"client_secret_basic"}}, findings.Fail, "login.auth_method", "client_secret_post"},
		"mode":         {upstreams.Spec{ResponseMode: spec.ResponseFormPost}, map[string]any{"response_modes_supported": []string{"query"}}, findings.Fail, "login.response_mode", "offer form_post"},
		"scopes":       {upstreams.Spec{Scopes: []string{"openid", "groups"}}, nil, findings.Warn, "login.scopes", "groups"},
		"refresh":      {upstreams.Spec{Refresh: true}, map[string]any{"grant_types_supported": []string{"authorization_code"}}, findings.Warn, "login.refresh", "authorization_code"},
		"offline":      {upstreams.Spec{Refresh: true}, map[string]any{"scopes_supported": []string{"openid", "profile", "email"}}, findings.Note, "login.offline", "openid"},
		"algorithms":   {upstreams.Spec{Algorithms: []string{"RS256"}}, nil, findings.Fail, "algorithm.configure", "ES256"},
		"hosts":        {upstreams.Spec{}, map[string]any{"userinfo_endpoint": "https://10.1.1.1/me"}, findings.Fail, "endpoint.credential_host", "credential_hosts: [10.1.1.1]"},
		"hosts, named": {upstreams.Spec{CredentialHosts: []string{"10.1.1.1"}}, map[string]any{"userinfo_endpoint": "https://10.1.1.1/me"}, findings.Fail, "fetch.address", "10.1.1.1"},
		"jwks_uri":     {upstreams.Spec{JWKSURI: "http://127.0.0.1:1/keys"}, nil, findings.Warn, "config.jwks_uri", "127.0.0.1:1"},
		"claims":       {upstreams.Spec{Subject: upstreams.Claims{"oid"}}, nil, findings.Note, "login.claims", "oid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t, upstreamtest.Options{})
			c.AlterDiscovery(func(document map[string]any) {
				for name, value := range tc.change {
					document[name] = value
				}
			})
			c.configure(tc.spec)
			c.wants(tc.g, tc.id, tc.words)
		})
	}
}

func TestRegistrationIsTheBrokersOwn(t *testing.T) {
	c := newClinic(t, upstreamtest.Options{})
	c.configure(upstreams.Spec{Scopes: []string{"openid"}})
	got := c.examine().Registration
	if got == nil || got.RedirectURI != ourIssuer+"/callback/acme" || got.AuthMethod != "client_secret_basic" || !slices.Equal(got.Scopes, []string{"openid"}) {
		t.Errorf("got %+v", got)
	}
	if len(c.Requests("/authorize"))+len(c.Requests("/token")) > 0 {
		t.Error("a login was attempted")
	}
}

func TestBearerTokenGoesToTheIssuerAlone(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("bearer-1"), 0o600); err != nil {
		t.Fatal(err)
	}
	var elsewhere string
	other := serving(t, map[string]http.HandlerFunc{"/keys": func(w http.ResponseWriter, r *http.Request) { elsewhere = r.Header.Get("Authorization") }})
	var issuer, asked string
	s := serving(t, map[string]http.HandlerFunc{"/.well-known/openid-configuration": func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"issuer":"` + issuer + `","jwks_uri":"` + other.URL + `/keys"}`))
	}})
	issuer = s.URL
	u := configured(t, upstreams.Spec{Kind: "jwt", Issuer: issuer, BearerTokenFile: token, Audiences: []upstreams.Audience{{Value: "a"}}})
	doctor.Examine(t.Context(), doctor.Options{Upstream: u})
	if asked != "Bearer bearer-1" || elsewhere != "" {
		t.Errorf("the issuer got %q, another host %q", asked, elsewhere)
	}
	if err := os.Remove(token); err != nil {
		t.Fatal(err)
	}
	wants(t, doctor.Examine(t.Context(), doctor.Options{Upstream: u}), findings.Fail, "fetch.credential", "token")
}

func TestKindJWTNeedsNoLogin(t *testing.T) {
	c := newClinic(t, upstreamtest.Options{})
	c.AlterDiscovery(upstreamtest.Without("authorization_endpoint", "token_endpoint", "subject_types_supported", "code_challenge_methods_supported"))
	jwt := upstreams.Spec{Kind: "jwt", Issuer: c.Issuer(), Audiences: []upstreams.Audience{{Value: "a"}}}
	c.o.Upstream = configured(t, jwt)
	if r := c.examine(); r.Overall != findings.OverallA || r.Registration != nil || r.Snippet != "" {
		t.Errorf("got %s %v", r.Overall, summary(r))
	}
	jwt.JWKSURI = c.JWKSURI()
	c.o.Upstream = configured(t, jwt)
	c.WrongIssuer("https://nobody.reads.it")
	if r := c.examine(); r.Overall != findings.OverallA {
		t.Errorf("got %s %v", r.Overall, summary(r))
	}
	file := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(file, c.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Close()
	jwt.JWKSURI, jwt.JWKSFile = "", file
	c.o.Upstream = configured(t, jwt)
	wants(t, c.examine(), findings.OK, "keys.usable", "1 key")
	jwt.JWKSFile += ".gone"
	c.o.Upstream = configured(t, jwt)
	c.wants(findings.Fail, "keys.file", "no such file")
}

func TestPlainOAuth2(t *testing.T) {
	s := serving(t, nil)
	u := configured(t, upstreams.Spec{Kind: "oauth2", Issuer: s.URL, ClientID: "fedbroker", ClientSecret: "x", AuthorizationEndpoint: "https://10.1.1.1/authorize",
		TokenEndpoint: s.URL + "/token", UserInfoEndpoint: s.URL + "/me", Subject: upstreams.Claims{"id"}, Scopes: []string{"user"}})
	r := doctor.Examine(t.Context(), doctor.Options{Upstream: u, OurIssuer: ourIssuer})
	wants(t, r, findings.Warn, "fetch.address", "authorization_endpoint")
	wants(t, r, findings.OK, "endpoint.host", "token_endpoint")
	if r.Overall != findings.OverallB || !strings.Contains(strings.Join(r.Unchecked, ";"), "discovery") || r.Registration == nil {
		t.Errorf("got %s, unchecked %q", r.Overall, r.Unchecked)
	}
	s.Close()
	wants(t, doctor.Examine(t.Context(), doctor.Options{Upstream: u}), findings.Fail, "fetch.connect", "token_endpoint")
}

func TestPlainOAuth2IsRecognized(t *testing.T) {
	s := serving(t, map[string]http.HandlerFunc{"/.well-known/oauth-authorization-server/tenant": func(http.ResponseWriter, *http.Request) {}})
	wants(t, doctor.Examine(t.Context(), doctor.Options{Issuer: s.URL + "/tenant"}), findings.Note, "discovery.oauth2", "kind oauth2")
}

func TestSAML(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := serving(t, nil)
	file := filepath.Join(t.TempDir(), "idp.pem")
	u := configured(t, upstreams.Spec{Kind: "saml", Issuer: "urn:idp", SSOURL: s.URL + "/sso", CertificatesFile: file})
	for name, tc := range map[string]struct {
		ends time.Duration
		g    findings.Grade
	}{"good": {365 * 24 * time.Hour, findings.OK}, "ends soon": {5 * 24 * time.Hour, findings.Warn}, "has ended": {-time.Hour, findings.Fail}} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(tc.ends)}
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
			r := doctor.Examine(t.Context(), doctor.Options{Upstream: u, OurIssuer: ourIssuer})
			wants(t, r, tc.g, "saml.certificates")
			if r.Registration == nil || r.Registration.RedirectURI != ourIssuer+"/saml/acme/acs" || r.Registration.EntityID != ourIssuer+"/saml/acme/metadata" {
				t.Errorf("got %+v", r.Registration)
			}
		})
	}
}

func TestSnippetIsAConfiguration(t *testing.T) {
	for name, change := range map[string]func(map[string]any){
		"as it is":      nil,
		"post":          upstreamtest.With("token_endpoint_auth_methods_supported", []string{"client_secret_post"}),
		"assertions":    upstreamtest.With("token_endpoint_auth_methods_supported", []string{"private_key_jwt"}),
		"other hosts":   upstreamtest.With("token_endpoint", "https://10.1.1.1:8443/token"),
		"an address":    upstreamtest.With("token_endpoint", "https://[fd00::1]:8443/token"),
		"hostile hosts": upstreamtest.With("token_endpoint", "https://a\"]\n    issuer: evil/token"),
		"few scopes":    upstreamtest.With("scopes_supported", []string{"openid", "x: y"}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t, upstreamtest.Options{})
			c.AlterDiscovery(change)
			text := c.examine().Snippet
			var file struct{ Upstreams []upstreams.Spec }
			if err := yaml.Unmarshal([]byte(text), &file); err != nil || len(file.Upstreams) != 1 {
				t.Fatalf("%v:\n%s", err, text)
			}
			s := file.Upstreams[0]
			if strings.Contains(text, "_secret_file") {
				s.ClientSecret = "what the file holds"
			}
			if s.Issuer != c.Issuer() {
				t.Errorf("issuer %q", s.Issuer)
			}
			configured(t, s) // reports what is wrong with it
		})
	}
}

func TestSnippetNamesNoHostThatIsNotPlain(t *testing.T) {
	for host, want := range map[string]bool{"10.1.1.1:8443": true, "１0.1.1.1": false /* a wide digit */} {
		c := newClinic(t, upstreamtest.Options{})
		c.AlterDiscovery(upstreamtest.With("userinfo_endpoint", "https://"+host+"/me"))
		if got := strings.Contains(c.examine().Snippet, "credential_hosts"); got != want {
			t.Errorf("%s: got %v", host, got)
		}
	}
}

func TestOptionsThatNoClientTakes(t *testing.T) {
	c := newClinic(t, upstreamtest.Options{})
	c.o.Timeout = -1
	c.wants(findings.Fail, "fetch.url", "negative")
}
