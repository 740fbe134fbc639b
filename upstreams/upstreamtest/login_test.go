package upstreamtest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/oauth2"

	"fedbroker/upstreams/upstreamtest"
)

const (
	callback = "https://login.example.com/callback/staff"
	secret   = "s3cret with + and %"
	nonce    = "n-0S6"
)

// party is a relying party that no one here wrote, in one browser.
type party struct {
	t        *testing.T
	idp      *upstreamtest.IdP
	browser  *http.Client
	provider *oidc.Provider
	config   oauth2.Config
	verifier string
}

func options() upstreamtest.Options {
	return upstreamtest.Options{
		Name: "staff", DisplayName: "Acme <Staff>",
		Clients: []upstreamtest.Client{
			{ID: "broker", Secret: secret, RedirectURIs: []string{callback}, PostLogoutRedirectURIs: []string{"https://login.example.com/bye"}},
			{ID: "poster", Secret: secret, AuthMethod: upstreamtest.MethodPost, RedirectURIs: []string{callback}},
			{ID: "public", AuthMethod: upstreamtest.MethodNone, RedirectURIs: []string{callback}},
		},
		People: []upstreamtest.Person{
			{Login: "alice", Subject: "a-1", Claims: map[string]any{"name": "Alice Adams", "email": "alice@acme.example", "sub": "never"},
				UserinfoOnly: map[string]any{"phone_number": "+1 555"}, ACR: "gold", AMR: []string{"hwk"}},
			{Login: "bob", Subject: "b-2", Password: "tr0ub4dor"},
		},
	}
}

