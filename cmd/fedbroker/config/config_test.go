package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fedbroker/cmd/fedbroker/config/strict"
)

// sealText is a good seal key; secret is a word that no error may hold.
var sealText = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

const secret = "hunter2-hunter2-hunter2"

// folder makes a folder with these files, mode 0600.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// read judges a text in a folder with a good seal.key and these environment variables.
func read(t testing.TB, text string, env map[string]string, files map[string]string) (*Loaded, error) {
	t.Helper()
	all := map[string]string{"seal.key": sealText}
	maps.Copy(all, files)
	lookup := func(name string) (string, bool) { value, ok := env[name]; return value, ok }
	return Read("fedbroker.yaml", folder(t, all), []byte(text), Options{LookupEnv: lookup})
}

// problems are the lines of an error, without the file's name.
func problems(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("want an *Error, got %T: %v", err, err)
	}
	var out []string
	for _, p := range e.Problems {
		out = append(out, fmt.Sprintf("%d: %s", p.Line, p))
	}
	return out
}

const small = `issuer: https://login.example.com
seal: {key_file: seal.key}
`

func TestRead_SmallestFile(t *testing.T) {
	c, err := read(t, small, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuer != "https://login.example.com" || c.Store.Engine != "bbolt" || c.Audit.Durability != "wait" || c.Log.Level != "info" || c.Log.Format != "json" {
		t.Errorf("defaults are not filled: %+v", c.File)
	}
	dir := filepath.Dir(c.Store.Path)
	for what, path := range map[string]string{"store.path": c.Store.Path, "audit.dir": c.Audit.Dir, "admin.socket": c.Admin.Socket} {
		if !filepath.IsAbs(path) || filepath.Dir(path) != dir {
			t.Errorf("%s: want a path in the file's folder, got %s", what, path)
		}
	}
	if len(c.Warnings) != 0 {
		t.Errorf("want no warning, got %v", c.Warnings)
	}
}

func TestRead_TenMistakesAtOnce(t *testing.T) {
	text := `issuer: https://login.example.com
seal: {key_file: missing.key}
leeway: 1h
lsten: 127.0.0.1:8443
log: {level: loud}
tokens: {access_ttl: ten minutes}
upstreams:
  - name: GitHub
    kind: jwt
    issuer: https://token.actions.githubusercontent.com
    audiences: [https://login.example.com]
    mappers:
      - {kind: set, claim: sub, value: admin}
clients:
  - {id: gateway, secret: "${NOT_SET}", grant_types: [token-exchange]}
  - {id: web, secret_sha256: ABC, grant_types: [token-exchange], scopes: profile}
`
	_, err := read(t, text, nil, nil)
	got := problems(t, err)
	for _, want := range []string{
		"2: seal.key_file: want a file that can be read, got ",
		"3: leeway: want 0s to 2m0s, got 1h0m0s",
		"4: lsten: unknown key; did you mean listen?",
		`5: log.level: want debug, info, warn or error, got "loud"`,
		"6: tokens.access_ttl: want a duration such as 10m or 1h30m, got other text",
		"8: upstreams[0].name: ",
		"13: upstreams[0].mappers[0].claim: want a name that is not reserved",
		"15: clients[0].secret: want the environment variable NOT_SET, got none of that name",
		"16: clients[1].secret_sha256: ",
		"16: clients[1].scopes: want a list, got text",
	} {
		found := 0
		for _, line := range got {
			if strings.HasPrefix(line, want) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("want once %q", want)
		}
	}
	if len(got) != 10 {
		t.Errorf("want 10 problems, got %d:\n%s", len(got), strings.Join(got, "\n"))
	}
}

func TestRead_Problems(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "1: want keys and values (issuer: …), got nothing"},
		{"only a comment", "# later\n", "1: want keys and values (issuer: …), got nothing"},
		{"a list", "- a\n", "1: want keys and values (issuer: …), got a list"},
		{"two documents", small + "---\n" + small, "0: want one document, got a second one after ---"},
		{"not YAML", "issuer: [\n", "2: want YAML: "},
		{"a key twice", small + "issuer: https://other.example.com\n", "3: issuer: want each key once, got it on line 1 already"},
		{"a merge", small + "log:\n  <<: {level: info}\n", "4: log: want each key written out, got a merge (<<)"},
		{"a number as key", small + "scopes: {1: [a]}\n", "3: scopes: want a text as key, got a number"},
		{"a tag", small + "listen: !secret x\n", "3: listen: want plain YAML without tags"},
		{"binary", small + "listen: !!binary aGk=\n", "3: listen: want plain YAML without tags"},
		{"a number for text", small + "listen: 8443\n", "3: listen: want text, got a number"},
		{"text for a number", small + "tokens: {act_depth: eight}\n", "3: tokens.act_depth: want a whole number, got text"},
		{"yes for true", small + "clients: [{id: a, public: yes}]\n", "3: clients[0].public: want true or false, got text"},
		{"a number for a duration", small + "leeway: 30\n", "3: leeway: want a duration such as 10m or 1h30m, got a number"},
		{"no value", small + "listen:\n", "3: listen: want text, got nothing"},
		{"neither form of a scope", small + "exchange: [{grant: {scopes: [7]}}]\n", "3: exchange[0].grant.scopes[0]: want text or keys and values, got a number"},
		{"a mistake in the long form", small + "exchange: [{grant: {scopes: [{name: a, form: [b]}]}}]\n", "3: exchange[0].grant.scopes[0].form: unknown key; did you mean from?"},
		{"nothing like it", small + "password: x\n", "3: password: unknown key; want one of admin, audit, "},
		{"secret and its file", small + "clients: [{id: a, secret: " + secret + ", secret_file: b}]\n", "3: clients[0].secret_file: want one of secret and secret_file, got both"},
		{"secret and its hash", small + "clients: [{id: a, secret_sha256: x, secret: " + secret + "}]\n", "3: clients[0].secret: want one of secret_sha256 and secret, got both"},
		{"an empty file", small + "clients: [{id: a, secret_file: empty}]\n", "3: clients[0].secret_file: want a secret in "},
		{"a folder", small + "clients: [{id: a, jwks_file: .}]\n", "3: clients[0].jwks_file: want a file, got the folder "},
		{"a seal key that is none", "issuer: https://login.example.com\nseal: {key: " + secret + "}\n", "2: seal.key: want 32 bytes as base64 or hex, got something else"},
		{"a seal key from a bad file", "issuer: https://login.example.com\nseal: {key_file: empty2}\n", "2: seal.key_file: want 32 bytes as base64 or hex, got something else"},
		{"no seal", "issuer: https://login.example.com\n", "0: seal: want key_file or keys, got nothing"},
		{"no issuer", "seal: {key_file: seal.key}\n", "0: issuer: "},
		{"unknown engine", small + "store: {engine: sqlite}\n", "3: store.engine: want one of bbolt, memory, got \"sqlite\""},
		{"unknown durability", small + "audit: {durability: maybe}\n", "3: audit.durability: want wait or async, got \"maybe\""},
		{"an optional actor", small + "exchange:\n - id: a\n   subject: {issued: true}\n   requester: {clients: [a]}\n   actor: {issued: true}\n   grant: {audiences: [b]}\n", "7: exchange[0].actor.required: want true"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(t, tt.text, nil, map[string]string{"empty": " \n", "empty2": secret})
			got := problems(t, err)
			for _, line := range got {
				if strings.HasPrefix(line, tt.want) {
					return
				}
			}
			t.Errorf("want %q, got\n%s", tt.want, strings.Join(got, "\n"))
		})
	}
}

