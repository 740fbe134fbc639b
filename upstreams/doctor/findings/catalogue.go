package findings

import "maps"

// advice is what a check wants, where that is written, and what mends it: a sentence that begins with whose it is to mend.
type advice struct{ want, source, fix string }

// blank stands in a fix for what only the examination knows.
const blank = "{}"

const (
	discovery3   = "OpenID Connect Discovery §3"
	discovery43  = "OpenID Connect Discovery §4.3"
	bcp195       = "RFC 9325 §3.1"
	ourProtocol  = "fedbroker's protocol"
	ourConfig    = "fedbroker's configuration"
	addressRules = ourProtocol + ", P43"
)

// catalogue has every finding by its id. docs/doctor.md lists them.
var catalogue = merged(connections, documents, keySets, logins)

// merged joins tables whose keys differ.
func merged(tables ...map[string]advice) map[string]advice {
	all := map[string]advice{}
	for _, table := range tables {
		maps.Copy(all, table)
	}
	return all
}

// connections is what can be said of an answer, the connection under it, and the clock at its other end.
var connections = map[string]advice{
	"issuer.url":       {"an https URL without query, fragment and userinfo; http on loopback names alone", discovery3, "fedbroker: write the issuer as the provider's tokens say it in iss."},
	"fetch.url":        {"an https URL without fragment and userinfo; http on loopback names alone", addressRules, "IdP: publish an https URL."},
	"fetch.address":    {"public addresses, and private ones only where the configuration names the host", addressRules, "fedbroker: if the host is meant to be there, add it: allow_private: [{}] (--allow-private {})."},
	"fetch.dns":        {"a host name that resolves here", addressRules, "Network: make {} resolve where fedbroker runs, or correct the URL."},
	"fetch.connect":    {"somebody who listens", addressRules, "Network: let fedbroker connect to {}, or correct the URL."},
	"fetch.tls":        {"TLS 1.2 or newer", bcp195, "IdP: offer TLS 1.2 or 1.3 with a certificate for {}."},
	"fetch.timeout":    {"an answer within ten seconds", addressRules, "IdP: answer faster; while {} is this slow, logins fail and keys grow old."},
	"fetch.canceled":   {"an answer before the examination ends", addressRules, "Repeat the examination: it was ended before {} answered."},
	"fetch.transport":  {"a whole answer in HTTP", "RFC 9112 §8", "IdP: find out what breaks connections to {}: a proxy, plain http where TLS is wanted, or a length that is not the body's."},
	"fetch.redirect":   {"an answer where it was asked for; redirects are followed on one host alone", addressRules, "IdP: publish the address where the {} is; fedbroker follows no redirect to another host or port."},
	"fetch.status":     {"status 200", "OpenID Connect Discovery §4.2", "fedbroker: check the address for typing errors; IdP: serve the {} there to everybody who asks."},
	"fetch.media_type": {"Content-Type application/json, or another application/…+json", "OpenID Connect Discovery §4.2, RFC 7517 §8.5", "IdP: send the {} as application/json; fedbroker takes no other type."},
	"fetch.too_large":  {"at most 256 KiB of discovery document, 512 KiB of key set", addressRules, "IdP: shorten the answer: withdraw old keys, leave out what nobody reads."},
	"fetch.credential": {"a bearer token in bearer_token_file", "RFC 6750 §2.1", "fedbroker: put the token into the file, one line, readable by the broker."},
	"fetch.ca":         {"a CA file in PEM", ourConfig, "fedbroker: put the CA's certificates in PEM into ca_file."},
	"fetch.held":       {"an endpoint that has not failed several times in a row", addressRules, "Repeat the examination in a minute: {} was spared after failures."},
	"fetch.answer":     {"a whole answer", "OpenID Connect Discovery §4.2", "IdP: answer."},
	"network.private":  {"to know that the host is not public", addressRules, "Nothing, if that is meant: only who is in the same network, or on the same machine, reaches it."},
	"tls.none":         {"TLS everywhere but on loopback", addressRules, "Nothing on a test machine; for others an issuer needs https."},
	"tls.version":      {"TLS 1.3", bcp195, "IdP: offer TLS 1.3; fedbroker takes 1.2, and nothing older."},
	"tls.authority":    {"a certificate of an authority that is trusted here, with its intermediates", "RFC 5280 §6", "fedbroker: name the authority's certificate in ca_file, if it is your own; IdP: else send the whole chain."},
	"tls.name":         {"a certificate for the host's name", "RFC 9525 §6", "IdP: get a certificate that names {}."},
	"tls.dates":        {"a certificate that is good now", "RFC 5280 §4.1.2.5", "IdP: renew the certificate; if its dates are right, set the clock here."},
	"tls.expiry":       {"a certificate good for two weeks more", "RFC 5280 §4.1.2.5", "IdP: renew the certificate, and find out why nothing renewed it: when it ends, logins and key fetches stop."},
	"tls.key":          {"RSA keys of 2,048 bits or more", "RFC 9325 §4.4", "IdP: get a certificate with a stronger key."},
	"clock.skew":       {"the clocks of the provider and of this machine within leeway", "RFC 7519 §4.1.4, " + ourProtocol + ", P12", "Both: let NTP set the clocks; which of the two is wrong a third tells."},
	"clock.date":       {"a Date in answers", "RFC 9110 §6.6.1", "IdP: send Date; without it nobody can see that a clock is wrong."},
}

