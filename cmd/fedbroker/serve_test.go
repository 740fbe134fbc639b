package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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
	kid := s.kids(t)[0]
	if code, _, stderr := fedbroker(t, "revoke", "kid", kid, "--config", filepath.Join(dir, "fedbroker.yaml")); code != exitDone {
		t.Fatalf("revoke: exit code %d: %s", code, stderr)
	}
	if s.active(t, token) {
		t.Error("the token is active after its key was revoked")
	}
	s.end(syscall.SIGKILL)
	if mustStart(t, dir).active(t, token) {
		t.Error("the token is active again after a kill")
	}
}

// TestServe_FullDisk lets no file of the running broker grow or be written beyond its first byte (RLIMIT_FSIZE), as on a full disk: nothing is
// issued, the caller is told to come back, and once there is room again the broker goes on or, started again, finds what it acknowledged.
func TestServe_FullDisk(t *testing.T) {
	dir := configFolder(t)
	s := mustStart(t, dir)
	status, first := s.token(t)
	if status != http.StatusOK {
		t.Fatalf("want a token, got %d %v", status, first)
	}
	var old unix.Rlimit
	if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &old); err != nil {
		t.Fatal(err)
	}
	full := unix.Rlimit{Cur: 1, Max: old.Max}
	if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, &full, nil); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		status, body := s.token(t)
		if status != http.StatusServiceUnavailable || body["error"] != "temporarily_unavailable" {
			t.Errorf("full disk: want 503 temporarily_unavailable, got %d %v", status, body["error"])
		}
		if body["access_token"] != nil {
			t.Error("full disk: a token was issued")
		}
	}
	if err := unix.Prlimit(s.cmd.Process.Pid, unix.RLIMIT_FSIZE, &old, nil); err != nil {
		t.Fatal(err)
	}
	if status, body := s.token(t); status != http.StatusOK {
		t.Errorf("room again: want a token, got %d %v: %s", status, body, s.log())
	}
	s.end(syscall.SIGTERM)
	token, _ := first["access_token"].(string)
	if !mustStart(t, dir).active(t, token) {
		t.Error("the token from before is not active")
	}
}
