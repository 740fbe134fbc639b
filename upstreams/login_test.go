package upstreams_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

const (
	callback    = ourIssuer + "/callback/acme"
	loginSecret = "s3cret: with + and % and ü" // nothing in it may be sent as it is
)

// visit is one person in one browser, at one upstream with logins.
type visit struct {
	*bench
	idp     *upstreamtest.IdP
	up      upstreams.Login
	browser *http.Client
}

func loginOptions() upstreamtest.Options {
	return upstreamtest.Options{
		Clients: []upstreamtest.Client{{ID: loginID, Secret: loginSecret, RedirectURIs: []string{callback}}},
		People: []upstreamtest.Person{{Login: "alice", Subject: "a-1",
			Claims:       map[string]any{"name": "Alice Adams", "email": "alice@acme.example"},
			UserinfoOnly: map[string]any{"phone_number": "+1 555", "name": "Somebody Else", "email_verified": true}, ACR: "gold", AMR: []string{"hwk"}}},
	}
}

func loginSpec(name string, idp *upstreamtest.IdP) upstreams.Spec {
	s := oidcSpec(name, idp)
	s.ClientSecret = loginSecret
	return s
}

func newVisit(t *testing.T, o upstreamtest.Options, change func(*upstreams.Spec)) *visit {
	t.Helper()
	c := newClock()
	idp := newIdP(t, c, o)
	s := loginSpec("acme", idp)
	if change != nil {
		change(&s)
	}
	return visitAt(t, newBench(t, c, s), idp)
}

func visitAt(t *testing.T, b *bench, idp *upstreamtest.IdP) *visit {
	t.Helper()
	up, ok := b.set.Login("acme")
	if !ok {
		t.Fatal("nobody can log in at acme")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visit{b, idp, up, &http.Client{Jar: jar}}
}

func attempt() upstreams.Attempt {
	return upstreams.Attempt{State: "st&te", Nonce: nonce, Verifier: strings.Repeat("v", 43), RedirectURI: callback}
}

// start is the authorization request, which must be made.
func (v *visit) start(a upstreams.Attempt) (string, url.Values) {
	v.Helper()
	address, err := v.up.Start(v.Context(), a)
	if err != nil {
		v.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		v.Fatal(err)
	}
	return address, u.Query()
}

// answered is the authorization response that alice brings back.
func (v *visit) answered(a upstreams.Attempt) url.Values {
	v.Helper()
	address, _ := v.start(a)
	target, form, err := v.idp.Authenticate(v.browser, address, "alice")
	if err != nil || !strings.HasPrefix(target, callback) {
		v.Fatalf("got %q, %v", target, err)
	}
	if form != nil {
		return form
	}
	u, err := url.Parse(target)
	if err != nil {
		v.Fatal(err)
	}
	return u.Query()
}

func (v *visit) whole() (upstreams.Identity, error) {
	v.Helper()
	return v.up.Finish(v.Context(), attempt(), v.answered(attempt()))
}

func (v *visit) accepted() upstreams.Identity {
	v.Helper()
	id, err := v.whole()
	if err != nil {
		v.Fatal(err)
	}
	return id
}

// wantRefusal wants exactly that reason, its sentinel, and no identity.
func wantRefusal(t *testing.T, id upstreams.Identity, err error, reason upstreams.Reason) {
	t.Helper()
	refused, ok := errors.AsType[*upstreams.Error](err)
	if !ok || refused.Reason != reason {
		t.Fatalf("want reason %s, got %v", reason, err)
	}
	for sentinel, want := range map[error]bool{
		upstreams.ErrUnavailable: reason == upstreams.ReasonUnavailable,
		upstreams.ErrDenied:      reason == upstreams.ReasonDenied,
		upstreams.ErrInvalid:     reason != upstreams.ReasonUnavailable && reason != upstreams.ReasonDenied,
	} {
		if errors.Is(err, sentinel) != want {
			t.Errorf("reason %s: want %q %v in %v", reason, sentinel, want, err)
		}
	}
	if id.Subject != "" || id.Claims != nil {
		t.Errorf("want no identity beside an error, got %+v", id)
	}
}

func TestLoginMakesAnIdentity(t *testing.T) {
	v := newVisit(t, loginOptions(), func(s *upstreams.Spec) {
		s.ACRMap, s.AMRMap = map[string]string{"gold": "aal2"}, map[string]string{"hwk": "mfa"}
	})
	id := v.accepted()
	switch {
	case id.Upstream != "acme" || id.Issuer != v.idp.Issuer() || id.Subject != "a-1" || id.BrokerSubject != "acme|a-1" || id.Audience != loginID:
		t.Errorf("who: %+v", id)
	case id.ACR != "aal2" || !slices.Equal(id.AMR, []string{"mfa"}) || !id.AuthTime.Equal(v.clock.Now()):
		t.Errorf("how: %+v", id)
	case id.SessionID == "" || id.SessionID != id.Claims["sid"]:
		t.Errorf("sid: %+v", id)
	case id.Claims["phone_number"] != "+1 555":
		t.Errorf("what only userinfo says is missing: %v", id.Claims)
	case id.Claims["name"] != "Alice Adams":
		t.Errorf("userinfo counts more than the signed ID token: %v", id.Claims)
	}
	if d, j := v.idp.Fetches(); d != 1 || j != 1 {
		t.Errorf("want one fetch of each document for keys and login together, got %d, %d", d, j)
	}
}

func TestLoginIsOfKindOIDCOnly(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, loginOptions())
	b := newBench(t, c, jwtSpec("ci", idp), loginSpec("acme", idp))
	for name, want := range map[string]bool{"acme": true, "ci": false, "none": false} {
		up, ok := b.set.Login(name)
		info, _ := b.set.Info(name)
		if ok != want || info.Login != want || ok && up.Name() != name {
			t.Errorf("%s: want %v, got %v and %v", name, want, ok, info.Login)
		}
	}
	judged := upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{loginSpec("acme", idp)}, OurIssuer: ourIssuer}, func(string, string, ...any) {})
	if _, ok := judged.Login("acme"); ok {
		t.Error("a set that is only judged has logins")
	}
}

