package web_test

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/store"
)

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// refused is what a refusal has to be.
type refused struct {
	status int
	code   oauth.Code
	reason oauth.Reason // in the log only
}

// checkRefusal holds an answer to P27's last sentence: code, status, one fixed text, a decision id in body and header and the cause in the log
// under it; nothing else.
func (h *house) checkRefusal(t *testing.T, a answer, want refused) {
	t.Helper()
	if a.status != want.status || a.text("error") != string(want.code) {
		t.Fatalf("got %d %s, want %d %s; log: %v", a.status, a.raw, want.status, want.code, h.log.of(t, a.text("decision_id")))
	}
	if got := a.text("error_description"); got != want.code.Description() {
		t.Errorf("error_description %q, want %q", got, want.code.Description())
	}
	id := a.text("decision_id")
	if len(id) < 22 || id != a.header.Get("Decision-Id") { // 22 characters of base64 hold 128 bits; ours are base32
		t.Errorf("decision id %q, header %q", id, a.header.Get("Decision-Id"))
	}
	if len(a.body) != 3 {
		t.Errorf("body %s, want exactly error, error_description, decision_id", a.raw)
	}
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Pragma") != "no-cache" {
		t.Errorf("caching: %v", a.header)
	}
	lines := h.log.of(t, id)
	if !slices.ContainsFunc(lines, func(l map[string]any) bool {
		return l["reason"] == string(want.reason) && l["code"] == string(want.code)
	}) {
		t.Errorf("log under %s: %v, want reason %s", id, lines, want.reason)
	}
	if want.status == http.StatusUnauthorized != (a.header.Get("WWW-Authenticate") != "") {
		t.Errorf("status %d with WWW-Authenticate %q", a.status, a.header.Get("WWW-Authenticate"))
	}
	if want.code == oauth.CodeTemporarilyUnavailable {
		if n, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || n < 1 {
			t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
	}
}

// p27Row is one request that must be refused.
type p27Row struct {
	name string
	make func(h *house) call
	want refused
}

func invalidRequest(status int, reason oauth.Reason) refused {
	return refused{status, oauth.CodeInvalidRequest, reason}
}

func (h *house) runRows(rows []p27Row) {
	for _, row := range rows {
		h.t.Run(row.name, func(t *testing.T) {
			h.checkRefusal(t, h.do(row.make(h)), row.want)
		})
	}
}

