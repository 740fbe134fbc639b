package login_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/limit"
	"fedbroker/broker/login"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/broker/token"
	"fedbroker/broker/userinfo"
	"fedbroker/mappers"
	"fedbroker/upstreams/upstreamtest"
)

func client(id string) func(*login.Request)   { return func(r *login.Request) { r.ClientID = id } }
func prompt(p ...string) func(*login.Request) { return func(r *login.Request) { r.Prompt = p } }
func hint(idp string) func(*login.Request)    { return func(r *login.Request) { r.IDPHint = idp } }
func scope(s string) func(*login.Request)     { return func(r *login.Request) { r.Scope = s } }
func maxAge(seconds int64) func(*login.Request) {
	return func(r *login.Request) { r.MaxAge = &seconds }
}
func claims(c string) func(*login.Request) { return func(r *login.Request) { r.Claims = c } }
func email(e string) func(*login.Request) {
	return func(r *login.Request) { r.Email, r.IDPHint = e, "" }
}

func TestP30_TheAttemptLivesInTheBrowserThatBeganIt(t *testing.T) {
	h := newHouse(t)
	b, before := h.browser(), h.engine.commits
	a := b.authorize()
	h.want(a, "idp")
	if h.engine.commits != before || len(h.journal.durable)+len(h.journal.queued) != 0 {
		t.Error("something is stored before the answer")
	}
	c := b.atIdP(a, "ada")
	other := h.browser()
	h.want(other.callback(c), "page other_browser - 400")
	other.attempts = []login.Sealed{{ID: c.Params.Get("state"), Value: "not-sealed-by-us"}}
	h.want(other.callback(c), "page other_browser - 400")
	h.want(b.callback(c), "code")
}

func TestP30_ACookieSealedForAnotherAttemptIsNone(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	first, second := b.authorize(), b.authorize()
	c := b.atIdP(first, "ada")
	b.attempts = []login.Sealed{{ID: first.Attempt.ID, Value: second.Attempt.Value}}
	h.want(b.callback(c), "page other_browser - 400")
}

func TestP30_AnAttemptIsSpentOnce(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	c := b.atIdP(b.authorize(), "ada")
	kept := b.cookies()
	h.want(b.callback(c), "code")
	if len(b.attempts) != 0 {
		t.Error("the cookie stays")
	}
	h.want(b.callback(c), "page other_browser - 400") // the cookie is gone
	c.Browser = kept
	h.want(h.Callback(t.Context(), c), "page upstream_answer server_error 500") // the code is spent at the provider

	// The provider gives another code for the same state: our own memory has to know.
	again := b.atIdP(login.Answer{Redirect: h.sentTo(c)}, "ada")
	again.Browser = kept
	h.want(h.Callback(t.Context(), again), "page expired server_error 400")
}

// sentTo is where the browser of an answer was sent for it.
func (h *house) sentTo(c login.Callback) string {
	h.Helper()
	for _, r := range h.idps[c.Upstream].Requests("/authorize") {
		if r.Query.Get("state") == c.Params.Get("state") {
			return h.idps[c.Upstream].Issuer() + "/authorize?" + r.Query.Encode()
		}
	}
	h.Fatal("no such request")
	return ""
}

func TestP30_AnAttemptLivesTenMinutes(t *testing.T) {
	for after, want := range map[time.Duration]string{10*time.Minute - time.Second: "code", 10 * time.Minute: "page expired server_error 400"} {
		h := newHouse(t)
		b := h.browser()
		a := b.authorize()
		h.pass(after)
		got := b.callback(b.atIdP(a, "ada"))
		h.want(got, want)
		if got.Failure != nil && len(got.Failure.Retry) == 0 {
			t.Error("no way to begin again")
		}
	}
}

func TestP30_OnlyTheNewestEightAttemptsFinish(t *testing.T) {
	const begun, kept = 20, 8
	h := newHouse(t)
	b := h.browser()
	var back []login.Callback
	var all []login.Sealed
	for range begun { // in tabs that know nothing of each other's cookies
		tab := h.browser()
		back = append(back, tab.atIdP(tab.authorize(), "ada"))
		all = append(all, tab.attempts...)
		h.pass(time.Millisecond)
	}
	for i, c := range back {
		want := "page expired server_error 400"
		if i >= begun-kept {
			want = "code"
		}
		c.Browser.Attempts = all
		h.want(b.Callback(t.Context(), c), want)
	}
}

func TestP30_ANewAttemptDropsTheOldest(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	first := b.authorize()
	for range 8 {
		h.pass(time.Second)
		b.authorize()
	}
	if len(b.attempts) != 8 || slices.ContainsFunc(b.attempts, func(s login.Sealed) bool { return s.ID == first.Attempt.ID }) {
		t.Errorf("%d attempts, the first among them or not", len(b.attempts))
	}
}

func TestP30_LongRequestsAreRefusedAndManyAreDropped(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	h.want(b.authorize(func(r *login.Request) { r.State = strings.Repeat("s", 4000) }), "error invalid_request")
	for range 6 {
		h.want(b.authorize(func(r *login.Request) { r.State = strings.Repeat("s", 2000) }), "idp")
		h.pass(time.Second)
	}
	total := 0
	for _, s := range b.attempts {
		if len(s.Value) > 3800 {
			t.Errorf("a cookie of %d bytes", len(s.Value))
		}
		total += len(s.Value)
	}
	if total > 12<<10 || len(b.attempts) < 2 {
		t.Errorf("%d bytes in %d cookies", total, len(b.attempts))
	}
}

func TestP30_ARequestThatIsNotUTF8IsTheAppsFault(t *testing.T) {
	h := newHouse(t)
	h.want(h.browser().authorize(func(r *login.Request) { r.State = "\xff" }), "error invalid_request")
}

func TestP30_EveryCallbackBeginsANewSession(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("ada")
	first := b.session
	b.signIn("ada", prompt("login"))
	if b.session == first || b.session == "" {
		t.Fatal("the session's cookie stays")
	}
	old, _, _ := strings.Cut(first, ".")
	if id, _, _ := strings.Cut(b.session, "."); id == old {
		t.Error("one id for two sign-ons")
	}
}

func TestP30_TheAnswerOfAnotherUpstreamIsRefused(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	c := b.atIdP(b.authorize(), "ada")
	c.Upstream = "beta"
	h.want(b.callback(c), "page wrong_upstream server_error 400")
	if len(h.idps["beta"].Requests("/token")) != 0 {
		t.Error("the code went to another's token endpoint")
	}
}

