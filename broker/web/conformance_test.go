package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/web"
	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

// The OpenID Foundation's certification modules, each under its own name: what it asserts, held by real HTTP. Where a module of theirs skips
// itself or warns, ours asserts what we do instead, and a departure is named as docs/divergences.md has it.

const (
	suiteBase     = "https://suite.test/test/a/fedbroker"
	suiteCallback = suiteBase + "/callback"
	suiteBye      = suiteBase + "/post_logout_redirect"

	suiteES256  = "suite-es256"  // authenticates by basic
	suiteRS256  = "suite-rs256"  // authenticates by basic
	suitePost   = "suite-post"   // authenticates by post
	suiteSecond = "suite-second" // another app, for what is not its own

	suitePerson  = "alice"
	suiteSubject = "acme|alice"
)

// provider is fedbroker as the suite meets it: its clients are registered, and one IdP has one person.
type provider struct {
	house *house
	idp   *upstreamtest.IdP
	ahead *atomic.Int64 // the IdP's clock
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{ahead: &atomic.Int64{}}
	p.ahead.Store(begun.Unix())
	p.idp = upstreamtest.Must(upstreamtest.Options{
		Name: "acme", Now: func() time.Time { return time.Unix(p.ahead.Load(), 0) },
		Clients: []upstreamtest.Client{{ID: "fedbroker", Secret: secretOf("fedbroker"), RedirectURIs: []string{issuer + "/callback/acme"}}},
		People:  []upstreamtest.Person{{Login: suitePerson, Subject: suitePerson, Claims: everyClaim()}},
	})
	t.Cleanup(p.idp.Close)
	p.house = newHouse(t, func(c *broker.Config, _ *web.Spec) {
		c.Upstreams = []broker.UpstreamSpec{{Spec: upstreams.Spec{
			Name: "acme", Kind: "oidc", Issuer: p.idp.Issuer(), ClientID: "fedbroker", ClientSecret: upstreams.Secret(secretOf("fedbroker")), Domains: []string{"acme.example"},
		}}}
		c.Exchange = nil
		c.Clients = []clients.Spec{
			suiteClient(suiteES256, oauth.AuthSecretBasic, "ES256"), suiteClient(suiteRS256, oauth.AuthSecretBasic, "RS256"),
			suiteClient(suitePost, oauth.AuthSecretPost, "RS256"), suiteClient(suiteSecond, oauth.AuthSecretBasic, "RS256"),
		}
		stale := 5 * time.Minute // nobody runs the broker's loops here
		c.RevocationMaxStale = &stale
	})
	if _, err := p.house.broker.Operator().RotateKeys(t.Context()); err != nil { // the RSA key, which the broker's loop would make
		t.Fatal(err)
	}
	return p
}

// everyClaim has one value for each claim of OpenID Connect Core §5.4's scopes.
func everyClaim() map[string]any {
	return map[string]any{
		"name": "Alice Adams", "given_name": "Alice", "family_name": "Adams", "middle_name": "B", "nickname": "al", "preferred_username": "alice",
		"profile": "https://acme.example/alice", "picture": "https://acme.example/alice.png", "website": "https://alice.example", "gender": "female",
		"birthdate": "2000-02-29", "zoneinfo": "Europe/Berlin", "locale": "de-DE", "updated_at": begun.Unix(),
		"email": "alice@acme.example", "email_verified": true, "phone_number": "+49 30 123456", "phone_number_verified": true,
		"address": map[string]any{"locality": "Berlin", "country": "DE"},
	}
}

// released are the claims of each scope (OpenID Connect Core §5.4).
func released() map[string][]string {
	return map[string][]string{
		"profile": {"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender", "birthdate", "zoneinfo", "locale", "updated_at"},
		"email":   {"email", "email_verified"}, "address": {"address"}, "phone": {"phone_number", "phone_number_verified"},
	}
}

// suiteClient is registered as one is for certification: without PKCE, which the suite does not send, and with profile claims at the
// UserInfo endpoint alone.
func suiteClient(id, method, alg string) clients.Spec {
	return clients.Spec{
		ID: id, SecretSHA256: hashOf(secretOf(id)), AuthMethod: method, IDTokenAlg: alg, PKCE: "optional", IDTokenClaims: []string{},
		GrantTypes: []string{"authorization_code", "refresh_token"}, RedirectURIs: []string{suiteCallback}, PostLogoutRedirectURIs: []string{suiteBye},
		Scopes: []string{"openid", "profile", "email", "address", "phone", "offline_access"},
	}
}

// module is one run of a module: with a browser that knows nothing yet, and an app.
type module struct {
	*house           // as apps reach it
	pages     *house // as the browser does, cookies and all
	provider  *provider
	app       string
	alg, mode string // of ID tokens; response_mode, "" for the default
}

