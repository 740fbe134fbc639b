package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/web"
	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

const (
	portal     = "https://portal.test/cb?tenant=a"
	singlePage = "https://single.test/cb"
	verifier   = "a-verifier-of-43-characters-or-more-0123456789"
)

// signIns is a house at which people of two partners sign in; globex answers by form_post.
type signIns struct {
	*house
	acme, globex *upstreamtest.IdP
}

func newSignIns(t *testing.T) *signIns {
	t.Helper()
	return newSignInsAt(t, begun)
}

func newSignInsAt(t *testing.T, now time.Time) *signIns {
	t.Helper()
	clock := func() time.Time { return now }
	idp := func(name string, people ...upstreamtest.Person) *upstreamtest.IdP {
		p := upstreamtest.Must(upstreamtest.Options{
			Name: name, Now: clock, People: people,
			Clients: []upstreamtest.Client{{ID: "fedbroker", Secret: secretOf("fedbroker"), RedirectURIs: []string{issuer + "/callback/" + name}}},
		})
		t.Cleanup(p.Close)
		return p
	}
	s := &signIns{
		acme:   idp("acme", upstreamtest.Person{Login: "alice", Subject: "alice", Claims: map[string]any{"name": "Alice", "email": "alice@acme.example", "email_verified": true}}),
		globex: idp("globex", upstreamtest.Person{Login: "bob", Subject: "bob", Claims: map[string]any{"name": "Bob"}}),
	}
	people := func(name string, p *upstreamtest.IdP, change func(*upstreams.Spec)) broker.UpstreamSpec {
		spec := upstreams.Spec{Name: name, Kind: "oidc", Issuer: p.Issuer(), ClientID: "fedbroker", ClientSecret: upstreams.Secret(secretOf("fedbroker")), Domains: []string{name + ".example"}}
		change(&spec)
		return broker.UpstreamSpec{Spec: spec}
	}
	s.house = newHouseAt(t, now, func(c *broker.Config, _ *web.Spec) {
		c.Upstreams = []broker.UpstreamSpec{
			people("acme", s.acme, func(u *upstreams.Spec) { u.DisplayName = "Acme Corp" }),
			people("globex", s.globex, func(u *upstreams.Spec) { u.ResponseMode = "form_post" }),
		}
		c.Exchange = nil
		c.Clients = []clients.Spec{
			{ID: "portal", SecretSHA256: hashOf(secretOf("portal")), GrantTypes: []string{"authorization_code", "refresh_token"}, RedirectURIs: []string{portal}, PostLogoutRedirectURIs: []string{"https://portal.test/bye"},
				Scopes: []string{"openid", "profile", "email", "offline_access"}},
			{ID: "single", Public: true, GrantTypes: []string{"authorization_code"}, RedirectURIs: []string{singlePage}, Origins: []string{"https://single.test"}, Scopes: []string{"openid", "profile"}},
		}
	})
	return s
}

// world sends what is meant for the issuer to the listener, and the rest where it is meant for.
type world struct{ ours towards }

func (w world) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "login.test" {
		return w.ours.RoundTrip(r)
	}
	return http.DefaultTransport.RoundTrip(r)
}

// browser is one with cookies of its own. It follows nothing by itself.
func (s *signIns) browser() *http.Client {
	s.t.Helper()
	listener, err := url.Parse(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &http.Client{Jar: jar, Transport: world{towards{listener}}, CheckRedirect: unfollowed}
}

// visit opens an address of ours as a browser does, by GET or with a form by POST.
func (s *signIns) visit(b *http.Client, address string, form url.Values) answer {
	s.t.Helper()
	c := call{method: http.MethodGet, path: strings.TrimPrefix(address, issuer), form: form}
	if form != nil {
		c.method = http.MethodPost
	}
	before := s.client
	s.client = b
	defer func() { s.client = before }()
	url := s.url
	s.url = issuer
	defer func() { s.url = url }()
	return s.do(c)
}

// request is an authorization request of portal.
func request(changes ...string) url.Values {
	challenge := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id": {"portal"}, "redirect_uri": {portal}, "response_type": {"code"}, "scope": {"openid profile email"}, "state": {"app's & own"}, "nonce": {"n"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(changes); i += 2 {
		q.Set(changes[i], changes[i+1])
	}
	return q
}

// signedIn walks from an authorization request through the IdP's form back to where the app is answered.
func (s *signIns) signedIn(b *http.Client, p *upstreamtest.IdP, login string, q url.Values) answer {
	s.t.Helper()
	a := s.visit(b, issuer+"/authorize?"+q.Encode(), nil)
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), p.Issuer()) {
		s.t.Fatalf("not sent to the IdP: %d %v %s", a.status, a.header, a.raw)
	}
	to, form, err := p.Authenticate(b, a.header.Get("Location"), login)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.visit(b, to, form)
}

