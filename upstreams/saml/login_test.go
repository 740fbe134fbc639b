package saml_test

import (
	"testing"
	"time"

	"fedbroker/upstreams/upstreamtest/samlidp"
)

func TestP42_ALogin(t *testing.T) {
	w := newWorld(t)
	id, err := w.finish(w.reply(func(r *samlidp.Reply) {
		r.Authenticated = now.Add(-time.Minute)
		r.Attributes = [][]string{{"mail", "alice@acme.example"}, {"groups", "a", "b"}, {"groups", "c"}, {"none"}}
	}))
	if err != nil {
		t.Fatal(err)
	}
	groups, _ := id.Claims["groups"].([]any)
	if id.Subject != "alice-1" || id.BrokerSubject != "acme|alice-1" || id.Upstream != "acme" || id.Issuer != idpID || id.Claims["mail"] != "alice@acme.example" ||
		len(groups) != 3 || groups[2] != "c" || id.Claims["sub"] != "alice-1" || id.Claims["iss"] != idpID || id.SessionID != "session-1" || id.ACR != "pwd" ||
		!id.AuthTime.Equal(now.Add(-time.Minute)) || id.Audience != entityID || id.JTI == "" || id.TokenID == "" || id.KeyID == "" || !id.Expires.Equal(now.Add(5*time.Minute)) {
		t.Errorf("got %+v", id)
	}
	if _, has := id.Claims["none"]; has {
		t.Error("an attribute without value has one")
	}
}

func TestP42_ManyGroups(t *testing.T) {
	w := newWorld(t)
	id, err := w.finish(w.reply(func(r *samlidp.Reply) {
		r.SignResponse = true
		r.Attributes = [][]string{{"groups"}}
		for range 850 {
			r.Attributes[0] = append(r.Attributes[0], "a")
		}
	}))
	if groups, _ := id.Claims["groups"].([]any); err != nil || len(groups) != 850 {
		t.Errorf("got %d groups, %v", len(groups), err)
	}
}
