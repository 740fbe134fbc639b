package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/operator"
	"fedbroker/broker/rules"
	"fedbroker/broker/web"
	"fedbroker/mappers"
	"fedbroker/upstreams/upstreamtest"
)

// Classes of bugs that brokers and token services had in the wild, one test each, over real HTTP. A name says what went wrong there; the test
// fails if it goes wrong here. Half-anchored patterns and an absent policy have theirs in broker/rules.

// delegating is a house with rules that want an actor, beside those that take none.
func delegating(c *broker.Config, _ *web.Spec) {
	gateway, api := &rules.RequesterSpec{Clients: []string{"gateway"}}, &rules.RequesterSpec{Clients: []string{"orders-api"}}
	i := slices.IndexFunc(c.Clients, func(s clients.Spec) bool { return s.ID == "orders-api" })
	c.Clients[i].GrantTypes, c.Clients[i].Audiences = []string{"client_credentials", "token-exchange"}, []string{"orders-api"}
	c.Exchange = append(c.Exchange,
		rules.Spec{ID: "job-for-person", Subject: &rules.SubjectSpec{Upstream: "acme"}, Requester: gateway, Actor: &rules.ActorSpec{Required: true, Upstream: "ci"},
			Grant: &rules.GrantSpec{Audiences: []string{"orders-api"}, Scopes: []rules.ScopeSpec{{Name: "orders.read"}}}},
		rules.Spec{ID: "service-for-person", Subject: &rules.SubjectSpec{Issued: true}, Requester: api, Actor: &rules.ActorSpec{Required: true},
			Grant: &rules.GrantSpec{Audiences: []string{"ledger"}, Scopes: []rules.ScopeSpec{{Name: "ledger.read", From: []string{"orders.read"}}}}},
		rules.Spec{ID: "impersonation", Subject: &rules.SubjectSpec{Issued: true}, Requester: api, Grant: &rules.GrantSpec{Audiences: []string{"payroll"}}},
	)
	stale := 5 * time.Minute // nobody runs the broker's loops here
	c.RevocationMaxStale = &stale
}

const (
	jobSubject  = "repo:octo/app:ref:refs/heads/main" // of ci's job, as ci says it
	jobAtBroker = "ci|" + jobSubject
)

// acting is a request of gateway for its API, in which a job acts for a person.
func (h *house) acting(subject, actor string) url.Values {
	f := exchangeForm(subject, "orders-api")
	f.Set("actor_token", actor)
	f.Set("actor_token_type", oauth.TypeJWT)
	return f
}

// itself is a token of a client about nobody but itself.
func (h *house) itself(client string) string {
	h.t.Helper()
	a := h.do(call{path: "/token", form: url.Values{"grant_type": {oauth.GrantClientCredentials}}, header: as(client)})
	if a.status != http.StatusOK {
		h.t.Fatalf("client_credentials of %s: %d %s", client, a.status, a.raw)
	}
	return a.text("access_token")
}

// delegated is a token of ours in which ci's job acts for alice.
func (h *house) delegated() string {
	h.t.Helper()
	a := h.do(call{path: "/token", form: h.acting(h.partner(), h.job()), header: as("gateway")})
	if a.status != http.StatusOK {
		h.t.Fatalf("delegation: %d %s", a.status, a.raw)
	}
	return a.text("access_token")
}

// delegatedOn is what orders-api makes of it: it acts for alice now, after the job.
func (h *house) delegatedOn() string {
	h.t.Helper()
	f := exchangeForm(h.delegated(), "ledger")
	f.Set("actor_token", h.itself("orders-api"))
	f.Set("actor_token_type", oauth.TypeAccessToken)
	a := h.do(call{path: "/token", form: f, header: as("orders-api")})
	if a.status != http.StatusOK {
		h.t.Fatalf("second delegation: %d %s", a.status, a.raw)
	}
	return a.text("access_token")
}

func (h *house) active(client, token string) bool {
	h.t.Helper()
	return h.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: as(client)}).body["active"] == true
}

