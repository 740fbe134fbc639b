package web_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fedbroker/broker/oauth"
)

func TestUserInfo_TheTokenAndWhereItMayBe(t *testing.T) {
	h, j := judged(t)
	const token = "e30.e30.c2ln"
	header := http.Header{"Authorization": {"Bearer " + token}}
	inForm := url.Values{"access_token": {token}}
	for name, tt := range map[string]struct {
		call
		status    int
		challenge string
	}{
		"GET, header":                      {call{method: http.MethodGet, path: "/userinfo", header: header}, 200, ""},
		"GET, scheme in lower case":        {call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"bearer " + token}}}, 200, ""},
		"POST, header, no body":            {call{path: "/userinfo", header: header}, 200, ""},
		"POST, header, empty form":         {call{path: "/userinfo", header: header, raw: strings.NewReader("")}, 200, ""},
		"POST, body":                       {call{path: "/userinfo", form: inForm}, 200, ""},
		"a parameter that is not ours":     {call{method: http.MethodGet, path: "/userinfo?schema=openid", header: header}, 200, ""},
		"GET, query":                       {get("/userinfo", inForm), 400, "invalid_request"},
		"GET, query and header":            {call{method: http.MethodGet, path: "/userinfo?" + inForm.Encode(), header: header}, 400, "invalid_request"},
		"POST, query":                      {call{path: "/userinfo?" + inForm.Encode(), header: header}, 415, "invalid_request"},
		"POST, query beside a body":        {call{path: "/userinfo?x=y", form: inForm}, 400, "invalid_request"},
		"POST, body and header":            {call{path: "/userinfo", form: inForm, header: header}, 400, "invalid_request"},
		"POST, body twice":                 {call{path: "/userinfo", form: url.Values{"access_token": {token, token}}}, 400, "invalid_request"},
		"POST, JSON":                       {call{path: "/userinfo", raw: strings.NewReader("{}"), header: http.Header{"Content-Type": {"application/json"}}}, 415, "invalid_request"},
		"two headers":                      {call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"Bearer " + token, "Bearer " + token}}}, 400, "invalid_request"},
		"no token":                         {call{method: http.MethodGet, path: "/userinfo"}, 401, "none"},
		"no token by POST":                 {call{path: "/userinfo"}, 401, "none"},
		"no token, but in another scheme":  {call{method: http.MethodGet, path: "/userinfo", header: as("gateway")}, 401, "none"},
		"no token after the scheme":        {call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"Bearer"}}}, 401, "none"},
		"a name that only looks like it":   {call{path: "/userinfo", form: url.Values{"Access_Token": {token}}}, 401, "none"},
		"a cookie is nobody's credentials": {call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Cookie": {"__Host-fedbroker-session=me"}}}, 401, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			j.afresh()
			j.body = []byte(`{"sub":"acme|alice"}`)
			a := h.do(tt.call)
			if a.status != tt.status || a.header.Get("Cache-Control") != "no-store" || len(a.header.Get("Decision-Id")) < 22 {
				t.Fatalf("%d %v %s", a.status, a.header, a.raw)
			}
			if tt.status == http.StatusOK {
				if a.raw != string(j.body) || j.userInfo[0].Token != token || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") || a.header.Get("Www-Authenticate") != "" {
					t.Errorf("%v %s, token %q", a.header, a.raw, j.userInfo[0].Token)
				}
				return
			}
			got := a.header.Get("Www-Authenticate")
			if tt.challenge == "none" { // RFC 6750 §3.1: who says nothing of a token is told nothing of errors
				if got != `Bearer realm="fedbroker"` {
					t.Errorf("challenge %s", got)
				}
			} else if !strings.HasPrefix(got, `Bearer realm="fedbroker", error="`+tt.challenge+`", error_description="`) {
				t.Errorf("challenge %s", got)
			}
			if j.asked() > 0 || a.text("decision_id") != a.header.Get("Decision-Id") || strings.Contains(a.raw, token) {
				t.Errorf("%d asked; %s", j.asked(), a.raw)
			}
		})
	}
}

func TestUserInfo_Refusals(t *testing.T) {
	h, j := judged(t)
	for name, tt := range map[string]struct {
		err       error
		status    int
		code      oauth.Code
		challenge string
	}{
		"a bad token":    {oauth.Deny(oauth.CodeInvalidToken, oauth.ReasonSignature).Because(errors.New("hush")), 401, oauth.CodeInvalidToken, `error="invalid_token", error_description="The access token is not acceptable."`},
		"without openid": {oauth.Deny(oauth.CodeInsufficientScope, oauth.ReasonScope), 403, oauth.CodeInsufficientScope, `error="insufficient_scope", error_description="The access token lacks a scope.", scope="openid"`},
		"not now":        {oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale), 503, oauth.CodeTemporarilyUnavailable, ""},
		"any Go error":   {errors.New("hush: pq: password of acme is wrong"), 500, oauth.CodeServerError, ""},
	} {
		t.Run(name, func(t *testing.T) {
			j.afresh()
			j.err = tt.err
			a := h.do(call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"Bearer x"}}})
			if a.status != tt.status || a.text("error") != string(tt.code) || a.text("error_description") != tt.code.Description() || len(a.body) != 3 || strings.Contains(a.raw, "hush") {
				t.Errorf("%d %s", a.status, a.raw)
			}
			if got := a.header.Get("Www-Authenticate"); !strings.HasSuffix(got, tt.challenge) || strings.Contains(got, "hush") || (tt.challenge == "") != (got == "") {
				t.Errorf("challenge %s", got)
			}
			if (a.header.Get("Retry-After") != "") != (tt.status == http.StatusServiceUnavailable) {
				t.Errorf("header %v", a.header)
			}
		})
	}
}
