package web_test

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/broker/web"
	"fedbroker/upstreams/upstreamtest"
)

// What RFC 8693 §2.1 to §2.2.2 demand of an authorization server, sentence by sentence, held by real HTTP. A row cites the section and the
// word it uses: a keyword of BCP 14, or how it calls a parameter (REQUIRED, OPTIONAL). A sentence without such a word says "says".

const (
	rfcVersioned = "https://api.test/v?release=1" // a target whose URI has a query
	rfcMirror    = "https://mirror.test"          // one more target of the same rule
)

// rfcRules are what the rows need beside the house's own: two targets in one rule, delegation, and an ID token.
func rfcRules(c *broker.Config, _ *web.Spec) {
	gateway := &rules.RequesterSpec{Clients: []string{"gateway"}}
	acme := &rules.SubjectSpec{Upstream: "acme"}
	c.Exchange = append(c.Exchange,
		rules.Spec{ID: "two-targets", Subject: acme, Requester: &rules.RequesterSpec{Clients: []string{"gateway", "orders-api"}},
			Grant: &rules.GrantSpec{Audiences: []string{rfcVersioned, rfcMirror}, Scopes: []rules.ScopeSpec{{Name: "read"}, {Name: "write"}}}},
		rules.Spec{ID: "on-behalf", Subject: acme, Requester: gateway, Actor: &rules.ActorSpec{Required: true, Upstream: "ci"},
			Grant: &rules.GrantSpec{Audiences: []string{"ledger"}}},
		rules.Spec{ID: "who-it-is", Subject: acme, Requester: gateway, Grant: &rules.GrantSpec{Audiences: []string{"gateway"}, TokenTypes: []string{oauth.ShortIDToken}}},
	)
}

// rfcRow is one sentence of the RFC and what is held of it.
type rfcRow struct {
	section, level, says string
	check                func(t *testing.T, h *house)
}

func TestRFC8693(t *testing.T) {
	h := newHouse(t, rfcRules)
	for _, rows := range [][]rfcRow{rfcRequest, rfcParameters, rfcTokens, rfcValidation, rfcTargets, rfcSuccess, rfcErrors} {
		for _, row := range rows {
			t.Run("§"+row.section+" "+row.level+" "+row.says, func(t *testing.T) {
				h.t = t
				row.check(t, h)
			})
		}
	}
}

// ask sends the good request, changed, as gateway.
func (h *house) ask(change func(url.Values)) answer {
	h.t.Helper()
	form := maps.Clone(exchangeForm(h.partner(), "orders"))
	if change != nil {
		change(form)
	}
	return h.do(call{path: "/token", form: form, header: as("gateway")})
}

// onBehalf adds an actor token of a CI job to a request for the ledger.
func (h *house) onBehalf(actor string) func(url.Values) {
	return func(f url.Values) {
		f.Set("audience", "ledger")
		f.Set("actor_token", actor)
		f.Set("actor_token_type", oauth.TypeJWT)
	}
}

func setting(name string, values ...string) func(url.Values) {
	return func(f url.Values) { f[name] = values }
}

func granted(t *testing.T, a answer) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

// is holds a refusal to code and status, whatever the cause in the log.
func is(t *testing.T, a answer, status int, code oauth.Code) {
	t.Helper()
	if a.status != status || a.text("error") != string(code) {
		t.Errorf("%d %s, want %d %s", a.status, a.raw, status, code)
	}
	if _, issued := a.body["access_token"]; issued {
		t.Errorf("an error issues a token: %s", a.raw)
	}
}

// refusedFor is a row whose every change of the good request is refused alike.
func refusedFor(code oauth.Code, changes map[string]func(url.Values)) func(*testing.T, *house) {
	return func(t *testing.T, h *house) {
		for _, name := range slices.Sorted(maps.Keys(changes)) {
			t.Run(name, func(t *testing.T) {
				h.t = t
				is(t, h.ask(changes[name]), http.StatusBadRequest, code)
			})
		}
	}
}

