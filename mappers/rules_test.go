package mappers_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"fedbroker/mappers"
)

// mail is a chain without steps that may vouch for acme.example.
func mail(domains ...string) mappers.Options { return mappers.Options{EmailDomains: domains} }

func TestP5_EmailVerifiedOnlyInsideItsDomains(t *testing.T) {
	for _, tt := range []struct {
		address string
		want    bool
	}{
		{"alice@acme.example", true},
		{"Alice@ACME.example", true},
		{"alice@sub.acme.example", false},
		{"alice@acme.example.evil", false},
		{"alice@evilacme.example", false},
		{"alice@acme.example.", false},
		{"alice@acme.exampl\u212A", false}, // KELVIN SIGN folds to k
		{"alice@acme\u3002example", false}, // IDEOGRAPHIC FULL STOP
		{"alice@\uff41cme.example", false}, // FULLWIDTH a
		{"ceo@evil.example@acme.example", false},
		{`"ceo@evil.example"@acme.example`, false},
		{"alice@acme.example@evil.example", false},
		{"@acme.example", false},
		{"acme.example", false},
		{"alice@", false},
		{"", false},
		{"alice @acme.example", false},
		{"alice\x00@acme.example", false},
		{"alice@acme.example\n", false},
		{" alice@acme.example", false},
		{"alice@acme.example,bob@evil.example", false},
		{"bob@evil.example", false},
	} {
		r := run(t, mail("acme.example", "k.example"), mappers.Claims{"email": tt.address, "email_verified": true})
		if r.Principal["email_verified"] != tt.want || r.Principal["email"] != tt.address {
			t.Errorf("%q: want it issued, verified %v, got %v", tt.address, tt.want, r.Principal)
		}
	}
	r := run(t, mail("ACME.Example"), mappers.Claims{"email": "a@acme.example", "email_verified": true})
	if r.Principal["email_verified"] != true {
		t.Error("case of a configured domain does not matter")
	}
}

func TestP5_EmailVerifiedOnlyIfTheUpstreamSaysSo(t *testing.T) {
	for _, tt := range []struct {
		said, want any
	}{
		{true, true}, {"true", true}, {false, false}, {"false", false}, {"True", false}, {"1", false}, {int64(1), false},
		{[]any{true}, false}, {map[string]any{}, false}, {nil, false}, {json.Number("1"), false},
	} {
		for _, o := range []mappers.Options{mail("acme.example"), {EmailAny: true}} {
			r := run(t, o, mappers.Claims{"email": "a@acme.example", "email_verified": tt.said})
			if r.Principal["email_verified"] != tt.want {
				t.Errorf("said %#v: want %v, got %v", tt.said, tt.want, r.Principal["email_verified"])
			}
		}
	}
	r := run(t, mail("acme.example"), mappers.Claims{"email": "a@acme.example"})
	if r.Principal["email_verified"] != false {
		t.Errorf("nothing said: want false, got %v", r.Principal)
	}
	for _, address := range []any{nil, int64(5), []any{"a@acme.example"}} {
		r := run(t, mail("acme.example"), mappers.Claims{"email": address, "email_verified": true})
		if _, issued := r.Principal["email"]; issued || r.Principal["email_verified"] != false {
			t.Errorf("address %v: want none, and not verified, got %v", address, r.Principal)
		}
	}
	if r := run(t, mail("acme.example"), mappers.Claims{"email_verified": true}); r.Principal["email_verified"] != false {
		t.Errorf("no address: want false, got %v", r.Principal)
	}
}

func TestP5_NoDomainsVouchForNothing(t *testing.T) {
	r := run(t, mail(), mappers.Claims{"email": "a@acme.example", "email_verified": true})
	if r.Principal["email_verified"] != false {
		t.Errorf("want false, got %v", r.Principal)
	}
}

func TestP5_AnyMustBeWrittenAndStillWantsOneAddress(t *testing.T) {
	o := mappers.Options{EmailAny: true}
	for address, want := range map[string]bool{"a@x.example": true, "a@b@x.example": false, "a": false, "a@": false, "a@ü.example": false} {
		r := run(t, o, mappers.Claims{"email": address, "email_verified": true})
		if r.Principal["email_verified"] != want {
			t.Errorf("%q: want %v, got %v", address, want, r.Principal)
		}
	}
}

func TestP5_DomainsAreCheckedAtLoad(t *testing.T) {
	for _, domain := range []string{"", ".", "acme..example", ".acme.example", "acme.example.", "münchen.example", "*.acme.example", "a@acme.example", "acme example"} {
		got := problems(mappers.Options{Upstream: "acme", EmailDomains: []string{"ok.example", domain}})
		if len(got) != 1 || !strings.HasPrefix(got[0], "email_domains[1]: want a domain name") {
			t.Errorf("%q: got %q", domain, got)
		}
	}
}

