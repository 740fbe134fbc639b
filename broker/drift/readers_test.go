package drift_test

import (
	"fmt"
	"slices"
	"testing"

	"fedbroker/broker/clients"
	"fedbroker/broker/drift"
	"fedbroker/broker/rules"
	"fedbroker/broker/settings"
	"fedbroker/broker/snapshot"
	"fedbroker/mappers"
	"fedbroker/upstreams"
)

const hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func compiled(t *testing.T) *snapshot.Snapshot {
	t.Helper()
	gateway := &rules.RequesterSpec{Clients: []string{"gateway"}}
	give := func(audience string, claims ...string) *rules.GrantSpec {
		g := &rules.GrantSpec{Audiences: []string{audience}}
		if claims != nil {
			g.Claims = &claims
		}
		return g
	}
	c := settings.Config{
		Issuer: "https://login.test",
		Scopes: map[string][]string{"billing": {"cost_center"}},
		Upstreams: []settings.UpstreamSpec{
			{Spec: upstreams.Spec{
				Name: "acme", Kind: "oidc", Issuer: "https://acme.test", ClientID: "broker", ClientSecret: "s", Subject: upstreams.Claims{"tid", "oid"},
				ACRMap: map[string]string{"gold": "aal2"}, Audiences: []upstreams.Audience{{Value: "gateway-at-acme", Requesters: []string{"gateway"}}},
			}, Mappers: []mappers.Spec{
				{Kind: "require", Expression: `claims.email_verified == true`},
				{Kind: "rename", From: "/realm_access/roles", To: "roles"},
				{Kind: "groups", From: "roles", Keep: []string{"eng-.*"}},
				{Kind: "lookup", From: "department", To: "cost_center", Table: map[string]any{"sales": "200"}},
				{Kind: "cel", Claim: "display", Expression: `claims.given_name + " of " + str(principal.cost_center)`},
			}},
			{Spec: upstreams.Spec{Name: "ci", Kind: "jwt", Preset: "github-actions", Audiences: []upstreams.Audience{{Value: "https://login.test"}}}},
		},
		Clients: []clients.Spec{
			{ID: "gateway", SecretSHA256: hash, GrantTypes: []string{"token-exchange"}},
			{ID: "wiki", SecretSHA256: hash, GrantTypes: []string{"authorization_code"}, RedirectURIs: []string{"https://wiki.test/cb"}, Upstreams: []string{"acme"},
				Mappers: []mappers.Spec{{Kind: "rename", From: "display", To: "title"}}},
		},
		Exchange: []rules.Spec{
			{ID: "partner-orders", Subject: &rules.SubjectSpec{Upstream: "acme", When: `"acme:eng-orders" in principal.groups && claims.realm_access.size() > 0`}, Requester: gateway, Grant: give("orders", "cost_center")},
			{ID: "tenant", Subject: &rules.SubjectSpec{Upstream: "acme", When: `claims.tid == "x"`}, Requester: gateway, Grant: give("tenants")},
			{ID: "onwards", Subject: &rules.SubjectSpec{Issued: true, When: `"acme:eng-orders" in claims.groups`}, Requester: gateway, Grant: give("billing")},
			{ID: "deploy", Subject: &rules.SubjectSpec{Upstream: "ci", When: `claims.repository_owner_id == "1" && "acme:eng-ops" in actor.groups`}, Requester: gateway,
				Actor: &rules.ActorSpec{Required: true, Upstream: "acme", When: `actor.display != ""`}, Grant: give("deploy")},
		},
	}
	return snapshot.Compile(c, snapshot.Parts{}, func(path, format string, args ...any) { t.Errorf("%s: %s", path, fmt.Sprintf(format, args...)) }, func(string, string, ...any) {})
}

func TestFind_NamesEveryReaderOfWhatChanged(t *testing.T) {
	s := compiled(t)
	for _, tc := range []struct {
		name, upstream string
		path           []string
		want           []string
	}{
		{"a member that is mapped, and what is made of it, in rules of three sorts", "acme", []string{"realm_access", "roles"}, []string{
			"mappers[1] rename", "mappers[2] groups", "exchange partner-orders (subject.when)", "exchange onwards (subject.when, by groups of our tokens)",
			"exchange deploy (subject.when, by principal.groups)", "scope groups",
		}},
		{"a member beside it: what reads the whole claim", "acme", []string{"realm_access", "verify"}, []string{"exchange partner-orders (subject.when)"}},
		{"some member", "acme", []string{"realm_access", "*"}, []string{
			"mappers[1] rename", "mappers[2] groups", "exchange partner-orders (subject.when)", "exchange onwards (subject.when, by groups of our tokens)",
			"exchange deploy (subject.when, by principal.groups)", "scope groups",
		}},
		{"a step that reads what another made, a scope, a client's mapper, a rule's claims", "acme", []string{"department"}, []string{
			"mappers[3] lookup", "mappers[4] cel", "exchange partner-orders (grant.claims, by principal.cost_center)", "exchange deploy (actor.when, by principal.display)", "scope billing", "client wiki, mappers[0] rename",
		}},
		{"the subject, and a rule on the claim itself", "acme", []string{"tid"}, []string{"subject", "exchange tenant (subject.when)"}},
		{"the e-mail rule", "acme", []string{"email_verified"}, []string{"email_domains", "mappers[0] require", "scope email"}},
		{"a standard claim that passes by itself", "acme", []string{"nickname"}, []string{"scope profile"}},
		{"a standard claim of an upstream without logins", "ci", []string{"nickname"}, nil},
		{"acr, with a map", "acme", []string{"acr"}, []string{"acr_map"}},
		{"acr, without one", "ci", []string{"acr"}, nil},
		{"what the protocol reads", "acme", []string{"exp"}, []string{"verification"}},
		{"what nobody reads", "acme", []string{"shoe_size"}, nil},
		{"an owner, which the preset reads", "ci", []string{"repository_owner_id"}, []string{"preset github-actions, condition 1", "exchange deploy (subject.when)"}},
	} {
		r, known := drift.Of(s, tc.upstream)
		if got := r.Find(tc.path); !known || !slices.Equal(got, tc.want) {
			t.Errorf("%s\ngot  %q\nwant %q", tc.name, got, tc.want)
		}
	}
	if _, known := drift.Of(s, "nobody"); known {
		t.Error("knows an upstream that is not configured")
	}
}
