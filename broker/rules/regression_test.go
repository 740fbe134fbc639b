package rules

import (
	"strings"
	"testing"

	"fedbroker/broker/oauth"
)

// octo-sts and fulcio GHSA-59jp-pj84-45mr: "^" and "$" around a pattern with alternatives hold each half at one end only.
func TestRegression_HalfAnchoredPattern(t *testing.T) {
	const head, tail = "- id: r\n  subject: {upstream: acme, when: claims.sub.matches(r'", "')}\n  requester: {clients: [gateway]}\n  grant: {audiences: [orders]}\n"
	for _, pattern := range []string{`^repo:a/x:.*|repo:b/y:.*$`, `^(repo:a/x:.*)|(repo:b/y:.*)$`, `repo:a/x:.*`, `^repo:a/x:.*`, `repo:a/x:.*$`, `^repo:a/x:.*$`} {
		o := world()
		o.Rules = rulesOf(t, head+pattern+tail)
		if got := problems(o); len(got) != 1 || !strings.HasPrefix(got[0], "exchange[0].subject.when: ") {
			t.Errorf("%s: problems %q", pattern, got)
		}
	}
	set := compile(t, head+`^(?:repo:a/x:.*|repo:b/y:.*)$`+tail)
	for sub, good := range map[string]bool{
		"repo:a/x:ref:main": true, "repo:b/y:ref:main": true,
		"repo:evil/z:ref:repo:b/y:main": false, "evil repo:a/x:": false, "repo:a/x:\nrepo:evil/z": false, "\nrepo:b/y:main": false, "repo:b/y:main\n": false, "": false,
	} {
		s := external()
		s.Claims["sub"] = sub
		if _, err := set.Decide(by(s, client("gateway"), "orders"), nil); (err == nil) != good {
			t.Errorf("%q: %v", sub, err)
		}
	}
}

// octo-sts: an absent policy allowed everything. An absent part of one does not, either.
func TestRegression_AbsentPolicyAllows(t *testing.T) {
	empty := compile(t, "[]")
	if empty.HasAnonymous() || empty.KnowsUpstream("acme") || empty.Reaches(client("gateway"), nil, "") || empty.Reaches(client("gateway"), []string{"orders"}, "") {
		t.Error("a policy of no rules leads somewhere")
	}
	if err := empty.Admits(*client("gateway")); oauth.AsError(err).Code != oauth.CodeUnauthorizedClient {
		t.Errorf("admits: %v", err)
	}
	for _, s := range []*Subject{external(), own("orders.read")} {
		if m, err := empty.Decide(by(s, client("gateway"), "orders"), nil); err == nil || m.Rule != nil {
			t.Errorf("decides: %+v", m)
		}
	}
	for path, text := range map[string]string{
		"exchange[0].subject:":           "- {id: r, requester: {clients: [gateway]}, grant: {audiences: [orders]}}",
		"exchange[0].requester:":         "- {id: r, subject: {upstream: acme}, grant: {audiences: [orders]}}",
		"exchange[0].grant.audiences:":   "- {id: r, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {scopes: [a]}}",
		"exchange[0].subject: ":          "- {id: r, subject: {}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}",
		"exchange[0].requester.clients:": "- {id: r, subject: {upstream: acme}, requester: {}, grant: {audiences: [orders]}}",
		"exchange[0].grant.audiences: ":  "- {id: r, subject: {upstream: acme}, requester: {clients: [gateway]}}",
	} {
		o := world()
		o.Rules = rulesOf(t, text)
		if got := problems(o); len(got) != 1 || !strings.HasPrefix(got[0], path) {
			t.Errorf("%s: problems %q, want one at %s", text, got, path)
		}
	}
}