var rfcRequest = []rfcRow{
	{"2.1", "says", "the request is a POST to the token endpoint", func(t *testing.T, h *house) {
		is(t, h.do(call{method: http.MethodGet, path: "/token?" + exchangeForm(h.partner(), "orders").Encode(), header: as("gateway")}), http.StatusMethodNotAllowed, oauth.CodeInvalidRequest)
		granted(t, h.ask(nil))
	}},
	{"2.1", "says", "the parameters are form-urlencoded in the body", func(t *testing.T, h *house) {
		c := call{path: "/token", raw: strings.NewReader(`{"grant_type":"` + oauth.GrantTokenExchange + `"}`), header: withType(as("gateway"), "application/json")}
		is(t, h.do(c), http.StatusUnsupportedMediaType, oauth.CodeInvalidRequest)
		is(t, h.do(call{path: "/token?audience=orders", form: with(exchangeForm(h.partner(), ""), "audience"), header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidRequest)
	}},
	{"2.1", "says", "their encoding is UTF-8 (RFC 6749 Appendix B)", func(t *testing.T, h *house) {
		granted(t, h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: withType(as("gateway"), "application/x-www-form-urlencoded; charset=UTF-8")}))
		body := exchangeForm(h.partner(), "orders").Encode() + "&x=%ff"
		is(t, h.do(call{path: "/token", raw: strings.NewReader(body), header: as("gateway")}), http.StatusBadRequest, oauth.CodeInvalidRequest)
	}},
	{"2.1", "says", "the client authenticates as everywhere in OAuth (RFC 6749 §2.3)", func(t *testing.T, h *house) {
		form := exchangeForm(h.partner(), "orders")
		granted(t, h.do(call{path: "/token", form: form, header: as("gateway")}))
		granted(t, h.do(call{path: "/token", form: with(with(form, "client_id", "gateway"), "client_secret", secretOf("gateway"))}))
		a := h.do(call{path: "/token", form: form, header: basic("gateway", "wrong")})
		is(t, a, http.StatusUnauthorized, oauth.CodeInvalidClient)
		if !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic") { // RFC 6749 §5.2
			t.Errorf("WWW-Authenticate %q", a.header.Get("WWW-Authenticate"))
		}
	}},
	{"2.1", "says", "whether clients stay unauthenticated is the server's to decide: where a rule says so, only", func(t *testing.T, h *house) {
		granted(t, h.do(call{path: "/token", form: exchangeForm(h.job(), deploy)}))
		if a := h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders")}); a.status < 400 {
			t.Errorf("%d %s", a.status, a.raw)
		}
	}},
	{"2.1", "REQUIRED", "grant_type", func(t *testing.T, h *house) {
		is(t, h.ask(func(f url.Values) { f.Del("grant_type") }), http.StatusBadRequest, oauth.CodeInvalidRequest)
		is(t, h.ask(setting("grant_type", "token-exchange")), http.StatusBadRequest, oauth.CodeUnsupportedGrantType)
		is(t, h.ask(setting("grant_type", strings.ToUpper(oauth.GrantTokenExchange))), http.StatusBadRequest, oauth.CodeUnsupportedGrantType)
	}},
	{"2.1", "says", "no parameter comes twice, but resource and audience (RFC 6749 §3.2)", func(t *testing.T, h *house) {
		for _, name := range []string{"grant_type", "subject_token", "subject_token_type", "actor_token", "actor_token_type", "requested_token_type", "scope"} {
			is(t, h.ask(setting(name, "a", "a")), http.StatusBadRequest, oauth.CodeInvalidRequest)
		}
	}},
	{"2.1", "says", "what is not known is ignored (RFC 6749 §3.2)", func(t *testing.T, h *house) {
		granted(t, h.ask(setting("unheard_of", "x")))
	}},
}

