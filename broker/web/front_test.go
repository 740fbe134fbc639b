package web_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/oauth"
	"fedbroker/broker/web"
)

func TestP50_MetadataAtBothForms(t *testing.T) {
	h := newHouse(t)
	var first answer
	for i, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "//.well-known/oauth-authorization-server/fed"} {
		a := h.do(call{method: http.MethodGet, path: path})
		if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "application/json") {
			t.Fatalf("%s: %d %s", path, a.status, a.raw)
		}
		if i == 0 {
			first = a
		}
		if a.raw != first.raw || a.header.Get("ETag") != first.header.Get("ETag") {
			t.Errorf("%s differs from discovery", path)
		}
	}
	for name, want := range map[string]string{
		"issuer": issuer, "token_endpoint": issuer + "/token", "jwks_uri": issuer + "/jwks", "introspection_endpoint": issuer + "/introspect", "revocation_endpoint": issuer + "/revoke",
	} {
		if got := first.text(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestP50_MetadataListsOnlyWhatIsServed(t *testing.T) {
	h := newHouse(t)
	m := h.do(call{method: http.MethodGet, path: "/.well-known/openid-configuration"}).body
	grants, err := json.Marshal(m["grant_types_supported"])
	if err != nil || string(grants) != `["authorization_code","client_credentials","refresh_token","`+oauth.GrantJWTBearer+`","`+oauth.GrantTokenExchange+`"]` {
		t.Errorf("grant types %s, %v", grants, err)
	}
	if types, listed := m["response_types_supported"].([]any); !listed || len(types) != 1 || types[0] != "code" {
		t.Errorf("response types %v", m["response_types_supported"])
	}
	for _, endpoint := range []string{"registration_endpoint", "device_authorization_endpoint", "pushed_authorization_request_endpoint"} {
		if _, listed := m[endpoint]; listed {
			t.Errorf("%s is listed", endpoint)
		}
	}
	for name, value := range m {
		if at, isURL := value.(string); isURL && name != "issuer" {
			if a := h.do(call{method: http.MethodGet, path: strings.TrimPrefix(at, issuer)}); a.status == http.StatusNotFound {
				t.Errorf("%s: nothing at %s", name, at)
			}
		}
	}
}

func TestJWKS_IsCachedByETag(t *testing.T) {
	h := newHouse(t)
	a := h.do(call{method: http.MethodGet, path: "/jwks"})
	if a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Cache-Control"), "public, max-age=") {
		t.Fatalf("%d %v", a.status, a.header)
	}
	if keys, _ := a.body["keys"].([]any); len(keys) == 0 || strings.Contains(a.raw, `"d"`) {
		t.Errorf("keys %s", a.raw)
	}
	etag := a.header.Get("ETag")
	for _, held := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
		if b := h.do(call{method: http.MethodGet, path: "/jwks", header: http.Header{"If-None-Match": {held}}}); b.status != http.StatusNotModified || b.raw != "" || b.header.Get("ETag") != etag {
			t.Errorf("If-None-Match %s: %d", held, b.status)
		}
	}
	if b := h.do(call{method: http.MethodGet, path: "/jwks", header: http.Header{"If-None-Match": {`"x"`}}}); b.status != http.StatusOK {
		t.Errorf("another ETag: %d", b.status)
	}
	if b := h.do(call{method: http.MethodHead, path: "/jwks"}); b.status != http.StatusOK || b.header.Get("ETag") != etag {
		t.Errorf("HEAD: %d", b.status)
	}
}

func TestP47_AdminIsNotOnThePublicListener(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"//", "//metrics", "//healthz", "//readyz", "/metrics", "/readyz", "/v1/keys", "//v1/keys", "/par", "//authorize", "/callback", "/callback/acme/x", "/token/", "//token", "/../token", "/%74oken"} {
		a := h.do(call{method: http.MethodGet, path: path})
		if a.status != http.StatusNotFound || a.text("error") != "not_found" || len(a.body) != 3 || strings.Contains(a.raw, path+`"`) {
			t.Errorf("%s: %d %s", path, a.status, a.raw)
		}
		if a.header.Get("Strict-Transport-Security") == "" || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: header %v", path, a.header)
		}
	}
}

