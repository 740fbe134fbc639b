package upstreams_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

func TestP20_ActorsBecomeSubjectsOfOurs(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	link := func(sub string, more ...any) map[string]any { return with(map[string]any{"sub": sub}, more...) }
	long := link("a0")
	for range 8 {
		long = link("a", "act", long)
	}
	for _, tc := range []struct {
		name string
		act  any
		want []string
		bad  bool
	}{
		{"one", link("bot"), []string{"acme|bot"}, false},
		{"a chain, the current actor first", link("bot", "iss", idp.Issuer(), "act", link("gw")), []string{"acme|bot", "acme|gw"}, false},
		{"of another issuer", link("bot", "iss", "https://other.example"), nil, true},
		{"an inner one of another issuer", link("bot", "act", link("x", "iss", "https://other.example")), nil, true},
		{"without sub", map[string]any{"iss": idp.Issuer()}, nil, true},
		{"a sub that is no string", map[string]any{"sub": 5}, nil, true},
		{"a member that would be lost", link("bot", "acr", "gold"), nil, true},
		{"no object", "bot", nil, true},
		{"empty", map[string]any{}, nil, true},
		{"nine", long, nil, true},
		{"null", json.RawMessage("null"), nil, true},
		{"an inner null", link("bot", "act", json.RawMessage("null")), nil, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &bench{t, c, b.set}
			raw := idp.Sign(with(idp.Claims("alice", audience), "act", tc.act))
			if tc.bad {
				b.refuses("acme", raw, exchange, upstreams.ReasonClaim)
				return
			}
			if id := b.accepts("acme", raw, exchange); !slices.Equal(id.Actors, tc.want) {
				t.Errorf("got %q", id.Actors)
			}
		})
	}
	may := map[string]any{"sub": "bot", "client_id": "gateway"}
	if id := b.accepts("acme", idp.Sign(with(idp.Claims("alice", audience), "may_act", may)), exchange); !maps.Equal(id.MayAct, may) {
		t.Errorf("may_act: %v", id.MayAct)
	}
	for _, bad := range []any{"bot", map[string]any{"sub": "bot", "x": "y"}, map[string]any{"sub": 5}, map[string]any{"sub": ""}} {
		b.refuses("acme", idp.Sign(with(idp.Claims("alice", audience), "may_act", bad)), exchange, upstreams.ReasonClaim)
	}
}

func TestP25_ConfirmationIsAKeysThumbprintAlone(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	key := strings.Repeat("a", 43)
	for _, tc := range []struct {
		name string
		cnf  any
		ok   bool
	}{
		{"jkt", map[string]any{"jkt": key}, true},
		{"and more", map[string]any{"jkt": key, "x5t#S256": key}, false},
		{"a certificate", map[string]any{"x5t#S256": key}, false},
		{"too short", map[string]any{"jkt": key[1:]}, false},
		{"of other characters", map[string]any{"jkt": key[1:] + "="}, false},
		{"empty", map[string]any{}, false},
		{"no object", "x", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &bench{t, c, b.set}
			raw := idp.Sign(with(idp.Claims("alice", audience), "cnf", tc.cnf))
			if !tc.ok {
				b.refuses("acme", raw, exchange, upstreams.ReasonConfirmation)
			} else if id := b.accepts("acme", raw, exchange); id.Confirmed != key {
				t.Errorf("got %q", id.Confirmed)
			}
		})
	}
}

