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
)

const (
	modeQuery    = "query"
	modeFormPost = "form_post"
	scopeOffline = "offline_access"

	codeLife     = time.Minute
	challengeLen = 43 // base64url of SHA-256, characters (RFC 7636 §4.2)

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
	if code, description := a.problem(); code != "" {
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
	p.page(w, http.StatusOK, p.loginForm(a, a.params.Get("login_hint"), ""))
}

// serveLogin takes the login form.
func (p *IdP) serveLogin(w http.ResponseWriter, r *http.Request, k knobs) {
	a, ok := p.authorization(w, r)
	if !ok {
		return
	}
	if code, description := a.problem(); code != "" {
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
		p.page(w, http.StatusUnauthorized, p.loginForm(a, login, "That name and password do not go together. Try again."))
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
	client, ok := p.client(a.params.Get("client_id"))
	a.client = client
	switch {
	case !ok || len(a.params["client_id"]) != 1:
		p.page(w, http.StatusBadRequest, p.notice("That app is not known here", "Nobody registered an app of that name."))
	case len(a.params["redirect_uri"]) != 1 || !slices.Contains(client.RedirectURIs, a.params.Get("redirect_uri")):
		p.page(w, http.StatusBadRequest, p.notice("There is no way back", "The app is not registered with that redirect_uri."))
	default:
		return a, true
	}
	return authorization{}, false
}

// problem is what the response says of a request that can't be served; an empty code: nothing.
func (a authorization) problem() (code, description string) {
	get := a.params.Get
	for _, all := range a.params {
		if len(all) > 1 {
			return "invalid_request", "a parameter is repeated"
		}
	}
	prompt := strings.Fields(get("prompt"))
	_, badAge := strconv.ParseUint(get("max_age"), 10, 31)
	switch {
	case get("response_type") != "code":
		return "unsupported_response_type", "only code"
	case !slices.Contains([]string{"", modeQuery, modeFormPost}, get("response_mode")):
		return "invalid_request", "response_mode is query or form_post"
	case !slices.Contains(strings.Fields(get("scope")), "openid"):
		return "invalid_scope", "openid is missing"
	case get("code_challenge") == "" && (a.client.AuthMethod == MethodNone || a.params.Has("code_challenge_method")),
		get("code_challenge") != "" && (get("code_challenge_method") != "S256" || len(get("code_challenge")) != challengeLen):
		return "invalid_request", "the code challenge is not one of S256"
	case slices.Contains(prompt, "none") && len(prompt) > 1:
		return "invalid_request", "prompt none stands alone"
	case a.params.Has("max_age") && badAge != nil:
		return "invalid_request", "max_age is no number of seconds"
	case a.params.Has("request"):
		return "request_not_supported", "no request objects"
	case a.params.Has("request_uri"):
		return "request_uri_not_supported", "no request objects"
	}
	return "", ""
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
	if a.params.Get("response_mode") == modeFormPost {
		p.page(w, http.StatusOK, p.formPost(target, params))
		return
	}
	u, err := url.Parse(target)
	if err != nil {
		p.page(w, http.StatusBadRequest, p.notice("There is no way back", "The app's redirect_uri is no URI."))
		return
	}
	query := u.Query()
	maps.Copy(query, params)
	u.RawQuery = query.Encode()
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}