// Dex, StackRox, Gravitee AM: any token of a trusted issuer was exchangeable, whomever it was made for.
func TestRegression_IssuerTrustedAudienceUnchecked(t *testing.T) {
	h := newHouse(t, delegating)
	bound := func(c *broker.Config, _ *web.Spec) { c.Upstreams[0].Audiences[0].Requesters = []string{"orders-api"} }
	for name, token := range map[string]string{
		"another client's": h.partner(set("aud", "wiki-at-acme")), "none": h.partner(unset("aud")), "an empty one": h.partner(set("aud", "")), "an empty list": h.partner(set("aud", []string{})),
		"one that begins alike": h.partner(set("aud", gatewayAt+"2")), "no string": h.partner(set("aud", 7)), "another party's (azp)": h.partner(set("azp", "wiki-at-acme")),
		"the upstream's own issuer": h.partner(set("aud", h.idp.Issuer())),
	} {
		t.Run(name, func(t *testing.T) {
			is(t, h.do(call{path: "/token", form: exchangeForm(token, "orders"), header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidRequest)
		})
	}
	t.Run("a requester's whom it is not bound to", func(t *testing.T) {
		h := newHouse(t, bound)
		is(t, h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidRequest)
	})
	t.Run("an actor's", func(t *testing.T) {
		granted(t, h.do(call{path: "/token", form: h.acting(h.partner(), h.job()), header: as("gateway")}))
		is(t, h.do(call{path: "/token", form: h.acting(h.partner(), h.job(set("aud", "elsewhere"))), header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidRequest)
	})
	t.Run("a token of ours for somebody else", func(t *testing.T) {
		is(t, h.do(call{path: "/token", form: exchangeForm(h.exchanged(), "vault"), header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidRequest)
	})
}

// Abblix #371: the guard asked where a token came from, and what came from nowhere passed it.
func TestRegression_UnknownOriginSkipsTheGuard(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) {
		c.Clients[0].Audiences = []string{"orders"}
		c.Exchange = append(c.Exchange, rules.Spec{ID: "people-of-acme", Subject: &rules.SubjectSpec{Issued: true, Upstream: "acme"}, Requester: &rules.RequesterSpec{Clients: []string{"orders-api"}},
			Grant: &rules.GrantSpec{Audiences: []string{"people"}}})
	})
	for name, change := range map[string]func(map[string]any){
		"no issuer": unset("iss"), "an issuer that is no string": set("iss", []string{h.idp.Issuer()}), "null": set("iss", nil), "empty": set("iss", ""), "nobody's": set("iss", "https://elsewhere.test"),
		"ours, by a stranger's key": set("iss", issuer), "an upstream's without audience for it": set("iss", "https://unused.test"), "another case": set("iss", strings.ToUpper(h.idp.Issuer())),
		"a slash more": set("iss", h.idp.Issuer()+"/"),
	} {
		t.Run(name, func(t *testing.T) {
			for _, client := range []string{"gateway", "orders-api"} {
				is(t, h.do(call{path: "/token", form: exchangeForm(h.partner(change), "orders"), header: as(client)}), http.StatusBadRequest, map[string]oauth.Code{
					"gateway": oauth.CodeInvalidRequest, "orders-api": oauth.CodeInvalidRequest,
				}[client])
			}
		})
	}
	t.Run("a token of ours that came of no upstream", func(t *testing.T) {
		person := h.do(call{path: "/token", form: exchangeForm(h.exchanged(), "people"), header: as("orders-api")})
		granted(t, person)
		is(t, h.do(call{path: "/token", form: exchangeForm(h.itself("gateway"), "people"), header: as("orders-api")}), http.StatusBadRequest, oauth.CodeInvalidRequest)
	})
}

// Keycloak #52691: parameters chose the path, so that leaving the actor out laundered a delegated token into a plain one.
func TestRegression_PathChosenByParameters(t *testing.T) {
	h := newHouse(t, delegating)
	mayAct := h.partner(set("may_act", map[string]any{"iss": h.ci.Issuer(), "sub": jobSubject}))
	subjects := map[string]struct {
		client, audience, token string
	}{
		"a delegated token at a rule without actor":                      {"orders-api", "payroll", h.delegated()},
		"a delegated token, without its actor, at a rule that wants one": {"orders-api", "ledger", h.delegated()},
		"may_act at a rule without actor":                                {"gateway", "orders", mayAct},
		"may_act, without an actor, at a rule that wants one":            {"gateway", "orders-api", mayAct},
		"an upstream's delegated token at a rule without actor":          {"gateway", "orders", h.partner(set("act", map[string]any{"sub": "somebody"}))},
	}
	changes := map[string]func(url.Values){
		"as it is": func(url.Values) {}, "called a jwt": setting("subject_token_type", oauth.TypeJWT), "called an access token": setting("subject_token_type", oauth.TypeAccessToken),
		"called an ID token": setting("subject_token_type", oauth.TypeIDToken), "called a refresh token": setting("subject_token_type", oauth.TypeRefreshToken), "a jwt asked for": setting("requested_token_type", oauth.TypeJWT),
		"an ID token asked for": setting("requested_token_type", oauth.TypeIDToken), "an id-jag asked for": setting("requested_token_type", oauth.TypeIDJAG),
		"an empty actor": func(f url.Values) { f.Set("actor_token", ""); f.Set("actor_token_type", "") }, "as an assertion, too": func(f url.Values) { f.Set("assertion", f.Get("subject_token")) },
	}
	for name, s := range subjects {
		for how, change := range changes {
			t.Run(name+", "+how, func(t *testing.T) {
				form := exchangeForm(s.token, s.audience)
				change(form)
				want := oauth.CodeInvalidRequest
				if form.Get("requested_token_type") == oauth.TypeIDJAG { // which these clients have no resource server for
					want = oauth.CodeUnauthorizedClient
				}
				is(t, h.do(call{path: "/token", form: form, header: as(s.client)}), http.StatusBadRequest, want)
			})
		}
	}
	t.Run("an actor at a rule without one", func(t *testing.T) {
		form := h.acting(h.partner(), h.job())
		form.Set("audience", "orders")
		is(t, h.do(call{path: "/token", form: form, header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidRequest)
	})
}

// Keycloak PR #51306: may_act was held to the actor and not to who asked.
func TestRegression_MayActBoundToActorNotToRequester(t *testing.T) {
	h := newHouse(t, delegating)
	job := map[string]any{"iss": h.ci.Issuer(), "sub": jobSubject}
	but := func(name string, value any) map[string]any {
		m := maps.Clone(job)
		m[name] = value
		return m
	}
	for name, tt := range map[string]struct {
		mayAct any
		good   bool
	}{
		"the actor": {job, true}, "the actor by this client": {but("client_id", "gateway"), true},
		"the actor by another client": {but("client_id", "orders-api"), false}, "another actor by this client": {map[string]any{"iss": h.ci.Issuer(), "sub": "repo:evil/app", "client_id": "gateway"}, false},
		"another actor": {but("sub", "repo:evil/app"), false}, "of another issuer": {but("iss", h.idp.Issuer()), false}, "of the subject's issuer, since none is named": {map[string]any{"sub": jobSubject}, false},
		"by the broker's name": {but("sub", jobAtBroker), false}, "an issuer alone": {map[string]any{"iss": h.ci.Issuer()}, false}, "nobody": {map[string]any{}, false},
		"one member more": {but("email", "a@acme.example"), false}, "null": {nil, false}, "a string": {jobSubject, false}, "a list": {[]any{job}, false}, "a number for sub": {but("sub", 7), false},
	} {
		t.Run(name, func(t *testing.T) {
			a := h.do(call{path: "/token", form: h.acting(h.partner(set("may_act", tt.mayAct)), h.job()), header: as("gateway")})
			if !tt.good {
				is(t, a, http.StatusBadRequest, oauth.CodeInvalidRequest)
				return
			}
			if granted(t, a); a.status == http.StatusOK {
				if _, copied := claimsOf(t, a.text("access_token"))["may_act"]; copied {
					t.Error("may_act was copied out")
				}
			}
		})
	}
}

// Casdoor: one token format was answered before the checks that all others passed through.
func TestRegression_FormatBranchReturnsBeforeTheCheck(t *testing.T) {
	h := newHouse(t, delegating)
	bad := map[string]struct {
		change func(url.Values)
		code   oauth.Code
	}{
		"a scope beyond":            {setting("scope", "admin"), oauth.CodeInvalidScope},
		"a target beyond":           {setting("audience", "payroll"), oauth.CodeInvalidTarget},
		"a condition that fails":    {setting("subject_token", h.partner(set("roles", []string{"eng-other"}))), oauth.CodeInvalidRequest},
		"an audience not for us":    {setting("subject_token", h.partner(set("aud", "wiki-at-acme"))), oauth.CodeInvalidRequest},
		"a forged signature":        {setting("subject_token", h.partner()[:80]+"."+h.partner()), oauth.CodeInvalidRequest},
		"an actor that none wanted": {func(f url.Values) { f.Set("actor_token", h.job()); f.Set("actor_token_type", oauth.TypeJWT) }, oauth.CodeInvalidRequest},
	}
	for name, tt := range bad {
		for _, declared := range []string{oauth.TypeJWT, oauth.TypeAccessToken, oauth.TypeIDToken} {
			for _, wanted := range []string{"", oauth.TypeAccessToken, oauth.TypeJWT} {
				form := exchangeForm(h.partner(), "orders")
				form.Set("subject_token_type", declared)
				form.Set("requested_token_type", wanted)
				granted(t, h.do(call{path: "/token", form: form, header: as("gateway")}))
				tt.change(form)
				t.Run(name, func(t *testing.T) {
					is(t, h.do(call{path: "/token", form: form, header: as("gateway")}), http.StatusBadRequest, tt.code)
				})
			}
		}
	}
}

// tsidp: of the audiences that were asked for those were granted that could be.
func TestRegression_PartialAudienceGrant(t *testing.T) {
	h := newHouse(t)
	for _, audiences := range [][]string{{"orders", "billing"}, {"billing", "orders"}, {"orders", "vault"}, {"orders", "nothing"}} { // vault is of another rule
		form := with(exchangeForm(h.partner(), ""), "audience", audiences...)
		is(t, h.do(call{path: "/token", form: form, header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidTarget)
	}
	form := with(exchangeForm(h.partner(), "orders"), "resource", "https://elsewhere.test")
	is(t, h.do(call{path: "/token", form: form, header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidTarget)
}

// Casdoor: the audience that was asked for was ignored, and the token was good for another one.
func TestRegression_RequestedAudienceIgnored(t *testing.T) {
	h := newHouse(t)
	for _, audience := range []string{"orders", "vault"} {
		a := h.do(call{path: "/token", form: exchangeForm(h.partner(), audience), header: as("gateway")})
		if granted(t, a); a.status == http.StatusOK {
			if got := texts(claimsOf(t, a.text("access_token"))["aud"]); !slices.Equal(got, []string{audience}) {
				t.Errorf("asked for %s, got %q", audience, got)
			}
		}
	}
	for _, parameter := range []string{"audience", "resource"} {
		is(t, h.do(call{path: "/token", form: with(with(exchangeForm(h.partner(), ""), "audience"), parameter, "https://elsewhere.test"), header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidTarget)
	}
}

// octo-sts: where the policy file was absent, everything was allowed.
func TestRegression_AbsentPolicyAllows(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) { c.Exchange = nil })
	for _, client := range []string{"gateway", "orders-api", "ruleless"} {
		for _, audience := range []string{"orders", "gateway", issuer, ""} {
			is(t, h.do(call{path: "/token", form: with(exchangeForm(h.partner(), ""), "audience", audience), header: as(client)}), http.StatusBadRequest, oauth.CodeUnauthorizedClient)
		}
	}
	is(t, h.do(call{path: "/token", form: exchangeForm(h.job(), deploy)}), http.StatusUnauthorized, oauth.CodeInvalidClient)
}

// Keycloak #48104: the second version of token exchange forgot the permission that the first one asked for.
func TestRegression_OneGrantForgetsThePermission(t *testing.T) {
	h := newHouse(t)
	for name, form := range map[string]url.Values{
		"exchange": exchangeForm(h.partner(), "orders"), "jwt-bearer": {"grant_type": {oauth.GrantJWTBearer}, "assertion": {h.partner()}, "audience": {"orders"}},
		"code": {"grant_type": {oauth.GrantAuthorizationCode}, "code": {"c"}, "redirect_uri": {portal}, "code_verifier": {verifier}}, "refresh": {"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {"r"}},
	} {
		t.Run(name, func(t *testing.T) { // grantless has client_credentials alone
			is(t, h.do(call{path: "/token", form: form, header: as("grantless")}), http.StatusBadRequest, oauth.CodeUnauthorizedClient)
		})
	}
	is(t, h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("ruleless")}), http.StatusBadRequest, oauth.CodeUnauthorizedClient) // may exchange, and no rule names it
	is(t, h.do(call{path: "/token", form: url.Values{"grant_type": {oauth.GrantClientCredentials}}, header: as("ruleless")}), http.StatusBadRequest, oauth.CodeUnauthorizedClient)
}

// ZITADEL CVE-2026-55672: a code or a refresh token was good for whoever had it.
func TestRegression_CodeOrRefreshTokenNotBoundToTheClient(t *testing.T) {
	p := newProvider(t)
	m := p.module(t, suiteES256, "ES256", "")
	q := m.request("scope", "openid offline_access")
	code := m.code(m.walk(m.visit("/authorize", q)), q)
	redeem := url.Values{"grant_type": {oauth.GrantAuthorizationCode}, "code": {code}, "redirect_uri": {suiteCallback}}
	is(t, m.do(call{path: "/token", form: redeem, header: as(suiteSecond)}), http.StatusBadRequest, oauth.CodeInvalidGrant)

	q = m.request("scope", "openid offline_access")
	got := m.complete(q)
	refresh := url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {got.refresh}}
	is(t, m.do(call{path: "/token", form: refresh, header: as(suiteSecond)}), http.StatusBadRequest, oauth.CodeInvalidGrant)
	is(t, m.do(call{path: "/token", form: with(refresh, "client_id", suiteSecond)}), http.StatusUnauthorized, oauth.CodeInvalidClient)
	granted(t, m.do(call{path: "/token", form: refresh, header: as(suiteES256)})) // and whose it is is none the worse for it
}

// Keycloak CVE-2026-37979: introspection told anybody about any token.
func TestRegression_IntrospectionNotAudienceBound(t *testing.T) {
	h := newHouse(t)
	token := h.exchanged()
	if !h.active("gateway", token) || !h.active("orders-api", token) {
		t.Fatal("owner or audience is told nothing")
	}
	for _, client := range []string{"bystander", "ruleless", "grantless"} {
		a := h.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: as(client)})
		if a.status != http.StatusOK || strings.TrimSpace(a.raw) != `{"active":false}` {
			t.Errorf("%s is told %s", client, a.raw)
		}
	}
}

// Keycloak CVE-2026-8922: a not-before time was honoured everywhere but at introspection. #51633: a descendant of what was revoked could be
// exchanged into something that was not.
func TestRegression_RevocationIgnoredAtIntrospectionOrExchange(t *testing.T) {
	for kind, id := range map[string]func(claims map[string]any) string{
		"token": func(c map[string]any) string { return c["jti"].(string) }, "rule": func(map[string]any) string { return partnerRule }, "client": func(map[string]any) string { return "gateway" },
		"subject": func(map[string]any) string { return "acme|alice" }, "upstream": func(map[string]any) string { return "acme" },
	} {
		t.Run(kind, func(t *testing.T) {
			h := newHouse(t, delegating)
			parent := h.exchanged()
			child := h.do(call{path: "/token", form: exchangeForm(parent, "billing"), header: as("orders-api")}).text("access_token")
			if !h.active("gateway", parent) || !h.active("orders-api", child) {
				t.Fatal("not active before")
			}
			if err := h.broker.Operator().Revoke(t.Context(), operator.Revocation{Kind: kind, ID: id(claimsOf(t, parent)), Before: h.clock()}); err != nil {
				t.Fatal(err)
			}
			if h.active("gateway", parent) || h.active("orders-api", child) {
				t.Error("active after revocation")
			}
			h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(parent, "billing"), header: as("orders-api")}), invalidRequest(400, oauth.ReasonRevoked))
		})
	}
}

// Keycloak CVE-2026-1035: of two refreshes at once both won, and each began a line of its own.
func TestRegression_RefreshRotationRace(t *testing.T) {
	p := newProvider(t)
	m := p.module(t, suiteES256, "ES256", "")
	got := m.complete(m.request("scope", "openid offline_access"))
	const callers = 16
	answers := make([]answer, callers)
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			answers[i] = m.do(call{path: "/token", form: url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {got.refresh}}, header: as(suiteES256)})
		})
	}
	all.Wait()
	successors := map[string]bool{}
	for _, a := range answers {
		if a.status == http.StatusOK {
			successors[a.text("refresh_token")] = true
		} else if a.status != http.StatusServiceUnavailable { // lost too often to say
			t.Errorf("%d %s", a.status, a.raw)
		}
	}
	if len(successors) != 1 {
		t.Fatalf("%d successors of one token", len(successors))
	}
	refresh := func(token string) answer {
		return m.do(call{path: "/token", form: url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {token}}, header: as(suiteES256)})
	}
	for successor := range successors {
		next := refresh(successor)
		granted(t, next)
		is(t, refresh(got.refresh), http.StatusBadRequest, oauth.CodeInvalidGrant) // its successor is in use: a copy of it is a theft
		is(t, refresh(next.text("refresh_token")), http.StatusBadRequest, oauth.CodeInvalidGrant)
	}
}