var rfcParameters = []rfcRow{
	{"2.1", "MUST", "resource is an absolute URI (RFC 3986 §4.3)", refusedFor(oauth.CodeInvalidTarget, map[string]func(url.Values){
		"a name": setting("resource", "orders"), "a path": setting("resource", "/orders"), "a network path": setting("resource", "//api.test/v"),
		"a query": setting("resource", "?release=1"), "a blank": setting("resource", "https://api.test/ v"), "a broken escape": setting("resource", "https://api.test/%zz"),
		"one of two": setting("resource", rfcMirror, "orders"),
	})},
	{"2.1", "MAY", "resource has a query, which counts", func(t *testing.T, h *house) {
		target := func(uri string) func(url.Values) {
			return func(f url.Values) { f.Del("audience"); f.Set("resource", uri) }
		}
		a := h.ask(target(rfcVersioned))
		granted(t, a)
		if got := claimsOf(t, a.text("access_token"))["aud"]; got != rfcVersioned && !slices.Equal(texts(got), []string{rfcVersioned}) {
			t.Errorf("aud %v", got)
		}
		is(t, h.ask(target(strings.Replace(rfcVersioned, "=1", "=2", 1))), http.StatusBadRequest, oauth.CodeInvalidTarget)
	}},
	{"2.1", "MUST NOT", "resource has a fragment, not even an empty one", refusedFor(oauth.CodeInvalidTarget, map[string]func(url.Values){
		"a fragment": setting("resource", rfcMirror+"#part"), "an empty one": setting("resource", rfcMirror+"#"),
	})},
	{"2.1", "says", "several resources are asked for at once, in as many parameters", func(t *testing.T, h *house) {
		holdsTargets(t, h.ask(func(f url.Values) { f.Del("audience"); f["resource"] = []string{rfcVersioned, rfcMirror} }))
	}},
	{"2.1", "says", "several audiences are, too", func(t *testing.T, h *house) {
		holdsTargets(t, h.ask(setting("audience", rfcVersioned, rfcMirror)))
	}},
	{"2.1", "says", "audience and resource are used together", func(t *testing.T, h *house) {
		holdsTargets(t, h.ask(func(f url.Values) { f.Set("audience", rfcMirror); f.Set("resource", rfcVersioned) }))
	}},
	{"2.1", "OPTIONAL", "resource and audience: without either the target is the policy's to know", func(t *testing.T, h *house) {
		a := h.do(call{path: "/token", form: with(exchangeForm(h.exchanged(), ""), "audience"), header: as("orders-api")}) // reaches one target
		granted(t, a)
		if got := texts(claimsOf(t, a.text("access_token"))["aud"]); !slices.Equal(got, []string{"billing"}) {
			t.Errorf("aud %v", got)
		}
	}},
	{"2.1", "OPTIONAL", "scope, a list delimited by spaces", func(t *testing.T, h *house) {
		for scope, want := range map[string]string{"": "read write", "write": "write", "write read": "write read"} {
			a := h.ask(func(f url.Values) { f.Set("audience", rfcMirror); f.Set("scope", scope) })
			if granted(t, a); a.text("scope") != want {
				t.Errorf("%q gives %q, want %q", scope, a.text("scope"), want)
			}
		}
	}},
	{"2.1", "says", "scopes are case-sensitive, and no other delimiter is one", refusedFor(oauth.CodeInvalidScope, map[string]func(url.Values){
		"upper case": setting("scope", "Orders.Read"), "comma": setting("scope", "orders.read,orders.read"), "tab": setting("scope", "orders.read\torders.read"),
	})},
	{"2.1", "OPTIONAL", "requested_token_type; without it the type is the server's choice", func(t *testing.T, h *house) {
		for asked, want := range map[string]string{"": oauth.TypeAccessToken, oauth.TypeAccessToken: oauth.TypeAccessToken, oauth.TypeJWT: oauth.TypeJWT} {
			a := h.ask(setting("requested_token_type", asked))
			if granted(t, a); a.text("issued_token_type") != want {
				t.Errorf("%q gives %q", asked, a.text("issued_token_type"))
			}
		}
	}},
	{"2.1", "says", "a type that is not issued is refused, never replaced", refusedFor(oauth.CodeInvalidRequest, map[string]func(url.Values){
		"SAML 2.0": setting("requested_token_type", oauth.TypeSAML2), "a refresh token": setting("requested_token_type", oauth.TypeRefreshToken),
		"no type": setting("requested_token_type", "jwt"), "one that the rule does not list": setting("requested_token_type", oauth.TypeIDToken),
	})},
}

