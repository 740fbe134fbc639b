package upstreams

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/outbound"
)

const (
	discoveryPath = "/.well-known/openid-configuration" // OpenID Connect Discovery §4
	maxDiscovery  = 256 << 10                           // bytes; real ones have 2 to 20 KiB
)

// discoveryError is a discovery document that can't be followed.
type discoveryError struct{ error }

// ErrorClass names it among the classes of fetches.
func (discoveryError) ErrorClass() string { return "discovery" }

func (e discoveryError) Unwrap() error { return e.error }

var (
	errOtherIssuer  = errors.New("discovery document is another issuer's")
	errPlainJWKSURI = errors.New("jwks_uri is http, and the issuer is not")
)

// source fetches the key set of one upstream.
type source struct {
	client   *outbound.Client
	issuer   string
	jwksURI  string // empty: by discovery
	bearer   func() (string, error)
	hostsFor []string // credential hosts
}

// keySource is where the keys of an upstream come from. It does no I/O.
func keySource(s Spec, client *outbound.Client) keys.Upstream {
	u := keys.Upstream{Issuer: s.Issuer, JWKSURI: s.JWKSURI, MaxStale: *s.MaxStale}
	if s.JWKSFile != "" {
		u.Static, u.Source = true, keys.FileSource(s.JWKSFile)
		return u
	}
	from := source{client: client, issuer: s.Issuer, jwksURI: s.JWKSURI, hostsFor: s.CredentialHostList()}
	if s.BearerTokenFile != "" {
		from.bearer = outbound.BearerFile(s.BearerTokenFile)
	}
	u.Source = from.fetch
	return u
}

// outboundOptions are the exceptions that the spec makes for its upstream (P43).
func outboundOptions(s Spec) outbound.Options {
	o := outbound.Options{AllowPrivate: s.AllowPrivate, CAFile: s.CAFile}
	if u, err := url.Parse(s.Issuer); err == nil {
		o.Loopback = outbound.IsLoopback(u.Hostname())
	}
	return o
}

func (s source) fetch(ctx context.Context) (keys.Fetched, error) {
	uri := s.jwksURI
	if uri == "" {
		var err error
		if uri, err = s.discover(ctx); err != nil {
			return keys.Fetched{}, err
		}
	}
	set, header, err := s.client.GetJSON(ctx, uri, outbound.Get{MaxBody: jose.MaxKeySet, Bearer: s.bearer, CredentialHosts: s.hostsFor})
	if err != nil {
		return keys.Fetched{}, fmt.Errorf("key set: %w", err)
	}
	return keys.Fetched{Set: set, FreshFor: keys.Freshness(header), Discovery: keys.Discovery{Issuer: s.issuer, JWKSURI: uri}}, nil
}

// discover reads jwks_uri from the discovery document of the issuer, which must be the configured one byte for byte (§4.3).
func (s source) discover(ctx context.Context) (string, error) {
	address := strings.TrimSuffix(s.issuer, "/") + discoveryPath
	body, _, err := s.client.GetJSON(ctx, address, outbound.Get{MaxBody: maxDiscovery, Bearer: s.bearer, CredentialHosts: s.hostsFor})
	if err != nil {
		return "", fmt.Errorf("discovery: %w", err)
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &doc); err != nil { // refuses repeated members and bad UTF-8, and compares names exactly
		return "", discoveryError{errors.New("discovery document is not the JSON that it must be")}
	}
	if doc.Issuer != s.issuer {
		return "", discoveryError{errOtherIssuer}
	}
	if err := outbound.CheckURL(doc.JWKSURI); err != nil {
		return "", discoveryError{fmt.Errorf("jwks_uri: %w", err)}
	}
	if strings.HasPrefix(s.issuer, "https:") && !strings.HasPrefix(doc.JWKSURI, "https:") {
		return "", discoveryError{errPlainJWKSURI}
	}
	return doc.JWKSURI, nil
}
