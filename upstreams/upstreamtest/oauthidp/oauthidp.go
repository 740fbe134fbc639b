// Package oauthidp is a small OAuth 2.0 provider that is no OpenID provider, for tests: it is as GitHub's documentation describes GitHub, with an API on a server of its
// own, refusals with status 200, and answers that are forms unless JSON is asked for. Whoever opens its authorization endpoint is the one person
// whom it knows, and agrees. It imports no testing and never sleeps.
package oauthidp

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// The paths of its two servers: the first two are the provider's, the others the API's.
const (
	AuthorizePath = "/login/oauth/authorize"
	TokenPath     = "/login/oauth/access_token"
	UserPath      = "/user"
	EmailsPath    = "/user/emails"

	issuerPath = "/login/oauth"
)

// The person, as the API tells unless it is made to tell something else.
const (
	Profile = `{"login": "octocat", "id": 583231, "avatar_url": "https://avatars.example/u/583231?v=4", "html_url": "https://github.example/octocat", "type": "User",
		"name": "The Octocat", "company": null, "email": "somebody.else@acme.example", "site_admin": false, "updated_at": "2026-10-22T11:26:54Z"}`
	Emails = `[{"email": "old@acme.example", "primary": false, "verified": true}, {"email": "octocat@acme.example", "primary": true, "verified": true, "visibility": "private"}]`
)

// Options of New. All are required.
type Options struct{ ClientID, ClientSecret, RedirectURI string }

// Request is what one request said.
type Request struct {
	Path, Authorization, Accept string
	Form                        url.Values // query and body
}

// IdP is a running provider. Its methods may be called from any goroutine.
type IdP struct {
	o             Options
	provider, api *httptest.Server

	mu       sync.Mutex
	answers  map[string]http.HandlerFunc // in place of its own
	codes    map[string]url.Values       // authorization requests, by code
	tokens   map[string]bool
	noIss    bool
	requests []Request
}

// New starts a provider. Its caller must Close it.
func New(o Options) *IdP {
	p := &IdP{o: o, answers: map[string]http.HandlerFunc{}, codes: map[string]url.Values{}, tokens: map[string]bool{}}
	p.provider = p.serve(map[string]http.HandlerFunc{AuthorizePath: p.authorize, TokenPath: p.token})
	p.api = p.serve(map[string]http.HandlerFunc{UserPath: p.resource(Profile), EmailsPath: p.resource(Emails)})
	return p
}

func (p *IdP) serve(own map[string]http.HandlerFunc) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		_ = r.ParseForm() // what is no form has no parameters
		p.mu.Lock()
		p.requests = append(p.requests, Request{r.URL.Path, r.Header.Get("Authorization"), r.Header.Get("Accept"), maps.Clone(r.Form)})
		answer := p.answers[r.URL.Path]
		p.mu.Unlock()
		if answer == nil {
			answer = own[r.URL.Path]
		}
		if answer == nil {
			answer = http.NotFound
		}
		answer(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Start()
	return s
}

// Close ends both servers.
func (p *IdP) Close() {
	p.provider.CloseClientConnections()
	p.api.CloseClientConnections()
	p.provider.Close()
	p.api.Close()
}

// Issuer is the provider's, as its authorization responses name it.
func (p *IdP) Issuer() string { return p.provider.URL + issuerPath }

// URL is where a path is.
func (p *IdP) URL(path string) string {
	if path == UserPath || path == EmailsPath {
		return p.api.URL + path
	}
	return p.provider.URL + path
}

// APIHost is host and port of the API.
func (p *IdP) APIHost() string { return strings.TrimPrefix(p.api.URL, "http://") }

// Answer has a path answered by h from now on; nil: as ever.
func (p *IdP) Answer(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[path] = h
}

// Says has an endpoint of the API answer body, as JSON, to whoever has an access token.
func (p *IdP) Says(path, body string) { p.Answer(path, p.resource(body)) }

// WithoutIssuer leaves iss out of authorization responses, as providers do that do not know RFC 9207.
func (p *IdP) WithoutIssuer() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.noIss = true
}

// Requests are those so far to a path.
func (p *IdP) Requests(path string) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.requests), func(r Request) bool { return r.Path != path })
}

// Authorize is the person's browser at the authorization endpoint: it returns where it is sent.
func (p *IdP) Authorize(address string) (*url.URL, error) {
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.Get(address)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	return resp.Location()
}

func (p *IdP) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.Form
	if q.Get("client_id") != p.o.ClientID || q.Get("redirect_uri") != p.o.RedirectURI || q.Get("response_type") != "code" || q.Get("code_challenge_method") != "S256" {
		http.NotFound(w, r)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = maps.Clone(q)
	said := url.Values{"code": {code}, "state": {q.Get("state")}}
	if !p.noIss {
		said.Set("iss", p.Issuer())
	}
	p.mu.Unlock()
	http.Redirect(w, r, p.o.RedirectURI+"?"+said.Encode(), http.StatusFound)
}

// token redeems a code once. What it refuses it refuses with status 200.
func (p *IdP) token(w http.ResponseWriter, r *http.Request) {
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if user, password, ok := r.BasicAuth(); ok { // form-encoded first (RFC 6749 §2.3.1)
		id, _ = url.QueryUnescape(user)
		secret, _ = url.QueryUnescape(password)
	}
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	p.mu.Lock()
	asked, known := p.codes[r.PostForm.Get("code")]
	delete(p.codes, r.PostForm.Get("code"))
	p.mu.Unlock()
	said := url.Values{"token_type": {"bearer"}, "scope": {strings.ReplaceAll(asked.Get("scope"), " ", ",")}}
	switch {
	case id != p.o.ClientID || subtle.ConstantTimeCompare([]byte(secret), []byte(p.o.ClientSecret)) != 1:
		said = url.Values{"error": {"incorrect_client_credentials"}, "error_description": {"The client_id and/or client_secret passed are incorrect."}}
	case !known || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || r.PostForm.Get("redirect_uri") != p.o.RedirectURI:
		said = url.Values{"error": {"bad_verification_code"}, "error_description": {"The code passed is incorrect or expired."}}
	default:
		token := "gho_" + rand.Text()
		p.mu.Lock()
		p.tokens[token] = true
		p.mu.Unlock()
		said.Set("access_token", token)
	}
	if r.Header.Get("Accept") != "application/json" {
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		_, _ = io.WriteString(w, said.Encode())
		return
	}
	object := map[string]string{}
	for name := range said {
		object[name] = said.Get(name)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(object)
}

// resource answers whoever has an access token.
func (p *IdP) resource(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		p.mu.Lock()
		known := p.tokens[token]
		p.mu.Unlock()
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if !bearer || !known {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"message": "Bad credentials"}`)
			return
		}
		_, _ = io.WriteString(w, body)
	}
}
