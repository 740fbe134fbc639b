package upstreamtest

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"fedbroker/upstreams/upstreamtest/client"
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
type Client = client.Client

// How a client proves itself at the token endpoint (OpenID Connect Core §9).
const (
	MethodBasic         = client.MethodBasic
	MethodPost          = client.MethodPost
	MethodPrivateKeyJWT = client.MethodPrivateKeyJWT
	MethodNone          = client.MethodNone
)

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
	requests []Request
	sessions map[string]session // by cookie
	codes    map[string]*grant
	access   map[string]*grant
	refresh  map[string]*grant
	hints    map[string]string // client ids by the ID tokens made for them
}

func newLoginState() loginState {
	return loginState{
		sessions: map[string]session{}, codes: map[string]*grant{}, access: map[string]*grant{}, refresh: map[string]*grant{},
		hints: map[string]string{},
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

// checkLogin registers the clients, and refuses what can't be.
func (p *IdP) checkLogin() error {
	if !accentPattern.MatchString(p.o.Accent) {
		return fmt.Errorf("accent %q is no #rrggbb", p.o.Accent)
	}
	p.o.People = slices.Clone(p.o.People)
	registry, err := client.NewRegistry(p.o.Clients)
	if err != nil {
		return err
	}
	p.clients = registry
	for _, who := range p.o.People {
		if who.Login == "" || who.Subject == "" {
			return errors.New("a person without login or subject")
		}
	}
	return nil
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
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
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

// Dismiss takes back all that a person has let clients have: their refresh tokens are none any more, as of an account that was disabled.
func (p *IdP) Dismiss(login string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.state.refresh {
		if g.person.Login == login {
			g.revoked = true
		}
	}
}