// Vault: numbers went through a float or an int, and two owners became one.
func TestRegression_NumbersTruncated(t *testing.T) {
	const exact = "9007199254740993" // 2⁵³+1: the float64 nearest to it is one less
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) {
		c.Upstreams[0].Mappers = append(c.Upstreams[0].Mappers, mappers.Spec{Kind: "rename", From: "owner", To: "owner_id"})
		c.Exchange = slices.Insert(c.Exchange, 0, rules.Spec{ID: "by-number", Subject: &rules.SubjectSpec{Upstream: "acme", When: "claims.owner == " + exact}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}},
			Grant: &rules.GrantSpec{Audiences: []string{"numbers"}}})
	})
	with := func(number string) answer {
		claims, err := json.Marshal(h.partnerClaims(set("owner", json.Number(number))))
		if err != nil {
			t.Fatal(err)
		}
		return h.do(call{path: "/token", form: exchangeForm(h.idp.Sign(nil, upstreamtest.Raw(string(claims))), "numbers"), header: as("gateway")})
	}
	a := with(exact)
	if granted(t, a); a.status == http.StatusOK {
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(a.text("access_token"), ".")[1])
		if err != nil || !strings.Contains(string(payload), `"owner_id":`+exact) {
			t.Errorf("the number left as another one: %s, %v", payload, err)
		}
	}
	for _, near := range []string{"9007199254740992", "9007199254740994", "9007199254740993.5", "18014398509481986", "-9007199254740993", "9223372036854775808", `"` + exact + `"`} {
		t.Run(near, func(t *testing.T) {
			if strings.HasPrefix(near, `"`) {
				is(t, h.do(call{path: "/token", form: exchangeForm(h.partner(set("owner", exact)), "numbers"), header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidRequest)
				return
			}
			is(t, with(near), http.StatusBadRequest, oauth.CodeInvalidRequest)
		})
	}
}

// Keycloak's Kubernetes identity provider: where the keys are was read once, when the configuration was saved.
func TestRegression_DiscoveryFrozen(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) {
		aged := 5 * time.Minute // nobody runs the broker's loops here
		c.RevocationMaxStale = &aged
	})
	h.exchanged()
	h.idp.MoveJWKS(h.ci.JWKSURI())
	h.now.Add(61)                         // a document is read again after a minute at the earliest
	moved := h.ci.Sign(h.partnerClaims()) // by a key that is served at the new place alone
	granted(t, h.do(call{path: "/token", form: exchangeForm(moved, "orders"), header: as("gateway")}))
}

