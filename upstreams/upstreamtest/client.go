package upstreamtest

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2
	assertionLife = 5 * time.Minute
)

func invalidClient(description string) *refusal {
	return &refusal{http.StatusUnauthorized, "invalid_client", description}
}

// authenticated is the client that the request proves to be from, by its registered method and no other.
func (p *IdP) authenticated(r *http.Request) (Client, *refusal) {
	form := r.PostForm
	id, secret, method := form.Get("client_id"), form.Get("client_secret"), MethodNone
	ways := 0
	if r.Header.Get("Authorization") != "" {
		ways++
		name, password, ok := basic(r)
		if !ok || form.Has("client_id") && id != name {
			return Client{}, invalidClient("the Authorization header is not understood")
		}
		id, secret, method = name, password, MethodBasic
	}
	if form.Has("client_secret") {
		ways++
		method = MethodPost
	}
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		ways++
		method = MethodPrivateKeyJWT
		if id == "" {
			id = p.asserted(form.Get("client_assertion"))
		}
	}
	client, ok := p.client(id)
	switch {
	case ways > 1:
		return Client{}, refuse("invalid_request", "two ways to authenticate")
	case !ok:
		return Client{}, invalidClient("no such client")
	case client.AuthMethod != method:
		return Client{}, invalidClient("the client is registered for " + client.AuthMethod + ", not " + method)
	case method == MethodPrivateKeyJWT:
		return client, p.checkAssertion(client, form)
	case subtle.ConstantTimeCompare([]byte(client.Secret), []byte(secret)) != 1:
		return Client{}, invalidClient("the secret is another")
	}
	return client, nil
}

// basic reads client_secret_basic, whose halves are form-encoded (RFC 6749 §2.3.1).
func basic(r *http.Request) (id, secret string, ok bool) {
	id, secret, ok = r.BasicAuth()
	id, badID := url.QueryUnescape(id)
	secret, badSecret := url.QueryUnescape(secret)
	return id, secret, ok && badID == nil && badSecret == nil
}

// asserted is the unverified subject of an assertion: it selects the key only.
func (p *IdP) asserted(assertion string) string {
	token, err := jwt.ParseSigned(assertion, assertionAlgorithms())
	var unverified jwt.Claims
	if err != nil || token.UnsafeClaimsWithoutVerification(&unverified) != nil {
		return ""
	}
	return unverified.Subject
}

// checkAssertion holds an assertion to RFC 7523 §3, stricter in two points: its audience is the issuer alone, as a string, and it
// lives five minutes at most.
func (p *IdP) checkAssertion(client Client, form url.Values) *refusal {
	if form.Get("client_assertion_type") != assertionType {
		return invalidClient("client_assertion_type is another")
	}
	token, err := jwt.ParseSigned(form.Get("client_assertion"), assertionAlgorithms())
	if err != nil {
		return invalidClient("the assertion is no JWT")
	}
	var claims struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience any    `json:"aud"`
		ID       string `json:"jti"`
		Expires  int64  `json:"exp"`
	}
	if err := token.Claims(client.PublicKey, &claims); err != nil {
		return invalidClient("the assertion's signature or claims are wrong")
	}
	now, ends := p.o.Now(), time.Unix(claims.Expires, 0)
	switch {
	case claims.Issuer != client.ID || claims.Subject != client.ID:
		return invalidClient("the assertion is of another client")
	case claims.Audience != p.Issuer():
		return invalidClient("the assertion's audience is not this issuer alone")
	case !now.Before(ends) || ends.Sub(now) > assertionLife:
		return invalidClient("the assertion lives too long or not at all")
	case claims.ID == "":
		return invalidClient("the assertion has no jti")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	used := client.ID + " " + claims.ID
	if p.state.assertions[used] {
		return invalidClient("the assertion was used before")
	}
	p.state.assertions[used] = true
	return nil
}

func cutSpace(header string) (scheme, rest string, ok bool) {
	scheme, rest, ok = strings.Cut(header, " ")
	return scheme, strings.TrimSpace(rest), ok
}
