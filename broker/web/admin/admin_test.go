package admin

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/lineage"
	"fedbroker/broker/operator"
	"fedbroker/broker/web"
	"fedbroker/store"
	"fedbroker/upstreams"
)

const operatorToken = "an-operators-token-of-some-length"

// fakeOperator records what it was asked to do.
type fakeOperator struct {
	did  []string
	fail error
}

func (f *fakeOperator) act(format string, args ...any) error {
	f.did = append(f.did, fmt.Sprintf(format, args...))
	return f.fail
}

func (f *fakeOperator) Keys(context.Context) ([]operator.Key, error) {
	return []operator.Key{{KeyID: "k1", Algorithm: "ES256", State: "signing", CreatedAt: time.Unix(1_800_000_000, 0).UTC()}}, f.act("keys")
}
func (f *fakeOperator) RotateKeys(context.Context) ([]operator.Key, error) {
	return nil, f.act("rotate")
}
func (f *fakeOperator) CompromiseKey(_ context.Context, kid string) ([]operator.Key, error) {
	return nil, f.act("compromise %s", kid)
}
func (f *fakeOperator) Revoke(_ context.Context, r operator.Revocation) error {
	return f.act("revoke %s %s", r.Kind, r.ID)
}
func (f *fakeOperator) Touched(_ context.Context, r operator.Revocation) (lineage.Touched, error) {
	return lineage.Touched{Tokens: 3, AtLeast: true}, f.act("touched by %s %s", r.Kind, r.ID)
}
func (f *fakeOperator) Lineage(_ context.Context, q lineage.Query) (lineage.Tree, error) {
	return lineage.Tree{ID: q.ID, Nodes: []lineage.Node{{ID: q.ID, Kind: lineage.KindToken, State: lineage.StateRevoked,
		RevokedBy: &lineage.Revocation{Kind: "rule", ID: "r"}, Issued: time.Unix(1_800_000_000, 0).UTC()}}, LeftOff: 2}, f.act("lineage of %s", q.ID)
}
func (f *fakeOperator) RebindUpstream(_ context.Context, name string) (operator.Binding, error) {
	return operator.Binding{Name: name, Issuer: "https://new.test", Was: "https://old.test"}, f.act("rebind %s", name)
}
func (f *fakeOperator) Bindings(context.Context) ([]operator.Binding, error) {
	return []operator.Binding{{Name: "acme", Issuer: "https://acme.test"}}, f.act("bindings")
}

func (f *fakeOperator) Sessions(_ context.Context, q operator.SessionQuery) ([]operator.Session, error) {
	return []operator.Session{{ID: "s1", Subject: q.Subject, Upstream: "acme"}}, f.act("sessions of %s", q.Subject)
}
func (f *fakeOperator) EndSessions(_ context.Context, which operator.SessionSelection) ([]string, error) {
	return []string{which.ID}, f.act("end %s", which.ID)
}

// plane is a running admin plane over a fake operator.
type plane struct {
	operator *fakeOperator
	ready    broker.Readiness
	socket   string
	url      string
	stop     func()
}

func run(t *testing.T, spec Spec) *plane {
	t.Helper()
	return runConfigs(t, spec, nil)
}

