package doctor_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"fedbroker/upstreams/doctor"
	"fedbroker/upstreams/doctor/findings"
	"fedbroker/upstreams/upstreamtest"
	"fedbroker/upstreams/upstreamtest/trouble"
)

func TestHealthyProviderHasAnA(t *testing.T) {
	c := newClinic(t, upstreamtest.Options{Algorithms: []string{"RS256", "ES256"}})
	if r := c.examine(); r.Overall != findings.OverallA || r.Failed() {
		t.Errorf("got %s, %v", r.Overall, summary(r))
	}
}

func TestAilmentsOfTheWire(t *testing.T) {
	for name, tc := range map[string]struct {
		ail   func(*clinic)
		id    string
		words string
	}{
		"down":                    {func(c *clinic) { c.Down(true) }, "fetch.status", "status 500"},
		"refuses":                 {func(c *clinic) { c.Refuse(true) }, "fetch.transport", "discovery document"},
		"gone":                    {func(c *clinic) { c.Close() }, "fetch.connect", "refused"},
		"truncates":               {func(c *clinic) { c.Truncate(true) }, "fetch.transport", "discovery document"},
		"huge":                    {func(c *clinic) { c.Huge(true) }, "fetch.too_large", "262144"},
		"wrong type":              {func(c *clinic) { c.WrongContentType("text/html") }, "fetch.media_type", "text/html"},
		"redirects inwards":       {func(c *clinic) { c.Redirect("http://10.0.0.1/") }, "fetch.redirect", "another host"},
		"redirects to metadata":   {func(c *clinic) { c.Redirect("http://169.254.169.254/latest") }, "fetch.redirect", "another host"},
		"redirects to itself":     {func(c *clinic) { c.Redirect(c.DiscoveryURL()) }, "fetch.redirect", "too many"},
		"hangs":                   {func(c *clinic) { c.o.Timeout = 20 * time.Millisecond; c.Cleanup(c.Slow()) }, "fetch.timeout", "timed out"},
		"no document":             {func(c *clinic) { c.o.Issuer += "/nowhere" }, "fetch.status", "404"},
		"another issuer":          {func(c *clinic) { c.WrongIssuer("https://other.example") }, "discovery.issuer", "https://other.example"},
		"a slash more":            {func(c *clinic) { c.o.Issuer += "/" }, "discovery.issuer_slash", "write issuer: http://127"},
		"template":                {func(c *clinic) { c.WrongIssuer("https://login.example/{tenantid}/v2.0") }, "discovery.issuer_template", "tenant"},
		"not an address":          {func(c *clinic) { c.o.Issuer = "http://idp.example" }, "issuer.url", "http://idp.example"},
		"private address":         {func(c *clinic) { c.o.Issuer = "https://10.255.255.1" }, "fetch.address", "allow_private: [10.255.255.1]"},
		"keys at a private place": {func(c *clinic) { c.MoveJWKS("https://192.168.7.7/keys") }, "fetch.address", "allow_private: [192.168.7.7]"},
		"keys by http":            {func(c *clinic) { c.MoveJWKS("http://idp.example/keys") }, "endpoint.url", "jwks_uri"},
		"no CA file":              {func(c *clinic) { c.o.CAFile = "/nonexistent/ca.pem" }, "fetch.ca", "ca.pem"},
		"empty set":               {func(c *clinic) { c.EmptySet(true) }, "keys.usable", "0 keys"},
		"clock ahead":             {func(c *clinic) { c.o.Now = shifted(-10 * time.Minute) }, "clock.skew", "ahead of ours, by "},
		"clock behind":            {func(c *clinic) { c.o.Now = shifted(10 * time.Minute) }, "clock.skew", "behind ours, by "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t, upstreamtest.Options{})
			tc.ail(c)
			if r := c.wants(findings.Fail, tc.id, tc.words); r.Overall != findings.OverallF {
				t.Errorf("a failure, and grade %s", r.Overall)
			}
		})
	}
}

func shifted(d time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(d) }
}

func TestAilmentsOfTLS(t *testing.T) {
	idp := upstreamtest.Must(upstreamtest.Options{})
	t.Cleanup(idp.Close)
	for kind, id := range map[trouble.TLS]string{
		trouble.Good: "tls.authority", trouble.Expired: "tls.dates", trouble.Future: "tls.dates", trouble.Cleartext: "fetch.transport", trouble.HangsUp: "fetch.transport",
	} {
		f, err := trouble.New(idp, kind)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Close)
		o := doctor.Options{Issuer: f.URL()}
		if kind == trouble.Expired || kind == trouble.Future {
			o.CAFile = caFile(t, f.CertPEM())
		}
		wants(t, doctor.Examine(t.Context(), o), findings.Fail, id)
	}
}