func TestP27_FormRules(t *testing.T) {
	h := newHouse(t)
	form := func(h *house) url.Values { return exchangeForm(h.partner(), "orders") }
	rows := []p27Row{
		{"GET", func(h *house) call { return call{method: http.MethodGet, path: "/token"} }, invalidRequest(405, oauth.ReasonFormRules)},
		{"GET with a good request in the query", func(h *house) call {
			return call{method: http.MethodGet, path: "/token?" + form(h).Encode(), header: as("gateway")}
		}, invalidRequest(405, oauth.ReasonFormRules)},
		{"PUT", func(h *house) call {
			return call{method: http.MethodPut, path: "/token", form: form(h), header: as("gateway")}
		}, invalidRequest(405, oauth.ReasonFormRules)},
		{"OPTIONS", func(h *house) call { return call{method: http.MethodOptions, path: "/token"} }, invalidRequest(405, oauth.ReasonFormRules)},
		{"a method that nobody knows", func(h *house) call { return call{method: "BREW", path: "/token"} }, invalidRequest(405, oauth.ReasonFormRules)},
		{"no body", func(h *house) call { return call{path: "/token", header: as("gateway")} }, invalidRequest(415, oauth.ReasonFormRules)},
		{"JSON", func(h *house) call {
			return call{path: "/token", raw: strings.NewReader(`{"grant_type":"client_credentials"}`), header: withType(as("gateway"), "application/json")}
		}, invalidRequest(415, oauth.ReasonFormRules)},
		{"multipart", func(h *house) call {
			return call{path: "/token", form: form(h), header: withType(as("gateway"), "multipart/form-data; boundary=x")}
		}, invalidRequest(415, oauth.ReasonFormRules)},
		{"two media types", func(h *house) call {
			header := withType(as("gateway"), "application/x-www-form-urlencoded")
			header.Add("Content-Type", "application/json")
			return call{path: "/token", form: form(h), header: header}
		}, invalidRequest(415, oauth.ReasonFormRules)},
		{"another charset", func(h *house) call {
			return call{path: "/token", form: form(h), header: withType(as("gateway"), "application/x-www-form-urlencoded; charset=utf-16")}
		}, invalidRequest(415, oauth.ReasonFormRules)},
		{"an encoded body", func(h *house) call {
			header := as("gateway")
			header.Set("Content-Encoding", "gzip")
			return call{path: "/token", form: form(h), header: header}
		}, invalidRequest(415, oauth.ReasonFormRules)},
		{"10 MiB", func(h *house) call {
			return call{path: "/token", raw: strings.NewReader("subject_token=" + strings.Repeat("a", 10<<20)), header: as("gateway")}
		}, invalidRequest(413, oauth.ReasonFormRules)},
		{"10 MiB without a length", func(h *house) call {
			return call{path: "/token", raw: io.MultiReader(strings.NewReader("subject_token="), strings.NewReader(strings.Repeat("a", 10<<20))), header: as("gateway")}
		}, invalidRequest(413, oauth.ReasonFormRules)},
		{"a million dots", func(h *house) call {
			return call{path: "/token", raw: strings.NewReader("subject_token=" + strings.Repeat(".", 1_000_000)), header: as("gateway")}
		}, invalidRequest(413, oauth.ReasonFormRules)},
		{"one byte too much", func(h *house) call {
			return call{path: "/token", raw: strings.NewReader("a=" + strings.Repeat("a", 64<<10-1)), header: as("gateway")}
		}, invalidRequest(413, oauth.ReasonFormRules)},
		{"a parameter in the query", func(h *house) call { return call{path: "/token?audience=orders", form: form(h), header: as("gateway")} }, invalidRequest(400, oauth.ReasonFormRules)},
		{"the client in the query", func(h *house) call {
			return call{path: "/token?client_id=gateway&client_secret=" + secretOf("gateway"), form: form(h)}
		}, invalidRequest(400, oauth.ReasonFormRules)},
		{"two client authentications", func(h *house) call {
			return call{path: "/token", form: with(with(form(h), "client_id", "gateway"), "client_secret", secretOf("gateway")), header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonFormRules)},
		{"two Authorization headers", func(h *house) call {
			header := as("gateway")
			header["Authorization"] = append(header["Authorization"], header["Authorization"]...)
			return call{path: "/token", form: form(h), header: header}
		}, invalidRequest(400, oauth.ReasonFormRules)},
		{"client_id of another client", func(h *house) call {
			return call{path: "/token", form: with(form(h), "client_id", "orders-api"), header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonFormRules)},
		{"bad UTF-8", func(h *house) call {
			return call{path: "/token", raw: strings.NewReader("grant_type=%ff%fe"), header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonFormRules)},
		{"broken escape", func(h *house) call {
			return call{path: "/token", raw: strings.NewReader("grant_type=%zz"), header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonFormRules)},
	}
	for _, name := range []string{"grant_type", "subject_token", "subject_token_type", "scope", "client_id", "requested_token_type", "unknown"} {
		rows = append(rows, p27Row{"repeated " + name, func(h *house) call {
			return call{path: "/token", form: with(form(h), name, "x", "x"), header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonFormRules)})
	}
	h.runRows(rows)
}

func withType(h http.Header, mediaType string) http.Header {
	h.Set("Content-Type", mediaType)
	return h
}

func TestP27_405NamesTheMethodsThatAre(t *testing.T) {
	h := newHouse(t)
	for path, want := range map[string]string{"/token": "POST", "/introspect": "POST", "/revoke": "POST", "/jwks": "GET, HEAD", "/.well-known/openid-configuration": "GET, HEAD"} {
		if a := h.do(call{method: http.MethodDelete, path: path}); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != want {
			t.Errorf("DELETE %s: %d, Allow %q, want %q", path, a.status, a.header.Get("Allow"), want)
		}
	}
}

// A length is believed only when it is refused: nothing is read for it, and no memory is set aside.
func TestP27_AnnouncedLengthIsRefusedUnread(t *testing.T) {
	h := newHouse(t)
	at, err := url.Parse(h.url)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /fed/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", int64(1)<<40)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d", res.StatusCode)
	}
}

func TestP27_RepeatedAudienceAndResourceAreNoMistake(t *testing.T) {
	h := newHouse(t)
	form := with(exchangeForm(h.partner(), "orders"), "audience", "orders", "orders")
	if a := h.do(call{path: "/token", form: form, header: as("gateway")}); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestP27_ClientCredentials(t *testing.T) {
	form := func(h *house) url.Values { return exchangeForm(h.partner(), "orders") }
	want := refused{401, oauth.CodeInvalidClient, oauth.ReasonClientCredentials}
	wrong := []p27Row{
		{"wrong secret, basic", func(h *house) call { return call{path: "/token", form: form(h), header: basic("gateway", "wrong")} }, want},
		{"wrong secret, post", func(h *house) call {
			return call{path: "/token", form: with(with(form(h), "client_id", "gateway"), "client_secret", "wrong")}
		}, want},
		{"unknown client", func(h *house) call { return call{path: "/token", form: form(h), header: basic("nobody", "x")} }, want},
		{"client_id alone of a client with a secret", func(h *house) call { return call{path: "/token", form: with(form(h), "client_id", "gateway")} }, want},
		{"Bearer", func(h *house) call {
			return call{path: "/token", form: form(h), header: http.Header{"Authorization": {"Bearer x"}}}
		}, want},
		{"broken basic", func(h *house) call {
			return call{path: "/token", form: form(h), header: http.Header{"Authorization": {"Basic %%%"}}}
		}, want},
		{"an assertion that is none", func(h *house) call {
			return call{path: "/token", form: with(with(form(h), "client_assertion", "a.b.c"), "client_assertion_type", oauth.AssertionJWTBearer)}
		}, want},
		{"wrong secret beats an unknown grant type", func(h *house) call {
			return call{path: "/token", form: url.Values{"grant_type": {"nonsense"}}, header: basic("gateway", "wrong")}
		}, want},
	}
	t.Run("wrong", func(t *testing.T) { h := newHouse(t); h.t = t; h.runRows(wrong) })
	t.Run("absent, and no anonymous rule", func(t *testing.T) {
		h := newHouse(t, withoutAnonymous)
		h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(h.job(), deploy)}), want)
		h.checkRefusal(t, h.do(call{path: "/token", form: url.Values{"grant_type": {"nonsense"}}}), want)
	})
}

func TestP27_GrantTypeAndClientsRights(t *testing.T) {
	h := newHouse(t)
	h.runRows([]p27Row{
		{"a grant type that is not served", func(h *house) call {
			return call{path: "/token", form: url.Values{"grant_type": {"password"}}, header: as("gateway")}
		}, refused{400, oauth.CodeUnsupportedGrantType, oauth.ReasonGrantType}},
		{"a known one that is not served", func(h *house) call {
			return call{path: "/token", form: url.Values{"grant_type": {oauth.GrantDeviceCode}, "device_code": {"x"}}, header: as("gateway")}
		}, refused{400, oauth.CodeUnsupportedGrantType, oauth.ReasonGrantType}},
		{"no grant type", func(h *house) call {
			return call{path: "/token", form: url.Values{"scope": {"x"}}, header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonParameter)},
		{"the client may not use the grant", func(h *house) call {
			return call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("grantless")}
		}, refused{400, oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed}},
		{"client_credentials by a client without it", func(h *house) call {
			return call{path: "/token", form: url.Values{"grant_type": {"client_credentials"}}, header: as("orders-api")}
		}, refused{400, oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed}},
		{"no rule names the requester", func(h *house) call {
			return call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("ruleless")}
		}, refused{400, oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed}},
		{"public client", func(h *house) call {
			return call{path: "/token", form: with(exchangeForm(h.partner(), "orders"), "client_id", "spa")}
		}, refused{400, oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed}},
		{"client_credentials by nobody", func(h *house) call {
			return call{path: "/token", form: url.Values{"grant_type": {"client_credentials"}}}
		}, refused{400, oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed}},
		{"no rule beats wrong parameters", func(h *house) call {
			return call{path: "/token", form: url.Values{"grant_type": {oauth.GrantTokenExchange}}, header: as("ruleless")}
		}, refused{400, oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed}},
	})
}