func runConfigs(t *testing.T, spec Spec, kept Configs) *plane {
	t.Helper()
	p := &plane{operator: &fakeOperator{}, ready: broker.Readiness{
		Ready: true, Parts: []broker.Part{{Name: "engine", Detail: "/var/lib/fedbroker.db: locked"}}, Upstreams: []broker.Part{{Name: "acme", Detail: "never fetched"}},
	}}
	s := &Server{
		operator: p.operator, kept: kept,
		ready:   func(context.Context) broker.Readiness { return p.ready },
		metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metric 1\n") }),
	}
	if err := s.open(Options{Spec: spec, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	p.socket = spec.Socket
	if s.Addr() != nil {
		p.url = "http://" + s.Addr().String()
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stopped := false
	p.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(p.stop)
	return p
}

// shortDir is a folder whose path leaves room for a socket's name: the kernel takes 107 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "adm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

type ask struct {
	method, path, body string
	host               string
	header             http.Header
	client             *http.Client
}

func (p *plane) do(t *testing.T, a ask) (int, string, http.Header) {
	t.Helper()
	if a.method == "" {
		a.method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(t.Context(), a.method, p.url+a.path, strings.NewReader(a.body))
	if err != nil {
		t.Fatal(err)
	}
	if a.header != nil {
		req.Header = a.header.Clone()
	}
	if a.host != "" {
		req.Host = a.host
	}
	client := a.client
	if client == nil {
		client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(body)), res.Header
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}}
}

func TestP47_HealthReadinessAndMetricsAreOpen(t *testing.T) {
	p := run(t, Spec{Listen: "127.0.0.1:0", Token: operatorToken})
	// Of our own parts no cause, for it names files; of upstreams all that is known.
	const detail = `,"parts":[{"name":"engine","ok":false}],"upstreams":[{"name":"acme","ok":false,"detail":"never fetched"}]}`
	for _, host := range []string{"", "rebound.evil.test"} {
		for path, want := range map[string]string{"/healthz": `{"healthy":true}`, "/readyz": `{"ready":true` + detail, "/metrics": "metric 1"} {
			if status, body, _ := p.do(t, ask{path: path, host: host}); status != http.StatusOK || body != want {
				t.Errorf("%s as %q: %d %s", path, host, status, body)
			}
		}
	}
	p.ready.Ready = false
	if status, body, _ := p.do(t, ask{path: "/readyz"}); status != http.StatusServiceUnavailable || body != `{"ready":false`+detail {
		t.Errorf("not ready: %d %s", status, body)
	}
}

func TestP47_EverythingElseNeedsTheToken(t *testing.T) {
	p := run(t, Spec{Listen: "127.0.0.1:0", Token: operatorToken})
	for name, header := range map[string]http.Header{
		"none":            {"Content-Type": {"application/json"}},
		"wrong":           bearer("wrong"),
		"prefix":          bearer(operatorToken[:len(operatorToken)-1]),
		"empty":           bearer(""),
		"basic":           {"Authorization": {"Basic " + operatorToken}, "Content-Type": {"application/json"}},
		"two, one is it":  {"Authorization": {"Bearer " + operatorToken, "Bearer x"}, "Content-Type": {"application/json"}},
		"another header":  {"X-Token": {operatorToken}, "Content-Type": {"application/json"}},
		"token as cookie": {"Cookie": {"token=" + operatorToken}, "Content-Type": {"application/json"}},
	} {
		for _, a := range []ask{{path: pathKeys}, {path: pathReadiness}, {method: http.MethodPost, path: pathRotate, body: "{}"}, {path: "/nothing"}, {path: "/debug/pprof/"}} {
			a.header = header
			if status, body, h := p.do(t, a); status != http.StatusUnauthorized || body != `{"error":"unauthenticated"}` || h.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: %s %s: %d %s", name, a.method, a.path, status, body)
			}
		}
	}
	if len(p.operator.did) != 0 {
		t.Fatalf("the operator was asked to %v", p.operator.did)
	}
	if status, body, _ := p.do(t, ask{path: pathKeys, header: bearer(operatorToken)}); status != http.StatusOK || !strings.Contains(body, `"kid":"k1"`) {
		t.Errorf("with the token: %d %s", status, body)
	}
}

func TestP47_WithoutTokenOrCANobodyComesInByTCP(t *testing.T) {
	p := run(t, Spec{Listen: "127.0.0.1:0"})
	for _, header := range []http.Header{nil, bearer(""), bearer("x")} {
		if status, body, _ := p.do(t, ask{path: pathKeys, header: header}); status != http.StatusForbidden || body != `{"error":"unauthenticated"}` {
			t.Errorf("%d %s", status, body)
		}
	}
}

func TestP47_HostMustBeListed(t *testing.T) {
	p := run(t, Spec{Listen: "127.0.0.1:0", Token: operatorToken, Hosts: []string{"admin.test", "127.0.0.1", "::1"}})
	for host, want := range map[string]int{
		"admin.test": 200, "ADMIN.test:9443": 200, "127.0.0.1": 200, "[::1]:9443": 200, "[::1]": 200,
		"rebound.evil.test": 403, "admin.test.evil.test": 403, "localhost": 403, "xadmin.test": 403,
	} {
		if status, body, _ := p.do(t, ask{path: pathKeys, host: host, header: bearer(operatorToken)}); status != want {
			t.Errorf("%s: %d %s, want %d", host, status, body, want)
		}
	}
	byDefault := run(t, Spec{Listen: "127.0.0.1:0", Token: operatorToken})
	if status, _, _ := byDefault.do(t, ask{path: pathKeys, host: "localhost", header: bearer(operatorToken)}); status != http.StatusForbidden {
		t.Errorf("a name that listen does not have: %d", status)
	}
}

func TestP47_JSONOnlyAndNoCORS(t *testing.T) {
	p := run(t, Spec{Listen: "127.0.0.1:0", Token: operatorToken})
	for _, mediaType := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"} {
		header := bearer(operatorToken)
		header.Set("Content-Type", mediaType)
		if status, body, _ := p.do(t, ask{method: http.MethodPost, path: pathRotate, body: "{}", header: header}); status != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %d %s", mediaType, status, body)
		}
	}
	for _, method := range []string{http.MethodOptions, http.MethodGet} {
		header := bearer(operatorToken)
		header.Set("Origin", "https://evil.test")
		header.Set("Access-Control-Request-Method", "POST")
		_, _, h := p.do(t, ask{method: method, path: pathKeys, header: header})
		for name := range h {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: %s", method, name)
			}
		}
	}
	for _, body := range []string{"", "null x", "[]", `{"unknown":1}`, `{"name":1}`, `{} {}`, `{"kid":"a"}]`, `{"kid":"a","kid":"b"}`, `{"KID":"a"}`, strings.Repeat(" ", maxBody) + "{}"} {
		if status, answer, _ := p.do(t, ask{method: http.MethodPost, path: pathCompromise, body: body, header: bearer(operatorToken)}); status != http.StatusBadRequest {
			t.Errorf("body %.20q: %d %s", body, status, answer)
		}
	}
	if !slices.Equal(p.operator.did, []string{"keys"}) { // the GET, which the browser would not let its page read
		t.Errorf("the operator was asked to %v", p.operator.did)
	}
}