// ThunderID: the chain of actors ended at the next exchange.
func TestRegression_ActorChainDropped(t *testing.T) {
	h := newHouse(t, delegating)
	one := map[string]any{"iss": issuer, "sub": jobAtBroker}
	two := map[string]any{"iss": issuer, "sub": "orders-api", "act": one}
	for token, want := range map[string]map[string]any{h.delegated(): one, h.delegatedOn(): two} {
		if got := claimsOf(t, token)["act"]; !reflect.DeepEqual(subjectsOf(t, got), subjectsOf(t, want)) {
			t.Errorf("act %v, want the subjects of %v", got, want)
		}
	}
}

// Keycloak #53029: introspection did not say who acts.
func TestRegression_ActorMissingAtIntrospection(t *testing.T) {
	h := newHouse(t, delegating)
	for token, client := range map[string]string{h.delegated(): "gateway", h.delegatedOn(): "orders-api"} {
		a := h.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: as(client)})
		want := claimsOf(t, token)["act"]
		if a.body["active"] != true || want == nil || !reflect.DeepEqual(a.body["act"], want) {
			t.Errorf("%s, want act %v", a.raw, want)
		}
	}
}

// subjectsOf are the subjects of a chain, outermost first; each link must be of our issuer.
func subjectsOf(t *testing.T, act any) (chain []string) {
	t.Helper()
	for act != nil {
		link, _ := act.(map[string]any)
		if link["iss"] != issuer {
			t.Fatalf("link %v of an act claim", act)
		}
		chain, act = append(chain, fmt.Sprint(link["sub"])), link["act"]
	}
	return chain
}

