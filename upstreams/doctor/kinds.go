package doctor

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"

	"fedbroker/upstreams/doctor/findings"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/saml"
	"fedbroker/upstreams/spec"
)

// oauth2 examines a provider that publishes nothing: only what stands before its endpoints can be looked at.
func (x *examination) oauth2(ctx context.Context) {
	x.unchecked("discovery, keys, algorithms, PKCE: a provider that is plain OAuth 2.0 publishes none of it; fedbroker sends PKCE with S256 always")
	x.endpoints(ctx, []endpoint{
		{name: "authorization_endpoint", url: x.spec.AuthorizationEndpoint},
		{name: "token_endpoint", url: x.spec.TokenEndpoint, called: true},
		{name: "userinfo_endpoint", url: x.spec.UserInfoEndpoint, called: true},
		{name: "emails_endpoint", url: x.spec.EmailsEndpoint, called: true},
	})
	x.register()
}

// saml examines an identity provider of SAML: the certificates that the configuration has of it, and what stands before its address.
func (x *examination) saml(ctx context.Context) {
	x.unchecked("metadata, bindings, algorithms: the configuration says them, and nothing is fetched of a SAML identity provider")
	got, err := saml.CertificatesSource(x.spec.CertificatesFile, x.Now)(ctx)
	switch {
	case err != nil:
		x.add(findings.Fail, "saml.certificates", "certificates_file", err.Error())
	case got.Warning != nil:
		x.add(findings.Warn, "saml.certificates", "certificates_file", got.Warning.Error())
	default:
		x.add(findings.OK, "saml.certificates", "certificates_file", "good now, and for a month at least")
	}
	if err == nil {
		x.keySet(got.Set, nil)
	}
	x.endpoints(ctx, []endpoint{{name: "sso_url", url: x.spec.SSOURL}})
	if base := x.OurIssuer; base != "" && x.spec.Name != "" {
		x.report.Registration = &findings.Registration{RedirectURI: base + "/saml/" + x.spec.Name + "/acs", EntityID: x.spec.EntityID}
	}
}

// register says what to register at the provider. Whether that was done is not asked: only a login would tell.
func (x *examination) register() {
	x.unchecked("whether the redirect URI is registered: only a login attempt would tell, and none is made")
	name := x.spec.Name
	if !x.configured() {
		name = x.suggestedName()
	}
	scopes := x.spec.Scopes
	if scopes == nil {
		scopes = []string{spec.ScopeOpenID, "profile", "email"}
	}
	x.report.Registration = &findings.Registration{
		RedirectURI: or(x.OurIssuer, "<our issuer>") + "/callback/" + name, ResponseType: "code", AuthMethod: or(x.spec.AuthMethod, spec.AuthBasic), Scopes: scopes,
	}
}

// suggestedName makes a name of the issuer's host that the configuration would take (P1).
func (x *examination) suggestedName() string {
	const fallback, longest = "idp", 32
	u, err := url.Parse(x.spec.Issuer)
	if err != nil {
		return fallback
	}
	registrable, err := publicsuffix.EffectiveTLDPlusOne(u.Hostname())
	if err != nil {
		return fallback
	}
	name, _, _ := strings.Cut(strings.ToLower(registrable), ".")
	good := strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && !strings.HasPrefix(name, "-")
	if name == "" || !good || len(name) > longest || name[0] >= '0' && name[0] <= '9' && strings.Trim(name, "0123456789") == "" {
		return fallback
	}
	return name
}

// snippet is an entry of upstreams[] for an issuer that nobody configured, as it says it is. What it says of itself is quoted.
func (x *examination) snippet(doc document) string {
	name, issuer := x.suggestedName(), x.spec.Issuer
	if said := doc.text("issuer"); strings.TrimSuffix(said, "/") == strings.TrimSuffix(issuer, "/") {
		issuer = said
	}
	var b strings.Builder
	line := func(key, value string) { b.WriteString("    " + key + ": " + value + "\n") }
	b.WriteString("upstreams:\n  - name: " + name + "\n")
	line("kind", kindOIDC)
	line("issuer", strconv.Quote(issuer))
	line("client_id", "fedbroker   # as it is registered there")
	methods := doc.listOr("token_endpoint_auth_methods_supported", spec.AuthBasic)
	switch {
	case slices.Contains(methods, spec.AuthBasic):
		line("client_secret_file", name+".secret")
	case slices.Contains(methods, spec.AuthPost):
		line("client_secret_file", name+".secret")
		line("auth_method", spec.AuthPost)
	default:
		line("private_key_file", name+".pem")
	}
	if scopes := doc.list("scopes_supported"); len(scopes) > 0 {
		line("scopes", quoted(slices.DeleteFunc([]string{spec.ScopeOpenID, "profile", "email"}, func(s string) bool {
			return s != spec.ScopeOpenID && !slices.Contains(scopes, s)
		})))
	}
	var foreign []string
	for _, e := range [...]string{"token_endpoint", "userinfo_endpoint"} {
		if u, err := url.Parse(doc.text(e)); err == nil && outbound.CheckURL(doc.text(e)) == nil && spec.Printable(u.Host) &&
			!outbound.IsCredentialHost(doc.text(e), append(x.spec.CredentialHostList(), foreign...)) {
			foreign = append(foreign, u.Host)
		}
	}
	if len(foreign) > 0 {
		line("credential_hosts", quoted(foreign))
	}
	if len(x.AllowPrivate) > 0 {
		line("allow_private", quoted(x.AllowPrivate))
	}
	if x.CAFile != "" {
		line("ca_file", strconv.Quote(x.CAFile))
	}
	return b.String()
}

// quoted is a list of YAML's flow style, each of its words in double quotes.
func quoted(words []string) string {
	all := make([]string, len(words))
	for i, w := range words {
		all[i] = strconv.Quote(w)
	}
	return "[" + strings.Join(all, ", ") + "]"
}
