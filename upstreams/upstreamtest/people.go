package upstreamtest

import (
	"crypto"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// How a client proves itself at the token endpoint (OpenID Connect Core §9).
const (
	MethodBasic         = "client_secret_basic"
	MethodPost          = "client_secret_post"
	MethodPrivateKeyJWT = "private_key_jwt"
	MethodNone          = "none"
)

const (
	authorizePath = "/authorize"
	loginPath     = "/login"
	tokenPath     = "/token"
	userinfoPath  = "/userinfo"
	logoutPath    = "/logout"

	maxForm = 1 << 20 // bytes
)

// Client is a relying party.
type Client struct {
	ID, Secret             string
	AuthMethod             string           // the only one that it may use [client_secret_basic]
	PublicKey              crypto.PublicKey // for private_key_jwt
	RedirectURIs           []string         // compared as strings
	PostLogoutRedirectURIs []string
}

// Person can log in.
type Person struct {
	Login, Subject string
	Password       string         // empty: any is good
	Claims         map[string]any // in ID tokens and at userinfo, whatever the scope; never changed by the IdP
	UserinfoOnly   map[string]any // at userinfo only
	ACR            string         // in ID tokens, if the request has no acr_values; empty: none
	AMR            []string       // in ID tokens; nil: pwd, if there is a password
}

// Request is what came to the IdP. Values of secrets (passwords, codes, tokens, assertions) are replaced by Secret.
type Request struct {
	Method, Path  string     // the path without that of the issuer
	Query, Form   url.Values // Form: of the body
	Authorization string     // the scheme of that header, such as Basic; empty: none
}

// Secret stands in a Request for the value of a secret.
const Secret = "(secret)"

var secretParameters = []string{"client_secret", "client_assertion", "password", "code", "code_verifier", "refresh_token", "id_token_hint"}

// loginState is what the IdP remembers of logins. It is guarded by the IdP's mu.
type loginState struct {
	requests   []Request
	sessions   map[string]session // by cookie
	codes      map[string]*grant
	access     map[string]*grant
	refresh    map[string]*grant
	assertions map[string]bool   // by client id and jti: seen
	hints      map[string]string // client ids by the ID tokens made for them
}

func newLoginState() loginState {
	return loginState{
		sessions: map[string]session{}, codes: map[string]*grant{}, access: map[string]*grant{}, refresh: map[string]*grant{},
		assertions: map[string]bool{}, hints: map[string]string{},
	}
}

// session is a person's login in one browser.
type session struct {
	person   Person
	sid      string
	authTime time.Time
}

// grant is what came of one authorization, until it is revoked.
type grant struct {
	session
	clientID, redirectURI string
	challenge, nonce, acr string
	offline               bool
	expires               time.Time // of the code
	spent, revoked        bool
	access                map[string]time.Time // ends, by access token
	refresh               string               // the one that is good now
}

var accentPattern = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// checkLogin fills in what the clients leave open, and refuses what can't be.
func (p *IdP) checkLogin() error {
	if !accentPattern.MatchString(p.o.Accent) {
		return fmt.Errorf("accent %q is no #rrggbb", p.o.Accent)
	}
	p.o.Clients, p.o.People = slices.Clone(p.o.Clients), slices.Clone(p.o.People)
	for i := range p.o.Clients {
		c := &p.o.Clients[i]
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
			return fmt.Errorf("client %q: no auth method %q", c.ID, c.AuthMethod)
		}
		if c.ID == "" || lacks {
			return fmt.Errorf("client %q lacks what %s needs", c.ID, c.AuthMethod)
		}
	}
	for _, who := range p.o.People {
		if who.Login == "" || who.Subject == "" {
			return errors.New("a person without login or subject")
		}
	}
	return nil
}

func (p *IdP) client(id string) (Client, bool) {
	i := slices.IndexFunc(p.o.Clients, func(c Client) bool { return c.ID == id })
	if i < 0 {
		return Client{}, false
	}
	return p.o.Clients[i], true
}

func (p *IdP) person(login string) (Person, bool) {
	i := slices.IndexFunc(p.o.People, func(who Person) bool { return who.Login == login })
	if i < 0 {
		return Person{}, false
	}
	return p.o.People[i], true
}

// claimNames are the claims that its people have.
func (p *IdP) claimNames() []string {
	names := map[string]bool{"sub": true, "auth_time": true, "acr": true, "amr": true, "sid": true}
	for _, who := range p.o.People {
		for _, claims := range []map[string]any{who.Claims, who.UserinfoOnly} {
			for name := range claims {
				names[name] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// recorded is the request as the log keeps it.
func recorded(path string, r *http.Request) Request {
	scheme, _, _ := cutSpace(r.Header.Get("Authorization"))
	return Request{Method: r.Method, Path: path, Query: veiled(r.URL.Query()), Form: veiled(r.PostForm), Authorization: scheme}
}

func veiled(values url.Values) url.Values {
	out := url.Values{}
	for name, all := range values {
		out[name] = slices.Clone(all)
		if slices.Contains(secretParameters, name) {
			out[name] = slices.Repeat([]string{Secret}, len(all))
		}
	}
	return out
}

func assertionAlgorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.ES256, jose.ES384, jose.RS256, jose.PS256, jose.EdDSA}
}

func algorithmNames() []string {
	var names []string
	for _, alg := range assertionAlgorithms() {
		names = append(names, string(alg))
	}
	return names
}
