package upstreamtest

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"fedbroker/upstreams/upstreamtest/client"
)

// knobs are what is wrong with the IdP.
type knobs struct {
	down, refuse, truncate, huge bool
	duplicateKids, oddKeys       bool
	emptySet                     bool
	wrongIssuer                  string
	contentType                  string
	redirect                     string
	jwksURI                      string
	cacheControl                 string
	loginKnobs
}

// hugeBody is more than any reader of key sets should take, in bytes.
const hugeBody = 8 << 20

func (p *IdP) set(change func(*knobs)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.knobs)
}

// Down makes it answer 500 to everything.
func (p *IdP) Down(on bool) { p.set(func(k *knobs) { k.down = on }) }

// Refuse makes it close each connection without an answer.
func (p *IdP) Refuse(on bool) { p.set(func(k *knobs) { k.refuse = on }) }

// Truncate makes it send half of what it promises.
func (p *IdP) Truncate(on bool) { p.set(func(k *knobs) { k.truncate = on }) }

// Huge makes each of its answers 8 MiB long, white space after a good beginning.
func (p *IdP) Huge(on bool) { p.set(func(k *knobs) { k.huge = on }) }

// DuplicateKids puts a foreign key with the same kid before each of its keys.
func (p *IdP) DuplicateKids(on bool) { p.set(func(k *knobs) { k.duplicateKids = on }) }

// OddKeys puts keys that nobody can use around its own.
func (p *IdP) OddKeys(on bool) { p.set(func(k *knobs) { k.oddKeys = on }) }

// EmptySet makes its key set empty.
func (p *IdP) EmptySet(on bool) { p.set(func(k *knobs) { k.emptySet = on }) }

// WrongIssuer makes its discovery document name issuer; empty restores the right one.
func (p *IdP) WrongIssuer(issuer string) { p.set(func(k *knobs) { k.wrongIssuer = issuer }) }

// WrongContentType makes it send mediaType; empty restores application/json.
func (p *IdP) WrongContentType(mediaType string) { p.set(func(k *knobs) { k.contentType = mediaType }) }

// Redirect makes it answer every request with a redirect to target; empty ends that.
func (p *IdP) Redirect(target string) { p.set(func(k *knobs) { k.redirect = target }) }

// MoveJWKS makes its discovery document name uri as jwks_uri; empty restores the right one.
func (p *IdP) MoveJWKS(uri string) { p.set(func(k *knobs) { k.jwksURI = uri }) }

// CacheControl sets the header of its key set; empty sends none.
func (p *IdP) CacheControl(value string) { p.set(func(k *knobs) { k.cacheControl = value }) }

// Slow makes requests wait, from the next one on, until release is called, their client leaves, or the IdP is closed.
func (p *IdP) Slow() (release func()) { return p.slowAt("") }

// slowAt is Slow for one path; empty: every path.
func (p *IdP) slowAt(path string) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slow[path] == nil {
		p.slow[path] = make(chan struct{})
	}
	slow := p.slow[path]
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.slow[path] == slow {
			close(slow)
			delete(p.slow, path)
		}
	}
}

// ServeHTTP implements http.Handler.
func (p *IdP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path, ok := strings.CutPrefix(r.URL.Path, p.o.Path)
	e, known := endpoints[path]
	if !ok || !known {
		http.NotFound(w, r)
		return
	}
	if !slices.Contains(e.methods, r.Method) {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "not a form", http.StatusBadRequest)
		return
	}
	k, waits := p.arrived(path, r)
	for _, slow := range waits {
		select {
		case <-slow:
		case <-p.stop:
		case <-r.Context().Done():
		}
	}
	switch {
	case k.refuse:
		panic(http.ErrAbortHandler) // the server's way to close a connection without an answer
	case k.down:
		http.Error(w, "out of order", http.StatusInternalServerError)
	case k.redirect != "":
		http.Redirect(w, r, k.redirect, http.StatusFound)
	default:
		e.serve(p, w, r, k)
	}
}

// endpoint is a path's methods and handler. Its handler finds the request's form parsed.
type endpoint struct {
	methods []string
	serve   func(*IdP, http.ResponseWriter, *http.Request, knobs)
}

