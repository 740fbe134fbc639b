package main

import (
	"net/http"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

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
