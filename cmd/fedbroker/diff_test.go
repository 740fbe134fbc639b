package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fedbroker/broker/policytest"
)

// What a broker decided is taken again under what its configuration is to become: the rule that was tried out decides.
func TestDiff_ReplaysWhatABrokerDecided(t *testing.T) {
	dir := configFolder(t)
	t.Chdir(dir)
	next := strings.Replace(triedOut, "{id: next, mode: audit, ", "{id: next, ", 1)
	reading := strings.Replace(triedOut, "{id: now, subject: {issued: true}", `{id: now, subject: {issued: true, when: claims.dept == "x"}`, 1)
	for name, text := range map[string]string{"fedbroker.yaml": triedOut, "next.yaml": next, "reading.yaml": reading} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := mustStart(t, dir)
	status, body := s.token(t)
	own, _ := body["access_token"].(string)
	if status != http.StatusOK {
		t.Fatalf("got %d %v", status, body)
	}
	ids := map[string]string{}
	for audience, want := range map[string]int{"ledger": http.StatusOK, "billing": http.StatusBadRequest, "nowhere": http.StatusBadRequest} {
		status, body := s.post(t, "/token", url.Values{
			"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {own},
			"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {audience},
		})
		if status != want {
			t.Fatalf("%s: want %d, got %d %v", audience, want, status, body)
		}
		if id, refused := body["decision_id"].(string); refused {
			ids[audience] = id
		}
	}
	if code := s.end(syscall.SIGTERM); code != exitDone { // what was decided is written by now
		t.Fatalf("serve: exit code %d: %s", code, s.log())
	}
	if code, _, errOut := inProcess(t, "explain", "--export", "decisions.jsonl"); code != exitDone {
		t.Fatalf("export: exit code %d: %s", code, errOut)
	}
	replay := func(other string) policytest.Tally {
		t.Helper()
		code, out, errOut := inProcess(t, "diff", "-c", "fedbroker.yaml", "-c", other, "--replay", "decisions.jsonl", "--output", "json")
		var r policytest.Report
		if err := json.Unmarshal([]byte(out), &r); err != nil || code != exitDone || r.Replay == nil {
			t.Fatalf("%s: exit code %d: %s%s: %v", other, code, out, errOut, err)
		}
		return *r.Replay
	}
	if got := replay("fedbroker.yaml"); got.Counts[policytest.Same] != 3 || len(got.Changed) > 0 || got.Drifted > 0 {
		t.Errorf("want what was decided then, got %+v", got)
	}
	got := replay("next.yaml")
	if got.Counts[policytest.NewlyAllows] != 1 || got.Counts[policytest.AllowsOtherwise] != 1 || got.Counts[policytest.Same] != 1 {
		t.Errorf("want one newly allowed, one taken over, one the same, got %+v", got)
	}
	for _, d := range got.Changed {
		if d.New.Rule != "next" || (d.Kind == policytest.NewlyAllows) != (d.Name == ids["billing"]) {
			t.Errorf("got %+v", d)
		}
	}
	if got := replay("reading.yaml"); got.Counts[policytest.CannotTell] == 0 || got.Counts[policytest.NewlyDenies] > 0 {
		t.Errorf("want it said that what was not kept can't be told, got %+v", got)
	}
}
