package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"fedbroker/broker/login"
	"fedbroker/broker/web/pages"
)

const hostile = `"><script>alert(1)</script>&'` + "\u202e"

func TestAnswer_ReplyByQueryKeepsTheURIsOwn(t *testing.T) {
	h, j := judged(t)
	params := [][2]string{{"code", "c"}, {"state", "a b&c=d#é"}, {"iss", issuer}}
	query := "code=c&state=a+b%26c%3Dd%23%C3%A9&iss=https%3A%2F%2Flogin.test%2Ffed"
	for uri, want := range map[string]string{
		"https://wiki.test/cb":                 "https://wiki.test/cb?" + query,
		"https://wiki.test/cb?":                "https://wiki.test/cb?" + query,
		"https://wiki.test/cb?a=b":             "https://wiki.test/cb?a=b&" + query,
		"https://wiki.test/cb?a=b&":            "https://wiki.test/cb?a=b&" + query,
		"https://wiki.test/cb?code=x&a=%20b+c": "https://wiki.test/cb?code=x&a=%20b+c&" + query,
		"https://wiki.test":                    "https://wiki.test?" + query,
		"com.example.app:/cb":                  "com.example.app:/cb?" + query,
		"http://127.0.0.1:4711/cb":             "http://127.0.0.1:4711/cb?" + query,
	} {
		t.Run(uri, func(t *testing.T) {
			j.afresh()
			j.answer = login.Answer{Reply: &login.Reply{RedirectURI: uri, Params: params}}
			a := h.do(get("/authorize", asking()))
			if a.status != http.StatusSeeOther || a.header.Get("Location") != want || a.raw != "" {
				t.Errorf("%d %s %s, want %s", a.status, a.header.Get("Location"), a.raw, want)
			}
			if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "no-referrer" || a.header.Get("Decision-Id") == "" {
				t.Errorf("header %v", a.header)
			}
		})
	}
}

func TestAnswer_ReplyByFormPostIsEscaped(t *testing.T) {
	h, j := judged(t)
	j.answer = login.Answer{Reply: &login.Reply{RedirectURI: "https://wiki.test/cb?a=b", Params: [][2]string{{"code", "c"}, {"state", hostile}}, FormPost: true}}
	a := h.do(get("/authorize", asking()))
	isPage(t, a, http.StatusOK)
	if got := inputs(a.raw); got.Get("code") != "c" || got.Get("state") != hostile || len(got) != 2 {
		t.Errorf("form %v", got)
	}
	if strings.Contains(a.raw, "alert(1)</script>") || !strings.Contains(a.raw, `action="https://wiki.test/cb?a=b"`) || !strings.Contains(a.raw, `method="post"`) {
		t.Errorf("page %s", a.raw)
	}
	policy := a.header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "form-action https://wiki.test") || !strings.Contains(policy, "script-src 'sha256-") {
		t.Errorf("policy %q", policy)
	}
}

func TestAnswer_ChooserLeadsToTheSameRequest(t *testing.T) {
	request := [][2]string{{"client_id", "wiki"}, {"redirect_uri", "https://wiki.test/cb"}, {"state", hostile}, {"idp_hint", "globex"}}
	h, j := judged(t)
	j.answer = login.Answer{Choose: &login.Choice{
		ClientID: "wiki", Upstreams: []login.Option{{Name: "acme", Display: "Acme"}, {Name: "globex"}}, Params: request, Email: hostile, Problem: login.ProblemDomain,
	}}
	a := h.do(get("/authorize", asking()))
	isPage(t, a, http.StatusOK)
	for _, name := range []string{"acme", "globex"} {
		want := "/fed/authorize?client_id=wiki&amp;redirect_uri=https%3A%2F%2Fwiki.test%2Fcb&amp;state=" + url.QueryEscape(hostile) + "&amp;idp_hint=" + name
		if !strings.Contains(a.raw, `href="`+want+`"`) {
			t.Errorf("no link to %s in %s", want, a.raw)
		}
	}
	if !strings.Contains(a.raw, `action="/fed/login"`) || strings.Contains(a.raw, "<script>") || !strings.Contains(a.raw, "know an organisation for that address") {
		t.Errorf("page %s", a.raw)
	}
	if got := inputs(a.raw); got.Get("state") != hostile || got.Get("client_id") != "wiki" {
		t.Errorf("form %v", got)
	}
	if policy := a.header.Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https:") || strings.Contains(policy, " http:") {
		t.Errorf("policy %q", policy)
	}
}