func TestP5_MappersCannotGiveVerification(t *testing.T) {
	yes := mappers.Spec{Kind: "cel", Claim: "email_verified", Expression: `true`}
	mailTo := mappers.Spec{Kind: "rename", From: "mail", To: "email"}
	for _, tt := range []struct {
		name   string
		specs  []mappers.Spec
		claims mappers.Claims
		want   bool
	}{
		{"cel says true", []mappers.Spec{yes}, mappers.Claims{"email": "a@evil.example", "email_verified": true}, false},
		{"cel says true, upstream false", []mappers.Spec{yes}, mappers.Claims{"email": "a@acme.example", "email_verified": false}, false},
		{"renamed true", []mappers.Spec{{Kind: "rename", From: "x", To: "email_verified"}}, mappers.Claims{"email": "a@acme.example", "x": true}, false},
		{"another address", []mappers.Spec{mailTo}, mappers.Claims{"email": "a@acme.example", "email_verified": true, "mail": "ceo@acme.example"}, false},
		{"another address, then true", []mappers.Spec{mailTo, yes}, mappers.Claims{"email": "a@acme.example", "email_verified": true, "mail": "ceo@acme.example"}, false},
		{"true, then another address", []mappers.Spec{yes, mailTo}, mappers.Claims{"email": "a@acme.example", "email_verified": true, "mail": "ceo@acme.example"}, false},
		{"address that the upstream did not send", []mappers.Spec{mailTo, yes}, mappers.Claims{"email_verified": true, "mail": "a@acme.example"}, false},
		{"address of another type", []mappers.Spec{mailTo}, mappers.Claims{"email": "a@acme.example", "email_verified": true, "mail": []any{"a"}}, false},
		{"the same address", []mappers.Spec{mailTo}, mappers.Claims{"email": "a@acme.example", "email_verified": true, "mail": "a@acme.example"}, true},
		{"taken away", []mappers.Spec{{Kind: "set", Claim: "email_verified", Value: false}}, mappers.Claims{"email": "a@acme.example", "email_verified": true}, false},
		{"taken away for good", []mappers.Spec{{Kind: "set", Claim: "email_verified", Value: false}, {Kind: "rename", From: "email", To: "email"}}, mappers.Claims{"email": "a@acme.example", "email_verified": true}, false},
		{"untouched", nil, mappers.Claims{"email": "a@acme.example", "email_verified": "true"}, true},
	} {
		o := mail("acme.example")
		o.Specs = tt.specs
		if r := run(t, o, tt.claims); r.Principal["email_verified"] != tt.want {
			t.Errorf("%s: want %v, got %v", tt.name, tt.want, r.Principal)
		}
	}
	set := mappers.Options{Upstream: "acme", Specs: []mappers.Spec{{Kind: "set", Claim: "email_verified", Value: true}}}
	if got := problems(set); len(got) != 1 || !strings.HasPrefix(got[0], "mappers[0].value: want false") {
		t.Errorf("set to true: got %q", got)
	}
}

func TestP5_OwnedClaimsArePrefixedWhicheverStepMadeThem(t *testing.T) {
	claims := mappers.Claims{"g": []any{"admin", "admin"}, "s": "admin"}
	for _, claim := range []string{"groups", "roles", "entitlements"} {
		for name, spec := range map[string]mappers.Spec{
			"rename":        {Kind: "rename", From: "g", To: claim},
			"rename string": {Kind: "rename", From: "s", To: claim},
			"set":           {Kind: "set", Claim: claim, Value: "admin"},
			"set list":      {Kind: "set", Claim: claim, Value: []any{"admin"}},
			"cel":           {Kind: "cel", Claim: claim, Expression: `claims.g`},
			"lookup":        {Kind: "lookup", From: "s", To: claim, Table: map[string]any{"admin": "admin"}},
		} {
			r := run(t, specs(spec), claims)
			if want := []any{"acme:admin"}; !reflect.DeepEqual(r.Principal[claim], want) {
				t.Errorf("%s %s: want %v, got %v", name, claim, want, r.Principal[claim])
			}
		}
	}
	r := run(t, specs(mappers.Spec{Kind: "rename", From: "g", To: "roles"}, mappers.Spec{Kind: "groups", From: "roles"}), claims)
	if !reflect.DeepEqual(r.Principal["groups"], []any{"acme:admin"}) {
		t.Errorf("prefixed once: got %v", r.Principal["groups"])
	}
	r = run(t, specs(mappers.Spec{Kind: "set", Claim: "groups", Value: "acme:admin"}), nil)
	if !reflect.DeepEqual(r.Principal["groups"], []any{"acme:acme:admin"}) {
		t.Errorf("a value that looks prefixed is prefixed, too: got %v", r.Principal["groups"])
	}
	for _, value := range []string{`5`, `{"a": "b"}`, `[["a"]]`, `["a", 5]`, `true`} {
		c := chain(t, specs(mappers.Spec{Kind: "cel", Claim: "roles", Expression: value}))
		if r, err := c.Run(nil, nil); err == nil {
			t.Errorf("roles of %s: want an error, got %v", value, r.Principal)
		}
	}
}

