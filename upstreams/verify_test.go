package upstreams_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/upstreamtest"
)

func TestIdentityTellsWhatWasVerified(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{Algorithms: []string{"ES256", "RS256"}})
	b := newBench(t, c, jwtSpec("acme", idp))
	claims := with(idp.Claims("alice", audience), "aud", []string{"elsewhere", audience}, "email", "a@acme.example", "n", 9007199254740993,
		"auth_time", c.Now().Add(-time.Hour).Unix(), "act", map[string]any{"sub": "x"})
	want := exchange
	want.Claims = jose.NewSelection("email", "n")
	for _, alg := range []string{"ES256", "RS256"} {
		raw := idp.Sign(claims, upstreamtest.Alg(alg))
		id := b.accepts("acme", raw, want)
		token, _ := jose.Parse(raw)
		switch {
		case id.Upstream != "acme" || id.Issuer != idp.Issuer() || id.Subject != "alice" || id.BrokerSubject != "acme|alice":
			t.Errorf("identity: %+v", id)
		case !maps.Equal(id.Claims, map[string]any{"email": "a@acme.example", "n": int64(9007199254740993)}):
			t.Errorf("claims: %v", id.Claims)
		case id.Audience != audience || !slices.Equal(id.Audiences, []string{"elsewhere", audience}):
			t.Errorf("audiences: %+v", id)
		case id.TokenID != token.TokenID() || id.JTI != claims["jti"] || id.KeyID != token.KeyID():
			t.Errorf("ids: %+v", id)
		case !id.IssuedAt.Equal(c.Now()) || !id.NotBefore.Equal(c.Now()) || !id.Expires.Equal(c.Now().Add(5*time.Minute)):
			t.Errorf("times: %+v", id)
		case !id.AuthTime.Equal(c.Now().Add(-time.Hour)) || !id.HasActor || id.HasMayAct || id.Class != jose.ClassJWT || id.Typ != "jwt":
			t.Errorf("the rest: %+v", id)
		}
	}
}

func TestP4_AssuranceComesMappedOrNotAtAll(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	mapped, plain := jwtSpec("mapped", idp), jwtSpec("plain", idp)
	mapped.ACRMap = map[string]string{"urn:acme:gold": "aal2"}
	mapped.AMRMap = map[string]string{"otp": "mfa", "hwk": "mfa", "pwd": "pwd"}
	plain.Audiences[0].Value = "other"
	b := newBench(t, c, mapped, plain)
	for _, tc := range []struct {
		name, upstream, aud string
		acr, amr            any
		wantACR             string
		wantAMR             []string
	}{
		{"mapped", "mapped", audience, "urn:acme:gold", []string{"pwd", "otp"}, "aal2", []string{"pwd", "mfa"}},
		{"each of ours once", "mapped", audience, nil, []string{"otp", "hwk"}, "", []string{"mfa"}},
		{"unmapped is dropped", "mapped", audience, "aal2", []string{"mfa", "face"}, "", nil},
		{"without a map nothing comes", "plain", "other", "aal2", []string{"pwd"}, "", nil},
		{"another type is dropped", "mapped", audience, 5, map[string]any{"pwd": true}, "", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &bench{t, c, b.set}
			id := b.accepts(tc.upstream, idp.Sign(with(idp.Claims("x", tc.aud), "acr", tc.acr, "amr", tc.amr)), exchange)
			if id.ACR != tc.wantACR || !slices.Equal(id.AMR, tc.wantAMR) {
				t.Errorf("want %q %q, got %q %q", tc.wantACR, tc.wantAMR, id.ACR, id.AMR)
			}
		})
	}
}

