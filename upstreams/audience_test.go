package upstreams_test

import (
	"testing"

	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

func TestP10_SelectedByIssuerAndAudience(t *testing.T) {
	c := newClock()
	one, other := newIdP(t, c, upstreamtest.Options{}), newIdP(t, c, upstreamtest.Options{})
	prod, test, third := jwtSpec("prod", one), jwtSpec("test", one), jwtSpec("third", other)
	prod.Audiences = []upstreams.Audience{{Value: "p1"}, {Value: "p2"}}
	test.Audiences = []upstreams.Audience{{Value: "t", Requesters: []string{"gateway"}}}
	b := newBench(t, c, prod, test, third)
	for _, tc := range []struct {
		name, iss string
		aud       []string
		want      string // empty: none
	}{
		{"first audience", one.Issuer(), []string{"p1"}, "prod"},
		{"any audience", one.Issuer(), []string{"x", "p2"}, "prod"},
		{"same issuer, another upstream", one.Issuer(), []string{"t"}, "test"},
		{"another issuer with that audience", other.Issuer(), []string{"p1"}, ""},
		{"unknown audience", one.Issuer(), []string{"x"}, ""},
		{"no audience", one.Issuer(), nil, ""},
		{"no issuer", "", []string{"p1"}, ""},
		{"issuer with a final slash", one.Issuer() + "/", []string{"p1"}, ""},
		{"audiences of two upstreams: never tried in turn", one.Issuer(), []string{"p1", "t"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := b.set.Select(tc.iss, tc.aud)
			if ok != (tc.want != "") || ok && got.Name() != tc.want {
				t.Errorf("want %q, got %v %v", tc.want, got, ok)
			}
		})
	}
	for _, idp := range []*upstreamtest.IdP{one, other} {
		if d, j := idp.Fetches(); d+j != 0 {
			t.Errorf("selection touched the network: %d, %d", d, j)
		}
	}
}

func TestP10_TokenOfAnotherIssuerRefused(t *testing.T) {
	c := newClock()
	a, other := newIdP(t, c, upstreamtest.Options{Name: "a"}), newIdP(t, c, upstreamtest.Options{Name: "b"})
	b := newBench(t, c, jwtSpec("a", a), jwtSpec("b", other))
	b.accepts("a", a.Sign(a.Claims("x", audience)), exchange)
	b.accepts("b", other.Sign(other.Claims("x", audience)), exchange)
	b.refuses("b", a.Sign(a.Claims("x", audience)), exchange, upstreams.ReasonIssuer)
	forged := with(a.Claims("x", audience), "iss", other.Issuer())
	b.refuses("b", a.Sign(forged), exchange, upstreams.ReasonUnknownKey)
	b.refuses("b", a.Sign(forged, upstreamtest.NoKeyID()), exchange, upstreams.ReasonSignature)
	b.refuses("a", a.Sign(with(a.Claims("x", audience), "iss", nil)), exchange, upstreams.ReasonIssuer)
}

func TestP10_OneIssuerAndOneKidNeverShareAKey(t *testing.T) {
	const issuer = "https://kubernetes.default.svc"
	c := newClock()
	east := newIdP(t, c, upstreamtest.Options{Name: "cluster", Issuer: issuer})
	west := newIdP(t, c, upstreamtest.Options{Name: "cluster", Issuer: issuer})
	if east.KeyIDs()[0] != west.KeyIDs()[0] {
		t.Fatal("the test needs one kid")
	}
	spec := func(name string, idp *upstreamtest.IdP) upstreams.Spec {
		return upstreams.Spec{Name: name, Kind: "jwt", Preset: "kubernetes", Issuer: issuer, JWKSURI: idp.JWKSURI(),
			AllowPrivate: []string{"127.0.0.1"}, Audiences: []upstreams.Audience{{Value: name}}}
	}
	b := newBench(t, c, spec("east", east), spec("west", west))
	for range 2 { // the second time with both key sets at hand
		b.accepts("east", east.Sign(east.KubernetesClaims("east", "ns", "app")), exchange)
		b.accepts("west", west.Sign(west.KubernetesClaims("west", "ns", "app")), exchange)
		b.refuses("east", west.Sign(west.KubernetesClaims("east", "ns", "app")), exchange, upstreams.ReasonSignature)
		b.refuses("west", east.Sign(east.KubernetesClaims("west", "ns", "app")), exchange, upstreams.ReasonSignature)
	}
}

func TestP10_OverlappingUpstreamsAreALoadError(t *testing.T) {
	jwt := func(name, issuer string, audiences ...string) upstreams.Spec {
		s := upstreams.Spec{Name: name, Kind: "jwt", Issuer: issuer}
		for _, a := range audiences {
			s.Audiences = append(s.Audiences, upstreams.Audience{Value: a})
		}
		return s
	}
	pattern := func(name, pattern string, audiences ...string) upstreams.Spec {
		s := jwt(name, "", audiences...)
		s.IssuerPattern = pattern
		return s
	}
	bound := jwt("b", "https://i.example", "x")
	bound.Audiences[0].Requesters = []string{"gateway"}
	for _, tc := range []struct {
		name          string
		first, second upstreams.Spec
		want          string // path; empty: fine
	}{
		{"same issuer, same audience", jwt("a", "https://i.example", "x"), jwt("b", "https://i.example", "y", "x"), "upstreams[1].audiences[1]"},
		{"same audience, bound", jwt("a", "https://i.example", "x"), bound, "upstreams[1].audiences[0]"},
		{"same issuer, other audience", jwt("a", "https://i.example", "x"), jwt("b", "https://i.example", "y"), ""},
		{"other issuer, same audience", jwt("a", "https://i.example", "x"), jwt("b", "https://j.example", "x"), ""},
		{"pattern that matches", pattern("a", "https://i.example/*", "x"), jwt("b", "https://i.example/t", "x"), "upstreams[1].audiences[0]"},
		{"pattern that does not", pattern("a", "https://i.example/*", "x"), jwt("b", "https://i.example/t/u", "x"), ""},
		{"two patterns", pattern("a", "https://i.example/*/b", "x"), pattern("b", "https://i.example/a/*", "x"), "upstreams[1].audiences[0]"},
		{"ours", jwt("a", "https://i.example", "x"), jwt("b", ourIssuer, "y"), "upstreams[1].issuer"},
		{"ours with a final slash", jwt("a", "https://i.example", "x"), jwt("b", ourIssuer+"/", "y"), "upstreams[1].issuer"},
		{"ours by pattern", jwt("a", "https://i.example", "x"), pattern("b", "https://*.example.com", "y"), "upstreams[1].issuer_pattern"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			found := problems(upstreams.Options{Specs: []upstreams.Spec{tc.first, tc.second}})
			if tc.want == "" && len(found) > 0 || tc.want != "" && (len(found) != 1 || found[tc.want] == "") {
				t.Errorf("want %q, got %v", tc.want, found)
			}
		})
	}
}

