// Package page is what people see of the test identity provider: its login form and its notices.
package page

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

//go:embed page.html
var pageText string

//go:embed page.css
var styleText string

// submitScript sends a form_post response on; without scripts a person presses the button.
const submitScript = "document.forms[0].submit()"

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// Page is a login form, a form_post response, or a notice.
type Page struct {
	Provider, Accent string // the colour: #rrggbb, checked by the caller
	Title, Text      string
	Action           string     // where its form goes: this IdP's, or a redirect URI that is proven to be the client's; empty: no form
	Hidden           url.Values // of its form
	FormPost         bool       // the form sends itself

	Login, Problem, Client string // of a login form
	People                 []Hint
	AskPassword            bool
}

// Hint is a person who exists, as the form tells.
type Hint struct{ Login, Name string }

// shown is a page as the template wants it.
type shown struct {
	Page
	Style  template.CSS
	Script template.JS
	Action template.URL
	Hidden [][2]string
}

// Write sends the page. Its policy has no form-action: browsers hold each redirect that follows a form to it, and where a relying
// party sends its people on is not known here.
func (d Page) Write(w http.ResponseWriter, status int) {
	s := shown{Page: d, Action: template.URL(d.Action), Hidden: pairs(d.Hidden)}
	s.Style = template.CSS(":root{--accent:" + d.Accent + "}\n" + styleText)
	policy := "default-src 'none'; style-src " + source(string(s.Style)) + "; base-uri 'none'; frame-ancestors 'none'"
	if d.FormPost {
		s.Script = submitScript
		policy += "; script-src " + source(submitScript)
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, s); err != nil {
		panic(err) // the template is this package's
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = out.WriteTo(w)
}

// source allows one inline text by its hash (CSP Level 3 §2.3.1).
func source(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// pairs are the values in a settled order.
func pairs(values url.Values) [][2]string {
	var out [][2]string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, value := range values[name] {
			out = append(out, [2]string{name, value})
		}
	}
	return out
}
