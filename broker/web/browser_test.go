package web_test

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fedbroker/broker"
	"fedbroker/broker/login"
	"fedbroker/broker/oauth"
	"fedbroker/broker/web"
)

// judge stands for the login service: it keeps what it is asked and answers as it is told.
type judge struct {
	authorize []login.Request
	callback  []login.Callback
	logout    []login.Logout
	userInfo  []login.UserInfo

	answer   login.Answer
	body     []byte
	clientID string
	err      error
}

func (j *judge) Authorize(_ context.Context, r login.Request) login.Answer {
	j.authorize = append(j.authorize, r)
	return j.answer
}

func (j *judge) Callback(_ context.Context, r login.Callback) login.Answer {
	j.callback = append(j.callback, r)
	return j.answer
}

func (j *judge) Logout(_ context.Context, r login.Logout) login.Answer {
	j.logout = append(j.logout, r)
	return j.answer
}

func (j *judge) UserInfo(_ context.Context, r login.UserInfo) ([]byte, string, error) {
	j.userInfo = append(j.userInfo, r)
	return j.body, j.clientID, j.err
}

// afresh forgets what was asked and told.
func (j *judge) afresh() *judge {
	*j = judge{answer: login.Answer{Redirect: idpURL}}
	return j
}

func (j *judge) asked() int {
	return len(j.authorize) + len(j.callback) + len(j.logout) + len(j.userInfo)
}

const idpURL = "https://idp.test/authorize?state=x"

// judged is a house whose logins a judge answers: by sending the browser to an IdP, until told otherwise.
func judged(t *testing.T, setups ...setup) (*house, *judge) {
	t.Helper()
	h, j := newHouse(t, setups...), (&judge{}).afresh()
	h.server.JudgeBy(j)
	return h, j
}

var _ web.Logins = (*judge)(nil)

func onLoopback(c *broker.Config, _ *web.Spec) { c.Issuer = "http://127.0.0.1:8443/fed" }

// isPage holds an answer to be a page for people: under a policy, never kept, never framed, with its reference.
func isPage(t *testing.T, a answer, status int) {
	t.Helper()
	if a.status != status || !strings.HasPrefix(a.header.Get("Content-Type"), "text/html") {
		t.Fatalf("got %d %s %s, want a page with %d", a.status, a.header.Get("Content-Type"), a.raw, status)
	}
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff"} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	policy := a.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action "} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	if len(a.header.Get("Decision-Id")) < 22 {
		t.Errorf("decision id %q", a.header.Get("Decision-Id"))
	}
}

func get(path string, query url.Values) call {
	return call{method: http.MethodGet, path: path + "?" + query.Encode()}
}

var (
	sameOrigin = http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"https://login.test"}}
	crossSite  = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://wiki.test"}}
)

// asking is a whole authorization request.
func asking() url.Values {
	return url.Values{
		"client_id": {"wiki"}, "redirect_uri": {"https://wiki.test/cb"}, "response_type": {"code"}, "scope": {"openid  profile"}, "state": {"s&=é"}, "nonce": {"n"},
		"response_mode": {"form_post"}, "prompt": {"login  select_account"}, "max_age": {"60"}, "ui_locales": {"de en"}, "acr_values": {"a b"}, "login_hint": {"a@acme.example"},
		"id_token_hint": {"h"}, "code_challenge": {"c"}, "code_challenge_method": {"S256"}, "idp_hint": {"acme"}, "claims": {"{}"}, "resource": {"https://a.test", "https://b.test"},
		"request": {"x.y.z"}, "request_uri": {"https://wiki.test/r"},
	}
}