var rfcTokens = []rfcRow{
	{"2.1", "REQUIRED", "subject_token", refusedFor(oauth.CodeInvalidRequest, map[string]func(url.Values){
		"absent": func(f url.Values) { f.Del("subject_token") }, "without a value, so absent (RFC 6749 §3.1)": setting("subject_token", ""),
	})},
	{"2.1", "REQUIRED", "subject_token_type", refusedFor(oauth.CodeInvalidRequest, map[string]func(url.Values){
		"absent": func(f url.Values) { f.Del("subject_token_type") }, "without a value": setting("subject_token_type", ""), "unknown": setting("subject_token_type", "urn:example:token"),
	})},
	{"2.1", "OPTIONAL", "actor_token", func(t *testing.T, h *house) {
		granted(t, h.ask(nil))
		a := h.ask(h.onBehalf(h.job()))
		granted(t, a)
		if act, _ := claimsOf(t, a.text("access_token"))["act"].(map[string]any); act["sub"] != "ci|repo:octo/app:ref:refs/heads/main" {
			t.Errorf("act %v", act)
		}
	}},
	{"2.1", "REQUIRED", "actor_token_type where actor_token is", refusedFor(oauth.CodeInvalidRequest, map[string]func(url.Values){
		"absent": setting("actor_token", "x"), "without a value": func(f url.Values) { f.Set("actor_token", "x"); f.Set("actor_token_type", "") },
		"unknown": func(f url.Values) { f.Set("actor_token", "x"); f.Set("actor_token_type", "urn:example:token") },
	})},
	{"2.1", "MUST NOT", "actor_token_type where actor_token is not", refusedFor(oauth.CodeInvalidRequest, map[string]func(url.Values){
		"without actor_token": setting("actor_token_type", oauth.TypeJWT),
		"with an empty one":   func(f url.Values) { f.Set("actor_token", ""); f.Set("actor_token_type", oauth.TypeJWT) },
	})},
}

// spoilt are tokens of one issuer, each bad in a way that is the server's to find; sign makes one of changed claims.
func (h *house) spoilt(sign func(...func(map[string]any)) string) map[string]string {
	past := h.clock().Add(-time.Hour).Unix()
	good := sign()
	return map[string]string{
		"no token": "opaque", "a changed signature": good[:len(good)-6] + "AAAAAA", "no signature": good[:strings.LastIndexByte(good, '.')+1],
		"expired": sign(set("exp", past), set("iat", past-60)), "not yet valid": sign(set("nbf", h.clock().Add(time.Hour).Unix())),
		"without exp": sign(upstreamtest.Without("exp")), "for somebody else": sign(set("aud", "somebody-else")), "for nobody": sign(upstreamtest.Without("aud")),
		"of an unknown issuer": sign(set("iss", "https://elsewhere.test")), "without sub": sign(upstreamtest.Without("sub")),
	}
}

var rfcValidation = []rfcRow{
	{"2.1", "MUST", "validate the subject token by its type", func(t *testing.T, h *house) {
		for name, token := range h.spoilt(h.partner) {
			t.Run(name, func(t *testing.T) {
				h.t = t
				is(t, h.ask(setting("subject_token", token)), http.StatusBadRequest, oauth.CodeInvalidRequest)
			})
		}
	}},
	{"2.1", "MUST", "the type that is indicated is the one that it is", func(t *testing.T, h *house) {
		token := h.exchanged()
		for declared, good := range map[string]bool{oauth.TypeAccessToken: true, oauth.TypeJWT: true, oauth.TypeIDToken: false, oauth.TypeRefreshToken: false, oauth.TypeSAML2: false} {
			a := h.do(call{path: "/token", form: with(exchangeForm(token, "billing"), "subject_token_type", declared), header: as("orders-api")})
			if good {
				granted(t, a)
			} else {
				is(t, a, http.StatusBadRequest, oauth.CodeInvalidRequest)
			}
		}
	}},
	{"2.1", "MUST", "validate the actor token by its type, where there is one", func(t *testing.T, h *house) {
		granted(t, h.ask(h.onBehalf(h.job())))
		for name, token := range h.spoilt(h.job) {
			t.Run(name, func(t *testing.T) {
				h.t = t
				is(t, h.ask(h.onBehalf(token)), http.StatusBadRequest, oauth.CodeInvalidRequest)
			})
		}
	}},
	{"2.1", "says", "without one-time use an exchange changes nothing about its tokens", func(t *testing.T, h *house) {
		token, actor := h.partner(), h.job()
		for range 2 {
			granted(t, h.ask(setting("subject_token", token)))
			granted(t, h.ask(func(f url.Values) { h.onBehalf(actor)(f); f.Set("subject_token", token) }))
		}
		own := h.exchanged()
		granted(t, h.do(call{path: "/token", form: exchangeForm(own, "billing"), header: as("orders-api")}))
		if a := h.do(call{path: "/introspect", form: url.Values{"token": {own}}, header: as("gateway")}); a.body["active"] != true {
			t.Errorf("the subject token is spent: %s", a.raw)
		}
	}},
	{"2.1", "says", "with one-time use it does", func(t *testing.T, h *house) {
		token := h.partner()
		once := func(f url.Values) { f.Set("audience", "vault"); f.Set("subject_token", token) }
		granted(t, h.ask(once))
		is(t, h.ask(once), http.StatusBadRequest, oauth.CodeInvalidRequest)
	}},
}