func TestP30_BadAnswersOfTheBrowser(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(url.Values)
		want string
	}{
		"no state":          {func(v url.Values) { v.Del("state") }, "page other_browser - 400"},
		"an empty state":    {func(v url.Values) { v.Set("state", "") }, "page other_browser - 400"},
		"two states":        {func(v url.Values) { v.Add("state", v.Get("state")) }, "page other_browser - 400"},
		"another state":     {func(v url.Values) { v.Set("state", "x") }, "page other_browser - 400"},
		"iss of another":    {func(v url.Values) { v.Set("iss", "https://evil.example") }, "page upstream_answer server_error 500"},
		"no iss":            {func(v url.Values) { v.Del("iss") }, "page upstream_answer server_error 500"},
		"no code":           {func(v url.Values) { v.Del("code") }, "page upstream_answer server_error 500"},
		"a code of nothing": {func(v url.Values) { v.Set("code", "x") }, "page upstream_answer server_error 500"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			b := h.browser()
			answer := b.atIdP(b.authorize(), "ada")
			c.edit(answer.Params)
			h.want(b.callback(answer), c.want)
		})
	}
}

func TestP30_ANonceOfAnotherAttemptIsRefused(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	h.idps["acme"].AlterIDToken(upstreamtest.With("nonce", "another"))
	h.want(b.signIn("ada"), "page upstream_answer server_error 500")
}

func TestP30_TheConfigurationMayChangeMeanwhile(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*house)
		want   string
	}{
		"redirect_uri removed": {func(h *house) { h.app("wiki").RedirectURIs = []string{wikiCallback + "2"} }, "page redirect - 400"},
		"client removed":       {func(h *house) { h.specs = h.specs[1:] }, "page unknown_client - 400"},
		"upstream removed":     {func(h *house) { h.upstreams = h.upstreams[1:] }, "page expired server_error 400"},
		"upstream not for it":  {func(h *house) { h.app("wiki").Upstreams = []string{"beta"} }, "page expired server_error 400"},
		"another issuer":       {func(h *house) { h.upstreams[0].Issuer = h.idps["beta"].Issuer(); h.upstreams = h.upstreams[:1] }, "page expired server_error 400"},
		"acr required":         {func(h *house) { h.app("wiki").RequireACR = "other" }, "error unmet_authentication_requirements"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			b := h.browser()
			answer := b.atIdP(b.authorize(), "ada")
			c.change(h)
			h.build()
			h.want(b.callback(answer), c.want)
		})
	}
}

func TestP31_TheUpstreamIsChosen(t *testing.T) {
	for name, c := range map[string]struct {
		ask  func(*login.Request)
		want string // upstream, or outcome
	}{
		"idp_hint":                      {hint("beta"), "beta"},
		"nothing":                       {hint(""), "choose "},
		"an idp_hint of nobody":         {hint("nobody"), "choose "},
		"a login_hint":                  {func(r *login.Request) { r.IDPHint, r.LoginHint = "", "x@BETA.example." }, "beta"},
		"a login_hint of nobody":        {func(r *login.Request) { r.IDPHint, r.LoginHint = "", "x@nobody.example" }, "choose "},
		"an address typed":              {email("x@beta.example"), "beta"},
		"an address of nobody":          {email("x@nobody.example"), "choose domain"},
		"no address":                    {email("@"), "choose domain"},
		"only one is possible":          {func(r *login.Request) { r.ClientID, r.IDPHint = "betaonly", "" }, "beta"},
		"idp_hint beyond the client":    {func(r *login.Request) { r.ClientID, r.IDPHint = "betaonly", "acme" }, "beta"},
		"an address beyond the client":  {func(r *login.Request) { r.ClientID, r.Email = "betaonly", "x@acme.example" }, "choose domain"},
		"the chooser, whatever is said": {func(r *login.Request) { r.Choose = true }, "choose "},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			a := h.browser().authorize(c.ask)
			if h.idps[c.want] == nil {
				h.want(a, c.want)
			} else if !strings.HasPrefix(a.Redirect, h.idps[c.want].Issuer()) {
				t.Errorf("%s %s", outcome(a), a.Redirect)
			}
			if a.Choose != nil && slices.ContainsFunc(a.Choose.Params, func(p [2]string) bool { return p[0] == "idp_hint" }) {
				t.Error("the chooser repeats a choice")
			}
		})
	}
}

