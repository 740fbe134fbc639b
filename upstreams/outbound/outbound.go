// Package outbound makes the only HTTP clients of the project. What an upstream's name resolves to is judged when it is dialled, after
// DNS, so that no name, redirect or second answer of a resolver leads into a private network. Proxy settings of the
// environment are not read: a proxy would do the dialling, unjudged.
package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"fedbroker/upstreams/breaker"
)

const (
	defaultTimeout = 10 * time.Second
	defaultMaxBody = 512 << 10
	maxHeader      = 64 << 10
	maxRedirects   = 3

	dialTimeout   = 5 * time.Second
	tlsTimeout    = 5 * time.Second
	headerTimeout = 8 * time.Second
	idleTimeout   = 30 * time.Second
	// A host gets few connections: what is fetched is small, and rare beside the tokens that it serves.
	maxConns     = 8
	maxIdleConns = 2
)

// Options are the exceptions and bounds of one upstream. The zero value allows no private address.
type Options struct {
	AllowPrivate []string         // hosts, as URLs name them (a name or an IP address), that may be at private addresses
	Loopback     bool             // the upstream's issuer is a loopback name: loopback names may be at loopback addresses
	CAFile       string           // PEM file that takes the place of the system's roots; read anew for each request, so that it can rotate
	Timeout      time.Duration    // of a whole request, its body included [10s]
	MaxBody      int64            // bytes of an answer's body [512 KiB]
	Breaker      *breaker.Breaker // stands before every request; nil: none
}

// Client fetches for one upstream. It is safe for concurrent use.
type Client struct {
	names    []string     // of AllowPrivate, in lower case
	addrs    []netip.Addr // of AllowPrivate
	loopback bool
	caFile   string
	maxBody  int64
	resolver *net.Resolver // nil: the system's
	breaker  *breaker.Breaker
	http     *http.Client

	mu        sync.Mutex
	roots     []byte // what transport trusts, as the CA file had it
	transport *http.Transport
}