// ThunderID, mcp-oauth, Gravitee AM: a subject left as the upstream said it, so that one IdP could name another's people.
func TestRegression_SubjectWithoutItsOrigin(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) {
		c.Exchange = append(c.Exchange, rules.Spec{ID: "ci-too", Subject: &rules.SubjectSpec{Upstream: "ci"}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}}, Grant: &rules.GrantSpec{Audiences: []string{"people"}}},
			rules.Spec{ID: "acme-too", Subject: &rules.SubjectSpec{Upstream: "acme"}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}}, Grant: &rules.GrantSpec{Audiences: []string{"people"}}})
	})
	seen := map[any]string{}
	for _, sub := range []string{"alice", "gateway", "acme|alice", "ci|alice", "alice|", "|alice"} {
		for name, token := range map[string]string{"acme": h.partner(set("sub", sub)), "ci": h.job(set("sub", sub))} {
			a := h.do(call{path: "/token", form: exchangeForm(token, "people"), header: as("gateway")})
			if granted(t, a); a.status != http.StatusOK {
				continue
			}
			got := claimsOf(t, a.text("access_token"))["sub"]
			if before, taken := seen[got]; taken || !strings.HasPrefix(fmt.Sprint(got), name) {
				t.Errorf("%s of %s is %v, as is %s", sub, name, got, before)
			}
			seen[got] = sub + " of " + name
		}
	}
}