func TestP9_ClassDecidesBeforeUse(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	usual, custom, strict := jwtSpec("usual", idp), jwtSpec("custom", idp), jwtSpec("strict", idp)
	custom.AcceptTyp, custom.Audiences[0].Value = &[]string{"application/Acme+JWT"}, "b"
	strict.AcceptTyp, strict.Audiences[0].Value = &[]string{}, "c"
	b := newBench(t, c, usual, custom, strict)
	auds := map[string]string{"usual": audience, "custom": "b", "strict": "c"}
	events := map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	for _, tc := range []struct {
		name, upstream, typ string
		claims              []any
		ok                  bool
	}{
		{"typ absent", "usual", "", nil, true},
		{"JWT", "usual", "JWT", nil, true},
		{"any case, with application/", "usual", "application/jWt", nil, true},
		{"access token by default", "usual", "at+jwt", nil, true},
		{"access token in its long form", "usual", "application/AT+jwt", nil, true},
		{"a written accept_typ replaces the default", "custom", "at+jwt", nil, false},
		{"a written accept_typ is compared normalised", "custom", "acme+jwt", nil, true},
		{"JWT needs no accept_typ", "custom", "JWT", nil, true},
		{"an empty accept_typ leaves JWT alone", "strict", "at+jwt", nil, false},
		{"unknown type", "usual", "acme+jwt", nil, false},
		{"logout token", "usual", "logout+jwt", nil, false},
		{"logout token by its event", "usual", "JWT", []any{"events", events}, false},
		{"logout token by its event, typed access token", "usual", "at+jwt", []any{"events", events}, false},
		{"any events claim", "usual", "", []any{"events", map[string]any{"https://x.example/e": true}}, false},
		{"security event", "usual", "secevent+jwt", nil, false},
		{"ID-JAG", "usual", "oauth-id-jag+jwt", nil, false},
		{"DPoP proof", "usual", "dpop+jwt", nil, false},
		{"htm", "usual", "JWT", []any{"htm", "POST"}, false},
		{"htu", "custom", "acme+jwt", []any{"htu", "https://x.example"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &bench{t, c, b.set}
			raw := idp.Sign(with(idp.Claims("x", auds[tc.upstream]), tc.claims...), upstreamtest.Typ(tc.typ))
			if tc.ok {
				b.accepts(tc.upstream, raw, exchange)
				return
			}
			b.refuses(tc.upstream, raw, exchange, upstreams.ReasonClass)
		})
	}
}

func TestP9_AccessTokenEndsNoLogin(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, oidcSpec("acme", idp))
	claims := with(idp.Claims("alice", loginID), "nonce", nonce)
	b.accepts("acme", idp.Sign(claims), login)
	b.refuses("acme", idp.Sign(claims, upstreamtest.Typ("at+jwt")), login, upstreams.ReasonClass)
}

func TestP9_AcceptTypNamesNoOtherClass(t *testing.T) {
	for _, typ := range []string{"logout+jwt", "application/secevent+JWT", "oauth-id-jag+jwt", "dpop+jwt", "entity-statement+jwt", "", "a b"} {
		s := upstreams.Spec{Name: "a", Kind: "jwt", Issuer: "https://a.example", Audiences: []upstreams.Audience{{Value: "x"}}, AcceptTyp: &[]string{"at+jwt", typ}}
		if found := problems(upstreams.Options{Specs: []upstreams.Spec{s}}); found["upstreams[0].accept_typ[1]"] == "" || len(found) != 1 {
			t.Errorf("%q: %v", typ, found)
		}
	}
}

func TestP12_TimesAreJudgedWithSymmetricLeeway(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	zero := time.Duration(0)
	usual, exact := jwtSpec("usual", idp), jwtSpec("exact", idp)
	exact.Leeway, exact.Audiences[0].Value = &zero, "exact"
	b := newBench(t, c, usual, exact)
	now := c.Now().Unix()
	for _, tc := range []struct {
		name, upstream, claim string
		value                 any
		ok                    bool
	}{
		{"exp within the leeway of 30 s", "usual", "exp", now - 29, true},
		{"exp beyond it", "usual", "exp", now - 30, false},
		{"exp just ahead, no leeway", "exact", "exp", now + 1, true},
		{"exp now, no leeway", "exact", "exp", now, false},
		{"exp absent", "usual", "exp", nil, false},
		{"iat within the leeway", "usual", "iat", now + 30, true},
		{"iat beyond it", "usual", "iat", now + 31, false},
		{"iat now, no leeway", "exact", "iat", now, true},
		{"iat ahead, no leeway", "exact", "iat", now + 1, false},
		{"iat absent", "usual", "iat", nil, false},
		{"nbf within the leeway", "usual", "nbf", now + 30, true},
		{"nbf beyond it", "usual", "nbf", now + 31, false},
		{"nbf absent", "usual", "nbf", nil, true},
		{"exp a string", "usual", "exp", "1900000000", false},
		{"exp beyond all years", "usual", "exp", 1e300, false},
		{"exp a fraction", "usual", "exp", float64(now) + 100.5, false},
		{"exp negative", "usual", "exp", -1, false},
		{"iat a string", "usual", "iat", "1700000000", false},
		{"nbf a string", "usual", "nbf", "1700000000", false},
		{"auth_time a string", "usual", "auth_time", "1700000000", false},
		{"auth_time ahead", "usual", "auth_time", now + 31, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := &bench{t, c, b.set}
			aud := map[string]string{"usual": audience, "exact": "exact"}[tc.upstream]
			raw := idp.Sign(with(idp.Claims("x", aud), tc.claim, tc.value))
			if tc.ok {
				b.accepts(tc.upstream, raw, exchange)
				return
			}
			b.refuses(tc.upstream, raw, exchange, upstreams.ReasonTime)
		})
	}
}