// New makes a client. A CA file that can't be used is an error of the requests, not of New: it may be about to appear.
func New(o Options) (*Client, error) {
	if o.Timeout < 0 || o.MaxBody < 0 {
		return nil, errors.New("timeout and body limit must not be negative")
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxBody == 0 {
		o.MaxBody = defaultMaxBody
	}
	c := &Client{loopback: o.Loopback, caFile: o.CAFile, maxBody: o.MaxBody, breaker: o.Breaker}
	for _, host := range o.AllowPrivate {
		host = normalHost(host)
		if addr, err := netip.ParseAddr(host); err == nil {
			c.addrs = append(c.addrs, addr.Unmap())
		} else {
			c.names = append(c.names, host)
		}
	}
	c.http = &http.Client{Transport: guarded{c}, CheckRedirect: checkRedirect, Timeout: o.Timeout}
	return c, nil
}

// HTTP is the client for libraries that want one: same addresses, redirects, timeouts and body limit. The *url.Error that it
// returns quotes the URL, query included: log Describe of it instead.
func (c *Client) HTTP() *http.Client { return c.http }

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get is what one GetJSON wants beside the URL.
type Get struct {
	MaxBody int64 // bytes; the client's limit stays above it
	// Bearer gives the credential (RFC 6750 §2.1). It is asked for each request, and only if the URL's host is in CredentialHosts.
	Bearer          func() (string, error)
	CredentialHosts []string // host or host:port
	IfNoneMatch     string   // entity tag of what the caller has (RFC 9110 §13.1.2); empty: none
}

// GetJSON fetches a JSON document: status 200 and media type application/json or application/…+json (jwk-set+json, RFC 7517 §8.5), or an error.
// Redirects are followed on the same scheme, host and port, three at most. The body is not judged; it is nil where what the caller has is confirmed
// (304, only with IfNoneMatch). Every error is an *Error.
func (c *Client) GetJSON(ctx context.Context, rawURL string, o Get) (body []byte, header http.Header, err error) {
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, nil, &Error{Class: ClassURL, Reason: err.Error()}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, &Error{Host: u.Host, Class: ClassURL, Reason: "not a URL"}
	}
	req.Header.Set("Accept", "application/json")
	if o.IfNoneMatch != "" {
		req.Header.Set("If-None-Match", o.IfNoneMatch)
	}
	if o.Bearer != nil && isCredentialHost(u, o.CredentialHosts) {
		token, err := o.Bearer()
		if err != nil {
			return nil, nil, &Error{Host: u.Host, Class: ClassCredential, Reason: "credential: " + err.Error()}
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, Describe(u.Host, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if o.IfNoneMatch != "" && resp.StatusCode == http.StatusNotModified {
		return nil, resp.Header, nil
	}
	if err := checkJSON(resp); err != nil {
		err.Host = u.Host
		return nil, nil, err
	}
	limit := c.maxBody
	if o.MaxBody > 0 {
		limit = min(limit, o.MaxBody)
	}
	body, err = io.ReadAll(&cappedBody{ReadCloser: resp.Body, left: limit})
	if err != nil {
		return nil, nil, Describe(u.Host, err)
	}
	return body, resp.Header, nil
}

func checkJSON(resp *http.Response) *Error {
	if resp.StatusCode != http.StatusOK {
		return &Error{Class: ClassStatus, Reason: "status " + http.StatusText(resp.StatusCode), Status: resp.StatusCode}
	}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || media != "application/json" && (!strings.HasPrefix(media, "application/") || !strings.HasSuffix(media, "+json")) {
		return &Error{Class: ClassMediaType, Reason: "not a JSON media type"}
	}
	return nil
}

// IsCredentialHost says whether a URL is at one of the hosts that may get a credential, each host or host:port.
func IsCredentialHost(rawURL string, hosts []string) bool {
	u, err := parseURL(rawURL)
	return err == nil && isCredentialHost(u, hosts)
}

func isCredentialHost(u *url.URL, hosts []string) bool {
	return slices.ContainsFunc(hosts, func(h string) bool {
		return strings.EqualFold(h, u.Host) || normalHost(h) == normalHost(u.Hostname())
	})
}

// checkRedirect keeps a redirect where it came from. The port counts, too: another port is another server, and the credential of
// the first request would go along.
func checkRedirect(req *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case first.Method != http.MethodGet && first.Method != http.MethodHead:
		return &Error{Class: ClassRedirect, Reason: "redirect of a " + first.Method}
	case len(via) > maxRedirects:
		return &Error{Class: ClassRedirect, Reason: "too many redirects"}
	case req.URL.Scheme != first.URL.Scheme || origin(req.URL) != origin(first.URL):
		return &Error{Class: ClassRedirect, Reason: "redirect to another host"}
	}
	return nil
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return net.JoinHostPort(normalHost(u.Hostname()), port)
}

// guarded is the transport under every client: it judges each URL, also one that a redirect or a library made.
type guarded struct{ c *Client }

func (g guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	refuse := func(err error) (*http.Response, error) {
		if req.Body != nil {
			_ = req.Body.Close() // http.RoundTripper's duty
		}
		return nil, err
	}
	if err := checkURL(req.URL); err != nil {
		return refuse(&Error{Host: req.URL.Host, Class: ClassURL, Reason: err.Error()})
	}
	t, err := g.c.current()
	if err != nil {
		return refuse(err)
	}
	call, err := g.c.breaker.Enter(req.Context())
	if err != nil {
		return refuse(notAsked(req.URL.Host, err))
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		call.End(outcome(err))
		return nil, err
	}
	resp.Body = &cappedBody{ReadCloser: resp.Body, left: g.c.maxBody, call: call, outcome: answered(resp.StatusCode)}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") { // we asked for none: no bomb is unpacked
		_ = resp.Body.Close()
		return nil, &Error{Host: req.URL.Host, Class: ClassMediaType, Reason: "encoded body"}
	}
	return resp, nil
}

// CloseIdleConnections lets http.Client close them.
func (g guarded) CloseIdleConnections() {
	g.c.mu.Lock()
	defer g.c.mu.Unlock()
	if g.c.transport != nil {
		g.c.transport.CloseIdleConnections()
	}
}

// current is the transport that trusts what the CA file holds now. It is made anew only when that has changed.
func (c *Client) current() (*http.Transport, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var pem []byte
	if c.caFile != "" {
		var err error
		if pem, err = os.ReadFile(c.caFile); err != nil {
			return nil, &Error{Class: ClassCA, Reason: "CA file: " + err.Error()}
		}
	}
	if c.transport != nil && bytes.Equal(pem, c.roots) {
		return c.transport, nil
	}
	trust := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.caFile != "" {
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, &Error{Class: ClassCA, Reason: "CA file holds no certificate"}
		}
	}
	if c.transport != nil {
		c.transport.CloseIdleConnections()
	}
	c.roots = pem
	c.transport = &http.Transport{ // Proxy stays nil
		DialContext:            c.dial,
		TLSClientConfig:        trust,
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		IdleConnTimeout:        idleTimeout,
		MaxConnsPerHost:        maxConns,
		MaxIdleConnsPerHost:    maxIdleConns,
		MaxResponseHeaderBytes: maxHeader,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
	}
	return c.transport, nil
}