func newParty(t *testing.T, o upstreamtest.Options) *party {
	t.Helper()
	idp := newIdP(t, o)
	provider, err := oidc.NewProvider(t.Context(), idp.Issuer())
	if err != nil {
		t.Fatal(err)
	}
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	return &party{t, idp, newBrowser(t), provider, oauth2.Config{
		ClientID: "broker", ClientSecret: secret, RedirectURL: callback, Endpoint: endpoint, Scopes: []string{"openid", "offline_access"},
	}, oauth2.GenerateVerifier()}
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

// authURL is a good authorization request with changes: "name=value", or "name=" to leave one out.
func (p *party) authURL(changes ...string) string {
	p.t.Helper()
	u, err := url.Parse(p.config.AuthCodeURL("st&te", oidc.Nonce(nonce), oauth2.S256ChallengeOption(p.verifier)))
	if err != nil {
		p.t.Fatal(err)
	}
	query := u.Query()
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		query.Set(name, value)
		if value == "" {
			query.Del(name)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// login is the response that alice's login brings.
func (p *party) login(changes ...string) url.Values {
	p.t.Helper()
	return p.answered(p.idp.Authenticate(p.browser, p.authURL(changes...), "alice"))
}

func (p *party) answered(target string, form url.Values, err error) url.Values {
	p.t.Helper()
	u, parseErr := url.Parse(target)
	if err != nil || parseErr != nil || !strings.HasPrefix(target, callback) {
		p.t.Fatalf("got %q, %v, %v", target, err, parseErr)
	}
	if form != nil {
		return form
	}
	return u.Query()
}

func (p *party) exchange(code string) (*oauth2.Token, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	return p.config.Exchange(ctx, code, oauth2.VerifierOption(p.verifier))
}

func (p *party) verified(token *oauth2.Token) (*oidc.IDToken, map[string]any, error) {
	raw, _ := token.Extra("id_token").(string)
	id, err := p.provider.Verifier(&oidc.Config{ClientID: p.config.ClientID, SupportedSigningAlgs: []string{"ES256", "ES384", "EdDSA"}}).
		Verify(context.Background(), raw)
	if err != nil {
		return nil, nil, err
	}
	claims := map[string]any{}
	return id, claims, id.Claims(&claims)
}

// whole is a login from the authorization request to the ID token.
func (p *party) whole(changes ...string) (*oauth2.Token, *oidc.IDToken, map[string]any) {
	p.t.Helper()
	token, err := p.exchange(p.login(changes...).Get("code"))
	if err != nil {
		p.t.Fatal(err)
	}
	id, claims, err := p.verified(token)
	if err != nil {
		p.t.Fatal(err)
	}
	return token, id, claims
}

func TestLoginIsGoodToAnotherImplementation(t *testing.T) {
	for _, alg := range []string{"ES256", "ES384", "EdDSA"} {
		o := options()
		o.Algorithms, o.Path = []string{alg}, "/realms/a"
		p := newParty(t, o)
		response := p.login()
		if response.Get("state") != "st&te" || response.Get("iss") != p.idp.Issuer() {
			t.Errorf("got %v", response)
		}
		token, err := p.exchange(response.Get("code"))
		if err != nil {
			t.Fatal(err)
		}
		id, claims, err := p.verified(token)
		if err != nil {
			t.Fatal(err)
		}
		if id.Subject != "a-1" || id.Nonce != nonce || claims["acr"] != "gold" || claims["sid"] == nil || claims["auth_time"] == nil ||
			claims["name"] != "Alice Adams" || claims["phone_number"] != nil || claims["aud"] != "broker" {
			t.Errorf("got %v", claims)
		}
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		info, err := p.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(token))
		if err != nil {
			t.Fatal(err)
		}
		told := map[string]any{}
		if err := info.Claims(&told); err != nil || info.Subject != "a-1" || told["phone_number"] != "+1 555" {
			t.Errorf("got %v, %v", told, err)
		}
	}
}

func TestRefreshTokensRotate(t *testing.T) {
	p := newParty(t, options())
	first, _, before := p.whole()
	fresh := func(token *oauth2.Token) (*oauth2.Token, error) {
		return p.config.TokenSource(context.Background(), &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	}
	second, err := fresh(first)
	if err != nil || second.RefreshToken == first.RefreshToken {
		t.Fatalf("got %v", err)
	}
	if _, after, err := p.verified(second); err != nil || after["auth_time"] != before["auth_time"] || after["nonce"] != nil {
		t.Errorf("got %v, %v", after, err)
	}
	if _, err := fresh(first); err == nil {
		t.Error("a used refresh token is good")
	}
	if _, err := fresh(second); err == nil {
		t.Error("reuse does not end the family")
	}
	p.config.Scopes = []string{"openid"}
	if token, _, _ := p.whole(); token.RefreshToken != "" {
		t.Error("a refresh token that nobody asked for")
	}
}

func TestCodeIsGoodOnceAndForItsVerifier(t *testing.T) {
	p := newParty(t, options())
	code := p.login().Get("code")
	right := p.verifier
	p.verifier = oauth2.GenerateVerifier()
	if _, err := p.exchange(code); err == nil {
		t.Error("another verifier is good")
	}
	p.verifier = right
	token, err := p.exchange(code)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.exchange(code); err == nil {
		t.Error("a code is good twice")
	}
	if _, err := p.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(token)); err == nil {
		t.Error("what came of a replayed code is good still")
	}
}

func TestEachClientHasOneWayToAuthenticate(t *testing.T) {
	for _, id := range []string{"broker", "poster", "public"} {
		for _, style := range []oauth2.AuthStyle{oauth2.AuthStyleInHeader, oauth2.AuthStyleInParams} {
			for _, with := range []string{secret, "", "wrong"} {
				p := newParty(t, options())
				p.config.ClientID, p.config.ClientSecret, p.config.Endpoint.AuthStyle = id, with, style
				_, err := p.exchange(p.login().Get("code"))
				want := id == "broker" && style == oauth2.AuthStyleInHeader && with == secret ||
					id == "poster" && style == oauth2.AuthStyleInParams && with == secret ||
					id == "public" && style == oauth2.AuthStyleInParams && with == ""
				if (err == nil) != want {
					t.Errorf("%s, style %d, secret %q: %v", id, style, with, err)
				}
			}
		}
	}
}

func TestPrivateKeyJWT(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	o := options()
	o.Now = func() time.Time { return now }
	o.Clients = append(o.Clients, upstreamtest.Client{ID: "jwt", AuthMethod: upstreamtest.MethodPrivateKeyJWT, PublicKey: key.Public(), RedirectURIs: []string{callback}})
	p := newParty(t, o)
	p.config.ClientID, p.config.ClientSecret, p.config.Endpoint.AuthStyle = "jwt", "", oauth2.AuthStyleInParams
	try := func(key *ecdsa.PrivateKey, name string, value any) error {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		claims := map[string]any{"iss": "jwt", "sub": "jwt", "aud": p.idp.Issuer(), "exp": now.Unix() + 60, "jti": rand.Text()}
		if name != "" {
			claims[name] = value
		}
		assertion, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.config.Exchange(context.Background(), p.login().Get("code"), oauth2.VerifierOption(p.verifier),
			oauth2.SetAuthURLParam("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
			oauth2.SetAuthURLParam("client_assertion", assertion))
		return err
	}
	if err := try(key, "jti", "one"); err != nil {
		t.Error(err)
	}
	if err := try(other, "", nil); err == nil {
		t.Error("another key is good")
	}
	for _, bad := range []struct {
		name  string
		value any
	}{
		{"iss", "broker"}, {"sub", "broker"}, {"aud", []string{p.idp.Issuer()}}, {"aud", p.idp.Issuer() + "/token"}, {"exp", now.Unix()},
		{"exp", now.Unix() + 301}, {"jti", ""}, {"jti", "one"},
	} {
		if err := try(key, bad.name, bad.value); err == nil {
			t.Errorf("%s %v is good", bad.name, bad.value)
		}
	}
}

func TestPromptMaxAgeAndSingleSignOn(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	o := options()
	o.Now = func() time.Time { return now }
	p := newParty(t, o)
	forms := func() int { return len(p.idp.Requests("/login")) }
	if got := p.login("prompt=none").Get("error"); got != "login_required" {
		t.Errorf("got %s", got)
	}
	p.login()
	now = now.Add(time.Minute)
	for _, step := range []struct {
		change, errorCode string
		forms             int
	}{
		{"state=1", "", 1}, {"prompt=none", "", 1}, {"max_age=60", "", 1}, {"max_age=59", "", 2}, {"max_age=0", "", 3},
		{"prompt=login", "", 4}, {"prompt=select_account", "", 5}, {"prompt=none login", "invalid_request", 5}, {"max_age=-1", "invalid_request", 5},
	} {
		if got := p.login(step.change); got.Get("error") != step.errorCode || forms() != step.forms {
			t.Errorf("%s: %v after %d forms", step.change, got, forms())
		}
	}
	code := p.login("prompt=login", "acr_values=silver gold").Get("code")
	token, err := p.exchange(code)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct {
		AuthTime int64  `json:"auth_time"`
		ACR      string `json:"acr"`
	}
	parsed, err := jwt.ParseSigned(token.Extra("id_token").(string), []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || parsed.UnsafeClaimsWithoutVerification(&claims) != nil || claims.AuthTime != now.Unix() || claims.ACR != "silver" {
		t.Errorf("got %+v, %v", claims, err)
	}
	// Another provider of the same name and host shares nothing with it.
	other := newParty(t, o)
	other.browser = p.browser
	other.login()
	if p.login("prompt=none").Get("code") == "" || other.login("prompt=none").Get("code") == "" {
		t.Error("one session throws out the other")
	}
}

func TestLogout(t *testing.T) {
	p := newParty(t, options())
	token, _, _ := p.whole()
	p.browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	leave := func(query url.Values) string {
		resp, err := p.browser.Get(p.idp.URL() + "/logout?" + query.Encode())
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.Header.Get("Location")
	}
	hint := url.Values{"id_token_hint": {token.Extra("id_token").(string)}, "post_logout_redirect_uri": {"https://login.example.com/bye"}, "state": {"x"}}
	if got := leave(hint); got != "https://login.example.com/bye?state=x" {
		t.Errorf("got %q", got)
	}
	if got := p.login("prompt=none").Get("error"); got != "login_required" {
		t.Errorf("got %q", got)
	}
	hint.Set("post_logout_redirect_uri", "https://evil.example")
	if got := leave(hint); got != "" {
		t.Errorf("got %q", got)
	}
}

func TestRequestsAreRefused(t *testing.T) {
	p := newParty(t, options())
	for change, want := range map[string]string{
		"response_type=token": "unsupported_response_type", "response_mode=fragment": "invalid_request", "scope=email": "invalid_scope",
		"code_challenge_method=plain": "invalid_request", "code_challenge=short": "invalid_request", "request=x": "request_not_supported",
		"request_uri=x": "request_uri_not_supported", "code_challenge=": "invalid_request",
	} {
		if got := p.login(change); got.Get("error") != want || got.Get("iss") == "" || got.Get("state") == "" {
			t.Errorf("%s: %v", change, got)
		}
	}
	for _, change := range []string{"redirect_uri=" + callback + "/", "redirect_uri=", "client_id=x"} {
		if target, _, err := p.idp.Authenticate(p.browser, p.authURL(change), "alice"); err == nil {
			t.Errorf("%s: sent to %s", change, target)
		}
	}
	for _, who := range []upstreamtest.As{{Login: "bob", Password: "wrong"}, {Login: "carol"}} {
		if target, _, err := p.idp.AuthenticateAs(p.browser, p.authURL(), who); err == nil {
			t.Errorf("%v: sent to %s", who, target)
		}
	}
	if got := p.answered(p.idp.AuthenticateAs(p.browser, p.authURL(), upstreamtest.As{Cancel: true})); got.Get("error") != "access_denied" {
		t.Errorf("got %v", got)
	}
	if got := p.answered(p.idp.Authenticate(p.browser, p.authURL(), "bob")); got.Get("code") == "" {
		t.Errorf("got %v", got)
	}
}

func TestFormPostAndPages(t *testing.T) {
	p := newParty(t, options())
	if got := p.login("response_mode=form_post"); got.Get("code") == "" || got.Get("state") != "st&te" || got.Get("iss") != p.idp.Issuer() {
		t.Errorf("got %v", got)
	}
	resp, body := get(t, p.authURL("login_hint=<b>al"), http.StatusOK)
	for _, want := range []string{"Acme &lt;Staff&gt;", "Alice Adams", "&lt;b&gt;al", "#3457a6"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("the form lacks %s", want)
		}
	}
	policy := resp.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'; style-src 'sha256-") || strings.Contains(policy, "script") || strings.Contains(string(body), "<script") {
		t.Errorf("got %s", policy)
	}
}

func TestRequestsAreRecordedWithoutSecrets(t *testing.T) {
	p := newParty(t, options())
	token, _, _ := p.whole("max_age=0", "prompt=login")
	if _, err := p.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(token)); err != nil {
		t.Fatal(err)
	}
	authorize, redeem, info := p.idp.Requests("/authorize"), p.idp.Requests("/token"), p.idp.Requests("/userinfo")
	if len(authorize) != 1 || authorize[0].Query.Get("max_age") != "0" || authorize[0].Query.Get("code_challenge_method") != "S256" {
		t.Errorf("got %v", authorize)
	}
	if len(redeem) != 1 || redeem[0].Authorization != "Basic" || redeem[0].Form.Get("code") != upstreamtest.Secret ||
		redeem[0].Form.Get("code_verifier") != upstreamtest.Secret {
		t.Errorf("got %v", redeem)
	}
	if len(info) != 1 || info[0].Authorization != "Bearer" || info[0].Method != http.MethodGet {
		t.Errorf("got %v", info)
	}
}

func TestManyAtOnce(t *testing.T) {
	p := newParty(t, options())
	var wg sync.WaitGroup
	for range 8 {
		browser, target := newBrowser(t), p.authURL()
		wg.Go(func() {
			target, _, err := p.idp.Authenticate(browser, target, "alice")
			u, parseErr := url.Parse(target)
			if err != nil || parseErr != nil {
				t.Errorf("%v, %v", err, parseErr)
				return
			}
			if _, err := p.exchange(u.Query().Get("code")); err != nil {
				t.Error(err)
			}
			p.idp.ResponseIss(true, true)
		})
	}
	wg.Wait()
}

func TestLoginOptionsThatCannotBe(t *testing.T) {
	for name, o := range map[string]upstreamtest.Options{
		"no secret":   {Clients: []upstreamtest.Client{{ID: "a"}}},
		"no key":      {Clients: []upstreamtest.Client{{ID: "a", AuthMethod: upstreamtest.MethodPrivateKeyJWT}}},
		"no such way": {Clients: []upstreamtest.Client{{ID: "a", AuthMethod: "tls_client_auth"}}},
		"no id":       {Clients: []upstreamtest.Client{{Secret: "a"}}},
		"no subject":  {People: []upstreamtest.Person{{Login: "a"}}},
		"no colour":   {Accent: "red;}"},
	} {
		if idp, err := upstreamtest.New(o); err == nil {
			idp.Close()
			t.Error(name)
		}
	}
}

func TestTokenRequestsAreRefused(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	o := options()
	o.Now = func() time.Time { return now }
	p := newParty(t, o)
	for name, spoil := range map[string]func(*oauth2.Config) oauth2.AuthCodeOption{
		"another redirect_uri": func(*oauth2.Config) oauth2.AuthCodeOption {
			return oauth2.SetAuthURLParam("redirect_uri", callback+"/")
		},
		"another grant type": func(*oauth2.Config) oauth2.AuthCodeOption { return oauth2.SetAuthURLParam("grant_type", "password") },
		"another client": func(c *oauth2.Config) oauth2.AuthCodeOption {
			c.ClientID, c.Endpoint.AuthStyle = "poster", oauth2.AuthStyleInParams
			return oauth2.SetAuthURLParam("x", "y")
		},
		"late": func(*oauth2.Config) oauth2.AuthCodeOption {
			now = now.Add(time.Minute)
			return oauth2.SetAuthURLParam("x", "y")
		},
	} {
		config, code := p.config, p.login().Get("code")
		option := spoil(&config)
		if _, err := config.Exchange(context.Background(), code, oauth2.VerifierOption(p.verifier), option); err == nil {
			t.Errorf("%s: a token", name)
		}
	}
	token, err := p.exchange(p.login().Get("code"))
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(10 * time.Minute)
	if _, err := p.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(token)); err == nil {
		t.Error("an old access token is good")
	}
	p.config.ClientID = "poster"
	code := p.login().Get("code")
	if _, err := p.config.Exchange(context.Background(), code, oauth2.VerifierOption(p.verifier), oauth2.SetAuthURLParam("client_secret", secret)); err == nil {
		t.Error("two ways to authenticate are good")
	}
}