func TestP49_HSTSOnEveryAnswerOfAnHTTPSIssuer(t *testing.T) {
	ask := func(h *house) []answer {
		return []answer{
			h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")}),
			h.do(call{path: "/token", form: exchangeForm("x", "orders"), header: as("gateway")}),
			h.do(call{path: "/token"}),
			h.do(call{method: http.MethodGet, path: "/token"}),
			h.do(call{method: http.MethodGet, path: "/jwks"}),
			h.do(call{method: http.MethodGet, path: "/.well-known/openid-configuration"}),
			h.do(call{method: http.MethodGet, path: "/nothing"}),
			h.do(call{method: http.MethodGet, path: "/login"}),
			h.do(call{method: http.MethodGet, path: "/authorize?x=1&x=2"}),
			h.do(call{path: "/authorize", form: url.Values{"client_id": {"wiki"}}}), // 303
			h.do(call{method: http.MethodPut, path: "/logout"}),
			h.do(call{method: http.MethodGet, path: "/userinfo"}),
			h.do(call{method: http.MethodGet, path: "/login", header: http.Header{"Cookie": {"x=" + strings.Repeat("x", 21<<10)}}}),
			h.do(call{method: http.MethodOptions, path: "/token", header: http.Header{"Origin": {spaOrigin}, "Access-Control-Request-Method": {"POST"}}}),
		}
	}
	for i, a := range ask(newHouse(t)) {
		if a.header.Get("Strict-Transport-Security") != "max-age=31536000" || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("answer %d: %v", i, a.header)
		}
	}
	loopback := newHouse(t, func(c *broker.Config, _ *web.Spec) { c.Issuer = "http://127.0.0.1:8443/fed" })
	for i, a := range ask(loopback) {
		if a.header.Get("Strict-Transport-Security") != "" {
			t.Errorf("http issuer, answer %d: %v", i, a.header)
		}
	}
}

func TestP49_AnonymousLimit(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, s *web.Spec) {
		c.Limits.Anonymous = "1/s"
		s.TrustedProxies = []string{"127.0.0.1"}
	})
	from := func(address string) answer {
		return h.do(call{path: "/token", form: exchangeForm("not-even-a-token", deploy), header: http.Header{"X-Forwarded-For": {address}}})
	}
	const burst = 10 // ten times the rate
	for i := range burst {
		if a := from("192.0.2.1"); a.status != http.StatusBadRequest {
			t.Fatalf("request %d: %d %s", i, a.status, a.raw)
		}
	}
	limited := refused{429, oauth.CodeTemporarilyUnavailable, oauth.ReasonRateLimit}
	h.checkRefusal(t, from("192.0.2.1"), limited)
	if a := from("192.0.2.2"); a.status != http.StatusBadRequest {
		t.Errorf("another address: %d", a.status)
	}
	if a := h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: forwardedFor(as("gateway"), "192.0.2.1")}); a.status != http.StatusOK {
		t.Errorf("a client from that address: %d %s", a.status, a.raw)
	}
	h.now.Add(1)
	if a := from("192.0.2.1"); a.status != http.StatusBadRequest {
		t.Errorf("a second later: %d", a.status)
	}
	h.checkRefusal(t, from("192.0.2.1"), limited)
}

func forwardedFor(h http.Header, forwarded string) http.Header {
	h.Set("X-Forwarded-For", forwarded)
	return h
}

func TestP49_AnonymousLimitIsOnByDefault(t *testing.T) {
	h := newHouse(t)
	const burst = 100 // of 10/s
	for i := range burst {
		if a := h.do(call{path: "/token", form: exchangeForm("x", deploy)}); a.status != http.StatusBadRequest {
			t.Fatalf("request %d: %d", i, a.status)
		}
	}
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(h.job(), deploy)}), refused{429, oauth.CodeTemporarilyUnavailable, oauth.ReasonRateLimit})
}

func TestP49_OtherLimits(t *testing.T) {
	limited := refused{429, oauth.CodeTemporarilyUnavailable, oauth.ReasonRateLimit}
	good := func(h *house) call {
		return call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")}
	}
	for name, tt := range map[string]struct {
		set  func(c *broker.Config)
		free func(h *house) call // what the limit does not touch
	}{
		"client": {func(c *broker.Config) { c.Limits.Client = "1/s" }, func(h *house) call { return call{path: "/token", form: exchangeForm(h.job(), deploy)} }},
		"subject": {func(c *broker.Config) { c.Limits.Subject = "1/s" }, func(h *house) call {
			c := good(h)
			c.form = exchangeForm(h.partner(set("sub", "bob")), "orders")
			return c
		}},
		"address": {func(c *broker.Config) { c.Limits.Address = "1/s" }, func(h *house) call { return call{method: http.MethodGet, path: "/jwks"} }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(c *broker.Config, _ *web.Spec) { tt.set(c) })
			for i := range 10 {
				if a := h.do(good(h)); a.status != http.StatusOK {
					t.Fatalf("request %d: %d %s", i, a.status, a.raw)
				}
			}
			h.checkRefusal(t, h.do(good(h)), limited)
			if a := h.do(tt.free(h)); a.status != http.StatusOK {
				t.Errorf("not limited, yet %d %s", a.status, a.raw)
			}
		})
	}
}

