package spec_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"fedbroker/upstreams/spec"
)

func TestUnionsReadEachForm(t *testing.T) {
	u, err := decode(t, `
name: acme
subject: tid
email_domains: any
audiences: [plain, {value: gw, requesters: [gateway]}]
accept_typ: []
leeway: 0s
`)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(u.Subject, spec.Claims{"tid"}) || !u.EmailDomains.Any || len(u.Audiences) != 2 || u.Audiences[0].Value != "plain" ||
		u.Audiences[0].Requesters != nil || !slices.Equal(u.Audiences[1].Requesters, []string{"gateway"}) {
		t.Errorf("got %+v", u)
	}
	if u.AcceptTyp == nil || len(*u.AcceptTyp) != 0 || u.Leeway == nil || *u.Leeway != 0 {
		t.Errorf("what is written as nothing is not absent: %+v", u)
	}
	u, err = decode(t, "{subject: [tid, oid], email_domains: [a.example]}")
	if err != nil || !slices.Equal(u.Subject, spec.Claims{"tid", "oid"}) || u.EmailDomains.Any || !slices.Equal(u.EmailDomains.Names, []string{"a.example"}) {
		t.Errorf("got %+v, %v", u, err)
	}
}

func decode(t *testing.T, text string) (spec.Upstream, error) {
	t.Helper()
	var u spec.Upstream
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	err := d.Decode(&u)
	return u, err
}

func TestUnionsRefuseOtherForms(t *testing.T) {
	for _, text := range []string{
		"email_domains: all", "email_domains: {any: true}", "email_domains: {names: [a.example]}", "subject: {claim: sub}",
		"audiences: [{value: x, requester: [y]}]", "audiences: [[x]]",
	} {
		if u, err := decode(t, text); err == nil {
			t.Errorf("%s: got %+v", text, u)
		}
	}
}

func TestUnionsAreWrittenAsTheyAreRead(t *testing.T) {
	leeway := time.Minute
	want := spec.Upstream{Name: "acme", Kind: "jwt", Subject: spec.Claims{"tid", "oid"}, EmailDomains: &spec.EmailDomains{Any: true}, Leeway: &leeway,
		Audiences: []spec.Audience{{Value: "plain"}, {Value: "gw", Requesters: []string{"gateway"}}}}
	text, err := yaml.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decode(t, string(text))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s\ngot %+v, %v", text, got, err)
	}
	want.EmailDomains = &spec.EmailDomains{Names: []string{"a.example"}}
	if text, err = yaml.Marshal(want); err != nil || !strings.Contains(string(text), "- a.example") {
		t.Errorf("%s, %v", text, err)
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	const value = "correct-horse"
	u := spec.Upstream{ClientSecret: value, Introspection: &spec.Introspection{ClientSecret: value}}
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	logger.Info("x", "secret", u.ClientSecret, "spec", u)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", u.ClientSecret, "spec", u)
	asJSON, err := json.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(u)
	if err != nil {
		t.Fatal(err)
	}
	shown := log.String() + string(asJSON) + string(asYAML)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		shown += fmt.Sprintf(verb+verb+verb, u, u.ClientSecret, &u.ClientSecret)
	}
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), fmt.Sprint([]byte(value))} {
		if strings.Contains(shown, form) {
			t.Errorf("%q is shown:\n%s", form, shown)
		}
	}
	if !strings.Contains(string(asYAML), "client_secret: '[redacted]'") && !strings.Contains(string(asYAML), `client_secret: "[redacted]"`) {
		t.Errorf("want the redaction in YAML, got %s", asYAML)
	}
	if u.ClientSecret.Reveal() != value || spec.Secret("").String() != "" {
		t.Error("the value is lost, or a missing one hidden")
	}
}

func TestUnservedNamesWhatNothingReads(t *testing.T) {
	full := spec.Upstream{Name: "a", Kind: "oidc", Issuer: "https://a.example", ClientID: "c", ClientSecret: "s", ResponseMode: "form_post",
		TrustPrompt: true, Linking: true, Refresh: true, Introspection: &spec.Introspection{}, Domains: []string{"a.example"}}
	want := []string{"linking"}
	if got := full.Unserved(); !slices.Equal(got, want) {
		t.Errorf("want %v, got %v", want, got)
	}
	if got := (spec.Upstream{Name: "a", Kind: "jwt", Issuer: "https://a.example", Audiences: []spec.Audience{{Value: "x"}}}).Unserved(); got != nil {
		t.Errorf("want none, got %v", got)
	}
}

func TestP28_PatternSyntax(t *testing.T) {
	for _, tc := range []struct {
		pattern string
		ok      bool
	}{
		{"https://oidc.eks.*.amazonaws.com/id/*", true},
		{"https://login.microsoftonline.com/*/v2.0", true},
		{"https://*.idp.example.co.uk", true},
		{"https://idp.example:8443/*", true},
		{"https://*.example.com", true},
		{"https://127.0.0.1:8443/*", true},
		{"http://127.0.0.1:8080/*", true},
		{"http://localhost/*/x", true},
		{"http://*.localhost/x", false},
		{"https://*.0.0.1", false},
		{"https://*.0.0.1:80", false},
		{"https://[::1]/*", true},
		{"https://*.com", false},
		{"https://*.co.uk", false},
		{"https://*.github.io", false},
		{"https://a.*.com", false},
		{"https://*", false},
		{"https://*/x", false},
		{"https://idp.example", false},
		{"http://idp.example/*", false},
		{"*://idp.example/x", false},
		{"https://idp-*.example.com", false},
		{"https://idp.example/a*", false},
		{"https://idp.example/**", false},
		{"https://idp.example:*/x", false},
		{"https://*@idp.example/x", false},
		{"https://idp.example/?t=*", false},
		{"https://idp.example/#*", false},
		{"https://idp.example/*/*/*/*/*", false},
		{"https://idp.example/" + strings.Repeat("a", 300) + "/*", false},
	} {
		u := spec.Upstream{Name: "a", Kind: "k", IssuerPattern: tc.pattern}
		found := 0
		spec.Judge(u, spec.Options{Kinds: map[string]spec.Kind{"k": {Check: func(*spec.Check) {}}}}, func(string, string, ...any) { found++ })
		if (found == 0) != tc.ok {
			t.Errorf("%s: want ok %v, got %d problems", tc.pattern, tc.ok, found)
		}
	}
}

func TestP28_OneSegmentPerWildcard(t *testing.T) {
	const pattern = "https://oidc.*.idp.example/id/*"
	for _, tc := range []struct {
		issuer string
		ok     bool
	}{
		{"https://oidc.eu-1.idp.example/id/A_b-9", true},
		{pattern, true},
		{"https://oidc.*.idp.example/id/x", true},
		{"https://oidc.eu.1.idp.example/id/x", false},
		{"https://oidc.eu.idp.example/id/x/y", false},
		{"https://oidc.eu.idp.example/id/x.y", false},
		{"https://oidc.eu.idp.example/id/", false},
		{"https://oidc.eu.idp.example/id/x%2e", false},
		{"https://oidc.eu.idp.example/id/x?y", false},
		{"https://oidc.eu.idp.example.evil/id/x", false},
		{"https://evil/https://oidc.eu.idp.example/id/x", false},
		{"https://oidc.é.idp.example/id/x", false},
	} {
		if spec.Overlap(pattern, tc.issuer) != tc.ok || spec.Overlap(tc.issuer, pattern) != tc.ok {
			t.Errorf("%s: want %v", tc.issuer, tc.ok)
		}
	}
}
