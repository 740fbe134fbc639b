package upstreams_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/upstreamtest"
	"fedbroker/upstreams/upstreamtest/oauthidp"
)

const githubCallback = ourIssuer + "/callback/github"

func newOAuthIdP(t *testing.T) *oauthidp.IdP {
	t.Helper()
	idp := oauthidp.New(oauthidp.Options{ClientID: loginID, ClientSecret: loginSecret, RedirectURI: githubCallback})
	t.Cleanup(idp.Close)
	return idp
}

// githubSpec is the preset at another issuer than GitHub itself, whose endpoints have to be written.
func githubSpec(idp *oauthidp.IdP) upstreams.Spec {
	return upstreams.Spec{
		Name: "github", Kind: "oauth2", Preset: "github", Issuer: idp.Issuer(), ClientID: loginID, ClientSecret: loginSecret,
		AuthorizationEndpoint: idp.URL(oauthidp.AuthorizePath), TokenEndpoint: idp.URL(oauthidp.TokenPath),
		UserInfoEndpoint: idp.URL(oauthidp.UserPath), EmailsEndpoint: idp.URL(oauthidp.EmailsPath), CredentialHosts: []string{idp.APIHost()},
	}
}

// githubAttempt is one at github; everything else of it is as ever.
func githubAttempt() upstreams.Attempt {
	a := attempt()
	a.RedirectURI = githubCallback
	return a
}

// logsIn is the whole way of the provider's one person.
func (b *bench) logsIn(idp *oauthidp.IdP, a upstreams.Attempt) (upstreams.Identity, error) {
	b.Helper()
	up, ok := b.set.Login("github")
	if !ok {
		b.Fatal("nobody can log in at github")
	}
	address, err := up.Start(b.Context(), a)
	if err != nil {
		return upstreams.Identity{}, err
	}
	sent, err := idp.Authorize(address)
	if err != nil {
		b.Fatal(err)
	}
	return up.Finish(b.Context(), a, sent.Query())
}

func TestOAuth2_LoginIsAnIdentity(t *testing.T) {
	idp := newOAuthIdP(t)
	id, err := newBench(t, newClock(), githubSpec(idp)).logsIn(idp, githubAttempt())
	if err != nil {
		t.Fatal(err)
	}
	if id.Upstream != "github" || id.Issuer != idp.Issuer() || id.Subject != "583231" || id.BrokerSubject != "github|583231" {
		t.Errorf("got %+v", id)
	}
	for name, want := range map[string]any{
		"iss": idp.Issuer(), "sub": "583231", "id": int64(583231), "preferred_username": "octocat", "email": "octocat@acme.example", "email_verified": true,
		"picture": "https://avatars.example/u/583231?v=4", "profile": "https://github.example/octocat", "updated_at": nil, "company": nil,
	} {
		if id.Claims[name] != want {
			t.Errorf("%s: want %v, got %v", name, want, id.Claims[name])
		}
	}
}

func TestP2_NumericSubjectIsItsExactDecimalText(t *testing.T) {
	for literal, want := range map[string]string{
		"583231": "583231", "9007199254740993": "9007199254740993", "18446744073709551615": "18446744073709551615", "-5": "-5", `"583231"`: "583231", "0": "0",
		`"a|b"`: "a|b",
		// Refused: what has more than one text, or none.
		"583231.0": "", "5.83231e5": "", "1e400": "", "18446744073709551616": "", "-9223372036854775809": "", "null": "", `""`: "", "true": "", "[583231]": "",
		`{"id": 583231}`: "",
	} {
		idp := newOAuthIdP(t)
		idp.Says(oauthidp.UserPath, `{"id": `+literal+`, "sub": "admin", "type": "User"}`)
		id, err := newBench(t, newClock(), githubSpec(idp)).logsIn(idp, githubAttempt())
		if want == "" {
			wantRefusal(t, id, err, upstreams.ReasonSubject)
		} else if err != nil || id.Subject != want || id.BrokerSubject != "github|"+want || id.Claims["sub"] != want {
			t.Errorf("%s: want %s, got %q of %q, %v", literal, want, id.BrokerSubject, id.Claims["sub"], err)
		}
	}
}

