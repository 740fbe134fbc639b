// Package app is the demo's sample app and sample API: an ordinary OpenID Connect relying party, made with libraries that know nothing of the
// broker, and a resource server that takes tokens for one audience. The app shows what it got beside what the person's identity provider said.
package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Options describe the app; all are required.
type Options struct {
	Issuer           string // the broker's
	ClientID, Secret string
	Listener         net.Listener // closed by Run
	API              string       // URL of the sample API
	Audience         string       // what the API's tokens are for
	// Said is what the person's identity provider told the broker at the last login: the claims of its ID token, and its userinfo. A real app
	// never sees them: that is what the broker is for.
	Said func(upstream, subject string) (idToken, userinfo map[string]any)
}

// cookieName differs from those of the other servers of the demo: cookies ignore ports.
const cookieName = "sample-app"

const (
	requestTimeout    = 15 * time.Second
	readHeaderTimeout = 5 * time.Second
)

// App is the sample app.
type App struct {
	o      Options
	page   *template.Template
	client *http.Client

	mu       sync.Mutex
	provider *oidc.Provider // nil until the broker was asked
	visitors map[string]*visitor
}

// visitor is one browser; mu guards the rest.
type visitor struct {
	mu                     sync.Mutex
	state, nonce, verifier string  // of the login under way
	person                 *person // nil: nobody is signed in
	problem                string
}

// person is who signed in.
type person struct {
	tokens   *oauth2.Token
	idToken  string // raw
	claims   map[string]any
	userinfo map[string]any
	call     *call // the last one; nil: none yet
}

// New makes the app; it asks nobody for anything yet.
func New(o Options) *App {
	return &App{o: o, page: template.Must(template.New("page").Parse(pageText)), client: &http.Client{Timeout: requestTimeout}, visitors: map[string]*visitor{}}
}

// URL is where the app is.
func (a *App) URL() string { return "http://" + a.o.Listener.Addr().String() }

// Run serves the app until ctx ends.
func (a *App) Run(ctx context.Context) error {
	defer a.client.CloseIdleConnections()
	return Serve(ctx, a.handler(), a.o.Listener)
}

// Serve serves l until ctx ends; nothing here is worth waiting for.
func Serve(ctx context.Context, h http.Handler, l net.Listener) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: readHeaderTimeout}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = server.Close()
	})
	err := server.Serve(l)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

func (a *App) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /login", a.login)
	mux.HandleFunc("GET /callback", a.callback)
	mux.HandleFunc("POST /call", a.act(a.callAPI))
	mux.HandleFunc("POST /refresh", a.act(a.refresh))
	mux.HandleFunc("POST /logout", a.logout)
	// Browsers say where a POST comes from; this app takes them from its own pages alone.
	return http.NewCrossOriginProtection().Handler(mux)
}

// oauth is the client's side of OAuth 2.0, by the broker's own discovery document.
func (a *App) oauth(ctx context.Context) (*oidc.Provider, *oauth2.Config, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.provider == nil {
		p, err := oidc.NewProvider(oidc.ClientContext(context.WithoutCancel(ctx), a.client), a.o.Issuer)
		if err != nil {
			return nil, nil, fmt.Errorf("discovery: %w", err)
		}
		a.provider = p
	}
	return a.provider, &oauth2.Config{
		ClientID: a.o.ClientID, ClientSecret: a.o.Secret, Endpoint: a.provider.Endpoint(), RedirectURL: a.URL() + "/callback",
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups", "cost_center", oidc.ScopeOfflineAccess},
	}, nil
}

// visit finds the browser's visitor, or begins one.
func (a *App) visit(w http.ResponseWriter, r *http.Request) *visitor {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, err := r.Cookie(cookieName); err == nil && a.visitors[c.Value] != nil {
		return a.visitors[c.Value]
	}
	id := rand.Text()
	a.visitors[id] = &visitor{}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	return a.visitors[id]
}

