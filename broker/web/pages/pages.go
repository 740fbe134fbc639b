// Package pages renders what people see of the broker in a browser: plain HTML that needs no script, nothing from elsewhere and
// no image, each page under a Content-Security-Policy that admits exactly what the page holds.
//
// It knows nothing of logins. It takes data, and whatever it takes may be hostile: text is escaped, names are isolated from the
// direction of the text around them, and an address is written only after Pages has judged it itself.
package pages

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

//go:embed templates
var files embed.FS

// submitScript sends a page's only form. The prototype's method is called, since a field may be named "submit".
const submitScript = `HTMLFormElement.prototype.submit.call(document.forms[0])`

// Options says how the pages present the broker.
type Options struct {
	Site         string // what people know this service by, at the foot of each page: the issuer's host; "" shows nothing
	LoopbackHTTP bool   // the chooser's form may lead to http on this machine, too: an upstream of a developer's issuer
}

// Pages is the compiled template set. Safe for concurrent use.
type Pages struct {
	options Options
	set     map[string]*template.Template
	style   template.CSS
	policy  string // every page's policy but for form-action and script-src
}

// Page is one rendered page.
type Page struct {
	CSP  string // the value of Content-Security-Policy; the page must not be sent without it
	HTML []byte // UTF-8
}

// New parses the templates.
func New(o Options) (*Pages, error) {
	style, err := files.ReadFile("templates/style.css")
	if err != nil {
		return nil, fmt.Errorf("style: %w", err)
	}
	p := &Pages{options: o, set: map[string]*template.Template{}, style: template.CSS(style), policy: basePolicy(style)}
	for _, name := range []string{chooserPage, failurePage, formPostPage, signOutPage, signedOutPage, startAgainPage} {
		t, err := template.New(name).Funcs(template.FuncMap{"name": Name, "initial": initial}).
			ParseFS(files, "templates/layout.html", "templates/"+name)
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", name, err)
		}
		p.set[name] = t
	}
	return p, nil
}

// Send answers with the page and every header that it needs. The page is never kept by a cache, since it may show an e-mail address or
// carry a code, and never framed (RFC 9700 section 4.16). Referrer-Policy lets the next site see our origin at most: the path may hold a
// code. It is not no-referrer, under which a browser would send Origin: null with our own forms.
func (p Page) Send(w http.ResponseWriter, status int) error {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.CSP)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "strict-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	w.WriteHeader(status)
	if _, err := w.Write(p.HTML); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

// view is what the layout takes.
type view struct {
	Title string // plain text
	Site  string
	Style template.CSS
	D     any
}

// render executes a page whole before anything of it can leave.
func (p *Pages) render(name, title string, data any, formAction, scriptSrc string) (Page, error) {
	var out bytes.Buffer
	v := view{Title: title, Site: p.options.Site, Style: p.style, D: data}
	if err := p.set[name].ExecuteTemplate(&out, "layout", v); err != nil {
		return Page{}, fmt.Errorf("page %s: %w", name, err)
	}
	return Page{CSP: p.policy + formAction + scriptSrc, HTML: out.Bytes()}, nil
}

// Name makes a name of somebody else's making fit for a page: no control characters, no characters that turn the direction of what
// follows (Unicode TR 9; <bdi> isolates what is left), one line.
func Name(s string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), r == utf8.RuneError, unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)), " ")
}

// initial is the letter or digit that stands for a name, upper case; "" if the name has none.
func initial(s string) string {
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return string(unicode.ToUpper(r))
		}
	}
	return ""
}
