package broker_test

import (
	"strings"
	"testing"

	"fedbroker/broker/oauth"
	"fedbroker/broker/operator"
)

func TestOperator_EndsSessionsAndWhatLivesByThem(t *testing.T) {
	o := loginOptions(t)
	b := open(t, o)
	code, g := signIn(t, o)
	first, err := b.Token(t.Context(), byPost("wiki", oauth.GrantAuthorizationCode, "code", code, "redirect_uri", wikiCallback))
	if err != nil {
		t.Fatal(err)
	}
	acts := b.Operator()
	for name, q := range map[string]operator.SessionQuery{"all": {}, "person": {Subject: "acme|ada"}} {
		found, err := acts.Sessions(t.Context(), q)
		if err != nil || len(found) != 1 || found[0].ID != g.SessionID || found[0].Subject != "acme|ada" || found[0].Upstream != "acme" || found[0].Expires.IsZero() {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
	if found, err := acts.Sessions(t.Context(), operator.SessionQuery{Subject: "acme|bob"}); err != nil || len(found) != 0 {
		t.Errorf("bob: %+v, %v", found, err)
	}
	journal := o.Journal.(*lines)
	journal.taken()
	ended, err := acts.EndSessions(t.Context(), operator.SessionSelection{Subject: "acme|ada"})
	if err != nil || len(ended) != 1 || ended[0] != g.SessionID {
		t.Fatalf("%v, %v", ended, err)
	}
	if told := strings.Join(journal.taken(), "\n"); !strings.Contains(told, `"kind":"session_end","outcome":"done"`) || !strings.Contains(told, g.SessionID) || strings.Contains(told, "ada") {
		t.Errorf("journal %s", told)
	}
	if found, err := acts.Sessions(t.Context(), operator.SessionQuery{}); err != nil || len(found) != 0 {
		t.Errorf("left: %+v, %v", found, err)
	}
	// This grant is an offline one: it outlives the session (P39), and ends with the person's revocation.
	if active := introspected(t, b, first.AccessToken); !strings.Contains(active, `"active":true`) {
		t.Errorf("offline: %s", active)
	}
	if err := acts.Revoke(t.Context(), operator.Revocation{Kind: "subject", ID: "acme|ada"}); err != nil {
		t.Fatal(err)
	}
	if active := introspected(t, b, first.AccessToken); active != `{"active":false}` {
		t.Errorf("after the person's revocation: %s", active)
	}
}

func TestOperator_RefusesSelectionsThatAreNone(t *testing.T) {
	acts := open(t, loginOptions(t)).Operator()
	for name, which := range map[string]operator.SessionSelection{
		"nothing": {}, "two ways": {ID: "a", Subject: "b"}, "half an upstream": {Upstream: "acme"}, "person and upstream": {Subject: "a", Upstream: "acme", UpstreamSID: "s"},
		"unknown": {ID: "6742f0a1AAAAAAAAAAAAAAAAAAAAAA"}, "malformed": {ID: "../../x"},
	} {
		if ended, err := acts.EndSessions(t.Context(), which); !isAct(err) || len(ended) > 0 {
			t.Errorf("%s: %v, %v", name, ended, err)
		}
	}
	for name, q := range map[string]operator.SessionQuery{"limit": {Limit: 1001}, "negative": {Limit: -1}, "half": {UpstreamSID: "s"}} {
		if _, err := acts.Sessions(t.Context(), q); !isAct(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if ended, err := acts.EndSessions(t.Context(), operator.SessionSelection{Subject: "nobody"}); err != nil || ended == nil || len(ended) != 0 {
		t.Errorf("nobody: %v, %v", ended, err)
	}
}
