package web_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// TestOIDF_ConfigOP runs the one module of Config OP.
func TestOIDF_ConfigOP(t *testing.T) {
	p := newProvider(t)
	t.Run("oidcc-discovery-endpoint-verification", func(t *testing.T) { discoveryEndpointVerification(p.module(t, suiteRS256, "RS256", "")) })
}

// discoveryEndpointVerification holds discovery to OpenID Connect Discovery §3, and the key set to §3's jwks_uri.
func discoveryEndpointVerification(m *module) {
	d := m.discovery()
	if d["issuer"] != issuer {
		m.t.Errorf("issuer %v", d["issuer"])
	}
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "end_session_endpoint", "introspection_endpoint", "revocation_endpoint"} {
		if at, _ := d[name].(string); !strings.HasPrefix(at, issuer+"/") {
			m.t.Errorf("%s %q is not https under the issuer", name, at)
		}
	}
	for name, wanted := range map[string][]any{
		"response_types_supported": {"code"}, "subject_types_supported": {"public"}, "scopes_supported": {"openid", "profile", "email", "address", "phone", "offline_access"},
		"id_token_signing_alg_values_supported": {"RS256", "ES256"}, "response_modes_supported": {"query", "form_post"},
		"grant_types_supported": {"authorization_code", "refresh_token"}, "token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post"},
		"code_challenge_methods_supported": {"S256"}, "claims_supported": {"sub", "name", "email", "email_verified", "address", "phone_number"},
	} {
		has, _ := d[name].([]any)
		for _, want := range wanted {
			if !slices.Contains(has, want) {
				m.t.Errorf("%s %v lacks %v", name, has, want)
			}
		}
	}
	for name, want := range map[string]bool{
		"request_uri_parameter_supported": false, "request_parameter_supported": false, "claims_parameter_supported": false, "authorization_response_iss_parameter_supported": true,
	} {
		if d[name] != want {
			m.t.Errorf("%s %v, want %v written out", name, d[name], want)
		}
	}
	var ids []string
	for _, key := range m.keys().Keys {
		if !key.Valid() || !key.IsPublic() || key.Use != "sig" || key.KeyID == "" || slices.Contains(ids, key.KeyID) {
			m.t.Errorf("key %+v", key)
		}
		ids = append(ids, key.KeyID)
	}
}

// TestOIDF_RPInitiatedLogoutOP runs the modules of RP-Initiated Logout OP. Each begins with a person who is signed in.
func TestOIDF_RPInitiatedLogoutOP(t *testing.T) {
	p := newProvider(t)
	for _, tt := range []struct {
		name string
		run  func(m *module, got tokens)
	}{
		{"oidcc-rp-initiated-logout-discovery-endpoint-verification", func(m *module, _ tokens) { discoveryEndpointVerification(m) }},
		{"oidcc-rp-initiated-logout", func(m *module, got tokens) { m.leaves(leaving(got), suiteBye+"?state=a+%26+b") }},
		{"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri", func(m *module, got tokens) {
			m.endsHere(with(leaving(got), "post_logout_redirect_uri", suiteBase+"/unregistered"))
		}},
		{"oidcc-rp-initiated-logout-modified-id-token-hint", func(m *module, got tokens) {
			_, rest, _ := strings.Cut(got.idToken, ".")
			payload, _, _ := strings.Cut(rest, ".")
			none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
			m.asks(with(leaving(got), "id_token_hint", none+"."+payload+"."))
		}},
		{"oidcc-rp-initiated-logout-no-id-token-hint", func(m *module, got tokens) {
			// Departure: client_id does not stand for a hint (divergences: RP-Initiated Logout §2, §3).
			for _, id := range []string{m.app, ""} {
				m.asks(with(with(leaving(got), "id_token_hint"), "client_id", id))
				m.complete(m.request())
			}
		}},
		{"oidcc-rp-initiated-logout-no-params", func(m *module, _ tokens) { m.asks(url.Values{}) }},
		{"oidcc-rp-initiated-logout-no-post-logout-redirect-uri", func(m *module, got tokens) { m.endsHere(with(leaving(got), "post_logout_redirect_uri")) }},
		{"oidcc-rp-initiated-logout-no-state", func(m *module, got tokens) { m.leaves(with(leaving(got), "state"), suiteBye) }},
		{"oidcc-rp-initiated-logout-only-state", func(m *module, _ tokens) { m.asks(url.Values{"state": {"a & b"}}) }},
		{"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri", func(m *module, got tokens) {
			m.endsHere(with(leaving(got), "post_logout_redirect_uri", suiteBye+"?foo=bar"))
		}},
		{"oidcc-rp-initiated-logout-bad-id-token-hint", func(m *module, got tokens) { m.asks(with(leaving(got), "id_token_hint", m.forged(got))) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := p.module(t, suiteRS256, "RS256", "")
			tt.run(m, m.complete(m.request()))
		})
	}
}

