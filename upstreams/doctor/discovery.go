package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"fedbroker/upstreams/doctor/findings"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/outbound"
)

// document is a discovery document (OpenID Connect Discovery §3, RFC 8414 §2). What is not of its type counts as absent; see members.
type document struct{ jose.Claims }

func (d document) text(name string) string {
	value, _ := d.String(name)
	return value
}

func (d document) list(name string) []string {
	values, _ := d.StringList(name)
	return values
}

func (d document) is(name string) bool { return d.Value(name) == true }

// listOr is a list, or what the specification says for one that is absent.
func (d document) listOr(name string, absent ...string) []string {
	if !d.Has(name) {
		return absent
	}
	return d.list(name)
}

// Where a member is required.
const (
	optional     = iota
	wanted       // by the specification; this broker does without
	wantedLogin  // by the specification, of providers that people log in at
	neededLogin  // by this broker, for logins
	neededAlways // by this broker
)

// members are those that are read: their types, and who needs them (OpenID Connect Discovery §3).
var members = []struct {
	name     string
	of       jose.Types
	required int
}{
	{"issuer", jose.TypeString, neededAlways},
	{"jwks_uri", jose.TypeString, neededAlways},
	{"authorization_endpoint", jose.TypeString, neededLogin},
	{"token_endpoint", jose.TypeString, neededLogin},
	{"response_types_supported", jose.TypeList, wanted},
	{"subject_types_supported", jose.TypeList, wantedLogin},
	{"id_token_signing_alg_values_supported", jose.TypeList, wanted},
	{"userinfo_endpoint", jose.TypeString, optional},
	{"end_session_endpoint", jose.TypeString, optional},
	{"revocation_endpoint", jose.TypeString, optional},
	{"introspection_endpoint", jose.TypeString, optional},
	{"pushed_authorization_request_endpoint", jose.TypeString, optional},
	{"response_modes_supported", jose.TypeList, optional},
	{"grant_types_supported", jose.TypeList, optional},
	{"scopes_supported", jose.TypeList, optional},
	{"claims_supported", jose.TypeList, optional},
	{"code_challenge_methods_supported", jose.TypeList, optional},
	{"token_endpoint_auth_methods_supported", jose.TypeList, optional},
	{"token_endpoint_auth_signing_alg_values_supported", jose.TypeList, optional},
	{"dpop_signing_alg_values_supported", jose.TypeList, optional},
	{"authorization_response_iss_parameter_supported", jose.TypeBool, optional},
	{"require_pushed_authorization_requests", jose.TypeBool, optional},
	{"require_signed_request_object", jose.TypeBool, optional},
	{"backchannel_logout_supported", jose.TypeBool, optional},
	{"backchannel_logout_session_supported", jose.TypeBool, optional},
	{"frontchannel_logout_supported", jose.TypeBool, optional},
}

// discovered examines an issuer by its discovery document.
func (x *examination) discovered(ctx context.Context) {
	const about = "discovery document"
	a, ok := x.get(ctx, about, strings.TrimSuffix(x.spec.Issuer, "/")+discoveryPath, maxDocument)
	if a.status == http.StatusNotFound {
		x.plainOAuth(ctx)
	}
	if !ok {
		if x.spec.JWKSURI != "" {
			x.keys(ctx, x.spec.JWKSURI, nil)
		}
		return
	}
	claims, err := jose.ParseClaims(a.body)
	if err != nil {
		x.add(findings.Fail, "discovery.json", about, err.Error())
		return
	}
	doc := document{claims}
	x.issuer(doc)
	x.members(doc)
	jwksURI := doc.text("jwks_uri")
	if x.spec.JWKSURI != "" {
		x.check(jwksURI == x.spec.JWKSURI, findings.Warn, "config.jwks_uri", "jwks_uri", or(jwksURI, "none"), x.spec.JWKSURI)
		jwksURI = x.spec.JWKSURI
	}
	if jwksURI != "" && x.endpointFits(endpoint{name: "jwks_uri", url: jwksURI}) {
		x.keys(ctx, jwksURI, x.offeredAlgorithms(doc))
	}
	if !x.logins() {
		x.unchecked("logins: nobody logs in at kind jwt")
		return
	}
	x.endpoints(ctx, []endpoint{
		{name: "authorization_endpoint", url: doc.text("authorization_endpoint")},
		{name: "token_endpoint", url: doc.text("token_endpoint"), called: true},
		{name: "userinfo_endpoint", url: doc.text("userinfo_endpoint"), called: true},
		{name: "end_session_endpoint", url: doc.text("end_session_endpoint")},
	})
	x.login(doc)
	x.register()
	if !x.configured() {
		x.report.Snippet = x.snippet(doc)
	}
}

