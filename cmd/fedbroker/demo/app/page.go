package app

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

//go:embed page.html
var pageText string

//go:embed style.css
var styleText string

// view is what the page shows.
type view struct {
	Style   template.CSS
	Problem string
	Person  *personView
}

type personView struct {
	Name, Upstream, Subject string
	Rows                    []row
	Tokens                  []tokenView
	Call                    *callView
	CanRefresh              bool
}

// row is one claim: what the identity provider said, and what the app got.
type row struct{ Name, Said, Got string }

type tokenView struct{ Title, Note, Header, Payload string }

type callView struct {
	Status int
	Body   string
	Token  tokenView
}

// home is the app's only page.
func (a *App) home(w http.ResponseWriter, r *http.Request) {
	v := a.visit(w, r)
	if r.Header.Get("Accept") == "application/json" {
		v.mu.Lock()
		defer v.mu.Unlock()
		writeJSON(w, v)
		return
	}
	v.mu.Lock()
	shown := view{Style: template.CSS(styleText), Problem: v.problem}
	if v.person != nil {
		shown.Person = a.describe(v.person)
	}
	v.problem = ""
	v.mu.Unlock()
	var body bytes.Buffer
	if err := a.page.Execute(&body, shown); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	sum := sha256.Sum256([]byte(styleText))
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+a.o.Issuer)
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body.Bytes())
}

// writeJSON is the page for programs: who is signed in, and the last call of the API.
func writeJSON(w http.ResponseWriter, v *visitor) {
	out := map[string]any{}
	if v.problem != "" {
		out["problem"] = v.problem
	}
	if p := v.person; p != nil {
		out["claims"], out["userinfo"], out["access_token"] = p.claims, p.userinfo, p.tokens.AccessToken
		if p.call != nil {
			out["exchanged_token"], out["api_answer"] = p.call.token, p.call.body
		}
	}
	v.problem = ""
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(out)
}

// plumbing are claims that say nothing of the person.
var plumbing = []string{"aud", "at_hash", "azp", "exp", "iat", "jti", "nbf", "nonce", "sid"}

func (a *App) describe(p *person) *personView {
	upstream, _ := p.claims["upstream"].(map[string]any)
	name, _ := upstream["name"].(string)
	subject, _ := upstream["sub"].(string)
	saidID, saidInfo := a.o.Said(name, subject)
	said := Joined(saidID, saidInfo)
	got := Joined(p.claims, p.userinfo)
	v := &personView{Name: Text(got["name"]), Upstream: name, Subject: Text(got["sub"]), CanRefresh: p.tokens.RefreshToken != ""}
	if v.Name == "" {
		v.Name = v.Subject
	}
	names := slices.Collect(maps.Keys(said))
	for n := range got {
		if _, known := said[n]; !known {
			names = append(names, n)
		}
	}
	slices.SortFunc(names, func(x, y string) int {
		if d := rank(x) - rank(y); d != 0 {
			return d
		}
		return strings.Compare(x, y)
	})
	for _, n := range names {
		if !slices.Contains(plumbing, n) {
			v.Rows = append(v.Rows, row{Name: n, Said: Text(said[n]), Got: Text(got[n])})
		}
	}
	v.Tokens = []tokenView{
		show("ID token", "says to this app who signed in; it opens no door", p.idToken),
		show("Access token", "good at the broker alone: for userinfo, and to be exchanged", p.tokens.AccessToken),
		{Title: "What the identity provider said", Note: "the claims of its own ID token, which no real app sees", Payload: pretty(saidID)},
	}
	if c := p.call; c != nil {
		v.Call = &callView{Status: c.status, Body: pretty(json.RawMessage(c.body)), Token: show("Exchanged token", "for the orders API alone", c.token)}
	}
	return v
}

// Joined is all claims in one; of two values of a claim the later counts.
func Joined(all ...map[string]any) map[string]any {
	out := map[string]any{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

// rank puts who it is first.
func rank(claim string) int {
	order := []string{"iss", "sub", "name", "email", "email_verified", "groups"}
	if i := slices.Index(order, claim); i >= 0 {
		return i
	}
	return len(order)
}

func show(title, note, raw string) tokenView {
	header, claims, err := Decode(raw)
	if err != nil {
		return tokenView{Title: title, Note: note, Header: "none"}
	}
	return tokenView{Title: title, Note: note, Header: pretty(header), Payload: pretty(claims)}
}

func pretty(v any) string {
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "?"
	}
	return string(out)
}

// Text is a claim's value on one line.
func Text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	out, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(out)
}
