// Package client is the relying parties of the test identity provider, and how they prove themselves at its token endpoint.
package client

import (
	"crypto"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// How a client proves itself at the token endpoint (OpenID Connect Core §9).
const (
	MethodBasic         = "client_secret_basic"
	MethodPost          = "client_secret_post"
	MethodPrivateKeyJWT = "private_key_jwt"
	MethodNone          = "none"
)

// Client is a relying party.
type Client struct {
	ID, Secret             string
	AuthMethod             string           // the only one that it may use [client_secret_basic]
	PublicKey              crypto.PublicKey // for private_key_jwt
	RedirectURIs           []string         // compared as strings
	PostLogoutRedirectURIs []string
}

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523 §2.2
	assertionLife = 5 * time.Minute
)

// Refusal is an error answer of the token endpoint (RFC 6749 §5.2). A nil one is none.
type Refusal struct {
	Status            int
	Code, Description string
}

// Refuse is a refusal with status 400.
func Refuse(code, description string) *Refusal {
	return &Refusal{http.StatusBadRequest, code, description}
}

func invalidClient(description string) *Refusal {
	return &Refusal{http.StatusUnauthorized, "invalid_client", description}
}

// Registry knows the clients, and the assertions that they have used. Its methods may be called from any goroutine.
type Registry struct {
	clients []Client

	mu   sync.Mutex
	used map[string]bool // by client id and jti
}

// NewRegistry registers clients, and refuses those that can't be.
func NewRegistry(clients []Client) (*Registry, error) {
	g := &Registry{clients: slices.Clone(clients), used: map[string]bool{}}
	for i := range g.clients {
		c := &g.clients[i]
		if c.AuthMethod == "" {
			c.AuthMethod = MethodBasic
		}
		var lacks bool
		switch c.AuthMethod {
		case MethodBasic, MethodPost:
			lacks = c.Secret == ""
		case MethodPrivateKeyJWT:
			lacks = c.PublicKey == nil
		case MethodNone:
		default:
			return nil, fmt.Errorf("client %q: no auth method %q", c.ID, c.AuthMethod)
		}
		if c.ID == "" || lacks {
			return nil, fmt.Errorf("client %q lacks what %s needs", c.ID, c.AuthMethod)
		}
	}
	return g, nil
}

// Client is the one of that id.
func (g *Registry) Client(id string) (Client, bool) {
	i := slices.IndexFunc(g.clients, func(c Client) bool { return c.ID == id })
	if i < 0 {
		return Client{}, false
	}
	return g.clients[i], true
}

// Authenticated is the client that the request, whose form is parsed, proves to be from: by its registered method and no other. issuer
// is the audience of assertions.
func (g *Registry) Authenticated(r *http.Request, issuer string, now time.Time) (Client, *Refusal) {
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
			id = asserted(form.Get("client_assertion"))
		}
	}
	client, ok := g.Client(id)
	switch {
	case ways > 1:
		return Client{}, Refuse("invalid_request", "two ways to authenticate")
	case !ok:
		return Client{}, invalidClient("no such client")
	case client.AuthMethod != method:
		return Client{}, invalidClient("the client is registered for " + client.AuthMethod + ", not " + method)
	case method == MethodPrivateKeyJWT:
		return client, g.checkAssertion(client, form, issuer, now)
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
func asserted(assertion string) string {
	token, err := jwt.ParseSigned(assertion, assertionAlgorithms())
	var unverified jwt.Claims
	if err != nil || token.UnsafeClaimsWithoutVerification(&unverified) != nil {
		return ""
	}
	return unverified.Subject
}

// checkAssertion holds an assertion to RFC 7523 §3, stricter in two points: its audience is the issuer alone, as a string, and it
// lives five minutes at most.
func (g *Registry) checkAssertion(client Client, form url.Values, issuer string, now time.Time) *Refusal {
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
	ends := time.Unix(claims.Expires, 0)
	switch {
	case claims.Issuer != client.ID || claims.Subject != client.ID:
		return invalidClient("the assertion is of another client")
	case claims.Audience != issuer:
		return invalidClient("the assertion's audience is not this issuer alone")
	case !now.Before(ends) || ends.Sub(now) > assertionLife:
		return invalidClient("the assertion lives too long or not at all")
	case claims.ID == "":
		return invalidClient("the assertion has no jti")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	key := client.ID + " " + claims.ID
	if g.used[key] {
		return invalidClient("the assertion was used before")
	}
	g.used[key] = true
	return nil
}

func assertionAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, jose.EdDSA}
}

// AlgorithmNames are those that assertions may be signed with.
func AlgorithmNames() []string {
	var names []string
	for _, alg := range assertionAlgorithms() {
		names = append(names, string(alg))
	}
	return names
}
