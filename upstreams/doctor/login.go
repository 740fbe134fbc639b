package doctor

import (
	"fmt"
	"slices"
	"strings"

	"fedbroker/upstreams/doctor/findings"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/spec"
)

// login judges what a provider offers to who logs in there.
func (x *examination) login(doc document) {
	for _, judge := range [...]func(*examination, document){
		(*examination).responses, (*examination).requests, (*examination).pkce, (*examination).authentication, (*examination).subjects,
		(*examination).scopes, (*examination).claims, (*examination).logout, (*examination).extras,
	} {
		judge(x, doc)
	}
}

// offeredAlgorithms judges the algorithms of ID tokens, and gives those that the broker would accept.
func (x *examination) offeredAlgorithms(doc document) []string {
	const name = "id_token_signing_alg_values_supported"
	offered := doc.list(name)
	if len(offered) == 0 {
		return nil // told with the members
	}
	accepted, err := jose.ParseAlgorithms(x.spec.Algorithms)
	if err != nil {
		return nil // no configuration that was accepted has them
	}
	var usable, possible []string
	for _, alg := range offered {
		if accepted.Holds(alg) {
			usable = append(usable, alg)
		} else if _, err := jose.ParseAlgorithms([]string{alg}); err == nil {
			possible = append(possible, alg)
		}
	}
	seen := strings.Join(offered, ", ")
	switch {
	case len(usable) > 0:
		x.add(findings.OK, "algorithm.common", name, strings.Join(usable, ", "))
	case len(possible) > 0:
		x.add(findings.Fail, "algorithm.configure", name, seen, strings.Join(possible, ", "))
	default:
		x.add(findings.Fail, "algorithm.common", name, seen)
	}
	if !slices.Contains(offered, "RS256") {
		x.add(findings.Note, "algorithm.rs256", name, seen)
	}
	if slices.Contains(offered, "none") {
		x.add(findings.Warn, "algorithm.none", name, seen)
	}
	if slices.ContainsFunc(offered, func(alg string) bool { return strings.HasPrefix(alg, "HS") }) {
		x.add(findings.Note, "algorithm.hmac", name, seen)
	}
	return usable
}

// responses judges types and modes of authorization responses.
func (x *examination) responses(doc document) {
	types := doc.list("response_types_supported")
	if len(types) > 0 {
		x.check(slices.Contains(types, "code"), findings.Fail, "login.response_type", "response_types_supported", strings.Join(types, ", "))
		if slices.ContainsFunc(types, func(t string) bool { return slices.Contains(strings.Fields(t), "token") }) {
			x.add(findings.Note, "login.implicit", "response_types_supported", strings.Join(types, ", "))
		}
	}
	modes := doc.listOr("response_modes_supported", "query", "fragment") // OpenID Connect Discovery §3
	mode := or(x.spec.ResponseMode, spec.ResponseQuery)
	x.check(slices.Contains(modes, mode), findings.Fail, "login.response_mode", "response_modes_supported", list("none", "", modes), mode)
	x.check(doc.is("authorization_response_iss_parameter_supported"), findings.Note, "login.iss", "authorization_response_iss_parameter_supported",
		fmt.Sprint(doc.is("authorization_response_iss_parameter_supported")))
}

// requests judges what a provider demands of authorization requests and which grants it knows.
func (x *examination) requests(doc document) {
	if doc.is("require_pushed_authorization_requests") {
		x.add(findings.Fail, "login.par", "require_pushed_authorization_requests", "true")
	}
	if doc.is("require_signed_request_object") {
		x.add(findings.Fail, "login.request_object", "require_signed_request_object", "true")
	}
	grants := doc.listOr("grant_types_supported", "authorization_code", "implicit") // OpenID Connect Discovery §3
	x.check(slices.Contains(grants, "authorization_code"), findings.Fail, "login.grant", "grant_types_supported", list("none", "", grants))
	refresh := slices.Contains(grants, "refresh_token")
	g := findings.Note
	if x.spec.Refresh {
		g = findings.Warn // the list may be shorter than the truth
	}
	if x.spec.Refresh || refresh {
		x.check(refresh, g, "login.refresh", "grant_types_supported", list("none", "", grants))
	}
}

func (x *examination) pkce(doc document) {
	const name = "code_challenge_methods_supported"
	methods := doc.list(name)
	switch {
	case slices.Contains(methods, "S256"):
		x.add(findings.OK, "login.pkce", name, strings.Join(methods, ", "))
		if slices.Contains(methods, "plain") {
			x.add(findings.Note, "login.pkce_plain", name, strings.Join(methods, ", "))
		}
	case len(methods) > 0:
		x.add(findings.Fail, "login.pkce", name, strings.Join(methods, ", "))
	default:
		x.add(findings.Warn, "login.pkce", name, "none")
	}
}