func (p *provider) module(t *testing.T, app, alg, mode string) *module {
	t.Helper()
	listener, err := url.Parse(p.house.url)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	back, front := *p.house, *p.house
	back.t, front.t = t, t
	front.url, front.client = issuer, &http.Client{Jar: jar, Transport: world{towards{listener}}, CheckRedirect: unfollowed}
	return &module{house: &back, pages: &front, provider: p, app: app, alg: alg, mode: mode}
}

// pass lets time pass, here and at the IdP.
func (m *module) pass(d time.Duration) {
	m.now.Add(int64(d / time.Second))
	m.provider.ahead.Add(int64(d / time.Second))
}

// request is what the suite asks for: neither PKCE nor anything that is optional.
func (m *module) request(changes ...string) url.Values {
	q := url.Values{
		"client_id": {m.app}, "redirect_uri": {suiteCallback}, "response_type": {"code"}, "scope": {"openid"},
		"state": {"state of " + m.t.Name()}, "nonce": {"nonce of " + m.t.Name()},
	}
	if m.mode != "" {
		q.Set("response_mode", m.mode)
	}
	for i := 0; i < len(changes); i += 2 {
		q.Set(changes[i], changes[i+1])
	}
	return q
}

func (m *module) visit(path string, q url.Values) answer {
	m.t.Helper()
	return m.pages.do(call{method: http.MethodGet, path: path + "?" + q.Encode()})
}

// walk goes on from an answer of ours, by redirects of ours and by signing in at the IdP, to where the person stays or leaves for the app.
func (m *module) walk(a answer) answer {
	m.t.Helper()
	for range 4 {
		to := a.header.Get("Location")
		switch path, ours := strings.CutPrefix(to, "/fed"); {
		case a.status == http.StatusSeeOther && ours:
			a = m.pages.do(call{method: http.MethodGet, path: path})
		case a.status == http.StatusSeeOther && strings.HasPrefix(to, m.provider.idp.Issuer()+"/"):
			back, form, err := m.provider.idp.Authenticate(m.pages.client, to, suitePerson)
			if err != nil || form != nil {
				m.t.Fatalf("the IdP: %v, form %v", err, form)
			}
			a = m.pages.do(call{method: http.MethodGet, path: strings.TrimPrefix(back, issuer)})
		default:
			return a
		}
	}
	m.t.Fatalf("sent around in circles: %v", a.header)
	return answer{}
}

// told is the authorization response, held to its mode (OpenID Connect Core §3.1.2.5, Form Post Response Mode §2), to the request's state and
// to our iss (RFC 9207 §2).
func (m *module) told(a answer, q url.Values) url.Values {
	m.t.Helper()
	var params url.Values
	if m.mode == "form_post" {
		isPage(m.t, a, http.StatusOK)
		if !strings.Contains(a.raw, `method="post" action="`+suiteCallback+`"`) || a.header.Get("Location") != "" {
			m.t.Fatalf("the form leads elsewhere: %v %s", a.header, a.raw)
		}
		params = inputs(a.raw)
	} else {
		to, err := url.Parse(a.header.Get("Location"))
		if err != nil || a.status != http.StatusSeeOther || !strings.HasPrefix(to.String(), suiteCallback+"?") || to.Fragment != "" {
			m.t.Fatalf("not sent to the app: %d %v %s", a.status, a.header, a.raw)
		}
		params = to.Query()
	}
	if params.Get("state") != q.Get("state") || params.Get("iss") != issuer {
		m.t.Errorf("state %q, iss %q; want %q, %q", params.Get("state"), params.Get("iss"), q.Get("state"), issuer)
	}
	return params
}

// code is that of a good authorization response.
func (m *module) code(a answer, q url.Values) string {
	m.t.Helper()
	params := m.told(a, q)
	if len(params) != 3 || len(params.Get("code")) < 22 { // 128 bits (RFC 6749 §10.10)
		m.t.Fatalf("want code, state and iss, got %v", params)
	}
	return params.Get("code")
}

// wrong holds an authorization response to be that error, and no code.
func (m *module) wrong(a answer, q url.Values, code string) {
	m.t.Helper()
	if params := m.told(a, q); params.Get("error") != code || params.Has("code") {
		m.t.Errorf("got %v, want %s", params, code)
	}
}

// tokenRequest authenticates the app as it is registered.
func (m *module) tokenRequest(form url.Values) answer {
	m.t.Helper()
	if m.app == suitePost {
		form.Set("client_id", m.app)
		form.Set("client_secret", secretOf(m.app))
		return m.do(call{path: "/token", form: form})
	}
	return m.do(call{path: "/token", form: form, header: as(m.app)})
}