func TestP31_PromptNoneNeverContactsAnUpstream(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	h.want(b.authorize(prompt("none")), "error login_required")
	h.want(b.authorize(prompt("none"), hint("")), "error login_required")
	h.want(b.authorize(prompt("none"), email("x@acme.example")), "error login_required")
	h.want(b.authorize(prompt("none", "login")), "error invalid_request")
	b.signIn("ada")
	h.want(b.authorize(prompt("none")), "code")
	h.want(b.authorize(prompt("none"), hint("beta")), "error interaction_required")
	h.want(b.authorize(prompt("none"), client("betaonly"), hint("")), "error interaction_required")
	h.want(b.authorize(prompt("none"), maxAge(0)), "error login_required")
	h.want(b.authorize(prompt("none"), claims(`{"id_token":{"acr":{"essential":true,"value":"platinum"}}}`)), "error interaction_required")
	h.want(b.authorize(prompt("none"), func(r *login.Request) { r.Choose = true }), "error login_required")
	if n := len(h.idps["acme"].Requests("/authorize")); n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestP31_PromptNoneShowsNoPageWhateverFails(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("ada")
	h.engine.getErr = errOff
	h.want(b.authorize(prompt("none")), "error temporarily_unavailable")
	h.engine.getErr, h.journal.err = nil, errOff
	h.want(b.authorize(prompt("none")), "error temporarily_unavailable")
}

func TestP31_ASecondAppNeedsNoSecondLogin(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	h.want(b.signIn("ada"), "code")
	h.want(b.authorize(client("spa"), hint("")), "code")
	h.want(b.authorize(client("strict"), hint("")), "code") // acr is gold
	h.want(b.authorize(client("betaonly"), hint("")), "idp")
	h.want(b.authorize(hint("beta")), "idp")
	h.want(b.authorize(prompt("login")), "idp")
	h.want(b.authorize(prompt("select_account")), "idp")
	h.want(b.authorize(maxAge(0)), "idp") // within the same second, too
	h.want(b.authorize(maxAge(60)), "code")
	h.pass(62 * time.Second)
	h.want(b.authorize(maxAge(60)), "idp")
	h.want(b.authorize(prompt("consent")), "code")
}

func TestP31_AnUnknownDomainTypedIsNoSilentSignOn(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("ada")
	h.want(b.authorize(email("x@nobody.example")), "choose domain")
	h.want(b.authorize(email("x@beta.example")), "idp")
	h.want(b.authorize(email("x@acme.example")), "code")
}

func TestP31_AFreshAuthenticationIsProvenByAuthTime(t *testing.T) {
	const unmet = "error unmet_authentication_requirements"
	for name, c := range map[string]struct {
		ask      func(*login.Request)
		authTime any // seconds from now; nil: absent
		trust    bool
		want     string
	}{
		"login, now":                     {prompt("login"), 0, false, "code"},
		"login, within the leeway":       {prompt("login"), -30, false, "code"},
		"login, older":                   {prompt("login"), -32, false, unmet},
		"login, absent":                  {prompt("login"), nil, false, unmet},
		"login, absent but trusted":      {prompt("login"), nil, true, "code"},
		"max_age 0, older":               {maxAge(0), -32, false, unmet},
		"max_age 100, in time":           {maxAge(100), -129, false, "code"},
		"max_age 100, older":             {maxAge(100), -132, false, unmet},
		"max_age 100, absent":            {maxAge(100), nil, false, unmet},
		"login, in the far future":       {prompt("login"), 32, false, "page upstream_answer server_error 500"},
		"nothing asked, absent":          {scope("openid"), nil, false, "code"},
		"login and max_age: the younger": {func(r *login.Request) { age := int64(1000); r.Prompt, r.MaxAge = []string{"login"}, &age }, -500, false, unmet},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(h *house) { h.upstreams[0].TrustPrompt = c.trust })
			b := h.browser()
			h.idps["acme"].AlterIDToken(func(claims map[string]any) {
				delete(claims, "auth_time")
				if s, ok := c.authTime.(int); ok {
					claims["auth_time"] = noon.Unix() + int64(s)
				}
			})
			a := b.signIn("ada", c.ask)
			h.want(a, c.want)
			if c.want == unmet && b.session != "" {
				t.Error("a session began")
			}
		})
	}
}

func TestP31_PromptAndMaxAgeAreSentOn(t *testing.T) {
	h := newHouse(t)
	a := h.browser().authorize(prompt("login", "consent"), func(r *login.Request) { r.LoginHint, r.UILocales = "ada@acme.example", []string{"de"} })
	u, _ := url.Parse(a.Redirect)
	q := u.Query()
	if q.Get("prompt") != "login" || q.Get("max_age") != "0" || q.Get("login_hint") != "ada@acme.example" || q.Get("ui_locales") != "de" || q.Get("code_challenge_method") != "S256" || q.Get("state") != a.Attempt.ID {
		t.Error(q)
	}
	if q.Get("nonce") == "app-nonce" || q.Get("code_challenge") == asking().CodeChallenge {
		t.Error("the app's secrets are the attempt's")
	}
}

func TestP31_OnlyAnEssentialACRFailsALogin(t *testing.T) {
	const unmet = "error unmet_authentication_requirements"
	wish := func(r *login.Request) { r.ACRValues = []string{"platinum"} }
	for name, c := range map[string]struct {
		who  string
		ask  func(*login.Request)
		want string
	}{
		"a wish":                          {"bob", wish, "code"},
		"require_acr met":                 {"ada", client("strict"), "code"},
		"require_acr unmet":               {"bob", client("strict"), unmet},
		"essential met":                   {"ada", claims(`{"id_token":{"acr":{"essential":true,"values":["x","` + gold + `"]}}}`), "code"},
		"essential unmet":                 {"bob", claims(`{"id_token":{"acr":{"essential":true,"values":["x"]}}}`), unmet},
		"essential by value unmet":        {"ada", claims(`{"id_token":{"acr":{"essential":true,"value":"x"}}}`), unmet},
		"essential, any":                  {"ada", claims(`{"id_token":{"acr":{"essential":true}}}`), "code"},
		"essential, any, none there":      {"bob", claims(`{"id_token":{"acr":{"essential":true}}}`), unmet},
		"an empty value is met by none":   {"bob", claims(`{"id_token":{"acr":{"essential":true,"values":[""]}}}`), unmet},
		"an empty value, by value":        {"bob", claims(`{"id_token":{"acr":{"essential":true,"value":""}}}`), unmet},
		"not essential":                   {"bob", claims(`{"id_token":{"acr":{"values":["x"]}}}`), "code"},
		"claims can't lower the client's": {"bob", func(r *login.Request) { r.ClientID, r.Claims = "strict", `{"id_token":{"acr":{"essential":true}}}` }, unmet},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.idps["acme"].AlterIDToken(func(m map[string]any) { // a provider that does not heed acr_values
				delete(m, "acr")
				if m["sub"] == "ada" {
					m["acr"] = "high"
				}
			})
			h.want(h.browser().signIn(c.who, c.ask), c.want)
		})
	}
	h := newHouse(t)
	h.want(h.browser().authorize(client("strict"), claims(`{"id_token":{"acr":{"essential":true,"values":["x"]}}}`)), unmet)
}

func TestP31_HostileClaimsParameters(t *testing.T) {
	h := newHouse(t)
	for _, c := range []string{`[]`, `{`, `"x"`, `{"id_token":[]}`, `{"userinfo":"x"}`, `{"id_token":{},"id_token":{}}`, strings.Repeat(`{"a":`, 500) + "1" + strings.Repeat("}", 500)} {
		h.want(h.browser().authorize(claims(c)), "error invalid_request")
	}
	for _, c := range []string{`{}`, `{"id_token":null}`, `{"id_token":{"acr":"x"}}`, `{"id_token":{"acr":{"essential":"true","values":"x"}}}`, `{"userinfo":{"email":{"essential":true}}}`} {
		h.want(h.browser().authorize(claims(c)), "idp")
	}
}