func TestP23_IDJAGIsRedeemedAndNothingElse(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	spec := jwtSpec("acme", idp)
	spec.Audiences = append(spec.Audiences, upstreams.Audience{Value: "other"})
	b := newBench(t, c, spec)
	grant := upstreams.Want{Purpose: upstreams.PurposeGrant, Requester: "gateway"}
	sign := func(changes ...any) string {
		claims := with(idp.Claims("alice", ourIssuer), "client_id", "gateway", "scope", "a b", "resource", "https://api.example", "jti", "j-1")
		return idp.Sign(with(claims, changes...), upstreamtest.Typ("oauth-id-jag+jwt"))
	}
	id := b.accepts("acme", sign(), grant)
	if id.ClientID != "gateway" || !slices.Equal(id.Scopes, []string{"a", "b"}) || !slices.Equal(id.Resources, []string{"https://api.example"}) || id.JTI != "j-1" {
		t.Errorf("got %+v", id)
	}
	if id := b.accepts("acme", sign("scope", nil, "resource", nil), grant); len(id.Scopes) > 0 || id.Resources != nil {
		t.Errorf("got %+v", id)
	}
	for name, c := range map[string]struct {
		raw    string
		reason upstreams.Reason
	}{
		"another audience beside":  {sign("aud", []string{ourIssuer, "x"}), upstreams.ReasonAudience},
		"an audience for exchange": {sign("aud", "other"), upstreams.ReasonAudience},
		"without client_id":        {sign("client_id", nil), upstreams.ReasonClaim},
		"client_id that is none":   {sign("client_id", 5), upstreams.ReasonClaim},
		"without jti":              {sign("jti", nil), upstreams.ReasonClaim},
		"scope that is no text":    {sign("scope", []string{"a"}), upstreams.ReasonClaim},
		"resource that is no text": {sign("resource", 5), upstreams.ReasonClaim},
		"longer than five minutes": {sign("exp", c.Now().Add(5*time.Minute+time.Second).Unix()), upstreams.ReasonTime},
	} {
		t.Run(name, func(t *testing.T) { (&bench{t, b.clock, b.set}).refuses("acme", c.raw, grant, c.reason) })
	}
	b.refuses("acme", sign("client_id", "wiki"), grant, upstreams.ReasonAudience)
	b.refuses("acme", sign("client_id", ""), upstreams.Want{Purpose: upstreams.PurposeGrant}, upstreams.ReasonClaim) // nobody is no client
	for _, purpose := range []upstreams.Purpose{upstreams.PurposeExchange, upstreams.PurposeActor} {
		b.refuses("acme", sign(), upstreams.Want{Purpose: purpose, Requester: "gateway"}, upstreams.ReasonClass)
	}
	b.accepts("acme", idp.Sign(idp.Claims("alice", ourIssuer)), grant) // another assertion (RFC 7523)
}

// It ends no login and is nobody's credential, even if it is made to fit in all else.
func TestP23_IDJAGIsNeitherLoginNorCredential(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, oidcSpec("acme", idp, upstreams.Audience{Value: audience}))
	asClient := upstreams.Want{Purpose: upstreams.PurposeClient, ClientAudience: "workload"}
	for _, tc := range []struct {
		aud  string
		want upstreams.Want
	}{{loginID, login}, {"workload", asClient}} {
		claims := func() map[string]any {
			return with(idp.Claims("alice", tc.aud), "nonce", nonce, "client_id", "gateway", "jti", "j-1")
		}
		b.accepts("acme", idp.Sign(claims()), tc.want)
		b.refuses("acme", idp.Sign(claims(), upstreamtest.Typ("oauth-id-jag+jwt")), tc.want, upstreams.ReasonClass)
	}
}

// A credential is for whoever bears it: one that is bound to a key is none, for nobody proves that key.
func TestP25_BoundTokenIsNoCredential(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	bound := with(idp.Claims("pod", "workload"), "cnf", map[string]any{"jkt": strings.Repeat("a", 43)})
	b.refuses("acme", idp.Sign(bound), upstreams.Want{Purpose: upstreams.PurposeClient, ClientAudience: "workload"}, upstreams.ReasonConfirmation)
}

// Who signs in, or authenticates, is nobody's deputy: our tokens of a login name no actor (P19).
func TestP19_NobodyActsAtALoginOrInACredential(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, oidcSpec("acme", idp, upstreams.Audience{Value: audience}))
	asClient := upstreams.Want{Purpose: upstreams.PurposeClient, ClientAudience: "workload"}
	for name, value := range map[string]any{"act": map[string]any{"sub": "helpdesk"}, "may_act": map[string]any{"sub": "helpdesk"}} {
		b.refuses("acme", idp.Sign(with(idp.Claims("alice", loginID), "nonce", nonce, name, value)), login, upstreams.ReasonClaim)
		b.refuses("acme", idp.Sign(with(idp.Claims("pod", "workload"), name, value)), asClient, upstreams.ReasonClaim)
	}
	b.accepts("acme", idp.Sign(with(idp.Claims("alice", loginID), "nonce", nonce)), login)
}