// reply reads what the app is told, and holds it to be for the app.
func reply(t *testing.T, a answer) url.Values {
	t.Helper()
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusSeeOther || !strings.HasPrefix(to.String(), portal+"&") {
		t.Fatalf("not sent to the app: %d %v %s", a.status, a.header, a.raw)
	}
	return to.Query()
}

// redeem is portal's token request.
func (s *signIns) redeem(code string) answer {
	return s.do(call{path: "/token", form: url.Values{"grant_type": {oauth.GrantAuthorizationCode}, "code": {code}, "redirect_uri": {portal}, "code_verifier": {verifier}}, header: as("portal")})
}

func TestLogin_FromTheAppToTheAppAndItsTokens(t *testing.T) {
	s := newSignIns(t)
	for name, tt := range map[string]struct {
		idp   *upstreamtest.IdP
		login string
	}{"acme": {s.acme, "alice"}, "globex": {s.globex, "bob"}} {
		t.Run(name, func(t *testing.T) {
			b := s.browser()
			said := reply(t, s.signedIn(b, tt.idp, tt.login, request("idp_hint", name)))
			if said.Get("tenant") != "a" || said.Get("state") != "app's & own" || said.Get("iss") != issuer || said.Get("code") == "" {
				t.Fatalf("the app is told %v", said)
			}
			tokens := s.redeem(said.Get("code"))
			if tokens.status != http.StatusOK {
				t.Fatalf("%d %s", tokens.status, tokens.raw)
			}
			id := claimsOf(t, tokens.text("id_token"))
			if id["sub"] != name+"|"+tt.login || id["nonce"] != "n" || id["aud"] != "portal" {
				t.Errorf("ID token %v", id)
			}
			info := s.do(call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"Bearer " + tokens.text("access_token")}}})
			if info.status != http.StatusOK || info.text("sub") != name+"|"+tt.login || info.text("name") == "" {
				t.Errorf("userinfo %d %s", info.status, info.raw)
			}
			t.Run("another app knows the person", func(t *testing.T) {
				silent := s.visit(b, issuer+"/authorize?"+request("client_id", "single", "redirect_uri", singlePage, "prompt", "none").Encode(), nil)
				if to := silent.header.Get("Location"); !strings.HasPrefix(to, singlePage+"?code=") {
					t.Errorf("%d to %s", silent.status, to)
				}
			})
			t.Run("signing out by the app's hint", func(t *testing.T) {
				out := s.visit(b, issuer+"/logout?"+url.Values{"id_token_hint": {tokens.text("id_token")}, "post_logout_redirect_uri": {"https://portal.test/bye"}, "state": {"s"}}.Encode(), nil)
				if out.header.Get("Location") != "https://portal.test/bye?state=s" || cookiesOf(t, out)["__Host-fedbroker-session"].MaxAge != -1 {
					t.Errorf("%d %v %s", out.status, out.header, out.raw)
				}
				if after := reply(t, s.visit(b, issuer+"/authorize?"+request("prompt", "none").Encode(), nil)); after.Get("error") != "login_required" {
					t.Errorf("after signing out: %v", after)
				}
			})
		})
	}
}

func TestLogin_ByFormPostToTheApp(t *testing.T) {
	s := newSignIns(t)
	a := s.signedIn(s.browser(), s.acme, "alice", request("idp_hint", "acme", "response_mode", "form_post", "state", hostile))
	isPage(t, a, http.StatusOK)
	if got := inputs(a.raw); got.Get("state") != hostile || got.Get("iss") != issuer || s.redeem(got.Get("code")).status != http.StatusOK {
		t.Errorf("form %v", got)
	}
}

func TestLogin_ByTheChooser(t *testing.T) {
	s := newSignIns(t)
	b := s.browser()
	page := s.visit(b, issuer+"/authorize?"+request().Encode(), nil)
	isPage(t, page, http.StatusOK)
	fields := inputs(page.raw)
	fields.Set("email", "someone@nowhere.example")
	again := s.visit(b, issuer+"/login", fields)
	if isPage(t, again, http.StatusOK); !strings.Contains(again.raw, "know an organisation for that address") {
		t.Errorf("page %s", again.raw)
	}
	fields.Set("email", "bob@globex.example")
	if a := s.visit(b, issuer+"/login", fields); !strings.HasPrefix(a.header.Get("Location"), s.globex.Issuer()) {
		t.Errorf("by address: %d %v", a.status, a.header)
	}
	_, rest, _ := strings.Cut(page.raw, `href="/fed/authorize?`)
	link, _, _ := strings.Cut(rest, `"`)
	a := s.visit(b, issuer+"/authorize?"+html.UnescapeString(link), nil)
	if !strings.HasPrefix(a.header.Get("Location"), s.acme.Issuer()) {
		t.Errorf("by link: %d %v", a.status, a.header)
	}
}

