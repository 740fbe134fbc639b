package history

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"fedbroker/cmd/fedbroker/config"
	"fedbroker/cmd/fedbroker/config/strict"
)

const hush = "hunter2"

// forms are the ways in which a secret can be written; none may show.
var forms = map[string]string{
	"plain":               "a: {secret: hunter2}\nb: c\n",
	"block":               "client_secret: hunter2\nb: c\n",
	"spaces":              "secret: one hunter2 two\nb: c\n",
	"comma in a block":    "secret: one,hunter2\nb: c\n",
	"hash in it":          "secret: one#hunter2\nb: c\n",
	"double quoted":       "secret: \"x hunter2\"\nb: c\n",
	"escaped":             "secret: \"x\\\" hunter2\" # why\nb: c\n",
	"single quoted":       "secret: 'it''s hunter2'\nb: c\n",
	"literal":             "key: |\n  first\n  hunter2\nb: c\n",
	"literal, last":       "b: c\nkey: |\n  first\n  hunter2\n",
	"folded":              "key: >-\n  first\n  hunter2\nb: c\n",
	"several lines":       "secret: first\n  hunter2\nb: c\n",
	"several, quoted":     "a: {secret: \"first\n  hunter2\", scopes: [x]}\nb: c\n",
	"after another":       "x: {token: hunter2, secret: 'hunter2', b: c}\n",
	"flow, last":          "a: {b: c, secret: hunter2}",
	"list":                "keys:\n  - {id: a, key: hunter2}\n  - id: b\n    key: hunter2\n",
	"list of secrets":     "token: [hunter2, 'hunter2']\nb: c\n",
	"nested below":        "token: {a: hunter2, b: {c: hunter2}}\nd: e\n",
	"hash":                "secret_sha256: hunter2\n",
	"upper case":          "SECRET: hunter2\n",
	"quoted key":          "\"client_secret\": hunter2\n",
	"key in a line":       "? secret\n: hunter2\nb: c\n",
	"alias":               "id: &s hunter2\nsecret: *s\n",
	"anchor":              "secret: &s hunter2\nb: c\n",
	"comment":             "b: c\n# secret: hunter2\n",
	"comment behind":      "b: c # old token = hunter2 and more\n",
	"after other letters": "\u00e9\u00e9: {\u4e16: \u4e16\u754c, secret: hunter2}\n",
	"variable and more":   "secret: ${A}hunter2\n",
	"broken":              "secret: [hunter2\n",
	"carriage return":     "b: c\rsecret: hunter2\r",
	"next line":           "b: \"c\u2028d\"\nsecret: hunter2\n",
	"no UTF-8":            "b: \xff\nsecret: hunter2\n",
	"Windows lines":       "b: c\r\nsecret: hunter2\r\nd: e\r\n",
	"byte order mark":     "\ufeffsecret: hunter2\nb: c\n",
}

func TestRedact_NoFormOfASecretShows(t *testing.T) {
	for name, text := range forms {
		if got := newRedactor().text(text); strings.Contains(got, hush) || !strings.Contains(got, "(redacted") {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestRedact_KeepsTheRest(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"nothing to hide": {"issuer: https://a.example # ours\nsecret_file: a.secret\n", "issuer: https://a.example # ours\nsecret_file: a.secret\n"},
		"in a flow":       {"clients: [{id: a, secret: x, scopes: [y]}] # z\n", "clients: [{id: a, secret: (redacted 1), scopes: [y]}] # z\n"},
		"quoted":          {"a:\n  secret: \"x, y\" # z\n  b: c\n", "a:\n  secret: (redacted 1) # z\n  b: c\n"},
		"a variable":      {"secret: ${A}\ntoken: \"${B}\"\n", "secret: ${A}\ntoken: \"${B}\"\n"},
		"equal, another":  {"secret: x\ntoken: y\nkey: x\n", "secret: (redacted 1)\ntoken: (redacted 2)\nkey: (redacted 1)\n"},
		"a literal":       {"a:\n  - key: |\n      x\n      y\n  - b: c\n", "a:\n(redacted 1)\n  - b: c\n"},
	} {
		if got := newRedactor().text(c.text); got != c.want {
			t.Errorf("%s: want\n%s\ngot\n%s", name, c.want, got)
		}
	}
}

// secretsOf are the values below keys of secrets that stand once in a text, as they are.
func secretsOf(n *yaml.Node, text string, below bool) (out []string) {
	if below && n.Kind == yaml.ScalarNode && len(n.Value) >= len(hush) && strings.Count(text, n.Value) == 1 && !reference.MatchString(n.Value) {
		out = append(out, n.Value)
	}
	for i, child := range n.Content {
		under := below
		if n.Kind == yaml.MappingNode {
			under = i%2 == 1 && (below || secretKeys.MatchString(n.Content[i-1].Value))
		}
		out = append(out, secretsOf(child, text, under)...)
	}
	return out
}

func FuzzRedact(f *testing.F) {
	if len(forms) < 30 {
		f.Fatalf("want at least 30 seeds, got %d", len(forms))
	}
	for _, text := range forms {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := newRedactor().text(text)
		root, problem := strict.Parse([]byte(text))
		if problem != nil {
			return
		}
		for _, secret := range secretsOf(root, text, false) {
			if strings.Contains(got, secret) && !strings.Contains("(no plain YAML: not shown) (redacted)", secret) {
				t.Errorf("%q shows in\n%s", secret, got)
			}
		}
	})
}

func TestDifferences_FileByFile(t *testing.T) {
	before := []config.Text{{Text: "a: 1\n"}, {Name: "upstreams.d/gone.yaml", Text: "secret: x\n"}, {Name: "upstreams.d/same.yaml", Text: "s\n"}}
	after := []config.Text{{Text: "a: 2\n"}, {Name: "upstreams.d/new.yaml", Text: "secret: y\n"}, {Name: "upstreams.d/same.yaml", Text: "s\n"}}
	got := differences("fedbroker.yaml", before, after)
	for _, want := range []string{
		"--- a/fedbroker.yaml\n+++ b/fedbroker.yaml\n", "-a: 1\n+a: 2\n",
		"--- a/upstreams.d/gone.yaml\n+++ /dev/null\n", "-secret: (redacted 1)\n",
		"--- /dev/null\n+++ b/upstreams.d/new.yaml\n", "+secret: (redacted 2)\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "same") || differences("f", before, before) != "" {
		t.Error("what is the same is shown")
	}
}
