// Package subject names the people and workloads of upstreams: by what their tokens say, and as subjects of ours (P2).
package subject

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/spec"
)

const (
	// Longest is the length of the longest sub (OpenID Connect Core §2).
	Longest = 255
	// issuerHashChars of the issuer's hash stand for an issuer in the sub of an upstream that has many: 132 bits.
	issuerHashChars = 22
	// subjectSeparator joins the parts of a subject that several claims make.
	subjectSeparator = "/"
)

// Broker is our sub for an upstream's subject. It is `name|subject`, or `name|issuer hash|subject` for an upstream that
// speaks for many issuers, as long as the subject is printable ASCII and the whole no longer than 255; else `name#hash`, over issuer
// and subject. The first | or # ends the name, so distinct (name, issuer, subject) never give one sub; an upstream of one
// issuer is told apart by its name alone, to which that issuer is pinned. Empty if name or subject is.
func Broker(name, issuer, subject string, manyIssuers bool) string {
	if name == "" || subject == "" {
		return ""
	}
	prefix := name + "|"
	if manyIssuers {
		sum := sha256.Sum256([]byte(issuer))
		prefix += base64.RawURLEncoding.EncodeToString(sum[:])[:issuerHashChars] + "|"
	}
	if len(prefix)+len(subject) <= Longest && spec.Printable(subject) {
		return prefix + subject
	}
	sum := sha256.Sum256([]byte(issuer + "\x00" + subject)) // no issuer holds a NUL: CheckURL and patterns refuse it
	return name + "#" + base64.RawURLEncoding.EncodeToString(sum[:])
}

var (
	// ErrNone: the token names nobody.
	ErrNone         = errors.New("subject is empty or not a string")
	errSubjectParts = errors.New("a part of the subject before the last holds the separator /")
)

// Of joins the claims that make the upstream's subject. Each part is a non-empty string, or an integer where the claim is not sub. Of
// several parts none but the last may hold the separator, for otherwise ("a/b", "c") and ("a", "b/c") would be one.
func Of(claims jose.Claims, names spec.Claims) (string, error) {
	if len(names) == 1 {
		return part(claims, names[0])
	}
	parts := make([]string, len(names))
	for i, name := range names {
		p, err := part(claims, name)
		if err != nil {
			return "", err
		}
		if i < len(names)-1 && strings.Contains(p, subjectSeparator) {
			return "", fmt.Errorf("%s: %w", name, errSubjectParts)
		}
		parts[i] = p
	}
	return strings.Join(parts, subjectSeparator), nil
}

func part(claims jose.Claims, name string) (string, error) {
	switch v := claims.Value(name).(type) {
	case string:
		if v != "" {
			return v, nil
		}
	case int64:
		if name != spec.ClaimSubject {
			return strconv.FormatInt(v, 10), nil
		}
	case uint64:
		if name != spec.ClaimSubject {
			return strconv.FormatUint(v, 10), nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, ErrNone)
}
