package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/oauth"
	"fedbroker/broker/operator"
	"fedbroker/broker/rules"
	"fedbroker/broker/web"
	"fedbroker/mappers"
	"fedbroker/store"
)

func TestExchange_BothKinds(t *testing.T) {
	h := newHouse(t)
	first := h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")})
	if first.status != http.StatusOK {
		t.Fatalf("%d %s", first.status, first.raw)
	}
	if want := map[string]any{"access_token": first.text("access_token"), "issued_token_type": oauth.TypeAccessToken, "token_type": "Bearer", "expires_in": 300.0, "scope": "orders.read"}; !reflect.DeepEqual(first.body, want) {
		t.Errorf("answer %s", first.raw)
	}
	if len(first.header.Get("Decision-Id")) < 22 || first.header.Get("Cache-Control") != "no-store" || first.header.Get("Pragma") != "no-cache" {
		t.Errorf("header %v", first.header)
	}
	one := claimsOf(t, first.text("access_token"))
	for name, want := range map[string]any{
		"iss": issuer, "sub": "acme|alice", "client_id": "gateway", "scope": "orders.read", "upstream": map[string]any{"name": "acme"}, "groups": []any{"acme:orders"},
	} {
		if !reflect.DeepEqual(one[name], want) {
			t.Errorf("%s = %v, want %v", name, one[name], want)
		}
	}
	second := h.do(call{path: "/token", form: exchangeForm(first.text("access_token"), "billing"), header: as("orders-api")})
	if second.status != http.StatusOK || second.text("scope") != "billing.read" {
		t.Fatalf("%d %s", second.status, second.raw)
	}
	two := claimsOf(t, second.text("access_token"))
	if two["sub"] != one["sub"] || two["client_id"] != "orders-api" || two["origin_exp"] != one["origin_exp"] {
		t.Errorf("second token %v", two)
	}
}