func TestP2_NumericSubIsNoSubject(t *testing.T) { // sub is a string where it is a registered claim (RFC 7519 §4.1.2)
	idp := newOAuthIdP(t)
	spec := githubSpec(idp)
	spec.Preset, spec.Subject = "", nil
	idp.Says(oauthidp.UserPath, `{"sub": 5}`)
	b := newBench(t, newClock(), spec)
	id, err := b.logsIn(idp, githubAttempt())
	wantRefusal(t, id, err, upstreams.ReasonSubject)
	idp.Says(oauthidp.UserPath, `{"sub": "5"}`)
	if id, err = b.logsIn(idp, githubAttempt()); err != nil || id.BrokerSubject != "github|5" {
		t.Errorf("%+v, %v", id, err)
	}
}

func TestP4_OAuth2AssertsNoAssurance(t *testing.T) {
	idp := newOAuthIdP(t)
	idp.Says(oauthidp.UserPath, `{"id": 1, "acr": "gold", "amr": ["hwk"], "auth_time": 1800000000, "sid": "s"}`)
	id, err := newBench(t, newClock(), githubSpec(idp)).logsIn(idp, githubAttempt())
	if err != nil || id.ACR != "" || id.AMR != nil || !id.AuthTime.IsZero() || id.SessionID != "" {
		t.Errorf("%+v, %v", id, err)
	}
	for _, claim := range []string{"acr", "amr", "auth_time", "sid"} {
		if _, has := id.Claims[claim]; has {
			t.Errorf("%s passed", claim)
		}
	}
}

