package upstreamtest

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
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

// page is what the template shows: a login form, a form_post response, or a notice.
type page struct {
	Provider, Title, Text string
	Style                 template.CSS
	Script                template.JS // of a form_post response

	Action                 template.URL // this IdP's, or a redirect URI, proven to be the client's
	Login, Problem, Client string       // of a login form
	People                 []hint
	AskPassword            bool
	Hidden                 [][2]string
}

// hint is a person who exists, as the form tells.
type hint struct{ Login, Name string }

// loginForm carries the authorization request along, so that no state waits for the form.
func (p *IdP) loginForm(a authorization, login, problem string) page {
	carried := url.Values{}
	for name, all := range a.params {
		if name != fieldLogin && name != fieldPassword && name != fieldAction {
			carried[name] = all
		}
	}
	d := page{Title: "Sign in", Action: template.URL(p.o.Path + loginPath), Login: login, Problem: problem, Client: a.client.ID, Hidden: pairs(carried)}
	for _, who := range p.o.People {
		name, _ := who.Claims["name"].(string)
		d.People = append(d.People, hint{who.Login, name})
		d.AskPassword = d.AskPassword || who.Password != ""
	}
	return d
}

func (p *IdP) formPost(target string, params url.Values) page {
	return page{Title: "You are signed in", Action: template.URL(target), Hidden: pairs(params), Script: submitScript}
}

func (p *IdP) notice(title, text string) page { return page{Title: title, Text: text} }

// page shows d. Its policy has no form-action: browsers hold each redirect that follows a form to it, and where a relying party sends
// its people on is not known here.
func (p *IdP) page(w http.ResponseWriter, status int, d page) {
	d.Provider = p.o.DisplayName
	d.Style = template.CSS(":root{--accent:" + p.o.Accent + "}\n" + styleText) // the accent is a checked #rrggbb
	policy := "default-src 'none'; style-src " + source(string(d.Style)) + "; base-uri 'none'; frame-ancestors 'none'"
	if d.Script != "" {
		policy += "; script-src " + source(string(d.Script))
	}
	var out bytes.Buffer
	if err := pageTemplate.Execute(&out, d); err != nil {
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
	for name, all := range values {
		for _, value := range all {
			out = append(out, [2]string{name, value})
		}
	}
	slices.SortStableFunc(out, func(a, b [2]string) int { return bytes.Compare([]byte(a[0]), []byte(b[0])) })
	return out
}