func TestExchange_WithoutScopeNamedStatesScope(t *testing.T) {
	h := newHouse(t)
	a := h.do(call{path: "/token", form: exchangeForm(h.partner(), "vault"), header: as("gateway")})
	if scope, present := a.body["scope"]; a.status != http.StatusOK || !present || scope != "" {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestP35_ClientCredentials(t *testing.T) {
	h := newHouse(t)
	a := h.do(call{path: "/token", form: url.Values{"grant_type": {"client_credentials"}, "scope": {"orders.read"}}, header: as("gateway")})
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if _, present := a.body["issued_token_type"]; present {
		t.Errorf("issued_token_type outside an exchange: %s", a.raw)
	}
	c := claimsOf(t, a.text("access_token"))
	if _, present := c["upstream"]; present || c["sub"] != "gateway" || c["client_id"] != "gateway" || c["scope"] != "orders.read" {
		t.Errorf("claims %v", c)
	}
}

func TestP26_JournalLineIsTheLineageEdge(t *testing.T) {
	h := newHouse(t)
	first := h.exchanged()
	a := h.do(call{path: "/token", form: exchangeForm(first, "billing"), header: as("orders-api")})
	if a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	one, two := claimsOf(t, first), claimsOf(t, a.text("access_token"))
	lines := h.lines() // both answers have left, so both lines are durable
	if len(lines) != 2 {
		t.Fatalf("lines %v", lines)
	}
	l := lines[1]
	for name, want := range map[string]any{
		"kind": "token", "outcome": "done", "decision_id": a.header.Get("Decision-Id"), "grant": "token-exchange", "client_id": "orders-api", "upstream": "acme", "rule": "orders-to-billing",
		"audiences": []any{"billing"}, "scopes": []any{"billing.read"}, "jti": two["jti"], "exp": two["exp"], "iat": two["iat"], "token_type": "access_token", "parents": []any{one["jti"]},
	} {
		if !reflect.DeepEqual(l[name], want) {
			t.Errorf("%s = %v, want %v", name, l[name], want)
		}
	}
	if parents, _ := lines[0]["parents"].([]any); len(parents) != 1 || lines[0]["jti"] != one["jti"] {
		t.Errorf("first line %v", lines[0])
	}
	for _, l := range lines { // P48: not the name, but one that can be erased
		text, err := json.Marshal(l)
		if err != nil || strings.Contains(string(text), "alice") {
			t.Errorf("line %s, %v", text, err)
		}
		if s, _ := l["subject"].(map[string]any); s["mac"] == "" || s["sealed"] == "" || s["mac"] != lines[0]["subject"].(map[string]any)["mac"] {
			t.Errorf("subject %v", l["subject"])
		}
	}
}

func TestP26_RefusalIsJournalledOnlyAfterClientAuthentication(t *testing.T) {
	h := newHouse(t)
	before := []call{
		{path: "/token", form: exchangeForm(h.partner(), "orders"), header: basic("gateway", "wrong")},
		{path: "/token", form: url.Values{"grant_type": {"x"}}},
		{path: "/token", form: exchangeForm(h.job(set("repository_owner_id", "6")), deploy)}, // nobody authenticated
		{path: "/token", form: with(exchangeForm(h.partner(), "orders"), "client_id", "spa")},
		{method: http.MethodGet, path: "/token"},
	}
	for _, c := range before {
		if a := h.do(c); a.status < 400 {
			t.Fatalf("%d %s", a.status, a.raw)
		}
	}
	after := h.do(call{path: "/token", form: exchangeForm(h.partner(), "billing"), header: as("gateway")})
	h.exchanged() // waits for all that was queued before it
	lines := h.lines()
	if len(lines) != 2 {
		t.Fatalf("lines %v", lines)
	}
	l := lines[0]
	if l["outcome"] != "denied" || l["code"] != "invalid_target" || l["reason"] != "target" || l["client_id"] != "gateway" || l["decision_id"] != after.text("decision_id") || l["upstream"] != "acme" {
		t.Errorf("line %v", l)
	}
	if l["jti"] != nil || l["exp"] != nil {
		t.Errorf("a refusal issued something: %v", l)
	}
}

func TestP38_Introspection(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) {
		c.Upstreams[0].Mappers = append(c.Upstreams[0].Mappers, mappers.Spec{Kind: "set", Claim: "tenant", Value: "acme"})
		aged := 5 * time.Minute // nobody runs the broker's loops here
		c.RevocationMaxStale = &aged
	})
	short := h.partner(set("exp", h.clock().Add(2*time.Minute).Unix()))
	token := h.do(call{path: "/token", form: exchangeForm(short, "orders"), header: as("gateway")}).text("access_token")
	claims := claimsOf(t, token)
	ask := func(client, token string) answer {
		return h.do(call{path: "/introspect", form: url.Values{"token": {token}, "token_type_hint": {"refresh_token"}}, header: as(client)})
	}
	for _, client := range []string{"gateway", "orders-api"} { // its owner; its audience, by identifier
		a := ask(client, token)
		want := map[string]any{
			"active": true, "iss": issuer, "sub": "acme|alice", "client_id": "gateway", "aud": []any{"orders"}, "scope": "orders.read", "token_type": "Bearer",
			"iat": claims["iat"], "exp": claims["exp"], "jti": claims["jti"], "upstream": map[string]any{"name": "acme"}, "groups": []any{"acme:orders"}, "tenant": "acme",
		}
		if a.status != http.StatusOK || !reflect.DeepEqual(a.body, want) {
			t.Errorf("%s: %d %s", client, a.status, a.raw)
		}
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Decision-Id") == "" {
			t.Errorf("header %v", a.header)
		}
	}
	inactive := func(name, client, token string) {
		t.Helper()
		if a := ask(client, token); a.status != http.StatusOK || strings.TrimSpace(a.raw) != `{"active":false}` {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
	inactive("neither audience nor owner", "bystander", token)
	inactive("no JWT", "gateway", "opaque")
	inactive("an upstream's token", "gateway", h.partner())
	inactive("a changed signature", "gateway", token[:len(token)-4]+"AAAA")
	h.now.Store(int64(claims["exp"].(float64)))
	inactive("expired by our own clock, without leeway", "gateway", token)
}

func TestP38_IntrospectionNeedsAnAuthenticatedClient(t *testing.T) {
	h := newHouse(t) // has an anonymous rule: of no consequence here
	token := h.exchanged()
	want := refused{401, oauth.CodeInvalidClient, oauth.ReasonClientCredentials}
	h.checkRefusal(t, h.do(call{path: "/introspect", form: url.Values{"token": {token}}}), want)
	h.checkRefusal(t, h.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: basic("gateway", "wrong")}), want)
	h.checkRefusal(t, h.do(call{path: "/introspect", form: url.Values{"token": {token}, "client_id": {"spa"}}}), want)
	h.checkRefusal(t, h.do(call{path: "/introspect", form: url.Values{"x": {"y"}}, header: as("gateway")}), invalidRequest(400, oauth.ReasonParameter))
	h.checkRefusal(t, h.do(call{method: http.MethodGet, path: "/introspect?token=" + token, header: as("gateway")}), invalidRequest(405, oauth.ReasonFormRules))
}