func TestP49_AddressLimitComesBeforeClientAuthentication(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) { c.Limits.Address = "1/s" })
	guess := call{path: "/token", form: exchangeForm("x", "orders"), header: basic("gateway", "guess")}
	for i := range 10 {
		if a := h.do(guess); a.status != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d %s", i, a.status, a.raw)
		}
	}
	h.checkRefusal(t, h.do(guess), refused{429, oauth.CodeTemporarilyUnavailable, oauth.ReasonRateLimit})
}

func TestP49_LimitedSubjectSpendsNothing(t *testing.T) {
	h := newHouse(t, func(c *broker.Config, _ *web.Spec) { c.Limits.Subject = "1/s" })
	for range 10 {
		h.exchanged()
	}
	once := call{path: "/token", form: exchangeForm(h.partner(), "vault"), header: as("gateway")}
	h.checkRefusal(t, h.do(once), refused{429, oauth.CodeTemporarilyUnavailable, oauth.ReasonRateLimit})
	h.now.Add(1)
	if a := h.do(once); a.status != http.StatusOK {
		t.Errorf("a second later: %d %s", a.status, a.raw)
	}
}

func TestP49_ForwardedForCountsFromTrustedProxiesOnly(t *testing.T) {
	for name, tt := range map[string]struct {
		proxies   []string
		forwarded []string
		want      string
	}{
		"nobody is trusted":            {nil, []string{"192.0.2.1"}, "127.0.0.1"},
		"the peer is not the proxy":    {[]string{"10.0.0.0/8"}, []string{"192.0.2.1"}, "127.0.0.1"},
		"the peer is":                  {[]string{"127.0.0.1"}, []string{"192.0.2.1"}, "192.0.2.1"},
		"what the client wrote itself": {[]string{"127.0.0.0/8"}, []string{"203.0.113.9, 192.0.2.1"}, "192.0.2.1"},
		"two headers":                  {[]string{"127.0.0.1"}, []string{"203.0.113.9", "192.0.2.1"}, "192.0.2.1"},
		"a chain of proxies":           {[]string{"127.0.0.1", "10.0.0.0/8"}, []string{"192.0.2.1, 10.1.2.3"}, "192.0.2.1"},
		"nonsense":                     {[]string{"127.0.0.1"}, []string{"evil"}, "127.0.0.1"},
		"IPv6":                         {[]string{"127.0.0.1"}, []string{"2001:db8::7"}, "2001:db8::7"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, func(_ *broker.Config, s *web.Spec) { s.TrustedProxies = tt.proxies })
			a := h.do(call{path: "/token", form: url.Values{"grant_type": {"x"}}, header: http.Header{"X-Forwarded-For": tt.forwarded, "X-Real-Ip": {"198.51.100.1"}}})
			lines := h.log.of(t, a.text("decision_id"))
			if len(lines) != 1 || lines[0]["peer"] != tt.want {
				t.Errorf("log %v, want peer %s", lines, tt.want)
			}
		})
	}
}

func TestLogAndMetrics_SameDecision(t *testing.T) {
	h := newHouse(t)
	a := h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")})
	lines := h.log.of(t, a.header.Get("Decision-Id"))
	if len(lines) != 1 || lines[0]["outcome"] != "done" || lines[0]["client_id"] != "gateway" || lines[0]["rule"] != partnerRule {
		t.Errorf("log %v", lines)
	}
	log := h.log.text()
	for _, secret := range []string{a.text("access_token"), secretOf("gateway"), "alice"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestNoCORS(t *testing.T) {
	h := newHouse(t)
	for _, c := range []call{
		{method: http.MethodOptions, path: "/token", header: http.Header{"Origin": {"https://evil.test"}, "Access-Control-Request-Method": {"POST"}}},
		{path: "/token", form: exchangeForm(h.job(), deploy), header: http.Header{"Origin": {"https://evil.test"}}},
		{method: http.MethodGet, path: "/jwks", header: http.Header{"Origin": {"https://evil.test"}}},
	} {
		for name := range h.do(c).header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s %s: %s", c.method, c.path, name)
			}
		}
	}
}

