package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
)

// reach says what lets an address be dialled although it is no public one.
type reach uint8

const (
	never   reach = iota // nothing
	literal              // the address itself is in AllowPrivate and in the URL: a name must not lead to a cloud's metadata service
	named                // the host is in AllowPrivate
)

// special are the blocks that are not public addresses of one host (RFC 6890 and the IANA registries that it founded). The first that
// holds an address counts.
var special = [...]struct {
	prefix netip.Prefix
	kind   string
	reach  reach
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback", named},
	{netip.MustParsePrefix("10.0.0.0/8"), "private", named},
	{netip.MustParsePrefix("172.16.0.0/12"), "private", named},
	{netip.MustParsePrefix("192.168.0.0/16"), "private", named},
	{netip.MustParsePrefix("100.64.0.0/10"), "carrier-grade NAT", named},
	{netip.MustParsePrefix("198.18.0.0/15"), "benchmark", named},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local", literal},
	{netip.MustParsePrefix("192.0.0.0/24"), "protocol assignment", literal},
	{netip.MustParsePrefix("192.0.2.0/24"), "documentation", literal},
	{netip.MustParsePrefix("198.51.100.0/24"), "documentation", literal},
	{netip.MustParsePrefix("203.0.113.0/24"), "documentation", literal},
	{netip.MustParsePrefix("192.88.99.0/24"), "6to4 relay", literal},
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified", never},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast", never},
	{netip.MustParsePrefix("255.255.255.255/32"), "broadcast", never},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved", never},

	{netip.MustParsePrefix("::1/128"), "loopback", named},
	{netip.MustParsePrefix("fc00::/7"), "unique local", named},
	{netip.MustParsePrefix("fe80::/10"), "link-local", literal},
	{netip.MustParsePrefix("64:ff9b::/96"), "NAT64", literal},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "NAT64", literal},
	{netip.MustParsePrefix("2002::/16"), "6to4", literal},
	{netip.MustParsePrefix("2001::/32"), "Teredo", literal},
	{netip.MustParsePrefix("2001::/23"), "protocol assignment", literal},
	{netip.MustParsePrefix("2001:db8::/32"), "documentation", literal},
	{netip.MustParsePrefix("3fff::/20"), "documentation", literal},
	{netip.MustParsePrefix("::/128"), "unspecified", never},
	{netip.MustParsePrefix("ff00::/8"), "multicast", never},
}

// globalUnicast holds every public IPv6 address (RFC 4291 §2.4, as IANA has allocated so far).
var globalUnicast = netip.MustParsePrefix("2000::/3")

// classify names the special kind of an address; "" is a public one.
func classify(addr netip.Addr) (kind string, r reach) {
	mapped := addr.Is4In6()
	addr = addr.WithZone("").Unmap()
	for _, s := range special {
		if s.prefix.Contains(addr) {
			return s.kind, s.reach
		}
	}
	switch {
	case mapped:
		return "IPv4-mapped", literal
	case addr.Is6() && !globalUnicast.Contains(addr):
		return "not globally routed", literal
	}
	return "", named
}

// judge says why the client must not dial addr for a URL that names host; "" means it may.
func (c *Client) judge(host string, addr netip.Addr) (refusal string) {
	kind, r := classify(addr)
	plain := addr.WithZone("").Unmap()
	switch {
	case kind == "":
		return ""
	case r == never:
		return kind
	case c.loopback && plain.IsLoopback() && IsLoopback(host):
		return ""
	}
	allowed := r == named && slices.Contains(c.names, host)
	if _, err := netip.ParseAddr(host); err == nil { // what is dialled is what the URL says
		allowed = slices.Contains(c.addrs, plain)
	}
	if !allowed {
		return kind
	}
	return ""
}

// dial connects to a host, judging each address that its name resolves to in the moment of connecting.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	host = normalHost(host)
	d := net.Dialer{Timeout: dialTimeout, Resolver: c.resolver, Control: func(_, dialled string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(dialled)
		if err != nil {
			return &Error{Class: ClassAddress, Reason: "not an IP address"}
		}
		if refusal := c.judge(host, at.Addr()); refusal != "" {
			return &Error{Class: ClassAddress, Reason: fmt.Sprintf("%s is a %s address", at.Addr(), refusal)}
		}
		return nil
	}}
	return d.DialContext(ctx, network, address)
}

// normalHost is a host in the one form in which hosts are compared: lower case, without brackets and the root's dot.
func normalHost(host string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), "."))
}

// IsLoopback says whether a URL's host is one of the names that may be plain http: 127.0.0.1, ::1 and localhost.
func IsLoopback(host string) bool {
	switch normalHost(host) {
	case "127.0.0.1", "::1", "localhost":
		return true
	}
	return false
}

// CheckURL says whether an upstream's issuer or endpoint may be fetched at all: https, or http on a loopback name, with a host,
// without userinfo and fragment. Its error texts quote nothing.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if u.Fragment != "" || strings.Contains(raw, "#") {
		return nil, errors.New("URL with a fragment")
	}
	return u, checkURL(u)
}

func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return errors.New("want an https URL")
	case u.Hostname() == "":
		return errors.New("URL without a host")
	case u.User != nil:
		return errors.New("URL with userinfo")
	case u.Scheme == "http" && !IsLoopback(u.Hostname()):
		return errors.New("want https, http only on 127.0.0.1, [::1] and localhost")
	}
	return nil
}
