package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestServe_EndsWellOnSIGTERM(t *testing.T) {
	dir := configFolder(t)
	s := mustStart(t, dir)
	if status, body := s.token(t); status != http.StatusOK {
		t.Fatalf("want a token, got %d %v", status, body)
	}
	if code := s.end(syscall.SIGTERM); code != exitDone {
		t.Errorf("want exit code %d, got %d: %s", exitDone, code, s.log())
	}
	if _, err := os.Stat(filepath.Join(dir, "fedbroker.sock")); err == nil {
		t.Error("the socket is left behind")
	}
}

// A process that is killed loses no key, and no token that it gave.
func TestServe_Kill9KeepsKeys(t *testing.T) {
	dir := configFolder(t)
	s := mustStart(t, dir)
	before := s.kids(t)
	status, body := s.token(t)
	if len(before) == 0 || status != http.StatusOK {
		t.Fatalf("want keys and a token, got %v and %d %v", before, status, body)
	}
	s.end(syscall.SIGKILL)
	again := mustStart(t, dir)
	after := again.kids(t)
	for _, kid := range before { // an RSA key may have been in the making
		if !slices.Contains(after, kid) {
			t.Errorf("want the same keys, got %v after %v", after, before)
		}
	}
	if token, _ := body["access_token"].(string); !again.active(t, token) {
		t.Error("a token from before is not active")
	}
}

// A revocation through the command line holds at once, and after a kill.
func TestRevoke_HoldsAtOnceAndAfterAKill(t *testing.T) {
	dir := configFolder(t)
	s := mustStart(t, dir)
	_, body := s.token(t)
	token, _ := body["access_token"].(string)
	if !s.active(t, token) {
		t.Fatal("want an active token")
	}
	if code, stdout, stderr := fedbroker(t, "revoke", "client", "batch", "--config", filepath.Join(dir, "fedbroker.yaml")); code != exitDone || !strings.Contains(stdout, "1 live token inactive") {
		t.Fatalf("revoke: exit code %d: %s%s", code, stdout, stderr)
	}
	if s.active(t, token) {
		t.Error("the token is active after its client was revoked")
	}
	s.end(syscall.SIGKILL)
	if mustStart(t, dir).active(t, token) {
		t.Error("the token is active again after a kill")
	}
}

// A compromised key leaves the JWKS, another one signs at once, and what it signed is dead (P45).
func TestP45_CompromisedKeyThroughTheCommandLine(t *testing.T) {
	dir := configFolder(t)
	s := mustStart(t, dir)
	_, body := s.token(t)
	token, _ := body["access_token"].(string)
	kid := keyID(t, token)
	if code, _, stderr := fedbroker(t, "keys", "rotate", "--compromised", kid, "--config", filepath.Join(dir, "fedbroker.yaml")); code != exitDone {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if slices.Contains(s.kids(t), kid) {
		t.Error("the key is still published")
	}
	if s.active(t, token) {
		t.Error("the token is still active")
	}
	status, body := s.token(t)
	if token, _ := body["access_token"].(string); status != http.StatusOK || keyID(t, token) == kid {
		t.Errorf("want a token by another key, got %d %v", status, body)
	}
}

func keyID(t testing.TB, token string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	var header struct{ Kid string }
	if err := json.Unmarshal(raw, &header); err != nil || header.Kid == "" {
		t.Fatalf("want a kid, got %s: %v", raw, err)
	}
	return header.Kid
}

// What is configured and served by nothing yet is said once, at the start.
func TestServe_SaysOnceWhatNothingServes(t *testing.T) {
	dir := configFolder(t)
	if err := os.WriteFile(filepath.Join(dir, "fedbroker.yaml"), []byte(strings.Replace(testConfig, "grant_types: [client_credentials]", "grant_types: [client_credentials, device_code]", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, dir)
	s.token(t)
	s.end(syscall.SIGTERM)
	const said = "served by nothing yet"
	if got := strings.Count(s.log(), said); got != 1 || !strings.Contains(s.log(), `"keys":["clients[0].grant_types: device_code"]`) {
		t.Errorf("want %q once with the key, got %d times: %s", said, got, s.log())
	}
}

// Each curl line of the demo does what its step did.
func TestDemo_CurlLinesWork(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("no curl on this machine")
	}
	temp := t.TempDir()
	cmd := exec.Command("fedbroker", "demo")
	cmd.Env = append(os.Environ(), "TMPDIR="+temp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var commands []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "curl "):
			commands = append(commands, line)
		case len(commands) > 0 && strings.HasSuffix(commands[len(commands)-1], "\\"):
			commands[len(commands)-1] += "\n" + line
		}
		if strings.HasSuffix(line, "/jwks") {
			break
		}
	}
	for i, want := range []string{`"access_token"`, `"access_token"`, `"access_token"`, "invalid_request", "invalid_target", "invalid_scope", `"keys"`} {
		if i >= len(commands) {
			t.Fatalf("want 7 commands, got %d", len(commands))
		}
		for range 2 { // spent and expired subject tokens are none of the reader's business
			answer, err := exec.CommandContext(t.Context(), "sh", "-c", commands[i]).CombinedOutput()
			if err != nil || !strings.Contains(string(answer), want) {
				t.Errorf("want %s of\n%s\ngot %s %v", want, commands[i], answer, err)
			}
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("want exit code 0 after Ctrl-C, got %v", err)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("want nothing left behind, got %v %v", left, err)
	}
}

// SIGHUP applies the configuration anew, and what is wrong with it ends nothing.
func TestServe_SIGHUPAppliesTheConfigurationAnew(t *testing.T) {
	dir := configFolder(t)
	s := mustStart(t, dir)
	hangUp := func(text, outcome string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "fedbroker.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = s.cmd.Process.Signal(syscall.SIGHUP)
		told := `"msg":"configuration reload","kind":"config_reload","outcome":"` + outcome + `"`
		for until := time.Now().Add(patience); !strings.Contains(s.log(), told); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(until) {
				t.Fatalf("want %s, got %s", told, s.log())
			}
		}
	}
	hangUp("issuer: [", "error")
	if status, body := s.token(t); status != http.StatusOK {
		t.Errorf("after a bad configuration: %d %v", status, body)
	}
	hangUp(strings.Replace(testConfig, "id: batch", "id: other", 1), "done")
	if status, body := s.token(t); status != http.StatusUnauthorized {
		t.Errorf("want the client gone, got %d %v", status, body)
	}
}

// A rotated operators' token counts without a restart; the one before is dead.
func TestP47_RotatedOperatorsTokenOfARunningServer(t *testing.T) {
	const old, fresh = "the-operators-old-token", "the-operators-new-token"
	dir := configFolder(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("admin.token", old)
	write("fedbroker.yaml", testConfig+"admin: {listen: 127.0.0.1:0, token_file: admin.token}\n")
	s := mustStart(t, dir)
	var line struct{ Admin string }
	for text := range strings.Lines(s.log()) {
		if strings.Contains(text, `"admin":`) && json.Unmarshal([]byte(text), &line) == nil && line.Admin != "" {
			break
		}
	}
	ask := func(token string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+line.Admin+"/v1/keys", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode
	}
	if got := [2]int{ask(old), ask(fresh)}; got != [2]int{http.StatusOK, http.StatusUnauthorized} {
		t.Fatalf("before: %v", got)
	}
	write("admin.token", fresh)
	for end := time.Now().Add(patience); ask(fresh) != http.StatusOK; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new token never counts: " + s.log())
		}
	}
	if got := ask(old); got != http.StatusUnauthorized {
		t.Errorf("the old token: %d", got)
	}
}
