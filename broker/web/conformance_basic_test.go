package web_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOIDF_BasicOP runs the modules of Basic OP, and again as those of Form Post OP.
func TestOIDF_BasicOP(t *testing.T) {
	p := newProvider(t)
	for _, plan := range []struct{ name, app, alg, mode string }{
		{"Basic OP", suiteES256, "ES256", ""},
		{"Form Post OP", suiteRS256, "RS256", "form_post"},
	} {
		t.Run(plan.name, func(t *testing.T) {
			for _, tt := range basicModules() {
				t.Run(tt.name, func(t *testing.T) { tt.run(p.module(t, plan.app, plan.alg, plan.mode)) })
			}
		})
	}
}

type oidfModule struct {
	name string
	run  func(*module)
}

func basicModules() []oidfModule {
	return []oidfModule{
		{"oidcc-server", func(m *module) { m.complete(m.request()) }},
		{"oidcc-response-type-missing", responseTypeMissing},
		{"oidcc-idtoken-signature", idTokenSignature},
		{"oidcc-idtoken-unsigned", idTokenUnsigned},
		{"oidcc-userinfo-get", userinfoGet},
		{"oidcc-userinfo-post-header", userinfoPostHeader},
		{"oidcc-userinfo-post-body", userinfoPostBody},
		{"oidcc-ensure-request-without-nonce-succeeds-for-code-flow", func(m *module) { m.complete(with(m.request(), "nonce")) }},
		{"oidcc-scope-profile", func(m *module) { m.releases("profile") }},
		{"oidcc-scope-email", func(m *module) { m.releases("email") }},
		{"oidcc-scope-address", func(m *module) { m.releases("address") }},
		{"oidcc-scope-phone", func(m *module) { m.releases("phone") }},
		{"oidcc-scope-all", func(m *module) { m.releases("email", "phone", "address", "profile") }},
		{"oidcc-alternate-happy-flow", alternateHappyFlow},
		{"oidcc-display-page", func(m *module) { m.complete(m.request("display", "page")) }},
		{"oidcc-display-popup", func(m *module) { m.complete(m.request("display", "popup")) }},
		{"oidcc-prompt-login", promptLogin},
		{"oidcc-prompt-none-not-logged-in", promptNoneNotLoggedIn},
		{"oidcc-prompt-none-logged-in", promptNoneLoggedIn},
		{"oidcc-max-age-1", maxAge1},
		{"oidcc-max-age-10000", maxAge10000},
		{"oidcc-ensure-request-with-unknown-parameter-succeeds", func(m *module) { m.complete(m.request("extra", "foobar")) }},
		{"oidcc-id-token-hint", idTokenHint},
		{"oidcc-login-hint", func(m *module) { m.complete(m.request("login_hint", "somebody else")) }},
		{"oidcc-ui-locales", func(m *module) { m.complete(m.request("ui_locales", "se fr-CA")) }},
		{"oidcc-claims-locales", func(m *module) { m.complete(m.request("claims_locales", "se")) }},
		{"oidcc-ensure-request-with-acr-values-succeeds", func(m *module) { m.complete(m.request("acr_values", "1 2")) }},
		{"oidcc-codereuse", func(m *module) { m.reuse(0) }},
		{"oidcc-codereuse-30seconds", func(m *module) { m.reuse(30 * time.Second) }},
		{"oidcc-ensure-registered-redirect-uri", ensureRegisteredRedirectURI},
		{"oidcc-ensure-post-request-succeeds", ensurePostRequestSucceeds},
		{"oidcc-server-client-secret-post", clientSecretPost},
		{"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported", requestURIUnsigned},
		{"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported", requestObjectUnsigned},
		{"oidcc-claims-essential", claimsEssential},
		{"oidcc-ensure-request-object-with-redirect-uri", requestObjectWithRedirectURI},
		{"oidcc-refresh-token", refreshToken},
		{"oidcc-ensure-request-with-valid-pkce-succeeds", validPKCE},
	}
}

func responseTypeMissing(m *module) {
	q := with(m.request(), "response_type")
	m.wrong(m.visit("/authorize", q), q, "invalid_request")
}

