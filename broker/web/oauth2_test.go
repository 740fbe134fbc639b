package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/broker/web"
	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
	"fedbroker/upstreams/upstreamtest/oauthidp"
)

// forge is a house at which people of a provider that is plain OAuth 2.0 sign in, beside those of an OpenID provider.
type forge struct {
	*signIns
	github *oauthidp.IdP
}

func newForge(t *testing.T, changes ...func(*broker.Config)) *forge {
	t.Helper()
	clock := func() time.Time { return begun }
	f := &forge{github: oauthidp.New(oauthidp.Options{ClientID: "fedbroker", ClientSecret: secretOf("fedbroker"), RedirectURI: issuer + "/callback/github"})}
	t.Cleanup(f.github.Close)
	acme := upstreamtest.Must(upstreamtest.Options{
		Name: "acme", Now: clock, People: []upstreamtest.Person{{Login: "alice", Subject: "alice"}},
		Clients: []upstreamtest.Client{{ID: "fedbroker", Secret: secretOf("fedbroker"), RedirectURIs: []string{issuer + "/callback/acme"}}},
	})
	t.Cleanup(acme.Close)
	spec := upstreams.Spec{
		Name: "github", Kind: "oauth2", Preset: "github", Issuer: f.github.Issuer(), ClientID: "fedbroker", ClientSecret: upstreams.Secret(secretOf("fedbroker")),
		AuthorizationEndpoint: f.github.URL(oauthidp.AuthorizePath), TokenEndpoint: f.github.URL(oauthidp.TokenPath),
		UserInfoEndpoint: f.github.URL(oauthidp.UserPath), EmailsEndpoint: f.github.URL(oauthidp.EmailsPath),
		CredentialHosts: []string{f.github.APIHost()}, EmailDomains: &upstreams.EmailDomains{Names: []string{"acme.example"}},
	}
	f.signIns = &signIns{acme: acme, house: newHouse(t, func(c *broker.Config, _ *web.Spec) {
		c.Upstreams = []broker.UpstreamSpec{{Spec: spec}, {Spec: upstreams.Spec{
			Name: "acme", Kind: "oidc", Issuer: acme.Issuer(), ClientID: "fedbroker", ClientSecret: upstreams.Secret(secretOf("fedbroker")),
		}}}
		c.Exchange = nil
		c.Clients = []clients.Spec{{
			ID: "portal", SecretSHA256: hashOf(secretOf("portal")), GrantTypes: []string{"authorization_code", "refresh_token"}, RedirectURIs: []string{portal},
			Scopes: []string{"openid", "profile", "email", "offline_access"},
		}}
		for _, change := range changes {
			change(c)
		}
	})}
	return f
}

// arrived is where the person's browser ends up after github.
func (f *forge) arrived(b *http.Client, q url.Values) answer {
	f.t.Helper()
	q.Set("idp_hint", "github")
	a := f.visit(b, issuer+"/authorize?"+q.Encode(), nil)
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), f.github.Issuer()) {
		f.t.Fatalf("not sent to github: %d %v %s", a.status, a.header, a.raw)
	}
	sent, err := f.github.Authorize(a.header.Get("Location"))
	if err != nil {
		f.t.Fatal(err)
	}
	return f.visit(b, sent.String(), nil)
}