func TestP5_PrefixOfGroupsIsTheMappersToChoose(t *testing.T) {
	r := run(t, specs(
		mappers.Spec{Kind: "rename", From: "g", To: "roles"},
		mappers.Spec{Kind: "groups", From: "g", Prefix: ptr("")},
	), mappers.Claims{"g": "x"})
	want := mappers.Claims{"groups": []any{"x"}, "roles": []any{"acme:x"}}
	if !reflect.DeepEqual(r.Principal, want) {
		t.Errorf("want %v, got %v", want, r.Principal)
	}
	two := mappers.Options{Upstream: "acme", Specs: []mappers.Spec{{Kind: "groups", Prefix: ptr("")}, {Kind: "groups", From: "x", Prefix: ptr("p:")}}}
	if got := problems(two); len(got) != 1 || !strings.HasPrefix(got[0], "mappers[1].prefix: want one prefix") {
		t.Errorf("two prefixes: got %q", got)
	}
}

func TestP5_NameIsRequiredForAPrefix(t *testing.T) {
	if got := problems(mappers.Options{}); len(got) != 1 || !strings.HasPrefix(got[0], "name: ") {
		t.Errorf("got %q", got)
	}
}

func TestP5_CheckLearnsWhoCanEmitWhat(t *testing.T) {
	emits := func(name string, s ...mappers.Spec) []mappers.Emission {
		return chain(t, mappers.Options{Upstream: name, Specs: s}).Emits()
	}
	acme := emits("acme", mappers.Spec{Kind: "groups"}, mappers.Spec{Kind: "rename", From: "r", To: "roles"}, mappers.Spec{Kind: "set", Claim: "x", Value: 1})
	if want := []mappers.Emission{{Claim: "groups", Prefix: "acme:"}, {Claim: "roles", Prefix: "acme:"}}; !slices.Equal(acme, want) {
		t.Errorf("want %v, got %v", want, acme)
	}
	if none := emits("acme", mappers.Spec{Kind: "set", Claim: "x", Value: 1}); len(none) != 0 {
		t.Errorf("want none, got %v", none)
	}
	bare := emits("bare", mappers.Spec{Kind: "groups", Prefix: ptr("")})[0]
	thief := emits("thief", mappers.Spec{Kind: "groups", Prefix: ptr("acme:eng-")})[0]
	acme2 := emits("acme2", mappers.Spec{Kind: "groups"})[0]
	for _, tt := range []struct {
		a, b mappers.Emission
		want bool
	}{{acme[0], bare, true}, {acme[0], thief, true}, {thief, acme[0], true}, {acme[0], acme2, false}, {acme[1], bare, false}} {
		if got := tt.a.Overlaps(tt.b); got != tt.want {
			t.Errorf("%v and %v: want %v, got %v", tt.a, tt.b, tt.want, got)
		}
	}
}

// reservedNames are P7's, copied from the contract.
var reservedNames = strings.Fields(`iss sub aud exp nbf iat jti scope client_id act may_act cnf nonce acr amr azp auth_time sid at_hash c_hash
	s_hash typ upstream authorization_details events active username token_type sub_id resource origin_exp lin _claim_names _claim_sources`)

func TestP7_ReservedClaimsAreRefused(t *testing.T) {
	if len(reservedNames) != 34 {
		t.Fatalf("want 34 names, got %d", len(reservedNames))
	}
	for _, name := range reservedNames {
		for _, written := range []string{name, strings.ToUpper(name), " " + name, name + "\t", strings.ToUpper(name[:1]) + name[1:]} {
			if !mappers.Reserved(written) {
				t.Errorf("%q: want it reserved", written)
			}
			for _, spec := range []mappers.Spec{
				{Kind: "set", Claim: written, Value: "x"},
				{Kind: "cel", Claim: written, Expression: `"x"`},
				{Kind: "rename", From: "x", To: written},
				{Kind: "lookup", From: "x", To: written, Table: map[string]any{"a": "b"}},
			} {
				got := problems(mappers.Options{Upstream: "acme", Specs: []mappers.Spec{spec}})
				if len(got) != 1 || !strings.Contains(got[0], "want a name that is not reserved") {
					t.Errorf("%s %q: got %q", spec.Kind, written, got)
				}
			}
		}
	}
	for _, name := range []string{"email", "groups", "tenant", "subject", "\u017Fub", "s ub", ""} {
		if mappers.Reserved(name) {
			t.Errorf("%q: want it free", name)
		}
	}
}

