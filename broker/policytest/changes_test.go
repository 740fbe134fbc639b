package policytest_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fedbroker/broker/policytest"
)

func TestBetween(t *testing.T) {
	const was = `
issuer: https://login.example.com
leeway: 30s
upstreams: [{name: acme, mappers: [{kind: set, claim: a, value: "1"}, {kind: set, claim: b, value: "2"}]}, {name: globex}, {name: old}]
clients: [{id: gateway, audiences: [x]}, {id: batch}]
exchange:
  - {id: a, subject: {upstream: acme, when: x}, requester: {clients: [gateway]}, grant: {audiences: [orders], ttl: 10m}}
  - {id: b, subject: {upstream: acme}, requester: {clients: [batch]}, grant: {audiences: [orders]}}
  - {id: c, subject: {issued: true}, requester: {clients: [gateway]}, actor: {required: true, upstream: acme}, grant: {audiences: [orders]}}
  - {id: gone, subject: {upstream: old}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
`
	for _, tt := range []struct {
		name    string
		replace []string
		want    []string
	}{
		{"nothing", nil, nil},
		{"keys of a rule", []string{"when: x", "when: y", "ttl: 10m", "ttl: 15m"}, []string{`rule a changed [] grant.ttl "10m" "15m"`, `rule a changed [] subject.when "x" "y"`}},
		{"a key that comes", []string{"{audiences: [orders]}}\n  - {id: c", "{audiences: [orders], single_use: true}}\n  - {id: c"}, []string{`rule b changed [] grant.single_use null true`}},
		{"rules come and go", []string{"id: gone", "id: new"}, []string{`rule new added []`, `rule gone removed []`}},
		{"a rule moves to the front", []string{"exchange:\n", "exchange:\n  - {id: gone, subject: {upstream: old}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}\n", "  - {id: gone, subject: {upstream: old}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}\n", ""}, []string{`rule gone moved []`}},
		{"a mapper of an upstream", []string{`value: "2"`, `value: "3"`}, []string{`upstream acme changed [a b c] mappers[1].value "2" "3"`}},
		{"a mapper more", []string{`{kind: set, claim: b, value: "2"}`, ``}, []string{`upstream acme changed [a b c] mappers [{"claim":"a","kind":"set","value":"1"},{"claim":"b","kind":"set","value":"2"}] [{"claim":"a","kind":"set","value":"1"}]`}},
		{"a client", []string{"audiences: [x]", "audiences: [y]"}, []string{`client gateway changed [a c gone] audiences ["x"] ["y"]`}},
		{"upstreams in another order", []string{"{name: globex}, {name: old}", "{name: old}, {name: globex}"}, nil},
		{"something else", []string{"leeway: 30s", "leeway: 0s"}, []string{`other leeway "30s" "0s"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.NewReplacer(tt.replace...).Replace(was)
			c := policytest.Between(decode[any](t, was), decode[any](t, text))
			var got []string
			for what, all := range map[string][]policytest.Entry{"rule": c.Rules, "upstream": c.Upstreams, "client": c.Clients} {
				for _, e := range all {
					line := fmt.Sprintf("%s %s %s %v", what, e.Name, e.Change, e.Rules)
					for _, k := range e.Keys {
						got = append(got, line+" "+key(t, k))
					}
					if len(e.Keys) == 0 {
						got = append(got, line)
					}
				}
			}
			for _, k := range c.Others {
				got = append(got, "other "+key(t, k))
			}
			if !slices.Equal(got, tt.want) || c.None() != (tt.want == nil) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
}

func key(t *testing.T, k policytest.Key) string {
	t.Helper()
	was, err := jsonText(k.Old)
	if err != nil {
		t.Fatal(err)
	}
	is, err := jsonText(k.New)
	if err != nil {
		t.Fatal(err)
	}
	return k.Path + " " + was + " " + is
}

func jsonText(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}
