package findings

import (
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sample is a report of every grade, in the order in which it was found.
func sample() *Report {
	r := &Report{Issuer: "https://idp.example", Upstream: "acme", Kind: "oidc", Time: time.Date(2027, 1, 15, 8, 0, 0, 0, time.UTC)}
	r.Add(OK, "tls.version", "idp.example", "TLS 1.3")
	r.Add(Note, "keys.etag", "key set", "no ETag")
	r.Add(Warn, "login.pkce", "code_challenge_methods_supported", "none")
	r.Add(Fail, "discovery.issuer_slash", "issuer", "https://idp.example/, where https://idp.example was asked", "https://idp.example/")
	r.Add(OK, "keys.usable", "key set", "2 keys, 2 usable")
	r.Unchecked = append(r.Unchecked, "whether the redirect URI is registered")
	r.Registration = &Registration{RedirectURI: "https://login.example/callback/acme", ResponseType: "code", AuthMethod: "client_secret_basic", Scopes: []string{"openid", "email"}}
	r.Snippet = "upstreams:\n  - name: acme\n"
	r.Settle()
	return r
}

const golden = `GRADE F acme: https://idp.example (kind oidc)
        1 failed, 1 warned of, 1 to note, 2 good; at 2027-01-15T08:00:00Z

FAIL    discovery.issuer_slash  issuer: https://idp.example/, where https://idp.example was asked
  want  the issuer that was asked, byte for byte: a final slash counts, since tokens are compared by it (OpenID Connect Discovery §4.3)
  fix   fedbroker: write issuer: https://idp.example/, exactly so.

WARN    login.pkce  code_challenge_methods_supported: none
  want  PKCE with S256 (RFC 9700 §2.1.1, RFC 7636 §4.2)
  fix   IdP: support PKCE with S256 and name it in code_challenge_methods_supported; fedbroker sends it always.

NOTE    keys.etag  key set: no ETag
  want  an ETag (RFC 9110 §8.8.3)
  fix   Nothing; with an ETag a fetch that brings nothing new costs no body.

ok      tls.version  idp.example  TLS 1.3
ok      keys.usable  key set      2 keys, 2 usable

-       not checked: whether the redirect URI is registered

register there:
  redirect URI           https://login.example/callback/acme
  response type          code
  client authentication  client_secret_basic
  scopes                 openid email

for the configuration file:
upstreams:
  - name: acme
`

func TestTextForPeople(t *testing.T) {
	var plain, colored strings.Builder
	if err := sample().Text(&plain, TextOptions{Snippet: true}); err != nil || plain.String() != golden {
		t.Errorf("got %v\n%s", err, plain.String())
	}
	if err := sample().Text(&colored, TextOptions{Snippet: true, Color: true}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(colored.String(), "\x1b[31;1mGRADE F") || regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(colored.String(), "") != golden {
		t.Error("colours change more than colours")
	}
}

func TestJSONForMachines(t *testing.T) {
	text, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"issuer":"https://idp.example","upstream":"acme","kind":"oidc","time":"2027-01-15T08:00:00Z","overall":"F",` +
		`"counts":{"fail":1,"note":1,"ok":2,"warn":1},"findings":[{"id":"discovery.issuer_slash","grade":"fail","about":"issuer",`
	if !strings.HasPrefix(string(text), want) || strings.Contains(string(text), `"fix":""`) {
		t.Errorf("got %s", text)
	}
	var r Report
	r.Settle()
	if text, err = json.Marshal(&r); err != nil || !strings.Contains(string(text), `"findings":[],"unchecked":[]`) {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestOverallGrade(t *testing.T) {
	for _, tc := range []struct {
		fails, warns int
		want         string
	}{{0, 0, "A"}, {0, 1, "B"}, {0, 2, "B"}, {0, 3, "C"}, {0, 5, "C"}, {0, 6, "D"}, {1, 0, "F"}, {1, 9, "F"}} {
		var r Report
		r.Add(Note, "keys.etag", "", "")
		for range tc.fails {
			r.Add(Fail, "keys.private", "", "")
		}
		for range tc.warns {
			r.Add(Warn, "keys.kid", "", "")
		}
		if r.Settle(); r.Overall != tc.want || r.Failed() != (tc.fails > 0) {
			t.Errorf("%+v: got %s", tc, r.Overall)
		}
	}
}

func TestNothingIsPrintedAsItCame(t *testing.T) {
	const evil = "\x1b]0;owned\a\r\n\u202egnp.exe" // a title, a line, a direction
	var r Report
	r.Add(Fail, "fetch.dns", evil, evil, evil)
	r.Settle()
	var b strings.Builder
	if err := r.Text(&b, TextOptions{}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(b.String(), "\x1b\a\r\u202e") {
		t.Errorf("got %q", b.String())
	}
	if f := r.Findings[0]; strings.ContainsAny(f.About+f.Seen+f.Fix, "\x1b\a\r\n\u202e") {
		t.Errorf("got %+q", f)
	}
}

func TestEveryFindingSaysWhatIsWantedAndWhatMendsIt(t *testing.T) {
	whose := regexp.MustCompile(`^(IdP|fedbroker|Network|Both): |^Nothing|^Repeat `)
	for id, a := range catalogue {
		if a.want == "" || a.source == "" || !whose.MatchString(a.fix) || !strings.HasSuffix(a.fix, ".") {
			t.Errorf("%s: %+v", id, a)
		}
	}
	if want := len(connections) + len(documents) + len(keySets) + len(logins); len(catalogue) != want {
		t.Errorf("%d ids in tables of %d: one is twice", len(catalogue), want)
	}
}

// TestIDsOfTheCodeAreInTheCatalogue reads the ids that package doctor gives to add and check.
func TestIDsOfTheCodeAreInTheCatalogue(t *testing.T) {
	files, err := filepath.Glob("../*.go")
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					given[text] = true
				}
			}
			return true
		})
	}
	for id := range catalogue {
		class, isFetch := strings.CutPrefix(id, "fetch.")
		if isClass := slices.Contains(classes, class); !given[id] && !(isFetch && isClass) {
			t.Errorf("%s: nothing finds it", id)
		}
	}
	shape := regexp.MustCompile(`^(issuer|fetch|tls|network|clock|discovery|endpoint|config|keys|algorithm|login|logout|saml)\.[a-z0-9_]+$`)
	for id := range given {
		if _, known := catalogue[id]; shape.MatchString(id) && !known {
			t.Errorf("%s: nothing is said of it", id)
		}
	}
	for _, class := range classes {
		if _, known := catalogue["fetch."+class]; !known {
			t.Errorf("fetch.%s: nothing is said of it", class)
		}
	}
}

// classes are outbound's.
var classes = []string{"url", "address", "dns", "connect", "tls", "timeout", "canceled", "transport", "redirect", "status", "media_type", "too_large", "credential", "ca", "held"}

var update = flag.Bool("update", false, "write the list of findings into docs/doctor.md")

// TestDocsListEveryFinding keeps the table of docs/doctor.md.
func TestDocsListEveryFinding(t *testing.T) {
	const name, begin, end = "../../../docs/doctor.md", "| finding | wanted | source |\n| --- | --- | --- |\n", "\n\n"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, _ := strings.Cut(rest, end)
	var b strings.Builder
	for _, id := range IDs() {
		b.WriteString("| `" + id + "` | " + catalogue[id].want + " | " + catalogue[id].source + " |\n")
	}
	whole := before + begin + strings.TrimSuffix(b.String(), "\n") + end + after
	if *update && ok {
		if err := os.WriteFile(name, []byte(whole), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(text) != whole {
		t.Error("docs/doctor.md lists other findings: run go test ./upstreams/doctor/findings -run Docs -update")
	}
}
