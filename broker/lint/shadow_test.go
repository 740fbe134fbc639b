package lint

import "testing"

const (
	first  = "  - {id: first, "
	second = "}\n  - {id: second, "
)

func TestPolicy_Shadowed(t *testing.T) {
	const (
		never = `exchange[1].id: rule "second" never decides: "first" (exchange[0]) before it takes all that it would`
		plain = "subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}"
	)
	for _, tt := range []struct {
		name, first, second string
		want                []string
	}{
		{"the same", plain, plain, []string{never}},
		{"a condition after none", plain, `subject: {upstream: acme, when: claims.x == "a"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, []string{never}},
		{"more of a condition", `subject: {upstream: acme, when: claims.x == "a"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`,
			`subject: {upstream: acme, when: 'claims.y == "b" && "a" == claims.x'}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, []string{never}},
		{"one of several values", `subject: {upstream: acme, when: 'claims.x in ["a", "b"]'}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`,
			`subject: {upstream: acme, when: claims.x == "a"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, []string{never}},
		{"within a prefix", `subject: {upstream: acme, when: claims.x.startsWith("a/")}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`,
			`subject: {upstream: acme, when: claims.x.startsWith("a/b/")}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, []string{never}},
		{"one way of two", `subject: {upstream: acme, when: claims.x == "a" || claims.y == "b"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`,
			`subject: {upstream: acme, when: claims.y == "b"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, []string{never}},
		{"fewer audiences", "subject: {upstream: acme}, requester: {clients: [gateway, batch]}, grant: {audiences: [orders, billing]}", plain, []string{never}},
		{"an upstream's, after all of ours", "subject: {issued: true}, requester: {clients: [orders-api]}, grant: {audiences: [billing]}",
			"subject: {issued: true, upstream: acme}, requester: {clients: [orders-api]}, grant: {audiences: [billing]}", []string{never}},
		{"a rule that is tried out", plain, "mode: audit, " + plain, []string{never}},
		{"the same actor", "subject: {upstream: acme}, requester: {clients: [batch]}, actor: {required: true}, grant: {audiences: [orders]}",
			`subject: {upstream: acme}, requester: {clients: [batch]}, actor: {required: true, when: actor.x == "1"}, grant: {audiences: [orders]}`, []string{never}},
		{"some clients", plain, "subject: {upstream: acme}, requester: {clients: [batch, gateway]}, grant: {audiences: [orders]}",
			[]string{`exchange[1].requester.clients: rule "second" never decides for "gateway": "first" (exchange[0]) before it takes all that it would`}},
		{"some audiences", plain, "subject: {upstream: acme}, requester: {clients: [batch, gateway]}, grant: {audiences: [billing, orders]}",
			[]string{`exchange[1].grant.audiences: rule "second" never decides for gateway at "orders": "first" (exchange[0]) before it does`}},

		{"less of a condition", `subject: {upstream: acme, when: claims.x == "a"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, plain, []string{}},
		{"another condition", `subject: {upstream: acme, when: claims.x == "a"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`,
			`subject: {upstream: acme, when: claims.x == "b"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, []string{}},
		{"the opposite", `subject: {upstream: acme, when: claims.x == "a"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`,
			`subject: {upstream: acme, when: claims.x != "a"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, []string{}},
		{"a longer prefix first", `subject: {upstream: acme, when: claims.x.startsWith("a/b/")}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`,
			`subject: {upstream: acme, when: claims.x.startsWith("a/")}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, []string{}},
		{"a text that has the number's digits", `subject: {upstream: acme, when: claims.x == 5}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`,
			`subject: {upstream: acme, when: claims.x == "5"}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, []string{}},
		{"another upstream", plain, "subject: {upstream: ci}, requester: {clients: [gateway]}, grant: {audiences: [orders]}", []string{}},
		{"ours and theirs", "subject: {issued: true, upstream: acme}, requester: {clients: [orders-api]}, grant: {audiences: [orders]}",
			"subject: {upstream: acme}, requester: {clients: [orders-api]}, grant: {audiences: [orders]}", []string{}},
		{"all of ours, after an upstream's", "subject: {issued: true, upstream: acme}, requester: {clients: [orders-api]}, grant: {audiences: [billing]}",
			"subject: {issued: true}, requester: {clients: [orders-api]}, grant: {audiences: [billing]}", []string{}},
		{"another audience", plain, "subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [billing]}", []string{}},
		{"another token type", "subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders], token_types: [jwt]}",
			plain, []string{}},
		{"what is tried out stands before nothing", "mode: audit, " + plain, plain, []string{}},
		{"delegation after impersonation", "subject: {upstream: acme}, requester: {clients: [batch]}, grant: {audiences: [orders]}",
			"subject: {upstream: acme}, requester: {clients: [batch]}, actor: {required: true}, grant: {audiences: [orders]}", []string{}},
		{"any actor, after a certain one", `subject: {upstream: acme}, requester: {clients: [batch]}, actor: {required: true, when: actor.x == "1"}, grant: {audiences: [orders]}`,
			"subject: {upstream: acme}, requester: {clients: [batch]}, actor: {required: true}, grant: {audiences: [orders]}", []string{}},
		{"another actor", "subject: {upstream: acme}, requester: {clients: [batch]}, actor: {required: true, upstream: ci}, grant: {audiences: [orders]}",
			"subject: {upstream: acme}, requester: {clients: [batch]}, actor: {required: true, upstream: acme}, grant: {audiences: [orders]}", []string{}},
		{"any actor of ours, after the requester itself", "subject: {upstream: acme}, requester: {clients: [batch]}, actor: {required: true}, grant: {audiences: [orders]}",
			"subject: {upstream: acme}, requester: {clients: [batch]}, actor: {required: true, issued: true}, grant: {audiences: [orders]}", []string{}},
		{"within what is refused", `subject: {upstream: acme, when: '!claims.x.startsWith("a/")'}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`,
			`subject: {upstream: acme, when: claims.x.startsWith("a/b/")}, requester: {clients: [gateway]}, grant: {audiences: [orders]}`, []string{}},
		{"public clients", "subject: {upstream: acme}, requester: {clients: [spa]}, grant: {audiences: [orders]}",
			"subject: {upstream: acme}, requester: {clients: [spa], public_clients: true}, grant: {audiences: [orders]}",
			[]string{`exchange[0].requester.clients[0]: spa can't use rule "first": it is public, and the rule lacks public_clients: true`}},
		{"subjects that are bound", plain, "bound_subject: accept, " + plain, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			compare(t, warnings(t, first+tt.first+second+tt.second+"}\n"), tt.want)
		})
	}
}

// Two rules together can leave nothing to a third.
func TestPolicy_ShadowedTogether(t *testing.T) {
	got := warnings(t, `  - {id: a, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders]}}
  - {id: b, subject: {upstream: acme}, requester: {clients: [batch]}, grant: {audiences: [orders]}}
  - {id: c, subject: {upstream: acme}, requester: {clients: [gateway, batch]}, grant: {audiences: [orders]}}
`)
	compare(t, got, []string{`exchange[2].id: rule "c" never decides: "a" (exchange[0]) or "b" (exchange[1]) before it takes all that it would`})
}
