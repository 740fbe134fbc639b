package upstreams_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/upstreamtest/samlidp"
)

const (
	entityID  = "http://sts.acme.example/adfs/services/trust" // as ADFS calls itself
	samlACS   = ourIssuer + "/saml/acme/acs"
	samlSSO   = "https://sts.acme.example/adfs/ls/"
	ourEntity = ourIssuer + "/saml/acme/metadata"
)

// newSAML is an identity provider of SAML and the entry that trusts it.
func newSAML(t *testing.T, c *clock) (*samlidp.IdP, upstreams.Spec) {
	t.Helper()
	idp, err := samlidp.New(entityID, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "acme.pem")
	if err := os.WriteFile(file, idp.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return idp, upstreams.Spec{Name: "acme", Kind: "saml", Issuer: entityID, SSOURL: samlSSO, CertificatesFile: file}
}

func samlAttempt(c *clock) upstreams.Attempt {
	return upstreams.Attempt{State: "s", Nonce: nonce, Verifier: "v", RedirectURI: "r", Now: c.Now()}
}

// respond is a good response to what Start asked, as it comes back.
func respond(t *testing.T, idp *samlidp.IdP, address string, change func(*samlidp.Reply)) url.Values {
	t.Helper()
	request, err := samlidp.Read(address)
	if err != nil {
		t.Fatal(err)
	}
	reply := idp.Good(request, "alice")
	if change != nil {
		change(&reply)
	}
	response, err := idp.Response(reply)
	if err != nil {
		t.Fatal(err)
	}
	form := samlidp.Form(response, request.RelayState)
	return url.Values{"state": form["RelayState"], "SAMLResponse": form["SAMLResponse"]}
}

func TestP42_LoginOfAConfiguredUpstream(t *testing.T) {
	c := newClock()
	idp, spec := newSAML(t, c)
	spec.ACRMap = map[string]string{samlidp.Password: "pwd"}
	b := newBench(t, c, spec)
	login, ok := b.set.Login("acme")
	if !ok {
		t.Fatal("nobody can log in")
	}
	address, err := login.Start(t.Context(), samlAttempt(c))
	if err != nil {
		t.Fatal(err)
	}
	request, err := samlidp.Read(address)
	if err != nil || request.ACS != samlACS || request.Issuer != ourEntity || request.Destination != samlSSO || request.RelayState != "s" || request.ForceAuthn {
		t.Fatalf("asked %+v, %v", request, err)
	}
	id, err := login.Finish(t.Context(), samlAttempt(c), respond(t, idp, address, nil))
	if err != nil || id.BrokerSubject != "acme|alice" || id.Issuer != entityID || id.ACR != "pwd" || id.SessionID != "session-1" {
		t.Errorf("got %+v, %v", id, err)
	}
	info, _ := b.set.Info("acme")
	if info.ResponseMode != "form_post" || !info.Login || info.Exchange || len(info.Algorithms) > 0 { // P30: its answers are posted from its site
		t.Errorf("got %+v", info)
	}
	if ready := b.set.Ready(); len(ready) != 1 || !ready[0].OK {
		t.Errorf("got %+v", ready)
	}
}

// A JWT under the same key and issuer, as one server has it that speaks both, is none of this upstream's.
func TestP42_NoJWTOfASAMLUpstream(t *testing.T) {
	c := newClock()
	_, spec := newSAML(t, c)
	b := newBench(t, c, spec)
	for _, aud := range []string{ourEntity, audience} {
		if up, ok := b.set.Select(entityID, []string{aud}); ok {
			t.Errorf("%s: selected %s", aud, up.Name())
		}
	}
	const header, claims = "eyJhbGciOiJSUzI1NiJ9", `{"iss":"` + entityID + `","aud":"` + ourEntity + `","sub":"alice","exp":1800000600,"iat":1800000000,"nonce":"` + nonce + `"}`
	token, err := jose.Parse(header + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".AAAA")
	if err != nil {
		t.Fatal(err)
	}
	up, _ := b.set.ByName("acme")
	_, err = up.Verify(t.Context(), token, upstreams.Want{Purpose: upstreams.PurposeLogin, Nonce: nonce})
	wantReason(t, err, upstreams.ReasonAlgorithm)
}

func TestP42_SAMLConfiguration(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*upstreams.Spec)
		want   string
	}{
		"a URN as issuer":         {func(s *upstreams.Spec) { s.Issuer = "urn:acme:idp" }, ""},
		"everything":              {func(s *upstreams.Spec) { s.EntityID, s.PrivateKeyFile, s.TrustPrompt = "urn:us", "/k", true }, ""},
		"issuer is no URI":        {func(s *upstreams.Spec) { s.Issuer = "acme" }, "issuer"},
		"issuer with a wildcard":  {func(s *upstreams.Spec) { s.Issuer = "https://*.example" }, "issuer"},
		"issuer is ours":          {func(s *upstreams.Spec) { s.Issuer = ourIssuer + "/" }, "issuer"},
		"no issuer":               {func(s *upstreams.Spec) { s.Issuer = "" }, "issuer"},
		"no certificates":         {func(s *upstreams.Spec) { s.CertificatesFile = "" }, "certificates_file"},
		"no address":              {func(s *upstreams.Spec) { s.SSOURL = "" }, "sso_url"},
		"address without TLS":     {func(s *upstreams.Spec) { s.SSOURL = "http://idp.example/sso" }, "sso_url"},
		"address with a fragment": {func(s *upstreams.Spec) { s.SSOURL = "https://idp.example/#x" }, "sso_url"},
		"our id is no URI":        {func(s *upstreams.Spec) { s.EntityID = "us" }, "entity_id"},
		"our id is theirs":        {func(s *upstreams.Spec) { s.EntityID = s.Issuer }, "entity_id"},
		"audiences":               {func(s *upstreams.Spec) { s.Audiences = []upstreams.Audience{{Value: "a"}} }, ""},
		"our id as audience":      {func(s *upstreams.Spec) { s.Audiences = []upstreams.Audience{{Value: ourEntity}} }, "audiences[0]"},
		"subject that can change": {func(s *upstreams.Spec) { s.Subject = upstreams.Claims{"email"} }, "subject[0]"},
		"key set":                 {func(s *upstreams.Spec) { s.JWKSURI = "https://idp.example/jwks" }, "jwks_uri"},
		"client":                  {func(s *upstreams.Spec) { s.ClientID = "x" }, "client_id"},
		"accepted algorithms":     {func(s *upstreams.Spec) { s.Algorithms = []string{"RS256"} }, "algorithms"},
		"of another kind: oidc": {func(s *upstreams.Spec) {
			s.Kind, s.Issuer, s.ClientID, s.ClientSecret = "oidc", "https://i.example", "x", "y"
		}, "certificates_file sso_url"},
		"of another kind: jwt": {func(s *upstreams.Spec) {
			s.Kind, s.Issuer, s.Audiences, s.SSOURL = "jwt", "https://i.example", []upstreams.Audience{{Value: "a"}}, ""
		}, "certificates_file"},
		"a redirect is its answer": {func(s *upstreams.Spec) { s.ResponseMode = "query" }, "response_mode"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := upstreams.Spec{Name: "acme", Kind: "saml", Issuer: entityID, SSOURL: samlSSO, CertificatesFile: "/idp.pem"}
			tc.change(&spec)
			var keys []string
			upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{spec}, OurIssuer: ourIssuer}, func(path, format string, args ...any) {
				keys = append(keys, strings.TrimPrefix(path, "upstreams[0]."))
				t.Logf("%s: %s", path, fmt.Sprintf(format, args...))
			})
			slices.Sort(keys)
			if got := strings.Join(slices.Compact(keys), " "); got != tc.want {
				t.Errorf("want %q, got %q", tc.want, got)
			}
		})
	}
}

