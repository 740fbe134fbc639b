package pages

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// ErrAddress is wrapped by the error of a page that was given an address that no link and no form may lead to.
var ErrAddress = errors.New("address that a page must not lead to")

// loopbackSources are http on this machine in the words of CSP, which has none for [::1] (CSP Level 3 section 2.3.1).
const loopbackSources = "http://localhost:* http://127.0.0.1:*"

var (
	// hostSource is a host and a port that CSP can name; anything else in it would be read as something else.
	hostSource = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?$`)
	// privateScheme has a dot (RFC 8252 section 7.1): javascript, data and their like have none.
	privateScheme = regexp.MustCompile(`^[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+$`)
)

func hashSource(text []byte) string {
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func basePolicy(style []byte) string {
	return "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; style-src " + hashSource(style)
}

// formAction is the directive for a page whose forms lead to these sources and nowhere else; none: it has no forms.
func formAction(sources ...string) string {
	if len(sources) == 0 {
		return "; form-action 'none'"
	}
	var distinct []string
	for _, s := range sources {
		if !slices.Contains(distinct, s) {
			distinct = append(distinct, s)
		}
	}
	return "; form-action " + strings.Join(distinct, " ")
}

// onward is what a form's policy must admit when it ends at an app. Chromium holds every redirect that follows a submission to
// form-action, too, and where an app sends its people afterwards is its own affair: with the app's origin alone, an app that answers from
// another origin than it is used at would be out of reach. Nothing follows a private-use scheme.
func onward(source string) []string {
	switch {
	case strings.HasPrefix(source, "https:"):
		return []string{source, "https:"}
	case strings.HasPrefix(source, "http:"):
		return []string{source, "https:", loopbackSources}
	}
	return []string{source}
}

// target is an absolute address outside: of an app. It is judged again here, as what html/template itself would let pass is too much
// for an app (mailto) and too little (private-use schemes).
func target(raw string) (address template.URL, source string, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", "", fmt.Errorf("%w: not a URI", ErrAddress)
	}
	switch {
	case (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil:
		source = u.Scheme + ":" // an IPv6 address or a name beyond ASCII can't be said more closely
		if hostSource.MatchString(u.Host) {
			source += "//" + u.Host
		}
	case privateScheme.MatchString(u.Scheme):
		source = u.Scheme + ":"
	default:
		return "", "", fmt.Errorf("%w: want https, http or a private-use scheme", ErrAddress)
	}
	return template.URL(raw), source, nil
}

// ownPath is an address of ours: an absolute path with its query.
func ownPath(raw string) (template.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, "//") || strings.Contains(raw, `\`) {
		return "", fmt.Errorf("%w: want a path of ours", ErrAddress)
	}
	return template.URL(raw), nil
}