func TestP11_LoginAndExchangeNeverMix(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	spec := oidcSpec("acme", idp, upstreams.Audience{Value: "gw"})
	spec.AuthorizedParties = []string{"trusted"}
	b := newBench(t, c, spec)
	noNonce, client := login, upstreams.Want{Purpose: upstreams.PurposeClient, ClientAudience: "as-client"}
	noNonce.Nonce = ""
	for _, tc := range []struct {
		name   string
		want   upstreams.Want
		aud    any
		claims []any
		reason upstreams.Reason // empty: accepted
	}{
		{"ID token ends its login", login, loginID, []any{"nonce", nonce}, ""},
		{"ID token of another attempt", login, loginID, []any{"nonce", "other"}, upstreams.ReasonNonce},
		{"ID token without nonce", login, loginID, nil, upstreams.ReasonNonce},
		{"attempt without nonce", noNonce, loginID, []any{"nonce", ""}, upstreams.ReasonPurpose},
		{"exchange audience at login", login, "gw", []any{"nonce", nonce}, upstreams.ReasonAudience},
		{"both audiences at login", login, []string{loginID, "gw"}, []any{"nonce", nonce, "azp", loginID}, upstreams.ReasonAudience},
		{"further audience at login", login, []string{loginID, "x"}, []any{"nonce", nonce, "azp", loginID}, upstreams.ReasonAudience},
		{"further trusted audience at login", login, []string{loginID, "trusted"}, []any{"nonce", nonce, "azp", loginID}, ""},
		{"trusted audience without ours", login, "trusted", []any{"nonce", nonce, "azp", loginID}, upstreams.ReasonAudience},
		{"several audiences without azp", login, []string{loginID, "trusted"}, []any{"nonce", nonce}, upstreams.ReasonAudience},
		{"ID token issued to another", login, loginID, []any{"nonce", nonce, "azp", "trusted"}, upstreams.ReasonAudience},
		{"exchange audience", exchange, "gw", nil, ""},
		{"login audience at exchange", exchange, loginID, []any{"nonce", nonce}, upstreams.ReasonAudience},
		{"both audiences at exchange", exchange, []string{"gw", loginID}, nil, upstreams.ReasonAudience},
		{"foreign audience at exchange", exchange, "elsewhere", nil, upstreams.ReasonAudience},
		{"no audience at exchange", exchange, nil, nil, upstreams.ReasonAudience},
		{"client's audience", client, "as-client", nil, ""},
		{"client's audience at exchange", exchange, "as-client", nil, upstreams.ReasonAudience},
		{"exchange audience as client", client, "gw", nil, upstreams.ReasonAudience},
		{"client's audience among others", client, []string{"as-client", "gw"}, nil, upstreams.ReasonAudience},
		{"a client's audience must be its own", upstreams.Want{Purpose: upstreams.PurposeClient, ClientAudience: "gw"}, "gw", nil, upstreams.ReasonPurpose},
		{"nor may it be that of login", upstreams.Want{Purpose: upstreams.PurposeClient, ClientAudience: loginID}, loginID, nil, upstreams.ReasonPurpose},
		{"nor none", upstreams.Want{Purpose: upstreams.PurposeClient}, "", nil, upstreams.ReasonPurpose},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &bench{t, c, b.set}
			raw := idp.Sign(with(with(idp.Claims("alice", ""), "aud", tc.aud), tc.claims...))
			if tc.reason == "" {
				b.accepts("acme", raw, tc.want)
				return
			}
			b.refuses("acme", raw, tc.want, tc.reason)
		})
	}
}