func TestP32_PKCE(t *testing.T) {
	challenge := func(c, method string) func(*login.Request) {
		return func(r *login.Request) { r.CodeChallenge, r.CodeChallengeMethod = c, method }
	}
	good := asking().CodeChallenge
	for name, c := range map[string]struct {
		client string
		ask    func(*login.Request)
		want   string
	}{
		"S256":                  {"wiki", challenge(good, "S256"), "idp"},
		"missing":               {"wiki", challenge("", ""), "error invalid_request"},
		"missing, optional":     {"once", challenge("", ""), "idp"},
		"plain":                 {"wiki", challenge(good, "plain"), "error invalid_request"},
		"plain, optional":       {"once", challenge(good, "plain"), "error invalid_request"},
		"plain by default":      {"once", challenge(good, ""), "error invalid_request"},
		"a method alone":        {"once", challenge("", "S256"), "error invalid_request"},
		"short":                 {"wiki", challenge(good[:42], "S256"), "error invalid_request"},
		"long":                  {"wiki", challenge(good+"A", "S256"), "error invalid_request"},
		"not base64url":         {"wiki", challenge("+"+good[1:], "S256"), "error invalid_request"},
		"public, missing":       {"spa", challenge("", ""), "error invalid_request"},
		"lower-case method":     {"wiki", challenge(good, "s256"), "error invalid_request"},
		"trailing bits are set": {"wiki", challenge(good[:42]+"B", "S256"), "error invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.want(h.browser().authorize(client(c.client), c.ask), c.want)
		})
	}
}

func TestP33_ErrorsNeverGoToAnUnprovenURI(t *testing.T) {
	h := newHouse(t)
	for _, uri := range []string{"", wikiCallback + "/", "https://evil.example/cb", "https://user@wiki.example.com/cb", wikiCallback + "#x", wikiCallback + "?", "HTTPS://wiki.example.com/cb", "https://wiki.example.com/a/../cb"} {
		a := h.browser().authorize(func(r *login.Request) { r.RedirectURI, r.ResponseType = uri, "token" })
		h.want(a, "page redirect - 400")
		if a.Failure != nil && (a.Failure.Retry != nil || a.Failure.Back != nil) {
			t.Error("a way to an unproven place")
		}
	}
	h.want(h.browser().authorize(client("nobody")), "page unknown_client - 400")
}

func TestP33_EveryResponseHasIss(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	for _, a := range []login.Answer{b.authorize(prompt("none")), b.signIn("ada"), b.authorize(), b.authorize(func(r *login.Request) { r.ResponseMode = "form_post" })} {
		if a.Reply == nil || param(a.Reply, "iss") != issuer || param(a.Reply, "state") != "app-state" || a.Reply.RedirectURI != wikiCallback {
			t.Errorf("%s: %+v", outcome(a), a.Reply)
		}
	}
	if a := b.authorize(func(r *login.Request) { r.ResponseMode = "form_post" }); !a.Reply.FormPost {
		t.Error("form_post is not heeded")
	}
	h.idps["acme"].DenyAuthorization("access_denied", "")
	b.forget()
	if a := b.signIn("ada", prompt("login")); a.Failure == nil || param(a.Failure.Back, "iss") != issuer || param(a.Failure.Back, "state") != "app-state" {
		t.Error("the way back of a page is without iss or state")
	}
}

func TestP33_RequestsThatAreNotServed(t *testing.T) {
	for name, c := range map[string]struct {
		ask  func(*login.Request)
		want string
	}{
		"request_uri":           {func(r *login.Request) { r.HasRequestURI = true }, "request_uri_not_supported"},
		"request":               {func(r *login.Request) { r.HasRequest = true }, "request_not_supported"},
		"fragment":              {func(r *login.Request) { r.ResponseMode = "fragment" }, "invalid_request"},
		"no response_type":      {func(r *login.Request) { r.ResponseType = "" }, "invalid_request"},
		"response_type token":   {func(r *login.Request) { r.ResponseType = "token" }, "unsupported_response_type"},
		"response_type hybrid":  {func(r *login.Request) { r.ResponseType = "code id_token" }, "unsupported_response_type"},
		"no such grant":         {client("robot"), "unauthorized_client"},
		"a negative max_age":    {maxAge(-1), "invalid_request"},
		"an endless max_age":    {maxAge(1 << 40), "invalid_request"},
		"a prompt of nothing":   {prompt("x"), "invalid_request"},
		"a resource beyond":     {func(r *login.Request) { r.Resources = []string{"https://billing.example"} }, "invalid_target"},
		"a resource that is no": {func(r *login.Request) { r.Resources = []string{"orders"} }, "invalid_target"},
		"a scope of bad signs":  {scope("a\"b"), "invalid_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.want(h.browser().authorize(c.ask), "error "+c.want)
		})
	}
}

func TestP33_UnknownScopesAreIgnored(t *testing.T) {
	h := newHouse(t)
	g, _, _, _ := h.grantOf(h.browser().signIn("ada", scope("openid nonsense billing profile")), "wiki")
	if strings.Join(g.Scopes, " ") != "openid profile" { // billing is known, but not the client's
		t.Error(g.Scopes)
	}
}

func TestP35_OnlyALoginsScopesWithoutAResource(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	g, _, _, _ := h.grantOf(b.signIn("ada", scope("openid orders.read")), "wiki")
	if strings.Join(g.Scopes, " ") != "openid" || len(g.Audiences) != 0 {
		t.Error(g.Scopes, g.Audiences)
	}
	g, _, _, _ = h.grantOf(b.authorize(scope("openid orders.read"), func(r *login.Request) { r.Resources = []string{"https://orders.example", "https://orders.example"} }), "wiki")
	if strings.Join(g.Scopes, " ") != "openid orders.read" || strings.Join(g.Audiences, " ") != "https://orders.example" {
		t.Error(g.Scopes, g.Audiences)
	}
}

func TestP36_WhoGetsWhichRefreshToken(t *testing.T) {
	for _, c := range []struct {
		name, client, scope string
		offline, bound      bool
	}{
		{"offline_access", "wiki", "openid offline_access", true, false},
		{"without", "wiki", "openid", false, false},
		{"session_refresh", "spa", "openid", false, true},
		{"offline_access that is not the client's", "spa", "openid offline_access", false, true},
		{"no grant type refresh_token", "once", "openid offline_access", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			g, _, _, refresh := h.grantOf(h.browser().signIn("ada", client(c.client), scope(c.scope)), c.client)
			if g.Offline != c.offline || g.SessionBound != c.bound || (refresh != "") != (c.offline || c.bound) {
				t.Errorf("offline %v, bound %v, refresh token %v", g.Offline, g.SessionBound, refresh != "")
			}
		})
	}
}

