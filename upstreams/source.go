package upstreams

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/pattern"
	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/saml"
)

// source fetches the key set of one upstream.
type source struct {
	client    *outbound.Client
	issuer    string
	jwksURI   string // empty: by discovery
	discovery *rp.Discovery
	bearer    func() (string, error)
	hostsFor  []string // credential hosts
	kept      *keys.Kept
	ownHost   bool // nowhere else than at the issuer's host
}

// discovery is where the endpoints of an upstream come from, for its keys and for logins. It does no I/O.
func discovery(s Spec, client *outbound.Client, now func() time.Time) *rp.Discovery {
	return rp.NewDiscovery(rp.DiscoveryOptions{
		Issuer: s.Issuer, HTTP: client, Bearer: bearer(s), CredentialHosts: s.CredentialHostList(), MaxStale: *s.MaxStale, Now: now,
	})
}

// bearer is the credential for documents and key sets that are not public; nil for none.
func bearer(s Spec) func() (string, error) {
	if s.BearerTokenFile == "" {
		return nil
	}
	return outbound.BearerFile(s.BearerTokenFile)
}

// keysOf is where the keys of an upstream come from, or those of one issuer of its pattern. It does no I/O.
func (m *member) keysOf(s Spec, client *outbound.Client, discovery *rp.Discovery) keys.Upstream {
	if m.from != nil {
		if source := m.from(s); source != nil {
			return keys.Upstream{Issuer: s.Issuer, Static: true, Source: source}
		}
	}
	return keySource(s, client, discovery, m.Now)
}

// keySource is where the keys of an upstream come from. It does no I/O.
func keySource(s Spec, client *outbound.Client, discovery *rp.Discovery, now func() time.Time) keys.Upstream {
	u := keys.Upstream{Issuer: s.Issuer, JWKSURI: s.JWKSURI, MaxStale: *s.MaxStale}
	if s.JWKSFile != "" {
		u.Static, u.JWKSURI, u.Source = true, s.JWKSFile, keys.FileSource(s.JWKSFile)
		return u
	}
	if s.CertificatesFile != "" {
		u.Static, u.JWKSURI, u.Source = true, s.CertificatesFile, saml.CertificatesSource(s.CertificatesFile, now)
		return u
	}
	u.Source = source{
		client: client, issuer: s.Issuer, jwksURI: s.JWKSURI, discovery: discovery, bearer: bearer(s), hostsFor: s.CredentialHostList(), kept: &keys.Kept{}, ownHost: s.IssuerPattern != "",
	}.fetch
	return u
}

// outboundOptions are the exceptions that the spec makes for its upstream (P43).
func outboundOptions(s Spec) outbound.Options {
	o := outbound.Options{AllowPrivate: s.AllowPrivate, CAFile: s.CAFile}
	if u, err := url.Parse(s.Issuer + s.IssuerPattern); err == nil { // one of them
		o.Loopback = outbound.IsLoopback(u.Hostname())
	}
	return o
}

func (s source) fetch(ctx context.Context) (keys.Fetched, error) {
	uri, warning, err := s.discover(ctx)
	if err != nil {
		return keys.Fetched{Warning: warning}, err
	}
	set, header, err := s.client.GetJSON(ctx, uri, outbound.Get{MaxBody: jose.MaxKeySet, Bearer: s.bearer, CredentialHosts: s.hostsFor, IfNoneMatch: s.kept.Tag(uri)})
	if err != nil {
		return keys.Fetched{Warning: warning}, fmt.Errorf("key set: %w", err)
	}
	set, fresh := s.kept.Settle(uri, set, header)
	return keys.Fetched{Set: set, FreshFor: fresh, Discovery: keys.Discovery{Issuer: s.issuer, JWKSURI: uri}, Warning: warning}, nil
}

// discover reads jwks_uri from the discovery document of the issuer. Where that can't be had, or is another issuer's, the last good one holds as
// long as max_stale, and the warning says so: keys are still asked for, so that one that is withdrawn stops.
func (s source) discover(ctx context.Context) (uri string, warning, err error) {
	if s.jwksURI != "" {
		return s.jwksURI, nil, nil
	}
	doc, failed := s.discovery.Fetch(ctx)
	if failed != nil {
		var known bool
		if doc, known = s.discovery.Known(); !known {
			return "", nil, failed
		}
	}
	uri, err = doc.JWKSURI()
	if err == nil && s.ownHost && !pattern.SameHost(s.issuer, uri) {
		return "", failed, strayKeys{}
	}
	return uri, failed, err
}

// strayKeys is the discovery document of a pattern's issuer whose keys would come from another host (P28).
type strayKeys struct{}

func (strayKeys) Error() string { return "jwks_uri is not on the issuer's own host" }

// ErrorClass names it among the classes of fetches.
func (strayKeys) ErrorClass() string { return "discovery" }
