// Package upstreamtest is a small OpenID provider: discovery, a key set, signed tokens, and people who log in by a form, over real
// HTTP, with knobs that make it as hostile as the real ones. Tests and the demo use it. It imports no testing, never sleeps, and whatever it does is decided by its
// caller.
package upstreamtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"fedbroker/upstreams/upstreamtest/client"
	"fedbroker/upstreams/upstreamtest/tokens"
)

const (
	discoveryPath = "/.well-known/openid-configuration" // OpenID Connect Discovery §4
	jwksPath      = "/jwks"

	defaultName         = "idp"
	defaultAddr         = "127.0.0.1:0"
	defaultAccent       = "#3457a6"
	defaultCacheControl = "public, max-age=600"

	readHeaderTimeout = 10 * time.Second
)

// Options describe an IdP. The zero value is one that signs with ES256 on a free port of 127.0.0.1.
type Options struct {
	Name         string           // begins its key ids; two of one name share key ids, never keys [idp]
	Addr         string           // listen address [127.0.0.1:0]
	Path         string           // path of the issuer, such as /realms/a
	Issuer       string           // what it calls itself, if that is not its address and Path
	Algorithms   []string         // one key each, of ES256, ES384, RS256, PS256, EdDSA; the first signs by default [ES256]
	CacheControl string           // of the key set [public, max-age=600]
	TLS          bool             // serve https with a certificate that CertPEM vouches for
	Now          func() time.Time // [time.Now]

	DisplayName string   // what its login form calls it [Name]
	Accent      string   // colour of its login form, as #rrggbb [#3457a6]
	CookieName  string   // of its session; those of one host must differ [upstreamtest-Name-port]
	Clients     []Client // relying parties
	People      []Person // who can log in
}

// IdP is a running identity provider. Its methods may be called from any goroutine.
type IdP struct {
	o       Options
	url     string
	certPEM []byte
	server  *http.Server
	clients *client.Registry
	served  chan struct{} // closed when the server has ended

	mu        sync.Mutex
	keys      []*signingKey // newest last; withdrawn ones stay, for signing
	sequence  int
	issued    int
	knobs     knobs
	slow      map[string]chan struct{} // by path, empty for all: open, requests wait for it
	discovery int
	jwks      int
	changed   chan struct{} // closed and replaced at each request
	state     loginState
	stop      chan struct{} // closed by Close: lets go of waiting requests
}

// New starts an IdP. Its caller must Close it.
func New(o Options) (*IdP, error) {
	if o.Name == "" {
		o.Name = defaultName
	}
	if o.Addr == "" {
		o.Addr = defaultAddr
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = []string{"ES256"}
	}
	if o.CacheControl == "" {
		o.CacheControl = defaultCacheControl
	}
	if o.DisplayName == "" {
		o.DisplayName = o.Name
	}
	if o.Accent == "" {
		o.Accent = defaultAccent
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &IdP{o: o, served: make(chan struct{}), changed: make(chan struct{}), slow: map[string]chan struct{}{}, stop: make(chan struct{}), state: newLoginState()}
	if err := p.checkLogin(); err != nil {
		return nil, fmt.Errorf("identity provider %s: %w", o.Name, err)
	}
	p.knobs.cacheControl = o.CacheControl
	if err := p.addKeys(); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("identity provider %s: %w", o.Name, err)
	}
	p.url = "http://" + listener.Addr().String()
	if o.TLS {
		secured, certPEM, err := tokens.OverTLS(listener, o.Now())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("identity provider %s: %w", o.Name, err), listener.Close())
		}
		listener, p.certPEM = secured, certPEM
		p.url = "https://" + listener.Addr().String()
	}
	if p.o.CookieName == "" {
		_, port, _ := net.SplitHostPort(listener.Addr().String()) // a browser sends cookies to every port of a host
		p.o.CookieName = "upstreamtest-" + o.Name + "-" + port
	}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: readHeaderTimeout, ErrorLog: discardLog()}
	go func() {
		defer close(p.served)
		_ = p.server.Serve(listener) // ends with Close, with nothing to report
	}()
	return p, nil
}

// Must is New for tests and the demo: it panics where New returns an error.
func Must(o Options) *IdP {
	p, err := New(o)
	if err != nil {
		panic(err)
	}
	return p
}

// Close ends the IdP, requests included, and waits for its listener. It may be called more than once.
func (p *IdP) Close() {
	p.mu.Lock()
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.mu.Unlock()
	_ = p.server.Close()
	<-p.served
}

// URL is its address, without a path.
func (p *IdP) URL() string { return p.url }

// CertPEM is the certificate to trust it by, when it serves TLS.
func (p *IdP) CertPEM() []byte { return slices.Clone(p.certPEM) }

// Issuer is what it calls itself in its tokens.
func (p *IdP) Issuer() string {
	if p.o.Issuer != "" {
		return p.o.Issuer
	}
	return p.url + p.o.Path
}

// JWKSURI is where its key set is.
func (p *IdP) JWKSURI() string { return p.url + p.o.Path + jwksPath }

// DiscoveryURL is where its discovery document is.
func (p *IdP) DiscoveryURL() string { return p.url + p.o.Path + discoveryPath }

// Fetches counts the requests for the discovery document and for the key set so far, failed ones included.
func (p *IdP) Fetches() (discovery, jwks int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.discovery, p.jwks
}

// WaitFetches returns when at least n requests have arrived in all, or with ctx's error.
func (p *IdP) WaitFetches(ctx context.Context, n int) error {
	return p.wait(ctx, func() bool { return p.discovery+p.jwks >= n })
}