func TestRead_FollowUpsAreNotReported(t *testing.T) {
	for _, tt := range []struct{ name, text string }{
		{"a mistyped key is not missing, too", "isuer: https://login.example.com\nseal: {key_file: seal.key}\n"},
		{"a missing file is not a missing key, too", "issuer: https://login.example.com\nseal: {key_file: gone.key}\n"},
		{"text without its variable is not empty, too", "issuer: ${NOT_SET}\nseal: {key_file: seal.key}\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := read(t, tt.text, nil, nil)
			if got := problems(t, err); len(got) != 1 {
				t.Errorf("want 1 problem, got %d:\n%s", len(got), strings.Join(got, "\n"))
			}
		})
	}
}

// An upstream without a name is nobody's whose client names no upstream.
func TestRead_UpstreamWithoutANameIsToldAndNothingElse(t *testing.T) {
	_, err := read(t, small+"upstreams: [{kind: jwt, issuer: https://a.example, audiences: [https://login.example.com]}]\nclients: [{id: a, secret: "+secret+", grant_types: [client_credentials], audiences: [x]}]\n", nil, nil)
	if got := problems(t, err); len(got) == 0 || slices.ContainsFunc(got, func(line string) bool { return !strings.HasPrefix(line, "3: upstreams[0].name: ") }) {
		t.Errorf("got %v", got)
	}
}