// pki writes a CA, a server's and a client's pair.
func pki(t *testing.T, dir string) (server web.TLSSpec, ca string, pool *x509.CertPool, client, stranger tls.Certificate) {
	t.Helper()
	makeCA := func(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	issue := func(ca *x509.Certificate, by *ecdsa.PrivateKey) tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
		der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), by)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority, key := makeCA("ours")
	strange, strangeKey := makeCA("theirs")
	pair := issue(authority, key)
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	server = web.TLSSpec{CertFile: write("server.crt", "CERTIFICATE", pair.Certificate[0]), KeyFile: write("server.key", "PRIVATE KEY", private)}
	pool = x509.NewCertPool()
	pool.AddCert(authority)
	write("theirs.crt", "CERTIFICATE", strange.Raw)
	return server, write("ca.crt", "CERTIFICATE", authority.Raw), pool, issue(authority, key), issue(strange, strangeKey)
}

func TestP47_MutualTLS(t *testing.T) {
	server, ca, pool, good, stranger := pki(t, t.TempDir())
	p := run(t, Spec{Listen: "127.0.0.1:0", TLS: &server, ClientCAFile: ca})
	p.url = strings.Replace(p.url, "http://", "https://", 1)
	with := func(certs ...tls.Certificate) *http.Client {
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: certs}}}
	}
	if status, body, _ := p.do(t, ask{path: pathKeys, client: with(good)}); status != http.StatusOK {
		t.Errorf("an operator's certificate: %d %s", status, body)
	}
	if status, _, _ := p.do(t, ask{path: pathKeys, client: with()}); status != http.StatusForbidden {
		t.Errorf("no certificate: %d", status)
	}
	if status, _, _ := p.do(t, ask{path: "/healthz", client: with()}); status != http.StatusOK {
		t.Errorf("health without a certificate: %d", status)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+pathKeys, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := with(stranger).Do(req); err == nil {
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			t.Error("a stranger's certificate was let in")
		}
	}
}

