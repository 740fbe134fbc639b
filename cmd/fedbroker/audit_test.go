package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/promotion"
)

// triedOut has a rule in mode audit that would allow what nothing allows, and one that is there in place of another.
const triedOut = `issuer: http://127.0.0.1:8443
listen: 127.0.0.1:0
seal: {key_file: seal.key}
clients:
  - {id: batch, secret_file: batch.secret, grant_types: [client_credentials, token-exchange], identifiers: [orders], audiences: [orders], scopes: [orders.read]}
exchange:
  - {id: next, mode: audit, subject: {issued: true}, requester: {clients: [batch]}, grant: {audiences: [billing, ledger]}}
  - {id: idle, mode: audit, subject: {issued: true, when: '"x" in scopes'}, requester: {clients: [batch]}, grant: {audiences: [ledger]}}
  - {id: now, subject: {issued: true}, requester: {clients: [batch]}, grant: {audiences: [ledger]}}
`

// What a rule in mode audit would have decided is refused or decided as ever, stands in the journal, and is reported from there.
func TestAudit_Promotion(t *testing.T) {
	dir := configFolder(t)
	file := filepath.Join(dir, "fedbroker.yaml")
	if err := os.WriteFile(file, []byte(triedOut), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := inProcess(t, "audit", "promotion", "--config", file); code != exitFailed || !strings.Contains(errOut, "there is none yet") {
		t.Errorf("without a journal: got exit code %d: %s", code, errOut)
	}
	s := mustStart(t, dir)
	status, body := s.token(t)
	own, _ := body["access_token"].(string)
	if status != http.StatusOK {
		t.Fatalf("got %d %v", status, body)
	}
	exchange := func(audience string) (int, map[string]any) {
		return s.post(t, "/token", url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {own},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {audience},
		})
	}
	status, refusal := exchange("billing")
	if status != http.StatusBadRequest || refusal["error"] != "invalid_target" {
		t.Fatalf("want the rule that is tried out to allow nothing, got %d %v", status, refusal)
	}
	if status, body = exchange("ledger"); status != http.StatusOK {
		t.Fatalf("want the rule behind it to decide, got %d %v", status, body)
	}

	code, out, errOut := inProcess(t, "audit", "promotion", "--config", file, "--output", "json")
	for deadline := time.Now().Add(patience); code == exitDone && !strings.Contains(out, refusal["decision_id"].(string)) && time.Now().Before(deadline); {
		code, out, errOut = inProcess(t, "audit", "promotion", "--config", file, "--output", "json") // a refusal's line is queued
	}
	var r promotion.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone || len(r.Rules) != 2 {
		t.Fatalf("got exit code %d: %s %s: %v", code, out, errOut, err)
	}
	next, idle := r.Rules[0], r.Rules[1]
	if next.ID != "next" || next.Decided != 2 || next.Allows.Count != 1 || next.Allows.Clients["batch"] != 1 || next.Allows.Samples[0] != refusal["decision_id"] ||
		len(next.Takes) != 1 || next.Takes[0].Rule != "now" || next.Takes[0].Count != 1 {
		t.Errorf("got %+v", next)
	}
	if idle.ID != "idle" || idle.Decided != 0 {
		t.Errorf("got %+v", idle)
	}
	if code, out, _ = inProcess(t, "audit", "promotion", "--config", file, "--rule", "next", "--since", "0s"); code != exitDone ||
		!strings.Contains(out, "next: enforced, it newly allows 1 request of 1 client, and decides 1 in place of others\n") || strings.Contains(out, "idle") {
		t.Errorf("got exit code %d: %s", code, out)
	}
	for _, args := range [][]string{{"--rule", "now"}, {"--since", "-1h"}} {
		if code, _, errOut := inProcess(t, append([]string{"audit", "promotion", "--config", file}, args...)...); code != exitUsage {
			t.Errorf("%v: want exit code %d, got %d: %s", args, exitUsage, code, errOut)
		}
	}
}
