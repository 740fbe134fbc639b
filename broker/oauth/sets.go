package oauth

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Bounds of what one request may name.
const (
	maxScopes       = 64
	maxTargets      = 16
	maxTargetLength = 2048
)

// ParseScope reads a scope parameter (RFC 6749 §3.3): scope-tokens, one space between them, order kept, each once. ""
// gives none. Anything else is an invalid_scope *Error.
func ParseScope(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	refuse := Deny(CodeInvalidScope, ReasonScope)
	if strings.Count(s, " ") >= maxScopes {
		return nil, refuse.Because(fmt.Errorf("more than %d scopes", maxScopes))
	}
	all := strings.Split(s, " ")
	for _, name := range all {
		if !ValidScope(name) {
			return nil, refuse.Because(errors.New("scope is malformed"))
		}
	}
	return Unique(all), nil
}

// ValidScope tells whether s is one scope-token: 1*( %x21 / %x23-5B / %x5D-7E ) (RFC 6749 §3.3).
func ValidScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// Targets reads audience and resource into one ordered set of names (RFC 8693 §2.1). A malformed one is an invalid_target
// *Error (RFC 8707 §2).
func Targets(f Form) ([]string, error) {
	refuse := Deny(CodeInvalidTarget, ReasonTarget)
	audiences, resources := f.All(ParamAudience), f.All(ParamResource)
	if len(audiences)+len(resources) > maxTargets {
		return nil, refuse.Because(fmt.Errorf("more than %d audiences", maxTargets))
	}
	for _, r := range resources {
		if !ValidResource(r) {
			return nil, refuse.Because(errors.New("resource is not an absolute URI without fragment"))
		}
	}
	all := slices.Concat(audiences, resources)
	for _, name := range all {
		if len(name) > maxTargetLength {
			return nil, refuse.Because(fmt.Errorf("audience is longer than %d bytes", maxTargetLength))
		}
	}
	return Unique(all), nil
}

// ValidResource tells whether s is an absolute URI without fragment (RFC 8707 §2, RFC 3986 §4.3).
func ValidResource(s string) bool {
	for i := range len(s) {
		// Only what RFC 3986 §2 allows; the set has no '#', so that an empty fragment is seen, too.
		if c := s[i]; !isAlphanumeric(c) && strings.IndexByte("-._~:/?[]@!$&'()*+,;=%", c) < 0 {
			return false
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" {
		return false
	}
	return (u.Scheme != "https" && u.Scheme != "http") || u.Host != ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// Unique returns the values in order, each once; the slice given is not written.
func Unique(values []string) []string {
	for i, v := range values {
		if !slices.Contains(values[:i], v) {
			continue
		}
		out := slices.Clone(values[:i])
		for _, v := range values[i:] {
			if !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
		return out
	}
	return values
}

// JoinScope writes a set of scopes as the wire has it.
func JoinScope(scopes []string) string { return strings.Join(scopes, " ") }