// documents is what can be said of a discovery document and the endpoints in it.
var documents = map[string]advice{
	"discovery.json":            {"one JSON object in UTF-8, no member twice", "OpenID Connect Discovery §4.2, RFC 7493 §2.3", "IdP: publish valid JSON that names each member once."},
	"discovery.oauth2":          {"an OpenID provider's document", "RFC 8414 §3", "fedbroker: this server is plain OAuth 2.0: use kind oauth2 with its endpoints."},
	"discovery.issuer":          {"the issuer that was asked, byte for byte", discovery43, "fedbroker: if {} is the provider that you mean, write that as issuer; else somebody else answers at this address."},
	"discovery.issuer_slash":    {"the issuer that was asked, byte for byte: a final slash counts, since tokens are compared by it", discovery43, "fedbroker: write issuer: {}, exactly so."},
	"discovery.issuer_template": {"one issuer, not a template for many", discovery43, "fedbroker: write your own tenant's issuer, as its tokens say it in iss; a document for all tenants speaks for none."},
	"discovery.needed":          {"the members that nothing works without, as strings: issuer, jwks_uri; for logins authorization_endpoint, token_endpoint", discovery3, "IdP: publish them."},
	"discovery.required":        {"every member that is required", discovery3, "IdP: publish them; fedbroker does without."},
	"discovery.types":           {"members of the types that they are registered with", discovery3, "IdP: publish lists as lists of strings, booleans as booleans; fedbroker takes others for absent."},
	"endpoint.url":              {"https, as the issuer has it, without fragment and userinfo", addressRules, "IdP: publish an https URL as {}."},
	"endpoint.host":             {"a host that answers", addressRules, "Network: let fedbroker connect to it."},
	"endpoint.credential_host":  {"credentials sent to the issuer's host, and to others only where the configuration names them", addressRules, "fedbroker: if the provider documents that host as its own, add it: credential_hosts: [{}]."},
	"config.jwks_uri":           {"the key set where the configuration has it", ourConfig, "fedbroker: leave jwks_uri out and follow discovery, or find out why the provider has moved its keys from {}."},
	"config.introspection":      {"introspection where the configuration has it", ourConfig, "fedbroker: ask the provider which is right; the configuration says {}."},
	"extras":                    {"to know what else is offered", "RFC 8414 §2", "Nothing: logins use none of them; kind jwt and oidc upstreams may use introspection."},
	"saml.certificates":         {"certificates that are good now, and for a month more", "fedbroker's kind saml", "fedbroker: put the identity provider's next certificate into certificates_file, beside the one of now."},
}