func TestP11_NoAudiencesNoExchangeNoLoginAtJWT(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, oidcSpec("people", idp), func() upstreams.Spec { s := jwtSpec("jobs", idp); s.Audiences[0].Value = "j"; return s }())
	b.refuses("people", idp.Sign(idp.Claims("x", loginID)), exchange, upstreams.ReasonPurpose)
	b.refuses("people", idp.Sign(idp.Claims("x", "")), exchange, upstreams.ReasonPurpose)
	b.refuses("jobs", idp.Sign(with(idp.Claims("x", "j"), "nonce", nonce)), login, upstreams.ReasonPurpose)
	if _, ok := b.set.Select(idp.Issuer(), []string{loginID}); ok {
		t.Error("the audience of login selects an upstream for exchange")
	}
	for name, want := range map[string]bool{"people": false, "jobs": true} {
		if info, ok := b.set.Info(name); !ok || info.Exchange != want {
			t.Errorf("%s: %+v", name, info)
		}
	}
}

func TestP11_BoundAudienceIsForItsRequesters(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, oidcSpec("acme", idp, upstreams.Audience{Value: "gw-at-acme", Requesters: []string{"gateway"}}, upstreams.Audience{Value: "open"}))
	as := func(requester string) upstreams.Want {
		return upstreams.Want{Purpose: upstreams.PurposeExchange, Requester: requester}
	}
	bound, both := idp.Sign(idp.Claims("x", "gw-at-acme")), idp.Sign(with(idp.Claims("x", ""), "aud", []string{"gw-at-acme", "open"}))
	b.accepts("acme", bound, as("gateway"))
	b.refuses("acme", bound, as("other"), upstreams.ReasonAudience)
	b.refuses("acme", bound, as(""), upstreams.ReasonAudience)
	if id := b.accepts("acme", both, as("other")); id.Audience != "open" {
		t.Errorf("want the open audience, got %q", id.Audience)
	}
	if id := b.accepts("acme", both, as("gateway")); id.Audience != "gw-at-acme" {
		t.Errorf("want the first audience, got %q", id.Audience)
	}
}

func TestP11_AuthorizedPartyIsAudienceOrTrusted(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	spec := jwtSpec("acme", idp)
	spec.Audiences = []upstreams.Audience{{Value: "one"}, {Value: "two"}}
	spec.AuthorizedParties = []string{"portal"}
	b := newBench(t, c, spec)
	token := func(azp any, aud ...string) string {
		return idp.Sign(with(idp.Claims("x", ""), "aud", aud, "azp", azp))
	}
	b.accepts("acme", token(nil, "one"), exchange)
	b.accepts("acme", token("one", "one"), exchange)
	b.accepts("acme", token("portal", "one"), exchange)
	b.refuses("acme", token("stranger", "one"), exchange, upstreams.ReasonAudience)
	b.refuses("acme", token("two", "one"), exchange, upstreams.ReasonAudience)
	if id := b.accepts("acme", token("two", "one", "two"), exchange); id.Audience != "two" || id.AuthorizedParty != "two" {
		t.Errorf("want the audience that is azp, got %q", id.Audience)
	}
}

