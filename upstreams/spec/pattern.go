package spec

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/net/publicsuffix"

	"fedbroker/upstreams/outbound"
)

const (
	wildcard      = "*"
	maxPattern    = 255
	maxWildcards  = 4
	sampleSegment = "w--0" // stands for a wildcard where a URL is needed
)

var (
	segmentPattern = regexp.MustCompile(`^[A-Za-z0-9_-]+$`) // what a wildcard matches (P28)
	pieces         = regexp.MustCompile(`[/.:]|[^/.:]+`)

	errPatternForm   = errors.New("want an https URL, or http on loopback, without query, whose wildcards * are each a whole label or path segment, at most 4")
	errPatternDomain = errors.New("want no wildcard in the registrable domain")
)

// checkPattern judges the syntax of an issuer_pattern.
func checkPattern(pattern string) error {
	n := strings.Count(pattern, wildcard)
	scheme, rest, _ := strings.Cut(pattern, "://")
	if n == 0 || n > maxWildcards || len(pattern) > maxPattern || strings.ContainsAny(pattern, "?#@") {
		return errPatternForm
	}
	host, path, _ := strings.Cut(rest, "/")
	if strings.Contains(scheme, wildcard) {
		return errPatternForm
	}
	labels := strings.Split(host, ".")
	for _, segment := range append(strings.Split(path, "/"), labels...) {
		if strings.Contains(segment, wildcard) && segment != wildcard {
			return errPatternForm
		}
	}
	sample := strings.ReplaceAll(pattern, wildcard, sampleSegment)
	u, err := url.Parse(sample)
	if err != nil || outbound.CheckURL(sample) != nil {
		return errPatternForm
	}
	if !strings.Contains(host, wildcard) {
		return nil // its host is named
	}
	labels = strings.Split(u.Hostname(), ".")
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return errPatternDomain // an address has none
	}
	registrable, err := publicsuffix.EffectiveTLDPlusOne(u.Hostname())
	if err != nil {
		return errPatternDomain
	}
	for _, label := range strings.Split(registrable, ".") {
		if label == sampleSegment {
			return errPatternDomain
		}
	}
	return nil
}

// Overlap says whether two issuers, each an issuer or a pattern, can be equal.
func Overlap(a, b string) bool {
	if a == b {
		return true
	}
	if !strings.Contains(a+b, wildcard) {
		return false
	}
	x, y := pieces.FindAllString(a, -1), pieces.FindAllString(b, -1)
	if len(x) != len(y) {
		return false
	}
	for i := range x {
		switch {
		case x[i] == y[i]:
		case x[i] == wildcard && segmentPattern.MatchString(y[i]), y[i] == wildcard && segmentPattern.MatchString(x[i]):
		default:
			return false
		}
	}
	return true
}
