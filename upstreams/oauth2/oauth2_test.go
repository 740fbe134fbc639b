package oauth2_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/upstreams/oauth2"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/presets"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/upstreamtest/oauthidp"
)

const (
	clientID = "Iv1.8a61f9b3a7aba766"
	secret   = "s3cret: with + and %"
	callback = "https://login.test/callback/github"
)

func attempt() rp.Attempt {
	return rp.Attempt{State: "st&te", Nonce: "n-0S6", Verifier: strings.Repeat("v", 43), RedirectURI: callback}
}

// provider is one, and this broker at it.
type provider struct {
	*testing.T
	*oauthidp.IdP
	client *oauth2.Client
}

func newProvider(t *testing.T, changes ...func(*oauth2.Options)) provider {
	t.Helper()
	idp := oauthidp.New(oauthidp.Options{ClientID: clientID, ClientSecret: secret, RedirectURI: callback})
	t.Cleanup(idp.Close)
	http, err := outbound.New(outbound.Options{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.Close)
	o := oauth2.Options{
		Client: rp.Options{
			Issuer: idp.Issuer(), ClientID: clientID, Secret: secret, Method: spec.AuthPost, Scopes: []string{"read:user", "user:email"},
			HTTP: http, CredentialHosts: []string{strings.Split(idp.Issuer(), "/")[2], idp.APIHost()}, Now: time.Now,
		},
		Endpoints: presets.Endpoints{
			Authorization: idp.URL(oauthidp.AuthorizePath), Token: idp.URL(oauthidp.TokenPath), UserInfo: idp.URL(oauthidp.UserPath), Emails: idp.URL(oauthidp.EmailsPath),
		},
		Standard: map[string]string{"preferred_username": "login", "picture": "avatar_url", "profile": "html_url", "name": "login"},
	}
	for _, change := range changes {
		change(&o)
	}
	return provider{t, idp, oauth2.New(o)}
}

// answered is the authorization response that the person brings back.
func (p provider) answered() url.Values {
	p.Helper()
	address, err := p.client.AuthorizationURL(attempt())
	if err != nil {
		p.Fatal(err)
	}
	sent, err := p.Authorize(address)
	if err != nil || !strings.HasPrefix(sent.String(), callback+"?") {
		p.Fatalf("sent to %v, %v", sent, err)
	}
	return sent.Query()
}

func (p provider) person() (oauth2.Person, error) {
	p.Helper()
	return p.client.Person(p.Context(), attempt(), p.answered())
}

// refused wants an error of that kind, and nobody.
func (p provider) refused(kind rp.Kind) *rp.Error {
	p.Helper()
	person, err := p.person()
	refused, ok := errors.AsType[*rp.Error](err)
	if !ok || refused.Kind != kind || person.Claims != nil {
		p.Fatalf("want %s, got %v, %v", kind, person.Claims, err)
	}
	if strings.Contains(err.Error(), "gho_") || strings.Contains(err.Error(), "octocat") {
		p.Errorf("the error quotes the answer: %v", err)
	}
	return refused
}

func TestPersonIsWhomTheAPISays(t *testing.T) {
	for _, method := range []string{spec.AuthPost, spec.AuthBasic} {
		p := newProvider(t, func(o *oauth2.Options) { o.Client.Method = method })
		person, err := p.person()
		if err != nil {
			t.Fatal(method, err)
		}
		want := map[string]any{
			"login": "octocat", "id": int64(583231), "avatar_url": "https://avatars.example/u/583231?v=4", "html_url": "https://github.example/octocat",
			"type": "User", "name": "The Octocat", "site_admin": false,
			"preferred_username": "octocat", "picture": "https://avatars.example/u/583231?v=4", "profile": "https://github.example/octocat",
			"email": "octocat@acme.example", "email_verified": true,
		}
		if !maps.Equal(person.Claims, want) {
			t.Errorf("want %v\ngot  %v", want, person.Claims)
		}
		if person.UserInfo.Value("id") != int64(583231) {
			t.Errorf("userinfo: %v", person.UserInfo.Map())
		}
	}
}

func TestRequestIsOfPlainOAuth(t *testing.T) {
	p := newProvider(t)
	a := attempt()
	a.LoginHint, a.ACRValues, a.UILocales = "ada@acme.example", []string{"gold"}, []string{"de"}
	address, err := p.client.AuthorizationURL(a)
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(address)
	sum := sha256.Sum256([]byte(a.Verifier))
	want := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {callback}, "scope": {"read:user user:email"}, "state": {a.State},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	if !maps.EqualFunc(u.Query(), want, slices.Equal) {
		t.Errorf("want %v\ngot  %v", want, u.Query())
	}
}

func TestP31_AgeIsAskedForAsANewLogin(t *testing.T) {
	p := newProvider(t)
	hour := time.Hour
	for _, tc := range []struct {
		prompt []string
		age    *time.Duration
		want   string
	}{
		{nil, nil, ""}, {[]string{"select_account"}, nil, "select_account"}, {[]string{"login"}, nil, "login"},
		{nil, &hour, "login"}, {[]string{"select_account"}, &hour, "select_account login"}, {[]string{"login"}, &hour, "login"},
	} {
		a := attempt()
		a.Prompt, a.MaxAge = tc.prompt, tc.age
		address, err := p.client.AuthorizationURL(a)
		if err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(address)
		if q := u.Query(); q.Get("prompt") != tc.want || q.Has("max_age") {
			t.Errorf("%v, %v: want prompt %q, got %v", tc.prompt, tc.age, tc.want, q)
		}
	}
}

func TestAccessTokenGoesToTheAPIAlone(t *testing.T) {
	p := newProvider(t)
	if _, err := p.person(); err != nil {
		t.Fatal(err)
	}
	user, emails := p.Requests(oauthidp.UserPath), p.Requests(oauthidp.EmailsPath)
	if len(user) != 1 || len(emails) != 1 || user[0].Authorization != emails[0].Authorization || !strings.HasPrefix(user[0].Authorization, "Bearer gho_") {
		t.Fatalf("%v, %v", user, emails)
	}
	for _, r := range slices.Concat(user, emails) {
		if len(r.Form) > 0 || r.Accept != "application/json" {
			t.Errorf("%+v", r)
		}
	}
	token := p.Requests(oauthidp.TokenPath)
	if len(token) != 1 || token[0].Accept != "application/json" || token[0].Form.Get("code_verifier") != attempt().Verifier {
		t.Errorf("%+v", token)
	}
}

func TestCredentialsGoToTheirHostsAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*oauth2.Options, string)
		path   string
	}{
		"userinfo of a host that is not listed": {func(o *oauth2.Options, _ string) { o.Client.CredentialHosts = o.Client.CredentialHosts[:1] }, oauthidp.UserPath},
		"tokens of a host that is not listed":   {func(o *oauth2.Options, _ string) { o.Client.CredentialHosts = o.Client.CredentialHosts[1:] }, oauthidp.TokenPath},
		"http where the issuer has https": {func(o *oauth2.Options, host string) {
			o.Client.Issuer = "https://" + host
		}, oauthidp.TokenPath},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			response := p.answered()
			response.Del("iss")
			strange := newProvider(t, func(o *oauth2.Options) {
				o.Endpoints = presets.Endpoints{Authorization: p.URL(oauthidp.AuthorizePath), Token: p.URL(oauthidp.TokenPath), UserInfo: p.URL(oauthidp.UserPath)}
				o.Client.CredentialHosts = []string{strings.Split(p.Issuer(), "/")[2], p.APIHost()}
				tt.change(o, strings.Split(p.Issuer(), "/")[2])
			})
			_, err := strange.client.Person(t.Context(), attempt(), response)
			if refused, ok := errors.AsType[*rp.Error](err); !ok || refused.Kind != rp.KindEndpoint {
				t.Errorf("got %v", err)
			}
			if asked := p.Requests(tt.path); len(asked) != 0 {
				t.Errorf("asked: %+v", asked)
			}
		})
	}
}

