package web_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/beevik/etree"

	"fedbroker/broker"
	"fedbroker/broker/oauth"
	"fedbroker/broker/rules"
	"fedbroker/broker/web"
	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest/samlidp"
)

const stsAudience = "https://gateway.example"

// newSTS is a house to which a partner's security token service gives assertions.
func newSTS(t *testing.T) (*house, *samlidp.IdP) {
	t.Helper()
	idp, err := samlidp.New("urn:partner:sts", func() time.Time { return begun })
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sts.pem")
	if err := os.WriteFile(file, idp.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return newHouse(t, func(c *broker.Config, _ *web.Spec) {
		c.Upstreams = append(c.Upstreams, broker.UpstreamSpec{Spec: upstreams.Spec{Name: "sts", Kind: "saml", Issuer: idp.EntityID, SSOURL: "https://sts.example/sso", CertificatesFile: file,
			Audiences: []upstreams.Audience{{Value: stsAudience, Requesters: []string{"gateway"}}}}})
		rule := func(id, when, audience string, once bool) rules.Spec {
			return rules.Spec{ID: id, Subject: &rules.SubjectSpec{Upstream: "sts", When: when}, Requester: &rules.RequesterSpec{Clients: []string{"gateway", "orders-api"}},
				Grant: &rules.GrantSpec{Audiences: []string{audience}, Scopes: []rules.ScopeSpec{{Name: "ledger.read"}}, SingleUse: once}}
		}
		c.Exchange = append(c.Exchange, rule("sts-ledger", `claims.department == "R&D"`, "ledger", false), rule("sts-once", "", "safe", true))
	}), idp
}

// brought is an assertion for the gateway, as a form of an exchange has it.
func (h *house) brought(idp *samlidp.IdP, change func(*samlidp.Reply)) url.Values {
	h.t.Helper()
	r := idp.Good(samlidp.Request{Issuer: stsAudience, ACS: issuer + "/token"}, "alice")
	r.Authenticated, r.Attributes = time.Time{}, [][]string{{"department", "R&D"}}
	if change != nil {
		change(&r)
	}
	assertion, err := idp.Assertion(r)
	if err != nil {
		h.t.Fatal(err)
	}
	return url.Values{
		"grant_type": {oauth.GrantTokenExchange}, "audience": {"ledger"}, "subject_token_type": {oauth.TypeSAML2}, "subject_token": {base64.RawURLEncoding.EncodeToString(assertion)},
	}
}

func (h *house) bring(client string, form url.Values) answer {
	h.t.Helper()
	return h.do(call{path: "/token", form: form, header: as(client)})
}

func TestP42_AnAssertionIsExchanged(t *testing.T) {
	h, idp := newSTS(t)
	a := h.bring("gateway", h.brought(idp, nil))
	if a.status != http.StatusOK || a.text("scope") != "ledger.read" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	claims := claimsOf(t, a.text("access_token"))
	if claims["sub"] != "sts|alice" || claims["aud"] != "ledger" || claims["client_id"] != "gateway" {
		t.Errorf("got %v", claims)
	}
	if exp, _ := claims["exp"].(float64); int64(exp) > begun.Add(5*time.Minute).Unix() { // P18: not beyond the assertion
		t.Errorf("outlives its subject: %v", claims)
	}
}

func TestP42_WhatIsNotExchanged(t *testing.T) {
	h, idp := newSTS(t)
	for name, tc := range map[string]struct {
		client string
		change func(*samlidp.Reply)
		form   func(url.Values)
		code   string
	}{
		"for our entity id, a login":          {change: func(r *samlidp.Reply) { r.Audiences = append(r.Audiences, issuer+"/saml/sts/metadata") }},
		"for our entity id alone":             {change: func(r *samlidp.Reply) { r.Audiences = []string{issuer + "/saml/sts/metadata"} }},
		"for another":                         {change: func(r *samlidp.Reply) { r.Audiences = []string{"https://other.example"} }},
		"for the gateway, brought by another": {client: "orders-api"},
		"brought to another address":          {change: func(r *samlidp.Reply) { r.Recipient = issuer + "/saml/sts/acs" }},
		"brought to nobody":                   {change: func(r *samlidp.Reply) { r.Recipient = "" }},
		"not signed":                          {change: func(r *samlidp.Reply) { r.Unsigned = true }},
		"by another issuer":                   {change: func(r *samlidp.Reply) { r.Issuer = "urn:other" }},
		"expired":                             {change: func(r *samlidp.Reply) { r.ConfirmedUntil = begun.Add(-time.Minute) }},
		"with too little life left":           {change: func(r *samlidp.Reply) { r.ConfirmedUntil = begun.Add(4 * time.Second) }},
		"without its end":                     {change: func(r *samlidp.Reply) { r.ConfirmedUntil = time.Time{} }},
		"bound to a key":                      {change: func(r *samlidp.Reply) { r.Method = "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key" }},
		"transient":                           {change: func(r *samlidp.Reply) { r.Format = samlidp.Transient }},
		"for one use, under a rule of several": {change: func(r *samlidp.Reply) {
			r.Before = func(_, a *etree.Element) { a.SelectElement("Conditions").CreateElement("saml:OneTimeUse") }
		}},
		"by a rule that does not apply":       {change: func(r *samlidp.Reply) { r.Attributes = [][]string{{"department", "Sales"}} }},
		"to an audience that no rule reaches": {form: func(f url.Values) { f.Set("audience", "nowhere") }, code: "invalid_target"},
		"as a JWT":                            {form: func(f url.Values) { f.Set("subject_token_type", oauth.TypeJWT) }},
		"as an access token":                  {form: func(f url.Values) { f.Set("subject_token_type", oauth.TypeAccessToken) }},
		"as SAML 1.1":                         {form: func(f url.Values) { f.Set("subject_token_type", oauth.TypeSAML1) }},
		"a JWT as SAML":                       {form: func(f url.Values) { f.Set("subject_token", h.partner()) }},
		"in plain XML": {form: func(f url.Values) {
			b, _ := base64.RawURLEncoding.DecodeString(f.Get("subject_token"))
			f.Set("subject_token", string(b))
		}},
		"padded": {form: func(f url.Values) { f.Set("subject_token", f.Get("subject_token")+"=") }},
		"changed": {form: func(f url.Values) {
			b, _ := base64.RawURLEncoding.DecodeString(f.Get("subject_token"))
			f.Set("subject_token", base64.RawURLEncoding.EncodeToString([]byte(changed(string(b)))))
		}},
		"as its own actor": {form: func(f url.Values) {
			f.Set("actor_token", f.Get("subject_token"))
			f.Set("actor_token_type", oauth.TypeSAML2)
		}},
		"a whole response": {form: func(f url.Values) {
			f.Set("subject_token", base64.RawURLEncoding.EncodeToString([]byte(`<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"/>`)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			form := h.brought(idp, tc.change)
			if tc.form != nil {
				tc.form(form)
			}
			client, code := "gateway", "invalid_request"
			if tc.client != "" {
				client = tc.client
			}
			if tc.code != "" {
				code = tc.code
			}
			if a := h.bring(client, form); a.text("error") != code || a.text("access_token") != "" {
				t.Errorf("want %s, got %d %s", code, a.status, a.raw)
			}
		})
	}
}

func changed(assertion string) string {
	return assertion[:len(assertion)-len("</saml:Assertion>")] + " </saml:Assertion>"
}

// P24: the assertion's ID is its jti.
func TestP24_AnAssertionOnceUnderSingleUse(t *testing.T) {
	h, idp := newSTS(t)
	form := h.brought(idp, nil)
	form.Set("audience", "safe")
	if a := h.bring("gateway", form); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if a := h.bring("gateway", form); a.text("error") != "invalid_request" {
		t.Errorf("again: %d %s", a.status, a.raw)
	}
}

// An assertion that ended a login says that it is for that, and one for exchange ends none.
func TestP11_AnAssertionForExchangeEndsNoLogin(t *testing.T) {
	s, idp := newSAMLSignIns(t)
	b := s.browser()
	form := s.respond(idp, s.beginSAML(b, request()), func(r *samlidp.Reply) { r.Audiences = []string{stsAudience} })
	if a := s.visit(b, samlACS, form); a.status < 400 || a.header.Get("Location") != "" {
		t.Errorf("%d %v", a.status, a.header)
	}
}
