package rules

import (
	"testing"

	"fedbroker/mappers/library"
)

// Rules on different upstreams that write the same condition have one program.
func TestCompile_RulesShareEqualConditions(t *testing.T) {
	rule := func(id, upstream, when string) Spec {
		return Spec{ID: id, Requester: &RequesterSpec{Clients: []string{"app"}}, Subject: &SubjectSpec{Upstream: upstream, When: when},
			Grant: &GrantSpec{Audiences: []string{"api"}, Scopes: []ScopeSpec{{Name: "read"}}}}
	}
	const when = `claims.env == "prod"`
	p := Compile(Options{
		Upstreams: []Upstream{{Name: "acme", Exchange: true}, {Name: "beta", Exchange: true}}, Clients: []Client{{ID: "app"}}, Library: library.New(),
		Rules: []Spec{rule("a", "acme", when), rule("b", "beta", when), rule("c", "beta", when+" && true")},
	}, func(path, format string, args ...any) { t.Errorf(path+": "+format, args...) })
	if p.rules[0].when == nil || p.rules[0].when != p.rules[1].when || p.rules[2].when == p.rules[0].when {
		t.Error("want one program for the first two, another for the third")
	}
}