func TestCertificateForAnotherName(t *testing.T) {
	c := newClinic(t, upstreamtest.Options{TLS: true})
	c.o.CAFile = caFile(t, c.CertPEM())
	c.o.Issuer = strings.Replace(c.o.Issuer, "127.0.0.1", "[::ffff:127.0.0.1]", 1)
	c.o.AllowPrivate = []string{"::ffff:127.0.0.1"}
	r := c.examine()
	if !r.Failed() {
		t.Errorf("got %v", summary(r))
	}
}

func TestCertificateThatEndsSoon(t *testing.T) {
	c := newClinic(t, upstreamtest.Options{TLS: true}) // its certificate lives for a day
	c.o.CAFile = caFile(t, c.CertPEM())
	c.wants(findings.Warn, "tls.expiry", "(0 days)", "renew")
}

func TestAilmentsOfTheDocument(t *testing.T) {
	type change = map[string]any
	for name, tc := range map[string]struct {
		set   change // nil values take a member away
		g     findings.Grade
		id    string
		words string
	}{
		"no token endpoint":       {change{"token_endpoint": nil}, findings.Fail, "discovery.needed", "token_endpoint"},
		"token endpoint a list":   {change{"token_endpoint": []string{"https://a.example"}}, findings.Fail, "discovery.needed", "token_endpoint"},
		"no subject types":        {change{"subject_types_supported": nil}, findings.Warn, "discovery.required", "subject_types_supported"},
		"a list of numbers":       {change{"scopes_supported": []int{1}}, findings.Warn, "discovery.types", "scopes_supported is list of number"},
		"token endpoint by http":  {change{"token_endpoint": "http://idp.example/token"}, findings.Fail, "endpoint.url", "token_endpoint"},
		"fragment":                {change{"token_endpoint": "https://idp.example/token#x"}, findings.Fail, "endpoint.url", "token_endpoint"},
		"token endpoint private":  {change{"token_endpoint": "https://10.1.1.1/token"}, findings.Fail, "fetch.address", "allow_private: [10.1.1.1]"},
		"elsewhere":               {change{"token_endpoint": "https://10.1.1.1/token"}, findings.Note, "endpoint.credential_host", "credential_hosts: [10.1.1.1]"},
		"logout private":          {change{"end_session_endpoint": "https://10.1.1.1/end"}, findings.Warn, "fetch.address", "10.1.1.1"},
		"no PKCE":                 {change{"code_challenge_methods_supported": nil}, findings.Warn, "login.pkce", "none"},
		"PKCE plain alone":        {change{"code_challenge_methods_supported": []string{"plain"}}, findings.Fail, "login.pkce", "plain"},
		"PKCE plain, too":         {change{"code_challenge_methods_supported": []string{"plain", "S256"}}, findings.Note, "login.pkce_plain", "plain"},
		"no code":                 {change{"response_types_supported": []string{"id_token"}}, findings.Fail, "login.response_type", "id_token"},
		"implicit":                {change{"response_types_supported": []string{"code", "id_token token"}}, findings.Note, "login.implicit", "token"},
		"fragments alone":         {change{"response_modes_supported": []string{"fragment"}}, findings.Fail, "login.response_mode", "fragment"},
		"no iss":                  {change{"authorization_response_iss_parameter_supported": nil}, findings.Note, "login.iss", "false"},
		"pushed requests":         {change{"require_pushed_authorization_requests": true}, findings.Fail, "login.par", "true"},
		"signed requests":         {change{"require_signed_request_object": true}, findings.Fail, "login.request_object", "true"},
		"no code grant":           {change{"grant_types_supported": []string{"implicit"}}, findings.Fail, "login.grant", "implicit"},
		"mutual TLS alone":        {change{"token_endpoint_auth_methods_supported": []string{"tls_client_auth"}}, findings.Fail, "login.auth_method", "client_secret_basic"},
		"secrets alone":           {change{"token_endpoint_auth_methods_supported": []string{"client_secret_basic"}}, findings.Note, "login.private_key_jwt", "basic"},
		"assertions by none":      {change{"token_endpoint_auth_signing_alg_values_supported": []string{"none", "RS256"}}, findings.Warn, "login.assertion_algorithm", "none"},
		"assertions of anything":  {change{"token_endpoint_auth_signing_alg_values_supported": nil}, findings.Warn, "login.assertion_algorithm", "none"},
		"HS256 alone":             {change{"id_token_signing_alg_values_supported": []string{"HS256"}}, findings.Fail, "algorithm.common", "HS256"},
		"HS256, too":              {change{"id_token_signing_alg_values_supported": []string{"HS256", "RS256"}}, findings.Note, "algorithm.hmac", "HS256"},
		"RS512 alone":             {change{"id_token_signing_alg_values_supported": []string{"RS512"}}, findings.Fail, "algorithm.configure", "algorithms: [RS512]"},
		"none":                    {change{"id_token_signing_alg_values_supported": []string{"ES256", "none"}}, findings.Warn, "algorithm.none", "none"},
		"no key for it":           {change{"id_token_signing_alg_values_supported": []string{"RS256"}}, findings.Fail, "keys.algorithm", "RS256"},
		"no RS256":                {change{}, findings.Note, "algorithm.rs256", "ES256"},
		"pairwise":                {change{"subject_types_supported": []string{"pairwise"}}, findings.Note, "login.subject_type", "pairwise"},
		"no openid":               {change{"scopes_supported": []string{"email"}}, findings.Fail, "login.openid", "email"},
		"no email":                {change{"scopes_supported": []string{"openid", "profile"}}, findings.Note, "login.scopes", "email"},
		"no scopes":               {change{"scopes_supported": nil}, findings.Note, "login.scopes", "none"},
		"claims unknown":          {change{"claims_supported": nil}, findings.Note, "login.claims", "none"},
		"no userinfo":             {change{"userinfo_endpoint": nil}, findings.Note, "login.userinfo", "none"},
		"no logout":               {change{"end_session_endpoint": nil}, findings.Note, "logout.end_session", "none"},
		"back-channel logout":     {change{"backchannel_logout_supported": true, "backchannel_logout_session_supported": true}, findings.Note, "logout.backchannel", "sid"},
		"front-channel logout":    {change{"frontchannel_logout_supported": true}, findings.Note, "logout.frontchannel", "offered"},
		"DPoP":                    {change{"dpop_signing_alg_values_supported": []string{"ES256"}}, findings.Note, "extras", "DPoP (RFC 9449);"},
		"no RFC 7009":             {change{}, findings.Note, "extras", "without revocation"},
		"what a terminal acts on": {change{"scopes_supported": []string{"openid", "\x1b]0;evil\a"}}, findings.OK, "login.openid", `\x1b]0;evil\a`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClinic(t, upstreamtest.Options{})
			c.AlterDiscovery(func(document map[string]any) {
				for name, value := range tc.set {
					if document[name] = value; value == nil {
						delete(document, name)
					}
				}
			})
			c.wants(tc.g, tc.id, tc.words)
		})
	}
}

