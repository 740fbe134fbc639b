package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fedbroker/broker/decision"
	"fedbroker/broker/explain"
	"fedbroker/broker/oauth"
	"fedbroker/upstreams/upstreamtest"
)

const explainConfig = `issuer: http://127.0.0.1:8443
listen: 127.0.0.1:0
seal: {key_file: seal.key}
upstreams:
  - {name: acme, kind: jwt, issuer: "ISSUER", jwks_file: jwks.json, audiences: [gateway-at-acme]}
clients:
  - {id: batch, secret_file: batch.secret, identifiers: [orders], grant_types: [token-exchange]}
exchange:
  - id: orders
    subject: {upstream: acme, when: claims.ref == "main"}
    requester: {clients: [batch]}
    grant: {audiences: [orders], scopes: [orders.read]}
  - id: billing
    subject: {issued: true}
    requester: {clients: [batch]}
    grant: {audiences: [billing], scopes: [{name: billing.read, from: [orders.read]}]}
`

// A decision of the server is explained by it while it runs, and out of the store when it does not; the same for a token of ours.
func TestExplain_OfTheServerAndOfTheStore(t *testing.T) {
	idp := upstreamtest.Must(upstreamtest.Options{})
	t.Cleanup(idp.Close)
	dir := configFolder(t)
	for name, text := range map[string]string{"fedbroker.yaml": strings.ReplaceAll(explainConfig, "ISSUER", idp.Issuer()), "jwks.json": string(idp.JWKS())} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := filepath.Join(dir, "fedbroker.yaml")
	s := mustStart(t, dir)
	exchange := func(ref string) map[string]any {
		claims := idp.Claims("ada", "gateway-at-acme")
		claims["ref"], claims["ssn"], claims["exp"] = ref, "123-45-6789", time.Now().Add(time.Hour).Unix()
		_, body := s.post(t, "/token", url.Values{
			"grant_type": {oauth.GrantTokenExchange}, "subject_token": {idp.Sign(claims)}, "subject_token_type": {oauth.TypeJWT}, "audience": {"orders"},
		})
		return body
	}
	denied, _ := exchange("dev")["decision_id"].(string)
	ours, _ := exchange("main")["access_token"].(string)
	if denied == "" || ours == "" {
		t.Fatalf("no decision, or no token: %q, %t", denied, ours != "")
	}
	if err := os.WriteFile(filepath.Join(dir, "ours.jwt"), []byte(ours), 0o600); err != nil {
		t.Fatal(err)
	}
	own := []string{"explain", "-c", config, "--subject-token", filepath.Join(dir, "ours.jwt"), "--requester", "batch", "--audience", "billing"}
	later := []string{"explain", "-c", config, "--decision", denied}
	var byServer string
	await(t, func() bool { // it is written within a second or two
		code, out, errOut := fedbroker(t, later...)
		byServer = out
		return code == exitDenied && strings.Contains(errOut, "asking the server at ")
	})
	for _, want := range []string{`saw     "dev"`, `wanted  "main"`, "nearest   orders", "exchange[0] orders, impersonation: when", denied} {
		if !strings.Contains(byServer, want) {
			t.Errorf("want %q in\n%s", want, byServer)
		}
	}
	if strings.Contains(byServer, "ssn") || strings.Contains(byServer, "eyJ") {
		t.Errorf("it tells too much:\n%s", byServer)
	}
	code, ownByServer, errOut := fedbroker(t, own...)
	if code != exitDone || !strings.Contains(ownByServer, "by rule billing (impersonation)") || !strings.Contains(errOut, "asking the server") {
		t.Errorf("exit code %d, %s%s", code, ownByServer, errOut)
	}
	cached := []string{"explain", "-c", config, "--subject-token", filepath.Join(dir, "theirs.jwt"), "--requester", "batch", "--audience", "orders", "--keys", "cache"}
	if err := os.WriteFile(filepath.Join(dir, "theirs.jwt"), []byte(idp.Sign(idp.Claims("ada", "gateway-at-acme"))), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := fedbroker(t, cached...); code != exitDenied || !strings.Contains(out, "saw     (absent)") || !strings.Contains(errOut, "asking the server") {
		t.Errorf("by the server's keys: exit code %d, %s%s", code, out, errOut)
	}
	if status := s.end(syscall.SIGTERM); status != exitDone {
		t.Fatalf("serve: exit code %d: %s", status, s.log())
	}
	code, out, errOut := fedbroker(t, later...)
	if code != exitDenied || out != byServer || !strings.Contains(errOut, "opened ") {
		t.Errorf("out of the store: exit code %d, %s%s\nwant\n%s", code, out, errOut, byServer)
	}
	if code, out, errOut = fedbroker(t, own...); code != exitDone || !strings.Contains(out, "by rule billing (impersonation)") || !strings.Contains(errOut, "opened ") {
		t.Errorf("out of the store: exit code %d, %s%s", code, out, errOut)
	}
	exported(t, config, denied)
}

// exported looks into decisions.jsonl.
func exported(t *testing.T, config, denied string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "decisions.jsonl")
	if code, _, errOut := fedbroker(t, "explain", "-c", config, "--export", file); code != exitDone || !strings.Contains(errOut, "2 decisions written") {
		t.Fatalf("exit code %d, %s", code, errOut)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("claims are readable to others: %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all, err := decision.Read(bytes.NewReader(text))
	if err != nil || len(all) != 2 || bytes.Contains(text, []byte("ssn")) {
		t.Fatalf("got %s, %v", text, err)
	}
	reasons := map[string]string{all[0].ID: all[0].Reason, all[1].ID: all[1].Reason}
	if reasons[denied] != "condition" {
		t.Errorf("got %v", reasons)
	}
	if _, again, _ := fedbroker(t, "explain", "-c", config, "--export", "-"); again != string(text) {
		t.Errorf("to standard output: %s", again)
	}
}

// A file that was there for others to read shows them nothing: not by its mode, not to who has it open. One that fails leaves it as it was.
func TestWriteOwn_AFileThatOthersMayReadIsReplaced(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "decisions.jsonl")
	if err := errors.Join(os.WriteFile(file, []byte("before"), 0o600), os.Chmod(file, 0o644)); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	broken := errors.New("broken")
	if err := writeOwn(file, func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(file); string(text) != "before" {
		t.Errorf("after a failure: %q, %v", text, err)
	}
	if err := writeOwn(file, func(w io.Writer) error { _, err := io.WriteString(w, "claims"); return err }); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if seen, err := io.ReadAll(reader); string(seen) != "before" {
		t.Errorf("who had it open reads %q, %v", seen, err)
	}
	if all, err := os.ReadDir(dir); len(all) != 1 {
		t.Errorf("left behind: %v, %v", all, err)
	}
}

// await waits for what happens soon.
func await(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never happens")
		}
	}
}

// The admin API answers as the command line does, over TCP with the operator's token.
func TestExplain_API(t *testing.T) {
	dir := configFolder(t)
	file := filepath.Join(dir, "fedbroker.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const token = "an-operators-token-of-some-length"
	if err := os.WriteFile(filepath.Join(dir, "admin.token"), []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, "admin: {listen: \"127.0.0.1:0\", token_file: admin.token}\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, dir)
	var line struct{ Admin string }
	for _, l := range strings.Split(s.log(), "\n") {
		if strings.Contains(l, `"msg":"serving"`) {
			if err := json.Unmarshal([]byte(l), &line); err != nil {
				t.Fatal(err)
			}
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+line.Admin+"/api/explain", strings.NewReader(`{"subject_token":"x","audience":["orders"]}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var e explain.Explanation
	if err := json.NewDecoder(response.Body).Decode(&e); err != nil || response.StatusCode != http.StatusOK || e.Outcome.Code != "invalid_client" {
		t.Errorf("%d %+v, %v", response.StatusCode, e, err)
	}
}
