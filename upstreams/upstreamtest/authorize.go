package upstreamtest

import (
	"crypto/rand"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"fedbroker/upstreams/upstreamtest/client"
	"fedbroker/upstreams/upstreamtest/page"
)

const (
	scopeOffline = "offline_access"

	codeLife = time.Minute

	// Form fields beside the authorization request's parameters, which the form carries along.
	fieldLogin    = "login"
	fieldPassword = "password"
	fieldAction   = "action"
	actionCancel  = "cancel"
)

// authorization is a request whose client and redirect URI are proven.
type authorization struct {
	params url.Values
	client Client
}

// serveAuthorize is the authorization endpoint (OpenID Connect Core §3.1.2).
func (p *IdP) serveAuthorize(w http.ResponseWriter, r *http.Request, k knobs) {
	a, ok := p.authorization(w, r)
	if !ok {
		return
	}
	if code, description := a.client.Problem(a.params); code != "" {
		p.respondError(w, r, k, a, code, description)
		return
	}
	prompt := strings.Fields(a.params.Get("prompt"))
	s, signedOn := p.session(r)
	if signedOn && !slices.Contains(prompt, "login") && !slices.Contains(prompt, "select_account") && !p.tooOld(s, a) {
		p.respondCode(w, r, k, a, s)
		return
	}
	if slices.Contains(prompt, "none") {
		p.respondError(w, r, k, a, "login_required", "nobody is signed on")
		return
	}
	p.loginForm(w, http.StatusOK, a, a.params.Get("login_hint"), "")
}

// serveLogin takes the login form.
func (p *IdP) serveLogin(w http.ResponseWriter, r *http.Request, k knobs) {
	a, ok := p.authorization(w, r)
	if !ok {
		return
	}
	if code, description := a.client.Problem(a.params); code != "" {
		p.respondError(w, r, k, a, code, description)
		return
	}
	if a.params.Get(fieldAction) == actionCancel {
		p.respondError(w, r, k, a, "access_denied", "the person cancelled")
		return
	}
	login := a.params.Get(fieldLogin)
	who, found := p.person(login)
	if !found || who.Password != "" && who.Password != a.params.Get(fieldPassword) {
		p.loginForm(w, http.StatusUnauthorized, a, login, "That name and password do not go together. Try again.")
		return
	}
	s := session{person: who, sid: rand.Text(), authTime: p.o.Now()}
	cookie := rand.Text()
	p.mu.Lock()
	p.state.sessions[cookie] = s
	p.mu.Unlock()
	http.SetCookie(w, p.cookie(cookie, 0))
	p.respondCode(w, r, k, a, s)
}

// authorization proves client and redirect URI; nobody is sent to another place.
func (p *IdP) authorization(w http.ResponseWriter, r *http.Request) (authorization, bool) {
	a := authorization{params: r.Form}
	c, ok := p.clients.Client(a.params.Get("client_id"))
	a.client = c
	switch {
	case !ok || len(a.params["client_id"]) != 1:
		p.notice(w, http.StatusBadRequest, "That app is not known here", "Nobody registered an app of that name.")
	case len(a.params["redirect_uri"]) != 1 || !slices.Contains(c.RedirectURIs, a.params.Get("redirect_uri")):
		p.notice(w, http.StatusBadRequest, "There is no way back", "The app is not registered with that redirect_uri.")
	default:
		return a, true
	}
	return authorization{}, false
}

// tooOld reports that the request wants a younger login.
func (p *IdP) tooOld(s session, a authorization) bool {
	seconds, err := strconv.ParseInt(a.params.Get("max_age"), 10, 64)
	return err == nil && (seconds == 0 || p.o.Now().Sub(s.authTime) > time.Duration(seconds)*time.Second)
}

func (p *IdP) session(r *http.Request) (session, bool) {
	cookie, err := r.Cookie(p.o.CookieName)
	if err != nil {
		return session{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.state.sessions[cookie.Value]
	return s, ok
}

func (p *IdP) cookie(value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: p.o.CookieName, Value: value, MaxAge: maxAge, Path: p.o.Path + "/", HttpOnly: true, Secure: p.o.TLS, SameSite: http.SameSiteLaxMode,
	}
}

func (p *IdP) respondCode(w http.ResponseWriter, r *http.Request, k knobs, a authorization, s session) {
	get := a.params.Get
	g := &grant{
		session: s, clientID: a.client.ID, redirectURI: get("redirect_uri"), challenge: get("code_challenge"), nonce: get("nonce"),
		acr: s.person.ACR, offline: slices.Contains(strings.Fields(get("scope")), scopeOffline), expires: p.o.Now().Add(codeLife),
		access: map[string]time.Time{},
	}
	if asked := strings.Fields(get("acr_values")); len(asked) > 0 {
		g.acr = asked[0]
	}
	code := rand.Text()
	p.mu.Lock()
	p.state.codes[code] = g
	p.mu.Unlock()
	p.respond(w, r, k, a, url.Values{"code": {code}})
}

func (p *IdP) respondError(w http.ResponseWriter, r *http.Request, k knobs, a authorization, code, description string) {
	p.respond(w, r, k, a, url.Values{"error": {code}, "error_description": {description}})
}

// respond sends the authorization response, with iss (RFC 9207 §2).
func (p *IdP) respond(w http.ResponseWriter, r *http.Request, k knobs, a authorization, params url.Values) {
	if a.params.Has("state") {
		params.Set("state", a.params.Get("state"))
	}
	if !k.issUnsent {
		params.Set("iss", p.Issuer())
	}
	if k.alterResponse != nil {
		k.alterResponse(params)
	}
	target := a.params.Get("redirect_uri")
	if a.params.Get("response_mode") == client.ModeFormPost {
		p.show(w, http.StatusOK, page.Page{Title: "You are signed in", Action: target, Hidden: params, FormPost: true})
		return
	}
	u, err := url.Parse(target)
	if err != nil {
		p.notice(w, http.StatusBadRequest, "There is no way back", "The app's redirect_uri is no URI.")
		return
	}
	query := u.Query()
	maps.Copy(query, params)
	u.RawQuery = query.Encode()
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}

// loginForm carries the authorization request along, so that no state waits for the form.
func (p *IdP) loginForm(w http.ResponseWriter, status int, a authorization, login, problem string) {
	carried := maps.Clone(a.params)
	for _, own := range []string{fieldLogin, fieldPassword, fieldAction} {
		delete(carried, own)
	}
	d := page.Page{Title: "Sign in", Action: p.o.Path + loginPath, Hidden: carried, Login: login, Problem: problem, Client: a.client.ID}
	for _, who := range p.o.People {
		name, _ := who.Claims["name"].(string)
		d.People = append(d.People, page.Hint{Login: who.Login, Name: name})
		d.AskPassword = d.AskPassword || who.Password != ""
	}
	p.show(w, status, d)
}

func (p *IdP) notice(w http.ResponseWriter, status int, title, text string) {
	p.show(w, status, page.Page{Title: title, Text: text})
}

func (p *IdP) show(w http.ResponseWriter, status int, d page.Page) {
	d.Provider, d.Accent = p.o.DisplayName, p.o.Accent
	d.Write(w, status)
}