// keySets is what can be said of a key set.
var keySets = map[string]advice{
	"keys.usable":      {"a key set with at least one key that can verify a signature", "RFC 7517 §5", "IdP: publish the public signing keys, as {\"keys\": […]}."},
	"keys.file":        {"a key set in jwks_file", ourConfig, "fedbroker: put the provider's key set into the file."},
	"keys.private":     {"public keys alone: what was seen holds private parts", "RFC 7517 §9.2", "IdP: AT ONCE: withdraw these keys and make new ones: everybody who has read the key set can sign tokens in your name."},
	"keys.symmetric":   {"public keys alone: what was seen is a shared secret", "RFC 7517 §9.2, RFC 8725 §3.5", "IdP: AT ONCE: withdraw these keys: everybody who has read the key set knows them; sign with RSA or elliptic curves."},
	"keys.skipped":     {"keys that can be used: RSA of 2,048 to 8,192 bits with an odd exponent, P-256, P-384, P-521, Ed25519, alg that fits", "RFC 7518 §3.3, §6, RFC 8037 §2", "IdP: replace or withdraw these keys; fedbroker skips them, and tokens that they sign are refused."},
	"keys.encryption":  {"to know that these verify nothing", "RFC 7517 §4.2", "Nothing: keys for encryption are skipped."},
	"keys.kid":         {"a kid on each key, where there are several", "OpenID Connect Core §10.1, RFC 7517 §4.5", "IdP: give each key a kid, and put it into the tokens' headers."},
	"keys.kid_unique":  {"each kid once", "RFC 7517 §4.5", "IdP: give each key a kid of its own, new at each rotation; fedbroker tries all keys of a kid."},
	"keys.alg":         {"alg on each key, so that it serves one algorithm alone", "RFC 7517 §4.4, RFC 8725 §3.1", "IdP: publish alg; without it a key serves each algorithm of its type that the configuration accepts."},
	"keys.use":         {"use on each key, where some are for encryption", "OpenID Connect Discovery §3 (jwks_uri)", "IdP: publish use: sig on the signing keys."},
	"keys.use_and_ops": {"use or key_ops, not both", "RFC 7517 §4.3", "IdP: leave key_ops out."},
	"keys.x5c":         {"x5c whose first certificate is of the key beside it", "RFC 7517 §4.7", "IdP: publish the key's own certificate or no x5c; fedbroker reads the key alone, others may not."},
	"keys.strength":    {"keys that are strong enough", "RFC 7518 §3.3", "IdP: make stronger keys."},
	"keys.exponent":    {"the public exponent 65537", "NIST SP 800-56B §6.2", "IdP: make keys with the usual exponent at the next rotation."},
	"keys.many":        {"the keys of now, the next, and those whose tokens still live", "RFC 8725 §3.8", "IdP: withdraw keys when the last token that they signed has ended: each is one more that may leak."},
	"keys.algorithm":   {"a key for an algorithm that is offered and accepted", discovery3, "IdP: publish a key for what id_token_signing_alg_values_supported names; fedbroker: or add its algorithm to algorithms."},
	"keys.cache":       {"a max-age of minutes to hours", "OpenID Connect Core §10.1.1, RFC 9111 §5.2.2.1", "IdP: send Cache-Control: max-age, such as 3600, so that both sides know when a new key is seen; without it fedbroker asks every ten minutes."},
	"keys.cache_short": {"a max-age of minutes to hours", "OpenID Connect Core §10.1.1, RFC 9111 §5.2.2", "IdP: allow some minutes of caching; fedbroker asks once a minute at most."},
	"keys.cache_long":  {"a max-age of minutes to hours", "OpenID Connect Core §10.1.1, RFC 9111 §5.2.2.1", "IdP: shorten max-age below a day: a key that you withdraw is good for that long with everybody who trusts you."},
	"keys.etag":        {"an ETag", "RFC 9110 §8.8.3", "Nothing; with an ETag a fetch that brings nothing new costs no body."},
}