var rfcTargets = []rfcRow{
	{"2.1.1", "says", "scopes are asked for at all the targets: the product of both", func(t *testing.T, h *house) {
		both := func(scope string) answer {
			return h.ask(func(f url.Values) { f["audience"] = []string{rfcVersioned, rfcMirror}; f.Set("scope", scope) })
		}
		if a := both("read write"); a.text("scope") != "read write" {
			t.Errorf("%d %s", a.status, a.raw)
		}
		is(t, both("read admin"), http.StatusBadRequest, oauth.CodeInvalidScope)
	}},
	{"2.1.1", "says", "too many targets at once are invalid_target: of a product that no rule gives nothing is given", func(t *testing.T, h *house) {
		granted(t, h.ask(setting("audience", "orders")))
		granted(t, h.ask(setting("audience", rfcMirror)))
		is(t, h.ask(setting("audience", "orders", rfcMirror)), http.StatusBadRequest, oauth.CodeInvalidTarget)
	}},
}

var rfcSuccess = []rfcRow{
	{"2.2", "says", "the answer is OAuth's usual one: 200, JSON, never stored (RFC 6749 §5.1)", func(t *testing.T, h *house) {
		a := h.ask(nil)
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") || a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
			t.Errorf("%d %v", a.status, a.header)
		}
	}},
	{"2.2.1", "REQUIRED", "access_token is the token, whatever its type", func(t *testing.T, h *house) {
		token := h.ask(nil).text("access_token")
		if a := h.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: as("gateway")}); a.body["active"] != true {
			t.Errorf("%s", a.raw)
		}
		if id := h.ask(setting("audience", "gateway")).text("access_token"); claimsOf(t, id)["azp"] != "gateway" {
			t.Errorf("ID token %v", claimsOf(t, id))
		}
	}},
	{"2.2.1", "REQUIRED", "issued_token_type", func(t *testing.T, h *house) {
		for audience, want := range map[string]string{"orders": oauth.TypeAccessToken, "gateway": oauth.TypeIDToken} {
			if a := h.ask(setting("audience", audience)); a.text("issued_token_type") != want {
				t.Errorf("%d %s", a.status, a.raw)
			}
		}
	}},
	{"2.2.1", "REQUIRED", "token_type; N_A where the token is no access token", func(t *testing.T, h *house) {
		for audience, want := range map[string]string{"orders": "Bearer", "gateway": "N_A"} {
			if a := h.ask(setting("audience", audience)); a.text("token_type") != want {
				t.Errorf("%d %s", a.status, a.raw)
			}
		}
	}},
	{"2.2.1", "RECOMMENDED", "expires_in, in seconds", func(t *testing.T, h *house) {
		a := h.ask(nil)
		left, _ := a.body["expires_in"].(float64)
		if claims := claimsOf(t, a.text("access_token")); left <= 0 || claims["exp"] != float64(h.clock().Unix())+left {
			t.Errorf("%v of %v", left, claims["exp"])
		}
	}},
	{"2.2.1", "REQUIRED", "scope where it is not what was asked for; stated always", func(t *testing.T, h *house) {
		for _, scope := range []string{"", "orders.read"} {
			if a := h.ask(setting("scope", scope)); a.text("scope") != "orders.read" {
				t.Errorf("%q: %s", scope, a.raw)
			}
		}
	}},
	{"2.2.1", "OPTIONAL", "refresh_token: none, since one temporary credential is exchanged for another", func(t *testing.T, h *house) {
		for _, scope := range []string{"", "orders.read"} {
			if _, present := h.ask(setting("scope", scope)).body["refresh_token"]; present {
				t.Error("a refresh token of an exchange")
			}
		}
		is(t, h.ask(setting("scope", "offline_access")), http.StatusBadRequest, oauth.CodeInvalidScope)
	}},
}

