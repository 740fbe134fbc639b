package main

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/upstreams/shape"
	"fedbroker/upstreams/upstreamtest"
)

const driftConfig = `issuer: http://127.0.0.1:8443
listen: 127.0.0.1:0
seal: {key_file: seal.key}
upstreams:
  - name: acme
    kind: jwt
    issuer: ISSUER
    jwks_file: jwks.json
    audiences: [{value: gateway-at-acme, requesters: [batch]}]
    mappers: [{kind: groups, from: roles, rename: {eng-ord: orders}}]
clients: [{id: batch, secret_file: batch.secret, grant_types: [token-exchange]}]
exchange:
  - id: partner-orders
    subject: {upstream: acme, when: '"acme:orders" in principal.groups'}
    requester: {clients: [batch]}
    grant: {audiences: [orders]}
`

// An IdP's roles become a string: the command line says who reads them, while the server runs and after it has ended, until that is accepted.
func TestDrift_OfTheServerAndOfTheStore(t *testing.T) {
	idp := upstreamtest.Must(upstreamtest.Options{})
	t.Cleanup(idp.Close)
	dir := configFolder(t)
	for name, text := range map[string]string{"fedbroker.yaml": strings.ReplaceAll(driftConfig, "ISSUER", idp.Issuer()), "jwks.json": string(idp.JWKS())} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "fedbroker.yaml")
	s := mustStart(t, dir)
	exchange := func(roles any) {
		t.Helper()
		claims := idp.Claims("ada", "gateway-at-acme")
		claims["roles"] = roles
		status, body := s.post(t, "/token", url.Values{
			"grant_type": {oauth.GrantTokenExchange}, "subject_token": {idp.Sign(claims)}, "subject_token_type": {oauth.TypeJWT}, "audience": {"orders"},
		})
		if status != http.StatusOK {
			t.Fatalf("exchange: %d %v", status, body)
		}
	}
	exchange([]string{"eng-ord"}) // asks for what was kept
	await(t, func() bool {
		exchange([]string{"eng-ord"})
		_, out, _ := fedbroker(t, "upstreams", "drift", "acme", "-c", config)
		return strings.Contains(out, "more make a baseline")
	})
	for range shape.Learn {
		exchange([]string{"eng-ord"})
	}
	time.Sleep(150 * time.Millisecond) // one in 100 ms is looked at
	exchange("eng-ord")

	row := regexp.MustCompile(`(?m)^roles +list of string → string +\S+Z +\S+Z +mappers\[0\] groups\n +exchange partner-orders \(subject\.when, by principal\.groups\)$`)
	code, out, errOut := fedbroker(t, "upstreams", "drift", "acme", "-c", config)
	if code != exitDone || !row.MatchString(out) || !strings.Contains(errOut, "asking the server") || strings.Contains(out, "eng-ord") {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
	if status := s.end(syscall.SIGTERM); status != exitDone {
		t.Fatalf("serve: exit code %d: %s", status, s.log())
	}
	if log := s.log(); !strings.Contains(log, "claims of upstream changed") || strings.Contains(log, "eng-ord") {
		t.Errorf("log %s", log)
	}
	if code, out, errOut = fedbroker(t, "upstreams", "drift", "acme", "-c", config); code != exitDone || !row.MatchString(out) || !strings.Contains(errOut, "opened ") {
		t.Errorf("out of the store: exit code %d, %s%s", code, out, errOut)
	}
	if code, out, errOut = fedbroker(t, "upstreams", "drift", "acme", "--accept", "-c", config); code != exitDone || !strings.Contains(out, "changes accepted: 1") {
		t.Errorf("exit code %d, %s%s", code, out, errOut)
	}
	if _, out, _ = fedbroker(t, "upstreams", "drift", "acme", "-c", config); !strings.Contains(out, "no drift since the baseline") {
		t.Error(out)
	}
}