func TestStartSendsTheRequest(t *testing.T) {
	v := newVisit(t, loginOptions(), func(s *upstreams.Spec) {
		s.Scopes, s.ACRMap = []string{"openid", "groups"}, map[string]string{"urn:gold": "aal2", "urn:bronze": "aal1", "urn:silver": "aal2"}
	})
	a := attempt()
	a.Prompt, a.LoginHint, a.UILocales = []string{"select_account"}, "alice&x=1", []string{"de", "en"}
	a.ACRValues = []string{"aal2", "unknown", "aal1"}
	age := 90 * time.Second
	a.MaxAge = &age
	address, query := v.start(a)
	want := url.Values{
		"response_type": {"code"}, "client_id": {loginID}, "redirect_uri": {callback}, "scope": {"openid groups"}, "state": {"st&te"}, "nonce": {nonce},
		// printf of 43 v | openssl dgst -sha256 -binary | basenc --base64url
		"code_challenge": {"7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"}, "code_challenge_method": {"S256"},
		"prompt": {"select_account"}, "max_age": {"90"}, "login_hint": {"alice&x=1"}, "ui_locales": {"de en"}, "acr_values": {"urn:gold urn:silver urn:bronze"},
	}
	for name, values := range want {
		if !slices.Equal(query[name], values) {
			t.Errorf("%s: want %q, got %q", name, values, query[name])
		}
	}
	if len(query) != len(want) || strings.Contains(address, a.Verifier) {
		t.Errorf("got %s", address)
	}
}

func TestP31_PromptLoginAsksForAuthTime(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	a := attempt()
	day := 24 * time.Hour
	a.Prompt, a.MaxAge = []string{"login"}, &day
	if _, query := v.start(a); query.Get("prompt") != "login" || query.Get("max_age") != "0" {
		t.Errorf("got %v", query)
	}
	if _, query := v.start(attempt()); query.Has("prompt") || query.Has("max_age") || query.Has("acr_values") || query.Has("response_mode") {
		t.Errorf("what nobody asked for is sent: %v", query)
	}
}

func TestResponseByFormPost(t *testing.T) {
	v := newVisit(t, loginOptions(), func(s *upstreams.Spec) { s.ResponseMode = "form_post" })
	if _, query := v.start(attempt()); query.Get("response_mode") != "form_post" {
		t.Errorf("got %v", query)
	}
	if id := v.accepted(); id.Subject != "a-1" {
		t.Errorf("got %+v", id)
	}
}