func TestP8_AClaimLeavesOnlyThroughAGrantedScope(t *testing.T) {
	h := newHouse(t, func(h *house) { h.mappers["acme"] = []mappers.Spec{{Kind: "groups"}} })
	b := h.browser()
	g, access, _, _ := h.grantOf(b.signIn("ada", scope("openid profile")), "wiki")
	if len(g.Claims) != 1 || g.Claims["name"] != "Ada" {
		t.Errorf("kept for userinfo: %v", g.Claims)
	}
	if got := h.info(access); got["name"] != "Ada" || got["email"] != nil || got["groups"] != nil || got["sub"] != "acme|ada" {
		t.Error(got)
	}
	_, access, _, _ = h.grantOf(b.authorize(scope("openid email groups")), "wiki")
	if got := h.info(access); got["name"] != nil || got["email"] != "ada@acme.example" || got["email_verified"] != true || fmt.Sprint(got["groups"]) != "[acme:eng]" {
		t.Error(got)
	}
}

func TestP8_TheClientsMappersHaveTheLastWordBeforeTheScopes(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.app("wiki").Mappers = []mappers.Spec{{Kind: "set", Claim: "nickname", Value: "countess"}}
	})
	_, access, _, _ := h.grantOf(h.browser().signIn("ada", scope("openid profile")), "wiki")
	if got := h.info(access); got["nickname"] != "countess" {
		t.Error(got)
	}
}

func TestP5_AForeignAddressIsReleasedAsUnverified(t *testing.T) {
	h := newHouse(t)
	_, access, _, _ := h.grantOf(h.browser().signIn("bob", scope("openid email")), "wiki")
	if got := h.info(access); got["email"] != "bob@elsewhere.example" || got["email_verified"] != false {
		t.Error(got)
	}
}

func TestP6_WhereOneSignedInIsToldByRegistration(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	_, access, _, _ := h.grantOf(b.signIn("ada"), "wiki")
	if got := fmt.Sprint(h.info(access)["upstream"]); got != "map[name:acme]" {
		t.Error(got)
	}
	_, access, _, _ = h.grantOf(b.authorize(client("spa")), "spa")
	if got := fmt.Sprint(h.info(access)["upstream"]); got != "map[iss:"+h.idps["acme"].Issuer()+" name:acme sub:ada]" {
		t.Error(got)
	}
}

// info is what userinfo says.
func (h *house) info(access string) map[string]any {
	h.Helper()
	body, _, err := h.UserInfo(h.Context(), login.UserInfo{DecisionID: decision, Peer: peer, Request: userinfo.Request{Token: access}})
	h.must(err)
	var out map[string]any
	h.must(json.Unmarshal(body, &out))
	return out
}

// refusal is why userinfo says nothing: the code, or "ok".
func (h *house) refusal(access string) string {
	body, _, err := h.UserInfo(h.Context(), login.UserInfo{DecisionID: decision, Peer: peer, Request: userinfo.Request{Token: access}})
	if err == nil {
		return "ok"
	}
	if body != nil {
		h.Error("a body beside an error")
	}
	return strings.SplitN(err.Error(), ":", 2)[0]
}

