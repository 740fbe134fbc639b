package policy

import (
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/mappers/expr"
)

const testTTL = 10 * time.Minute

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

// world is what the rules of the tests may name.
func world() rules.Options {
	return rules.Options{
		AccessTTL: testTTL, Leeway: 30 * time.Second,
		Upstreams: []rules.Upstream{
			{Name: "acme", Exchange: true, Leeway: time.Minute, Emits: []mappers.Emission{{Claim: "groups", Prefix: "acme:"}}},
			{Name: "beta", Exchange: true, Emits: []mappers.Emission{{Claim: "groups", Prefix: "beta:"}, {Claim: "roles", Prefix: "beta:"}}},
			{Name: "github", Exchange: true, Shared: true, OwnerClaims: []string{"repository_owner_id", "enterprise_id"}, ClaimTypes: map[string]expr.Type{"repository_owner_id": expr.String}},
			{Name: "login-only"},
		},
		Clients: []rules.Client{{ID: "gateway"}, {ID: "orders-api"}, {ID: "batch"}, {ID: "spa", Public: true}},
	}
}

func rulesOf(t testing.TB, text string) (specs []rules.Spec) {
	t.Helper()
	if err := yaml.Load([]byte(text), &specs, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	return specs
}

// compile takes rules that are in order.
func compile(t testing.TB, text string) *Policy {
	t.Helper()
	o := world()
	o.Rules = rulesOf(t, text)
	p := Compile(o, func(path, format string, args ...any) { t.Errorf(path+": "+format, args...) })
	if t.Failed() {
		t.FailNow()
	}
	return p
}

// external is a person of acme, ten minutes before their token ends.
func external() *rules.Subject {
	return &rules.Subject{
		Upstream: "acme", UpstreamIssuer: "https://idp.acme.example", UpstreamSubject: "alice", Sub: "acme|alice", Issuer: "https://idp.acme.example",
		Claims: map[string]any{"dept": "R&D"}, Principal: map[string]any{"groups": []any{"acme:orders"}, "tenant": "acme", "name": "Alice", "email": "a@acme.example", "email_verified": true},
		Made: []string{"groups", "name", "tenant"}, Audiences: []string{"gateway-at-acme"},
		IssuedAt: noon.Add(-time.Minute), Expires: noon.Add(10 * time.Minute), AuthTime: noon.Add(-time.Hour), ACR: "gold", AMR: []string{"pwd", "otp"},
		JTI: "j1", Facts: revoke.Facts{TokenID: "tok-ext", Subject: "acme|alice", Upstream: "acme"},
	}
}

// own is the same person by a token of ours, issued to the gateway.
func own(scopes ...string) *rules.Subject {
	claims := map[string]any{"sub": "acme|alice", "groups": []any{"acme:orders"}, "tenant": "acme"}
	return &rules.Subject{
		Own: true, Upstream: "acme", Sub: "acme|alice", ClientID: "gateway", Issuer: "https://broker.example",
		Claims: claims, Principal: claims, Made: []string{"groups", "tenant"}, Scopes: scopes, Audiences: []string{"orders"},
		IssuedAt: noon.Add(-time.Minute), Expires: noon.Add(9 * time.Minute), OriginExpires: noon.Add(20 * time.Minute), AuthTime: noon.Add(-time.Hour),
		ACR: "gold", AMR: []string{"pwd", "otp"}, JTI: "own-1",
		Facts: revoke.Facts{
			TokenID: "own-1", ClientID: "gateway", Subject: "acme|alice", Upstream: "acme", Kid: "k1",
			Lineage: revoke.Lineage{Tokens: []string{"tok-ext"}, Rules: []string{"partner-orders"}},
		},
	}
}

func client(id string) *oauth.Requester { return &oauth.Requester{ClientID: id} }

// by is a request of a client; edit changes it.
func by(s *rules.Subject, q *oauth.Requester, targets ...string) *rules.Request {
	return &rules.Request{Subject: s, Requester: q, Targets: targets, Now: noon}
}

func with(s *rules.Subject, edit func(*rules.Subject)) *rules.Subject {
	edit(s)
	return s
}
