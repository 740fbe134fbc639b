package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fedbroker/cmd/fedbroker/trial"
)

const quickstart = "../../examples/quickstart"

// The shipped fixtures hold the shipped policies, and leave no rule out.
func TestTest_ExamplesHold(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/fedbroker.test.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("want the fixtures of the examples, got %v, %v", files, err)
	}
	for _, file := range files {
		code, out, errOut := inProcess(t, "test", "--config", filepath.Join(filepath.Dir(file), "fedbroker.yaml"), "--output", "json")
		var all trial.Tested
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Errorf("%s: %v: %s %s", file, err, out, errOut)
			continue
		}
		if failed, total := all.Count(); code != exitDone || !all.OK || failed > 0 || total < 5 || len(all.Untested) > 0 {
			t.Errorf("%s: want all of at least 5 tests to pass, got exit code %d: %d of %d failed, without a test %v: %s", file, code, failed, total, all.Untested, errOut)
		}
	}
}

// documented is a configuration that the fixtures of docs/policy.md fit.
const documented = `issuer: https://login.example.com
seal: {key_file: seal.key}
upstreams:
  - {name: acme, kind: jwt, issuer: https://idp.acme.example, audiences: [gateway-at-acme], mappers: [{kind: groups}]}
clients: [{id: gateway, secret_file: batch.secret, grant_types: [token-exchange]}]
exchange:
  - id: partner-orders
    subject: {upstream: acme, when: '"acme:orders" in principal.groups'}
    requester: {clients: [gateway]}
    grant: {audiences: [orders], scopes: [orders.read], ttl: 10m}
`