// authentication judges how this broker can prove itself at the token endpoint.
func (x *examination) authentication(doc document) {
	const name = "token_endpoint_auth_methods_supported"
	methods := doc.listOr(name, spec.AuthBasic) // OpenID Connect Discovery §3
	ours := []string{spec.AuthBasic, spec.AuthPost, spec.AuthPrivateKey}
	if x.spec.AuthMethod != "" {
		ours = []string{x.spec.AuthMethod}
	}
	common := slices.ContainsFunc(ours, func(m string) bool { return slices.Contains(methods, m) })
	x.check(common, findings.Fail, "login.auth_method", name, list("none", "", methods), strings.Join(ours, ", "))
	if !slices.Contains(methods, spec.AuthPrivateKey) {
		x.add(findings.Note, "login.private_key_jwt", name, list("none", "", methods))
		return
	}
	const algorithms = "token_endpoint_auth_signing_alg_values_supported"
	signing := doc.list(algorithms)
	good := slices.ContainsFunc(signing, func(alg string) bool { _, err := jose.ParseAlgorithms([]string{alg}); return err == nil })
	x.check(good && !slices.Contains(signing, "none"), findings.Warn, "login.assertion_algorithm", algorithms, list("none", "", signing))
}

func (x *examination) subjects(doc document) {
	types := doc.list("subject_types_supported")
	if len(types) > 0 {
		x.check(slices.Contains(types, "public"), findings.Note, "login.subject_type", "subject_types_supported", strings.Join(types, ", "))
	}
}

func (x *examination) scopes(doc document) {
	const name = "scopes_supported"
	offered := doc.list(name)
	if len(offered) == 0 {
		x.add(findings.Note, "login.scopes", name, "none")
		return
	}
	x.check(slices.Contains(offered, spec.ScopeOpenID), findings.Fail, "login.openid", name, strings.Join(offered, ", "))
	asked := x.spec.Scopes
	if asked == nil {
		asked = []string{spec.ScopeOpenID, "profile", "email"}
	}
	var lacking []string
	for _, s := range asked {
		if !slices.Contains(offered, s) {
			lacking = append(lacking, s)
		}
	}
	g := findings.Note
	if x.configured() {
		g = findings.Warn
	}
	x.check(len(lacking) == 0, g, "login.scopes", name, list(strings.Join(asked, ", ")+" offered", "not offered: ", lacking))
	if x.spec.Refresh && !slices.Contains(offered, "offline_access") {
		x.add(findings.Note, "login.offline", name, strings.Join(offered, ", "))
	}
}

// claims judges what the broker learns of a person.
func (x *examination) claims(doc document) {
	const name = "claims_supported"
	x.check(doc.text("userinfo_endpoint") != "", findings.Note, "login.userinfo", "userinfo_endpoint", or(doc.text("userinfo_endpoint"), "none"))
	offered := doc.list(name)
	if len(offered) == 0 {
		x.add(findings.Note, "login.claims", name, "none")
		return
	}
	wants := []string{"sub", "name", "email", "email_verified"}
	if x.configured() {
		wants = slices.Clone(x.spec.Subject)
		if x.spec.EmailDomains != nil && (x.spec.EmailDomains.Any || len(x.spec.EmailDomains.Names) > 0) {
			wants = append(wants, "email", "email_verified")
		}
	}
	var lacking []string
	for _, c := range wants {
		if !slices.Contains(offered, c) {
			lacking = append(lacking, c)
		}
	}
	x.check(len(lacking) == 0, findings.Note, "login.claims", name, list(strings.Join(wants, ", ")+" offered", "not named: ", lacking))
}

func (x *examination) logout(doc document) {
	x.check(doc.text("end_session_endpoint") != "", findings.Note, "logout.end_session", "end_session_endpoint", or(doc.text("end_session_endpoint"), "none"))
	for _, kind := range [...]struct{ id, member string }{{"logout.backchannel", "backchannel_logout"}, {"logout.frontchannel", "frontchannel_logout"}} {
		switch {
		case !doc.is(kind.member + "_supported"): // told with the extras
		case doc.is(kind.member + "_session_supported"):
			x.add(findings.Note, kind.id, kind.member+"_supported", "offered, with sid")
		default:
			x.add(findings.Note, kind.id, kind.member+"_supported", "offered")
		}
	}
}

// extras notes what a provider can beside what this broker needs.
func (x *examination) extras(doc document) {
	var has, lacks []string
	for _, e := range [...]struct{ name, member string }{
		{"revocation (RFC 7009)", "revocation_endpoint"}, {"introspection (RFC 7662)", "introspection_endpoint"},
		{"pushed requests (RFC 9126)", "pushed_authorization_request_endpoint"}, {"DPoP (RFC 9449)", "dpop_signing_alg_values_supported"},
		{"back-channel logout", "backchannel_logout_supported"}, {"front-channel logout", "frontchannel_logout_supported"},
	} {
		if value := doc.Value(e.member); value != nil && value != false {
			has = append(has, e.name)
		} else {
			lacks = append(lacks, e.name)
		}
	}
	x.add(findings.Note, "extras", "discovery document", list("none of them", "", has)+list("", "; without ", lacks))
	in := x.spec.Introspection
	if said := doc.text("introspection_endpoint"); in != nil && said != "" {
		x.check(said == in.Endpoint, findings.Warn, "config.introspection", "introspection_endpoint", said, in.Endpoint)
	}
}
