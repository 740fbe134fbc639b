package web

import (
	"net"
	"net/netip"
	"strings"
)

// Spec is what the configuration says of the public listener.
type Spec struct {
	Listen         string   `yaml:"listen,omitempty"`          // [127.0.0.1:8443]
	TLS            *TLSSpec `yaml:"tls,omitempty"`             // none: plain, behind a proxy or on loopback
	TrustedProxies []string `yaml:"trusted_proxies,omitempty"` // addresses and CIDRs whose X-Forwarded-For counts
}

// TLSSpec names a certificate and its key, both PEM; they are reloaded when they change.
type TLSSpec struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

const defaultListen = "127.0.0.1:8443"

// WithDefaults fills what is absent.
func (s Spec) WithDefaults() Spec {
	if s.Listen == "" {
		s.Listen = defaultListen
	}
	return s
}

// Check judges the spec without touching a file or a socket. Paths are the file's top-level keys.
func (s Spec) Check(issuer string, bad func(path, format string, args ...any)) {
	s = s.WithDefaults()
	loopback, ok := LoopbackListen(s.Listen)
	if !ok {
		bad("listen", "want HOST:PORT, got %q", s.Listen)
	}
	if s.TLS != nil {
		s.TLS.Check(func(path, format string, args ...any) { bad("tls."+path, format, args...) })
	}
	if _, i, ok := parsePrefixes(s.TrustedProxies); !ok {
		bad(indexed("trusted_proxies", i), "want an address or a CIDR, got %q", s.TrustedProxies[i])
	}
	// Without TLS, tokens cross the network in the clear unless a proxy in front ends it (P49).
	if ok && !loopback && s.TLS == nil && len(s.TrustedProxies) == 0 {
		bad("listen", "want tls, or trusted_proxies if a proxy ends TLS, for a listener off loopback, got %q", s.Listen)
	}
	if s.TLS != nil && strings.HasPrefix(issuer, "http://") {
		bad("tls", "want an https issuer for a listener with TLS, got %q", issuer)
	}
}

// Check judges the pair.
func (t *TLSSpec) Check(bad func(path, format string, args ...any)) {
	if t.CertFile == "" {
		bad("cert_file", "want a file, got none")
	}
	if t.KeyFile == "" {
		bad("key_file", "want a file, got none")
	}
}

// LoopbackListen tells whether a listen address is reachable from this host alone; ok is false if it is no HOST:PORT.
func LoopbackListen(listen string) (loopback, ok bool) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return false, false
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return false, false
	}
	if host == "localhost" {
		return true, true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback(), true
}

// parsePrefixes reads addresses and CIDRs; i is the first that is neither.
func parsePrefixes(texts []string) (prefixes []netip.Prefix, i int, ok bool) {
	for i, text := range texts {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			prefixes = append(prefixes, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, i, false
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, 0, true
}