func idTokenSignature(m *module) {
	m.complete(m.request()) // verified by the key of the token's own kid
	m.app, m.alg = suiteRS256, "RS256"
	m.complete(m.request())
}

// The suite skips this where discovery has no none.
func idTokenUnsigned(m *module) {
	if algs := m.discovery()["id_token_signing_alg_values_supported"]; !reflect.DeepEqual(algs, []any{"ES256", "RS256"}) {
		m.t.Errorf("id_token_signing_alg_values_supported %v", algs)
	}
}

func (m *module) discovery() map[string]any {
	m.t.Helper()
	a := m.do(call{method: http.MethodGet, path: "/.well-known/openid-configuration"})
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" || a.body == nil {
		m.t.Fatalf("discovery: %d %v %s", a.status, a.header, a.raw)
	}
	return a.body
}

// describes holds an answer of userinfo to be one about the person (OpenID Connect Core §5.3.2).
func (m *module) describes(a answer) {
	m.t.Helper()
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") || a.text("sub") != suiteSubject {
		m.t.Errorf("userinfo %d %v %s", a.status, a.header, a.raw)
	}
}

func userinfoGet(m *module) {
	m.describes(m.userinfo(m.complete(m.request()).access))
	if a := m.do(call{method: http.MethodGet, path: "/userinfo"}); a.status != http.StatusUnauthorized {
		m.t.Errorf("without a token: %d %s", a.status, a.raw)
	}
}

func userinfoPostHeader(m *module) {
	m.describes(m.do(call{path: "/userinfo", header: http.Header{"Authorization": {"Bearer " + m.complete(m.request()).access}}}))
}

func userinfoPostBody(m *module) {
	m.describes(m.do(call{path: "/userinfo", form: url.Values{"access_token": {m.complete(m.request()).access}}}))
}

// releases holds userinfo to release what the scopes stand for, and nothing that another scope does.
func (m *module) releases(scopes ...string) {
	m.t.Helper()
	m.tells(m.complete(m.request("scope", "openid "+strings.Join(scopes, " "))), scopes...)
}

func (m *module) tells(got tokens, scopes ...string) {
	m.t.Helper()
	every, want := everyClaim(), map[string]any{"sub": suiteSubject}
	for _, scope := range scopes {
		for _, name := range released()[scope] {
			want[name] = every[name]
		}
	}
	if at, ok := want["updated_at"].(int64); ok {
		want["updated_at"] = float64(at)
	}
	info := maps.Clone(got.info)
	delete(info, "upstream") // ours, of every login
	if !reflect.DeepEqual(info, want) {
		m.t.Errorf("userinfo %v, want %v", got.info, want)
	}
}

// Scopes and parameters in reverse make no difference.
func alternateHappyFlow(m *module) {
	q := m.request("scope", "email openid")
	var reversed []string
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(q))) {
		reversed = append(reversed, url.QueryEscape(name)+"="+url.QueryEscape(q.Get(name)))
	}
	a := m.walk(m.pages.do(call{method: http.MethodGet, path: "/authorize?" + strings.Join(reversed, "&")}))
	m.tells(m.received(m.redeem(m.code(a, q)), q.Get("nonce")), "email")
}

// again signs the person in once, lets time pass, and asks for a second authorization, for which the IdP has to ask the person so many times.
func (m *module) again(first, second url.Values, later time.Duration, times int) (one, two tokens) {
	m.t.Helper()
	before := m.asked()
	one = m.complete(first)
	if m.asked() != before+1 {
		m.t.Fatalf("the IdP asked %d times for the first authorization", m.asked()-before)
	}
	m.pass(later)
	two = m.complete(second)
	if got := m.asked() - before - 1; got != times {
		m.t.Errorf("the IdP asked %d times for the second authorization, want %d", got, times)
	}
	return one, two
}

// moved holds the second authentication to be a later one, of now.
func (m *module) moved(one, two tokens) {
	m.t.Helper()
	first, second := one.id["auth_time"].(float64), two.id["auth_time"].(float64)
	if second <= first || int64(second) != m.clock().Unix() || one.id["sub"] != two.id["sub"] {
		m.t.Errorf("auth_time %v, then %v at %v", first, second, m.clock().Unix())
	}
}

