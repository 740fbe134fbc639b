package upstreamtest

import (
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net/http"
	"time"

	"fedbroker/upstreams/upstreamtest/client"
	"fedbroker/upstreams/upstreamtest/tokens"
)

const (
	grantCode    = "authorization_code"
	grantRefresh = "refresh_token"

	accessLife = 10 * time.Minute
)

// serveToken is the token endpoint.
func (p *IdP) serveToken(w http.ResponseWriter, r *http.Request, k knobs) {
	answer, refused := p.token(r, k)
	if refused != nil {
		if refused.Status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Basic")
		}
		p.answer(w, k.tokenTrouble, refused.Status, map[string]any{"error": refused.Code, "error_description": refused.Description})
		return
	}
	if k.alterToken != nil {
		k.alterToken(answer)
	}
	p.answer(w, k.tokenTrouble, http.StatusOK, answer)
}

func (p *IdP) token(r *http.Request, k knobs) (map[string]any, *client.Refusal) {
	for _, all := range r.PostForm {
		if len(all) > 1 {
			return nil, client.Refuse("invalid_request", "a parameter is repeated")
		}
	}
	if r.URL.RawQuery != "" {
		return nil, client.Refuse("invalid_request", "parameters belong into the body")
	}
	c, refused := p.clients.Authenticated(r, p.Issuer(), p.o.Now())
	if refused != nil {
		return nil, refused
	}
	var g *grant
	switch r.PostForm.Get("grant_type") {
	case grantCode:
		g, refused = p.redeem(r, c)
	case grantRefresh:
		g, refused = p.rotate(r, c)
	default:
		refused = client.Refuse("unsupported_grant_type", "only authorization_code and refresh_token")
	}
	if refused != nil {
		return nil, refused
	}
	return p.issue(g, k), nil
}

// redeem spends a code. One that comes again takes everything back that came of it (RFC 6749 §4.1.2).
func (p *IdP) redeem(r *http.Request, c Client) (*grant, *client.Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g, ok := p.state.codes[r.PostForm.Get("code")]
	if !ok || g.clientID != c.ID {
		return nil, client.Refuse("invalid_grant", "no such code")
	}
	verifier := r.PostForm.Get("code_verifier")
	sum := sha256.Sum256([]byte(verifier))
	switch {
	case g.spent:
		g.revoked = true
		return nil, client.Refuse("invalid_grant", "the code was used before")
	case !p.o.Now().Before(g.expires):
		return nil, client.Refuse("invalid_grant", "the code is too old")
	case g.redirectURI != r.PostForm.Get("redirect_uri"):
		return nil, client.Refuse("invalid_grant", "redirect_uri is another")
	case g.challenge == "" && verifier != "", g.challenge != "" && tokens.Encode(sum[:]) != g.challenge:
		return nil, client.Refuse("invalid_grant", "the code verifier does not fit")
	}
	g.spent = true
	return g, nil
}

// rotate spends a refresh token. One that comes again takes everything back.
func (p *IdP) rotate(r *http.Request, c Client) (*grant, *client.Refusal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	token := r.PostForm.Get("refresh_token")
	g, ok := p.state.refresh[token]
	if !ok || g.clientID != c.ID || g.revoked {
		return nil, client.Refuse("invalid_grant", "no such refresh token")
	}
	if g.refresh != token {
		g.revoked = true
		return nil, client.Refuse("invalid_grant", "the refresh token was used before")
	}
	g.nonce = "" // belongs to the first ID token (OpenID Connect Core §12.2)
	return g, nil
}

// issue makes the tokens of an answer.
func (p *IdP) issue(g *grant, k knobs) map[string]any {
	access := rand.Text()
	idToken := p.idToken(g, access, k)
	answer := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(accessLife / time.Second), "id_token": idToken,
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	g.access[access] = p.o.Now().Add(accessLife)
	p.state.access[access] = g
	p.state.hints[idToken] = g.clientID
	if g.offline {
		g.refresh = rand.Text()
		p.state.refresh[g.refresh] = g
		answer["refresh_token"] = g.refresh
	}
	return answer
}

// idToken is that of a login (OpenID Connect Core §2, §3.1.3.6).
func (p *IdP) idToken(g *grant, access string, k knobs) string {
	claims := p.Claims(g.person.Subject, g.clientID)
	delete(claims, "nbf")
	for name, value := range g.person.Claims {
		if _, taken := claims[name]; !taken {
			claims[name] = value
		}
	}
	maps.Copy(claims, map[string]any{"auth_time": g.authTime.Unix(), "sid": g.sid, "at_hash": tokens.AccessHash(p.o.Algorithms[0], access)})
	p.mu.Lock()
	nonce := g.nonce
	p.mu.Unlock()
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if g.acr != "" {
		claims["acr"] = g.acr
	}
	switch {
	case g.person.AMR != nil:
		claims["amr"] = g.person.AMR
	case g.person.Password != "":
		claims["amr"] = []string{"pwd"}
	}
	if k.alterIDToken != nil {
		k.alterIDToken(claims)
	}
	return p.Sign(claims, k.idTokenOptions...)
}
