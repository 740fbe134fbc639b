package admin

import (
	"net"
	"strings"

	"fedbroker/broker/web"
	"fedbroker/upstreams"
)

// Spec is what the configuration says of the admin plane.
type Spec struct {
	Listen       string           `yaml:"listen,omitempty"`         // none: only the socket
	Socket       string           `yaml:"socket,omitempty"`         // absolute; none: no socket
	Hosts        []string         `yaml:"hosts,omitempty"`          // that a request may name [the host of listen]
	Token        upstreams.Secret `yaml:"token,omitempty"`          // a bearer of it is an operator
	TLS          *web.TLSSpec     `yaml:"tls,omitempty"`            //
	ClientCAFile string           `yaml:"client_ca_file,omitempty"` // a holder of a certificate by it is an operator; needs tls
}

// minToken is the fewest characters of an operator's token: 128 bits in hex or base64 have more.
const minToken = 20

// WithDefaults fills what is absent.
func (s Spec) WithDefaults() Spec {
	if host, _, err := net.SplitHostPort(s.Listen); err == nil && host != "" && len(s.Hosts) == 0 {
		s.Hosts = []string{host}
	}
	return s
}

// Check judges the spec without touching a file or a socket.
func (s Spec) Check(bad func(path, format string, args ...any)) {
	for i, h := range s.Hosts {
		if h == "" || strings.ContainsAny(h, "/:*") && net.ParseIP(h) == nil {
			bad(indexed("hosts", i), "want a host name or an address without port, got %q", h)
		}
	}
	if token := s.Token.Reveal(); token != "" && len(token) < minToken {
		bad("token", "want at least %d characters, got %d", minToken, len(token))
	}
	if s.TLS != nil {
		s.TLS.Check(func(path, format string, args ...any) { bad("tls."+path, format, args...) })
	}
	if s.ClientCAFile != "" && s.TLS == nil {
		bad("client_ca_file", "want tls beside it, got none")
	}
	if s.Listen != "" {
		s.checkListen(bad)
	}
}

func (s Spec) checkListen(bad func(path, format string, args ...any)) {
	loopback, ok := web.LoopbackListen(s.Listen)
	if !ok {
		bad("listen", "want HOST:PORT, got %q", s.Listen)
		return
	}
	if !loopback && s.TLS == nil && s.Token.Reveal() != "" {
		bad("listen", "want tls where an operator's token would cross the network, or an address on loopback, got %q", s.Listen)
	}
}