func TestRead_ErrorsHoldNoSecret(t *testing.T) {
	for _, value := range []string{
		secret, `"` + secret + `\q"`, "*" + secret, "!" + secret, "&" + secret + " *x", "[" + secret + "]", "{" + secret + ": 1}", "'" + secret, secret + ": x", "%" + secret,
		"|\n " + secret + "\n" + secret, "@" + secret, "`" + secret, "${" + secret, "!!binary " + secret,
	} {
		for _, place := range []string{"clients: [{id: a, secrt: VALUE}]", "seal: {key: VALUE}", "clients:\n- id: a\n  secret: VALUE", "admin: {token: VALUE, listen: nowhere}", "log: {level: info}\nsecret: VALUE", "leeway: VALUE", "clients: VALUE", "clients: [{id: a, secret_sha256: VALUE}]", "upstreams: [{name: a, kind: oidc, client_secret: VALUE}]"} {
			_, err := read(t, "issuer: https://login.example.com\n"+strings.ReplaceAll(place, "VALUE", value)+"\n", nil, nil)
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s with %s: %v", place, value, err)
			}
		}
	}
}

func TestRead_Environment(t *testing.T) {
	env := map[string]string{"HOST": "login.example.com", "EMPTY": "", "YAML": "x\nlog: {level: debug}", "TWICE": "${HOST}"}
	for _, tt := range []struct{ name, value, want string }{
		{"whole", "${HOST}", "login.example.com"},
		{"inside", "a-${HOST}-b", "a-login.example.com-b"},
		{"two", "${HOST}${HOST}", "login.example.comlogin.example.com"},
		{"empty", "a${EMPTY}b", "ab"},
		{"escaped", "$${HOST}", "${HOST}"},
		{"a lone $", "a$", "a$"},
		{"a $ without braces", "$HOST", "$HOST"},
		{"values bring no YAML", "${YAML}", "x\nlog: {level: debug}"},
		{"values are not expanded again", "${TWICE}", "${HOST}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := read(t, small+"upstreams: [{name: a, display_name: \""+tt.value+"\"}]\n", env, nil)
			if got := c.Upstreams[0].DisplayName; got != tt.want {
				t.Errorf("want %q, got %q", tt.want, got)
			}
		})
	}
}

func TestRead_SecretsFromFiles(t *testing.T) {
	const hash = "b4e7a0ebb5ea6c3fbd0a4b0d10ed6fc1ad14a0f3a09b6ebc1cb4af8a4e4f1e0a"
	text := small + `clients:
  - {id: written, secret: ` + secret + `}
  - {id: filed, secret_file: client.secret}
  - {id: hashed, secret_sha256: ` + hash + `}
upstreams:
  - {name: acme, kind: oidc, issuer: https://idp.acme.example, client_id: x, client_secret_file: acme.secret}
`
	c, err := read(t, text, nil, map[string]string{"client.secret": "\n  " + secret + "\t\n", "acme.secret": secret})
	if err != nil {
		t.Fatal(err)
	}
	if c.Clients[0].SecretSHA256 != c.Clients[1].SecretSHA256 || len(c.Clients[0].SecretSHA256) != 64 {
		t.Errorf("want the same hash of both, got %q and %q", c.Clients[0].SecretSHA256, c.Clients[1].SecretSHA256)
	}
	if c.Clients[2].SecretSHA256 != hash {
		t.Errorf("want the hash as written, got %q", c.Clients[2].SecretSHA256)
	}
	if got := c.Upstreams[0].ClientSecret.Reveal(); got != secret {
		t.Errorf("want the file's content, got %q", got)
	}
}