// The documented fixtures are good ones, and the documented failure is what is printed.
func TestTest_DocumentationHolds(t *testing.T) {
	doc, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "## Testing the policy")
	_, fixtures, _ := strings.Cut(section, "```yaml\n")
	fixtures, rest, found := strings.Cut(fixtures, "```\n")
	_, failure, _ := strings.Cut(rest, "```\nFAIL ")
	failure, _, ended := strings.Cut(failure, "```\n")
	failure = "FAIL " + failure
	if !found || !ended {
		t.Fatal("the section has no fixtures, or no failure")
	}
	t.Chdir(filepath.Dir(withConfig(t, documented)))
	write := func(text string) {
		if err := os.WriteFile("fedbroker.test.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(fixtures)
	if code, out, errOut := inProcess(t, "test"); code != exitDone || out != "fedbroker.test.yaml: 2 of 2 tests passed\n" {
		t.Errorf("want both to pass, got exit code %d: %s%s", code, out, errOut)
	}
	write(strings.NewReplacer("staff alone reads nothing", "staff alone reads orders", "decision: deny, reason: condition, rule: partner-orders, condition: when", "decision: allow, rule: partner-orders").Replace(fixtures))
	if code, out, errOut := inProcess(t, "test"); code != exitFailed || !strings.HasPrefix(out, failure) || !strings.Contains(out, "1 of 2 tests passed") {
		t.Errorf("want the documented failure, got exit code %d: %s%s", code, out, errOut)
	}
}

// So are those with actors.
func TestTest_DocumentedActorsHold(t *testing.T) {
	doc, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(doc), "A subject may also say `id_token: true`")
	_, fixtures, _ := strings.Cut(section, "```yaml\n")
	fixtures, _, found := strings.Cut(fixtures, "```\n")
	if !found {
		t.Fatal("there are no fixtures")
	}
	const config = `issuer: https://login.example.com
seal: {key_file: seal.key}
upstreams: [{name: acme, kind: jwt, issuer: https://idp.acme.example, audiences: [gateway-at-acme]}]
clients: [{id: gateway, secret_file: batch.secret, grant_types: [token-exchange, client_credentials], audiences: [gateway]}]
exchange: [{id: partner-invoices, subject: {upstream: acme}, requester: {clients: [gateway]}, actor: {required: true}, grant: {audiences: [invoices]}}]
`
	t.Chdir(filepath.Dir(withConfig(t, config)))
	if err := os.WriteFile("fedbroker.test.yaml", []byte(fixtures), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := inProcess(t, "test"); code != exitDone || out != "fedbroker.test.yaml: 2 of 2 tests passed\n" {
		t.Errorf("want both to pass, got exit code %d: %s%s", code, out, errOut)
	}
}

// Every witness that the documentation names is what check says.
func TestCheck_DocumentedWitnessesHold(t *testing.T) {
	doc, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	for condition, witness := range map[string]string{
		`claims.host.endsWith("acme.example")`:          "evilacme.example",
		`claims.sub.endsWith(":ref:refs/heads/main")`:   "repo:evil/x:ref:refs/heads/main",
		`claims.sub.contains("acme/api")`:               "repo:evil/acme/api-evil",
		`claims.sub.matches("^(repo:acme/.*)$")`:        "repo:acme/x:pull_request",
		`claims.host.matches("^(idp.acme\\.example)$")`: "idpxacme.example",
		`claims.sub.startsWith("repo:acme")`:            "repo:acme-evil/x:ref:refs/heads/main",
	} {
		_, written, _ := strings.Cut(condition, ".")
		_, written, _ = strings.Cut(written, ".")
		if !strings.Contains(string(doc), "`"+written+"` | `"+witness) && !strings.Contains(string(doc), `also admits "`+witness+`"`) {
			t.Errorf("%s is not documented to admit %s", written, witness)
		}
		config := strings.Replace(documented, `'"acme:orders" in principal.groups'`, "'"+condition+"'", 1)
		if code, out, errOut := inProcess(t, "check", "--config", withConfig(t, config)); code != exitDone || !strings.Contains(out, fmt.Sprintf("%q also admits %q", condition, witness)) {
			t.Errorf("%s: want %s, got exit code %d: %s%s", condition, witness, code, out, errOut)
		}
	}
}

// Whoever loosens the shipped policy, or breaks it, is told by the fixtures.
func TestTest_QuickstartNoticesEveryChange(t *testing.T) {
	policy, err := os.ReadFile(filepath.Join(quickstart, "fedbroker.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	fixtures, err := os.ReadFile(filepath.Join(quickstart, "fedbroker.test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, old, new, failed string }{
		{"any branch", ` && claims.ref == "refs/heads/main"`, "", "another branch does not deploy"},
		{"any owner, by mistake", `== "123456"`, `in ["123456", "666"]`, "a fork's main branch does not deploy"},
		{"a name for an id", `when: claims.repository_owner_id == "123456"`, `when: claims.repository_owner_id in ["123456", "777"] && claims.repository_owner == "acme"`, "whoever takes the name of the organisation over"},
		{"any service account", `claims.sub == "system:serviceaccount:shop:web"`, `claims.sub.startsWith("system:serviceaccount:shop:")`, "another service account gets nothing"},
		{"pods of anyone", "{value: fedbroker, requesters: [gateway]}", "fedbroker", "a pod gets nothing without the gateway"},
		{"one scope more", "scopes: [deploy]", "scopes: [deploy, admin]", "a job gets no scope but deploy"},
		{"one audience more", `audiences: ["https://deploy.example.com"]`, `audiences: ["https://deploy.example.com", orders]`, "a job has no way to the orders API"},
		{"again and again", "single_use: true", "single_use: false", "a token that cannot be told from its copies"},
		{"longer", "ttl: 15m", "ttl: 20m", "the main branch deploys"},
		{"one claim more", "- {kind: rename, from: sha, to: commit}", "- {kind: rename, from: sha, to: commit}\n      - {kind: rename, from: event_name, to: event}", "the main branch deploys"},
		{"one claim less", "- {kind: rename, from: repository, to: repository}", "", "the main branch deploys"},
		{"longer than the pod", "scopes: [orders.read], ttl: 5m", "scopes: [orders.read], ttl: 5m, outlive_subject: true", "the result lives no longer than the pod's token"},
		{"another name", "id: shop-orders", "id: shop", "the gateway turns a pod's token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			changed := strings.Replace(string(policy), tt.old, tt.new, 1)
			if changed == string(policy) {
				t.Fatalf("%q is not in the policy", tt.old)
			}
			file := withConfig(t, changed)
			if err := os.WriteFile(filepath.Join(filepath.Dir(file), "fedbroker.test.yaml"), fixtures, 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errOut := inProcess(t, "test", "--config", file)
			if code != exitFailed || !strings.Contains(out, "FAIL ") || !strings.Contains(out, ": "+tt.failed) {
				t.Errorf("want %q to fail, got exit code %d: %s%s", tt.failed, code, out, errOut)
			}
		})
	}
}
