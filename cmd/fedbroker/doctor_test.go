package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fedbroker/upstreams/upstreamtest"
)

// doctorFolder has a configuration with two upstreams, the IdP's and one that nobody answers for.
func doctorFolder(t *testing.T, idp *upstreamtest.IdP) string {
	t.Helper()
	dir := configFolder(t)
	path := filepath.Join(dir, "fedbroker.yaml")
	text := testConfig + fmt.Sprintf(`upstreams:
  - {name: acme, kind: oidc, issuer: "%s", client_id: fedbroker, client_secret_file: acme.secret, scopes: [openid]}
  - {name: gone, kind: jwt, issuer: "http://127.0.0.1:1", audiences: [a]}
`, idp.Issuer())
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDoctor(t *testing.T) {
	idp := upstreamtest.Must(upstreamtest.Options{})
	t.Cleanup(idp.Close)
	config := doctorFolder(t, idp)
	for name, tc := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"an issuer":           {[]string{idp.Issuer()}, exitDone, []string{"GRADE A " + idp.Issuer(), "<our issuer>/callback/idp"}},
		"with a snippet":      {[]string{idp.Issuer(), "--snippet"}, exitDone, []string{"upstreams:\n  - name: idp", "issuer: \"" + idp.Issuer()}},
		"with our issuer":     {[]string{idp.Issuer(), "--config", config}, exitDone, []string{"http://127.0.0.1:8443/callback/idp"}},
		"a configured one":    {[]string{"acme", "--config", config}, exitDone, []string{"GRADE A acme: ", "http://127.0.0.1:8443/callback/acme", "scopes                 openid\n"}},
		"one that is gone":    {[]string{"gone", "--config", config}, exitFailed, []string{"GRADE F gone: ", "fetch.connect", "1 identity provider failed the examination"}},
		"all":                 {[]string{"--all", "--config", config}, exitFailed, []string{"GRADE A acme: ", "GRADE F gone: "}},
		"a name nobody has":   {[]string{"nobody", "--config", config}, exitUsage, []string{"there is no upstream nobody: want one of acme, gone"}},
		"nobody":              {nil, exitUsage, []string{"want an issuer's URL, the name of an upstream, or --all"}},
		"one and all":         {[]string{"acme", "--all"}, exitUsage, []string{"want an issuer's URL"}},
		"a time that is none": {[]string{"acme", "--timeout", "-1s"}, exitUsage, []string{"--timeout: want more than 0s"}},
		"not an issuer":       {[]string{"http://idp.example"}, exitFailed, []string{"issuer.url"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := inProcess(t, append([]string{"doctor"}, tc.args...)...)
			if code != tc.code {
				t.Errorf("want exit code %d, got %d", tc.code, code)
			}
			for _, want := range tc.want {
				if !strings.Contains(out+errOut, want) {
					t.Errorf("want %q in\n%s%s", want, out, errOut)
				}
			}
		})
	}
}

func TestDoctor_JSON(t *testing.T) {
	idp := upstreamtest.Must(upstreamtest.Options{})
	t.Cleanup(idp.Close)
	type report struct {
		Overall  string
		Upstream string
		Counts   map[string]int
		Findings []struct{ ID, Grade, About, Seen, Want, Source, Fix string }
		Snippet  string
	}
	var one report
	code, out, _ := inProcess(t, "doctor", idp.Issuer(), "--output", "json")
	if err := json.Unmarshal([]byte(out), &one); err != nil || code != exitDone {
		t.Fatalf("exit code %d, %v:\n%s", code, err, out)
	}
	if one.Overall != "A" || one.Counts["fail"] != 0 || one.Counts["ok"] == 0 || len(one.Findings) == 0 || !strings.HasPrefix(one.Snippet, "upstreams:") {
		t.Errorf("got %+v", one)
	}
	for _, f := range one.Findings {
		if f.ID == "" || f.About == "" || f.Want == "" || f.Source == "" || (f.Fix == "") != (f.Grade == "ok") {
			t.Errorf("got %+v", f)
		}
	}
	var all []report
	code, out, _ = inProcess(t, "doctor", "--all", "--output", "json", "--config", doctorFolder(t, idp))
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != exitFailed || len(all) != 2 || all[0].Upstream != "acme" || all[1].Overall != "F" {
		t.Errorf("exit code %d, %v:\n%s", code, err, out)
	}
}

func TestDoctor_PatternsAreExaminedByTheIssuersTheyName(t *testing.T) {
	path := filepath.Join(configFolder(t), "fedbroker.yaml")
	for issuers, want := range map[string]string{"": "names no issuer: examine one of its issuers by its URL", ", issuers: [https://a.idp.invalid]": "GRADE F acme: https://a.idp.invalid"} {
		text := testConfig + "upstreams:\n  - {name: acme, kind: jwt, issuer_pattern: 'https://*.idp.invalid', audiences: [a]" + issuers + "}\n"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, out, errOut := inProcess(t, "doctor", "acme", "--config", path); !strings.Contains(out+errOut, want) {
			t.Errorf("want %q in\n%s%s", want, out, errOut)
		}
	}
}