func promptLogin(m *module) {
	m.moved(m.again(m.request(), m.request("prompt", "login"), time.Second, 1))
	before := m.asked()
	if m.complete(m.request("prompt", "login")); m.asked() != before+1 { // within the same second, too
		m.t.Error("the IdP did not ask")
	}
}

func promptNoneNotLoggedIn(m *module) {
	before := len(m.provider.idp.Requests("/authorize"))
	q := m.request("prompt", "none", "state", strings.Repeat("a long state, +/&=%", 7))
	m.wrong(m.visit("/authorize", q), q, "login_required")
	if len(m.provider.idp.Requests("/authorize")) != before {
		m.t.Error("the IdP was contacted")
	}
}

func promptNoneLoggedIn(m *module) {
	one, two := m.again(m.request(), m.request("prompt", "none"), 2*time.Second, 0)
	sameLogin(m.t, one, two)
}

func maxAge1(m *module) {
	m.moved(m.again(m.request(), m.request("max_age", "1"), 2*time.Second, 1))
}

func maxAge10000(m *module) {
	one, two := m.again(m.request("max_age", "15000"), m.request("max_age", "10000"), 2*time.Second, 0)
	sameLogin(m.t, one, two)
}

func idTokenHint(m *module) {
	one := m.complete(m.request())
	m.pass(2 * time.Second)
	sameLogin(m.t, one, m.complete(m.request("prompt", "none", "id_token_hint", one.idToken)))
}

// reuse redeems a code twice: the second is refused, and what the first gave is revoked (RFC 6749 §4.1.2).
func (m *module) reuse(later time.Duration) {
	m.t.Helper()
	q := m.request("scope", "openid offline_access")
	code := m.code(m.walk(m.visit("/authorize", q)), q)
	first := m.received(m.redeem(code), q.Get("nonce"))
	m.pass(later)
	if a := m.redeem(code); a.status != http.StatusBadRequest || a.text("error") != "invalid_grant" || a.text("access_token") != "" {
		m.t.Errorf("the code again: %d %s", a.status, a.raw)
	}
	if a := m.userinfo(first.access); a.status != http.StatusUnauthorized || !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		m.t.Errorf("the first access token still serves: %d %v", a.status, a.header)
	}
	if a := m.refresh(first.refresh); a.status != http.StatusBadRequest || a.text("error") != "invalid_grant" {
		m.t.Errorf("the first refresh token still serves: %d %s", a.status, a.raw)
	}
}

// staysHere holds an answer to be a page of ours that leads to nowhere else.
func (m *module) staysHere(a answer, status int) {
	m.t.Helper()
	isPage(m.t, a, status)
	outside := strings.Contains(a.raw, `href="http`) || strings.Contains(a.raw, `action="http`) || strings.Contains(a.raw, "http-equiv")
	if a.header.Get("Location") != "" || a.header.Get("Refresh") != "" || outside {
		m.t.Errorf("leads away: %v %s", a.header, a.raw)
	}
}

func ensureRegisteredRedirectURI(m *module) {
	m.complete(m.request()) // a session must not make a difference
	for _, bad := range []string{suiteCallback + "/zr4Ck9", suiteCallback + "?a=b", suiteBase + "/Callback"} {
		m.staysHere(m.visit("/authorize", m.request("redirect_uri", bad)), http.StatusBadRequest)
	}
}

func ensurePostRequestSucceeds(m *module) {
	q := m.request()
	a := m.pages.do(call{path: "/authorize", form: q, header: http.Header{"Sec-Fetch-Site": {"cross-site"}}})
	m.received(m.redeem(m.code(m.walk(a), q)), q.Get("nonce"))
}

func clientSecretPost(m *module) {
	m.app, m.alg = suitePost, "RS256"
	m.complete(m.request())
}