func TestAttemptThatIsNotWholeRefused(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	for name, spoil := range map[string]func(*upstreams.Attempt){
		"state":        func(a *upstreams.Attempt) { a.State = "" },
		"nonce":        func(a *upstreams.Attempt) { a.Nonce = "" },
		"verifier":     func(a *upstreams.Attempt) { a.Verifier = "" },
		"redirect URI": func(a *upstreams.Attempt) { a.RedirectURI = "" },
	} {
		t.Run(name, func(t *testing.T) {
			a := attempt()
			spoil(&a)
			_, err := v.up.Start(t.Context(), a)
			wantRefusal(t, upstreams.Identity{}, err, upstreams.ReasonResponse)
			id, err := v.up.Finish(t.Context(), a, url.Values{"code": {"c"}})
			wantRefusal(t, id, err, upstreams.ReasonResponse)
		})
	}
}

// The responses that are no answer to the attempt, and those that are the upstream's no.
func TestResponsesThatBringNoCode(t *testing.T) {
	const markup = "<script>alert('x')</script>\x00\n\u202e"
	for _, tc := range []struct {
		name   string
		alter  func(url.Values)
		reason upstreams.Reason
		code   string
	}{
		{"state of another attempt", func(p url.Values) { p.Set("state", "other") }, upstreams.ReasonResponse, ""},
		{"no state", func(p url.Values) { p.Del("state") }, upstreams.ReasonResponse, ""},
		{"state repeated", func(p url.Values) { p.Add("state", "st&te") }, upstreams.ReasonResponse, ""},
		{"code repeated", func(p url.Values) { p.Add("code", "other") }, upstreams.ReasonResponse, ""},
		{"no code", func(p url.Values) { p.Del("code") }, upstreams.ReasonResponse, ""},
		{"empty code", func(p url.Values) { p.Set("code", "") }, upstreams.ReasonResponse, ""},
		{"huge code", func(p url.Values) { p.Set("code", strings.Repeat("c", 9<<10)) }, upstreams.ReasonResponse, ""},
		{"code with a line break", func(p url.Values) { p.Set("code", "a\r\nb") }, upstreams.ReasonResponse, ""},
		{"code beside an error", func(p url.Values) { p.Set("error", "access_denied") }, upstreams.ReasonResponse, ""},
		{"empty error", func(p url.Values) { p.Del("code"); p.Set("error", "") }, upstreams.ReasonResponse, ""},
		{"error of another attempt", func(p url.Values) { p.Del("code"); p.Set("error", "access_denied"); p.Set("state", "x") }, upstreams.ReasonResponse, ""},

		{"the person said no", failing("access_denied", markup), upstreams.ReasonDenied, "access_denied"},
		{"an error of ours", failing("invalid_scope", markup), upstreams.ReasonDenied, "invalid_scope"},
		{"an error that is no code", failing(markup, markup), upstreams.ReasonDenied, ""},
		{"a long code", failing(strings.Repeat("a", 65), ""), upstreams.ReasonDenied, ""},
		{"down", failing("server_error", markup), upstreams.ReasonUnavailable, "server_error"},
		{"overloaded", failing("temporarily_unavailable", markup), upstreams.ReasonUnavailable, "temporarily_unavailable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := newVisit(t, loginOptions(), nil)
			response := v.answered(attempt())
			tc.alter(response)
			id, err := v.up.Finish(t.Context(), attempt(), response)
			wantRefusal(t, id, err, tc.reason)
			if refused, _ := errors.AsType[*upstreams.Error](err); refused.Code != tc.code {
				t.Errorf("want code %q, got %q", tc.code, refused.Code)
			}
			if text := err.Error(); len(text) > 500 || strings.ContainsAny(text, "\x00\n\u202e") {
				t.Errorf("a stranger's text goes to the log as it came: %q", text)
			}
			if n := len(v.idp.Requests("/token")); n != 0 {
				t.Errorf("a code was redeemed")
			}
		})
	}
}

func failing(code, description string) func(url.Values) {
	return func(p url.Values) {
		p.Del("code")
		p.Set("error", code)
		p.Set("error_description", description+strings.Repeat("x", 1<<10))
	}
}

