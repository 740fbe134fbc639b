package web

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"fedbroker/broker/event"
)

// certificate is a pair of files, read again when either changed. A pair that does not load leaves the one before in use, so that
// a certificate that is being replaced never stops the listener.
type certificate struct {
	spec   TLSSpec
	log    *slog.Logger
	now    func() time.Time
	mu     sync.Mutex
	loaded *tls.Certificate
	stamp  [2]fileStamp
	looked time.Time
}

// fileStamp tells one content of a file from another without reading it.
type fileStamp struct {
	modified time.Time
	size     int64
}

// recheckFiles is how old the look at the files may be: a handshake must not cost two system calls each.
const recheckFiles = 5 * time.Second

// NewTLS is a server's TLS configuration with the spec's certificate; its error names the file that does not load.
func NewTLS(spec TLSSpec, log *slog.Logger, now func() time.Time) (*tls.Config, error) {
	c := &certificate{spec: spec, log: log, now: now}
	c.stamp, c.looked = c.stat(), now()
	if err := c.load(); err != nil {
		return nil, err
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get}, nil
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.looked) >= recheckFiles {
		c.looked = now
		c.reload()
	}
	return c.loaded, nil
}

func (c *certificate) reload() {
	stamp := c.stat()
	if stamp == c.stamp {
		return
	}
	c.stamp = stamp
	if err := c.load(); err != nil {
		c.log.Error("TLS certificate not reloaded; the one before stays in use", event.AttrError, err)
		return
	}
	c.log.Info("TLS certificate reloaded")
}

func (c *certificate) load() error {
	pair, err := tls.LoadX509KeyPair(c.spec.CertFile, c.spec.KeyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.spec.CertFile, c.spec.KeyFile, err)
	}
	c.loaded = &pair
	return nil
}

// stat looks through links, as those of a mounted Kubernetes secret; an absent file has the zero stamp.
func (c *certificate) stat() (s [2]fileStamp) {
	for i, name := range []string{c.spec.CertFile, c.spec.KeyFile} {
		if info, err := os.Stat(name); err == nil {
			s[i] = fileStamp{modified: info.ModTime(), size: info.Size()}
		}
	}
	return s
}
