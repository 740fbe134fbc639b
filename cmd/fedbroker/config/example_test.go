package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fedbroker/broker"
)

// exampleFiles are those that testdata/example.yaml names.
func exampleFiles() map[string]string {
	files := map[string]string{"seal.key": sealText, "tls.crt": "x", "tls.key": "x"}
	for _, name := range []string{"admin.token", "acme.secret", "gateway.secret", "orders.secret"} {
		files[name] = secret + "-" + name
	}
	return files
}

// The whole of the documented file is decoded, judged and served.
func TestRead_DocumentedFile(t *testing.T) {
	text, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := read(t, string(text), nil, exampleFiles())
	if err != nil {
		t.Fatal(err)
	}
	if unserved := broker.Unserved(c.Config); len(unserved) != 0 {
		t.Errorf("served by nothing yet: %s", strings.Join(unserved, "\n"))
	}
	out, _, err := c.Effective()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "hunter2") {
		t.Errorf("the effective configuration holds a secret:\n%s", out)
	}
	for _, want := range []string{"client_secret: (redacted)", "secret_sha256: (redacted)", "refresh_grace: 10s", "access_ttl: 10m\n", "name: billing.read\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("want %q in\n%s", want, out)
		}
	}
}

// What is printed as effective is a configuration again, secrets aside.
func TestEffective_IsAConfiguration(t *testing.T) {
	c, err := read(t, small+`scopes: {billing: [cost_center]}
upstreams:
  - name: acme
    kind: jwt
    issuer: https://idp.acme.example
    display_name: "$${NAME} costs $5"
    audiences: [a, {value: b, requesters: [gateway]}]
    subject: [tid, oid]
    email_domains: any
    mappers: [{kind: set, claim: level, value: 9007199254740993}, {kind: lookup, from: x, to: y, table: {a: 1.5, b: [true, x]}, default: {c: d}}]
clients: [{id: gateway, secret: `+secret+`, grant_types: [token-exchange]}]
exchange:
  - {id: r, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [o], scopes: [s], claims: [], ttl: 90s}}
  - {id: s, subject: {issued: true}, requester: {clients: [gateway]}, grant: {audiences: [o], scopes: [s, {name: t, from: [u]}]}}
`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	first, _, err := c.Effective()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("key: (redacted)", "key: "+sealText, "secret_sha256: (redacted)", "secret: "+secret).Replace(string(first))
	again, err := Read("effective.yaml", t.TempDir(), []byte(text), Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	second, _, err := again.Effective()
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Errorf("want the same again, got\n%s\nafter\n%s", second, first)
	}
	if got := again.Upstreams[0].Mappers[0].Value; got != int64(9007199254740993) {
		t.Errorf("want the number exactly, got %v (%T)", got, got)
	}
}

func TestQuickstart_IsAccepted(t *testing.T) {
	text, err := os.ReadFile("../../../examples/quickstart/fedbroker.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{"fedbroker.yaml": string(text), "seal.key": sealText})
	c, err := Load(filepath.Join(dir, "fedbroker.yaml"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("want no warning, got %v", c.Warnings)
	}
	if unserved := broker.Unserved(c.Config); len(unserved) != 0 {
		t.Errorf("want nothing that is not served, got %v", unserved)
	}
}

// The keys that the systemd unit's comment tells to write are a configuration, with the variables that systemd sets.
func TestSystemdUnit_ConfigurationIsAccepted(t *testing.T) {
	unit, err := os.ReadFile("../../../examples/systemd/fedbroker.service")
	if err != nil {
		t.Fatal(err)
	}
	text := "issuer: https://login.example.com\n"
	for line := range strings.Lines(string(unit)) {
		if key, ok := strings.CutPrefix(line, "#   "); ok && strings.Contains(key, "_DIRECTORY}") {
			text += key
		}
	}
	dir := folder(t, map[string]string{"seal.key": sealText})
	env := map[string]string{"CREDENTIALS_DIRECTORY": dir, "STATE_DIRECTORY": "/var/lib/fedbroker", "RUNTIME_DIRECTORY": "/run/fedbroker"}
	c, err := read(t, text, env, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if c.Store.Path != "/var/lib/fedbroker/fedbroker.db" || c.Audit.Dir != "/var/lib/fedbroker/journal" || c.Admin.Socket != "/run/fedbroker/fedbroker.sock" || len(c.seal) != 1 {
		t.Errorf("want all four keys of the comment, got %+v %+v %+v", c.Store, c.Audit, c.Admin)
	}
}

func FuzzRead(f *testing.F) {
	example, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	quickstart, err := os.ReadFile("../../../examples/quickstart/fedbroker.yaml")
	if err != nil {
		f.Fatal(err)
	}
	seeds := []string{small, string(example), string(quickstart), "", "a: &a [*a]", "issuer: ${X}", "exchange: [{actor: {a: [1]}, grant: {scopes: [{name: {}}]}}]",
		"upstreams: [{email_domains: any, subject: [a], audiences: [{value: x}]}]", "? [a]\n: b", "<<: {a: b}", "\xff", "seal: {keys: [{}]}"}
	added := 0
	for _, s := range seeds {
		f.Add([]byte(s))
		added++
	}
	if added < 10 {
		f.Fatalf("want at least 10 seeds, got %d", added)
	}
	dir := folder(f, exampleFiles())
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Read("fuzz.yaml", dir, text, Options{LookupEnv: func(string) (string, bool) { return "", false }})
		if err == nil {
			if _, _, err := c.Effective(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// shipped are the configurations of all examples.
func shipped(t *testing.T) []string {
	t.Helper()
	names, err := filepath.Glob("../../../examples/*/fedbroker.yaml")
	if err != nil || len(names) < 2 {
		t.Fatalf("want the examples, got %v, %v", names, err)
	}
	return names
}

// The shipped files are good as they are, before anybody has made keys and secrets for them.
func TestExamplesAreGoodWithoutTheirFiles(t *testing.T) {
	for _, name := range shipped(t) {
		c, err := Load(name, Options{MayLack: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range c.Warnings {
			if !strings.HasSuffix(w.Path, "_file") {
				t.Errorf("%s: %s: %s", name, w.Path, w.Text)
			}
		}
		if unserved := broker.Unserved(c.Config); len(unserved) > 0 {
			t.Errorf("%s: %v", name, unserved)
		}
	}
}
