package web_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/web"
	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest/samlidp"
)

const (
	samlSSO = "https://sts.acme.example/sso"
	samlACS = issuer + "/saml/acme/acs"
)

// newSAMLSignIns is a house at which people of a partner with SAML sign in.
func newSAMLSignIns(t *testing.T) (*signIns, *samlidp.IdP) {
	t.Helper()
	idp, err := samlidp.New("urn:acme:sts", func() time.Time { return begun })
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "acme.pem")
	if err := os.WriteFile(file, idp.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &signIns{house: newHouseAt(t, begun, func(c *broker.Config, _ *web.Spec) {
		c.Upstreams = []broker.UpstreamSpec{{Spec: upstreams.Spec{Name: "acme", Kind: "saml", Issuer: idp.EntityID, SSOURL: samlSSO, CertificatesFile: file}}}
		c.Exchange = nil
		c.Clients = []clients.Spec{{ID: "portal", SecretSHA256: hashOf(secretOf("portal")), GrantTypes: []string{"authorization_code"}, RedirectURIs: []string{portal}, Scopes: []string{"openid", "profile"}}}
	})}
	return s, idp
}

// begin sends a browser to the identity provider and says what that is asked.
func (s *signIns) beginSAML(b *http.Client, q url.Values) samlidp.Request {
	s.t.Helper()
	a := s.visit(b, issuer+"/authorize?"+q.Encode(), nil)
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), samlSSO+"?SAMLRequest=") {
		s.t.Fatalf("not sent to the identity provider: %d %v %s", a.status, a.header, a.raw)
	}
	for name, c := range cookiesOf(s.t, a) { // P30: the answer is posted from another site
		if strings.HasPrefix(name, "__Host-fedbroker-a-") && (c.SameSite != http.SameSiteNoneMode || !c.Secure || !c.HttpOnly) {
			s.t.Errorf("cookie %v", c)
		}
	}
	request, err := samlidp.Read(a.header.Get("Location"))
	if err != nil {
		s.t.Fatal(err)
	}
	return request
}

func (s *signIns) respond(idp *samlidp.IdP, r samlidp.Request, change func(*samlidp.Reply)) url.Values {
	s.t.Helper()
	reply := idp.Good(r, "alice")
	if change != nil {
		change(&reply)
	}
	response, err := idp.Response(reply)
	if err != nil {
		s.t.Fatal(err)
	}
	return samlidp.Form(response, r.RelayState)
}

func TestP42_FromTheAppToTheAppAndItsTokens(t *testing.T) {
	s, idp := newSAMLSignIns(t)
	b := s.browser()
	asked := s.beginSAML(b, request("prompt", "login"))
	if asked.ACS != samlACS || !asked.ForceAuthn {
		t.Errorf("asked %+v", asked)
	}
	said := reply(t, s.visit(b, samlACS, s.respond(idp, asked, func(r *samlidp.Reply) {
		r.Attributes = [][]string{{"memberOf"}}
		for range 600 { // more than other forms may hold
			r.Attributes[0] = append(r.Attributes[0], "CN=a group with a long name,OU=as directories have them,DC=acme,DC=example")
		}
	})))
	tokens := s.redeem(said.Get("code"))
	if tokens.status != http.StatusOK {
		t.Fatalf("%d %s", tokens.status, tokens.raw)
	}
	if id := claimsOf(t, tokens.text("id_token")); id["sub"] != "acme|alice" || id["nonce"] != "n" {
		t.Errorf("ID token %v", id)
	}
}

// P31: prompt=login is proven by AuthnInstant.
func TestP31_AuthnInstantProvesALogin(t *testing.T) {
	s, idp := newSAMLSignIns(t)
	b := s.browser()
	asked := s.beginSAML(b, request("prompt", "login"))
	said := reply(t, s.visit(b, samlACS, s.respond(idp, asked, func(r *samlidp.Reply) { r.Authenticated = begun.Add(-time.Hour) })))
	if said.Get("error") != "unmet_authentication_requirements" {
		t.Errorf("the app is told %v", said)
	}
}