// login sends the person to the broker. A hint chooses the identity provider; without one the broker's chooser does.
func (a *App) login(w http.ResponseWriter, r *http.Request) {
	v := a.visit(w, r)
	v.mu.Lock()
	defer v.mu.Unlock()
	_, config, err := a.oauth(r.Context())
	if err != nil {
		a.fail(w, r, v, err)
		return
	}
	v.state, v.nonce, v.verifier = rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	options := []oauth2.AuthCodeOption{oidc.Nonce(v.nonce), oauth2.S256ChallengeOption(v.verifier)}
	for _, name := range []string{"idp_hint", "login_hint", "prompt"} {
		if value := r.URL.Query().Get(name); value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	http.Redirect(w, r, config.AuthCodeURL(v.state, options...), http.StatusSeeOther)
}

// callback takes the broker's answer (OpenID Connect Core §3.1.2.5).
func (a *App) callback(w http.ResponseWriter, r *http.Request) {
	v := a.visit(w, r)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := a.signIn(r.Context(), v, r.URL.Query()); err != nil {
		a.fail(w, r, v, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (a *App) signIn(ctx context.Context, v *visitor, q url.Values) error {
	state, nonce, verifier := v.state, v.nonce, v.verifier
	v.state, v.nonce, v.verifier = "", "", ""
	switch {
	case state == "" || q.Get("state") != state:
		return errors.New("this answer is not to a login that this browser began")
	case q.Get("iss") != a.o.Issuer: // RFC 9207
		return errors.New("this answer is another issuer's")
	case q.Get("error") != "":
		return fmt.Errorf("the broker said %s: %s", q.Get("error"), q.Get("error_description"))
	}
	_, config, err := a.oauth(ctx)
	if err != nil {
		return err
	}
	tokens, err := config.Exchange(context.WithValue(ctx, oauth2.HTTPClient, a.client), q.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return fmt.Errorf("code: %w", err)
	}
	return a.take(ctx, v, tokens, nonce)
}

// take verifies the ID token and asks userinfo. A refreshed ID token has no nonce.
func (a *App) take(ctx context.Context, v *visitor, tokens *oauth2.Token, nonce string) error {
	provider, _, err := a.oauth(ctx)
	if err != nil {
		return err
	}
	ctx = oidc.ClientContext(ctx, a.client)
	raw, _ := tokens.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: a.o.ClientID}).Verify(ctx, raw)
	if err != nil {
		return fmt.Errorf("ID token: %w", err)
	}
	if id.Nonce != nonce {
		return errors.New("ID token of another login")
	}
	claims, userinfo := map[string]any{}, map[string]any{}
	if err := id.Claims(&claims); err != nil {
		return fmt.Errorf("ID token: %w", err)
	}
	info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return fmt.Errorf("userinfo: %w", err)
	}
	if err := info.Claims(&userinfo); err != nil || info.Subject != id.Subject { // OpenID Connect Core §5.3.2
		return errors.New("userinfo of another person")
	}
	v.person, v.problem = &person{tokens: tokens, idToken: raw, claims: claims, userinfo: userinfo}, ""
	return nil
}

// act is a button: it does something and comes back to the page.
func (a *App) act(do func(context.Context, *visitor) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v := a.visit(w, r)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.problem = ""
		if v.person != nil {
			if err := do(r.Context(), v); err != nil {
				a.fail(w, r, v, err)
				return
			}
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

// refresh takes new tokens for the refresh token (OpenID Connect Core §12).
func (a *App) refresh(ctx context.Context, v *visitor) error {
	_, config, err := a.oauth(ctx)
	if err != nil {
		return err
	}
	old := &oauth2.Token{RefreshToken: v.person.tokens.RefreshToken}
	tokens, err := config.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, a.client), old).Token()
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	return a.take(ctx, v, tokens, "")
}

// logout forgets the person here, and sends them to the broker to sign out there (RP-Initiated Logout §2).
func (a *App) logout(w http.ResponseWriter, r *http.Request) {
	v := a.visit(w, r)
	v.mu.Lock()
	defer v.mu.Unlock()
	q := url.Values{"post_logout_redirect_uri": {a.URL() + "/"}}
	if v.person != nil {
		q.Set("id_token_hint", v.person.idToken)
	}
	v.person, v.problem = nil, ""
	http.Redirect(w, r, a.o.Issuer+"/logout?"+q.Encode(), http.StatusSeeOther)
}

func (a *App) fail(w http.ResponseWriter, r *http.Request, v *visitor, err error) {
	v.problem = err.Error()
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