func TestP27_Parameters(t *testing.T) {
	h := newHouse(t)
	form := func(h *house) url.Values { return exchangeForm(h.partner(), "orders") }
	row := func(name, parameter string, values ...string) p27Row {
		return p27Row{name, func(h *house) call {
			return call{path: "/token", form: with(form(h), parameter, values...), header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonParameter)}
	}
	h.runRows([]p27Row{
		row("no subject_token", "subject_token"),
		row("empty subject_token", "subject_token", ""),
		row("no subject_token_type", "subject_token_type"),
		row("unknown subject_token_type", "subject_token_type", "urn:x"),
		row("a refresh token as subject", "subject_token_type", oauth.TypeRefreshToken),
		row("a SAML 1.1 subject", "subject_token_type", oauth.TypeSAML1),
		{"requested_token_type id_token where no rule issues it", func(h *house) call {
			return call{path: "/token", form: with(form(h), "requested_token_type", oauth.TypeIDToken), header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonTokenType)},
		row("actor_token without type", "actor_token", "x"),
		row("actor_token_type without token", "actor_token_type", oauth.TypeJWT),
		{"an actor of whom no rule takes tokens", func(h *house) call {
			f := with(with(form(h), "actor_token", h.partner()), "actor_token_type", oauth.TypeJWT)
			return call{path: "/token", form: f, header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonTokenIssuer)},
	})
}

func TestP27_TargetAndCondition(t *testing.T) {
	h := newHouse(t)
	target := refused{400, oauth.CodeInvalidTarget, oauth.ReasonTarget}
	h.runRows([]p27Row{
		{"an audience that no rule leads to", func(h *house) call {
			return call{path: "/token", form: exchangeForm(h.partner(), "billing"), header: as("gateway")}
		}, target},
		{"one of two audiences", func(h *house) call {
			return call{path: "/token", form: with(exchangeForm(h.partner(), ""), "audience", "orders", "billing"), header: as("gateway")}
		}, target},
		{"a malformed resource", func(h *house) call {
			return call{path: "/token", form: with(exchangeForm(h.partner(), "orders"), "resource", "not absolute"), header: as("gateway")}
		}, target},
		{"a resource with a fragment", func(h *house) call {
			return call{path: "/token", form: with(exchangeForm(h.partner(), "orders"), "resource", "https://a.test/#x"), header: as("gateway")}
		}, target},
		{"the condition does not hold", func(h *house) call {
			token := h.partner(func(c map[string]any) { c["roles"] = []string{"eng-other"} })
			return call{path: "/token", form: exchangeForm(token, "orders"), header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonCondition)},
		{"the claim of the condition is missing", func(h *house) call {
			token := h.partner(func(c map[string]any) { delete(c, "roles") })
			return call{path: "/token", form: exchangeForm(token, "orders"), header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonCondition)},
		{"another owner", func(h *house) call {
			return call{path: "/token", form: exchangeForm(h.job(func(c map[string]any) { c["repository_owner_id"] = "666" }), deploy)}
		}, invalidRequest(400, oauth.ReasonCondition)},
		{"a scope beyond the rule", func(h *house) call {
			return call{path: "/token", form: with(exchangeForm(h.partner(), "orders"), "scope", "orders.read orders.write"), header: as("gateway")}
		}, refused{400, oauth.CodeInvalidScope, oauth.ReasonScope}},
		{"a malformed scope", func(h *house) call {
			return call{path: "/token", form: with(exchangeForm(h.partner(), "orders"), "scope", `a"b`), header: as("gateway")}
		}, refused{400, oauth.CodeInvalidScope, oauth.ReasonScope}},
		{"client_credentials beyond the client's scopes", func(h *house) call {
			return call{path: "/token", form: url.Values{"grant_type": {"client_credentials"}, "scope": {"admin"}}, header: as("gateway")}
		}, refused{400, oauth.CodeInvalidScope, oauth.ReasonScope}},
		{"client_credentials for another's audience", func(h *house) call {
			return call{path: "/token", form: url.Values{"grant_type": {"client_credentials"}, "audience": {"billing"}}, header: as("gateway")}
		}, target},
		{"target is judged only after the token verified", func(h *house) call {
			return call{path: "/token", form: exchangeForm(h.partner()+"x", "billing"), header: as("gateway")}
		}, invalidRequest(400, oauth.ReasonToken)},
	})
}

func TestP27_SingleUse(t *testing.T) {
	h := newHouse(t)
	token := h.partner()
	if a := h.do(call{path: "/token", form: exchangeForm(token, "vault"), header: as("gateway")}); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(token, "vault"), header: as("gateway")}), invalidRequest(400, oauth.ReasonReplay))
	without := h.partner(func(c map[string]any) { delete(c, "jti") })
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(without, "vault"), header: as("gateway")}), invalidRequest(400, oauth.ReasonReplay))
}

