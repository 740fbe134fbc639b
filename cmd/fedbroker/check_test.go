package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fedbroker/cmd/fedbroker/trial"
	"fedbroker/store"
)

const twoPartners = `issuer: https://login.example.com
seal: {key_file: seal.key}
upstreams:
  - {name: acme, kind: jwt, issuer: https://idp.acme.example, audiences: [gateway], mappers: [{kind: groups, prefix: "x:"}]}
  - {name: beta, kind: jwt, issuer: https://idp.beta.example, audiences: [gateway], mappers: [{kind: groups, prefix: "x:y"}]}
  - {name: carl, kind: jwt, issuer: https://idp.carl.example, audiences: [gateway], mappers: [{kind: groups}]}
clients: [{id: gateway, secret_file: batch.secret, grant_types: [token-exchange]}]
exchange:
  - {id: plain, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
  - {id: written, subject: {upstream: beta}, requester: {clients: [gateway]}, actor: none, grant: {audiences: [orders]}}
`

// withConfig is a folder with this configuration.
func withConfig(t testing.TB, text string) (file string) {
	t.Helper()
	file = filepath.Join(configFolder(t), "fedbroker.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestP5_CheckNamesEveryPairThatCanEmitOneGroup(t *testing.T) {
	code, out, errOut := inProcess(t, "check", "--output", "json", "--config", withConfig(t, twoPartners))
	if code != exitDone {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	var v trial.Verdict
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatal(err)
	}
	pairs := 0
	for _, w := range v.Warnings {
		if strings.Contains(w.Text, "carl") || strings.Contains(w.Path, "upstreams[2]") {
			t.Errorf("carl's groups have a prefix of their own: %v", w)
		}
		if text := w.String(); strings.Contains(text, "acme") && strings.Contains(text, "beta") && strings.Contains(text, "groups") {
			pairs++
		}
	}
	if pairs != 1 {
		t.Errorf("want the pair of acme and beta once, got %d times in %v", pairs, v.Warnings)
	}
}

func TestP19_CheckPrintsTheWordImpersonation(t *testing.T) {
	file := withConfig(t, twoPartners)
	code, out, errOut := inProcess(t, "check", "--config", file)
	if code != exitDone || !strings.Contains(out, "  plain: impersonation") || !strings.Contains(out, "  written: impersonation") {
		t.Errorf("want the word for both rules, got %d %s %s", code, out, errOut)
	}
	_, out, _ = inProcess(t, "check", "--config", file, "--output", "json")
	var v trial.Verdict
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Rules) != 2 || v.Rules[0] != (trial.Rule{ID: "plain", Mode: "impersonation"}) {
		t.Errorf("want the word for both rules, got %v %v", v.Rules, err)
	}
}

func TestP19_CheckPrintsTheWordDelegation(t *testing.T) {
	file := withConfig(t, strings.Replace(twoPartners, "actor: none", "mode: audit, actor: {required: true, upstream: acme}", 1))
	code, out, errOut := inProcess(t, "check", "--config", file)
	if code != exitDone || !strings.Contains(out, "  plain: impersonation (") || !strings.Contains(out, "  written: delegation (the token's sub is the subject, its act the actor, its client_id the requester); in mode audit: ") {
		t.Errorf("want the word for the one rule, and that it is tried out, got %d %s %s", code, out, errOut)
	}
	if strings.Contains(out, "served by nothing yet") {
		t.Errorf("want mode audit to be served, got %s", out)
	}
}

func TestServe_WarnsAsCheckDoes(t *testing.T) {
	dir := configFolder(t)
	text := testConfig + `upstreams: [{name: ci, kind: jwt, issuer: "https://ci.invalid", audiences: [fedbroker]}]
exchange: [{id: ci, subject: {upstream: ci, when: 'claims.sub.startsWith("repo:acme")'}, requester: {anonymous: true}, grant: {audiences: [orders]}}]
`
	if err := os.WriteFile(filepath.Join(dir, "fedbroker.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, dir)
	if log := s.log(); !strings.Contains(log, `"path":"exchange[0].subject.when"`) || !strings.Contains(log, "repo:acme-evil/x:ref:refs/heads/main") {
		t.Errorf("want the witness among the warnings, got %s", log)
	}
}

func TestP45_RecordsWithoutTheirKeyAreExit2NamingTheID(t *testing.T) {
	sealed, err := store.ParseSealKey(testSealKey)
	if err != nil {
		t.Fatal(err)
	}
	file := withConfig(t, testConfig)
	if code, _, errOut := inProcess(t, "keys", "list", "--config", file); code != exitDone {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	key := filepath.Join(filepath.Dir(file), "seal.key")
	if err := os.WriteFile(key, []byte("ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := inProcess(t, "keys", "list", "--config", file)
	if code != exitUsage || out != "" || !strings.Contains(errOut, "sealed with key "+store.SealKeyID(sealed)) {
		t.Errorf("want exit code %d and the id, got %d %q", exitUsage, code, errOut)
	}
	if err := os.WriteFile(key, []byte(testSealKey), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := inProcess(t, "keys", "list", "--config", file); code != exitDone {
		t.Errorf("with the key again: exit code %d: %s", code, errOut)
	}
}
