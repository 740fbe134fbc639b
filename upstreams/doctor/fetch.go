package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fedbroker/upstreams/doctor/findings"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/outbound"
)

const (
	discoveryPath = "/.well-known/openid-configuration"       // OpenID Connect Discovery §4
	metadataPath  = "/.well-known/oauth-authorization-server" // RFC 8414 §3
	maxDocument   = 256 << 10                                 // bytes: what logins take of a discovery document
	maxBody       = jose.MaxKeySet                            // bytes: of any answer
)

// answer is what came back of one request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get asks for a document that is to be JSON. It notes what is wrong with the answer; ok says whether there is a body to judge.
func (x *examination) get(ctx context.Context, about, address string, limit int) (a answer, ok bool) {
	resp, began, cancel, ok := x.ask(ctx, about, http.MethodGet, address)
	if !ok {
		return answer{}, false
	}
	defer cancel()
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	took := x.Now().Sub(began)
	a = answer{resp.StatusCode, resp.Header, body}
	switch {
	case resp.StatusCode != http.StatusOK:
		x.add(findings.Fail, "fetch.status", about, fmt.Sprintf("status %d at %s", resp.StatusCode, address), about)
		return a, false
	case err != nil:
		x.failed(about, address, err)
		return a, false
	case len(body) > limit:
		x.add(findings.Fail, "fetch.too_large", about, fmt.Sprintf("more than %d bytes", limit))
		return a, false
	}
	x.add(findings.OK, "fetch.answer", about, fmt.Sprintf("status 200, %s, %d ms", size(len(body)), took.Milliseconds()))
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	good := err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"))
	x.check(good, findings.Fail, "fetch.media_type", about, or(resp.Header.Get("Content-Type"), "no Content-Type"), about)
	return a, true
}

// ask sends one request, and notes what is to be said of the connection: its address, TLS, redirects, clock. Its caller closes the body and cancels.
func (x *examination) ask(ctx context.Context, about, method, address string) (resp *http.Response, began time.Time, cancel func(), ok bool) {
	var peer string
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { peer = c.Conn.RemoteAddr().String() }})
	ctx, cancel = context.WithCancel(ctx)
	defer func() {
		if !ok {
			cancel()
		}
	}()
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil || outbound.CheckURL(address) != nil {
		x.add(findings.Fail, "fetch.url", about, address)
		return nil, began, cancel, false
	}
	req.Header.Set("Accept", "application/json")
	if x.spec.BearerTokenFile != "" && method == http.MethodGet && outbound.IsCredentialHost(address, x.spec.CredentialHostList()) {
		token, err := outbound.BearerFile(x.spec.BearerTokenFile)()
		if err != nil {
			x.add(findings.Fail, "fetch.credential", about, err.Error())
			return nil, began, cancel, false
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	began = x.Now()
	resp, err = x.client.HTTP().Do(req)
	if err != nil {
		x.failed(about, address, err)
		return nil, began, cancel, false
	}
	x.clocks = append(x.clocks, reading{began, x.Now(), resp.Header.Get("Date"), resp.Header.Get("Age")})
	x.contacted(req.URL, peer, resp.TLS)
	if resp.Request.URL.String() != address {
		x.add(findings.Note, "fetch.redirect", about, "redirected to "+resp.Request.URL.String(), about)
	}
	return resp, began, cancel, true
}

// contacted judges a connection, once for each origin.
func (x *examination) contacted(u *url.URL, peer string, state *tls.ConnectionState) {
	if x.contacts[origin(u)] {
		return
	}
	x.contacts[origin(u)] = true
	if at, err := netip.ParseAddrPort(peer); err == nil && (at.Addr().Unmap().IsPrivate() || at.Addr().Unmap().IsLoopback()) {
		x.add(findings.Note, "network.private", u.Host, "at "+at.Addr().String())
	}
	x.tls(u, state)
}

// origin is what one TLS connection may serve.
func origin(u *url.URL) string { return u.Scheme + "://" + strings.ToLower(u.Host) }

// failed notes why there was no answer, with what mends that.
func (x *examination) failed(about, address string, err error) {
	host := ""
	if u, parseErr := url.Parse(address); parseErr == nil {
		host = u.Host
	}
	e := outbound.Describe(host, err)
	id, hostname := "fetch."+string(e.Class), nameOf(host)
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
	)
	switch {
	case e.Class == outbound.ClassRedirect:
		x.add(findings.Fail, "fetch.redirect", about, e.Error(), about)
	case e.Class != outbound.ClassTLS:
		x.add(findings.Fail, id, about, e.Error(), hostname)
	case errors.As(err, &unknown):
		x.add(findings.Fail, "tls.authority", about, e.Error())
	case errors.As(err, &name):
		x.add(findings.Fail, "tls.name", about, e.Error(), hostname)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && invalid.Cert != nil:
		x.add(findings.Fail, "tls.dates", about, fmt.Sprintf("%s: its certificate is good from %s to %s", host, day(invalid.Cert.NotBefore), day(invalid.Cert.NotAfter)))
	default:
		x.add(findings.Fail, id, about, e.Error(), hostname)
	}
}

func nameOf(host string) string {
	u, err := url.Parse("https://" + host)
	if err != nil {
		return host
	}
	return u.Hostname()
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// size is a number of bytes for people.
func size(n int) string {
	if n < 1<<10 {
		return strconv.Itoa(n) + " bytes"
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}