// P30: of many logins begun at once in one browser the newest finish, and no older one breaks the browser.
func TestP30_TwentyLoginsInOneBrowser(t *testing.T) {
	s := newSignIns(t)
	b := s.browser()
	const begun, kept = 20, 8
	var ways []string
	for range begun {
		a := s.visit(b, issuer+"/authorize?"+request("idp_hint", "acme").Encode(), nil)
		if a.status != http.StatusSeeOther {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		ways = append(ways, a.header.Get("Location"))
	}
	at, _ := url.Parse(issuer)
	var attempts int
	for _, c := range b.Jar.Cookies(at) {
		if strings.HasPrefix(c.Name, "__Host-fedbroker-a-") {
			attempts++
		}
	}
	if attempts > kept {
		t.Errorf("the browser keeps %d attempts", attempts)
	}
	var finished int
	for _, way := range ways {
		to, form, err := s.acme.Authenticate(b, way, "alice")
		if err != nil {
			t.Fatal(err)
		}
		switch a := s.visit(b, to, form); {
		case a.status == http.StatusSeeOther:
			finished++
		default:
			isPage(t, a, http.StatusBadRequest)
		}
	}
	if finished != attempts || finished == 0 {
		t.Errorf("%d finished of %d kept", finished, attempts)
	}
}

func TestP30_CallbackIsForTheBrowserThatBeganAndOnce(t *testing.T) {
	s := newSignIns(t)
	b := s.browser()
	a := s.visit(b, issuer+"/authorize?"+request("idp_hint", "acme").Encode(), nil)
	to, form, err := s.acme.Authenticate(b, a.header.Get("Location"), "alice")
	if err != nil {
		t.Fatal(err)
	}
	other := s.visit(s.browser(), to, form)
	if isPage(t, other, http.StatusBadRequest); other.header.Get("Location") != "" || len(cookiesOf(t, other)) > 0 {
		t.Errorf("another browser: %v", other.header)
	}
	wrong := s.visit(b, strings.Replace(to, "/callback/acme", "/callback/globex", 1), form)
	if isPage(t, wrong, http.StatusBadRequest); cookiesOf(t, wrong)["__Host-fedbroker-session"] != nil {
		t.Errorf("another upstream's address: %v", wrong.header)
	}
	held := call{method: http.MethodGet, path: strings.TrimPrefix(to, issuer), header: http.Header{}}
	for _, cookie := range b.Jar.Cookies(mustParse(t, issuer)) {
		held.header.Add("Cookie", cookie.Name+"="+cookie.Value)
	}
	first := s.do(held)
	if reply(t, first).Get("code") == "" || cookiesOf(t, first)["__Host-fedbroker-session"] == nil {
		t.Fatalf("the first: %v", first.header)
	}
	for range 2 { // a browser that still holds the cookie, as a copy of it would
		again := s.do(held)
		if again.status < 400 || again.header.Get("Location") != "" || cookiesOf(t, again)["__Host-fedbroker-session"] != nil {
			t.Errorf("again: %d %v", again.status, again.header)
		}
	}
}

func mustParse(t *testing.T, raw string) *url.URL {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// P33: nothing leads to a redirect_uri that is not proven.
func TestP33_ErrorsNeverLeadToAnUnprovenURI(t *testing.T) {
	s := newSignIns(t)
	for name, q := range map[string]url.Values{
		"another host":         request("redirect_uri", "https://evil.test/cb"),
		"one slash more":       request("redirect_uri", "https://portal.test/cb/?tenant=a"),
		"one parameter more":   request("redirect_uri", portal+"&x=y"),
		"a fragment":           request("redirect_uri", portal+"#x"),
		"user information":     request("redirect_uri", "https://portal.test@evil.test/cb?tenant=a"),
		"other case":           request("redirect_uri", "https://PORTAL.test/cb?tenant=a"),
		"another port":         request("redirect_uri", "https://portal.test:444/cb?tenant=a"),
		"another client's":     request("redirect_uri", singlePage),
		"none":                 with(request(), "redirect_uri"),
		"a client that is not": request("client_id", "ghost"),
		"no client":            with(request(), "client_id"),
	} {
		t.Run(name, func(t *testing.T) {
			a := s.visit(s.browser(), issuer+"/authorize?"+q.Encode(), nil)
			isPage(t, a, http.StatusBadRequest)
			if a.header.Get("Location") != "" || strings.Contains(a.raw, "evil.test") || strings.Contains(a.raw, `href="http`) {
				t.Errorf("%v %s", a.header, a.raw)
			}
		})
	}
}

// P50: what an answer shows of an address is whether its domain is served, not whether there is such a person.
func TestP50_WhetherAPersonExistsIsNeverShown(t *testing.T) {
	s := newSignIns(t)
	ask := func(address string) answer {
		form := request()
		form.Set("email", address)
		return s.visit(s.browser(), issuer+"/login", form)
	}
	known, unknown := ask("alice@acme.example"), ask("nobody-at-all@acme.example")
	for _, a := range []answer{known, unknown} {
		if a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), s.acme.Issuer()+"/authorize?") {
			t.Errorf("%d %v", a.status, a.header)
		}
	}
	if len(s.acme.Requests("/authorize")) > 0 {
		t.Error("the IdP was asked before the person went there")
	}
}
