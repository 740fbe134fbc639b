package admin

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/web"
)

// recheckFiles is how old the look at a file may be.
const recheckFiles = 5 * time.Second

// newTLS asks for a certificate without insisting, since health and metrics need none. Both are nil where they are not configured.
func newTLS(spec Spec, log *slog.Logger, now func() time.Time) (*tls.Config, *authorities, error) {
	if spec.TLS == nil {
		return nil, nil, nil
	}
	config, err := web.NewTLS(*spec.TLS, log, now)
	if err != nil || spec.ClientCAFile == "" {
		return config, nil, err
	}
	cas := &authorities{file: spec.ClientCAFile, log: log, now: now}
	cas.looked = now()
	if _, err := cas.read(); err != nil {
		return nil, nil, err
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	config.SessionTicketsDisabled = true // what is resumed was verified by the CAs of then
	each := config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := each.Clone()
		c.ClientCAs = cas.pool()
		return c, nil
	}
	return config, cas, nil
}

// authorities are the CAs of operators' certificates, read again when their file has changed. A file that does not load leaves those before in use.
type authorities struct {
	file string
	log  *slog.Logger
	now  func() time.Time

	mu     sync.Mutex
	loaded *x509.CertPool
	seen   []byte // what the file held at the last look
	looked time.Time
}

// pool is the CAs of now.
func (a *authorities) pool() *x509.CertPool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.now(); now.Sub(a.looked) >= recheckFiles {
		a.looked = now
		if changed, err := a.read(); err != nil && changed {
			a.log.Error("client CAs not reloaded; those before stay in use", event.AttrError, err)
		} else if changed {
			a.log.Info("client CAs reloaded")
		}
	}
	return a.loaded
}

// read looks at the file, and says whether it is another than at the last look.
func (a *authorities) read() (changed bool, err error) {
	pem, err := os.ReadFile(a.file)
	if changed = a.loaded == nil || !bytes.Equal(pem, a.seen); !changed {
		return false, nil
	}
	a.seen = pem
	if err != nil {
		return true, fmt.Errorf("client CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return true, fmt.Errorf("client CA: %s holds no certificate", a.file)
	}
	a.loaded = pool
	return true, nil
}

// vouch says whether a CA of now stands for the certificate, the first of the chain that a client sent.
func (a *authorities) vouch(chain []*x509.Certificate) bool {
	if len(chain) == 0 {
		return false
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: a.pool(), Intermediates: between, CurrentTime: a.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err == nil
}