// plainOAuth looks for the metadata of a server that is no OpenID provider (RFC 8414 §3.1: the path of the issuer comes last).
func (x *examination) plainOAuth(ctx context.Context) {
	u, err := url.Parse(x.spec.Issuer)
	if err != nil {
		return
	}
	address := u.Scheme + "://" + u.Host + metadataPath + strings.TrimSuffix(u.EscapedPath(), "/")
	resp, _, cancel, ok := x.ask(ctx, "RFC 8414 metadata", http.MethodGet, address)
	if !ok {
		return
	}
	defer cancel()
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		x.add(findings.Note, "discovery.oauth2", "RFC 8414 metadata", "status 200 at "+address)
	}
}

// issuer wants the document's issuer to be the one that was asked, byte for byte.
func (x *examination) issuer(doc document) {
	said, asked := doc.text("issuer"), x.spec.Issuer
	switch {
	case said == asked:
		x.add(findings.OK, "discovery.issuer", "issuer", said)
	case said == "": // told with the members
	case strings.TrimSuffix(said, "/") == strings.TrimSuffix(asked, "/"):
		x.add(findings.Fail, "discovery.issuer_slash", "issuer", fmt.Sprintf("%s, where %s was asked", said, asked), said)
	case strings.Contains(said, "{"):
		x.add(findings.Fail, "discovery.issuer_template", "issuer", said)
	default:
		x.add(findings.Fail, "discovery.issuer", "issuer", fmt.Sprintf("%s, where %s was asked", said, asked), said)
	}
}

// members judges what is there, and of which types.
func (x *examination) members(doc document) {
	types := map[string]jose.Types{}
	doc.Walk(1, func(_ int, name []byte, t jose.Types) { types[string(name)] = t })
	var needed, missing, odd []string
	for _, m := range members {
		t, there := types[m.name]
		switch {
		case there && t&m.of == 0, there && m.of == jose.TypeList && t.Elements()&^jose.TypeString != 0:
			odd = append(odd, m.name+" is "+t.String())
		case there:
			continue
		}
		switch {
		case m.required == neededAlways, m.required == neededLogin && x.logins():
			needed = append(needed, m.name)
		case there:
		case m.required == wanted, m.required == wantedLogin && x.logins():
			missing = append(missing, m.name)
		}
	}
	if x.spec.JWKSURI != "" && len(needed) == 1 && needed[0] == "jwks_uri" {
		needed = nil // the configuration says it
	}
	x.check(len(needed) == 0, findings.Fail, "discovery.needed", "discovery document", list("all there", "missing or of a wrong type: ", needed))
	x.check(len(missing) == 0, findings.Warn, "discovery.required", "discovery document", list("all there", "missing: ", missing))
	if len(odd) > 0 {
		x.add(findings.Warn, "discovery.types", "discovery document", strings.Join(odd, ", "))
	}
}

// list is words for a list that may be empty.
func list(none, before string, all []string) string {
	if len(all) == 0 {
		return none
	}
	return before + strings.Join(all, ", ")
}

// endpoint is one of a provider's.
type endpoint struct {
	name, url string
	called    bool // by this broker, with credentials; else by browsers alone
}

// endpoints judges where endpoints are, and connects once to each host that nothing was asked of yet.
func (x *examination) endpoints(ctx context.Context, all []endpoint) {
	for _, e := range all {
		if e.url == "" || !x.endpointFits(e) {
			continue
		}
		if e.called {
			x.credentialHost(e)
		}
		u, err := url.Parse(e.url)
		if err != nil || x.contacts[origin(u)] {
			continue
		}
		from := len(x.report.Findings)
		resp, _, cancel, ok := x.ask(ctx, e.name+"'s host", http.MethodHead, origin(u)+"/") // any answer will do
		if ok {
			_ = resp.Body.Close()
			cancel()
			x.add(findings.OK, "endpoint.host", e.name, u.Host+" answers")
		}
		if x.contacts[origin(u)] = true; e.called {
			continue
		}
		for i := from; i < len(x.report.Findings); i++ { // where only browsers go, what we can't reach may be no fault
			if x.report.Findings[i].Grade == findings.Fail {
				x.report.Findings[i].Grade = findings.Warn
			}
		}
	}
}

// endpointFits says whether an endpoint may be used at all (P43).
func (x *examination) endpointFits(e endpoint) bool {
	err := outbound.CheckURL(e.url)
	plain := strings.HasPrefix(x.spec.Issuer, "https:") && !strings.HasPrefix(strings.ToLower(e.url), "https:")
	x.check(err == nil && !plain, findings.Fail, "endpoint.url", e.name, e.url, e.name)
	return err == nil && !plain
}

// credentialHost wants an endpoint that gets credentials at the issuer's host, or at one that the configuration names.
func (x *examination) credentialHost(e endpoint) {
	if outbound.IsCredentialHost(e.url, x.spec.CredentialHostList()) {
		return
	}
	host := ""
	if u, err := url.Parse(e.url); err == nil {
		host = u.Host
	}
	g := findings.Note // an issuer that nobody configured lacks nothing yet
	if x.configured() {
		g = findings.Fail
	}
	x.add(g, "endpoint.credential_host", e.name, "at "+host, host)
}