func TestP24_SpentUntilExpiryAndLeewayAndASecond(t *testing.T) {
	h := newHouse(t)
	if a := h.do(call{path: "/token", form: exchangeForm(h.partner(), "vault"), header: as("gateway")}); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	spent, err := h.engine.Scan(t.Context(), "spent", store.Range{Limit: 10})
	if err != nil || len(spent) != 1 {
		t.Fatalf("%v, %v", spent, err)
	}
	if want := h.clock().Add(5*time.Minute + 30*time.Second + time.Second); !spent[0].Expires.Equal(want) {
		t.Errorf("kept until %v, want %v", spent[0].Expires, want)
	}
}

func TestP24_DenialSpendsNothing(t *testing.T) {
	h := newHouse(t)
	token := h.partner()
	denied := with(exchangeForm(token, "vault"), "scope", "beyond")
	h.checkRefusal(t, h.do(call{path: "/token", form: denied, header: as("gateway")}), refused{400, oauth.CodeInvalidScope, oauth.ReasonScope})
	if a := h.do(call{path: "/token", form: exchangeForm(token, "vault"), header: as("gateway")}); a.status != http.StatusOK {
		t.Errorf("after a denial: %d %s", a.status, a.raw)
	}
}

func TestP24_TokenTooLongSpendsNothing(t *testing.T) {
	h := newHouse(t)
	roles := make([]string, 1550) // "acme:" before each takes the result over the limit that the subject token keeps
	for i := range roles {
		roles[i] = fmt.Sprintf("r%d", i)
	}
	named := set("jti", "one")
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(h.partner(named, set("roles", roles)), "vault"), header: as("gateway")}), invalidRequest(400, oauth.ReasonMapping))
	if a := h.do(call{path: "/token", form: exchangeForm(h.partner(named), "vault"), header: as("gateway")}); a.status != http.StatusOK {
		t.Fatalf("after a token that was too long: %d %s", a.status, a.raw)
	}
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(h.partner(named), "vault"), header: as("gateway")}), invalidRequest(400, oauth.ReasonReplay))
}

