package policy

import (
	"fedbroker/broker/rules"
	"fmt"
	"testing"
)

// Ten thousand rules must cost what ten do.
func BenchmarkDecideCombine(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			o := world()
			for i := range n {
				o.Rules = append(o.Rules, rules.Spec{
					ID: fmt.Sprint("r", i), Subject: &rules.SubjectSpec{Upstream: "acme", When: `"acme:orders" in principal.groups`},
					Requester: &rules.RequesterSpec{Clients: []string{"gateway"}}, Grant: &rules.GrantSpec{Audiences: []string{fmt.Sprint("aud", i)}, Scopes: []rules.ScopeSpec{{Name: "a"}}},
				})
			}
			p := Compile(o, func(path, format string, args ...any) { b.Fatalf(path+": "+format, args...) })
			s, q := external(), client("gateway")
			in := by(s, q, fmt.Sprint("aud", n-1))
			b.ReportAllocs()
			for b.Loop() {
				d, err := p.Decide(in, nil)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Combine(d); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
