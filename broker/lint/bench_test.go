package lint

import (
	"fmt"
	"testing"

	"fedbroker/broker/clients"
	"fedbroker/broker/rules"
	"fedbroker/broker/settings"
	"fedbroker/upstreams"
)

// BenchmarkPolicy is what reading 10,000 rules on 1,000 upstreams costs, which serve does once.
func BenchmarkPolicy(b *testing.B) {
	const upstreamsCount, rulesEach = 1000, 10
	c := settings.Config{Issuer: "https://login.example.com"}
	for u := range upstreamsCount {
		name := fmt.Sprintf("u%d", u)
		c.Upstreams = append(c.Upstreams, settings.UpstreamSpec{Spec: upstreams.Spec{
			Name: name, Kind: "jwt", Issuer: "https://" + name + ".example", Audiences: []upstreams.Audience{{Value: "fedbroker"}},
		}})
		c.Clients = append(c.Clients, clients.Spec{ID: "c" + name, GrantTypes: []string{tokenExchange}})
		for r := range rulesEach {
			c.Exchange = append(c.Exchange, rules.Spec{
				ID: fmt.Sprintf("%s-%d", name, r), Subject: &rules.SubjectSpec{Upstream: name, When: fmt.Sprintf(`claims.sub == "s%d-%d" && claims.ref.startsWith("refs/heads/release/")`, u, r)},
				Requester: &rules.RequesterSpec{Clients: []string{"c" + name}}, Grant: &rules.GrantSpec{Audiences: []string{"orders"}},
			})
		}
	}
	for b.Loop() {
		Policy(c, func(path, format string, args ...any) { b.Fatalf(path+": "+format, args...) })
	}
}
