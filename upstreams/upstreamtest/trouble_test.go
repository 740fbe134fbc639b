package upstreamtest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"fedbroker/upstreams/upstreamtest"
)

func TestAlteredIDTokensAreBadToAnotherImplementation(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := newParty(t, options())
	for name, spoil := range map[string]func(){
		"aud":       func() { p.idp.AlterIDToken(upstreamtest.With("aud", "other")) },
		"iss":       func() { p.idp.AlterIDToken(upstreamtest.With("iss", "https://evil.example")) },
		"expired":   func() { p.idp.AlterIDToken(upstreamtest.With("exp", 1)) },
		"alg none":  func() { p.idp.AlterIDToken(nil, upstreamtest.Alg("none")) },
		"other key": func() { p.idp.AlterIDToken(nil, upstreamtest.SignedBy(key)) },
	} {
		spoil()
		token, err := p.exchange(p.login().Get("code"))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.verified(token); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
	p.idp.AlterIDToken(func(claims map[string]any) {
		upstreamtest.Without("sub", "iat")(claims)
		upstreamtest.With("nonce", "other")(claims)
		upstreamtest.With("aud", []string{"broker", "other"})(claims)
	})
	_, id, claims := p.whole()
	if id.Nonce != "other" || len(id.Audience) != 2 || claims["sub"] != nil || claims["iat"] != nil {
		t.Errorf("got %v", claims)
	}
	p.idp.AlterIDToken(nil)
	if _, id, _ := p.whole(); id.Nonce != nonce || id.Subject != "a-1" {
		t.Errorf("got %+v", id)
	}
}

func TestAlteredResponses(t *testing.T) {
	p := newParty(t, options())
	good := p.login()
	const markup = "<script>alert(1)</script>"
	p.idp.DenyAuthorization("temporarily_unavailable", markup)
	if got := p.login(); got.Get("error") != "temporarily_unavailable" || got.Get("error_description") != markup || got.Has("code") {
		t.Errorf("got %v", got)
	}
	if got := p.login("response_mode=form_post"); got.Get("error_description") != markup {
		t.Errorf("got %v", got)
	}
	p.idp.DenyAuthorization("", "")
	p.idp.AlterResponse(func(params url.Values) {
		params.Set("state", "other")
		params.Set("iss", "https://evil.example")
		params.Set("code", good.Get("code"))
	})
	if got := p.login(); got.Get("state") != "other" || got.Get("iss") != "https://evil.example" || got.Get("code") != good.Get("code") {
		t.Errorf("got %v", got)
	}
	p.idp.AlterResponse(nil)
	p.idp.ResponseIss(true, false)
	if got := p.login(); got.Has("iss") || got.Get("state") != "st&te" {
		t.Errorf("got %v", got)
	}
	const announcement = "authorization_response_iss_parameter_supported"
	if got := discovered(t, p.idp); got[announcement] != true {
		t.Errorf("got %v", got)
	}
	p.idp.ResponseIss(false, true)
	if got := discovered(t, p.idp); got[announcement] != nil || !p.login().Has("iss") {
		t.Errorf("got %v", got)
	}
	p.idp.AlterDiscovery(upstreamtest.With("token_endpoint", "https://evil.example/token"))
	if got := discovered(t, p.idp); got["token_endpoint"] != "https://evil.example/token" {
		t.Errorf("got %v", got)
	}
}

func discovered(t *testing.T, idp *upstreamtest.IdP) map[string]any {
	t.Helper()
	_, body := get(t, idp.DiscoveryURL(), http.StatusOK)
	document := map[string]any{}
	if err := json.Unmarshal(body, &document); err != nil {
		t.Fatal(err)
	}
	return document
}

// fetched is a raw answer; its error is that of reading the body.
func fetched(t *testing.T, do func() (*http.Response, error)) (*http.Response, string, error) {
	t.Helper()
	resp, err := do()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestTroubleOfTokenAndUserinfo(t *testing.T) {
	p := newParty(t, options())
	token, _, _ := p.whole()
	endpoints := map[string]struct {
		knob func(upstreamtest.Trouble)
		call func() (*http.Response, error)
	}{
		"token": {p.idp.Token, func() (*http.Response, error) {
			form := url.Values{"grant_type": {"authorization_code"}, "code": {p.login().Get("code")}, "redirect_uri": {callback}, "code_verifier": {p.verifier}}
			req, err := http.NewRequest(http.MethodPost, p.idp.URL()+"/token", strings.NewReader(form.Encode()))
			if err != nil {
				return nil, err
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.SetBasicAuth("broker", url.QueryEscape(secret))
			return http.DefaultClient.Do(req)
		}},
		"userinfo": {p.idp.Userinfo, func() (*http.Response, error) {
			req, err := http.NewRequest(http.MethodGet, p.idp.URL()+"/userinfo", nil)
			if err != nil {
				return nil, err
			}
			req.Header.Set("Authorization", "Bearer "+token.AccessToken)
			return http.DefaultClient.Do(req)
		}},
	}
	for name, e := range endpoints {
		e.knob(upstreamtest.Trouble{Status: 500, Body: "<script>", ContentType: "text/html"})
		if resp, body, err := fetched(t, e.call); err != nil || resp.StatusCode != 500 || body != "<script>" || resp.Header.Get("Content-Type") != "text/html" {
			t.Errorf("%s: %d %s %v", name, resp.StatusCode, body, err)
		}
		e.knob(upstreamtest.Trouble{Truncate: true})
		if _, body, err := fetched(t, e.call); err == nil {
			t.Errorf("%s: whole: %s", name, body)
		}
		e.knob(upstreamtest.Trouble{Huge: true})
		if _, body, err := fetched(t, e.call); err != nil || len(body) < 8<<20 {
			t.Errorf("%s: %d bytes, %v", name, len(body), err)
		}
		e.knob(upstreamtest.Trouble{})
		if resp, body, err := fetched(t, e.call); err != nil || resp.StatusCode != 200 || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %s %v", name, resp.StatusCode, body, err)
		}
	}
}

func TestAlteredAnswers(t *testing.T) {
	p := newParty(t, options())
	p.idp.AlterToken(upstreamtest.Without("id_token"))
	token, err := p.exchange(p.login().Get("code"))
	if err != nil || token.Extra("id_token") != nil {
		t.Errorf("got %v, %v", token, err)
	}
	p.idp.AlterUserinfo(upstreamtest.With("sub", "other"))
	if info, err := p.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(token)); err != nil || info.Subject != "other" {
		t.Errorf("got %v, %v", info, err)
	}
}

func TestSlowTokenAndUserinfo(t *testing.T) {
	p := newParty(t, options())
	token, _, _ := p.whole()
	code := p.login().Get("code")
	for path, slow := range map[string]struct {
		hold func() func()
		call func() error
		n    int
	}{
		"/token": {p.idp.SlowToken, func() error { _, err := p.exchange(code); return err }, 2},
		"/userinfo": {p.idp.SlowUserinfo, func() error {
			_, err := p.provider.UserInfo(context.Background(), oauth2.StaticTokenSource(token))
			return err
		}, 1},
	} {
		release := slow.hold()
		done := make(chan error, 1)
		go func() { done <- slow.call() }()
		if err := p.idp.WaitRequests(context.Background(), path, slow.n); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			t.Errorf("%s answered before release: %v", path, err)
		default:
		}
		get(t, p.idp.DiscoveryURL(), http.StatusOK) // only that endpoint waits
		release()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestDownAndRefuseAreForLoginsToo(t *testing.T) {
	p := newParty(t, options())
	p.idp.Down(true)
	get(t, p.authURL(), http.StatusInternalServerError)
	p.idp.Down(false)
	p.idp.Refuse(true)
	if _, _, err := p.idp.Authenticate(p.browser, p.authURL(), "alice"); err == nil {
		t.Error("an answer")
	}
	p.idp.Refuse(false)
	if p.login().Get("code") == "" {
		t.Error("no code")
	}
}