func TestP12_NumbersThatAreNotFiniteRefused(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	for _, number := range []string{"1e400", "-1e400", "99999999999999999999999", "1.8e9.0"} {
		payload := `{"iss":"` + idp.Issuer() + `","sub":"x","aud":"` + audience + `","iat":1800000000,"exp":` + number + `}`
		raw := idp.Sign(nil, upstreamtest.Raw(payload))
		if _, err := jose.Parse(raw); err != nil {
			continue // refused sooner
		}
		b.refuses("acme", raw, exchange, upstreams.ReasonTime)
	}
}

func TestP12_LeewayIsAtMostTwoMinutes(t *testing.T) {
	for d, ok := range map[time.Duration]bool{-1: false, 0: true, 2 * time.Minute: true, 2*time.Minute + 1: false} {
		s := upstreams.Spec{Name: "a", Kind: "jwt", Issuer: "https://a.example", Audiences: []upstreams.Audience{{Value: "x"}}, Leeway: &d}
		found := problems(upstreams.Options{Specs: []upstreams.Spec{s}})
		if (len(found) == 0) != ok {
			t.Errorf("%v: %v", d, found)
		}
	}
	hour := time.Hour
	found := problems(upstreams.Options{Specs: []upstreams.Spec{{Name: "a", Kind: "jwt", Issuer: "https://a.example",
		Audiences: []upstreams.Audience{{Value: "x"}}, Leeway: &hour}}})
	if got := found["upstreams[0].leeway"]; got != "want 0s to 2m0s, got 1h0m0s\n" {
		t.Errorf("text: %q", got)
	}
}

func TestP24_MaxAgeBoundsTheTokenNotItsClaims(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	want := exchange
	want.MaxAge = time.Hour
	raw := func(age time.Duration) string {
		return idp.Sign(with(idp.Claims("x", audience), "iat", c.Now().Add(-age).Unix(), "nbf", nil))
	}
	b.accepts("acme", raw(time.Hour+30*time.Second), want)
	b.refuses("acme", raw(time.Hour+31*time.Second), want, upstreams.ReasonTime)
	b.accepts("acme", raw(24*time.Hour), exchange)
}

func TestP14_OnlyTheUpstreamsOwnKeysCount(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	spec := jwtSpec("acme", idp)
	b := newBench(t, c, spec)
	attacker, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	claims := idp.Claims("alice", audience)
	b.accepts("acme", idp.Sign(claims), exchange)
	own := upstreamtest.JWK(attacker.Public(), "attacker", "ES256")
	b.refuses("acme", idp.Sign(claims, upstreamtest.SignedBy(attacker)), exchange, upstreams.ReasonSignature)
	b.refuses("acme", idp.Sign(claims, upstreamtest.SignedBy(attacker), upstreamtest.Header("jwk", own)), exchange, upstreams.ReasonSignature)
	b.accepts("acme", idp.Sign(claims, upstreamtest.Header("jwk", own), upstreamtest.Header("jku", "https://evil.example/jwks")), exchange)
	b.refuses("acme", idp.Sign(claims, upstreamtest.Alg("HS256")), exchange, upstreams.ReasonAlgorithm)
	b.refuses("acme", idp.Sign(claims, upstreamtest.Alg("none")), exchange, upstreams.ReasonAlgorithm)
	changed := strings.Split(idp.Sign(claims), ".")
	changed[1] = strings.Split(idp.Sign(with(idp.Claims("admin", audience))), ".")[1]
	b.refuses("acme", strings.Join(changed, "."), exchange, upstreams.ReasonSignature)
}