func TestRFC9207_TheIssuerOfTheAnswerIsTheUpstreams(t *testing.T) {
	for _, tc := range []struct {
		name      string
		announced bool
		sent      string
		ok        bool
	}{
		{"announced and sent", true, "own", true},
		{"announced and missing", true, "", false},
		{"announced and another's", true, "https://evil.example", false},
		{"announced, off by a slash", true, "own/", false},
		{"not announced and not sent", false, "", true},
		{"not announced and right", false, "own", true},
		{"not announced and another's: a mix-up", false, "https://evil.example", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, failed := range []bool{false, true} { // an error response is judged the same way
				v := newVisit(t, loginOptions(), nil)
				v.idp.ResponseIss(tc.announced, true)
				response := v.answered(attempt())
				response.Del("iss")
				if tc.sent != "" {
					response.Set("iss", strings.Replace(tc.sent, "own", v.idp.Issuer(), 1))
				}
				if failed {
					response.Del("code")
					response.Set("error", "access_denied")
				}
				id, err := v.up.Finish(t.Context(), attempt(), response)
				switch {
				case !tc.ok:
					wantRefusal(t, id, err, upstreams.ReasonResponse)
				case failed:
					wantRefusal(t, id, err, upstreams.ReasonDenied)
				case err != nil:
					t.Error(err)
				}
			}
		})
	}
}

// P30 keeps state, nonce and verifier together in the browser that began; here each must be the attempt's own.
func TestP30_WhatBelongsToAnotherAttemptRefused(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	other := attempt()
	other.Verifier = strings.Repeat("w", 43)
	id, err := v.up.Finish(t.Context(), other, v.answered(attempt()))
	wantRefusal(t, id, err, upstreams.ReasonRefused)
	other = attempt()
	other.Nonce = "another"
	id, err = v.up.Finish(t.Context(), other, v.answered(attempt()))
	wantRefusal(t, id, err, upstreams.ReasonNonce)

	response := v.answered(attempt())
	if _, err := v.up.Finish(t.Context(), attempt(), response); err != nil {
		t.Fatal(err)
	}
	id, err = v.up.Finish(t.Context(), attempt(), response)
	wantRefusal(t, id, err, upstreams.ReasonRefused)
	if refused, _ := errors.AsType[*upstreams.Error](err); refused.Code != "invalid_grant" {
		t.Errorf("a code that comes twice: got %q", refused.Code)
	}
}

func TestP37_SecretGoesTheRegisteredWayOnly(t *testing.T) {
	for _, tc := range []struct {
		method, scheme string
		inForm         bool
	}{
		{upstreamtest.MethodBasic, "Basic", false},
		{upstreamtest.MethodPost, "", true},
	} {
		t.Run(tc.method, func(t *testing.T) {
			o := loginOptions()
			o.Clients[0].AuthMethod = tc.method
			v := newVisit(t, o, func(s *upstreams.Spec) { s.AuthMethod = tc.method })
			v.accepted()
			sent := v.idp.Requests("/token")
			if len(sent) != 1 || sent[0].Authorization != tc.scheme || sent[0].Form.Has("client_secret") != tc.inForm || len(sent[0].Query) != 0 {
				t.Errorf("got %+v", sent)
			}
			wrong := newVisit(t, o, func(s *upstreams.Spec) { s.AuthMethod, s.ClientSecret = tc.method, "wrong" })
			id, err := wrong.whole()
			wantRefusal(t, id, err, upstreams.ReasonRefused)
			if refused, _ := errors.AsType[*upstreams.Error](err); refused.Code != "invalid_client" || len(wrong.idp.Requests("/token")) != 1 {
				t.Errorf("want one try and invalid_client, got %q after %d", refused.Code, len(wrong.idp.Requests("/token")))
			}
		})
	}
}