func TestP11_ActorTokensPassTheSameChecks(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, oidcSpec("acme", idp, upstreams.Audience{Value: "gw", Requesters: []string{"gateway"}}))
	actor := upstreams.Want{Purpose: upstreams.PurposeActor, Requester: "gateway"}
	b.accepts("acme", idp.Sign(idp.Claims("x", "gw")), actor)
	b.refuses("acme", idp.Sign(idp.Claims("x", loginID)), actor, upstreams.ReasonAudience)
	actor.Requester = "other"
	b.refuses("acme", idp.Sign(idp.Claims("x", "gw")), actor, upstreams.ReasonAudience)
	b.refuses("acme", idp.Sign(idp.Claims("x", "gw"), upstreamtest.Typ("logout+jwt")), actor, upstreams.ReasonClass)
}

func TestP11_LoadErrors(t *testing.T) {
	const path = "upstreams[0].audiences"
	jwt := upstreams.Spec{Name: "a", Kind: "jwt", Issuer: "https://a.example"}
	oidc := upstreams.Spec{Name: "o", Kind: "oidc", Issuer: "https://a.example", ClientID: loginID, ClientSecret: "s"}
	audiences := func(s upstreams.Spec, a ...upstreams.Audience) upstreams.Spec { s.Audiences = a; return s }
	x := upstreams.Audience{Value: "x"}
	for _, tc := range []struct {
		name string
		o    upstreams.Options
		want string
	}{
		{"jwt without audiences", upstreams.Options{Specs: []upstreams.Spec{jwt}}, path},
		{"jwt without audiences, named by an assertion", upstreams.Options{Specs: []upstreams.Spec{jwt},
			Assertions: []upstreams.Assertion{{Path: "clients[0].assertion", Upstream: "a", Audience: "as"}}}, ""},
		{"oidc without audiences", upstreams.Options{Specs: []upstreams.Spec{oidc}}, ""},
		{"client_id for exchange", upstreams.Options{Specs: []upstreams.Spec{audiences(oidc, x, upstreams.Audience{Value: loginID})}}, path + "[1]"},
		{"client_id of another upstream of that issuer", upstreams.Options{Specs: []upstreams.Spec{audiences(jwt, upstreams.Audience{Value: loginID}), oidc}}, path + "[0]"},
		{"the same in the other order", upstreams.Options{Specs: []upstreams.Spec{oidc, audiences(jwt, upstreams.Audience{Value: loginID})}}, "upstreams[1].audiences[0]"},
		{"twice", upstreams.Options{Specs: []upstreams.Spec{audiences(jwt, x, x)}}, path + "[1]"},
		{"empty", upstreams.Options{Specs: []upstreams.Spec{audiences(jwt, upstreams.Audience{})}}, path + "[0]"},
		{"bound to nobody", upstreams.Options{Specs: []upstreams.Spec{audiences(jwt, upstreams.Audience{Value: "x", Requesters: []string{}})}}, path + "[0].requesters"},
		{"bound to what is no client id", upstreams.Options{Specs: []upstreams.Spec{audiences(jwt, upstreams.Audience{Value: "x", Requesters: []string{"a b"}})}}, path + "[0].requesters[0]"},
		{"bound to an unknown client", upstreams.Options{Clients: []string{"a"}, Specs: []upstreams.Spec{audiences(jwt, upstreams.Audience{Value: "x", Requesters: []string{"a", "b"}})}}, path + "[0].requesters[1]"},
		{"assertion of no upstream", upstreams.Options{Specs: []upstreams.Spec{audiences(jwt, x)},
			Assertions: []upstreams.Assertion{{Path: "clients[2].assertion", Upstream: "b", Audience: "as"}}}, "clients[2].assertion.upstream"},
		{"assertion with an exchange audience", upstreams.Options{Specs: []upstreams.Spec{audiences(jwt, x)},
			Assertions: []upstreams.Assertion{{Path: "clients[2].assertion", Upstream: "a", Audience: "x"}}}, "clients[2].assertion.audience"},
		{"assertion with the login audience", upstreams.Options{Specs: []upstreams.Spec{oidc},
			Assertions: []upstreams.Assertion{{Path: "clients[2].assertion", Upstream: "o", Audience: loginID}}}, "clients[2].assertion.audience"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			found := problems(tc.o)
			if tc.want == "" && len(found) > 0 || tc.want != "" && (len(found) != 1 || found[tc.want] == "") {
				t.Errorf("want %q, got %v", tc.want, found)
			}
		})
	}
}