func TestOAuth2_RefusalsHaveTheirReasons(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*oauthidp.IdP)
		reason upstreams.Reason
		code   string
	}{
		"the code, with status 200": {func(p *oauthidp.IdP) {
			p.Answer(oauthidp.TokenPath, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"error": "bad_verification_code"}`))
			})
		}, upstreams.ReasonRefused, "bad_verification_code"},
		"out of order":      {func(p *oauthidp.IdP) { p.Answer(oauthidp.UserPath, outOfOrder) }, upstreams.ReasonUnavailable, ""},
		"addresses missing": {func(p *oauthidp.IdP) { p.Answer(oauthidp.EmailsPath, http.NotFound) }, upstreams.ReasonNonsense, ""},
		"a list of people":  {func(p *oauthidp.IdP) { p.Says(oauthidp.UserPath, `[{"id": 1}]`) }, upstreams.ReasonNonsense, ""},
	} {
		t.Run(name, func(t *testing.T) {
			idp := newOAuthIdP(t)
			tt.change(idp)
			id, err := newBench(t, newClock(), githubSpec(idp)).logsIn(idp, githubAttempt())
			wantRefusal(t, id, err, tt.reason)
			if refused, _ := errors.AsType[*upstreams.Error](err); refused.Code != tt.code {
				t.Errorf("code %q", refused.Code)
			}
		})
	}
}

func outOfOrder(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }

func TestP37_WrittenTokenEndpointOfAnotherIssuerRefused(t *testing.T) {
	github, other := githubSpec(newOAuthIdP(t)), githubSpec(newOAuthIdP(t))
	other.Name, other.TokenEndpoint, other.CredentialHosts = "other", github.TokenEndpoint, append(other.CredentialHosts, "127.0.0.1")
	found := problems(upstreams.Options{Specs: []upstreams.Spec{github, other}})
	if text := found["upstreams[1].token_endpoint"]; !strings.Contains(text, "not that of upstream github") || len(found) != 1 {
		t.Errorf("got %v", found)
	}
	other.Issuer = github.Issuer
	if found := problems(upstreams.Options{Specs: []upstreams.Spec{github, other}}); len(found) != 0 {
		t.Errorf("two clients of one issuer: %v", found)
	}
}

func TestP37_TokenEndpointThatDiscoveryGivesToBothRefused(t *testing.T) {
	c, idp := newClock(), newOAuthIdP(t)
	acme := newIdP(t, c, upstreamtest.Options{})
	acme.AlterDiscovery(func(document map[string]any) { document["token_endpoint"] = idp.URL(oauthidp.TokenPath) })
	s := oidcSpec("acme", acme)
	b := newBench(t, c, s, githubSpec(idp))
	github, _ := b.set.Login("github")
	address, err := github.Start(t.Context(), githubAttempt())
	if err != nil {
		t.Fatal(err) // nobody knows of it yet
	}
	sent, err := idp.Authorize(address)
	if err != nil {
		t.Fatal(err)
	}
	up, _ := b.set.Login("acme")
	_, err = up.Start(t.Context(), attempt())
	wantReason(t, err, upstreams.ReasonEndpoint)
	_, err = github.Finish(t.Context(), githubAttempt(), sent.Query())
	wantReason(t, err, upstreams.ReasonEndpoint)
	_, err = github.Start(t.Context(), githubAttempt())
	wantReason(t, err, upstreams.ReasonEndpoint)
	if redeemed := idp.Requests(oauthidp.TokenPath); len(redeemed) != 0 {
		t.Errorf("redeemed: %+v", redeemed)
	}
}

func TestOAuth2_HasNoKeys(t *testing.T) {
	c, idp := newClock(), newOAuthIdP(t)
	signer := newIdP(t, c, upstreamtest.Options{Issuer: idp.Issuer()})
	o := &oracle{status: http.StatusOK, media: "application/json", answer: func() string {
		b, err := json.Marshal(map[string]any{"active": true, "id": 583231, "sub": "octocat", "exp": c.Now().Add(time.Hour).Unix(), "client_id": audience})
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}}
	s := githubSpec(idp)
	s.CredentialHosts = append(s.CredentialHosts, "127.0.0.1")
	s.Audiences = []upstreams.Audience{{Value: audience}}
	s.Introspection = &upstreams.Introspection{Endpoint: newServer(t, o) + "/introspect", ClientID: "broker", ClientSecret: "s"}
	b := newBench(t, c, s)
	if up, ok := b.set.Select(idp.Issuer(), []string{audience}); ok {
		t.Errorf("a JWT is taken to be of %s", up.Name())
	}
	if _, err := b.verify("github", signer.Sign(signer.Claims("583231", audience)), exchange); err == nil {
		t.Error("a JWT is good")
	}
	if r := b.set.Ready(); len(r) != 1 || !r[0].OK || r[0].Detail != "has no keys to verify by" {
		t.Errorf("ready: %+v", r)
	}
	info, _ := b.set.Info("github")
	if !info.Login || !info.Keyless || !info.Exchange || info.Kind != "oauth2" || info.ResponseMode != "query" {
		t.Errorf("info: %+v", info)
	}
	in, ok := b.set.Introspector("github")
	if !ok {
		t.Fatal("no introspector")
	}
	if id, err := in.Introspect(t.Context(), "gho_opaque", exchange); err != nil || id.BrokerSubject != "github|583231" { // the claim that logins have, too
		t.Errorf("introspected: %+v, %v", id, err)
	}
	if discovery, jwks := signer.Fetches(); discovery+jwks > 0 {
		t.Error("keys were asked for")
	}
}

func TestOAuth2_GitHubPreset(t *testing.T) {
	set := upstreams.NewSet(upstreams.Options{OurIssuer: ourIssuer, Keys: keys.New(keys.Options{}), Specs: []upstreams.Spec{
		{Name: "github", Kind: "oauth2", Preset: "github", ClientID: "Iv1.8a61f9b3a7aba766", ClientSecret: "s3cret"},
	}}, func(path, format string, _ ...any) { t.Errorf("%s: %s", path, format) })
	t.Cleanup(set.Close)
	s, _ := set.Effective("github")
	if s.Issuer != "https://github.com/login/oauth" || s.TokenEndpoint != "https://github.com/login/oauth/access_token" || s.UserInfoEndpoint != "https://api.github.com/user" ||
		!strings.HasPrefix(s.EmailsEndpoint, "https://api.github.com/user/emails") || !slices.Equal(s.Subject, upstreams.Claims{"id"}) ||
		!slices.Equal(s.CredentialHostList(), []string{"api.github.com", "github.com"}) || s.AuthMethod != "client_secret_post" {
		t.Errorf("got %+v", s)
	}
	if found := problems(upstreams.Options{Specs: []upstreams.Spec{s}}); len(found) != 0 {
		t.Errorf("what it comes to can't be written: %v", found)
	}
	if info, _ := set.Info("github"); !info.Shared || !slices.Equal(info.OwnerClaims, []string{"sub"}) {
		t.Errorf("got %+v", info)
	}
	up, _ := set.Login("github")
	address, err := up.Start(t.Context(), githubAttempt())
	u, _ := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, "https://github.com/login/oauth/authorize?") || u.Query().Get("scope") != "read:user user:email" {
		t.Errorf("sent to %s, %v", address, err)
	}
}

func TestOAuth2_WhoAsksForFewerScopesAsksForNoAddresses(t *testing.T) {
	for _, tc := range []struct {
		scopes []string
		want   bool
	}{{nil, true}, {[]string{"user:email", "read:org", "read:user"}, true}, {[]string{"read:user"}, false}, {[]string{}, false}} {
		set := upstreams.NewSet(upstreams.Options{OurIssuer: ourIssuer, Specs: []upstreams.Spec{
			{Name: "github", Kind: "oauth2", Preset: "github", ClientID: "c", ClientSecret: "s", Scopes: tc.scopes},
		}}, func(path, format string, _ ...any) { t.Errorf("%s: %s", path, format) })
		if s, _ := set.Effective("github"); (s.EmailsEndpoint != "") != tc.want || s.UserInfoEndpoint == "" {
			t.Errorf("%v: %+v", tc.scopes, s)
		}
	}
}

func TestOAuth2_ProblemsAreNamedByKey(t *testing.T) {
	ours := func(change func(*upstreams.Spec)) upstreams.Options {
		s := upstreams.Spec{
			Name: "forge", Kind: "oauth2", Issuer: "https://forge.example", ClientID: "c", ClientSecret: "s", Subject: upstreams.Claims{"id"},
			AuthorizationEndpoint: "https://login.forge.example/authorize", TokenEndpoint: "https://forge.example/token", UserInfoEndpoint: "https://forge.example/user",
		}
		change(&s)
		return upstreams.Options{Specs: []upstreams.Spec{s}}
	}
	if found := problems(ours(func(*upstreams.Spec) {})); len(found) != 0 {
		t.Fatalf("as it is: %v", found)
	}
	for _, tc := range []struct {
		path, text string
		change     func(*upstreams.Spec)
	}{
		{"client_id", "under which forge", func(s *upstreams.Spec) { s.ClientID = "" }},
		{"client_secret", "want one", func(s *upstreams.Spec) { s.ClientSecret = "" }},
		{"auth_method", "client_secret_basic, client_secret_post", func(s *upstreams.Spec) { s.AuthMethod = "private_key_jwt" }},
		{"authorization_endpoint", "no discovery", func(s *upstreams.Spec) { s.AuthorizationEndpoint = "" }},
		{"token_endpoint", "no discovery", func(s *upstreams.Spec) { s.TokenEndpoint = "" }},
		{"userinfo_endpoint", "no discovery", func(s *upstreams.Spec) { s.UserInfoEndpoint = "" }},
		{"authorization_endpoint", "", func(s *upstreams.Spec) { s.AuthorizationEndpoint = "javascript:alert(1)" }},
		{"token_endpoint", "", func(s *upstreams.Spec) { s.TokenEndpoint = "http://forge.example/token" }},
		{"token_endpoint", "want https", func(s *upstreams.Spec) { s.TokenEndpoint = "http://127.0.0.1/token" }},
		{"token_endpoint", "credential_hosts", func(s *upstreams.Spec) { s.TokenEndpoint = "https://other.example/token" }},
		{"userinfo_endpoint", "credential_hosts", func(s *upstreams.Spec) { s.UserInfoEndpoint = "https://api.forge.example/user" }},
		{"emails_endpoint", "credential_hosts", func(s *upstreams.Spec) { s.EmailsEndpoint = "https://api.forge.example/emails" }},
		{"audiences", "introspection", func(s *upstreams.Spec) { s.Audiences = []upstreams.Audience{{Value: "x"}} }},
		{"audiences[0]", "client_id", func(s *upstreams.Spec) {
			s.Audiences = []upstreams.Audience{{Value: "c"}}
			s.Introspection = &upstreams.Introspection{Endpoint: "https://forge.example/i", ClientID: "c", ClientSecret: "s"}
		}},
		{"scopes[0]", "scope name", func(s *upstreams.Spec) { s.Scopes = []string{"a b"} }},
		{"preset", "want kind jwt", func(s *upstreams.Spec) { s.Preset = "github-actions" }},
		{"jwks_uri", "kind oauth2", func(s *upstreams.Spec) { s.JWKSURI = "https://forge.example/jwks" }},
		{"acr_map", "kind oauth2", func(s *upstreams.Spec) { s.ACRMap = map[string]string{"a": "b"} }},
		{"amr_map", "kind oauth2", func(s *upstreams.Spec) { s.AMRMap = map[string]string{"a": "b"} }},
		{"algorithms", "kind oauth2", func(s *upstreams.Spec) { s.Algorithms = []string{"ES256"} }},
		{"response_mode", "kind oauth2", func(s *upstreams.Spec) { s.ResponseMode = "query" }},
		{"refresh", "kind oauth2", func(s *upstreams.Spec) { s.Refresh = true }},
		{"private_key_file", "kind oauth2", func(s *upstreams.Spec) { s.PrivateKeyFile = "/key.pem" }},
	} {
		t.Run(tc.path+" "+tc.text, func(t *testing.T) {
			found := problems(ours(tc.change))
			if text := found["upstreams[0]."+tc.path]; text == "" || !strings.Contains(text, tc.text) || len(found) != 1 {
				t.Errorf("want %q at %s alone, got %v", tc.text, tc.path, found)
			}
		})
	}
	for _, name := range []string{"login", "name", "email", "preferred_username", "username", "nickname"} {
		found := problems(ours(func(s *upstreams.Spec) { s.Subject = upstreams.Claims{name} }))
		if text := found["upstreams[0].subject[0]"]; !strings.Contains(text, "never changes and never comes to another") || len(found) != 1 {
			t.Errorf("P2: subject %s: %v", name, found)
		}
	}
}

func TestOAuth2_EndpointsAreForeignToOtherKinds(t *testing.T) {
	change := func(s *upstreams.Spec) {
		s.AuthorizationEndpoint, s.TokenEndpoint, s.UserInfoEndpoint, s.EmailsEndpoint = s.Issuer+"/a", s.Issuer+"/t", s.Issuer+"/u", s.Issuer+"/e"
	}
	for kind, o := range map[string]upstreams.Options{"jwt": minimal(change), "oidc": interactive(change)} {
		found := problems(o)
		for _, key := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "emails_endpoint"} {
			if !strings.Contains(found["upstreams[0]."+key], "want none for kind "+kind) {
				t.Errorf("%s: %s: %v", kind, key, found)
			}
		}
	}
}

// TestOAuth2_PresetOfAnotherInstallationHasItsOwnEndpoints: a secret for one's own GitHub Enterprise Server must not go to github.com.
func TestOAuth2_PresetOfAnotherInstallationHasItsOwnEndpoints(t *testing.T) {
	found := problems(upstreams.Options{Specs: []upstreams.Spec{
		{Name: "ghes", Kind: "oauth2", Preset: "github", Issuer: "https://ghes.acme.example/login/oauth", ClientID: "c", ClientSecret: "s"},
	}})
	for _, key := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint"} {
		if !strings.Contains(found["upstreams[0]."+key], "want one") {
			t.Errorf("%s: %v", key, found)
		}
	}
}

func TestP24_AssertionsNeedAnUpstreamThatSigns(t *testing.T) {
	found := problems(upstreams.Options{
		Specs:      []upstreams.Spec{{Name: "github", Kind: "oauth2", Preset: "github", ClientID: "c", ClientSecret: "s"}},
		Assertions: []upstreams.Assertion{{Path: "clients[0].assertion", Upstream: "github", Audience: "x"}},
	})
	if !strings.Contains(found["clients[0].assertion.upstream"], "kind oauth2") || len(found) != 1 {
		t.Errorf("got %v", found)
	}
}