func TestP27_KeysUnavailable(t *testing.T) {
	h := newHouse(t)
	h.idp.Down(true)
	want := refused{503, oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable}
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")}), want)
	// What is wrong with a token by itself is said all the same.
	expired := h.partner(func(c map[string]any) { c["exp"] = h.clock().Add(-time.Hour).Unix() })
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(expired, "orders"), header: as("gateway")}), invalidRequest(400, oauth.ReasonTokenTime))
}

// What is left of a token (P18) is judged without any key.
func TestP27_TooLittleLifeBeforeUnavailable(t *testing.T) {
	t.Run("keys", func(t *testing.T) {
		h := newHouse(t)
		h.idp.Down(true)
		for _, left := range []time.Duration{-3 * time.Second, 0, 3 * time.Second} { // all inside the leeway
			token := h.partner(set("exp", h.clock().Add(left).Unix()))
			h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(token, "orders"), header: as("gateway")}), invalidRequest(400, oauth.ReasonTokenTime))
		}
		long := h.partner(set("exp", h.clock().Add(5*time.Second).Unix()))
		h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(long, "orders"), header: as("gateway")}), refused{503, oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable})
	})
	t.Run("revocations", func(t *testing.T) {
		h := newHouse(t)
		issue := func() string { // lives 16 s
			short := h.partner(set("exp", h.clock().Add(16*time.Second).Unix()))
			return h.do(call{path: "/token", form: exchangeForm(short, "orders"), header: as("gateway")}).text("access_token")
		}
		token := issue()
		h.now.Add(11) // nobody runs the broker's loops here, so the revocation set ages; 5 s are left
		h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(token, "billing"), header: as("orders-api")}), refused{503, oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale})
		for range 2 { // 4 s are left, then -6 s
			h.now.Add(1)
			h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(token, "billing"), header: as("orders-api")}), invalidRequest(400, oauth.ReasonTokenTime))
			h.now.Add(9)
		}
	})
}

