package upstreamtest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// serveUserinfo is the userinfo endpoint, for bearer tokens in the header only (RFC 6750 §2.1).
func (p *IdP) serveUserinfo(w http.ResponseWriter, r *http.Request, k knobs) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	p.mu.Lock()
	g, ok := p.state.access[token]
	ok = ok && !g.revoked && p.o.Now().Before(g.access[token])
	p.mu.Unlock()
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		p.answer(w, k.userinfoTrouble, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	claims := map[string]any{}
	maps.Copy(claims, g.person.Claims)
	maps.Copy(claims, g.person.UserinfoOnly)
	claims["sub"] = g.person.Subject
	if k.alterUserinfo != nil {
		k.alterUserinfo(claims)
	}
	p.answer(w, k.userinfoTrouble, http.StatusOK, claims)
}

// serveLogout is the end_session endpoint (OpenID Connect RP-Initiated Logout §2). It asks nobody: it ends the browser's session, and
// sends the browser on to an address that the client has registered.
func (p *IdP) serveLogout(w http.ResponseWriter, r *http.Request, _ knobs) {
	cookie, err := r.Cookie(p.o.CookieName)
	hint, id := r.Form.Get("id_token_hint"), r.Form.Get("client_id")
	p.mu.Lock()
	if err == nil {
		delete(p.state.sessions, cookie.Value)
	}
	if of, ok := p.state.hints[hint]; ok && id == "" {
		id = of
	}
	p.mu.Unlock()
	http.SetCookie(w, p.cookie("", -1))
	client, _ := p.clients.Client(id)
	target := r.Form.Get("post_logout_redirect_uri")
	u, err := url.Parse(target)
	if err != nil || !slices.Contains(client.PostLogoutRedirectURIs, target) {
		p.notice(w, http.StatusOK, "You are signed out", "You can close this window.")
		return
	}
	if r.Form.Has("state") {
		query := u.Query()
		query.Set("state", r.Form.Get("state"))
		u.RawQuery = query.Encode()
	}
	http.Redirect(w, r, u.String(), http.StatusSeeOther)
}
