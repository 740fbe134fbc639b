package clients

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
)

// judgeLogin judges where a browser may be sent, and how a login is held.
func (s *Spec) judgeLogin(bad, warn report) {
	for _, list := range []struct {
		key string
		all []string
	}{{"redirect_uris", s.RedirectURIs}, {"post_logout_redirect_uris", s.PostLogoutRedirectURIs}} {
		for i, uri := range list.all {
			path := fmt.Sprintf("%s[%d]", list.key, i)
			if slices.Contains(list.all[:i], uri) {
				bad(path, "%s is listed twice", uri)
			}
			judgeRedirect(uri, s.Native, func(format string, args ...any) { bad(path, format, args...) }, func(format string, args ...any) { warn(path, format, args...) })
		}
	}
	for i, origin := range s.Origins {
		judgeOrigin(origin, fmt.Sprintf("origins[%d]", i), bad, warn)
	}
	switch s.PKCE {
	case "", pkceRequired:
	case pkceOptional:
		if s.Public {
			bad("pkce", "want %s: a public client has nothing else that binds a code to it (P32)", pkceRequired)
		}
		warn("pkce", "optional: a code that is stolen on its way can be used by whoever has it")
	default:
		oneOf(bad, "pkce", s.PKCE, pkceRequired, pkceOptional)
	}
}

// judgeRedirect judges a URI that is later compared byte for byte (P33, RFC 9700 section 4.1.3): https; http on this machine,
// with a warning; for native clients (RFC 8252 section 7) loopback addresses and private-use schemes, too.
func judgeRedirect(raw string, native bool, bad, warn func(format string, args ...any)) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || len(raw) > maxName || !printable(raw):
		bad("want an absolute URI, got %q", raw)
		return
	case strings.Contains(raw, "*"):
		bad("want one exact URI, got %q with a *", raw)
		return
	case strings.Contains(raw, "#"):
		bad("want no fragment, got %q", raw)
		return
	case u.User != nil:
		bad("want no user information in %q", u.Redacted())
		return
	}
	switch host := u.Hostname(); {
	case u.Scheme == "https" && host != "":
	case u.Scheme == "http" && (host == "127.0.0.1" || host == "::1"):
		if !native { // of a native client this is what RFC 8252 section 7.3 asks for
			warn("http on %s is for a developer's machine", host)
		}
	case u.Scheme == "http" && host == "localhost":
		warn("http on localhost is for a developer's machine; a native client should name 127.0.0.1 or [::1] (RFC 8252 section 8.3)")
	case native && strings.Contains(u.Scheme, ".") && u.Host == "" && (u.Path != "" || u.Opaque != ""):
	case strings.Contains(u.Scheme, "."):
		bad("a private-use scheme is for native clients (native: true) and is written com.example.app:/path, got %q", raw)
	default:
		bad("want https, or http on 127.0.0.1, [::1] or localhost, got %q", raw)
	}
}

func printable(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// judgeOrigin judges an entry that is compared with the header Origin (RFC 6454 section 6.2): scheme, host and port as a browser
// writes them, nothing else.
func judgeOrigin(raw, path string, bad, warn report) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme+"://"+u.Host != raw || strings.ToLower(raw) != raw || !printable(raw) || strings.Contains(raw, "*") {
		bad(path, "want an origin in lower case, such as https://spa.example.com, got %q", raw)
		return
	}
	if _, port, err := net.SplitHostPort(u.Host); err == nil && (u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80") {
		bad(path, "want no port %s: browsers leave it out", port)
		return
	}
	switch host := u.Hostname(); {
	case u.Scheme == "https":
	case u.Scheme == "http" && (host == "127.0.0.1" || host == "::1" || host == "localhost"):
		warn(path, "http on %s is for a developer's machine", host)
	default:
		bad(path, "want https, or http on 127.0.0.1, [::1] or localhost, got %q", raw)
	}
}