func TestP42_AResponseOnceInTheBrowserThatBegan(t *testing.T) {
	s, idp := newSAMLSignIns(t)
	b := s.browser()
	form := s.respond(idp, s.beginSAML(b, request()), nil)
	refused := func(name string, a answer) {
		t.Helper()
		if a.status < 400 || a.header.Get("Location") != "" || cookiesOf(t, a)["__Host-fedbroker-session"] != nil {
			t.Errorf("%s: %d %v", name, a.status, a.header)
		}
	}
	refused("another browser", s.visit(s.browser(), samlACS, form))
	refused("another upstream's address", s.visit(b, issuer+"/saml/globex/acs", form))
	refused("without RelayState", s.visit(b, samlACS, with(form, "RelayState")))
	stated := with(form, "RelayState")
	stated.Set("state", form.Get("RelayState"))
	refused("state in the place of RelayState", s.visit(b, samlACS, stated))

	held := call{method: http.MethodPost, path: strings.TrimPrefix(samlACS, issuer), form: form, header: http.Header{}}
	for _, cookie := range b.Jar.Cookies(mustParse(t, issuer)) {
		held.header.Add("Cookie", cookie.Name+"="+cookie.Value)
	}
	if first := s.do(held); reply(t, first).Get("code") == "" {
		t.Fatalf("the first: %v", first.header)
	}
	for range 2 {
		refused("again", s.do(held))
	}
	// The same assertion in answer to the next attempt of the same browser.
	next := s.beginSAML(b, request("prompt", "login"))
	form.Set("RelayState", next.RelayState)
	refused("the next attempt", s.visit(b, samlACS, form))
}

func TestP42_ResponsesHaveOneAddressAndOneMethod(t *testing.T) {
	s, idp := newSAMLSignIns(t)
	b := s.browser()
	form := s.respond(idp, s.beginSAML(b, request()), nil)
	if a := s.visit(b, samlACS+"?"+form.Encode(), nil); a.status != http.StatusMethodNotAllowed && a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("by GET: %d", a.status)
	}
	form.Set("state", form.Get("RelayState"))
	if a := s.visit(b, issuer+"/callback/acme", form); a.status < 400 || a.header.Get("Location") != "" {
		t.Errorf("at the callback: %d %v", a.status, a.header)
	}
}

func TestP42_NoLoginThatTheIdPBegins(t *testing.T) {
	s, idp := newSAMLSignIns(t)
	form := s.respond(idp, samlidp.Request{Issuer: issuer + "/saml/acme/metadata", ACS: samlACS, RelayState: "https://portal.test/"}, nil)
	if a := s.visit(s.browser(), samlACS, form); a.status < 400 || a.header.Get("Location") != "" || cookiesOf(t, a)["__Host-fedbroker-session"] != nil {
		t.Errorf("%d %v", a.status, a.header)
	}
}

func TestP42_TooLongAResponse(t *testing.T) {
	s, _ := newSAMLSignIns(t)
	a := s.visit(s.browser(), samlACS, url.Values{"RelayState": {"x"}, "SAMLResponse": {strings.Repeat("A", 500<<10)}})
	if a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d", a.status)
	}
}

func TestP42_MetadataIsPublic(t *testing.T) {
	s, _ := newSAMLSignIns(t)
	a := s.do(call{method: http.MethodGet, path: "/saml/acme/metadata"})
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/samlmetadata+xml" || !strings.Contains(a.raw, samlACS) {
		t.Errorf("%d %v %s", a.status, a.header, a.raw)
	}
	for _, path := range []string{"/saml/nobody/metadata", "/saml//metadata", "/saml/acme/x/metadata", "/saml/acme", "/saml/acme/acs/x"} {
		if a := s.do(call{method: http.MethodGet, path: path}); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
}
