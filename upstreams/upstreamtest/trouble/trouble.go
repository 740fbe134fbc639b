// Package trouble stands between a test identity provider and whoever reads its keys, and spoils what the provider itself can't: the pace of an answer, the
// TLS around it, and the keys from one request to the next.
package trouble

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"fedbroker/upstreams/upstreamtest/tokens"
)

// IdP is what a Front stands before: upstreamtest's.
type IdP interface {
	JWKS() []byte
	Rotate() (kid string)
	Withdraw(kid string)
	KeyIDs() []string
}

// TLS is what is wrong with the TLS of a Front.
type TLS string

// The kinds.
const (
	Plain     TLS = ""          // no TLS: the Front is spoiled otherwise
	Good      TLS = "good"      // to compare with
	Expired   TLS = "expired"   // its certificate was good until two days ago
	Future    TLS = "future"    // its certificate is good from in two days
	Cleartext TLS = "cleartext" // answers a handshake in plain HTTP
	HangsUp   TLS = "hangs up"  // closes every connection in the handshake
)

const (
	readHeaderTimeout = 10 * time.Second
	certificateShift  = 3 * 24 * time.Hour // a certificate is good for a day before and after
)

// Front serves an identity provider's keys at URL. Its methods may be called from any goroutine.
type Front struct {
	idp     IdP
	url     string
	certPEM []byte
	server  *http.Server
	served  chan struct{} // closed when the server has ended

	mu          sync.Mutex
	requests    int
	rotateEvery int
	drip        chan struct{} // nil: none drips; closed when those that drip may end
	closed      bool
}

// New starts a Front on a free port of 127.0.0.1. Its caller must Close it.
func New(idp IdP, kind TLS) (*Front, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("front: %w", err)
	}
	f := &Front{idp: idp, url: "https://" + listener.Addr().String(), served: make(chan struct{})}
	f.server = &http.Server{Handler: f, ReadHeaderTimeout: readHeaderTimeout, ErrorLog: log.New(io.Discard, "", 0)}
	if listener, err = f.secure(listener, kind); err != nil {
		return nil, err
	}
	go func() {
		defer close(f.served)
		_ = f.server.Serve(listener) // ends with Close, with nothing to report
	}()
	return f, nil
}

// secure puts on a listener what kind says.
func (f *Front) secure(listener net.Listener, kind TLS) (net.Listener, error) {
	at := time.Now()
	switch kind {
	case Plain:
		f.url = "http://" + listener.Addr().String()
		return listener, nil
	case Cleartext:
		return listener, nil
	case HangsUp:
		return hangingUp{listener}, nil
	case Expired:
		at = at.Add(-certificateShift)
	case Future:
		at = at.Add(certificateShift)
	}
	secured, certPEM, err := tokens.OverTLS(listener, at)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("front: %w", err), listener.Close())
	}
	f.certPEM = certPEM
	return secured, nil
}

// hangingUp closes what it accepts.
type hangingUp struct{ net.Listener }

func (l hangingUp) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		err = conn.Close()
	}
	return conn, err
}

// Close ends the Front, answers that drip included, and waits for its listener. It may be called more than once.
func (f *Front) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.Drip(false)
	_ = f.server.Close()
	<-f.served
}

// URL is where the keys are: any path will do.
func (f *Front) URL() string { return f.url }

// CertPEM is the certificate of a Front that has one.
func (f *Front) CertPEM() []byte { return slices.Clone(f.certPEM) }

// Requests counts those that came so far.
func (f *Front) Requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

// RotateEvery makes the provider replace its keys at each n-th request, just after it was answered: what an answer names is gone at the next. 0 ends that.
func (f *Front) RotateEvery(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rotateEvery = n
}

// Drip makes each answer stop after its first byte, until its reader leaves, Drip is off again or the Front is closed: then it breaks off.
func (f *Front) Drip(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.drip != nil {
		close(f.drip)
		f.drip = nil
	}
	if on && !f.closed {
		f.drip = make(chan struct{})
	}
}

// ServeHTTP implements http.Handler.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests++
	drip, rotates := f.drip, f.rotateEvery > 0 && f.requests%f.rotateEvery == 0
	f.mu.Unlock()
	set := f.idp.JWKS()
	if rotates {
		old := f.idp.KeyIDs()
		f.idp.Rotate()
		for _, kid := range old {
			f.idp.Withdraw(kid)
		}
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	if drip == nil {
		_, _ = w.Write(set) // a client that left is its own affair, here and below
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(set)))
	_, _ = w.Write(set[:1])
	_ = http.NewResponseController(w).Flush()
	select {
	case <-r.Context().Done():
	case <-drip:
	}
}