// logins is what can be said of algorithms, and of what a provider offers to who logs in there.
var logins = map[string]advice{
	"algorithm.common":          {"ID tokens signed with an algorithm that fedbroker accepts", discovery3 + ", RFC 8725 §3.1", "IdP: sign ID tokens with RS256, PS256, ES256, ES384 or EdDSA."},
	"algorithm.configure":       {"ID tokens signed with an algorithm that fedbroker accepts", discovery3 + ", RFC 8725 §3.1", "fedbroker: add one of those it offers: algorithms: [{}]."},
	"algorithm.rs256":           {"RS256 among the algorithms", discovery3, "Nothing for fedbroker; clients that know RS256 alone can't log people in there."},
	"algorithm.none":            {"no unsigned ID tokens", "RFC 8725 §3.2", "IdP: take none off the list; fedbroker refuses tokens without a signature, others may not."},
	"algorithm.hmac":            {"signatures that a public key verifies", "OpenID Connect Core §10.1, RFC 8725 §3.5", "Nothing, if fedbroker's client there is registered for an asymmetric algorithm: it takes no HS256."},
	"login.response_type":       {"response type code", "RFC 6749 §4.1.1", "IdP: allow the authorization code flow; fedbroker knows no other."},
	"login.implicit":            {"no access tokens in URLs", "RFC 9700 §2.1.2", "IdP: switch the implicit flow off where no client needs it; fedbroker never asks for it."},
	"login.response_mode":       {"the response mode that is configured, query by default", "OAuth 2.0 Multiple Response Types §2.1", "fedbroker: set response_mode to one that is offered; IdP: or offer {}."},
	"login.iss":                 {"iss in authorization responses", "RFC 9207 §3, RFC 9700 §4.4.2.1", "IdP: send iss; without it fedbroker relies on a redirect URI of each provider's own against mix-ups."},
	"login.par":                 {"authorization requests by URL alone", "RFC 9126 §5", "IdP: take pushed requests off fedbroker's client there; fedbroker does not push them."},
	"login.request_object":      {"plain authorization requests", "RFC 9101 §10.5", "IdP: take signed requests off fedbroker's client there; fedbroker does not sign them."},
	"login.grant":               {"grant authorization_code", discovery3, "IdP: allow the grant authorization_code."},
	"login.refresh":             {"grant refresh_token, where the configuration says refresh: true", "OpenID Connect Core §12", "IdP: allow the grant refresh_token to fedbroker's client; fedbroker: or leave refresh out."},
	"login.offline":             {"scope offline_access, where the configuration says refresh: true", "OpenID Connect Core §11", "IdP: say which scope brings a refresh token; many give one without offline_access."},
	"login.pkce":                {"PKCE with S256", "RFC 9700 §2.1.1, RFC 7636 §4.2", "IdP: support PKCE with S256 and name it in code_challenge_methods_supported; fedbroker sends it always."},
	"login.pkce_plain":          {"S256 alone", "RFC 9700 §2.1.1", "IdP: switch PKCE's method plain off."},
	"login.auth_method":         {"an authentication method that fedbroker has", discovery3, "IdP: allow one of {}; fedbroker: or set auth_method to one that is offered."},
	"login.private_key_jwt":     {"private_key_jwt", "RFC 9700 §2.5", "IdP: offer private_key_jwt: a secret that is never sent can't be taken on its way."},
	"login.assertion_algorithm": {"the algorithms of client assertions, none not among them, where private_key_jwt is offered", discovery3, "IdP: publish token_endpoint_auth_signing_alg_values_supported; fedbroker signs with what fits its key."},
	"login.subject_type":        {"subject type public", "OpenID Connect Core §8", "Nothing; pairwise subjects are other ones for each client: with another client_id all people are new."},
	"login.openid":              {"scope openid", discovery3, "IdP: name scope openid; without it there is no ID token."},
	"login.scopes":              {"the scopes that a login asks for: openid, profile, email by default", discovery3, "fedbroker: set scopes to what is offered; IdP: or name all scopes in scopes_supported."},
	"login.claims":              {"the claims that the broker reads: sub, and of people name and email with email_verified", discovery3, "IdP: name them in claims_supported; without email_verified an address is issued as unverified."},
	"login.userinfo":            {"a userinfo endpoint", "OpenID Connect Core §5.3", "IdP: put what fedbroker is to know of people into the ID token."},
	"logout.end_session":        {"an end_session_endpoint", "OpenID Connect RP-Initiated Logout §2.1", "Nothing; people who sign out of their apps stay signed in at the provider."},
	"logout.backchannel":        {"to know whether logouts are told to servers", "OpenID Connect Back-Channel Logout §2.1", "Nothing to register: fedbroker takes no logout tokens; its sessions end by themselves or by fedbroker revoke."},
	"logout.frontchannel":       {"to know whether logouts are told by browsers", "OpenID Connect Front-Channel Logout §3", "Nothing to register: fedbroker takes part in no front-channel logout."},
}
