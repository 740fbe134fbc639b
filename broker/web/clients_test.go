package web_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/web"
	"fedbroker/store"
	"fedbroker/upstreams/upstreamtest"
)

// withRobot adds a client that authenticates by the keys of an IdP that stands for its own key pair.
func withRobot(t *testing.T, keys *upstreamtest.IdP) setup {
	t.Helper()
	file := filepath.Join(t.TempDir(), "robot.jwks")
	if err := os.WriteFile(file, keys.JWKS(), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(c *broker.Config, _ *web.Spec) {
		c.Clients = append(c.Clients, clients.Spec{ID: "robot", JWKSFile: file, GrantTypes: []string{"client_credentials"}, Audiences: []string{"orders"}})
	}
}

func TestP37_PrivateKeyJWT(t *testing.T) {
	pair := upstreamtest.Must(upstreamtest.Options{Name: "robot", Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})
	defer pair.Close()
	h := newHouse(t, withRobot(t, pair))
	assertion := func(changes ...func(map[string]any)) call {
		c := pair.Claims("robot", issuer)
		c["iss"] = "robot"
		for _, change := range changes {
			change(c)
		}
		return call{path: "/token", form: url.Values{
			"grant_type": {oauth.GrantClientCredentials}, "client_assertion_type": {oauth.AssertionJWTBearer}, "client_assertion": {pair.Sign(c)},
		}}
	}
	good := assertion()
	if a := h.do(good); a.status != http.StatusOK || claimsOf(t, a.text("access_token"))["client_id"] != "robot" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	want := refused{401, oauth.CodeInvalidClient, oauth.ReasonClientCredentials}
	for name, c := range map[string]call{
		"for the token URL":             assertion(set("aud", issuer+"/token")),
		"for somebody else":             assertion(set("aud", "https://other.test")),
		"of another subject":            assertion(set("sub", "gateway")),
		"good for a day":                assertion(set("exp", h.clock().Add(24*time.Hour).Unix())),
		"without jti":                   assertion(unset("jti")),
		"beside a secret's client's id": {path: "/token", form: with(assertion().form, "client_id", "gateway")},
	} {
		t.Run(name, func(t *testing.T) { h.checkRefusal(t, h.do(c), want) })
	}
	h.checkRefusal(t, h.do(good), refused{401, oauth.CodeInvalidClient, oauth.ReasonReplay}) // P24: single use
	h.engine.fail(store.ErrUnavailable)
	a := h.do(assertion())
	if a.status != http.StatusServiceUnavailable || a.text("error") != string(oauth.CodeTemporarilyUnavailable) {
		t.Errorf("an assertion that cannot be spent: %d %s", a.status, a.raw)
	}
}

func TestP24_OneOfManyRedeems(t *testing.T) {
	h := newHouse(t)
	h.exchanged() // keys are there, so that nobody waits for them
	form := exchangeForm(h.partner(), "vault").Encode()
	const callers = 64
	var issued, replayed atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			values, _ := url.ParseQuery(form)
			switch a := h.do(call{path: "/token", form: values, header: as("gateway")}); {
			case a.status == http.StatusOK:
				issued.Add(1)
			case a.status == http.StatusBadRequest && a.text("error") == string(oauth.CodeInvalidRequest):
				replayed.Add(1)
			}
		})
	}
	all.Wait()
	if issued.Load() != 1 || replayed.Load() != callers-1 {
		t.Errorf("%d issued, %d refused", issued.Load(), replayed.Load())
	}
}

func TestP10_RotatedKeysAreFollowed(t *testing.T) {
	h := newHouse(t)
	h.exchanged()
	h.idp.Rotate()
	if a := h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")}); a.status != http.StatusOK {
		t.Errorf("under the next key: %d %s", a.status, a.raw)
	}
	stranger := h.idp.Sign(h.partnerClaims(), upstreamtest.KeyID("never-seen"))
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(stranger, "orders"), header: as("gateway")}), refused{503, oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable})
}
