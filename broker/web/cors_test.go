package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fedbroker/broker/oauth"
)

// allowed is what an answer tells a browser that an origin may do.
func allowed(a answer) (origin string, any bool) {
	for name := range a.header {
		any = any || strings.HasPrefix(name, "Access-Control-")
	}
	return a.header.Get("Access-Control-Allow-Origin"), any
}

func TestCORS_Preflight(t *testing.T) {
	h, _ := judged(t)
	for name, tt := range map[string]struct {
		path, origin, method string
		want                 bool
	}{
		"token, a client's origin":          {"/token", spaOrigin, "POST", true},
		"token, another client's":           {"/token", wikiOrigin, "POST", true}, // which client asks is not known yet
		"token, nobody's":                   {"/token", "https://evil.test", "POST", false},
		"token, a client's, but longer":     {"/token", spaOrigin + ".evil.test", "POST", false},
		"token, a client's, but http":       {"/token", "http://spa.test", "POST", false},
		"token, a client's, with a port":    {"/token", spaOrigin + ":8443", "POST", false},
		"token, an opaque origin":           {"/token", "null", "POST", false},
		"token, without an origin":          {"/token", "", "POST", false},
		"token, another method":             {"/token", spaOrigin, "GET", false},
		"token, without a method":           {"/token", spaOrigin, "", false},
		"revoke":                            {"/revoke", spaOrigin, "POST", true},
		"userinfo":                          {"/userinfo", spaOrigin, "GET", true},
		"userinfo by POST":                  {"/userinfo", spaOrigin, "POST", true},
		"userinfo, nobody's":                {"/userinfo", "https://evil.test", "GET", false},
		"jwks":                              {"/jwks", spaOrigin, "GET", true},
		"discovery":                         {"/.well-known/openid-configuration", spaOrigin, "GET", true},
		"introspection is for servers":      {"/introspect", spaOrigin, "POST", false},
		"authorize is for people":           {"/authorize", spaOrigin, "GET", false},
		"logout is for people":              {"/logout", spaOrigin, "POST", false},
		"callback is for people":            {"/callback/acme", spaOrigin, "POST", false},
		"an address where there is nothing": {"/nothing", spaOrigin, "GET", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := call{method: http.MethodOptions, path: tt.path, header: http.Header{"Access-Control-Request-Headers": {"authorization, x-evil"}}}
			if tt.origin != "" {
				c.header.Set("Origin", tt.origin)
			}
			if tt.method != "" {
				c.header.Set("Access-Control-Request-Method", tt.method)
			}
			a := h.do(c)
			origin, any := allowed(a)
			if !tt.want {
				if any || a.status < 400 {
					t.Errorf("%d %v", a.status, a.header)
				}
				return
			}
			if a.status != http.StatusNoContent || origin != tt.origin || a.header.Get("Access-Control-Allow-Credentials") != "" || !strings.Contains(a.header.Get("Access-Control-Allow-Methods"), tt.method) ||
				a.header.Get("Access-Control-Allow-Headers") != "Authorization, Content-Type, DPoP" || a.header.Get("Vary") != "Origin" {
				t.Errorf("%d %v", a.status, a.header)
			}
		})
	}
}