func TestP38_Revocation(t *testing.T) {
	h := newHouse(t)
	parent := h.exchanged()
	child := h.do(call{path: "/token", form: exchangeForm(parent, "billing"), header: as("orders-api")}).text("access_token")
	other := h.exchanged()
	active := func(client, token string) bool {
		return h.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: as(client)}).body["active"] == true
	}
	if !active("gateway", parent) || !active("orders-api", child) || !active("gateway", other) {
		t.Fatal("not active before")
	}
	revoke := func(client, token string) answer {
		return h.do(call{path: "/revoke", form: url.Values{"token": {token}}, header: as(client)})
	}
	h.checkRefusal(t, revoke("orders-api", parent), invalidRequest(400, oauth.ReasonGrantNotAllowed)) // its audience, not its client
	h.checkRefusal(t, h.do(call{path: "/revoke", form: url.Values{"token": {parent}}}), refused{401, oauth.CodeInvalidClient, oauth.ReasonClientCredentials})
	if !active("gateway", parent) {
		t.Fatal("revoked by somebody else")
	}
	for name, token := range map[string]string{"unknown": "nonsense", "an upstream's": h.partner(), "good": parent, "again": parent} {
		if a := revoke("gateway", token); a.status != http.StatusOK || a.raw != "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %s %v", name, a.status, a.raw, a.header)
		}
	}
	if a := revoke("gateway", parent); a.status != http.StatusOK {
		t.Errorf("dead already: %d %s", a.status, a.raw)
	}
	if active("gateway", parent) || active("orders-api", child) {
		t.Error("parent or descendant active after revocation")
	}
	if !active("gateway", other) {
		t.Error("another token died, too")
	}
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(parent, "billing"), header: as("orders-api")}), invalidRequest(400, oauth.ReasonRevoked))
	if !slices.ContainsFunc(h.lines(), func(l map[string]any) bool {
		return l["kind"] == "revocation" && l["jti"] == claimsOf(t, parent)["jti"]
	}) {
		t.Error("no line of the revocation")
	}
}

// A token passes for leeway beyond its exp, and so does what came of it: the record must be there as long.
func TestP26_RevocationIsKeptAsLongAsTheTokenPasses(t *testing.T) {
	h := newHouse(t)
	token := h.exchanged()
	if a := h.do(call{path: "/revoke", form: url.Values{"token": {token}}, header: as("gateway")}); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	rows, err := h.engine.Scan(t.Context(), "revocations", store.Range{Limit: 10})
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d records, %v", len(rows), err)
	}
	origin := time.Unix(int64(claimsOf(t, token)["origin_exp"].(float64)), 0)
	if passes := origin.Add(30 * time.Second); rows[0].Expires.Before(passes) {
		t.Errorf("kept until %v, want %v", rows[0].Expires, passes)
	}
}