func TestP35_UserInfoWantsOurIssuerAndOpenID(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	_, access, id, _ := h.grantOf(b.signIn("ada"), "wiki")
	_, elsewhere, _, _ := h.grantOf(b.authorize(func(r *login.Request) { r.Resources = []string{"https://orders.example"} }), "wiki")
	_, plain, _, _ := h.grantOf(b.authorize(scope("profile")), "wiki")
	for name, c := range map[string]struct{ token, want string }{
		"good": {access, "ok"}, "an ID token": {id, "invalid_token"}, "another audience": {elsewhere, "invalid_token"}, "without openid": {plain, "insufficient_scope"},
		"nothing": {"", "invalid_token"}, "nonsense": {"a.b.c", "invalid_token"}, "another signature": {access[:len(access)-4] + "AAAA", "invalid_token"},
	} {
		if got := h.refusal(c.token); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	h.engine.getErr = errOff
	if got := h.refusal(access); got != "temporarily_unavailable" {
		t.Error(got)
	}
	h.engine.getErr = nil
	h.specs = h.specs[1:]
	h.build()
	if got := h.refusal(access); got != "invalid_token" {
		t.Errorf("of a client that is gone: %s", got)
	}
}

func TestP8_ANarrowedTokenTellsLess(t *testing.T) {
	h := newHouse(t)
	_, access, _, _ := h.grantOf(h.browser().signIn("ada", scope("openid profile email")), "wiki")
	h.alter = func(o *token.Own) { o.Scopes = []string{"openid", "email"} }
	if got := h.info(access); got["name"] != nil || got["email"] != "ada@acme.example" {
		t.Error(got)
	}
}

func TestP35_OnlyALoginsOwnTokenServesAtUserInfo(t *testing.T) {
	for name, alter := range map[string]func(*token.Own){
		"exchanged by a rule":     func(o *token.Own) { o.Facts.Lineage.Rules = []string{"r"} },
		"delegated":               func(o *token.Own) { o.Act = &rules.Actor{Subject: "acme|bob"} },
		"bound to a key":          func(o *token.Own) { o.Confirmed = "key" },
		"of no login":             func(o *token.Own) { o.Facts.Lineage.Families = nil },
		"of two logins":           func(o *token.Own) { o.Facts.Lineage.Families = append(slices.Clone(o.Facts.Lineage.Families), "x") },
		"of a login that is gone": func(o *token.Own) { o.Facts.Lineage.Families = []string{"x"} },
		"another person's grant":  func(o *token.Own) { o.Subject = "acme|bob" },
		"another client's grant":  func(o *token.Own) { o.ClientID = "once" },
	} {
		h := newHouse(t)
		_, access, _, _ := h.grantOf(h.browser().signIn("ada"), "wiki")
		h.alter = alter
		if got := h.refusal(access); got != "invalid_token" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestP39_LogoutNeedsAGoodHintOrTheQuestion(t *testing.T) {
	h := newHouse(t)
	b, other := h.browser(), h.browser()
	_, _, id, _ := h.grantOf(b.signIn("ada"), "wiki")
	_, _, foreign, _ := h.grantOf(other.signIn("ada"), "wiki")
	_, _, spas, _ := h.grantOf(b.authorize(client("spa")), "spa")
	for name, l := range map[string]login.Logout{
		"nothing":                 {},
		"no token":                {IDTokenHint: "x"},
		"of another session":      {IDTokenHint: foreign},
		"of another client":       {IDTokenHint: spas, ClientID: "wiki"},
		"with another client_id":  {IDTokenHint: id, ClientID: "spa"},
		"client_id without token": {ClientID: "wiki"},
	} {
		l.PostLogoutRedirectURI = wikiHome
		if a := b.logout(l); outcome(a) != "signout ask=true" || a.Session != nil {
			t.Errorf("%s: %s", name, outcome(a))
		}
	}
	h.want(b.authorize(prompt("none")), "code")
	h.pass(time.Hour - time.Minute) // the ID token has expired
	h.want(b.logout(login.Logout{IDTokenHint: id, PostLogoutRedirectURI: wikiHome, State: "s&"}), "to "+wikiHome+"?state=s%26")
	h.want(b.authorize(prompt("none")), "error login_required")
	h.want(other.authorize(prompt("none")), "code")
	if b.session != "" {
		t.Error("the cookie stays")
	}
}

func (b *browser) logout(l login.Logout) login.Answer {
	l.DecisionID, l.Peer, l.Browser = decision, peer, b.cookies()
	return b.keep(b.Logout(b.Context(), l))
}

func TestP39_NobodyIsSentToAnUnregisteredPlace(t *testing.T) {
	for _, uri := range []string{"", "https://evil.example/", wikiHome + "x", wikiCallback} {
		h := newHouse(t)
		b := h.browser()
		_, _, id, _ := h.grantOf(b.signIn("ada"), "wiki")
		a := b.logout(login.Logout{IDTokenHint: id, PostLogoutRedirectURI: uri})
		h.want(a, "signout ask=false")
		if a.SignOut.ClientID != "wiki" {
			t.Error("the page does not know who sent the person")
		}
	}
	h := newHouse(t)
	b := h.browser()
	b.signIn("ada")
	h.want(b.logout(login.Logout{Confirmed: true, ClientID: "wiki", PostLogoutRedirectURI: wikiHome}), "signout ask=false")
	h.want(b.logout(login.Logout{}), "signout ask=false") // nobody is signed in
}

func TestP39_LogoutEndsSessionFamiliesAndOfflineOnesLiveOn(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	_, access, id, offline := h.grantOf(b.signIn("ada", scope("openid offline_access")), "wiki")
	_, online, _, bound := h.grantOf(b.authorize(client("spa"), scope("openid")), "spa")
	h.want(b.logout(login.Logout{Confirmed: true, IDTokenHint: id}), "signout ask=false")
	if got := h.refusal(online); got != "invalid_token" {
		t.Errorf("the session's token: %s", got)
	}
	if _, err := h.sessions.Refresh(t.Context(), bound); err == nil {
		t.Error("the session's family lives on")
	}
	if got := h.refusal(access); got != "ok" {
		t.Errorf("the offline token: %s", got)
	}
	if _, err := h.sessions.Refresh(t.Context(), offline); err != nil {
		t.Errorf("the offline family: %v", err)
	}
}

func TestP31_EssentialACRThatIsNoStringIsRefused(t *testing.T) {
	h := newHouse(t)
	for _, acr := range []string{`"values":[5]`, `"value":5`, `"values":["x",null,{}]`} {
		h.want(h.browser().authorize(claims(`{"id_token":{"acr":{"essential":true,`+acr+`}}}`)), "error invalid_request")
	}
}

// Two tabs that sign in at the same time begin two sessions; the browser keeps one cookie. The other one's app signs out, the person says so: both end.
func TestP39_LogoutEndsTheSessionThatTheHintNamesToo(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	first, second := b.authorize(client("spa"), scope("openid")), b.authorize(client("spa"), scope("openid"))
	one, two := b.atIdP(first, "ada"), b.atIdP(second, "ada")
	one.Browser, two.Browser = b.cookies(), b.cookies() // neither tab knows of the other's session
	_, orphan, id, _ := h.grantOf(b.keep(b.Callback(t.Context(), one)), "spa")
	_, kept, _, _ := h.grantOf(b.keep(b.Callback(t.Context(), two)), "spa")
	h.want(b.logout(login.Logout{IDTokenHint: id, PostLogoutRedirectURI: wikiHome}), "signout ask=true")
	if h.refusal(orphan) != "ok" || h.refusal(kept) != "ok" {
		t.Fatal("something ended before the person said so")
	}
	h.want(b.logout(login.Logout{IDTokenHint: id, Confirmed: true, PostLogoutRedirectURI: wikiHome}), "signout ask=false")
	for name, access := range map[string]string{"the browser's": kept, "the hint's": orphan} {
		if got := h.refusal(access); got != "invalid_token" {
			t.Errorf("%s session's token: %s", name, got)
		}
	}
}

// The hint of another person, in the same browser, ends nothing of theirs.
func TestP39_HintOfAnotherPersonEndsNothing(t *testing.T) {
	h := newHouse(t)
	bob := h.browser()
	_, access, id, _ := h.grantOf(bob.signIn("bob", client("spa"), scope("openid")), "spa")
	b := h.browser()
	b.signIn("ada")
	h.want(b.logout(login.Logout{IDTokenHint: id, Confirmed: true}), "signout ask=false")
	if got := h.refusal(access); got != "ok" {
		t.Errorf("bob's token: %s", got)
	}
}

func TestP39_LogoutEndsWhatTheSessionTookOver(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	_, online, id, _ := h.grantOf(b.signIn("ada", client("spa"), scope("openid")), "spa")
	h.want(b.signIn("ada", prompt("login")), "code")
	if got := h.refusal(online); got != "ok" {
		t.Fatalf("the same person again: %s", got)
	}
	h.want(b.logout(login.Logout{IDTokenHint: id}), "signout ask=false") // the hint is of the session that was taken over
	if got := h.refusal(online); got != "invalid_token" {
		t.Error(got)
	}
}

func TestP39_AnotherPersonEndsTheSessionOfTheOneBefore(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	_, online, _, _ := h.grantOf(b.signIn("ada", client("spa"), scope("openid")), "spa")
	old := b.session
	b.forget()
	h.want(b.signIn("bob", prompt("login")), "code")
	if got := h.refusal(online); got != "invalid_token" {
		t.Error(got)
	}
	if _, err := h.sessions.Session(t.Context(), old); err == nil {
		t.Error("the session lives on")
	}
}

func TestP39_ALogoutThatCannotBeWrittenIsSaid(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("ada")
	h.engine.commitErr = errOff
	h.want(b.logout(login.Logout{Confirmed: true}), "page unavailable - 503")
	h.engine.commitErr, h.journal.err = nil, errOff
	h.want(b.logout(login.Logout{Confirmed: true}), "page unavailable - 503")
}

func TestP26_NothingLeavesBeforeItIsDurable(t *testing.T) {
	for name, breaks := range map[string]func(*house){
		"the journal":       func(h *house) { h.journal.err = errOff },
		"the journal's key": func(h *house) { h.journal.nameErr = errOff },
		"the engine writes": func(h *house) { h.engine.commitErr = errOff },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			b := h.browser()
			back := b.atIdP(b.authorize(), "ada")
			breaks(h)
			h.want(b.callback(back), "page unavailable temporarily_unavailable 503")
			if b.session != "" {
				t.Error("a session's cookie left")
			}
		})
		t.Run(name+", single sign-on", func(t *testing.T) {
			h := newHouse(t)
			b := h.browser()
			b.signIn("ada")
			breaks(h)
			h.want(b.authorize(), "page unavailable temporarily_unavailable 503")
		})
	}
	h := newHouse(t)
	b := h.browser()
	back := b.atIdP(b.authorize(), "ada")
	h.journal.panics = true
	h.want(b.callback(back), "page server_error server_error 500")
	if b.session != "" {
		t.Error("a session's cookie left beside a panic")
	}
}

func TestP26_WhoIsRevokedIsNotAdmitted(t *testing.T) {
	revokes := func(kind revoke.Kind, id func(*house) string) func(*house) {
		return func(h *house) {
			h.must(h.revoked.Revoke(h.Context(), kind, id(h), h.clock().Add(time.Minute), h.clock().Add(24*time.Hour)))
		}
	}
	for name, revoke := range map[string]func(*house){
		"the person":   revokes(revoke.KindSubject, func(*house) string { return "acme|ada" }),
		"the upstream": revokes(revoke.KindUpstream, func(*house) string { return "acme" }),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			b := h.browser()
			b.signIn("ada")
			revoke(h)
			a := b.authorize(prompt("none"))
			h.want(a, "error login_required")
			if b.session != "" {
				t.Error("the cookie of a dead session stays")
			}
			h.want(b.signIn("ada"), "page not_admitted access_denied 400")
		})
	}
	t.Run("the session", func(t *testing.T) {
		h := newHouse(t)
		b := h.browser()
		b.signIn("ada")
		s, err := h.sessions.Session(t.Context(), b.session)
		h.must(err)
		h.must(h.revoked.Revoke(t.Context(), revoke.KindSession, s.ID, h.clock(), h.clock().Add(24*time.Hour)))
		h.want(b.authorize(prompt("none")), "error login_required")
		h.want(b.signIn("ada"), "code")
	})
	t.Run("nobody can tell", func(t *testing.T) {
		h := newHouse(t)
		b := h.browser()
		h.want(b.signIn("ada"), "code")
		back := b.atIdP(b.authorize(prompt("login")), "ada")
		h.now = h.now.Add(15 * time.Second) // without a look at the revocations
		h.want(b.authorize(), "page unavailable temporarily_unavailable 503")
		h.want(b.callback(back), "page unavailable temporarily_unavailable 503")
	})
}

