package saml_test

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/saml"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/upstreamtest/samlidp"
	"fedbroker/upstreams/verify"
)

const (
	ours     = "https://login.test"
	entityID = ours + "/saml/acme/metadata"
	acs      = ours + "/saml/acme/acs"
	idpID    = "https://idp.acme.example/metadata"
	sso      = "https://idp.acme.example/sso?tenant=1"
	password = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
)

var now = time.Unix(1_800_000_000, 0)

// world is one identity provider, and this broker at it.
type world struct {
	testing.TB
	idp      *samlidp.IdP
	provider saml.Provider
	attempt  rp.Attempt
	request  samlidp.Request
}

func clock() time.Time { return now }

// theIdP is the identity provider of all tests: its key takes long to make.
var theIdP = sync.OnceValues(func() (*samlidp.IdP, error) { return samlidp.New(idpID, clock) })

func newWorld(t testing.TB) *world {
	t.Helper()
	idp, err := theIdP()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{TB: t, idp: idp}
	w.provider = w.trusting(idp.PEM())
	w.begin(rp.Attempt{State: "state-1", Nonce: "nonce-1", Verifier: "v", RedirectURI: "r", Now: now})
	return w
}

// trusting is this broker at an identity provider with these certificates.
func (w *world) trusting(certificates []byte) saml.Provider {
	w.Helper()
	file := filepath.Join(w.TempDir(), "idp.pem")
	if err := os.WriteFile(file, certificates, 0o600); err != nil {
		w.Fatal(err)
	}
	cache := keys.New(keys.Options{Now: clock})
	w.Cleanup(cache.Close)
	cache.Register("acme", keys.Upstream{Issuer: idpID, JWKSURI: file, Static: true, Source: saml.CertificatesSource(file, clock)})
	return saml.Provider{
		Verifier: &verify.Verifier{Options: verify.Options{
			Upstream: "acme", Issuer: idpID, LoginAudience: entityID, Subject: spec.Claims{spec.ClaimSubject}, ACR: map[string]string{password: "pwd"},
			Leeway: 30 * time.Second, OurIssuer: ours, Now: clock, Keys: cache,
		}},
		SSOURL: sso, ACS: acs, TokenEndpoint: ours + "/token",
	}
}

// begin starts an attempt.
func (w *world) begin(a rp.Attempt) {
	w.Helper()
	address, err := w.provider.Start(a)
	if err != nil {
		w.Fatal(err)
	}
	if !strings.HasPrefix(address, sso+"&SAMLRequest=") {
		w.Fatalf("sent to %s", address)
	}
	w.attempt = a
	if w.request, err = samlidp.Read(address); err != nil {
		w.Fatal(err)
	}
}

// reply is a good one, but for the change.
func (w *world) reply(change func(*samlidp.Reply)) []byte {
	w.Helper()
	r := w.idp.Good(w.request, "alice-1")
	if change != nil {
		change(&r)
	}
	response, err := w.idp.Response(r)
	if err != nil {
		w.Fatal(err)
	}
	return response
}

// finish ends the attempt with a response.
func (w *world) finish(response []byte) (verify.Identity, error) {
	form := samlidp.Form(response, w.request.RelayState)
	return w.provider.Finish(w.Context(), w.attempt, url.Values{"state": form["RelayState"], "SAMLResponse": form["SAMLResponse"]})
}

// refused wants a response to be refused for that reason.
func (w *world) refused(response []byte, want verify.Reason) {
	w.Helper()
	id, err := w.finish(response)
	e, ok := errors.AsType[*verify.Error](err)
	if !ok || e.Reason != want || id.Subject != "" {
		w.Errorf("want %s, got %v (%+v)", want, err, id)
	}
}