func TestP7_ReservedClaimsDoNotPass(t *testing.T) {
	in := mappers.Claims{}
	for _, name := range reservedNames {
		in[name] = "x"
	}
	if r := run(t, specs(), in); len(r.Principal) != 0 {
		t.Errorf("want nothing, got %v", r.Principal)
	}
}

func TestP7_ClaimNamesMatchThePattern(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "_": true, "A1": true, "https://claims.example/x": true, "urn:x:y-z.1": true, strings.Repeat("a", 64): true,
		"": false, "1a": false, ":a": false, "/a": false, "-a": false, ".a": false, "a b": false, "a\n": false, "\na": false, "ä": false, "a$": false,
		"a#": false, "a?x": false, "a\x00": false, strings.Repeat("a", 65): false, "groups ": false,
	} {
		if got := mappers.ValidClaimName(name); got != want {
			t.Errorf("%q: want %v, got %v", name, want, got)
		}
		got := problems(mappers.Options{Upstream: "acme", Specs: []mappers.Spec{{Kind: "set", Claim: name, Value: "x"}}})
		if (len(got) == 0) != want {
			t.Errorf("set %q: want accepted %v, got %q", name, want, got)
		}
	}
}

func TestP29_MappersSeeEmailOnlyIfVerified(t *testing.T) {
	unverified := mappers.Claims{"email": "ceo@evil.example", "email_verified": true}
	for _, tt := range []struct {
		spec mappers.Spec
		want string // of claim x; "" for nothing
	}{
		{mappers.Spec{Kind: "cel", Claim: "x", Expression: `has(claims.email) ? claims.email : "absent"`}, "absent"},
		{mappers.Spec{Kind: "cel", Claim: "x", Expression: `str(claims.email_verified)`}, "false"},
		{mappers.Spec{Kind: "lookup", From: "email", To: "x", Table: map[string]any{"ceo@evil.example": "boss"}}, ""},
		{mappers.Spec{Kind: "rename", From: "email", To: "x"}, ""},
		{mappers.Spec{Kind: "rename", From: "/email", To: "x"}, ""},
	} {
		o := mail("acme.example")
		o.Specs = []mappers.Spec{tt.spec}
		r := run(t, o, unverified)
		if got, _ := r.Principal["x"].(string); got != tt.want {
			t.Errorf("%+v: want %q, got %q", tt.spec, tt.want, got)
		}
		if r.Principal["email"] != "ceo@evil.example" || r.Principal["email_verified"] != false {
			t.Errorf("issued, but not verified: got %v", r.Principal)
		}
	}
}

func TestP29_ViewHidesUnverifiedEmailFromPolicy(t *testing.T) {
	r := run(t, mail("acme.example"), mappers.Claims{"email": "ceo@evil.example", "email_verified": "true", "x": "y"})
	if want := (mappers.Claims{"email_verified": false, "x": "y"}); !reflect.DeepEqual(r.View, want) {
		t.Errorf("want %v, got %v", want, r.View)
	}
	r = run(t, mail("acme.example"), mappers.Claims{"email": "a@acme.example", "email_verified": "true"})
	if want := (mappers.Claims{"email": "a@acme.example", "email_verified": true}); !reflect.DeepEqual(r.View, want) {
		t.Errorf("want %v, got %v", want, r.View)
	}
}

func TestP29_MadeEmailIsHiddenFromLaterStepsUnlessVerified(t *testing.T) {
	for _, tt := range []struct {
		claims mappers.Claims
		want   bool
	}{
		{mappers.Claims{"mail": "ceo@acme.example", "email": "a@acme.example", "email_verified": true}, false},
		{mappers.Claims{"mail": "ceo@acme.example", "email_verified": true}, false},
		{mappers.Claims{"mail": "a@acme.example", "email": "a@acme.example", "email_verified": true}, true},
	} {
		o := mail("acme.example")
		o.Specs = []mappers.Spec{
			{Kind: "cel", Claim: "email_verified", Expression: "true"},
			{Kind: "rename", From: "mail", To: "email"},
			{Kind: "cel", Claim: "seen", Expression: `has(principal.email)`},
			{Kind: "cel", Claim: "said", Expression: `principal.email_verified`},
		}
		r := run(t, o, tt.claims)
		if r.Principal["seen"] != tt.want || r.Principal["said"] != tt.want {
			t.Errorf("%v: want %v, got %v", tt.claims, tt.want, fmt.Sprint(r.Principal))
		}
	}
}