// P10: two of one issuer never share an audience, so that an assertion belongs to one of them.
func TestP10_AnAssertionBelongsToOneUpstream(t *testing.T) {
	spec := func(name, audience string) upstreams.Spec {
		return upstreams.Spec{Name: name, Kind: "saml", Issuer: entityID, SSOURL: samlSSO, CertificatesFile: "/idp.pem", Audiences: []upstreams.Audience{{Value: audience}}}
	}
	found := problems(upstreams.Options{Specs: []upstreams.Spec{spec("a", "x"), spec("b", "x")}, OurIssuer: ourIssuer})
	if found["upstreams[1].audiences[0]"] == "" || len(found) != 1 {
		t.Errorf("got %v", found)
	}
	b := newBench(t, newClock(), spec("a", "x"), spec("b", "y"), upstreams.Spec{Name: "ci", Kind: "jwt", Issuer: "https://ci.example", Audiences: []upstreams.Audience{{Value: "z"}}})
	for _, tc := range []struct {
		issuer    string
		audiences []string
		want      string
	}{
		{entityID, []string{"x"}, "a"}, {entityID, []string{"y", "w"}, "b"}, {entityID, []string{"x", "y"}, ""}, {entityID, []string{"w"}, ""},
		{"urn:other", []string{"x"}, ""}, {"https://ci.example", []string{"z"}, ""},
	} {
		up, ok := b.set.SelectAssertion(tc.issuer, tc.audiences)
		if ok != (tc.want != "") || ok && up.Name() != tc.want {
			t.Errorf("%s %v: got %t", tc.issuer, tc.audiences, ok)
		}
	}
}

