package doctor_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"fedbroker/upstreams/doctor"
	"fedbroker/upstreams/doctor/findings"
)

// FuzzExamine gives a discovery document and a key set: whatever they are, there is a report, and nothing in it moves a terminal.
func FuzzExamine(f *testing.F) {
	seeds := [][2]string{
		{`{"issuer":"{}","jwks_uri":"{}/keys"}`, `{"keys":[{"kty":"RSA","n":"AQ","e":"Aw","kid":"\u001b[2J"}]}`},
		{`{"issuer":"{}/","jwks_uri":["{}/keys"],"token_endpoint":7}`, `{"keys":[{"kty":"oct","k":"c2VjcmV0"},{"kty":"EC","d":1}]}`},
		{`{"issuer":"http://x/{tenantid}","jwks_uri":"{}/keys","code_challenge_methods_supported":"\u202eplain"}`, `{"keys":{}}`},
		{`{"a":1,"a":2}`, `[]`},
		{`{"issuer":"{}","jwks_uri":"{}/keys","scopes_supported":[null,["openid"]],"id_token_signing_alg_values_supported":["none","RS256"]}`,
			`{"keys":[{"kty":"RSA","use":"enc","x5c":["AA",3],"n":"` + strings.Repeat("_", 400) + `","e":"AQAB"}, null, 3, "x"]}`},
		{"", ""},
	}
	for _, s := range seeds {
		f.Add(s[0], s[1])
	}
	if len(seeds) < 6 {
		f.Fatal("the seeds are gone")
	}
	f.Fuzz(func(t *testing.T, document, set string) {
		if strings.Contains(strings.ToLower(document), "https:") {
			t.Skip("it may name somebody; by http loopback alone is reached")
		}
		var issuer string
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			body := set
			if strings.HasPrefix(r.URL.Path, "/.well-known/openid") {
				body = strings.ReplaceAll(document, "{}", issuer)
			}
			_, _ = w.Write([]byte(body))
		}))
		defer s.Close()
		issuer = s.URL
		r := doctor.Examine(t.Context(), doctor.Options{Issuer: issuer})
		if len(r.Findings) == 0 || r.Overall == "" {
			t.Errorf("no report: %+v", r)
		}
		var b strings.Builder
		if err := r.Text(&b, findings.TextOptions{Snippet: true}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(b.String(), "\x1b\a\r\b\u202e") {
			t.Errorf("got %q", b.String())
		}
	})
}