func TestStoreDown(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.signIn("ada")
	h.engine.getErr = errOff
	h.want(b.authorize(), "page unavailable temporarily_unavailable 503")
	h.want(b.logout(login.Logout{Confirmed: true}), "page unavailable - 503")
}

func TestIdPErrorsReachTheAppAsACodeAlone(t *testing.T) {
	const markup = "<script>alert(1)</script>\n\x1b[31m"
	for _, c := range []struct{ code, want string }{
		{"access_denied", "page denied access_denied 400"},
		{markup, "page denied access_denied 400"},
		{"temporarily_unavailable", "page upstream_unavailable temporarily_unavailable 503"},
		{"server_error", "page upstream_unavailable temporarily_unavailable 503"},
	} {
		h := newHouse(t)
		b := h.browser()
		h.idps["acme"].DenyAuthorization(c.code, markup)
		a := b.signIn("ada")
		h.want(a, c.want)
		if said := fmt.Sprintf("%+v %+v", a.Failure, a.Failure.Back); strings.Contains(said, "alert") {
			t.Error(said)
		}
		if log := h.log.String(); strings.Contains(log, "\x1b") || strings.Contains(log, "script>\n") {
			t.Error(log)
		}
		if len(a.Failure.Retry) == 0 || a.Failure.Upstream != "ACME" || a.Failure.ClientID != "wiki" {
			t.Errorf("%+v", a.Failure)
		}
	}
}

func TestIdPTrouble(t *testing.T) {
	const down, nonsense = "page upstream_unavailable temporarily_unavailable 503", "page upstream_answer server_error 500"
	type idp = upstreamtest.IdP
	for name, c := range map[string]struct {
		trouble func(*idp)
		late    bool // after the person was sent there
		want    string
	}{
		"down at first":               {func(p *idp) { p.Down(true) }, false, down},
		"no answer at first":          {func(p *idp) { p.Refuse(true) }, false, down},
		"down at token":               {func(p *idp) { p.Token(upstreamtest.Trouble{Status: 503}) }, true, down},
		"nonsense at token":           {func(p *idp) { p.Token(upstreamtest.Trouble{Body: "<html>"}) }, true, nonsense},
		"400 at token":                {func(p *idp) { p.Token(upstreamtest.Trouble{Status: 400, Body: "{}"}) }, true, nonsense},
		"no ID token":                 {func(p *idp) { p.AlterToken(upstreamtest.Without("id_token")) }, true, nonsense},
		"down at userinfo":            {func(p *idp) { p.Userinfo(upstreamtest.Trouble{Status: 500}) }, true, down},
		"nonsense at userinfo":        {func(p *idp) { p.Userinfo(upstreamtest.Trouble{Body: "[]"}) }, true, nonsense},
		"another person at userinfo":  {func(p *idp) { p.AlterUserinfo(upstreamtest.With("sub", "eve")) }, true, nonsense},
		"an ID token for someone":     {func(p *idp) { p.AlterIDToken(upstreamtest.With("aud", "another")) }, true, nonsense},
		"an ID token of someone else": {func(p *idp) { p.AlterIDToken(upstreamtest.With("iss", "https://evil.example")) }, true, nonsense},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			b := h.browser()
			if !c.late {
				c.trouble(h.idps["acme"])
				a := b.authorize()
				h.want(a, c.want)
				if a.Attempt != nil || a.Failure == nil || a.Failure.Retry == nil {
					t.Errorf("%+v", a)
				}
				return
			}
			back := b.atIdP(b.authorize(), "ada")
			c.trouble(h.idps["acme"])
			h.want(b.callback(back), c.want)
			if b.session != "" || len(b.attempts) != 0 {
				t.Error("a session, or an attempt that stays")
			}
		})
	}
}

