package dpop

import (
	"errors"
	"net/url"
	"strings"
)

// normalURL is an http or https address in its normal form (RFC 3986 §6.2.2, §6.2.3), without query and fragment (RFC 9449 §4.3, check 9): scheme and
// host in lower case, no default port, escapes in upper case and only where they are needed, no dot segments, "/" for no path.
func normalURL(text string) (string, error) {
	if strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("not an address: a character that none may have")
	}
	u, err := url.Parse(text)
	if err != nil { // its text quotes the input
		return "", errors.New("not an address")
	}
	scheme, host := u.Scheme, strings.ToLower(u.Host) // url.Parse folds the scheme
	switch {
	case scheme != "http" && scheme != "https":
		return "", errors.New("want http or https")
	case u.Hostname() == "" || u.Opaque != "" || strings.Contains(authority(text), "%"): // no name has escapes (RFC 9110 §4.2.1)
		return "", errors.New("no host")
	case u.User != nil:
		return "", errors.New("names a user")
	}
	if port := u.Port(); port == "" || port == "443" && scheme == "https" || port == "80" && scheme == "http" {
		host = strings.TrimSuffix(strings.TrimSuffix(host, port), ":")
	}
	return scheme + "://" + host + normalPath(u.EscapedPath()), nil
}

// authority is what stands between the scheme and the path.
func authority(text string) string {
	_, rest, _ := strings.Cut(text, "://")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		return rest[:end]
	}
	return rest
}

// normalPath decodes what needs no escape and writes the rest in upper case, then removes dot segments, which escapes may have hidden.
func normalPath(escaped string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c != '%' || i+2 >= len(escaped) { // EscapedPath has no broken escapes
			b.WriteByte(c)
			continue
		}
		c = unhex(escaped[i+1])<<4 | unhex(escaped[i+2])
		if i += 2; unreserved(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hex[c>>4], hex[c&0xf]})
		}
	}
	return withoutDots(b.String())
}

// withoutDots is RFC 3986 §5.2.4 for an absolute path. Unlike path.Clean it keeps empty segments, which mean something.
func withoutDots(p string) string {
	if !strings.Contains(p, "/.") {
		if p == "" {
			return "/"
		}
		return p
	}
	var out []string
	segments := strings.Split(strings.TrimPrefix(p, "/"), "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".", "..":
			if s == ".." && len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}

// unreserved characters mean the same escaped or not (RFC 3986 §2.3).
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
