package admin

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"fedbroker/upstreams"
)

func TestP47_RotatedTokenCountsAtOnce(t *testing.T) {
	const old, fresh = "the-operators-old-token", "the-operators-new-token"
	var token atomic.Value
	token.Store(upstreams.Secret(old))
	guarded := newLock(Spec{Hosts: []string{"admin.test"}}, func() upstreams.Secret { return token.Load().(upstreams.Secret) }, nil).
		admit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	ask := func(bearer string) int {
		r := httptest.NewRequest(http.MethodGet, "http://admin.test"+pathKeys, nil)
		r.Header.Set("Authorization", "Bearer "+bearer)
		w := httptest.NewRecorder()
		guarded.ServeHTTP(w, r)
		return w.Code
	}
	if got := [2]int{ask(old), ask(fresh)}; got != [2]int{http.StatusOK, http.StatusUnauthorized} {
		t.Errorf("before: %v", got)
	}
	token.Store(upstreams.Secret(fresh))
	if got := [2]int{ask(old), ask(fresh)}; got != [2]int{http.StatusUnauthorized, http.StatusOK} {
		t.Errorf("after: %v", got)
	}
	token.Store(upstreams.Secret(""))
	if got := [2]int{ask(fresh), ask("")}; got != [2]int{http.StatusForbidden, http.StatusForbidden} {
		t.Errorf("without a token nobody bears it: %v", got)
	}
}

func TestP47_RotatedClientCA(t *testing.T) {
	dir := t.TempDir()
	server, ca, _, good, stranger := pki(t, dir)
	clock := time.Now()
	config, cas, err := newTLS(Spec{TLS: &server, ClientCAFile: ca}, slog.New(slog.DiscardHandler), func() time.Time { return clock })
	if err != nil {
		t.Fatal(err)
	}
	vouched := func(what string, ours, theirs bool) {
		t.Helper()
		for _, c := range []struct {
			chain tls.Certificate
			want  bool
		}{{good, ours}, {stranger, theirs}} {
			cert, err := x509.ParseCertificate(c.chain.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			if got := cas.vouch([]*x509.Certificate{cert}); got != c.want {
				t.Errorf("%s: want %v for a certificate by %s, got %v", what, c.want, cert.Issuer.CommonName, got)
			}
		}
		handshake, err := config.GetConfigForClient(nil)
		if err != nil || !handshake.ClientCAs.Equal(cas.pool()) || !handshake.SessionTicketsDisabled {
			t.Errorf("%s: the handshake asks for other certificates: %v", what, err)
		}
	}
	vouched("at the start", true, false)
	theirs, err := os.ReadFile(filepath.Join(dir, "theirs.crt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		what         string
		content      []byte
		ours, theirs bool
	}{{"rotated", theirs, false, true}, {"not a certificate", []byte("x"), false, true}, {"empty", nil, false, true}} {
		if err := os.WriteFile(ca, step.content, 0o600); err != nil {
			t.Fatal(err)
		}
		clock = clock.Add(recheckFiles)
		vouched(step.what, step.ours, step.theirs)
	}
	if cas.vouch(nil) {
		t.Error("no certificate is vouched for")
	}
	if _, _, err := newTLS(Spec{TLS: &server, ClientCAFile: ca}, slog.New(slog.DiscardHandler), time.Now); err == nil {
		t.Error("a start without a CA")
	}
}