func TestP14_AlgorithmsAreTheUpstreamsList(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{Algorithms: []string{"ES256", "ES384"}})
	spec := jwtSpec("acme", idp)
	spec.Algorithms = []string{"ES384"}
	b := newBench(t, c, spec)
	b.accepts("acme", idp.Sign(idp.Claims("x", audience), upstreamtest.Alg("ES384")), exchange)
	b.refuses("acme", idp.Sign(idp.Claims("x", audience), upstreamtest.Alg("ES256")), exchange, upstreams.ReasonAlgorithm)
}

func TestP25_ConfirmationIsRefusedUnlessAtLogin(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, oidcSpec("acme", idp, upstreams.Audience{Value: "gw"}))
	bound := func(aud string) string {
		return idp.Sign(with(idp.Claims("x", aud), "cnf", map[string]any{"jkt": "0ZcOCORZNYy"}, "nonce", nonce))
	}
	actor, client := exchange, upstreams.Want{Purpose: upstreams.PurposeClient, ClientAudience: "as-client"}
	actor.Purpose = upstreams.PurposeActor
	b.refuses("acme", bound("gw"), exchange, upstreams.ReasonConfirmation)
	b.refuses("acme", bound("gw"), actor, upstreams.ReasonConfirmation)
	b.refuses("acme", bound("as-client"), client, upstreams.ReasonConfirmation)
	b.accepts("acme", bound(loginID), login)
}

func TestClaimOfTheWrongTypeRefused(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	for _, claim := range []string{"jti", "azp"} {
		b.refuses("acme", idp.Sign(with(idp.Claims("x", audience), claim, 7)), exchange, upstreams.ReasonClaim)
	}
}

func TestZeroPurposeRefused(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	b.refuses("acme", idp.Sign(idp.Claims("x", audience)), upstreams.Want{}, upstreams.ReasonPurpose)
	b.refuses("acme", idp.Sign(idp.Claims("x", audience)), upstreams.Want{Purpose: 99}, upstreams.ReasonPurpose)
}

func TestCallerWhoLeavesIsToldUnavailable(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	release := idp.Slow()
	b := newBench(t, c, jwtSpec("acme", idp))
	t.Cleanup(release)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_ = idp.WaitFetches(ctx, 1) // ends with cancel at the latest
		cancel()
	}()
	token, _ := jose.Parse(idp.Sign(idp.Claims("x", audience)))
	upstream, _ := b.set.ByName("acme")
	_, err := upstream.Verify(ctx, token, exchange)
	wantReason(t, err, upstreams.ReasonUnavailable)
}

func TestSetWithoutKeysVerifiesNothing(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	set := upstreams.NewSet(upstreams.Options{Specs: []upstreams.Spec{jwtSpec("acme", idp)}, OurIssuer: ourIssuer, Now: c.Now},
		func(path, format string, args ...any) { t.Errorf("%s: %s", path, format) })
	b := &bench{t, c, set}
	b.refuses("acme", idp.Sign(idp.Claims("x", audience)), exchange, upstreams.ReasonUnavailable)
	if r := set.Ready(); len(r) != 1 || r[0].OK || r[0].Detail != "keys are not loaded" {
		t.Errorf("got %+v", r)
	}
}

func TestErrorTextHoldsNoValueOfTheToken(t *testing.T) {
	c := newClock()
	idp := newIdP(t, c, upstreamtest.Options{})
	b := newBench(t, c, jwtSpec("acme", idp))
	const secret = "s3cr3t-value"
	for name, claims := range map[string][]any{
		"aud": {"aud", secret}, "iss": {"iss", "https://" + secret}, "azp": {"azp", secret}, "exp": {"exp", secret}, "jti": {"jti", []string{secret}},
		"sub": {"sub", []string{secret}},
	} {
		_, err := b.verify("acme", idp.Sign(with(idp.Claims("x", audience), claims...)), exchange)
		if err == nil || strings.Contains(err.Error(), secret) || !strings.HasPrefix(err.Error(), "upstream acme: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := b.verify("acme", idp.Sign(idp.Claims("x", audience), upstreamtest.Header("kid", secret)), exchange)
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("kid: %v", err)
	}
}