func TestP47_SocketIsTheOwnersAlone(t *testing.T) {
	socket := filepath.Join(shortDir(t), "a.sock")
	p := run(t, Spec{Socket: socket})
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != os.ModeSocket {
		t.Fatalf("%v, %v", info, err)
	}
	left, err := os.ReadDir(filepath.Dir(socket))
	if err != nil || len(left) != 1 {
		t.Errorf("beside the socket: %v, %v", left, err)
	}
	p.stop()
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket outlived the server: %v", err)
	}
}

func TestSocket_LiveOneIsLeftAloneStaleOneReplaced(t *testing.T) {
	dir := shortDir(t)
	socket := filepath.Join(dir, "a.sock")
	p := run(t, Spec{Socket: socket})
	second := &Server{metrics: http.NotFoundHandler()}
	if err := second.open(Options{Spec: Spec{Socket: socket}}); !errors.Is(err, ErrSocketInUse) {
		t.Fatalf("a second server: %v", err)
	}
	if _, err := Dial(socket); err != nil {
		t.Errorf("the first one lost its socket: %v", err)
	}
	p.stop()

	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	if err := stale.Close(); err != nil { // as a server that was killed
		t.Fatal(err)
	}
	if _, err := Dial(socket); !errors.Is(err, ErrNoServer) {
		t.Errorf("dial a stale socket: %v", err)
	}
	run(t, Spec{Socket: socket})
	if _, err := Dial(socket); err != nil {
		t.Errorf("dial after replacement: %v", err)
	}

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (&Server{metrics: http.NotFoundHandler()}).open(Options{Spec: Spec{Socket: file}}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in the socket's place: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "precious" {
		t.Errorf("the file: %q, %v", text, err)
	}
}