// withSet is a provider whose key set is that.
func withSet(t *testing.T, header http.Header, set string) *clinic {
	t.Helper()
	s := serving(t, map[string]http.HandlerFunc{"/keys": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		for name, values := range header {
			w.Header()[name] = values
		}
		_, _ = w.Write([]byte(set))
	}})
	c := newClinic(t, upstreamtest.Options{})
	c.MoveJWKS(s.URL + "/keys")
	return c
}

func TestAilmentsOfKeys(t *testing.T) {
	ec := func(more string) string { return jwkOf(t, more) }
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	strong := new(big.Int).SetBit(big.NewInt(1), 2047, 1)
	for name, tc := range map[string]struct {
		keys  string
		g     findings.Grade
		id    string
		words string
	}{
		"private key":      {ec(`"kid":"a","d":"AQ"`) + "," + ec(`"kid":"b"`), findings.Fail, "keys.private", "keys[0] a"},
		"shared secret":    {`{"kty":"oct","kid":"s","k":"c2VjcmV0"},` + ec(`"kid":"b"`), findings.Fail, "keys.symmetric", "keys[0] s"},
		"weak":             {rsaJWK(weak.N, 65537) + "," + ec(`"kid":"b"`), findings.Warn, "keys.skipped", "shorter than 2048"},
		"weak alone":       {rsaJWK(weak.N, 65537), findings.Fail, "keys.usable", "1 key, 0 usable"},
		"exponent":         {rsaJWK(strong, 3), findings.Warn, "keys.exponent", "1 key"},
		"curve":            {`{"kty":"EC","crv":"secp256k1","kid":"k","x":"AQ","y":"AQ"},` + ec(`"kid":"b"`), findings.Warn, "keys.skipped", "curve not supported"},
		"encryption":       {ec(`"kid":"a","use":"enc"`) + "," + ec(`"kid":"b","use":"sig"`), findings.Note, "keys.encryption", "keys[0] a"},
		"use unclear":      {ec(`"kid":"a","use":"enc"`) + "," + ec(`"kid":"b"`), findings.Warn, "keys.use", "keys[1] b"},
		"use and key_ops":  {ec(`"kid":"a","use":"sig","key_ops":["verify"]`), findings.Note, "keys.use_and_ops", "keys[0] a"},
		"no alg":           {ec(`"kid":"a"`), findings.Note, "keys.alg", "keys[0] a"},
		"alg that lies":    {ec(`"kid":"a","alg":"RS256"`) + "," + ec(`"kid":"b"`), findings.Warn, "keys.skipped", "alg does not fit"},
		"no kid":           {ec(``) + "," + ec(`"kid":"b"`), findings.Warn, "keys.kid", "1 of 2 keys"},
		"no kid, one key":  {ec(``), findings.Note, "keys.kid", "1 of 1 key"},
		"kid twice":        {ec(`"kid":"a"`) + "," + ec(`"kid":"a"`), findings.Warn, "keys.kid_unique", "1 key a"},
		"x5c of another":   {ec(`"kid":"a","x5c":["AQID"]`), findings.Warn, "keys.x5c", "keys[0] a"},
		"member twice":     {`{"kty":"EC","kty":"EC"},` + ec(`"kid":"b"`), findings.Warn, "keys.skipped", "keys[0]: "},
		"odd entries":      {`"x",{},7,` + ec(`"kid":"b"`), findings.Warn, "keys.skipped", "3 keys"},
		"many":             {strings.TrimSuffix(strings.Repeat(ec(`"kid":"a"`)+",", 17), ","), findings.Note, "keys.many", "17"},
		"an evil kid":      {ec(`"kid":"\u001b[31m"`), findings.Note, "keys.alg", `\x1b[31m`},
		"not what is said": {rsaJWK(strong, 65537), findings.Fail, "keys.algorithm", "no key for ES256"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			withSet(t, nil, `{"keys":[`+tc.keys+`]}`).wants(tc.g, tc.id, tc.words)
		})
	}
	for set, words := range map[string]string{`[]`: "not a JSON object", `{"keys":{}}`: "not a list", `{}`: "no member keys", `{"keys":[`: "not valid JSON"} {
		withSet(t, nil, set).wants(findings.Fail, "keys.usable", words)
	}
}

