package upstreams

import (
	"context"
	"fmt"
	"net/url"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/rp"
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

// discover reads jwks_uri from the discovery document of the issuer.
func (s source) discover(ctx context.Context) (string, error) {
	doc, _, err := rp.Discover(ctx, s.client, s.issuer, outbound.Get{Bearer: s.bearer, CredentialHosts: s.hostsFor})
	if err != nil {
		return "", err
	}
	return doc.JWKSURI, rp.CheckEndpoint("jwks_uri", doc.JWKSURI, s.issuer)
}
