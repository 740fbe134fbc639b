package pages_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"fedbroker/broker/web/pages"
)

// render is every sample's page, by name.
func render(t *testing.T) map[string]pages.Page {
	t.Helper()
	p, out := open(t), map[string]pages.Page{}
	for _, s := range samples() {
		page, err := s.page(p)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		out[s.name] = page
	}
	return out
}

// elements parses a page, which must be well-formed: what is opened is closed, in order.
func elements(t *testing.T, page pages.Page) []*html.Node {
	t.Helper()
	void := []string{"meta", "input"}
	var opened []string
	z := html.NewTokenizer(strings.NewReader(string(page.HTML)))
	for kind := z.Next(); kind != html.ErrorToken; kind = z.Next() {
		tag := z.Token().Data
		switch {
		case kind == html.StartTagToken && !slices.Contains(void, tag):
			opened = append(opened, tag)
		case kind == html.EndTagToken:
			if len(opened) == 0 || opened[len(opened)-1] != tag {
				t.Fatalf("</%s> closes none of %v", tag, opened)
			}
			opened = opened[:len(opened)-1]
		}
	}
	if len(opened) > 0 {
		t.Fatalf("%v never closed", opened)
	}
	root, err := html.Parse(strings.NewReader(string(page.HTML)))
	if err != nil {
		t.Fatal(err)
	}
	var out []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			out = append(out, n)
		}
	}
	return out
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func content(n *html.Node) string {
	var out strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			out.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(out.String())
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func directive(csp, name string) (string, bool) {
	for d := range strings.SplitSeq(csp, ";") {
		if key, value, _ := strings.Cut(strings.TrimSpace(d), " "); key == name {
			return value, true
		}
	}
	return "", false
}

func TestPages_AreAccessible(t *testing.T) {
	for name, page := range render(t) {
		t.Run(name, func(t *testing.T) {
			count, ids, labelled := map[string]int{}, map[string]bool{}, map[string]bool{}
			all := elements(t, page)
			for _, n := range all {
				count[n.Data]++
				if id := attr(n, "id"); id != "" {
					if ids[id] {
						t.Errorf("id %s is there twice", id)
					}
					ids[id] = true
				}
				if n.Data == "label" && content(n) != "" {
					labelled[attr(n, "for")] = true
				}
			}
			for tag, want := range map[string]int{"html": 1, "main": 1, "h1": 1, "title": 1} {
				if count[tag] != want {
					t.Errorf("%d <%s>, want %d", count[tag], tag, want)
				}
			}
			for _, n := range all {
				checkElement(t, n, ids, labelled)
			}
			for _, want := range []string{`name="robots" content="noindex, nofollow"`, `name="viewport"`} {
				if !strings.Contains(string(page.HTML), want) {
					t.Errorf("no %s", want)
				}
			}
		})
	}
}

func checkElement(t *testing.T, n *html.Node, ids, labelled map[string]bool) {
	t.Helper()
	switch n.Data {
	case "html":
		if attr(n, "lang") != "en" {
			t.Errorf("lang is %q", attr(n, "lang"))
		}
	case "input":
		if attr(n, "type") != "hidden" && !labelled[attr(n, "id")] {
			t.Errorf("input %s has no label", attr(n, "id"))
		}
	case "a", "button", "h1", "h2", "title":
		if content(n) == "" {
			t.Errorf("<%s> says nothing", n.Data)
		}
	case "svg":
		if attr(n, "aria-hidden") != "true" {
			t.Error("a picture that says nothing is not hidden from screen readers")
		}
	}
	for _, ref := range []string{"aria-labelledby", "aria-describedby"} {
		if id := attr(n, ref); id != "" && !ids[id] {
			t.Errorf("%s of <%s> names %s, which is not there", ref, n.Data, id)
		}
	}
}

func TestPages_PolicyAdmitsWhatThePageHoldsAndNothingElse(t *testing.T) {
	for name, page := range render(t) {
		t.Run(name, func(t *testing.T) {
			var styles, scripts []string
			forms := 0
			for _, n := range elements(t, page) {
				switch n.Data {
				case "style":
					styles = append(styles, hash(n.FirstChild.Data))
				case "script":
					scripts = append(scripts, hash(n.FirstChild.Data))
				case "form":
					forms++
				case "link", "img", "iframe", "object", "embed", "base", "use":
					t.Errorf("<%s> loads or changes what the page can do without", n.Data)
				}
				for _, a := range n.Attr {
					if a.Key == "style" || a.Key == "src" || strings.HasPrefix(a.Key, "on") {
						t.Errorf("<%s %s>", n.Data, a.Key)
					}
				}
			}
			for key, want := range map[string]string{"default-src": "'none'", "base-uri": "'none'", "frame-ancestors": "'none'", "style-src": strings.Join(styles, " ")} {
				if got, _ := directive(page.CSP, key); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
			if got, there := directive(page.CSP, "script-src"); got != strings.Join(scripts, " ") || there != (name == "formpost") {
				t.Errorf("script-src is %q, want %q", got, scripts)
			}
			if got, _ := directive(page.CSP, "form-action"); got == "" || (got == "'none'") != (forms == 0) {
				t.Errorf("form-action is %q with %d forms", got, forms)
			}
			if strings.Contains(page.CSP, "unsafe") || strings.Contains(page.CSP, "*") {
				t.Errorf("policy %q is loose", page.CSP)
			}
		})
	}
}

var address = regexp.MustCompile(`(?i)(https?:)?//|url\(|@import`)

func TestPages_NameNothingElsewhereButTheApp(t *testing.T) {
	for name, page := range render(t) {
		text := strings.ReplaceAll(string(page.HTML), strings.ReplaceAll(appURL, "&", "&amp;"), "")
		if found := address.FindString(text); found != "" {
			t.Errorf("%s holds %q", name, found)
		}
	}
}

func TestPages_FormActionPerPage(t *testing.T) {
	const own, v6, private = "https://a.example/cb", "http://[::1]:8080/cb", "com.example.app:/cb"
	const loopback = "http://localhost:* http://127.0.0.1:*"
	formPost := func(action string) func(*pages.Pages) (pages.Page, error) {
		return func(p *pages.Pages) (pages.Page, error) { return p.FormPost(pages.FormPost{Action: action}) }
	}
	for _, tt := range []struct {
		name    string
		options pages.Options
		page    func(*pages.Pages) (pages.Page, error)
		want    string
	}{
		{"chooser leads to any upstream by https", pages.Options{}, func(p *pages.Pages) (pages.Page, error) { return p.Chooser(pages.Chooser{Action: "/login"}) }, "'self' https:"},
		{"and on to a native app", pages.Options{}, func(p *pages.Pages) (pages.Page, error) {
			return p.Chooser(pages.Chooser{Action: "/login", ReturnTo: private})
		}, "'self' https: com.example.app:"},
		{"and to this machine when told", pages.Options{LoopbackHTTP: true}, func(p *pages.Pages) (pages.Page, error) { return p.Chooser(pages.Chooser{Action: "/login"}) }, "'self' https: " + loopback},
		{"or when the app is on it", pages.Options{}, func(p *pages.Pages) (pages.Page, error) {
			return p.Chooser(pages.Chooser{Action: "/login", ReturnTo: "http://127.0.0.1:8080/cb"})
		}, "'self' https: http://127.0.0.1:8080 " + loopback},
		{"chooser without a form", pages.Options{LoopbackHTTP: true}, func(p *pages.Pages) (pages.Page, error) { return p.Chooser(pages.Chooser{}) }, "'none'"},
		{"form_post to the app and where it leads", pages.Options{}, formPost(own), "https://a.example https:"},
		{"form_post to this machine", pages.Options{}, formPost("http://127.0.0.1:8080/cb"), "http://127.0.0.1:8080 https: " + loopback},
		{"form_post to [::1], which CSP can't name", pages.Options{}, formPost(v6), "http: https: " + loopback},
		{"form_post to a private-use scheme", pages.Options{}, formPost(private), "com.example.app:"},
		{"a host that would end the directive", pages.Options{}, formPost("https://a.example;script-src/cb"), "https:"},
		{"sign-out ends at ourselves", pages.Options{}, func(p *pages.Pages) (pages.Page, error) {
			return p.SignOutAsk(pages.SignOutAsk{Action: "/logout"})
		}, "'self'"},
		{"or at the app", pages.Options{}, func(p *pages.Pages) (pages.Page, error) {
			return p.SignOutAsk(pages.SignOutAsk{Action: "/logout", ReturnTo: own})
		}, "'self' https://a.example https:"},
		{"failure with a link has no form", pages.Options{}, func(p *pages.Pages) (pages.Page, error) {
			return p.Failure(pages.Failure{Back: &pages.Back{URL: own}})
		}, "'none'"},
		{"failure with a form", pages.Options{}, func(p *pages.Pages) (pages.Page, error) {
			return p.Failure(pages.Failure{Back: &pages.Back{URL: private, Post: true}})
		}, "com.example.app:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := pages.New(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			page, err := tt.page(p)
			if err != nil {
				t.Fatal(err)
			}
			if got, _ := directive(page.CSP, "form-action"); got != tt.want {
				t.Errorf("form-action is %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPages_RefuseAddressesThatAreNone(t *testing.T) {
	p := open(t)
	outside := []string{"javascript:alert(1)", "JavaScript:alert(1)", "data:text/html,x", "vbscript:x", "mailto:a@b.example", "//evil.example/", "/path", "", "https:///x",
		"https:opaque", "https://user@a.example/", "\x00https://a.example", " https://a.example", "x.y\n:z"}
	own := []string{"https://evil.example/", "//evil.example/", "///evil.example/", `/\evil.example/`, "login", "", "javascript:alert(1)", "/a\nb"}
	refused := func(name, address string, page pages.Page, err error) {
		if !errors.Is(err, pages.ErrAddress) || page.HTML != nil {
			t.Errorf("%s %q: %v", name, address, err)
		}
	}
	for _, a := range outside {
		page, err := p.FormPost(pages.FormPost{Action: a})
		refused("form_post to", a, page, err)
		page, err = p.Failure(pages.Failure{Back: &pages.Back{URL: a}})
		refused("back to", a, page, err)
		if a != "" { // without one there is no link
			page, err = p.SignedOut(pages.SignedOut{Href: a})
			refused("signed out to", a, page, err)
			page, err = p.Chooser(pages.Chooser{Action: "/login", ReturnTo: a})
			refused("return to", a, page, err)
		}
	}
	for _, a := range own {
		page, err := p.SignOutAsk(pages.SignOutAsk{Action: a})
		refused("sign out at", a, page, err)
		page, err = p.Chooser(pages.Chooser{Options: []pages.Option{{Href: a}}})
		refused("option to", a, page, err)
		if a != "" {
			page, err = p.Failure(pages.Failure{RetryHref: a})
			refused("retry at", a, page, err)
		}
	}
}

// hostile is what may stand in any field; each either is refused as an address or leaves the page's structure as it is.
var hostile = []string{
	`x"'><script>alert(1)</script><img src=x onerror=alert(1)>`, `x</title></style></script><h1>y`, `x" autofocus onfocus=alert(1) y="`, "x{{.}}`${1}`<!--",
	`/x"><script>alert(1)</script>`, `https://a.example/"><script>alert(1)</script>`, `https://a.example;script-src/'unsafe-inline'`, "x\u202Eevil\u2066",
}

func TestPages_HostileInputStaysText(t *testing.T) {
	p := open(t)
	form := &pages.Back{URL: appURL, Params: [][2]string{{"k", "v"}}, Post: true}
	for _, data := range []any{
		pages.Chooser{App: "x", Options: []pages.Option{option("x", "x"), {Name: "x", Href: "/x"}}, Action: "/login", Params: [][2]string{{"k", "v"}}, Email: "x", Problem: "x", ReturnTo: appURL},
		pages.Failure{Kind: "x", App: "x", Upstream: "x", DecisionID: "x", Back: form, RetryHref: "/x"},
		pages.Failure{App: "x", Upstream: "x", DecisionID: "x", Back: &pages.Back{URL: appURL}},
		pages.SignOutAsk{App: "x", Action: "/logout", Params: [][2]string{{"k", "v"}}, ReturnTo: appURL},
		pages.SignedOut{App: "x", Href: appURL},
		pages.FormPost{App: "x", Action: appURL, Params: [][2]string{{"k", "v"}}},
		pages.StartAgain{App: "x", Href: "/x"},
	} {
		base := call(t, p, data)
		if base.err != nil {
			t.Fatal(base.err)
		}
		fields := 0
		eachString(reflect.ValueOf(&data).Elem(), "", func(path string, set func(string)) {
			fields++
			for _, value := range hostile {
				set(value)
				got := call(t, p, data)
				switch {
				case errors.Is(got.err, pages.ErrAddress):
				case got.err != nil:
					t.Errorf("%s = %q: %v", path, value, got.err)
				case !slices.Equal(got.shape, base.shape):
					t.Errorf("%s = %q changes the page", path, value)
				case strings.ContainsAny(got.page.CSP, "\"<>\n") || strings.Count(got.page.CSP, ";") != strings.Count(base.page.CSP, ";"):
					t.Errorf("%s = %q changes the policy to %s", path, value, got.page.CSP)
				}
			}
		})
		if fields == 0 {
			t.Errorf("%T: no field was tried", data)
		}
	}
}

type called struct {
	page  pages.Page
	shape []string // each element with its attributes' names
	err   error
}

// call renders the page whose method is named after its data.
func call(t *testing.T, p *pages.Pages, data any) (c called) {
	t.Helper()
	out := reflect.ValueOf(p).MethodByName(reflect.TypeOf(data).Name()).Call([]reflect.Value{reflect.ValueOf(data)})
	c.page, _ = out[0].Interface().(pages.Page)
	if c.err, _ = out[1].Interface().(error); c.err != nil {
		return c
	}
	for _, n := range elements(t, c.page) {
		shape := n.Data
		for _, a := range n.Attr {
			shape += " " + a.Key
		}
		c.shape = append(c.shape, shape)
	}
	return c
}

// eachString calls f once for each string within v that is not empty, with a function that replaces it; afterwards it is as before.
func eachString(v reflect.Value, path string, f func(path string, set func(string))) {
	switch v.Kind() {
	case reflect.Interface:
		value := reflect.New(v.Elem().Type()).Elem()
		value.Set(v.Elem())
		eachString(value, value.Type().Name(), func(path string, set func(string)) {
			f(path, func(s string) { set(s); v.Set(value) })
			v.Set(value)
		})
	case reflect.Pointer:
		if !v.IsNil() {
			eachString(v.Elem(), path, f)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				eachString(v.Field(i), path+"."+v.Type().Field(i).Name, f)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			eachString(v.Index(i), path+"["+strconv.Itoa(i)+"]", f)
		}
	case reflect.String:
		if before := v.String(); before != "" {
			f(path, v.SetString)
			v.SetString(before)
		}
	}
}

func TestPages_NamesAreIsolatedAndCannotTurnTheLine(t *testing.T) {
	page, err := open(t).Chooser(pages.Chooser{App: "Portal\u202E\u2067\n evil", Options: []pages.Option{option("x", "שלום\u200F")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<bdi>Portal evil</bdi>", "<bdi>שלום</bdi>"} {
		if !strings.Contains(string(page.HTML), want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestChooser_EmailComesFirstAboveEightUpstreams(t *testing.T) {
	for n, first := range map[int]string{8: "nav", 9: "form"} {
		d := pages.Chooser{Action: "/login"}
		for i := range n {
			d.Options = append(d.Options, option("u"+strconv.Itoa(i), ""))
		}
		page, err := open(t).Chooser(d)
		if err != nil {
			t.Fatal(err)
		}
		all := elements(t, page)
		at := slices.IndexFunc(all, func(n *html.Node) bool { return n.Data == "nav" || n.Data == "form" })
		if all[at].Data != first {
			t.Errorf("%d upstreams: <%s> comes first, want <%s>", n, all[at].Data, first)
		}
	}
}

func TestChooser_ProblemIsTiedToTheField(t *testing.T) {
	page := render(t)["chooser-problem"]
	for _, n := range elements(t, page) {
		if n.Data == "input" && attr(n, "id") == "email" {
			if attr(n, "aria-describedby") != "problem" || attr(n, "aria-invalid") != "true" || attr(n, "value") != "mira@exmaple.org" {
				t.Errorf("the field is %v", n.Attr)
			}
			return
		}
	}
	t.Error("no field for the address")
}

func TestFailure_EveryKindHasWords(t *testing.T) {
	rendered, titles := render(t), map[string]string{}
	for _, kind := range pages.Kinds() {
		for _, suffix := range []string{"", "-bare"} {
			page := rendered["failure-"+kind+suffix]
			text := string(page.HTML)
			if strings.Contains(text[strings.Index(text, "<main>"):], "{") || !strings.Contains(text, `value="`+decision+`"`) {
				t.Errorf("%s%s: %s", kind, suffix, text)
			}
			for _, n := range elements(t, page) {
				if n.Data == "p" && content(n) == "" {
					t.Errorf("%s%s: an empty paragraph", kind, suffix)
				}
				if n.Data == "h1" && suffix == "" {
					if other, ok := titles[content(n)]; ok {
						t.Errorf("%s and %s have one title", kind, other)
					}
					titles[content(n)] = kind
				}
			}
		}
	}
	unknown, err := open(t).Failure(pages.Failure{Kind: "never heard of", DecisionID: decision})
	if want := rendered["failure-"+pages.KindServerError+"-bare"]; err != nil || string(unknown.HTML) != string(want.HTML) {
		t.Errorf("an unknown kind is not told as our own fault: %v", err)
	}
}

func TestPage_SendSetsEveryHeader(t *testing.T) {
	w, page := httptest.NewRecorder(), render(t)["formpost"]
	if err := page.Send(w, http.StatusBadRequest); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusBadRequest || w.Body.String() != string(page.HTML) {
		t.Errorf("sent %d with %d bytes", w.Code, w.Body.Len())
	}
	for key, want := range map[string]string{"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": page.CSP, "Cache-Control": "no-store",
		"Referrer-Policy": "strict-origin", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "X-Robots-Tag": "noindex, nofollow"} {
		if got := w.Header().Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}
