package pattern

import (
	"net/url"
	"strings"

	"golang.org/x/net/publicsuffix"
)

const (
	wildcard = "*"
	// maxIssuer is the length of the longest issuer that a pattern matches, in bytes: strangers choose what stands for a wildcard.
	maxIssuer = 512
)

// Form is what the issuers of one pattern have in common.
type Form struct {
	pattern string
	domain  string              // registrable domain of all its hosts; empty: it names its host
	listed  map[string]struct{} // the only issuers of it; nil: all that match
}

// NewForm is the form of a pattern that spec.Judge has nothing against. With issuers, no other has it.
func NewForm(pattern string, issuers []string) Form {
	f := Form{pattern: pattern}
	if host := hostOf(pattern); strings.Contains(host, wildcard) {
		f.domain, _ = publicsuffix.EffectiveTLDPlusOne(host) // of wildcards to the left of it nothing is left
	}
	if len(issuers) > 0 {
		f.listed = make(map[string]struct{}, len(issuers))
		for _, issuer := range issuers {
			f.listed[issuer] = struct{}{}
		}
	}
	return f
}

// Matches says whether issuer has the form, which is anchored: each wildcard stands for one label or path segment of [A-Za-z0-9_-]+ and for nothing
// else (P28). Where a wildcard is in the host, the registrable domain is the pattern's: what a wildcard stands for makes no suffix under which
// strangers register.
func (f Form) Matches(issuer string) bool {
	if f.listed != nil {
		_, named := f.listed[issuer]
		return named
	}
	if len(issuer) > maxIssuer || !matches(f.pattern, issuer) {
		return false
	}
	if f.domain == "" {
		return true
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(hostOf(issuer))
	return err == nil && domain == f.domain
}

func matches(pattern, issuer string) bool {
	for pattern != "" && issuer != "" {
		var want, got string
		want, pattern = piece(pattern)
		got, issuer = piece(issuer)
		if want == wildcard && !segment(got) || want != wildcard && want != got {
			return false
		}
	}
	return pattern == issuer // both at their end
}

// piece cuts the first piece off: one delimiter, or all before the next one.
func piece(s string) (first, rest string) {
	const delimiters = "/.:"
	i := strings.IndexAny(s, delimiters)
	switch {
	case i < 0:
		return s, ""
	case i == 0:
		i = 1
	}
	return s[:i], s[i:]
}

// segment says whether a wildcard may stand for s.
func segment(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return s != ""
}

// hostOf is the host of an issuer or a pattern, without its port.
func hostOf(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// SameHost says whether a URL is on the very host and port of the issuer: where discovery and keys of a pattern's issuer must be (P28), so that no
// tenant's documents lead to another's.
func SameHost(issuer, rawURL string) bool {
	a, errA := url.Parse(issuer)
	b, errB := url.Parse(rawURL)
	return errA == nil && errB == nil && a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host)
}

// Index finds the patterns that an issuer matches, in time that does not grow with how many there are. The zero value is empty.
type Index[T any] struct{ root node[T] }

type node[T any] struct {
	next map[string]*node[T] // by piece; a wildcard is one, too
	here []T                 // of patterns that end here
}

// Add puts v under a pattern.
func (x *Index[T]) Add(pattern string, v T) {
	n := &x.root
	for pattern != "" {
		var p string
		p, pattern = piece(pattern)
		if n.next == nil {
			n.next = map[string]*node[T]{}
		}
		if n.next[p] == nil {
			n.next[p] = &node[T]{}
		}
		n = n.next[p]
	}
	n.here = append(n.here, v)
}

// Find returns what is under the patterns that issuer matches.
func (x *Index[T]) Find(issuer string) []T {
	if len(issuer) > maxIssuer {
		return nil
	}
	return x.root.find(issuer, nil)
}

func (n *node[T]) find(issuer string, found []T) []T {
	if issuer == "" {
		return append(found, n.here...)
	}
	p, rest := piece(issuer)
	if n := n.next[p]; n != nil && p != wildcard {
		found = n.find(rest, found)
	}
	if n := n.next[wildcard]; n != nil && segment(p) {
		found = n.find(rest, found)
	}
	return found
}