func TestOAuth2_FromTheAppToTheAppAndItsTokens(t *testing.T) {
	f := newForge(t)
	said := reply(t, f.arrived(f.browser(), request("scope", "openid profile email offline_access")))
	tokens := f.redeem(said.Get("code"))
	if tokens.status != http.StatusOK {
		t.Fatalf("%d %s", tokens.status, tokens.raw)
	}
	id := claimsOf(t, tokens.text("id_token"))
	if id["sub"] != "github|583231" || id["aud"] != "portal" || id["nonce"] != "n" || id["preferred_username"] != "octocat" {
		t.Errorf("ID token %v", id)
	}
	for _, unproven := range []string{"acr", "amr", "auth_time"} { // P4
		if value, has := id[unproven]; has {
			t.Errorf("%s is %v", unproven, value)
		}
	}
	again := f.do(call{path: "/token", form: url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {tokens.text("refresh_token")}}, header: as("portal")})
	for _, access := range []string{tokens.text("access_token"), again.text("access_token")} {
		info := f.do(call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"Bearer " + access}}})
		for name, want := range map[string]any{
			"sub": "github|583231", "name": "The Octocat", "preferred_username": "octocat", "profile": "https://github.example/octocat",
			"picture": "https://avatars.example/u/583231?v=4", "email": "octocat@acme.example", "email_verified": true, "updated_at": nil, "id": nil,
		} {
			if info.body[name] != want {
				t.Errorf("userinfo %s: want %v, got %v", name, want, info.body[name])
			}
		}
	}
	for _, secret := range []string{"gho_", f.github.Requests(oauthidp.TokenPath)[0].Form.Get("code"), secretOf("fedbroker")} {
		if strings.Contains(f.log.text(), secret) {
			t.Errorf("logged: %s", secret)
		}
	}
}

func TestP5_AddressOfAnotherDomainIsUnverified(t *testing.T) {
	f := newForge(t)
	f.github.Says(oauthidp.EmailsPath, `[{"email": "ceo@globex.example", "primary": true, "verified": true}]`)
	tokens := f.redeem(reply(t, f.arrived(f.browser(), request())).Get("code"))
	if id := claimsOf(t, tokens.text("id_token")); id["email_verified"] != false {
		t.Errorf("ID token %v", id)
	}
}

func TestP31_WhatOAuth2CannotProveIsUnmet(t *testing.T) {
	essential := `{"id_token": {"acr": {"essential": true}}}`
	for name, tt := range map[string]struct {
		trust   bool
		request url.Values
		unmet   bool
		prompt  string // what github is asked for
	}{
		"prompt login":                       {false, request("prompt", "login"), true, "login"},
		"max_age":                            {false, request("max_age", "3600"), true, "login"},
		"prompt login, its word is taken":    {true, request("prompt", "login"), false, "login"},
		"max_age, its word is taken":         {true, request("max_age", "3600"), false, "login"},
		"an essential acr":                   {false, request("claims", essential), true, ""},
		"an essential acr, its word or not":  {true, request("claims", essential), true, ""},
		"an acr that would be nice":          {false, request("acr_values", "gold"), false, ""},
		"neither, and another account maybe": {false, request("prompt", "select_account"), false, "select_account"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForge(t, func(c *broker.Config) { c.Upstreams[0].TrustPrompt = tt.trust })
			said := reply(t, f.arrived(f.browser(), tt.request))
			if unmet := said.Get("error") == string(oauth.CodeUnmetAuthentication); unmet != tt.unmet || unmet == said.Has("code") {
				t.Errorf("the app is told %v", said)
			}
			asked := f.github.Requests(oauthidp.AuthorizePath)
			if len(asked) != 1 || asked[0].Form.Get("prompt") != tt.prompt {
				t.Errorf("github is asked %+v", asked)
			}
		})
	}
}

func TestOAuth2_RequiredAssuranceIsNeverMet(t *testing.T) {
	f := newForge(t, func(c *broker.Config) { c.Clients[0].RequireACR = "aal2" })
	if said := reply(t, f.arrived(f.browser(), request())); said.Get("error") != string(oauth.CodeUnmetAuthentication) {
		t.Errorf("the app is told %v", said)
	}
}

// Mix-up (RFC 9700 §4.4): what one provider answered is never taken to another, whoever's browser brings it.
func TestOAuth2_ResponseIsForItsUpstreamAndItsBrowser(t *testing.T) {
	f := newForge(t)
	f.github.WithoutIssuer() // the harder case
	b := f.browser()
	a := f.visit(b, issuer+"/authorize?"+request("idp_hint", "github").Encode(), nil)
	sent, err := f.github.Authorize(a.header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]func() answer{
		"another upstream's address": func() answer {
			return f.visit(b, strings.Replace(sent.String(), "/callback/github", "/callback/acme", 1), nil)
		},
		"another browser": func() answer { return f.visit(f.browser(), sent.String(), nil) },
	} {
		if a := try(); a.status != http.StatusBadRequest || cookiesOf(t, a)["__Host-fedbroker-session"] != nil {
			t.Errorf("%s: %d %v", name, a.status, a.header)
		}
	}
	if asked := f.github.Requests(oauthidp.TokenPath); len(asked) != 0 {
		t.Errorf("redeemed: %+v", asked)
	}
	if said := reply(t, f.visit(b, sent.String(), nil)); said.Get("code") == "" {
		t.Errorf("where it belongs: %v", said)
	}
}