var (
	read   = []string{http.MethodGet, http.MethodHead}
	either = []string{http.MethodGet, http.MethodPost}
	post   = []string{http.MethodPost}
)

var endpoints = map[string]endpoint{
	discoveryPath: {read, (*IdP).serveDiscovery},
	jwksPath:      {read, (*IdP).serveJWKS},
	authorizePath: {either, (*IdP).serveAuthorize},
	loginPath:     {post, (*IdP).serveLogin},
	tokenPath:     {post, (*IdP).serveToken},
	userinfoPath:  {either, (*IdP).serveUserinfo},
	logoutPath:    {either, (*IdP).serveLogout},
}

// arrived counts the request and takes the knobs as they are now.
func (p *IdP) arrived(path string, r *http.Request) (knobs, []chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch path {
	case discoveryPath:
		p.discovery++
	case jwksPath:
		p.jwks++
	}
	p.state.requests = append(p.state.requests, recorded(path, r))
	close(p.changed)
	p.changed = make(chan struct{})
	var waits []chan struct{}
	for _, of := range []string{"", path} {
		if slow := p.slow[of]; slow != nil {
			waits = append(waits, slow)
		}
	}
	return p.knobs, waits
}

func (p *IdP) serveDiscovery(w http.ResponseWriter, _ *http.Request, k knobs) {
	p.send(w, k, http.StatusOK, p.discoveryDocument(k))
}

func (p *IdP) serveJWKS(w http.ResponseWriter, _ *http.Request, k knobs) {
	if k.cacheControl != "" {
		w.Header().Set("Cache-Control", k.cacheControl)
	}
	p.send(w, k, http.StatusOK, p.keySet(k))
}

func (p *IdP) send(w http.ResponseWriter, k knobs, status int, body []byte) {
	contentType := "application/json"
	if k.contentType != "" {
		contentType = k.contentType
	}
	w.Header().Set("Content-Type", contentType)
	if k.truncate {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		body = body[:len(body)/2]
	}
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that left is its own affair, here and below
	if k.huge {
		_, _ = io.Copy(w, strings.NewReader(strings.Repeat(" ", hugeBody)))
	}
}

func (p *IdP) discoveryDocument(k knobs) []byte {
	issuer, jwksURI := p.Issuer(), p.JWKSURI()
	if k.wrongIssuer != "" {
		issuer = k.wrongIssuer
	}
	if k.jwksURI != "" {
		jwksURI = k.jwksURI
	}
	base := p.url + p.o.Path
	document := map[string]any{
		"issuer":                                           issuer,
		"jwks_uri":                                         jwksURI,
		"authorization_endpoint":                           base + authorizePath,
		"token_endpoint":                                   base + tokenPath,
		"userinfo_endpoint":                                base + userinfoPath,
		"end_session_endpoint":                             base + logoutPath,
		"response_types_supported":                         []string{"code"},
		"response_modes_supported":                         []string{client.ModeQuery, client.ModeFormPost},
		"grant_types_supported":                            []string{grantCode, grantRefresh},
		"subject_types_supported":                          []string{"public"},
		"id_token_signing_alg_values_supported":            p.o.Algorithms,
		"token_endpoint_auth_methods_supported":            []string{MethodBasic, MethodPost, MethodPrivateKeyJWT, MethodNone},
		"token_endpoint_auth_signing_alg_values_supported": client.AlgorithmNames(),
		"code_challenge_methods_supported":                 []string{"S256"},
		"scopes_supported":                                 []string{"openid", "profile", "email", scopeOffline},
		"claims_supported":                                 p.claimNames(),
	}
	if !k.issUnannounced {
		document["authorization_response_iss_parameter_supported"] = true // RFC 9207 §3
	}
	if k.alterDiscovery != nil {
		k.alterDiscovery(document)
	}
	return mustJSON(document)
}

// mustJSON encodes what this package or its caller made; what JSON can't say is a mistake of the test.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// discardLog keeps what hostile connections do to the server out of the caller's output.
func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
