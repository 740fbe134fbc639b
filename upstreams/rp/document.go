package rp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/outbound"
)

const (
	discoveryPath = "/.well-known/openid-configuration" // OpenID Connect Discovery §4
	maxDocument   = 256 << 10                           // bytes; real ones have 2 to 20 KiB
)

// Document is what is used of a provider's metadata (OpenID Connect Discovery §3, RFC 8414 §2). Its issuer is the configured one; its endpoints
// are judged where they are used, so that one that is odd spoils nothing else. What is not of its type counts as absent.
type Document struct {
	AuthorizationEndpoint string
	TokenEndpoint         string
	UserInfoEndpoint      string
	EndSessionEndpoint    string
	ResponseIssuer        bool     // authorization_response_iss_parameter_supported (RFC 9207 §3)
	AssertionAlgorithms   []string // token_endpoint_auth_signing_alg_values_supported

	issuer, jwksURI string
}

// documentError is a discovery document that can't be followed.
type documentError struct{ error }

// ErrorClass names it among the classes of fetches.
func (e documentError) ErrorClass() string {
	if errors.Is(e.error, errOtherIssuer) {
		return "issuer"
	}
	return "discovery"
}

func (e documentError) Unwrap() error { return e.error }

var (
	errNotJSON     = errors.New("discovery document is not the JSON that it must be")
	errOtherIssuer = errors.New("discovery document is another issuer's")
	errPlain       = errors.New("http, and the issuer is not")
)

// JWKSURI is where the provider's keys are.
func (d Document) JWKSURI() (string, error) {
	if err := checkEndpoint(d.issuer, d.jwksURI); err != nil {
		return "", documentError{fmt.Errorf("jwks_uri: %w", err)}
	}
	return d.jwksURI, nil
}

// checkEndpoint says whether a URL of the document may be used at all (P43): never http where the issuer is https.
func checkEndpoint(issuer, endpoint string) error {
	if endpoint == "" {
		return errors.New("none")
	}
	if err := outbound.CheckURL(endpoint); err != nil {
		return err
	}
	if strings.HasPrefix(issuer, "https:") && !strings.HasPrefix(endpoint, "https:") {
		return errPlain
	}
	return nil
}

// fetch reads the document, the issuer of which must be the configured one byte for byte (§4.3), and says how long it may be used.
func (d *Discovery) fetch(ctx context.Context) (Document, time.Duration, error) {
	address := strings.TrimSuffix(d.o.Issuer, "/") + discoveryPath
	body, header, err := d.o.HTTP.GetJSON(ctx, address, outbound.Get{
		MaxBody: maxDocument, Bearer: d.o.Bearer, CredentialHosts: d.o.CredentialHosts, IfNoneMatch: d.kept.Tag(address),
	})
	if err != nil {
		return Document{}, 0, fmt.Errorf("discovery: %w", err)
	}
	body, fresh := d.kept.Settle(address, body, header)
	doc, err := parseDocument(d.o.Issuer, body)
	if err != nil {
		return Document{}, 0, err
	}
	if fresh == 0 {
		fresh = defaultFresh
	}
	return doc, fresh, nil
}

func parseDocument(issuer string, body []byte) (Document, error) {
	claims, err := jose.ParseClaims(body) // refuses repeated members and bad UTF-8, and compares names exactly
	if err != nil {
		return Document{}, documentError{errNotJSON}
	}
	text := func(name string) string {
		value, _ := claims.String(name)
		return value
	}
	if text("issuer") != issuer {
		return Document{}, documentError{errOtherIssuer}
	}
	algorithms, _ := claims.StringList("token_endpoint_auth_signing_alg_values_supported")
	return Document{
		AuthorizationEndpoint: text("authorization_endpoint"),
		TokenEndpoint:         text("token_endpoint"),
		UserInfoEndpoint:      text("userinfo_endpoint"),
		EndSessionEndpoint:    text("end_session_endpoint"),
		ResponseIssuer:        claims.Value("authorization_response_iss_parameter_supported") == true,
		AssertionAlgorithms:   algorithms,
		issuer:                issuer, jwksURI: text("jwks_uri"),
	}, nil
}

// SameEndpoint says whether two URLs are one endpoint: equal, or different only in what no server can tell apart.
func SameEndpoint(a, b string) bool {
	return a != "" && NormalEndpoint(a) == NormalEndpoint(b)
}

// NormalEndpoint is the one way to write an endpoint's URL that SameEndpoint goes by.
func NormalEndpoint(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	port := u.Port()
	if u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		port = ""
	}
	path := u.EscapedPath()
	if path == "" {
		path = "/"
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port + path + "?" + u.RawQuery
}