func TestAnswer_ChooserOfALoopbackIssuerMayLeadToLoopback(t *testing.T) {
	h, j := judged(t, onLoopback)
	j.answer = login.Answer{Choose: &login.Choice{ClientID: "wiki", Upstreams: []login.Option{{Name: "acme"}}}}
	if policy := h.do(get("/authorize", asking())).header.Get("Content-Security-Policy"); !strings.Contains(policy, "http://127.0.0.1:*") {
		t.Errorf("policy %q", policy)
	}
}

func TestAnswer_Failure(t *testing.T) {
	h, j := judged(t)
	reply := login.Reply{RedirectURI: "https://wiki.test/cb?a=b", Params: [][2]string{{"error", "access_denied"}, {"state", hostile}}}
	posted := reply
	posted.FormPost = true
	for name, tt := range map[string]struct {
		failure login.Failure
		want    []string
		lacks   []string
	}{
		"no way back":      {login.Failure{Kind: login.FailureUnknownClient, Status: 400}, nil, []string{"<form", "<a "}},
		"way back":         {login.Failure{Kind: login.FailureDenied, Status: 403, ClientID: "wiki", Upstream: hostile, Back: &reply}, []string{`href="https://wiki.test/cb?a=b&amp;error=access_denied&amp;state=` + url.QueryEscape(hostile) + `"`}, []string{"<script>"}},
		"way back by form": {login.Failure{Kind: login.FailureUpstreamUnavailable, Status: 503, RetryAfter: 7, Back: &posted}, []string{`action="https://wiki.test/cb?a=b"`, `name="error" value="access_denied"`}, []string{"<script>"}},
		"begin again":      {login.Failure{Kind: login.FailureExpired, Status: 400, Retry: [][2]string{{"client_id", "wiki"}, {"state", hostile}}}, []string{`href="/fed/authorize?client_id=wiki&amp;state=` + url.QueryEscape(hostile) + `"`}, []string{"<script>"}},
	} {
		t.Run(name, func(t *testing.T) {
			j.afresh()
			j.answer = login.Answer{Failure: &tt.failure}
			a := h.do(get("/callback/acme", url.Values{"state": {"s"}}))
			isPage(t, a, tt.failure.Status)
			if got := a.header.Get("Retry-After"); (got == "7") != (tt.failure.RetryAfter == 7) {
				t.Errorf("Retry-After %q", got)
			}
			if !strings.Contains(a.raw, a.header.Get("Decision-Id")) {
				t.Error("the page does not show its reference")
			}
			for _, want := range tt.want {
				if !strings.Contains(a.raw, want) {
					t.Errorf("no %s in %s", want, a.raw)
				}
			}
			for _, not := range tt.lacks {
				if strings.Contains(a.raw, not) {
					t.Errorf("%s in %s", not, a.raw)
				}
			}
		})
	}
}

func TestAnswer_EveryFailureHasWordsOfItsOwn(t *testing.T) {
	for _, kind := range []login.FailureKind{
		login.FailureUnknownClient, login.FailureRedirect, login.FailureRequest, login.FailureExpired, login.FailureOtherBrowser, login.FailureWrongUpstream, login.FailureDenied,
		login.FailureUpstreamUnavailable, login.FailureUpstreamAnswer, login.FailureNotAdmitted, login.FailureTooMany, login.FailureUnavailable, login.FailureServerError,
	} {
		if !slices.Contains(pages.Kinds(), string(kind)) {
			t.Errorf("no words for %s", kind)
		}
	}
}

// What is wrong with us is told to the operator, and to the person in words that tell nothing.
func TestAnswer_OursToBlame(t *testing.T) {
	h, j := judged(t)
	for name, answer := range map[string]login.Answer{
		"nothing":                   {},
		"a page that can't be made": {Reply: &login.Reply{RedirectURI: "javascript:hush", FormPost: true}},
		"a way back that is no way": {Failure: &login.Failure{Kind: login.FailureDenied, Status: 403, Back: &login.Reply{RedirectURI: "data:hush"}}},
	} {
		t.Run(name, func(t *testing.T) {
			j.afresh()
			j.answer = answer
			a := h.do(get("/authorize", asking()))
			isPage(t, a, http.StatusInternalServerError)
			if lines := h.log.of(t, a.header.Get("Decision-Id")); len(lines) != 1 || lines[0]["code"] != "server_error" || strings.Contains(a.raw, "hush") {
				t.Errorf("log %v, page %s", lines, a.raw)
			}
		})
	}
}