func TestP27_RevocationsStale(t *testing.T) {
	h := newHouse(t)
	token := h.partner()
	if a := h.do(call{path: "/token", form: exchangeForm(token, "orders"), header: as("gateway")}); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	h.now.Add(11) // nobody runs the broker's loops here, so the revocation set ages
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(token, "orders"), header: as("gateway")}), refused{503, oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale})
	h.checkRefusal(t, h.do(call{path: "/introspect", form: url.Values{"token": {h.issuedBefore(t)}}, header: as("gateway")}), refused{503, oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale})
}

// issuedBefore is a token of ours from client_credentials, which asks no revocation set.
func (h *house) issuedBefore(t *testing.T) string {
	t.Helper()
	a := h.do(call{path: "/token", form: url.Values{"grant_type": {"client_credentials"}}, header: as("gateway")})
	if a.status != http.StatusOK {
		t.Fatalf("client_credentials: %d %s", a.status, a.raw)
	}
	return a.text("access_token")
}

var errDisk = errors.New("write /var/lib/fedbroker/secret-path: no space left on device")

func TestP26_NothingIssuedWithoutJournalLine(t *testing.T) {
	h := newHouse(t)
	want := refused{503, oauth.CodeTemporarilyUnavailable, oauth.ReasonNotDurable}
	good := []call{
		{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")},
		{path: "/token", form: exchangeForm(h.job(), deploy)},
		{path: "/token", form: url.Values{"grant_type": {"client_credentials"}}, header: as("gateway")},
	}
	for _, err := range []error{store.ErrUnavailable, store.ErrUnknown, errDisk} {
		h.journal.fail(err)
		for _, c := range good {
			a := h.do(c)
			h.checkRefusal(t, a, want)
			if strings.Contains(a.raw, "ey") || strings.Contains(a.raw, "secret-path") {
				t.Errorf("answer %s", a.raw)
			}
		}
	}
	h.journal.fail(nil)
	for _, c := range good {
		if a := h.do(c); a.status != http.StatusOK {
			t.Errorf("after the journal works again: %d %s", a.status, a.raw)
		}
	}
	failed := 0
	for _, l := range h.lines() { // those of the refusals were queued before
		if l["outcome"] != "error" {
			continue
		}
		if failed++; l["reason"] != "not_durable" || l["jti"] != nil || l["exp"] != nil || l["kid"] != nil {
			t.Errorf("line of what was not issued: %v", l)
		}
	}
	if failed != 6 { // two authenticated clients, three failures
		t.Errorf("%d lines of failures", failed)
	}
}

func TestP26_NothingIssuedWithoutSpentRecord(t *testing.T) {
	h := newHouse(t)
	warm := h.partner()
	if a := h.do(call{path: "/token", form: exchangeForm(warm, "orders"), header: as("gateway")}); a.status != http.StatusOK { // keys and subject are known from here on
		t.Fatalf("%d %s", a.status, a.raw)
	}
	token := h.partner()
	for _, err := range []error{store.ErrUnavailable, store.ErrUnknown} {
		h.engine.fail(err)
		h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(token, "vault"), header: as("gateway")}), refused{503, oauth.CodeTemporarilyUnavailable, oauth.ReasonNotDurable})
	}
	h.engine.fail(nil)
	if a := h.do(call{path: "/token", form: exchangeForm(token, "vault"), header: as("gateway")}); a.status != http.StatusOK {
		t.Errorf("nothing was spent, and now: %d %s", a.status, a.raw)
	}
}

func TestP26_SpentButNotJournalledStaysSpent(t *testing.T) {
	h := newHouse(t)
	token := h.partner()
	h.journal.fail(store.ErrUnavailable)
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(token, "vault"), header: as("gateway")}), refused{503, oauth.CodeTemporarilyUnavailable, oauth.ReasonNotDurable})
	h.journal.fail(nil)
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(token, "vault"), header: as("gateway")}), invalidRequest(400, oauth.ReasonReplay))
}