// Keycloak's default before 26.8: an exchange gave scopes that the subject token never had.
func TestRegression_ScopeBeyondTheSubjects(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) {
		c.Exchange[slices.IndexFunc(c.Exchange, func(r rules.Spec) bool { return r.ID == "orders-to-billing" })].Grant.Scopes = append([]rules.ScopeSpec{{Name: "admin"}, {Name: "orders.write"}}, rules.ScopeSpec{Name: "billing.read", From: []string{"orders.read"}})
	})
	token := h.exchanged() // orders.read
	if a := h.do(call{path: "/token", form: exchangeForm(token, "billing"), header: as("orders-api")}); a.text("scope") != "billing.read" {
		t.Errorf("%d %s", a.status, a.raw)
	}
	for _, scope := range []string{"admin", "orders.write", "orders.read", "billing.read admin"} {
		is(t, h.do(call{path: "/token", form: with(exchangeForm(token, "billing"), "scope", scope), header: as("orders-api")}), http.StatusBadRequest, oauth.CodeInvalidScope)
	}
}

// mcp-oauth #287, and what RFC 8693 is silent about: a token that is bound to a key was exchanged into one that anybody can use.
func TestRegression_ProofLostAlongTheWay(t *testing.T) {
	h := older(t, delegating, func(c *broker.Config, _ *web.Spec) {
		i := slices.IndexFunc(c.Clients, func(s clients.Spec) bool { return s.ID == "gateway" })
		c.Clients[i].Audiences = []string{"orders", "gateway"}
		c.Exchange = append(c.Exchange,
			rules.Spec{ID: "own-to-people", Subject: &rules.SubjectSpec{Issued: true}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}}, Grant: &rules.GrantSpec{Audiences: []string{"people"}}},
			rules.Spec{ID: "bound-to-stock", BoundSubject: "accept", Subject: &rules.SubjectSpec{Issued: true}, Requester: &rules.RequesterSpec{Clients: []string{"orders-api"}}, Grant: &rules.GrantSpec{Audiences: []string{"stock"}}})
	})
	p, other := h.prover(), h.prover()
	bound := func(audience string) string {
		a := h.request(url.Values{"grant_type": {oauth.GrantClientCredentials}, "audience": {audience}, "scope": {"orders.read"}}, "gateway", p.proof("POST", tokenURL))
		if a.status != http.StatusOK || a.text("token_type") != "DPoP" {
			t.Fatalf("%d %s", a.status, a.raw)
		}
		return a.text("access_token")
	}
	mine, orders := bound("gateway"), bound("orders")
	ath := func(token string) string {
		sum := sha256.Sum256([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	withProof := func(p *prover, token string) []string { return []string{p.proof("POST", tokenURL, "ath", ath(token))} }
	for name, c := range map[string]struct {
		client, token, audience string
		proofs                  []string
		key                     *prover // that the result is bound to; nil: refused
	}{
		"its client, by its key":                         {"gateway", mine, "people", withProof(p, mine), p},
		"its client, without a proof":                    {"gateway", mine, "people", nil, nil},
		"its client, by another key":                     {"gateway", mine, "people", withProof(other, mine), nil},
		"its client, by a proof for no token":            {"gateway", mine, "people", []string{p.proof("POST", tokenURL)}, nil},
		"its client, by a proof for another token":       {"gateway", mine, "people", withProof(p, orders), nil},
		"a resource, by a key of its own":                {"orders-api", orders, "billing", withProof(other, orders), nil},
		"a resource, whom the rule lets, by its own key": {"orders-api", orders, "stock", []string{other.proof("POST", tokenURL)}, other},
		"a resource, whom the rule lets, without one":    {"orders-api", orders, "stock", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := h.request(exchangeForm(c.token, c.audience), c.client, c.proofs...)
			if c.key == nil {
				if a.status != http.StatusBadRequest || a.text("access_token") != "" {
					t.Errorf("%d %s", a.status, a.raw)
				}
				return
			}
			if granted(t, a); a.text("token_type") != "DPoP" || a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.raw)
			}
			if cnf, _ := claimsOf(t, a.text("access_token"))["cnf"].(map[string]any); cnf["jkt"] != c.key.thumbprint() {
				t.Errorf("bound to %v", cnf)
			}
			told := h.do(call{path: "/introspect", form: url.Values{"token": {a.text("access_token")}}, header: as(c.client)})
			if cnf, _ := told.body["cnf"].(map[string]any); cnf["jkt"] != c.key.thumbprint() || told.body["token_type"] != "DPoP" {
				t.Errorf("introspection says %s", told.raw)
			}
		})
	}
	t.Run("an actor's", func(t *testing.T) {
		for name, proofs := range map[string][]string{"without a proof": nil, "by another key": withProof(other, mine)} {
			form := h.acting(h.partner(), mine)
			form.Set("actor_token_type", oauth.TypeAccessToken)
			if a := h.request(form, "gateway", proofs...); a.status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", name, a.status, a.raw)
			}
		}
	})
}