func TestResponseIsTheAttemptsAndTheIssuers(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(url.Values)
		kind   rp.Kind // empty: accepted
	}{
		"without iss":                        {func(v url.Values) { v.Del("iss") }, ""},
		"another issuer's (RFC 9207 §2.4)":   {func(v url.Values) { v.Set("iss", "https://evil.example") }, rp.KindResponse},
		"another state":                      {func(v url.Values) { v.Set("state", "other") }, rp.KindResponse},
		"no state":                           {func(v url.Values) { v.Del("state") }, rp.KindResponse},
		"a code twice":                       {func(v url.Values) { v.Add("code", "x") }, rp.KindResponse},
		"no code":                            {func(v url.Values) { v.Del("code") }, rp.KindResponse},
		"another code, refused with 200":     {func(v url.Values) { v.Set("code", "x") }, rp.KindRefused},
		"the person would not":               {func(v url.Values) { v.Del("code"); v.Set("error", "access_denied") }, rp.KindDenied},
		"the application is suspended there": {func(v url.Values) { v.Del("code"); v.Set("error", "application_suspended") }, rp.KindDenied},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			response := p.answered()
			tt.change(response)
			_, err := p.client.Person(t.Context(), attempt(), response)
			refused, ok := errors.AsType[*rp.Error](err)
			if tt.kind == "" && err != nil || tt.kind != "" && (!ok || refused.Kind != tt.kind) {
				t.Errorf("want %q, got %v", tt.kind, err)
			}
			if asked := len(p.Requests(oauthidp.TokenPath)); (tt.kind == "" || tt.kind == rp.KindRefused) != (asked == 1) {
				t.Errorf("%d codes redeemed", asked)
			}
		})
	}
}

