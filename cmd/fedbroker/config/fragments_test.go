package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fedbroker/cmd/fedbroker/config/strict"
)

const mainText = small + `upstreams:
  - {name: main, kind: jwt, issuer: https://main.example, jwks_file: keys.json, audiences: [https://login.example.com]}
clients:
  - {id: app, secret: ` + secret + `, grant_types: [token-exchange], audiences: [orders], scopes: [orders.read]}
exchange:
  - {id: main, subject: {upstream: main}, requester: {clients: [app]}, grant: {audiences: [orders], scopes: [orders.read]}}
`

const partnerText = `upstreams:
  - name: NAME
    kind: jwt
    issuer: https://NAME.example
    jwks_file: NAME.json
    audiences: [https://login.example.com]
exchange:
  - {id: NAME, subject: {upstream: NAME}, requester: {clients: [app]}, grant: {audiences: [orders], scopes: [orders.read]}}
`

func partner(name string) string { return strings.ReplaceAll(partnerText, "NAME", name) }

const noKeys = `{"keys":[]}`

// partners is a folder with a main file, and with these fragments.
func partners(t *testing.T, fragments map[string]string) string {
	t.Helper()
	dir := folder(t, map[string]string{"seal.key": sealText, "fedbroker.yaml": mainText, "keys.json": noKeys})
	if err := os.Mkdir(filepath.Join(dir, Folder), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range fragments {
		if err := os.WriteFile(filepath.Join(dir, Folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	return dir
}

func lines(t *testing.T, err error) []string {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("want an *Error, got %v", err)
	}
	return strings.Split(e.Error(), "\n")
}

func TestFragments_FollowTheMainFileByName(t *testing.T) {
	dir := partners(t, map[string]string{
		"b.yaml": partner("beta"), "a.yaml": partner("alpha"), "alpha.json": noKeys, "beta.json": noKeys,
		".hidden.yaml": "not: ours", "README.md": "no configuration", "a.yaml.before-rollback": "old", "a.test.yaml": "tests: []",
	})
	c, err := Load("fedbroker.yaml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	var upstreams, rules []string
	for _, u := range c.Upstreams {
		upstreams = append(upstreams, u.Name)
	}
	for _, r := range c.Exchange {
		rules = append(rules, r.ID)
	}
	if want := []string{"main", "alpha", "beta"}; !slices.Equal(upstreams, want) || !slices.Equal(rules, want) {
		t.Errorf("want %v of both, got %v and %v", want, upstreams, rules)
	}
	if got := c.Upstreams[1].JWKSFile; got != filepath.Join(dir, Folder, "alpha.json") {
		t.Errorf("want a path that begins in the fragment's folder, got %s", got)
	}
	if want := []string{"fedbroker.yaml", "upstreams.d/a.yaml", "upstreams.d/b.yaml"}; !slices.Equal(c.Files(), want) {
		t.Errorf("want the files %v, got %v", want, c.Files())
	}
	for _, want := range []string{"fedbroker.yaml", "upstreams.d", "upstreams.d/b.yaml", filepath.Join(dir, Folder, "beta.json")} {
		if !slices.Contains(c.Watched(), want) {
			t.Errorf("want %s to be watched, got %v", want, c.Watched())
		}
	}
	again, err := Judge("fedbroker.yaml", c.Texts(), Options{})
	if err != nil || len(again.Upstreams) != 3 || again.Upstreams[2].JWKSFile != c.Upstreams[2].JWKSFile {
		t.Errorf("want the same from the texts, got %v", err)
	}
}

func TestFragments_ProblemsNameTheirFileAndItsLines(t *testing.T) {
	partners(t, map[string]string{
		"a.yaml": partner("alpha") + "    \n", "alpha.json": noKeys,
		"b.yaml": strings.Replace(partner("beta"), "    audiences", "    leeway: 1h\n    audiences", 1), "beta.json": noKeys,
		"c.yaml": "upstreams: [\n", "d.yaml": "clients: []\n", "e.yaml": "{}\n", "f.yaml": "", "g.yaml": "upstreams: text\n",
		"h.yaml": partner("alpha"), "i.yaml": strings.ReplaceAll(partner("main"), "https://main", "https://other"), "main.json": noKeys,
		"j.yaml": strings.Replace(partner("jay"), "name: jay", "name: ${NO_SUCH}", 1),
	})
	if err := os.Mkdir("upstreams.d/k.yaml", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("nowhere", "upstreams.d/l.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("upstreams.d/m.yaml", []byte("#"+strings.Repeat("x", strict.MaxFile)), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load("fedbroker.yaml", Options{})
	got := lines(t, err)
	for _, want := range []string{
		"upstreams.d/b.yaml:6: upstreams[0].leeway: want 0s to 2m0s, got 1h0m0s",
		"upstreams.d/c.yaml:2: want YAML: ",
		"upstreams.d/d.yaml:1: clients: unknown key; want one of exchange, upstreams",
		"upstreams.d/e.yaml: want upstreams or exchange, got neither",
		"upstreams.d/f.yaml:1: want keys and values",
		"upstreams.d/g.yaml:1: upstreams: want a list, got text",
		"upstreams.d/h.yaml:2: upstreams[0].name: ",
		"upstreams.d/h.yaml:8: exchange[0].id: ",
		"upstreams.d/i.yaml:2: upstreams[0].name: ",
		"upstreams.d/i.yaml:8: exchange[0].id: ",
		"upstreams.d/j.yaml:2: upstreams[0].name: want the environment variable NO_SUCH, got none of that name",
		"upstreams.d/k.yaml: want a file that can be read, got something else",
		"upstreams.d/l.yaml: want a file that can be read, got no such file or directory",
		"upstreams.d/m.yaml: want at most 1048576 bytes, got 1048577",
	} {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("want a line that begins %q, got\n%s", want, strings.Join(got, "\n"))
		}
	}
	for _, where := range []string{"upstreams.d/l.yaml", "upstreams.d/k.yaml", "upstreams.d/c.yaml"} { // so that mending them is seen
		if c == nil || !slices.Contains(c.Watched(), where) {
			t.Errorf("%s is not watched", where)
		}
	}
}

func TestFragments_WhatIsThereTwiceNamesBothFiles(t *testing.T) {
	partners(t, map[string]string{"a.yaml": partner("alpha"), "b.yaml": partner("alpha"), "alpha.json": noKeys,
		"c.yaml": strings.ReplaceAll(partner("main"), "https://main", "https://other"), "main.json": noKeys})
	_, err := Load("fedbroker.yaml", Options{})
	got := lines(t, err)
	for place, other := range map[string]string{
		"upstreams.d/b.yaml:2: upstreams[0].name: ": "upstreams[0] of upstreams.d/a.yaml", "upstreams.d/b.yaml:8: exchange[0].id: ": "exchange[0] of upstreams.d/a.yaml",
		"upstreams.d/c.yaml:2: upstreams[0].name: ": "upstreams[0] of fedbroker.yaml", "upstreams.d/c.yaml:8: exchange[0].id: ": "exchange[0] of fedbroker.yaml",
	} {
		if !slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, place) && strings.Contains(line, other) }) {
			t.Errorf("want a line that begins %q and names %q, got\n%s", place, other, strings.Join(got, "\n"))
		}
	}
}

func TestFragments_WarningsNameTheirFile(t *testing.T) {
	again := partner("alpha") + "  - {id: late, subject: {upstream: alpha}, requester: {clients: [app]}, grant: {audiences: [orders], scopes: [orders.read]}}\n"
	partners(t, map[string]string{"a.yaml": again, "alpha.json": noKeys, "z.yml": "x",
		"b.yaml": "exchange:\n  - {id: never, subject: {upstream: main}, requester: {clients: [app]}, grant: {audiences: [orders], scopes: [orders.read]}}\n"})
	c, err := Load("fedbroker.yaml", Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := strict.Render(c.Name, c.Warnings)
	for _, want := range []string{
		"upstreams.d/a.yaml:9: exchange[1]", `"alpha" (exchange[0])`,
		"upstreams.d/b.yaml:2: exchange[0]", `"main" (exchange[0] of fedbroker.yaml)`,
		"upstreams.d/z.yml: not read: want a name that ends with .yaml",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}

func TestFragments_TooManyAreRefused(t *testing.T) {
	partners(t, nil)
	for i := range maxFragments + 1 {
		name := filepath.Join(Folder, strings.Repeat("x", 1+i%100)+strings.Repeat("y", i/100)+".yaml")
		if err := os.Link("keys.json", name); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Load("fedbroker.yaml", Options{})
	if got := lines(t, err); !slices.Contains(got, "upstreams.d: want at most 10000 files, got more") {
		t.Errorf("got %d lines, the last %s", len(got), got[len(got)-1])
	}
}

func TestFragments_FolderThatCannotBeReadIsRefused(t *testing.T) {
	partners(t, nil)
	if err := errors.Join(os.Remove(Folder), os.WriteFile(Folder, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := Load("fedbroker.yaml", Options{})
	if got := lines(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "upstreams.d: want a folder that can be read, got ") {
		t.Errorf("got %v", got)
	}
}

func TestFragments_ErrorsHoldNoSecret(t *testing.T) {
	partners(t, map[string]string{"a.yaml": strings.Replace(partner("alpha"), "jwks_file: alpha.json", "client_secret: {x: "+secret+"}", 1), "b.yaml": "upstreams: *" + secret})
	_, err := Load("fedbroker.yaml", Options{})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got %v", err)
	}
}