func TestASlowIdPIsUnavailable(t *testing.T) {
	for path, slow := range map[string]func(*upstreamtest.IdP) func(){"/token": (*upstreamtest.IdP).SlowToken, "/userinfo": (*upstreamtest.IdP).SlowUserinfo} {
		t.Run(path, func(t *testing.T) {
			h := newHouse(t)
			b := h.browser()
			back := b.atIdP(b.authorize(), "ada")
			back.Browser = b.cookies()
			defer slow(h.idps["acme"])()
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan login.Answer)
			go func() { done <- h.Callback(ctx, back) }()
			h.must(h.idps["acme"].WaitRequests(t.Context(), path, 1))
			cancel()
			h.want(<-done, "page upstream_unavailable temporarily_unavailable 503")
		})
	}
}

func TestMappersThatRefuseOrBreak(t *testing.T) {
	h := newHouse(t, func(h *house) {
		h.mappers["acme"] = []mappers.Spec{{Kind: "require", Expression: `claims.sub == "ada"`, Message: "Only Ada."}}
		h.app("strict").Mappers = []mappers.Spec{{Kind: "require", Expression: `claims.name == "Nobody"`, Message: "Nobody."}}
	})
	h.want(h.browser().signIn("bob"), "page not_admitted access_denied 400")
	b := h.browser()
	h.want(b.signIn("ada"), "code")
	h.want(b.authorize(client("strict")), "page not_admitted access_denied 400") // single sign-on is no way around
}

func TestIDTokenHintMeansOnePerson(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	_, _, id, _ := h.grantOf(b.signIn("ada"), "wiki")
	with := func(raw string) func(*login.Request) { return func(r *login.Request) { r.IDTokenHint = raw } }
	h.want(b.authorize(with(id), prompt("none")), "code")
	h.want(b.authorize(with(id), client("spa")), "error invalid_request")
	h.want(b.authorize(with("x")), "error invalid_request")
	h.pass(30 * time.Minute)
	h.want(b.authorize(with(id), prompt("none")), "code") // expired, and still a hint
	other := h.browser()
	h.want(other.signIn("bob"), "code")
	h.want(other.authorize(with(id), prompt("none")), "error login_required")
	h.want(other.authorize(with(id)), "idp")
	other.forget()
	h.want(other.signIn("bob", with(id)), "error login_required")
	h.want(h.browser().signIn("ada", with(id)), "code")
}

func TestP50_LookUpsOfDomainsAreLimited(t *testing.T) {
	h := newHouse(t, func(h *house) { h.limits = limit.NewSet(limit.Spec{Anonymous: "1/s"}) })
	b := h.browser()
	for i := range 12 {
		want := "choose domain"
		if i >= 10 {
			want = "page too_many temporarily_unavailable 429"
		}
		a := b.authorize(email("x@nobody.example"))
		h.want(a, want)
		if a.Failure != nil && a.Failure.RetryAfter < 1 {
			t.Error("no Retry-After")
		}
	}
	h.want(b.authorize(func(r *login.Request) { r.IDPHint, r.LoginHint = "", "x@acme.example" }), "page too_many temporarily_unavailable 429")
	h.want(b.authorize(hint("")), "choose ") // nobody is looked up
}

func TestP50_WhetherAPersonExistsIsNeverShown(t *testing.T) {
	h := newHouse(t)
	h.browser().signIn("ada")
	known, unknown := h.browser().authorize(email("ada@acme.example")), h.browser().authorize(email("nobody@acme.example"))
	h.want(known, "idp")
	h.want(unknown, "idp")
	if k, u := h.browser().authorize(email("ada@other.example")), h.browser().authorize(email("nobody@other.example")); outcome(k) != outcome(u) {
		t.Error(outcome(k), outcome(u))
	}
}

func TestP49_EveryAddressIsLimited(t *testing.T) {
	h := newHouse(t, func(h *house) { h.limits = limit.NewSet(limit.Spec{Address: "1/s"}) })
	b := h.browser()
	for range 10 {
		h.want(b.authorize(), "idp")
	}
	h.want(b.authorize(), "page too_many - 429")
	h.want(b.callback(login.Callback{DecisionID: decision, Peer: peer}), "page too_many - 429")
	h.want(b.logout(login.Logout{}), "page too_many - 429")
	if got := h.refusal("x"); got != "temporarily_unavailable" {
		t.Error(got)
	}
}

func TestPanicsAreCaught(t *testing.T) {
	h := newHouse(t, func(h *house) { h.panics = "acme" })
	b := h.browser()
	h.want(b.signIn("ada"), "page server_error server_error 500")
	if !strings.Contains(h.log.String(), "panic in a request") {
		t.Error("the operator is not told")
	}
}

func TestNothingSecretIsLoggedOrJournalled(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	a := b.authorize()
	back := b.atIdP(a, "ada")
	done := b.callback(back)
	code := param(done.Reply, "code")
	_, access, _, _ := h.grantOf(done, "wiki")
	h.info(access)
	all := h.log.String() + strings.Join(h.journal.durable, "\n") + strings.Join(h.journal.queued, "\n")
	for _, secret := range []string{code, a.Attempt.Value, b.session, back.Params.Get("code"), access, "Ada", "ada@acme.example", "app-state", "app-nonce"} {
		if strings.Contains(all, secret) {
			t.Errorf("%s is told", secret)
		}
	}
	if len(h.journal.durable) != 1 || !strings.Contains(h.journal.durable[0], decision) {
		t.Error(h.journal.durable)
	}
}

func TestHostileCookies(t *testing.T) {
	h := newHouse(t)
	b := h.browser()
	b.session = strings.Repeat("x", 5000)
	good := b.authorize()
	b.attempts = append(b.attempts, login.Sealed{}, login.Sealed{ID: "x", Value: "="}, login.Sealed{ID: strings.Repeat("y", 300), Value: strings.Repeat("A", 5000)})
	a := b.authorize()
	h.want(a, "idp")
	if a.Attempt == nil || slices.Contains(a.Attempt.Drop, good.Attempt.ID) || len(b.attempts) != 2 {
		t.Errorf("%+v", a.Attempt)
	}
	h.want(b.callback(b.atIdP(a, "ada")), "code")
}