func TestP42_SAMLMetadata(t *testing.T) {
	c := newClock()
	_, spec := newSAML(t, c)
	b := newBench(t, c, spec, upstreams.Spec{Name: "ci", Kind: "jwt", Issuer: "https://ci.example", Audiences: []upstreams.Audience{{Value: "a"}}})
	document, known, err := b.set.SAMLMetadata("acme")
	if err != nil || !known {
		t.Fatal(known, err)
	}
	for _, want := range []string{`entityID="` + ourEntity + `"`, `Location="` + samlACS + `"`, `WantAssertionsSigned="true"`} {
		if !strings.Contains(string(document), want) {
			t.Errorf("want %s in %s", want, document)
		}
	}
	for _, name := range []string{"ci", "nobody"} {
		if _, known, _ := b.set.SAMLMetadata(name); known {
			t.Errorf("%s has metadata", name)
		}
	}
}

// A new certificate counts when the file has it, and the old one no more when it has not.
func TestP42_CertificatesRotate(t *testing.T) {
	c := newClock()
	old, spec := newSAML(t, c)
	cache := keys.New(keys.Options{Now: c.Now})
	set := upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{spec}, OurIssuer: ourIssuer, Keys: cache, Now: c.Now}, func(path, format string, _ ...any) {
		t.Errorf("%s: %s", path, format)
	})
	t.Cleanup(func() { cache.Close(); set.Close() })
	login, _ := set.Login("acme")
	try := func(idp *samlidp.IdP) error {
		address, err := login.Start(t.Context(), samlAttempt(c))
		if err != nil {
			t.Fatal(err)
		}
		_, err = login.Finish(t.Context(), samlAttempt(c), respond(t, idp, address, nil))
		return err
	}
	if err := try(old); err != nil {
		t.Fatal(err)
	}
	next, err := samlidp.New(entityID, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, try(next), upstreams.ReasonSignature)
	if err := os.WriteFile(spec.CertificatesFile, next.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Add(time.Minute)
	if err := cache.Refresh(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	wantReason(t, try(old), upstreams.ReasonSignature)
	if err := try(next); err != nil {
		t.Error(err)
	}
}
