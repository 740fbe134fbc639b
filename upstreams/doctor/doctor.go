// Package doctor examines an identity provider from outside, as this broker would meet it: what it says of itself, where its endpoints are and what TLS
// is before them, its keys and its clock. Every finding says what was seen, what is wanted and where that is written, and what mends it. It logs nobody in, sends
// no credential but the bearer token that the documents need, and takes whatever it is told for hostile.
package doctor

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"fedbroker/mappers/printable"
	"fedbroker/upstreams/doctor/findings"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/spec"
)

// Kinds of upstreams that are examined each in its own way.
const (
	kindJWT    = "jwt"
	kindOAuth2 = "oauth2"
	kindOIDC   = "oidc"
	kindSAML   = "saml"
)

// maxExamination is how long one examination may take, however many hosts hang.
const maxExamination = time.Minute

// Options of Examine. Issuer is required, or an Upstream that has one.
type Options struct {
	Issuer       string           // that is examined
	Upstream     *spec.Upstream   // as it is configured, with defaults; nil: an issuer that nobody configured
	OurIssuer    string           // whose redirect URI is to be registered; empty: not known
	AllowPrivate []string         // beside the upstream's
	CAFile       string           // instead of the upstream's
	Timeout      time.Duration    // of each request [outbound's]
	Now          func() time.Time // [time.Now]
}

// examination is one under way.
type examination struct {
	Options
	spec     spec.Upstream // the zero value for an issuer that nobody configured, but for kind, issuer and leeway
	client   *outbound.Client
	report   *findings.Report
	clocks   []reading
	contacts map[string]bool // origins that were asked
}

// Examine asks an identity provider for what it publishes and judges that. It ends within a minute, or with ctx, and always gives a report.
func Examine(ctx context.Context, o Options) findings.Report {
	if o.Now == nil {
		o.Now = time.Now
	}
	ctx, cancel := context.WithTimeout(ctx, maxExamination)
	defer cancel()
	x := &examination{Options: o, contacts: map[string]bool{}}
	x.spec = x.described()
	x.report = &findings.Report{Issuer: printable.Text(x.spec.Issuer), Upstream: x.spec.Name, Kind: x.spec.Kind, Time: o.Now().UTC().Truncate(time.Second)}
	client, err := outbound.New(x.outbound())
	if err != nil {
		x.add(findings.Fail, "fetch.url", "the client", err.Error())
	} else {
		x.client = client
		defer client.Close()
		x.examine(ctx)
	}
	x.clock()
	x.report.Settle()
	return *x.report
}

// described is what is configured, or what an issuer that nobody configured would be.
func (x *examination) described() spec.Upstream {
	if x.Upstream == nil {
		leeway := 30 * time.Second // P12's
		return spec.Upstream{Kind: kindOIDC, Issuer: x.Issuer, Leeway: &leeway}
	}
	s := *x.Upstream
	s.Issuer = cmp.Or(x.Issuer, s.Issuer)
	return s
}

func (x *examination) outbound() outbound.Options {
	o := outbound.Options{
		AllowPrivate: append(slices.Clone(x.spec.AllowPrivate), x.AllowPrivate...), CAFile: cmp.Or(x.CAFile, x.spec.CAFile), Timeout: x.Timeout,
		MaxBody: maxBody,
	}
	if u, err := url.Parse(x.spec.Issuer); err == nil {
		o.Loopback = outbound.IsLoopback(u.Hostname())
	}
	return o
}

// configured says whether the upstream is one of a configuration, which is compared then.
func (x *examination) configured() bool { return x.Upstream != nil }

// logins says whether people are to log in.
func (x *examination) logins() bool { return x.spec.Kind != kindJWT }

func (x *examination) examine(ctx context.Context) {
	if x.spec.Kind == kindSAML {
		x.saml(ctx)
		return
	}
	if err := outbound.CheckURL(x.spec.Issuer); err != nil || strings.ContainsAny(x.spec.Issuer, "?*") {
		x.add(findings.Fail, "issuer.url", "issuer", x.spec.Issuer)
		return
	}
	switch {
	case x.spec.Kind == kindOAuth2:
		x.oauth2(ctx)
	case x.spec.JWKSFile != "":
		x.keysOfFile(ctx)
	case x.spec.JWKSURI != "" && !x.logins():
		x.unchecked("discovery: jwks_uri says where the keys are, and nobody logs in")
		if x.endpointFits(endpoint{name: "jwks_uri", url: x.spec.JWKSURI}) {
			x.keys(ctx, x.spec.JWKSURI, nil)
		}
	default:
		x.discovered(ctx)
	}
}

// unchecked notes what was not looked at, and why.
func (x *examination) unchecked(what string) { x.report.Unchecked = append(x.report.Unchecked, what) }

// add notes a finding.
func (x *examination) add(g findings.Grade, id, about, seen string, fills ...string) {
	x.report.Add(g, id, about, seen, fills...)
}

// check adds a finding that is OK, or of grade g where it is not good.
func (x *examination) check(good bool, g findings.Grade, id, about, seen string, fills ...string) {
	if good {
		g = findings.OK
	}
	x.add(g, id, about, seen, fills...)
}