// certify writes a self-signed certificate for 127.0.0.1 whose serial number tells it from others.
func certify(t *testing.T, dir string, serial int64) web.TLSSpec {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	spec := web.TLSSpec{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	for name, block := range map[string]*pem.Block{spec.CertFile: {Type: "CERTIFICATE", Bytes: cert}, spec.KeyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return spec
}

func TestTLS_CertificateIsReloadedWhenItChanges(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_800_000_000, 0)
	spec := certify(t, dir, 1)
	config, err := web.NewTLS(spec, slog.New(slog.DiscardHandler), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		t.Helper()
		c, err := config.GetCertificate(&tls.ClientHelloInfo{})
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.Int64()
	}
	older := time.Now().Add(-time.Minute) // so that the new files differ in time, whatever the file system's clock
	for _, name := range []string{spec.CertFile, spec.KeyFile} {
		if err := os.Chtimes(name, older, older); err != nil {
			t.Fatal(err)
		}
	}
	if serial() != 1 {
		t.Fatal("not the first certificate")
	}
	certify(t, dir, 2)
	if serial() != 1 {
		t.Error("looked at the files on every handshake")
	}
	now = now.Add(time.Minute)
	if serial() != 2 {
		t.Error("not reloaded")
	}
	if err := os.WriteFile(spec.CertFile, []byte("half a certific"), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Minute)
	if serial() != 2 {
		t.Error("a broken file took the certificate away")
	}
	if _, err := web.NewTLS(web.TLSSpec{CertFile: filepath.Join(dir, "none"), KeyFile: spec.KeyFile}, slog.New(slog.DiscardHandler), time.Now); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("missing file: %v", err)
	}
}

func TestTLS_Served(t *testing.T) {
	spec := certify(t, t.TempDir(), 7)
	h := newHouse(t, func(_ *broker.Config, s *web.Spec) { s.TLS = &spec })
	text, err := os.ReadFile(spec.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	h.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
	h.url = strings.Replace(h.url, "http://", "https://", 1)
	if a := h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")}); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestServer_DrainsWhatHasBegun(t *testing.T) {
	h := newHouse(t)
	release := h.idp.Slow()
	done := make(chan answer)
	go func() {
		done <- h.do(call{path: "/token", form: exchangeForm(h.partner(), "orders"), header: as("gateway")})
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := h.idp.WaitFetches(ctx, 1); err != nil {
		t.Fatal(err)
	}
	h.stop()
	release()
	if a := <-done; a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestSpec_Check(t *testing.T) {
	tlsPair := &web.TLSSpec{CertFile: "/c", KeyFile: "/k"}
	for name, tt := range map[string]struct {
		spec   web.Spec
		issuer string
		want   []string
	}{
		"defaults":                        {web.Spec{}, issuer, nil},
		"no port":                         {web.Spec{Listen: "127.0.0.1"}, issuer, []string{"listen"}},
		"P49 plain off loopback":          {web.Spec{Listen: "0.0.0.0:8443"}, issuer, []string{"listen"}},
		"P49 plain on every address":      {web.Spec{Listen: ":8443"}, issuer, []string{"listen"}},
		"P49 plain behind a proxy":        {web.Spec{Listen: "0.0.0.0:8443", TrustedProxies: []string{"10.0.0.0/8", "192.0.2.1"}}, issuer, nil},
		"TLS off loopback":                {web.Spec{Listen: "0.0.0.0:8443", TLS: tlsPair}, issuer, nil},
		"half a pair":                     {web.Spec{TLS: &web.TLSSpec{CertFile: "/c"}}, issuer, []string{"tls.key_file"}},
		"a proxy that is no address":      {web.Spec{TrustedProxies: []string{"10.0.0.0/8", "proxy"}}, issuer, []string{"trusted_proxies[1]"}},
		"TLS and an http issuer":          {web.Spec{TLS: tlsPair}, "http://127.0.0.1:8443", []string{"tls"}},
		"plain and loopback by its name":  {web.Spec{Listen: "localhost:8443"}, issuer, nil},
		"plain on loopback IPv6":          {web.Spec{Listen: "[::1]:8443"}, issuer, nil},
		"several mistakes, all of them":   {web.Spec{Listen: "x", TLS: &web.TLSSpec{}, TrustedProxies: []string{"x"}}, issuer, []string{"listen", "tls.cert_file", "tls.key_file", "trusted_proxies[0]"}},
		"a port that no service is known": {web.Spec{Listen: "127.0.0.1:nonsense"}, issuer, []string{"listen"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			tt.spec.Check(tt.issuer, func(path, _ string, _ ...any) { got = append(got, path) })
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestServer_HeaderLimit(t *testing.T) {
	h := newHouse(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.url+"/jwks", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Filler", strings.Repeat("x", 64<<10))
	res, err := h.client.Do(req)
	if err != nil {
		return // closed on us: just as well
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("status %d", res.StatusCode)
	}
}

// The server's own answer to "OPTIONS *" would pass by every header that answers carry.
func TestP49_AsteriskFormIsAnsweredByUs(t *testing.T) {
	h := newHouse(t)
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(h.url, "http://"), "/fed"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "OPTIONS * HTTP/1.1\r\nHost: login.test\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusOK || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%d, HSTS %q; want a refusal of ours", res.StatusCode, res.Header.Get("Strict-Transport-Security"))
	}
}