func TestRead_FileThatOthersReadIsAWarning(t *testing.T) {
	dir := folder(t, map[string]string{"seal.key": sealText})
	if err := os.Chmod(filepath.Join(dir, "seal.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := Read("fedbroker.yaml", dir, []byte(small), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 1 || c.Warnings[0].Line != 2 || !strings.Contains(c.Warnings[0].String(), "seal.key_file: others can read ") {
		t.Errorf("want one warning of seal.key_file on line 2, got %v", c.Warnings)
	}
}

func TestRead_WrittenZeroIsNotAbsent(t *testing.T) {
	c, err := read(t, small+"tokens: {refresh_grace: 0s}\nleeway: 0s\n", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	effective := c.effective()
	if *effective.Tokens.RefreshGrace != 0 || *effective.Leeway != 0 {
		t.Errorf("want 0s as written, got %v and %v", effective.Tokens.RefreshGrace, effective.Leeway)
	}
	if effective.Tokens.AccessTTL == nil || *effective.Tokens.AccessTTL == 0 {
		t.Error("want the default of what is absent")
	}
}

func TestRead_KeysWithoutTheirListAreAbsent(t *testing.T) {
	c, err := read(t, small+`clients:
exchange: ~
upstreams:
  - {name: acme, kind: jwt, issuer: https://idp.acme.example, audiences: [a], accept_typ: , email_domains: ~}
  - {name: beta, kind: jwt, issuer: https://idp.beta.example, audiences: [a], accept_typ: []}
`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Upstreams[0].AcceptTyp != nil || c.Upstreams[0].EmailDomains != nil {
		t.Errorf("want nothing, got %v and %v", c.Upstreams[0].AcceptTyp, c.Upstreams[0].EmailDomains)
	}
	if c.Upstreams[1].AcceptTyp == nil || len(*c.Upstreams[1].AcceptTyp) != 0 {
		t.Errorf("want an empty list, got %v", c.Upstreams[1].AcceptTyp)
	}
}

func TestRead_Limits(t *testing.T) {
	bomb := "{a0: &a0 [x, x, x, x, x, x, x, x, x]"
	for i := 1; i < 6; i++ { // 9⁶ values
		bomb += fmt.Sprintf(", a%d: &a%d [%s]", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), ", "))
	}
	for _, tt := range []struct{ name, text, want string }{
		{"a value within itself", small + "upstreams: [{mappers: [{value: &a [*a]}]}]\n", "levels, aliases unfolded, got more"},
		{"aliases that unfold", small + "upstreams: [{mappers: [{value: " + bomb + "}}]}]\n", "want at most 200000 values"},
		{"a long file", "# " + strings.Repeat("x", strict.MaxFile), "want at most 1048576 bytes"},
		{"deep collections", small + "upstreams: " + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), "want YAML: "},
	} {
		_, err := read(t, tt.text, nil, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: want %q, got %v", tt.name, tt.want, err)
		}
	}
}

func TestLoad_MissingFileSaysWhatToDo(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "fedbroker.yaml"), Options{})
	if err == nil || !strings.Contains(err.Error(), "--config") || !strings.Contains(err.Error(), "demo") {
		t.Errorf("want a sentence with what to do, got %v", err)
	}
}

func TestP45_SealKeysByIDOrByHash(t *testing.T) {
	other := strings.Repeat("ab", 32)
	files := map[string]string{"other.key": other}
	c, err := read(t, "issuer: https://login.example.com\nseal: {keys: [{id: new, key_file: other.key}, {key_file: seal.key}]}\n", nil, files)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.seal) != 2 || c.seal[0].ID != "new" || len(c.seal[1].ID) != 8 {
		t.Errorf("want the first key by its id and the second by its hash, got %v", c.seal)
	}
	_, err = read(t, "issuer: https://login.example.com\nseal: {key_file: seal.key, keys: [{key_file: other.key}]}\n", nil, files)
	if got := problems(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "2: seal.keys: want one of key_file and keys") {
		t.Errorf("want one problem, got %v", got)
	}
	_, err = read(t, "issuer: https://login.example.com\nseal: {keys: [{key_file: other.key}, {key_file: other.key}]}\n", nil, files)
	if got := problems(t, err); len(got) != 1 || !strings.HasPrefix(got[0], "2: seal.keys[1]: want each seal key once") {
		t.Errorf("want one problem, got %v", got)
	}
}