var rfcErrors = []rfcRow{
	{"2.2.2", "MUST", "invalid_request for a request that is not valid", refusedFor(oauth.CodeInvalidRequest, map[string]func(url.Values){
		"no subject": func(f url.Values) { f.Del("subject_token") }, "a type of its own": setting("subject_token_type", "x"), "half an actor": setting("actor_token", "x"),
	})},
	{"2.2.2", "MUST", "invalid_request for a token that policy does not accept", func(t *testing.T, h *house) {
		is(t, h.ask(setting("subject_token", h.partner(set("roles", []string{"eng-other"})))), http.StatusBadRequest, oauth.CodeInvalidRequest)
		is(t, h.ask(setting("audience", "ledger")), http.StatusBadRequest, oauth.CodeInvalidRequest)                                              // without the actor that the rule wants
		is(t, h.ask(h.onBehalf(h.partner())), http.StatusBadRequest, oauth.CodeInvalidRequest)                                                    // with another one
		is(t, h.ask(func(f url.Values) { h.onBehalf(h.job())(f); f.Set("audience", "orders") }), http.StatusBadRequest, oauth.CodeInvalidRequest) // with one that it does not want
	}},
	{"2.2.2", "MUST", "the answer is an error of RFC 6749 §5.2: 400, JSON, never stored", func(t *testing.T, h *house) {
		a := h.ask(setting("subject_token", "x"))
		if a.status != http.StatusBadRequest || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") || a.header.Get("Cache-Control") != "no-store" || a.text("error") == "" {
			t.Errorf("%d %v %s", a.status, a.header, a.raw)
		}
	}},
	{"2.2.2", "SHOULD", "invalid_target where a token for a target is not to be had, by any parameter", refusedFor(oauth.CodeInvalidTarget, map[string]func(url.Values){
		"audience": setting("audience", "payroll"), "resource": func(f url.Values) { f.Del("audience"); f.Set("resource", "https://payroll.test") },
		"one of several": setting("audience", rfcMirror, "payroll"),
	})},
	{"2.2.2", "SHOULD", "invalid_target where none is named and the rule knows several", func(t *testing.T, h *house) {
		form := with(exchangeForm(h.partner(), ""), "audience")
		is(t, h.do(call{path: "/token", form: form, header: as("orders-api")}), http.StatusBadRequest, oauth.CodeInvalidTarget)
	}},
	{"2.2.2", "MAY", "error_description; it says one sentence for each code and nothing of the cause", func(t *testing.T, h *house) {
		told := map[string]bool{}
		for _, token := range h.spoilt(h.partner) {
			told[h.ask(setting("subject_token", token)).text("error_description")] = true
		}
		if len(told) != 1 || told[""] {
			t.Errorf("descriptions %v", told)
		}
	}},
	{"2.2.2", "says", "other codes, as appropriate: invalid_scope for a scope beyond", refusedFor(oauth.CodeInvalidScope, map[string]func(url.Values){
		"beyond": setting("scope", "orders.read admin"), "malformed": setting("scope", `a"b`),
	})},
}

// texts is a claim that is a string or a list of them.
func texts(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, one := range v {
			s, _ := one.(string)
			all = append(all, s)
		}
	}
	return all
}

func holdsTargets(t *testing.T, a answer) {
	t.Helper()
	if granted(t, a); a.status != http.StatusOK {
		return
	}
	got := texts(claimsOf(t, a.text("access_token"))["aud"])
	if slices.Sort(got); !slices.Equal(got, []string{rfcVersioned, rfcMirror}) {
		t.Errorf("aud %v", got)
	}
}