func TestAuthorize_HandsOverTheWholeRequest(t *testing.T) {
	h, j := judged(t)
	for name, c := range map[string]call{"GET": get("/authorize", asking()), "POST": {path: "/authorize", form: asking(), header: sameOrigin}} {
		t.Run(name, func(t *testing.T) {
			j.afresh()
			a := h.do(c)
			if a.status != http.StatusSeeOther || a.header.Get("Location") != idpURL || a.raw != "" {
				t.Fatalf("%d %v %s", a.status, a.header, a.raw)
			}
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "no-referrer" {
				t.Errorf("header %v", a.header)
			}
			r := j.authorize[0]
			if r.ClientID != "wiki" || r.RedirectURI != "https://wiki.test/cb" || r.ResponseType != "code" || r.ResponseMode != "form_post" || r.Scope != "openid  profile" || r.State != "s&=é" || r.Nonce != "n" ||
				r.LoginHint != "a@acme.example" || r.IDTokenHint != "h" || r.IDPHint != "acme" || r.CodeChallenge != "c" || r.CodeChallengeMethod != "S256" || r.Claims != "{}" {
				t.Errorf("got %+v", r)
			}
			if !slices.Equal(r.Prompt, []string{"login", "select_account"}) || !slices.Equal(r.ACRValues, []string{"a", "b"}) || !slices.Equal(r.UILocales, []string{"de", "en"}) ||
				!slices.Equal(r.Resources, []string{"https://a.test", "https://b.test"}) || r.MaxAge == nil || *r.MaxAge != 60 {
				t.Errorf("got %+v", r)
			}
			if !r.HasRequest || !r.HasRequestURI || r.Choose || r.Email != "" || r.DecisionID != a.header.Get("Decision-Id") || !r.Peer.IsLoopback() {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestAuthorize_WhatIsAbsentIsAbsent(t *testing.T) {
	h, j := judged(t)
	h.do(get("/authorize", url.Values{"client_id": {"wiki"}, "prompt": {""}, "request": {""}}))
	r := j.authorize[0]
	if r.MaxAge != nil || len(r.Prompt)+len(r.ACRValues)+len(r.UILocales)+len(r.Resources) > 0 || r.HasRequest || r.HasRequestURI || r.Scope != "" || r.RedirectURI != "" {
		t.Errorf("got %+v", r)
	}
}

func TestAuthorize_AMaxAgeBeyondAllBoundsStaysOne(t *testing.T) {
	h, j := judged(t)
	h.do(get("/authorize", url.Values{"max_age": {"18446744073709551615"}}))
	if r := j.authorize[0]; r.MaxAge == nil || *r.MaxAge != 1<<31-1 {
		t.Errorf("got %v", r.MaxAge)
	}
}

// What op can't read is an answer of ours (its own would quote the request), and leads nowhere.
func TestP33_UntypableRequestIsAPageAndNoRedirect(t *testing.T) {
	h, j := judged(t)
	for _, c := range []call{get("/authorize", with(asking(), "max_age", "hush")), {path: "/authorize", form: with(asking(), "max_age", "hush"), header: sameOrigin}, get("/login", with(asking(), "max_age", "hush"))} {
		a := h.do(c)
		isPage(t, a, http.StatusBadRequest)
		if a.header.Get("Location") != "" || strings.Contains(a.raw, "hush") || strings.Contains(a.raw, "wiki.test") || j.asked() > 0 {
			t.Errorf("%v %s", a.header, a.raw)
		}
		if lines := h.log.of(t, a.header.Get("Decision-Id")); len(lines) != 1 || lines[0]["code"] != "invalid_request" {
			t.Errorf("log %v", lines)
		}
	}
}

func TestP27_FormRulesOfBrowsers(t *testing.T) {
	h, j := judged(t)
	many := make([]string, 70)
	for i := range many {
		many[i] = "resource=x"
	}
	text := func(s string) http.Header { return http.Header{"Content-Type": {s}} }
	for name, tt := range map[string]struct {
		method, query, body string
		header              http.Header
		status              int
	}{
		"repeated":                       {query: "state=a&state=b", status: 400},
		"repeated by escaping":           {query: "state=a&%73tate=b", status: 400},
		"too many":                       {query: strings.Join(many, "&"), status: 400},
		"bad UTF-8":                      {query: "state=%ff", status: 400},
		"NUL":                            {query: "state=%00", status: 400},
		"semicolon":                      {query: "a=b;c=d", status: 400},
		"broken escape":                  {query: "state=%zz", status: 400},
		"body of a GET":                  {query: "state=a", body: "state=b", status: 400},
		"POST: repeated":                 {method: http.MethodPost, body: "state=a&state=b", status: 400},
		"POST: a query beside the body":  {method: http.MethodPost, query: "state=a", body: "nonce=b", status: 400},
		"POST: everything in the query":  {method: http.MethodPost, query: "client_id=wiki", status: 415},
		"POST: NUL":                      {method: http.MethodPost, body: "state=%00", status: 400},
		"POST: too large":                {method: http.MethodPost, body: "state=" + strings.Repeat("x", 64<<10), status: 413},
		"POST: no form":                  {method: http.MethodPost, body: "{}", header: text("application/json"), status: 415},
		"POST: multipart":                {method: http.MethodPost, body: "x", header: text("multipart/form-data; boundary=x"), status: 415},
		"PUT":                            {method: http.MethodPut, body: "state=a", status: 405},
		"HEAD, which a link checker may": {method: http.MethodHead, query: "state=a", status: 405},
		"OPTIONS, even by an app":        {method: http.MethodOptions, header: http.Header{"Origin": {spaOrigin}, "Access-Control-Request-Method": {"GET"}}, status: 405},
	} {
		for _, path := range []string{"/authorize", "/login", "/callback/acme", "/logout"} {
			t.Run(name+" "+path, func(t *testing.T) {
				c := call{method: tt.method, path: path, header: tt.header}
				if c.method == "" {
					c.method = http.MethodGet
				}
				if tt.query != "" {
					c.path += "?" + tt.query
				}
				if tt.body != "" {
					c.raw = strings.NewReader(tt.body)
				}
				a := h.do(c)
				isPage(t, a, tt.status)
				if a.header.Get("Location") != "" || len(a.header.Values("Set-Cookie")) > 0 || a.header.Get("Access-Control-Allow-Origin") != "" {
					t.Errorf("header %v", a.header)
				}
				if lines := h.log.of(t, a.header.Get("Decision-Id")); len(lines) != 1 || lines[0]["reason"] != string(oauth.ReasonFormRules) {
					t.Errorf("log %v", lines)
				}
			})
		}
	}
	if j.asked() > 0 {
		t.Errorf("%d came through", j.asked())
	}
}

func TestChooser_TakesTheRequestAgain(t *testing.T) {
	h, j := judged(t)
	h.do(get("/login", asking()))
	if r := j.authorize[0]; !r.Choose || r.Email != "" || r.ClientID != "wiki" {
		t.Errorf("GET: %+v", r)
	}
	h.do(call{path: "/login", form: with(asking(), "email", "mira@acme.example"), header: sameOrigin})
	if r := j.authorize[1]; r.Choose || r.Email != "mira@acme.example" || r.ClientID != "wiki" || r.LoginHint != "a@acme.example" {
		t.Errorf("POST: %+v", r)
	}
	h.do(call{path: "/login", form: asking(), header: sameOrigin})
	if r := j.authorize[2]; !r.Choose {
		t.Errorf("POST without an address: %+v", r)
	}
	h.do(get("/authorize", with(asking(), "email", "mira@acme.example")))
	if r := j.authorize[3]; r.Email != "" {
		t.Errorf("an address at /authorize: %+v", r)
	}
	a := h.do(call{method: http.MethodGet, path: "/login"})
	if isPage(t, a, http.StatusOK); len(j.authorize) != 4 {
		t.Error("nothing was asked, and something was judged")
	}
}

func TestCallback_HandsOverWhatTheUpstreamSays(t *testing.T) {
	h, j := judged(t)
	said := url.Values{"code": {"c"}, "state": {"s"}, "iss": {"https://idp.test"}, "unknown": {"u"}}
	for name, c := range map[string]call{"query": get("/callback/acme", said), "form_post": {path: "/callback/acme", form: said, header: crossSite}} {
		t.Run(name, func(t *testing.T) {
			j.afresh()
			c.header = join(c.header, http.Header{"Cookie": {"__Host-fedbroker-a-s=sealed; __Host-fedbroker-session=me; other=x"}})
			if a := h.do(c); a.status != http.StatusSeeOther {
				t.Fatalf("%d %s", a.status, a.raw)
			}
			r := j.callback[0]
			if r.Upstream != "acme" || r.Params.Encode() != said.Encode() || r.Browser.Session != "me" || !slices.Equal(r.Browser.Attempts, []login.Sealed{{ID: "s", Value: "sealed"}}) {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func join(headers ...http.Header) http.Header {
	out := http.Header{}
	for _, h := range headers {
		for name, values := range h {
			out[name] = append(out[name], values...)
		}
	}
	return out
}

// A form of another site's page leaves Lax cookies out; the GET that it is redirected to has them.
func TestAuthorize_CrossSitePOSTIsAskedAgainByGET(t *testing.T) {
	h, j := judged(t)
	cookie := http.Header{"Cookie": {"__Host-fedbroker-session=me"}}
	large := with(asking(), "claims", strings.Repeat("x", 8<<10))
	for name, tt := range map[string]struct {
		header http.Header
		form   url.Values
		again  bool
	}{
		"cross-site":                       {crossSite, asking(), true},
		"a browser that does not say":      {nil, asking(), true},
		"cross-site, but with the session": {join(crossSite, cookie), asking(), false},
		"same origin":                      {sameOrigin, asking(), false},
		"same site":                        {http.Header{"Sec-Fetch-Site": {"same-site"}}, asking(), false},
		"too large for an address":         {crossSite, large, false},
	} {
		t.Run(name, func(t *testing.T) {
			j.afresh()
			a := h.do(call{path: "/authorize", form: tt.form, header: tt.header})
			to := a.header.Get("Location")
			if a.status != http.StatusSeeOther || strings.HasPrefix(to, "/fed/authorize?") != tt.again || (j.asked() == 0) != tt.again {
				t.Fatalf("%d to %s, %d judged", a.status, to, j.asked())
			}
			if !tt.again {
				return
			}
			if b := h.do(call{method: http.MethodGet, path: strings.TrimPrefix(to, "/fed"), header: join(crossSite, cookie)}); b.header.Get("Location") != idpURL || j.authorize[0].Browser.Session != "me" || j.authorize[0].State != "s&=é" {
				t.Errorf("%d %v, %+v", b.status, b.header, j.authorize)
			}
		})
	}
}

func TestLogout_HandsOverTheWholeRequest(t *testing.T) {
	h, j := judged(t)
	asked := url.Values{"id_token_hint": {"h"}, "client_id": {"wiki"}, "post_logout_redirect_uri": {"https://wiki.test/"}, "state": {"s"}}
	for name, c := range map[string]call{"GET": get("/logout", asked), "POST": {path: "/logout", form: asked, header: sameOrigin}} {
		t.Run(name, func(t *testing.T) {
			j.afresh()
			j.answer = login.Answer{Location: "https://wiki.test/?state=s"}
			a := h.do(c)
			if a.status != http.StatusSeeOther || a.header.Get("Location") != "https://wiki.test/?state=s" {
				t.Fatalf("%d %v", a.status, a.header)
			}
			if r := j.logout[0]; r.IDTokenHint != "h" || r.ClientID != "wiki" || r.PostLogoutRedirectURI != "https://wiki.test/" || r.State != "s" || r.Confirmed || r.DecisionID != a.header.Get("Decision-Id") {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// Only our own page's form says yes: not a link, and no form of another page, be it on this site (ports on loopback share one).
func TestP39_LogoutIsConfirmedByOurOwnPageAlone(t *testing.T) {
	h, j := judged(t)
	yes := url.Values{"client_id": {"wiki"}, "confirm": {"yes"}}
	for name, tt := range map[string]struct {
		call
		confirmed bool
	}{
		"our page's form":      {call{path: "/logout", form: yes, header: sameOrigin}, true},
		"a link":               {get("/logout", yes), false},
		"a same-site page":     {call{path: "/logout", form: yes, header: http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"https://evil.login.test"}}}, false},
		"an opaque origin":     {call{path: "/logout", form: yes, header: http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"null"}}}, false},
		"no origin":            {call{path: "/logout", form: yes, header: http.Header{"Sec-Fetch-Site": {"none"}}}, false},
		"another site's form":  {call{path: "/logout", form: yes, header: join(crossSite, http.Header{"Cookie": {"__Host-fedbroker-session=me"}})}, false},
		"ours, without a word": {call{path: "/logout", form: with(yes, "confirm"), header: sameOrigin}, false},
	} {
		t.Run(name, func(t *testing.T) {
			j.afresh()
			h.do(tt.call)
			if len(j.logout) != 1 || j.logout[0].Confirmed != tt.confirmed {
				t.Errorf("got %+v, want confirmed %t", j.logout, tt.confirmed)
			}
		})
	}
	t.Run("the word is not carried over to the GET", func(t *testing.T) {
		if to := h.do(call{path: "/logout", form: yes, header: crossSite}).header.Get("Location"); to != "/fed/logout?client_id=wiki" {
			t.Errorf("to %s", to)
		}
	})
}

func TestLogout_TheQuestionIsAskedWithTheRequest(t *testing.T) {
	h, j := judged(t)
	j.answer = login.Answer{SignOut: &login.SignOut{Ask: true, ClientID: "wiki"}}
	a := h.do(get("/logout", url.Values{"client_id": {"wiki"}, "state": {`"><script>`}, "unknown": {"x"}}))
	isPage(t, a, http.StatusOK)
	got := inputs(a.raw)
	if want := (url.Values{"client_id": {"wiki"}, "state": {`"><script>`}, "confirm": {"yes"}}); got.Encode() != want.Encode() || strings.Contains(a.raw, "<script>") {
		t.Errorf("form %v", got)
	}
	j.answer = login.Answer{SignOut: &login.SignOut{ClientID: "wiki"}}
	isPage(t, h.do(get("/logout", url.Values{})), http.StatusOK)
}

// inputs reads the hidden fields of a page.
func inputs(page string) url.Values {
	out := url.Values{}
	for part := range strings.SplitSeq(page, `<input type="hidden" name="`) {
		name, rest, ok := strings.Cut(part, `" value="`)
		value, _, closed := strings.Cut(rest, `">`)
		if ok && closed {
			out.Add(html.UnescapeString(name), html.UnescapeString(value))
		}
	}
	return out
}