func TestP38_RevocationNotDurable(t *testing.T) {
	h := newHouse(t)
	token := h.exchanged()
	h.engine.fail(errDisk)
	want := refused{503, oauth.CodeTemporarilyUnavailable, oauth.ReasonNotDurable}
	h.checkRefusal(t, h.do(call{path: "/revoke", form: url.Values{"token": {token}}, header: as("gateway")}), want)
	h.engine.fail(nil)
	h.journal.fail(errDisk)
	h.checkRefusal(t, h.do(call{path: "/revoke", form: url.Values{"token": {token}}, header: as("gateway")}), want)
	h.journal.fail(nil)
	if a := h.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: as("gateway")}); strings.TrimSpace(a.raw) != `{"active":false}` {
		t.Errorf("revoked, not journalled: %s", a.raw)
	}
	told := func(l map[string]any) bool {
		return l["kind"] == "revocation" && l["outcome"] == "done" && l["jti"] == claimsOf(t, token)["jti"] && l["upstream"] == "acme" && l["subject"] != nil
	}
	if slices.ContainsFunc(h.lines(), told) {
		t.Fatal("a line before the retry")
	}
	h.checkRefusal(t, h.do(call{path: "/revoke", form: url.Values{"token": {token}}, header: as("orders-api")}), invalidRequest(400, oauth.ReasonGrantNotAllowed)) // dead, and not its own
	if a := h.do(call{path: "/revoke", form: url.Values{"token": {token}}, header: as("gateway")}); a.status != http.StatusOK {
		t.Errorf("retry: %d %s", a.status, a.raw)
	}
	if !slices.ContainsFunc(h.lines(), told) { // P26: the retry is the one that was answered
		t.Error("a revocation answered 200 has no line")
	}
}

func TestP45_CompromisedKeyKillsItsTokens(t *testing.T) {
	h := newHouse(t)
	token := h.exchanged()
	keys, err := h.broker.Operator().Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kid := keys[slices.IndexFunc(keys, func(k operator.Key) bool { return k.Algorithm == "ES256" && k.State == "signing" })].KeyID
	if _, err := h.broker.Operator().CompromiseKey(t.Context(), kid); err != nil {
		t.Fatal(err)
	}
	if a := h.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: as("gateway")}); a.body["active"] != false {
		t.Errorf("%s", a.raw)
	}
	if a := h.do(call{method: http.MethodGet, path: "/jwks"}); strings.Contains(a.raw, kid) {
		t.Error("the JWKS still has it")
	}
}

func TestP10_OneIssuerTwoUpstreamsNeverShareAKey(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) {
		// A second upstream of acme's issuer string, whose keys come from elsewhere.
		twin := c.Upstreams[0]
		twin.Name, twin.JWKSURI = "twin", c.Upstreams[1].Issuer+"/jwks"
		twin.Audiences = append(twin.Audiences[:0:0], twin.Audiences...)
		twin.Audiences[0].Value = "gateway-at-twin"
		c.Upstreams = append(c.Upstreams, twin)
		c.Exchange = append(c.Exchange, rules.Spec{ID: "twin", Subject: &rules.SubjectSpec{Upstream: "twin"}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}},
			Grant: &rules.GrantSpec{Audiences: []string{"orders"}}})
	})
	crossed := h.partner(set("aud", "gateway-at-twin")) // acme's key, for the twin's audience
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(crossed, "orders"), header: as("gateway")}), invalidRequest(400, oauth.ReasonSignature))
	good := h.ci.Sign(h.partnerClaims(set("aud", "gateway-at-twin")))
	if a := h.do(call{path: "/token", form: exchangeForm(good, "orders"), header: as("gateway")}); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestPreset_ItsConditionsComeBeforeTheMappers(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) {
		c.Upstreams[1].Preset = "kubernetes"
		c.Exchange = append(c.Exchange, rules.Spec{ID: "pods", Subject: &rules.SubjectSpec{Upstream: "ci"}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}},
			Grant: &rules.GrantSpec{Audiences: []string{"pods"}}})
	})
	pod := h.ci.Sign(h.ci.KubernetesClaims(issuer, "shop", "cart"))
	if a := h.do(call{path: "/token", form: exchangeForm(pod, "pods"), header: as("gateway")}); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	person := h.ci.Sign(h.ci.Claims("somebody", issuer))
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(person, "pods"), header: as("gateway")}), invalidRequest(400, oauth.ReasonRequire))
}