func TestCodeIsGoodForItsVerifierAlone(t *testing.T) {
	p := newProvider(t)
	response, a := p.answered(), attempt()
	a.Verifier = strings.Repeat("w", 43)
	_, err := p.client.Person(t.Context(), a, response)
	if refused, ok := errors.AsType[*rp.Error](err); !ok || refused.Kind != rp.KindRefused || refused.Code != "bad_verification_code" {
		t.Errorf("got %v", err)
	}
}

// say answers with a status, a media type and a body.
func say(status int, media, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

const asJSON = "application/json"

func TestTokenAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		kind   rp.Kind
		code   string
	}{
		"an error with status 200": {say(200, asJSON, `{"error": "incorrect_client_credentials", "error_description": "The client_id and/or client_secret passed are incorrect."}`), rp.KindRefused, "incorrect_client_credentials"},
		"an error beside a token":  {say(200, asJSON, `{"error": "unverified_user_email", "access_token": "gho_x", "token_type": "bearer"}`), rp.KindRefused, "unverified_user_email"},
		"an error that is no code": {say(200, asJSON, `{"error": "Octocat <b>"}`), rp.KindRefused, ""},
		"a form":                   {say(200, "application/x-www-form-urlencoded", "access_token=gho_x&token_type=bearer"), rp.KindNonsense, ""},
		"no token":                 {say(200, asJSON, `{"token_type": "bearer"}`), rp.KindNonsense, ""},
		"no type":                  {say(200, asJSON, `{"access_token": "gho_x"}`), rp.KindNonsense, ""},
		"a token of another type":  {say(200, asJSON, `{"access_token": "gho_x", "token_type": "mac"}`), rp.KindNonsense, ""},
		"a token that is none":     {say(200, asJSON, `{"access_token": "gho_\u0000", "token_type": "bearer"}`), rp.KindNonsense, ""},
		"a token twice":            {say(200, asJSON, `{"access_token": "gho_x", "access_token": "gho_y", "token_type": "bearer"}`), rp.KindNonsense, ""},
		"a redirect":               {http.RedirectHandler("/elsewhere", http.StatusTemporaryRedirect).ServeHTTP, rp.KindNonsense, ""},
		"out of order":             {say(502, "text/html", "octocat"), rp.KindUnavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.Answer(oauthidp.TokenPath, tt.answer)
			if refused := p.refused(tt.kind); refused.Code != tt.code {
				t.Errorf("want code %q, got %q", tt.code, refused.Code)
			}
			if asked := p.Requests(oauthidp.UserPath); len(asked) > 0 {
				t.Errorf("userinfo was asked: %+v", asked)
			}
		})
	}
	p := newProvider(t)
	p.Answer(oauthidp.UserPath, say(200, asJSON, oauthidp.Profile))
	p.Answer(oauthidp.EmailsPath, say(200, asJSON, oauthidp.Emails))
	p.Answer(oauthidp.TokenPath, say(200, asJSON+"; charset=utf-8", `{"access_token": "x", "token_type": "BEARER"}`))
	if _, err := p.person(); err != nil { // RFC 6749 §7.1: whatever its case
		t.Error(err)
	}
}

