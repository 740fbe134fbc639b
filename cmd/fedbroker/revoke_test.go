package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fedbroker/broker/lineage"
	"fedbroker/broker/operator"
	"fedbroker/broker/web/admin"
)

func TestRevocation_Asks(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, " YES \r\n": true, "n\n": false, "": false, "\n": false, "yep\n": false, "y": true} {
		var asked bytes.Buffer
		r := revocation{app: &app{in: strings.NewReader(answer), err: &asked}, kind: "client", id: "gateway"}
		if got := r.ask("12 live tokens"); got != want {
			t.Errorf("%q: %v", answer, got)
		}
		if !strings.Contains(asked.String(), "12 live tokens inactive") || !strings.Contains(asked.String(), "Revoke client gateway? [y/N]") {
			t.Errorf("asked %q", asked.String())
		}
	}
}

func TestOnTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.CreateTemp(t.TempDir(), "in")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if onTerminal(strings.NewReader("")) || onTerminal(null) || onTerminal(file) {
		t.Error("took for a terminal what is none")
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to be had here: %v", err)
	}
	defer terminal.Close()
	if !onTerminal(terminal) {
		t.Error("did not know a terminal")
	}
}

// keysAlone is an operator who knows the keys, and nothing else.
type keysAlone struct{ admin.Operator }

func (keysAlone) Keys(context.Context) ([]operator.Key, error) {
	return []operator.Key{{KeyID: "signs", State: "signing"}, {KeyID: "waits", State: "pending"}, {KeyID: "done", State: "retired"}, {KeyID: "dead", State: "compromised"}}, nil
}

// Revoking a key that signs would kill every token from then on at its birth: the way is its withdrawal.
func TestRevocation_KeyThatSignsIsWithdrawnInstead(t *testing.T) {
	for kid, want := range map[string]string{"signs": "keys rotate --compromised signs", "waits": "keys rotate --compromised waits", "unknown": "no signing key", "done": "", "dead": ""} {
		r := revocation{app: &app{}, kind: "kid", id: kid}
		err := r.refuse(t.Context(), keysAlone{})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", kid, err)
		}
	}
	other := revocation{app: &app{}, kind: "client", id: "signs"}
	if err := other.refuse(t.Context(), nil); err != nil {
		t.Error(err)
	}
}

func TestLiving(t *testing.T) {
	for want, got := range map[string]string{
		"0 live tokens": living(lineage.Touched{}, nil), "1 live token": living(lineage.Touched{Tokens: 1}, nil),
		"at least 7 live tokens": living(lineage.Touched{Tokens: 7, AtLeast: true}, nil), "an unknown number of live tokens": living(lineage.Touched{}, errors.New("x")),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What a token was made from is read beside a running server, through its socket, and from the files when there is none.
func TestLineage_WithAServerAndWithout(t *testing.T) {
	dir := configFolder(t)
	s := mustStart(t, dir)
	_, body := s.token(t)
	token, _ := body["access_token"].(string)
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ JTI string }
	if err := json.Unmarshal(payload, &claims); err != nil || claims.JTI == "" {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := fedbroker(t, append(args, "--config", filepath.Join(dir, "fedbroker.yaml"))...)
		if code != exitDone {
			t.Fatalf("%q: exit code %d: %s", args, code, stderr)
		}
		return stdout
	}
	if drawn := run("lineage", claims.JTI); !strings.Contains(drawn, "access_token "+claims.JTI+"  LIVE until ") || !strings.Contains(drawn, "client batch · aud orders · scope orders.read") {
		t.Errorf("drawn:\n%s", drawn)
	}
	if said := run("revoke", "client", "batch", "--dry-run"); !strings.Contains(said, "1 live token; nothing was revoked") || !s.active(t, token) {
		t.Errorf("a dry run: %s", said)
	}
	run("revoke", "client", "batch", "--yes")
	if drawn := run("lineage", claims.JTI); !strings.Contains(drawn, "REVOKED by client batch") {
		t.Errorf("after the revocation:\n%s", drawn)
	}
	s.end(syscall.SIGTERM)
	var tree lineage.Tree
	if err := json.Unmarshal([]byte(run("lineage", claims.JTI, "--output", "json")), &tree); err != nil || len(tree.Nodes) != 1 || tree.Nodes[0].State != lineage.StateRevoked || tree.Nodes[0].Subject != "batch" {
		t.Errorf("without a server: %+v, %v", tree, err)
	}
}