// upstreamtest holds assertions to P37: aud is the issuer alone and a string, jti once, five minutes at most.
func TestP37_PrivateKeyJWT(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	ec384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(t, err)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	check(t, err)
	sec1, err := x509.MarshalECPrivateKey(ec)
	check(t, err)
	jwk, err := gojose.JSONWebKey{Key: ed, KeyID: "k1", Algorithm: "EdDSA"}.MarshalJSON()
	check(t, err)
	public, err := gojose.JSONWebKey{Key: ed.Public()}.MarshalJSON()
	check(t, err)
	for _, tc := range []struct {
		name string
		file []byte
		key  crypto.PublicKey
		ok   bool
	}{
		{"PKCS #8, P-256", pkcs8(t, ec), ec.Public(), true},
		{"PKCS #8, P-384", pkcs8(t, ec384), ec384.Public(), true},
		{"PKCS #8, Ed25519", pkcs8(t, ed), ed.Public(), true},
		{"PKCS #8, RSA", pkcs8(t, rsaKey), rsaKey.Public(), true},
		{"SEC 1", pemBlock("EC PRIVATE KEY", sec1), ec.Public(), true},
		{"PKCS #1", pemBlock("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey)), rsaKey.Public(), true},
		{"JWK", jwk, ed.Public(), true},
		{"short RSA", pkcs8(t, weak), weak.Public(), false},
		{"a public JWK", public, ed.Public(), false},
		{"no key at all", []byte("hunter2"), ed.Public(), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			check(t, os.WriteFile(path, tc.file, 0o600))
			o := loginOptions()
			o.Clients[0] = upstreamtest.Client{ID: loginID, AuthMethod: upstreamtest.MethodPrivateKeyJWT, PublicKey: tc.key, RedirectURIs: []string{callback}}
			v := newVisit(t, o, func(s *upstreams.Spec) { s.ClientSecret, s.PrivateKeyFile = "", path })
			if !tc.ok {
				id, err := v.whole()
				wantRefusal(t, id, err, upstreams.ReasonUnavailable)
				if strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), path) {
					t.Errorf("want the file named and not quoted, got %v", err)
				}
				return
			}
			v.accepted()
			v.accepted() // another jti
			if sent := v.idp.Requests("/token")[0]; sent.Authorization != "" || sent.Form.Has("client_secret") {
				t.Errorf("got %+v", sent)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pkcs8(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	check(t, err)
	return pemBlock("PRIVATE KEY", der)
}

func pemBlock(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestP37_OneKeyPerUpstream(t *testing.T) {
	o := interactive(func(s *upstreams.Spec) { s.ClientSecret, s.PrivateKeyFile = "", "/keys/a.pem" })
	second := o.Specs[0]
	second.Name, second.Issuer = "other", "https://other.example"
	o.Specs = append(o.Specs, second)
	if found := problems(o); len(found) != 1 || found["upstreams[1].private_key_file"] == "" {
		t.Errorf("got %v", found)
	}
	o.Specs[1].PrivateKeyFile = "/keys/b.pem"
	if found := problems(o); len(found) != 0 {
		t.Errorf("got %v", found)
	}
}

func TestP37_TokenEndpointOfAnotherIssuerRefused(t *testing.T) {
	c := newClock()
	idp, evil := newIdP(t, c, loginOptions()), newIdP(t, c, loginOptions())
	mine, theirs := loginSpec("acme", idp), loginSpec("evil", evil)
	theirs.CredentialHosts = []string{strings.TrimPrefix(idp.URL(), "http://")} // else that alone would do
	b := newBench(t, c, mine, theirs)
	evil.AlterDiscovery(upstreamtest.With("token_endpoint", strings.Replace(idp.URL(), "http:", "HTTP:", 1)+"/token"))
	v := visitAt(t, b, idp)
	response := v.answered(attempt()) // while only one of the two is known
	other, _ := b.set.Login("evil")
	_, err := other.Start(t.Context(), attempt())
	wantRefusal(t, upstreams.Identity{}, err, upstreams.ReasonEndpoint)
	id, err := v.up.Finish(t.Context(), attempt(), response)
	wantRefusal(t, id, err, upstreams.ReasonEndpoint)
	if n := len(idp.Requests("/token")); n != 0 {
		t.Errorf("something was sent to an endpoint of two issuers: %d", n)
	}
}

func TestP37_UpstreamsOfOneIssuerShareItsTokenEndpoint(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, loginOptions())
	b := newBench(t, c, loginSpec("acme", idp), loginSpec("acme-2", idp))
	other, _ := b.set.Login("acme-2")
	if _, err := other.Start(t.Context(), attempt()); err != nil {
		t.Fatal(err)
	}
	visitAt(t, b, idp).accepted()
}

func TestP43_OnlyTheIssuersHostGetsCredentials(t *testing.T) {
	for _, endpoint := range []string{"token_endpoint", "userinfo_endpoint"} {
		t.Run(endpoint, func(t *testing.T) {
			path := map[string]string{"token_endpoint": "/token", "userinfo_endpoint": "/userinfo"}[endpoint]
			for _, listed := range []bool{false, true} {
				v := newVisit(t, loginOptions(), func(s *upstreams.Spec) {
					if listed {
						s.CredentialHosts = []string{"localhost"}
					}
				})
				v.idp.AlterDiscovery(upstreamtest.With(endpoint, strings.Replace(v.idp.URL(), "127.0.0.1", "localhost", 1)+path))
				id, err := v.whole()
				if listed && err != nil {
					t.Errorf("in credential_hosts: %v", err)
				} else if !listed {
					wantRefusal(t, id, err, upstreams.ReasonEndpoint)
					if n := len(v.idp.Requests(path)); n != 0 {
						t.Errorf("%s was called", path)
					}
				}
			}
		})
	}
}

func TestP43_EndpointsThatMustNotBeUsed(t *testing.T) {
	for _, tc := range []struct {
		name, endpoint, value string
		atStart               bool
	}{
		{"authorization: script", "authorization_endpoint", "javascript:alert(1)", true},
		{"authorization: http", "authorization_endpoint", "http://idp.example/authorize", true},
		{"authorization: fragment", "authorization_endpoint", "https://idp.example/authorize#x", true},
		{"authorization: userinfo", "authorization_endpoint", "https://u:p@idp.example/authorize", true},
		{"authorization: none", "authorization_endpoint", "", true},
		{"token: file", "token_endpoint", "file:///etc/passwd", false},
		{"token: private address", "token_endpoint", "https://10.255.0.1/token", false},
		{"token: none", "token_endpoint", "", false},
		{"userinfo: http", "userinfo_endpoint", "http://idp.example/userinfo", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := newVisit(t, loginOptions(), func(s *upstreams.Spec) { s.CredentialHosts = []string{"10.255.0.1", "idp.example"} })
			v.idp.AlterDiscovery(upstreamtest.With(tc.endpoint, tc.value))
			if tc.atStart {
				_, err := v.up.Start(t.Context(), attempt())
				wantRefusal(t, upstreams.Identity{}, err, upstreams.ReasonEndpoint)
				return
			}
			id, err := v.whole()
			wantRefusal(t, id, err, upstreams.ReasonEndpoint)
		})
	}
}

func TestP43_LoginOverTLSTrustsTheCAFile(t *testing.T) {
	c := &clock{now: time.Now()} // TLS has a clock of its own
	o := loginOptions()
	o.TLS = true
	idp := newIdP(t, c, o)
	path := filepath.Join(t.TempDir(), "ca.pem")
	check(t, os.WriteFile(path, idp.CertPEM(), 0o600))
	s := loginSpec("acme", idp)
	s.CAFile = path
	v := visitAt(t, newBench(t, c, s), idp)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(idp.CertPEM())
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig.RootCAs = pool
	t.Cleanup(transport.CloseIdleConnections)
	v.browser.Transport = transport
	v.accepted()
	idp.AlterDiscovery(upstreamtest.With("token_endpoint", strings.Replace(idp.URL(), "https:", "http:", 1)+"/token"))
	c.Add(between)
	fresh := visitAt(t, newBench(t, c, s), idp)
	fresh.browser = v.browser
	id, err := fresh.whole()
	wantRefusal(t, id, err, upstreams.ReasonEndpoint) // http at an https issuer
}

func TestCallerOfFinishWhoLeavesIsToldUnavailable(t *testing.T) {
	v := newVisit(t, loginOptions(), nil)
	for path, slow := range map[string]func() func(){"/token": v.idp.SlowToken, "/userinfo": v.idp.SlowUserinfo} {
		response := v.answered(attempt())
		before := len(v.idp.Requests(path))
		release := slow()
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_ = v.idp.WaitRequests(t.Context(), path, before+1)
			cancel()
		}()
		id, err := v.up.Finish(ctx, attempt(), response)
		wantRefusal(t, id, err, upstreams.ReasonUnavailable)
		release()
	}
}
