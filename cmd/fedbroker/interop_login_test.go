//go:build interop

package main

import (
	"context"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// A Go service as a relying party of the broker: x/oauth2 for the flow, go-oidc for the ID token and userinfo. The person logs in at npm
// oidc-provider, whose forms are filled in here.

const (
	goApp         = "go-app"
	goAppRedirect = "https://go.example/callback" // nobody serves it: the browser stops before it
	goAppScopes   = "openid profile email offline_access"
	goPerson      = "ada"
	maxPages      = 20
	maxPage       = 1 << 20 // bytes
)

var (
	formTag  = regexp.MustCompile(`(?s)<form\b([^>]*)>(.*?)</form>`)
	inputTag = regexp.MustCompile(`<input\b[^>]*>`)
	nameAttr = regexp.MustCompile(`\bname="([^"]*)"`)
	valAttr  = regexp.MustCompile(`\bvalue="([^"]*)"`)
	action   = regexp.MustCompile(`\baction="([^"]*)"`)
)

// goBrowser keeps cookies, follows redirects and fills in forms, until something leads to the app.
type goBrowser struct {
	http  *http.Client
	hosts []string // that were asked, in order
}

func newGoBrowser(t *testing.T) *goBrowser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &goBrowser{http: &http.Client{Jar: jar, Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// walk opens the URL and returns the parameters that reached the app.
func (b *goBrowser) walk(t *testing.T, address string) url.Values {
	t.Helper()
	place, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var form url.Values
	for range maxPages {
		if strings.HasPrefix(place.String(), goAppRedirect) {
			return place.Query()
		}
		answer, page := b.ask(t, place, form)
		form = nil
		if location := answer.Header.Get("Location"); location != "" {
			place, err = place.Parse(location)
		} else {
			place, form, err = fill(place, page)
		}
		if err != nil {
			t.Fatalf("%s answered %d: %v", place.Path, answer.StatusCode, err)
		}
	}
	t.Fatal("the login has no end")
	return nil
}

func (b *goBrowser) ask(t *testing.T, place *url.URL, form url.Values) (answer *http.Response, page string) {
	t.Helper()
	b.hosts = append(b.hosts, place.Host)
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(t.Context(), method, place.String(), body)
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err = b.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, maxPage))
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(content)
}

// fill fills in the only form of a page.
func fill(place *url.URL, page string) (*url.URL, url.Values, error) {
	found := formTag.FindStringSubmatch(page)
	if found == nil {
		return place, nil, errors.New("a page without a form")
	}
	target := ""
	if match := action.FindStringSubmatch(found[1]); match != nil {
		target = html.UnescapeString(match[1])
	}
	next, err := place.Parse(target)
	if err != nil {
		return place, nil, err
	}
	form := url.Values{}
	for _, input := range inputTag.FindAllString(found[2], -1) {
		name, value := nameAttr.FindStringSubmatch(input), valAttr.FindStringSubmatch(input)
		switch {
		case name == nil:
		case name[1] == "login":
			form.Set("login", goPerson)
		case value != nil:
			form.Set(name[1], html.UnescapeString(value[1]))
		}
	}
	return next, form, nil
}

// goRelyingParty is the service: its provider by discovery, and its configuration.
func goRelyingParty(t *testing.T) (*oidc.Provider, *oauth2.Config) {
	t.Helper()
	provider, _ := interopProvider(t)
	secret, err := os.ReadFile(filepath.Join(os.Getenv("WORK"), goApp+".secret"))
	if err != nil {
		t.Fatal(err)
	}
	return provider, &oauth2.Config{
		ClientID: goApp, ClientSecret: strings.TrimSpace(string(secret)), Endpoint: provider.Endpoint(), RedirectURL: goAppRedirect, Scopes: strings.Fields(goAppScopes),
	}
}

// goLogin is one attempt: what the app remembers of it, and the code that came back.
type goLogin struct{ verifier, nonce, code string }

func logInByGo(t *testing.T, config *oauth2.Config, browser *goBrowser, options ...oauth2.AuthCodeOption) goLogin {
	t.Helper()
	login := goLogin{verifier: oauth2.GenerateVerifier(), nonce: oauth2.GenerateVerifier()}
	state := oauth2.GenerateVerifier()
	options = append(options, oauth2.S256ChallengeOption(login.verifier), oidc.Nonce(login.nonce), oauth2.SetAuthURLParam("idp_hint", "panva"))
	answer := browser.walk(t, config.AuthCodeURL(state, options...))
	if issuer, _ := interopIssuer(t); answer.Get("state") != state || answer.Get("iss") != issuer || answer.Get("code") == "" {
		t.Fatalf("the app was told error %q, state right: %t, iss %q", answer.Get("error"), answer.Get("state") == state, answer.Get("iss"))
	}
	login.code = answer.Get("code")
	return login
}

func (l goLogin) redeem(ctx context.Context, config *oauth2.Config) (*oauth2.Token, error) {
	return config.Exchange(ctx, l.code, oauth2.VerifierOption(l.verifier))
}

func TestInteropGoAppLogsAPersonIn(t *testing.T) {
	provider, config := goRelyingParty(t)
	login := logInByGo(t, config, newGoBrowser(t))
	token, err := login.redeem(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		t.Fatal("no ID token")
	}
	identity, err := provider.Verifier(&oidc.Config{ClientID: goApp}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatalf("go-oidc refuses our ID token: %v", err)
	}
	if err := identity.VerifyAccessToken(token.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	if identity.Nonce != login.nonce || identity.Subject != "panva|"+goPerson {
		t.Errorf("sub %q, nonce right: %t", identity.Subject, identity.Nonce == login.nonce)
	}
	person, err := provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	if err != nil {
		t.Fatalf("userinfo: %v", err)
	}
	if person.Subject != identity.Subject || person.Email != "ada@panva.example" || !person.EmailVerified {
		t.Errorf("userinfo: sub %q, email %q, verified %t", person.Subject, person.Email, person.EmailVerified)
	}
	if _, err := provider.Verifier(&oidc.Config{ClientID: "app-basic"}).Verify(t.Context(), raw); err == nil {
		t.Error("an ID token for one app passes at another")
	}
}

func TestInteropGoAppRefreshes(t *testing.T) {
	provider, config := goRelyingParty(t)
	first, err := logInByGo(t, config, newGoBrowser(t)).redeem(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	expired := *first
	expired.Expiry = time.Now().Add(-time.Hour)
	next, err := config.TokenSource(t.Context(), &expired).Token()
	if err != nil {
		t.Fatalf("x/oauth2 refreshes: %v", err)
	}
	if next.AccessToken == first.AccessToken || next.RefreshToken == first.RefreshToken || next.RefreshToken == "" {
		t.Error("nothing was rotated")
	}
	raw, _ := next.Extra("id_token").(string)
	identity, err := provider.Verifier(&oidc.Config{ClientID: goApp}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatalf("go-oidc refuses the refreshed ID token: %v", err)
	}
	if identity.Nonce != "" || identity.Subject != "panva|"+goPerson || identity.VerifyAccessToken(next.AccessToken) != nil {
		t.Errorf("sub %q, nonce %q, at_hash: %v", identity.Subject, identity.Nonce, identity.VerifyAccessToken(next.AccessToken))
	}
}

func TestInteropGoAppIsToldOfABadCode(t *testing.T) {
	_, config := goRelyingParty(t)
	browser := newGoBrowser(t)
	wrong := logInByGo(t, config, browser)
	wrong.verifier = oauth2.GenerateVerifier()
	wantInvalidGrant(t, "another verifier", wrong, config)
	twice := logInByGo(t, config, browser)
	if _, err := twice.redeem(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	wantInvalidGrant(t, "a code that was redeemed before", twice, config)
}

func wantInvalidGrant(t *testing.T, what string, login goLogin, config *oauth2.Config) {
	t.Helper()
	_, err := login.redeem(t.Context(), config)
	if refused := new(oauth2.RetrieveError); !errors.As(err, &refused) || refused.ErrorCode != "invalid_grant" {
		t.Errorf("%s: got %v, want invalid_grant", what, err)
	}
}

func TestInteropGoAppSharesTheSignOn(t *testing.T) {
	_, config := goRelyingParty(t)
	browser := newGoBrowser(t)
	logInByGo(t, config, browser)
	asked := len(browser.hosts)
	logInByGo(t, config, browser, oauth2.SetAuthURLParam("prompt", "none"))
	if more := len(browser.hosts) - asked; more != 1 {
		t.Errorf("prompt=none took %d requests, want the broker's one", more)
	}
}