// unsigned is a request object without a signature (OpenID Connect Core §6.1).
func (m *module) unsigned(claims url.Values) string {
	flat := map[string]any{"iss": m.app, "aud": issuer}
	for name := range claims {
		flat[name] = claims.Get(name)
	}
	payload, err := json.Marshal(flat)
	if err != nil {
		m.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode(payload) + "."
}

// Departure: request objects are not served (divergences: OpenID Connect Core §6).
func requestURIUnsigned(m *module) {
	q := m.request("request_uri", suiteBase+"/requests/1#hash")
	m.wrong(m.visit("/authorize", q), q, "request_uri_not_supported")
	if m.discovery()["request_uri_parameter_supported"] != false {
		m.t.Error("discovery has to say so: the default is true (Discovery §3)")
	}
}

// Departure: request objects are not served (divergences: OpenID Connect Core §6).
func requestObjectUnsigned(m *module) {
	q := m.request("request", m.unsigned(m.request()))
	m.wrong(m.visit("/authorize", q), q, "request_not_supported")
	if m.discovery()["request_parameter_supported"] != false {
		m.t.Error("discovery says that request objects are served")
	}
}

// The redirect_uri within proves nothing for the one beside it, nor the other way round.
func requestObjectWithRedirectURI(m *module) {
	m.staysHere(m.visit("/authorize", m.request("redirect_uri", suiteCallback+"/other", "request", m.unsigned(m.request()))), http.StatusBadRequest)
	m.staysHere(m.visit("/authorize", with(m.request("request", m.unsigned(m.request())), "redirect_uri")), http.StatusBadRequest)
}

// Departure: the claims parameter asks for nothing but acr, scopes decide (divergences: OpenID Connect Core §5.5). It is no error.
func claimsEssential(m *module) {
	wish := `{"userinfo":{"name":{"essential":true}}}`
	m.tells(m.complete(m.request("claims", wish)))
	m.tells(m.complete(m.request("claims", wish, "scope", "openid profile")), "profile")
	if m.discovery()["claims_parameter_supported"] != false {
		m.t.Error("discovery says that the claims parameter is served")
	}
}

func (m *module) refresh(token string) answer {
	m.t.Helper()
	return m.tokenRequest(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func refreshToken(m *module) {
	renewed := func() tokens {
		m.t.Helper()
		first := m.complete(m.request("scope", "openid offline_access", "prompt", "consent"))
		if strings.ContainsFunc(first.refresh, func(r rune) bool { return r < 0x20 || r > 0x7e }) || first.refresh == "" { // RFC 6749 §A.17
			m.t.Fatalf("refresh token %q", first.refresh)
		}
		m.pass(time.Second)
		next := m.received(m.refresh(first.refresh), "") // OpenID Connect Core §12.2: it should have no nonce
		sameLogin(m.t, first, next)
		if next.access == first.access || next.id["iat"].(float64) <= first.id["iat"].(float64) || next.id["aud"] != first.id["aud"] {
			m.t.Errorf("first %v, renewed %v", first.id, next.id)
		}
		return next
	}
	own, ownAlg := m.app, m.alg
	renewed()
	m.app, m.alg = suiteSecond, "RS256"
	others := renewed()
	m.app, m.alg = own, ownAlg
	if a := m.refresh(others.refresh); a.status != http.StatusBadRequest || a.text("error") != "invalid_grant" {
		m.t.Errorf("another app's refresh token: %d %s", a.status, a.raw)
	}
	if grants := fmt.Sprint(m.discovery()["grant_types_supported"]); !strings.Contains(grants, "refresh_token") {
		m.t.Errorf("grant_types_supported %s", grants)
	}
}

func validPKCE(m *module) {
	challenge := request()
	q := m.request("code_challenge", challenge.Get("code_challenge"), "code_challenge_method", "S256")
	code := func() string { m.t.Helper(); return m.code(m.walk(m.visit("/authorize", q)), q) }
	m.received(m.redeem(code(), "code_verifier", verifier), q.Get("nonce"))
	for _, bad := range []answer{m.redeem(code()), m.redeem(code(), "code_verifier", strings.ToUpper(verifier))} { // RFC 7636 §4.6
		if bad.status != http.StatusBadRequest || bad.text("error") != "invalid_grant" {
			m.t.Errorf("%d %s", bad.status, bad.raw)
		}
	}
}
