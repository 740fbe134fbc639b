package jose_test

import (
	"testing"

	"fedbroker/upstreams/jose"
)

const logoutEvents = `{"events":{"http://schemas.openid.net/event/backchannel-logout":{}}}`

func TestP9_ClassByTyp(t *testing.T) {
	for typ, want := range map[string]jose.Class{
		"JWT": jose.ClassJWT, "jwt": jose.ClassJWT, "application/jwt": jose.ClassJWT, "": jose.ClassJWT,
		"at+jwt": jose.ClassAccessToken, "AT+JWT": jose.ClassAccessToken, "application/at+jwt": jose.ClassAccessToken,
		"APPLICATION/AT+JWT": jose.ClassAccessToken,
		"logout+jwt":         jose.ClassLogout, "oauth-id-jag+jwt": jose.ClassIDJAG, "dpop+jwt": jose.ClassDPoP,
		"secevent+jwt": jose.ClassSecurityEvent, "token-introspection+jwt": jose.ClassOther, "JOSE": jose.ClassOther,
		"at+jwt ": jose.ClassOther, "application/application/jwt": jose.ClassOther, "application/": jose.ClassOther,
	} {
		u := parse(t, parts(`{"alg":"ES256","typ":`+jsonText(typ)+`}`, goodPayload))
		if u.Class() != want {
			t.Errorf("typ %q: got %v, want %v", typ, u.Class(), want)
		}
	}
	if u := parse(t, parts(goodHeader, goodPayload)); u.Class() != jose.ClassJWT || u.Typ() != "" {
		t.Errorf("no typ: got %v", u.Class())
	}
	if u := parse(t, parts(`{"alg":"ES256","typ":"application/Foo+JWT"}`, goodPayload)); u.Typ() != "foo+jwt" {
		t.Errorf("got typ %q", u.Typ())
	}
	if got := jose.TypClass("to\u212aen"); got != jose.ClassOther || jose.NormalTyp("to\u212aen") != "to\u212aen" {
		t.Error("a Kelvin sign is folded to k")
	}
}

func TestP9_ClassByMarkers(t *testing.T) {
	for name, tc := range map[string]struct {
		typ, payload string
		want         jose.Class
	}{
		"logout token typed JWT":          {"JWT", logoutEvents, jose.ClassLogout},
		"logout token typed at+jwt":       {"at+jwt", logoutEvents, jose.ClassLogout},
		"logout token, well typed":        {"logout+jwt", logoutEvents, jose.ClassLogout},
		"another event":                   {"JWT", `{"events":{"https://x.example":{}}}`, jose.ClassSecurityEvent},
		"events of the wrong type":        {"JWT", `{"events":null}`, jose.ClassSecurityEvent},
		"htm":                             {"JWT", `{"htm":"POST"}`, jose.ClassDPoP},
		"htu":                             {"", `{"htu":1}`, jose.ClassDPoP},
		"proof, well typed":               {"dpop+jwt", `{"htm":"POST","htu":"x"}`, jose.ClassDPoP},
		"events and htm":                  {"JWT", `{"events":{},"htm":"POST"}`, jose.ClassMixed},
		"proof typed logout":              {"logout+jwt", `{"htm":"POST"}`, jose.ClassMixed},
		"another event typed logout":      {"logout+jwt", `{"events":{}}`, jose.ClassMixed},
		"events in an ID-JAG":             {"oauth-id-jag+jwt", `{"events":{}}`, jose.ClassMixed},
		"events under a typ of upstreams": {"acme+jwt", `{"events":{}}`, jose.ClassMixed},
		"marker names deeper down":        {"JWT", `{"x":{"events":{},"htm":1}}`, jose.ClassJWT},
	} {
		t.Run(name, func(t *testing.T) {
			u := parse(t, parts(`{"alg":"ES256","typ":"`+tc.typ+`"}`, tc.payload))
			if u.Class() != tc.want {
				t.Errorf("got %v, want %v", u.Class(), tc.want)
			}
		})
	}
}

func TestP9_MarkersArePresence(t *testing.T) {
	markers := map[string]jose.Marker{"nonce": jose.MarkerNonce, "act": jose.MarkerActor, "may_act": jose.MarkerMayAct,
		"cnf": jose.MarkerConfirmation, "events": jose.MarkerEvents, "htm": jose.MarkerDPoP, "htu": jose.MarkerDPoP}
	for name, marker := range markers {
		for _, value := range []string{`null`, `{}`, `""`, `[]`, `false`, `{"jkt":"x"}`} {
			u := parse(t, parts(goodHeader, `{"`+name+`":`+value+`}`))
			if !u.Has(marker) {
				t.Errorf("%s: %s is not seen", name, value)
			}
			for other, m := range markers {
				if m != marker && u.Has(m) {
					t.Errorf("%s shows as %s", name, other)
				}
			}
		}
	}
}

func TestP9_ZeroTokenIsOfNoClass(t *testing.T) {
	var u jose.Unverified
	if u.Class() != jose.ClassNone || u.Alg() != "" {
		t.Error("the zero value passes for a token")
	}
	if _, err := u.Verify(goodKeys(t), jose.DefaultAlgorithms()); err == nil {
		t.Error("the zero value verifies")
	}
}
