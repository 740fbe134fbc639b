package mappers_test

import (
	"testing"

	"fedbroker/mappers"
)

// BenchmarkRun maps a CI job's claims through three steps, one of them an expression.
func BenchmarkRun(b *testing.B) {
	c := mappers.Compile(mappers.Options{Upstream: "acme", EmailDomains: []string{"acme.example"}, Specs: []mappers.Spec{
		{Kind: "require", Expression: `claims.email_verified == true && claims.department == "R&D"`},
		{Kind: "groups", From: "/realm/roles", Keep: []string{"eng-.*"}},
		{Kind: "set", Claim: "tenant", Value: "acme"},
	}}, func(path, format string, args ...any) { b.Fatalf(path+": "+format, args...) })
	claims := mappers.Claims{
		"iss": "https://idp.acme.example", "sub": "alice", "aud": "gateway", "iat": int64(1700000000), "exp": int64(1700000600),
		"email": "alice@acme.example", "email_verified": true, "name": "Alice", "department": "R&D",
		"realm": map[string]any{"roles": []any{"eng-ord", "eng-bil", "all"}},
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Run(claims, nil); err != nil {
			b.Fatal(err)
		}
	}
}