// leaving is a whole request to sign out (RP-Initiated Logout §2).
func leaving(got tokens) url.Values {
	return url.Values{"id_token_hint": {got.idToken}, "post_logout_redirect_uri": {suiteBye}, "state": {"a & b"}}
}

// forged is the person's ID token, signed by the app with its secret.
func (m *module) forged(got tokens) string {
	m.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secretOf(m.app) + strings.Repeat(" ", 32))}, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	raw, err := jwt.Signed(signer).Claims(got.id).Serialize()
	if err != nil {
		m.t.Fatal(err)
	}
	return raw
}

// signedOut holds the person to be, or not to be, signed out, by the suite's own test: prompt=none.
func (m *module) signedOut(want bool) {
	m.t.Helper()
	q := m.request("prompt", "none")
	if got := m.told(m.visit("/authorize", q), q); (got.Get("error") == "login_required") != want || got.Has("code") == want {
		m.t.Errorf("prompt=none says %v, want signed out: %t", got, want)
	}
}

// leaves holds a request to sign the person out and to lead to the app.
func (m *module) leaves(q url.Values, to string) {
	m.t.Helper()
	at := mustParse(m.t, issuer)
	held := m.pages.client.Jar.Cookies(at)
	if a := m.visit("/logout", q); a.status != http.StatusSeeOther || a.header.Get("Location") != to {
		m.t.Errorf("%d %v %s, want %s", a.status, a.header, a.raw, to)
	}
	m.signedOut(true)
	m.pages.client.Jar.SetCookies(at, held) // the session is over, not only forgotten by this browser
	m.signedOut(true)
}

const signedOutTitle = "re signed out</h1>"

// endsHere holds a request to sign the person out, and to lead nowhere.
func (m *module) endsHere(q url.Values) {
	m.t.Helper()
	a := m.visit("/logout", q)
	if m.staysHere(a, http.StatusOK); !strings.Contains(a.raw, signedOutTitle) {
		m.t.Errorf("page %s", a.raw)
	}
	m.signedOut(true)
}

// asks holds a request to do nothing before the person agrees, then to sign out, and to lead nowhere at any time.
func (m *module) asks(q url.Values) {
	m.t.Helper()
	question := m.visit("/logout", q)
	if m.staysHere(question, http.StatusOK); strings.Contains(question.raw, signedOutTitle) {
		m.t.Errorf("nobody was asked: %s", question.raw)
	}
	m.signedOut(false)
	fields := inputs(question.raw)
	if len(fields) == 0 {
		m.t.Fatalf("no question: %s", question.raw)
	}
	agreed := m.pages.do(call{path: "/logout", form: fields, header: http.Header{"Origin": {"https://login.test"}, "Sec-Fetch-Site": {"same-origin"}}})
	if m.staysHere(agreed, http.StatusOK); !strings.Contains(agreed.raw, signedOutTitle) {
		m.t.Errorf("page %s", agreed.raw)
	}
	m.signedOut(true)
}