// A second way in that is held to less than the first: what an exchange refuses of a token, the JWT authorization grant refuses, too.
func TestRegression_AssertionHeldToLessThanASubject(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) {
		for i := range c.Clients {
			if c.Clients[i].ID == "gateway" || c.Clients[i].ID == "orders-api" {
				c.Clients[i].GrantTypes = append(c.Clients[i].GrantTypes, "jwt-bearer")
			}
		}
	})
	ask := func(assertion string, change func(url.Values)) answer {
		form := url.Values{"grant_type": {oauth.GrantJWTBearer}, "assertion": {assertion}, "audience": {"orders"}}
		change(form)
		return h.do(call{path: "/token", form: form, header: as("gateway")})
	}
	asItIs := func(url.Values) {}
	good := ask(h.partner(), asItIs)
	if granted(t, good); good.body["refresh_token"] != nil || good.text("scope") != "orders.read" {
		t.Errorf("%s", good.raw)
	}
	for name, token := range h.spoilt(h.partner) {
		t.Run(name, func(t *testing.T) { is(t, ask(token, asItIs), http.StatusBadRequest, oauth.CodeInvalidGrant) })
	}
	for name, token := range map[string]string{
		"a condition that fails": h.partner(set("roles", []string{"eng-other"})), "delegated": h.partner(set("act", map[string]any{"sub": "somebody"})), "may_act": h.partner(set("may_act", map[string]any{"client_id": "gateway"})),
		"bound": h.partner(set("cnf", map[string]any{"jkt": strings.Repeat("A", 43)})), "one of ours": h.exchanged(), "older than an hour": h.partner(set("iat", h.clock().Add(-2*time.Hour).Unix())),
	} {
		t.Run(name, func(t *testing.T) { is(t, ask(token, asItIs), http.StatusBadRequest, oauth.CodeInvalidGrant) })
	}
	is(t, ask(h.partner(), setting("scope", "admin")), http.StatusBadRequest, oauth.CodeInvalidScope)
	is(t, ask(h.partner(), setting("audience", "billing")), http.StatusBadRequest, oauth.CodeInvalidTarget)
	is(t, ask(h.partner(), setting("audience", "orders", "vault")), http.StatusBadRequest, oauth.CodeInvalidTarget)
	once := h.partner()
	granted(t, ask(once, setting("audience", "vault")))
	is(t, ask(once, setting("audience", "vault")), http.StatusBadRequest, oauth.CodeInvalidGrant)
	granted(t, h.ask(nil)) // and nothing of this is in an exchange's way
}

// A condition on the actor that reads the subject's claims met only those that something else reads, too: a negation then held for everybody.
func TestRegression_ConditionOfTheActorSeesTheSubjectsClaims(t *testing.T) {
	h := newHouse(t, delegating, func(c *broker.Config, _ *web.Spec) {
		c.Exchange[slices.IndexFunc(c.Exchange, func(r rules.Spec) bool { return r.ID == "job-for-person" })].Actor.When = "!has(claims.blocked)"
	})
	granted(t, h.do(call{path: "/token", form: h.acting(h.partner(), h.job()), header: as("gateway")}))
	is(t, h.do(call{path: "/token", form: h.acting(h.partner(set("blocked", true)), h.job()), header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidRequest)
}