func TestOAuth2_WhatFailsIsAPageAndNoSession(t *testing.T) {
	for name, tt := range map[string]struct {
		path   string
		answer http.HandlerFunc
		status int
	}{
		"the code is refused, with status 200": {oauthidp.TokenPath, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"error": "bad_verification_code", "error_description": "The code passed is incorrect or expired."}`))
		}, http.StatusInternalServerError},
		"nobody is said":        {oauthidp.UserPath, answerJSON(`{"type": "User", "login": "octocat"}`), http.StatusInternalServerError},
		"an organisation":       {oauthidp.UserPath, answerJSON(`{"type": "Organization", "id": 9919}`), http.StatusBadRequest},
		"the API is down":       {oauthidp.UserPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, http.StatusServiceUnavailable},
		"addresses are refused": {oauthidp.EmailsPath, http.NotFound, http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForge(t)
			f.github.Answer(tt.path, tt.answer)
			a := f.arrived(f.browser(), request())
			if isPage(t, a, tt.status); cookiesOf(t, a)["__Host-fedbroker-session"] != nil || strings.Contains(a.raw, "octocat") || strings.Contains(f.log.text(), "gho_") {
				t.Errorf("%v %s", a.header, a.raw)
			}
		})
	}
}

func answerJSON(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}
}

// P13: an access token of a provider that is plain OAuth 2.0 is a subject by introspection, and never by its userinfo.
func TestP13_TokensOfOAuth2CountByIntrospectionAlone(t *testing.T) {
	judge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"active": r.PostFormValue("token") == "gho_good", "id": 583231, "sub": "octocat", "client_id": "their-app", "type": "User", "exp": begun.Add(time.Hour).Unix(),
		})
	}))
	t.Cleanup(judge.Close)
	f := newForge(t, func(c *broker.Config) {
		u := &c.Upstreams[0]
		u.Audiences = []upstreams.Audience{{Value: "their-app"}}
		u.CredentialHosts = append(u.CredentialHosts, "127.0.0.1")
		u.Introspection = &upstreams.Introspection{Endpoint: judge.URL, ClientID: "fedbroker", ClientSecret: "s"}
		c.Clients = []clients.Spec{{ID: "portal", SecretSHA256: hashOf(secretOf("portal")), GrantTypes: []string{"token-exchange"}}}
		c.Exchange = []rules.Spec{{
			ID: "octocat", Subject: &rules.SubjectSpec{Upstream: "github", When: `claims.id == 583231`}, Requester: &rules.RequesterSpec{Clients: []string{"portal"}},
			Grant: &rules.GrantSpec{Audiences: []string{"orders"}},
		}}
	})
	swap := func(token string) answer {
		form := exchangeForm(token, "orders")
		form.Set("subject_token_type", oauth.TypeAccessToken)
		return f.do(call{path: "/token", form: form, header: as("portal")})
	}
	if a := swap("gho_good"); a.status != http.StatusOK || claimsOf(t, a.text("access_token"))["sub"] != "github|583231" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	forged := upstreamtest.Must(upstreamtest.Options{Issuer: f.github.Issuer(), Now: f.clock})
	t.Cleanup(forged.Close)
	for name, token := range map[string]string{"inactive": "gho_bad", "a JWT that says so": forged.Sign(forged.Claims("583231", "their-app"))} {
		if a := swap(token); a.status != http.StatusBadRequest || a.text("error") != "invalid_request" {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	if asked := f.github.Requests(oauthidp.UserPath); len(asked) != 0 {
		t.Errorf("userinfo was asked: %+v", asked)
	}
	if discovery, jwks := forged.Fetches(); discovery+jwks != 0 {
		t.Error("keys were asked for")
	}
}