func TestHostileResources(t *testing.T) {
	huge := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", asJSON)
		_, _ = io.WriteString(w, `{"id": 1, "x": "`+strings.Repeat("octocat", 20_000)+`"}`)
	}
	long := func(body string) http.HandlerFunc { return say(200, asJSON, body+strings.Repeat(" ", 64<<10)) } // good JSON up to where it is cut off
	for _, path := range []string{oauthidp.UserPath, oauthidp.EmailsPath} {
		for name, tt := range map[string]struct {
			answer http.HandlerFunc
			kind   rp.Kind
		}{
			"HTML":                {say(200, "text/html", oauthidp.Profile), rp.KindNonsense},
			"no media type":       {say(200, "", oauthidp.Profile), rp.KindNonsense},
			"huge":                {huge, rp.KindNonsense},
			"good, but too long":  {long(map[string]string{oauthidp.UserPath: oauthidp.Profile, oauthidp.EmailsPath: oauthidp.Emails}[path]), rp.KindNonsense},
			"repeated members":    {say(200, asJSON, map[string]string{oauthidp.UserPath: `{"id": 1, "id": 2}`, oauthidp.EmailsPath: `[{"email": "a@b.c", "email": "octocat@b.c"}]`}[path]), rp.KindNonsense},
			"half":                {say(200, asJSON, oauthidp.Emails[:40]), rp.KindNonsense},
			"null":                {say(200, asJSON, "null"), rp.KindNonsense},
			"the other's":         {say(200, asJSON, map[string]string{oauthidp.UserPath: oauthidp.Emails, oauthidp.EmailsPath: oauthidp.Profile}[path]), rp.KindNonsense},
			"invalid UTF-8":       {say(200, asJSON, map[string]string{oauthidp.UserPath: "{\"login\": \"\xff\"}", oauthidp.EmailsPath: "[\"\xff\"]"}[path]), rp.KindNonsense},
			"nothing":             {say(204, asJSON, ""), rp.KindNonsense},
			"not found":           {say(404, asJSON, `{"message": "Not Found"}`), rp.KindNonsense},
			"a token that is not": {say(401, asJSON, `{"message": "Bad credentials"}`), rp.KindRefused},
			"forbidden":           {say(403, asJSON, `{"message": "octocat"}`), rp.KindRefused},
			"out of order":        {say(500, "text/html", "octocat"), rp.KindUnavailable},
			"too many":            {say(429, asJSON, "{}"), rp.KindUnavailable},
			"a redirect to another host": {func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://127.0.0.2:9/", http.StatusFound)
			}, rp.KindNonsense},
			"nobody there": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, rp.KindUnavailable},
		} {
			t.Run(path+" "+name, func(t *testing.T) {
				p := newProvider(t)
				p.Answer(path, tt.answer)
				p.refused(tt.kind)
			})
		}
	}
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	for _, status := range []int{403, 429, 503} { // GitHub says 403 or 429 when there were too many
		p := newProvider(t)
		p.Answer(oauthidp.UserPath, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "30")
			w.WriteHeader(status)
		})
		if refused := p.refused(rp.KindUnavailable); refused.RetryAfter != 30*time.Second {
			t.Errorf("%d: %v", status, refused.RetryAfter)
		}
	}
}

func TestSlowResourceEndsWithTheCaller(t *testing.T) {
	p := newProvider(t)
	here := make(chan struct{})
	p.Answer(oauthidp.UserPath, func(_ http.ResponseWriter, r *http.Request) {
		close(here)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-here; cancel() }()
	_, err := p.client.Person(ctx, attempt(), p.answered())
	if refused, ok := errors.AsType[*rp.Error](err); !ok || refused.Kind != rp.KindUnavailable {
		t.Errorf("got %v", err)
	}
}