func (m *module) redeem(code string, changes ...string) answer {
	m.t.Helper()
	form := url.Values{"grant_type": {oauth.GrantAuthorizationCode}, "code": {code}, "redirect_uri": {suiteCallback}}
	for i := 0; i < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return m.tokenRequest(form)
}

// tokens are what an app has of a login.
type tokens struct {
	access, refresh, idToken string
	id, info                 map[string]any // the verified claims, and what userinfo says
}

// received reads a good token response (OpenID Connect Core §3.1.3.3), verifies its ID token and asks userinfo.
func (m *module) received(a answer, nonce string) tokens {
	m.t.Helper()
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") || a.header.Get("Cache-Control") != "no-store" {
		m.t.Fatalf("token response %d %v %s", a.status, a.header, a.raw)
	}
	if lasts, _ := a.body["expires_in"].(float64); a.text("token_type") != "Bearer" || lasts <= 0 {
		m.t.Errorf("token response %s", a.raw)
	}
	got := tokens{access: a.text("access_token"), refresh: a.text("refresh_token"), idToken: a.text("id_token")}
	got.id = m.verified(got.idToken, got.access, nonce)
	info := m.userinfo(got.access)
	if got.info = info.body; info.status != http.StatusOK || info.text("sub") != got.id["sub"] { // §5.3.2
		m.t.Errorf("userinfo %d %s", info.status, info.raw)
	}
	return got
}

// verified verifies an ID token by go-jose, with the keys that are served, and holds its claims to OpenID Connect Core §2 and §3.1.3.7.
func (m *module) verified(raw, access, nonce string) map[string]any {
	m.t.Helper()
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(m.alg)})
	if err != nil {
		m.t.Fatalf("ID token: %v", err)
	}
	fitting := m.keys().Key(parsed.Headers[0].KeyID)
	if len(fitting) != 1 || fitting[0].Algorithm != m.alg {
		m.t.Fatalf("keys of kid %q: %v", parsed.Headers[0].KeyID, fitting)
	}
	var registered jwt.Claims
	claims := map[string]any{}
	if err := parsed.Claims(fitting[0].Key, &registered, &claims); err != nil {
		m.t.Fatalf("ID token: %v", err)
	}
	expected := jwt.Expected{Issuer: issuer, Subject: suiteSubject, AnyAudience: jwt.Audience{m.app}, Time: m.clock()}
	if err := registered.ValidateWithLeeway(expected, 0); err != nil || registered.Expiry == nil || registered.IssuedAt == nil || len(registered.Audience) != 1 {
		m.t.Errorf("ID token %v: %v", claims, err)
	}
	half := sha256.Sum256([]byte(access))
	if got, want := claims["at_hash"], base64.RawURLEncoding.EncodeToString(half[:16]); got != want {
		m.t.Errorf("at_hash %v, want %v", got, want)
	}
	if got, _ := claims["nonce"].(string); got != nonce {
		m.t.Errorf("nonce %v, want %q", claims["nonce"], nonce)
	}
	if at, ok := claims["auth_time"].(float64); !ok || int64(at) > m.clock().Unix() {
		m.t.Errorf("auth_time %v", claims["auth_time"])
	}
	for scope, names := range released() {
		if i := slices.IndexFunc(names, func(name string) bool { _, has := claims[name]; return has }); i >= 0 {
			m.t.Errorf("the ID token tells %s of scope %s, which userinfo is for (§5.4)", names[i], scope)
		}
	}
	return claims
}

func (m *module) keys() *jose.JSONWebKeySet {
	m.t.Helper()
	a := m.do(call{method: http.MethodGet, path: "/jwks"})
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(a.raw), &set); err != nil || a.status != http.StatusOK || len(set.Keys) == 0 {
		m.t.Fatalf("keys: %d %s, %v", a.status, a.raw, err)
	}
	return &set
}

func (m *module) userinfo(access string) answer {
	m.t.Helper()
	return m.do(call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"Bearer " + access}}})
}

// complete is the suite's standard flow: the person signs in if need be, the app redeems its code, verifies and asks userinfo.
func (m *module) complete(q url.Values) tokens {
	m.t.Helper()
	return m.received(m.redeem(m.code(m.walk(m.visit("/authorize", q)), q)), q.Get("nonce"))
}

// asked counts how often the IdP has asked the person to sign in.
func (m *module) asked() int { return len(m.provider.idp.Requests("/login")) }

// sameLogin holds two ID tokens to be of one person and one authentication.
func sameLogin(t *testing.T, first, second tokens) {
	t.Helper()
	if first.id["sub"] != second.id["sub"] || first.id["auth_time"] != second.id["auth_time"] {
		t.Errorf("first %v, then %v", first.id, second.id)
	}
}