func TestClient_DoesWhatTheOperatorDoes(t *testing.T) {
	p := run(t, Spec{Socket: filepath.Join(shortDir(t), "a.sock")})
	c, err := Dial(p.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var acts Operator = c
	ctx := t.Context()
	keys, err := acts.Keys(ctx)
	want, _ := (&fakeOperator{}).Keys(ctx)
	if err != nil || !reflect.DeepEqual(keys, want) {
		t.Errorf("keys %v, %v", keys, err)
	}
	_, rotated := acts.RotateKeys(ctx)
	_, compromised := acts.CompromiseKey(ctx, "k 1")
	b, rebound := acts.RebindUpstream(ctx, "acme")
	all, listed := acts.Bindings(ctx)
	ready, readiness := c.Ready(ctx)
	if err := errors.Join(rotated, compromised, rebound, listed, readiness, acts.Revoke(ctx, operator.Revocation{Kind: "token", ID: "J"})); err != nil {
		t.Fatal(err)
	}
	touched, err := acts.Touched(ctx, operator.Revocation{Kind: "rule", ID: "r"})
	if want := (lineage.Touched{Tokens: 3, AtLeast: true}); err != nil || touched != want {
		t.Errorf("touched %+v, %v", touched, err)
	}
	tree, err := acts.Lineage(ctx, lineage.Query{ID: "J", Down: true})
	if want, _ := (&fakeOperator{}).Lineage(ctx, lineage.Query{ID: "J"}); err != nil || !reflect.DeepEqual(tree, want) {
		t.Errorf("lineage %+v, %v", tree, err)
	}
	if b != (operator.Binding{Name: "acme", Issuer: "https://new.test", Was: "https://old.test"}) || len(all) != 1 || !reflect.DeepEqual(ready, p.ready) {
		t.Errorf("binding %v, bindings %v, readiness %v", b, all, ready)
	}
	if want := []string{"keys", "rotate", "compromise k 1", "rebind acme", "bindings", "revoke token J", "touched by rule r", "lineage of J"}; !slices.Equal(p.operator.did, want) {
		t.Errorf("did %q", p.operator.did)
	}
}

func TestClient_Errors(t *testing.T) {
	p := run(t, Spec{Socket: filepath.Join(shortDir(t), "a.sock")})
	c, err := Dial(p.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.operator.fail = &operator.ActError{Text: "there is no signing key"}
	if _, err := c.CompromiseKey(t.Context(), "k"); err == nil || err.Error() != "there is no signing key" || !isAct(err) {
		t.Errorf("the operator's mistake: %v", err)
	}
	p.operator.fail = fmt.Errorf("put: /var/lib/secret: %w", store.ErrUnavailable)
	if _, err := c.RotateKeys(t.Context()); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "unavailable") || isAct(err) {
		t.Errorf("the store's: %v", err)
	}
	p.operator.fail = errors.New("bug in /src")
	if _, err := c.RotateKeys(t.Context()); err == nil || strings.Contains(err.Error(), "src") || !strings.Contains(err.Error(), "internal") {
		t.Errorf("a bug: %v", err)
	}
	if _, err := Dial(p.socket + ".none"); !errors.Is(err, ErrNoServer) {
		t.Errorf("no socket: %v", err)
	}
}

func isAct(err error) bool { _, ok := errors.AsType[*operator.ActError](err); return ok }

func TestSpec_Check(t *testing.T) {
	pair := &web.TLSSpec{CertFile: "/c", KeyFile: "/k"}
	for name, tt := range map[string]struct {
		spec Spec
		want []string
	}{
		"nothing":                           {Spec{}, nil},
		"loopback with a token":             {Spec{Listen: "127.0.0.1:9443", Token: operatorToken}, nil},
		"a token in the clear off host":     {Spec{Listen: "0.0.0.0:9443", Token: operatorToken}, []string{"listen"}},
		"metrics alone off host":            {Spec{Listen: "0.0.0.0:9443"}, nil},
		"a token under TLS":                 {Spec{Listen: "0.0.0.0:9443", Token: operatorToken, TLS: pair}, nil},
		"a short token":                     {Spec{Listen: "127.0.0.1:9443", Token: "short"}, []string{"token"}},
		"no port":                           {Spec{Listen: "x"}, []string{"listen"}},
		"a CA without TLS":                  {Spec{ClientCAFile: "/ca"}, []string{"client_ca_file"}},
		"half a pair":                       {Spec{TLS: &web.TLSSpec{}}, []string{"tls.cert_file", "tls.key_file"}},
		"a host with a port, and a pattern": {Spec{Hosts: []string{"a.test", "a.test:1", "*.test", "", "::1"}}, []string{"hosts[1]", "hosts[2]", "hosts[3]"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			tt.spec.Check(func(path, format string, args ...any) {
				got = append(got, path)
				if strings.Contains(fmt.Sprintf(format, args...), operatorToken) {
					t.Error("the report holds the token")
				}
			})
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	if text, err := json.Marshal(Spec{Token: upstreams.Secret(operatorToken)}); err != nil || strings.Contains(string(text), operatorToken) {
		t.Errorf("%s, %v", text, err)
	}
}