func TestCachingOfKeys(t *testing.T) {
	for control, want := range map[string]struct {
		g  findings.Grade
		id string
	}{
		"":                       {findings.Note, "keys.cache"},
		"no-store":               {findings.Note, "keys.cache_short"},
		"max-age=5":              {findings.Note, "keys.cache_short"},
		"public, max-age=3600":   {findings.OK, "keys.cache"},
		"public, max-age=604800": {findings.Warn, "keys.cache_long"},
	} {
		c := newClinic(t, upstreamtest.Options{})
		c.IdP.CacheControl(control)
		c.wants(want.g, want.id, control)
	}
	withSet(t, http.Header{"Etag": {`"7"`}}, `{"keys":[`+jwkOf(t, `"kid":"a"`)+`]}`).wants(findings.OK, "keys.etag", `"7"`)
}

// jwkOf is a new P-256 key with more members.
func jwkOf(t *testing.T, more string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwk := upstreamtest.JWK(key.Public(), "", "")
	delete(jwk, "kid")
	delete(jwk, "alg")
	delete(jwk, "use")
	text, err := json.Marshal(jwk)
	if err != nil {
		t.Fatal(err)
	}
	if more == "" {
		return string(text)
	}
	return strings.TrimSuffix(string(text), "}") + "," + more + "}"
}

func rsaJWK(n *big.Int, e int64) string {
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"kty":"RSA","kid":"r","n":%q,"e":%q}`, encode(n.Bytes()), encode(big.NewInt(e).Bytes()))
}