func TestCORS_AnswersAreForTheClientsOwnOrigin(t *testing.T) {
	h, j := judged(t)
	j.body, j.clientID = []byte(`{"sub":"acme|alice"}`), "wiki"
	from := func(origin string) http.Header { return http.Header{"Origin": {origin}} }
	token := func(client string) url.Values { return with(exchangeForm("x", "orders"), "client_id", client) }
	bearer := http.Header{"Authorization": {"Bearer x"}}
	for name, tt := range map[string]struct {
		call
		want string
	}{
		"token, the client's":                    {call{path: "/token", form: token("spa"), header: from(spaOrigin)}, spaOrigin},
		"token, another client's":                {call{path: "/token", form: token("spa"), header: from(wikiOrigin)}, ""},
		"token, an unknown client":               {call{path: "/token", form: token("ghost"), header: from(spaOrigin)}, ""},
		"token, a client without origins":        {call{path: "/token", form: token("gateway"), header: join(from(spaOrigin))}, ""},
		"P21 token, nobody in particular":        {call{path: "/token", form: exchangeForm(h.job(), deploy), header: from(spaOrigin)}, ""},
		"token, two origins":                     {call{path: "/token", form: token("spa"), header: http.Header{"Origin": {spaOrigin, "https://evil.test"}}}, ""},
		"token, by the form rules":               {call{path: "/token?x=y", form: token("spa"), header: from(spaOrigin)}, ""},
		"revoke, the client's":                   {call{path: "/revoke", form: url.Values{"client_id": {"spa"}, "token": {"x"}}, header: from(spaOrigin)}, spaOrigin},
		"revoke, another client's":               {call{path: "/revoke", form: url.Values{"client_id": {"wiki"}, "token": {"x"}}, header: from(spaOrigin)}, ""},
		"userinfo, of the token's client":        {call{method: http.MethodGet, path: "/userinfo", header: join(bearer, from(wikiOrigin))}, wikiOrigin},
		"userinfo, of another":                   {call{method: http.MethodGet, path: "/userinfo", header: join(bearer, from(spaOrigin))}, ""},
		"introspection":                          {call{path: "/introspect", form: url.Values{"client_id": {"spa"}, "token": {"x"}}, header: from(spaOrigin)}, ""},
		"jwks, a client's":                       {call{method: http.MethodGet, path: "/jwks", header: from(wikiOrigin)}, wikiOrigin},
		"jwks, nobody's":                         {call{method: http.MethodGet, path: "/jwks", header: from("https://evil.test")}, ""},
		"discovery, a client's":                  {call{method: http.MethodGet, path: "/.well-known/openid-configuration", header: from(spaOrigin)}, spaOrigin},
		"discovery before the path":              {call{method: http.MethodGet, path: "//.well-known/oauth-authorization-server/fed", header: from(spaOrigin)}, spaOrigin},
		"authorize, whose answer is no page's":   {call{method: http.MethodGet, path: "/authorize?client_id=spa", header: from(spaOrigin)}, ""},
		"logout, whose answer is no page's":      {call{method: http.MethodGet, path: "/logout?client_id=spa", header: from(spaOrigin)}, ""},
		"callback, whose answer is no page's":    {call{method: http.MethodGet, path: "/callback/acme?state=x", header: from(spaOrigin)}, ""},
		"the chooser, whose answer is no page's": {call{method: http.MethodGet, path: "/login?client_id=spa", header: from(spaOrigin)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := h.do(tt.call)
			origin, any := allowed(a)
			if origin != tt.want || any != (tt.want != "") || a.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%d %v, want %q", a.status, a.header, tt.want)
			}
			if tt.want != "" && a.header.Get("Access-Control-Expose-Headers") != "Decision-Id, DPoP-Nonce, Retry-After, WWW-Authenticate" {
				t.Errorf("header %v", a.header)
			}
		})
	}
	t.Run("caches keep origins apart, also for who has none", func(t *testing.T) {
		for _, path := range []string{"/jwks", "/.well-known/openid-configuration", "/userinfo"} {
			if a := h.do(call{method: http.MethodGet, path: path}); a.header.Get("Vary") != "Origin" {
				t.Errorf("%s: Vary %q", path, a.header.Get("Vary"))
			}
		}
	})
}

// A page can read why its token was refused, if it is known whose it was.
func TestCORS_RefusalsToo(t *testing.T) {
	h, j := judged(t)
	j.clientID, j.err = "wiki", oauth.Deny(oauth.CodeInvalidToken, oauth.ReasonRevoked)
	c := call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"Bearer x"}, "Origin": {wikiOrigin}}}
	if a := h.do(c); a.status != http.StatusUnauthorized || a.header.Get("Access-Control-Allow-Origin") != wikiOrigin {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := h.do(call{path: "/token", form: url.Values{"client_id": {"spa"}, "grant_type": {"x"}}, header: http.Header{"Origin": {spaOrigin}}}); a.status != http.StatusBadRequest || a.header.Get("Access-Control-Allow-Origin") != spaOrigin {
		t.Errorf("%d %v", a.status, a.header)
	}
}
