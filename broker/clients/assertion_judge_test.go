package clients_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/clients"
)

// pod is a good client whose credential is a workload's token.
func pod() clients.Spec {
	return clients.Spec{ID: "pod", GrantTypes: []string{"token-exchange"}, Assertion: &clients.AssertionSpec{
		Upstream: "cluster", Subject: "system:serviceaccount:a:b", Audience: "broker-clients",
	}}
}

// judged judges specs where cluster and twin share an issuer, and wild speaks for many.
func judged(specs ...clients.Spec) (bad []string, texts string) {
	clients.NewRegistry(clients.Options{
		Specs: specs, Issuer: issuer,
		Upstreams: map[string][]string{"acme": {"gw"}, "cluster": {issuer}, "twin": {"exchanged-at-twin"}, "wild": nil},
		Issuers:   map[string]string{"acme": "https://acme.example", "cluster": "https://kubernetes", "twin": "https://kubernetes", "wild": "https://*.example.com"},
	}, func(path, format string, args ...any) {
		bad = append(bad, path)
		texts += path + ": " + fmt.Sprintf(format, args...) + "\n"
	}, nil)
	return bad, texts
}

func TestP24_WhatAnAssertionHasToName(t *testing.T) {
	for _, c := range []change{
		{"good", func(*clients.Spec) {}, ""},
		{"no upstream", func(s *clients.Spec) { s.Assertion.Upstream = "" }, "assertion.upstream"},
		{"unknown upstream", func(s *clients.Spec) { s.Assertion.Upstream = "nobody" }, "assertion.upstream"},
		{"an upstream of many issuers", func(s *clients.Spec) { s.Assertion.Upstream = "wild" }, "assertion.upstream"},
		{"no subject", func(s *clients.Spec) { s.Assertion.Subject = "" }, "assertion.subject"},
		{"no audience", func(s *clients.Spec) { s.Assertion.Audience = "" }, "assertion.audience"},
		{"no age at all", func(s *clients.Spec) { s.Assertion.MaxAge = ptr(time.Duration(0)) }, "assertion.max_age"},
		{"a day", func(s *clients.Spec) { s.Assertion.MaxAge = ptr(24 * time.Hour) }, ""},
		{"too old", func(s *clients.Spec) { s.Assertion.MaxAge = ptr(24*time.Hour + 1) }, "assertion.max_age"},
	} {
		s := pod()
		c.do(&s)
		var want []string
		if c.at != "" {
			want = []string{"clients[0]." + c.at}
		}
		if bad, texts := judged(s); !slices.Equal(bad, want) {
			t.Errorf("%s: problems %q, want %q", c.name, texts, want)
		}
	}
}

func TestP24_AudienceIsNoAudienceOfExchange(t *testing.T) {
	for _, audience := range []string{issuer, "exchanged-at-twin"} {
		s := pod()
		s.Assertion.Audience = audience
		if bad, texts := judged(s); !slices.Equal(bad, []string{"clients[0].assertion.audience"}) {
			t.Errorf("%s: problems %q", audience, texts)
		}
	}
	s := pod()
	s.Assertion.Audience = "gw" // of an upstream with another issuer
	if _, texts := judged(s); texts != "" {
		t.Error(texts)
	}
	if _, _, texts := problems(s); texts != "" {
		t.Errorf("where no issuer is known: %s", texts)
	}
}

func TestP24_OneWorkloadIsOneClient(t *testing.T) {
	second := pod()
	second.ID = "other"
	if bad, texts := judged(pod(), second); !slices.Equal(bad, []string{"clients[1].assertion.subject"}) || !strings.Contains(texts, "client pod") {
		t.Errorf("problems %q", texts)
	}
	for name, differ := range map[string]func(*clients.AssertionSpec){
		"subject":           func(a *clients.AssertionSpec) { a.Subject = "system:serviceaccount:a:c" },
		"subject by case":   func(a *clients.AssertionSpec) { a.Subject = "system:serviceaccount:a:B" },
		"audience":          func(a *clients.AssertionSpec) { a.Audience = "other" },
		"upstream":          func(a *clients.AssertionSpec) { a.Upstream = "acme" },
		"the twin, another": func(a *clients.AssertionSpec) { a.Upstream, a.Audience = "twin", "twin-clients" },
	} {
		second := pod()
		second.ID = "other"
		differ(second.Assertion)
		if _, texts := judged(pod(), second); texts != "" {
			t.Errorf("they differ by %s: %s", name, texts)
		}
	}
}

// Two clusters of one issuer string have keys of their own: a token has to say by its audience whose it is (P10).
func TestP10_AssertionsOfTwinsDifferByAudience(t *testing.T) {
	second := pod()
	second.ID, second.Assertion.Upstream, second.Assertion.Subject = "other", "twin", "system:serviceaccount:x:y"
	if bad, texts := judged(pod(), second); !slices.Equal(bad, []string{"clients[1].assertion.audience"}) {
		t.Errorf("problems %q", texts)
	}
}

func TestP37_AssertionIsTheOnlyCredential(t *testing.T) {
	for name, c := range map[string]struct {
		do func(*clients.Spec)
		at string
	}{
		"a secret":       {func(s *clients.Spec) { s.SecretSHA256 = hash }, "assertion"},
		"keys by URL":    {func(s *clients.Spec) { s.JWKSURI = "https://keys.example.com/" }, "assertion"},
		"keys by file":   {func(s *clients.Spec) { s.JWKSFile = "/keys" }, "assertion"},
		"public":         {func(s *clients.Spec) { s.Public = true }, "assertion"},
		"its own method": {func(s *clients.Spec) { s.AuthMethod = "private_key_jwt" }, ""},
		"basic":          {func(s *clients.Spec) { s.AuthMethod = "client_secret_basic" }, "auth_method"},
		"none":           {func(s *clients.Spec) { s.AuthMethod = "none" }, "auth_method"},
		"the token URL":  {func(s *clients.Spec) { s.AssertionAud = "legacy" }, "assertion_aud"},
	} {
		s := pod()
		c.do(&s)
		var want []string
		if c.at != "" {
			want = []string{"clients[0]." + c.at}
		}
		if bad, texts := judged(s); !slices.Equal(bad, want) {
			t.Errorf("beside %s: problems %q, want %v", name, texts, want)
		}
	}
}
