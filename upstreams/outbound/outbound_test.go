package outbound

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestP43_NoProxyEnvironment(t *testing.T) {
	var asked atomic.Bool
	proxy := server(t, false, func(http.ResponseWriter, *http.Request) { asked.Store(true) })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	c := client(t, Options{AllowPrivate: []string{"idp.example"}})
	c.resolver = resolver("127.0.0.1")
	_, _, err := c.GetJSON(t.Context(), "https://idp.example:1/x", Get{}) // nobody listens there
	wantClass(t, err, ClassConnect)
	tr, err := c.current()
	if err != nil || tr.Proxy != nil || asked.Load() {
		t.Errorf("a proxy is used: %v", err)
	}
}

func TestP43_RedirectsStayOnTheirHost(t *testing.T) {
	var leaked atomic.Bool
	other := server(t, false, func(w http.ResponseWriter, r *http.Request) { leaked.Store(true); jsonBody(`{}`)(w, r) })
	mux := http.NewServeMux()
	s := server(t, false, mux.ServeHTTP)
	to := func(path, target string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, target, http.StatusFound) })
	}
	mux.HandleFunc("/end", jsonBody(`{"end":true}`))
	to("/1", "/end")
	to("/2", "/1")
	to("/3", s.URL+"/2")
	to("/4", "/3")
	to("/loop", "/loop")
	to("/other-port", other.URL)
	to("/other-name", strings.Replace(s.URL, "127.0.0.1", "localhost", 1)+"/end")
	to("/other-scheme", strings.Replace(s.URL, "http:", "https:", 1)+"/end")
	to("/userinfo", strings.Replace(s.URL, "http://", "http://u:p@", 1)+"/end")
	to("/file", "file:///etc/passwd")
	c := local(t)
	for _, path := range []string{"/end", "/1", "/2", "/3"} {
		if body, _, err := c.GetJSON(t.Context(), s.URL+path, Get{}); err != nil || string(body) != `{"end":true}` {
			t.Errorf("%s: got %q, %v", path, body, err)
		}
	}
	for path, class := range map[string]Class{"/4": ClassRedirect, "/loop": ClassRedirect, "/other-port": ClassRedirect, "/other-name": ClassRedirect,
		"/other-scheme": ClassRedirect, "/userinfo": ClassURL, "/file": ClassRedirect} {
		_, _, err := c.GetJSON(t.Context(), s.URL+path, Get{Bearer: func() (string, error) { return "secret", nil }, CredentialHosts: []string{"127.0.0.1", "localhost"}})
		wantClass(t, err, class)
	}
	if leaked.Load() {
		t.Error("another server was asked")
	}
}

func TestP43_NoRedirectForPOST(t *testing.T) {
	var end atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) { end.Add(1); jsonBody(`{}`)(w, r) })
	for _, code := range []int{301, 302, 303, 307, 308} {
		mux.HandleFunc("/"+strconv.Itoa(code), func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/end", code) })
	}
	s := server(t, false, mux.ServeHTTP)
	for _, code := range []int{301, 302, 303, 307, 308} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/"+strconv.Itoa(code), strings.NewReader("client_secret=x"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := local(t).HTTP().Do(req)
		if resp != nil {
			_ = resp.Body.Close()
		}
		wantClass(t, err, ClassRedirect)
	}
	if end.Load() != 0 {
		t.Error("a POST was redirected")
	}
}

func TestP43_CredentialsGoToTheirHostsOnly(t *testing.T) {
	got := make(chan string, 10)
	s := server(t, false, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Header.Get("Authorization")
		jsonBody(`{}`)(w, r)
	})
	address := strings.TrimPrefix(s.URL, "http://")
	for _, tc := range []struct {
		hosts []string
		want  string
	}{
		{[]string{"127.0.0.1"}, "Bearer t0ken"},
		{[]string{address}, "Bearer t0ken"},
		{[]string{"idp.example", "127.0.0.1"}, "Bearer t0ken"},
		{[]string{"idp.example"}, ""},
		{[]string{"127.0.0.1:1"}, ""},
		{[]string{"127.0.0.1.example"}, ""},
		{[]string{"7.0.0.1"}, ""},
		{nil, ""},
	} {
		asked := false
		get := Get{CredentialHosts: tc.hosts, Bearer: func() (string, error) { asked = true; return "t0ken", nil }}
		if _, _, err := local(t).GetJSON(t.Context(), s.URL, get); err != nil {
			t.Fatal(err)
		}
		if auth := <-got; auth != tc.want || asked != (tc.want != "") {
			t.Errorf("%v: sent %q", tc.hosts, auth)
		}
	}
	_, _, err := local(t).GetJSON(t.Context(), s.URL, Get{CredentialHosts: []string{"127.0.0.1"}, Bearer: func() (string, error) { return "", errors.New("gone") }})
	wantClass(t, err, ClassCredential) // and never without it instead
	if len(got) != 0 {
		t.Error("asked without the credential")
	}
}

func TestBearerFileIsReadAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	bearer := BearerFile(path)
	if _, err := bearer(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	for content, want := range map[string]string{"one": "one", "two\n": "two", "\t a.b-c \r\n": "a.b-c"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := bearer(); err != nil || got != want {
			t.Errorf("%q: got %q, %v", content, got, err)
		}
	}
	for _, content := range []string{"", "\n", "hunter2 two", "hunter2\nX-Evil: 1", "hunter2\x00", "hunter2é", "hunter2" + strings.Repeat("x", maxBearer)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := bearer(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %v", content, err)
		}
	}
}

func TestP43_OnlyJSONWithStatus200(t *testing.T) {
	s := server(t, false, func(w http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.URL.Query().Get("status"))
		w.Header()["Content-Type"] = []string{r.URL.Query().Get("media")}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"secret":"hunter2"}`)
	})
	answer := func(status int, media string) string {
		return s.URL + "/?" + url.Values{"status": {strconv.Itoa(status)}, "media": {media}}.Encode()
	}
	for _, media := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON", "application/jwk-set+json"} {
		if _, _, err := local(t).GetJSON(t.Context(), answer(http.StatusOK, media), Get{}); err != nil {
			t.Errorf("%q: %v", media, err)
		}
	}
	for _, media := range []string{"", "text/html", "text/plain", "text/json", "application/jsonx", "application/octet-stream", "image/svg+xml", "application/", ";"} {
		_, _, err := local(t).GetJSON(t.Context(), answer(http.StatusOK, media), Get{})
		wantClass(t, err, ClassMediaType)
	}
	for _, status := range []int{201, 203, 206, 300, 304, 400, 401, 404, 429, 500, 503} {
		_, _, err := local(t).GetJSON(t.Context(), answer(status, "application/json"), Get{})
		if e := wantClass(t, err, ClassStatus); e.Status != status || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d: got %v", status, err)
		}
	}
}

func TestP43_BodiesPastTheLimitAreAnError(t *testing.T) {
	const limit = 1000
	s := server(t, false, func(w http.ResponseWriter, r *http.Request) {
		size, _ := strconv.Atoi(r.URL.Path[1:])
		w.Header().Set("Content-Type", "application/json")
		for sent := 0; sent < size; sent += 100 { // in chunks: no Content-Length gives it away
			_, _ = w.Write(make([]byte, min(100, size-sent)))
			w.(http.Flusher).Flush()
		}
	})
	body := func(size int) string { return s.URL + "/" + strconv.Itoa(size) }
	for name, c := range map[string]struct {
		client *Client
		get    Get
	}{
		"client": {client(t, Options{Loopback: true, MaxBody: limit}), Get{}},
		"get":    {local(t), Get{MaxBody: limit}},
		"both":   {client(t, Options{Loopback: true, MaxBody: limit}), Get{MaxBody: 100 * limit}},
	} {
		if body, _, err := c.client.GetJSON(t.Context(), body(limit), c.get); err != nil || len(body) != limit {
			t.Errorf("%s: at the limit: %d bytes, %v", name, len(body), err)
		}
		for _, size := range []int{limit + 1, 100 * limit} {
			part, _, err := c.client.GetJSON(t.Context(), body(size), c.get)
			wantClass(t, err, ClassTooLarge)
			if part != nil {
				t.Errorf("%s: a part for the whole", name)
			}
		}
	}
	resp, err := client(t, Options{Loopback: true, MaxBody: limit}).HTTP().Get(body(2 * limit))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.ReadAll(resp.Body) // libraries that take the http.Client are bounded, too
	wantClass(t, err, ClassTooLarge)
}

func TestP43_EncodedBodiesAreNotUnpacked(t *testing.T) {
	var bomb bytes.Buffer
	zip := gzip.NewWriter(&bomb)
	_, _ = zip.Write(make([]byte, 1<<20))
	_ = zip.Close()
	accepted := make(chan string, 1)
	s := server(t, false, func(w http.ResponseWriter, r *http.Request) {
		accepted <- r.Header.Get("Accept-Encoding")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	_, _, err := local(t).GetJSON(t.Context(), s.URL, Get{})
	wantClass(t, err, ClassMediaType)
	if enc := <-accepted; enc != "" {
		t.Errorf("asked for %q", enc)
	}
}

func TestP43_RequestsEnd(t *testing.T) {
	release := make(chan struct{})
	s := server(t, false, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	_, _, err := client(t, Options{Loopback: true, Timeout: time.Millisecond}).GetJSON(t.Context(), s.URL, Get{})
	wantClass(t, err, ClassTimeout)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = local(t).GetJSON(ctx, s.URL, Get{})
	wantClass(t, err, ClassCanceled)
	tr, err := local(t).current()
	if err != nil || tr.TLSHandshakeTimeout <= 0 || tr.ResponseHeaderTimeout <= 0 || tr.MaxResponseHeaderBytes <= 0 || tr.IdleConnTimeout <= 0 {
		t.Error("a bound is missing")
	}
	if _, err := New(Options{Timeout: -1}); err == nil {
		t.Error("negative timeout accepted")
	}
}

func TestCAFileTakesTheRootsPlaceAndRotates(t *testing.T) {
	one := server(t, true, jsonBody(`{}`))
	_, _, err := local(t).GetJSON(t.Context(), one.URL, Get{})
	wantClass(t, err, ClassTLS) // the system does not know it

	path := filepath.Join(t.TempDir(), "ca.pem")
	c := client(t, Options{Loopback: true, CAFile: path})
	_, _, err = c.GetJSON(t.Context(), one.URL, Get{})
	wantClass(t, err, ClassCA) // not there yet
	writeCA(t, path, one)
	for range 2 {
		if _, _, err := c.GetJSON(t.Context(), one.URL, Get{}); err != nil {
			t.Fatal(err)
		}
	}
	first, _ := c.current()
	if again, _ := c.current(); again != first {
		t.Error("a new transport for each request")
	}
	if err := os.WriteFile(path, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err = c.GetJSON(t.Context(), one.URL, Get{})
	wantClass(t, err, ClassCA) // never the system's roots instead, nor the old ones
	writeCA(t, path, one)
	if _, _, err := c.GetJSON(t.Context(), one.URL, Get{}); err != nil {
		t.Errorf("rotated: %v", err)
	}
}

func TestP43_OldTLSRefused(t *testing.T) {
	s := httptest.NewUnstartedServer(jsonBody(`{}`))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	s.StartTLS()
	defer s.Close()
	_, _, err := client(t, Options{Loopback: true, CAFile: caFile(t, s)}).GetJSON(t.Context(), s.URL, Get{})
	wantClass(t, err, ClassTLS)
}

func TestErrorsHoldNoQueryUserinfoOrBody(t *testing.T) {
	const secret = "hunter2"
	garbage, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = garbage.Close() }()
	go func() {
		for {
			conn, err := garbage.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, secret+"\r\n\r\n") // no HTTP
			_ = conn.Close()
		}
	}()
	s := server(t, false, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "https://"+secret+".example/?"+secret, http.StatusFound)
			return
		}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, secret)
	})
	for _, raw := range []string{
		"https://user:" + secret + "@127.0.0.1/", "https://127.0.0.1/" + secret + "#", "https://127.0.0.1/%zz" + secret, "gopher://" + secret,
		"http://" + garbage.Addr().String() + "/?code=" + secret, s.URL + "/redirect?code=" + secret, s.URL + "/?code=" + secret,
		"http://127.0.0.1:1/?code=" + secret,
	} {
		_, _, err := local(t).GetJSON(t.Context(), raw, Get{})
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: got %v", raw, err)
		}
	}
}
