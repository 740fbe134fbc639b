package grants

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/mappers"
	"fedbroker/store"
)

func TestP26_CodeIsSpentOnlyByTheRedemption(t *testing.T) {
	for _, c := range []struct {
		name   string
		client string
		edit   func(url.Values)
		want   string
	}{
		{"no code", "wiki", func(f url.Values) { f.Del("code") }, "invalid_request parameter"},
		{"no redirect_uri", "wiki", func(f url.Values) { f.Del("redirect_uri") }, "invalid_request parameter"},
		{"a resource that is none", "wiki", set("resource", "orders"), "invalid_target target"},
		{"nobody", "", nil, "unauthorized_client grant_not_allowed"},
		{"another client", "spa", nil, "invalid_grant code"},
		{"not a code", "wiki", set("code", "nonsense"), "invalid_grant code"},
		{"a code with another secret", "wiki", func(f url.Values) {
			id, _, _ := strings.Cut(f.Get("code"), ".")
			f.Set("code", id+"."+strings.Repeat("A", 43))
		}, "invalid_grant code"},
		{"another redirect_uri", "wiki", set("redirect_uri", callback+"/"), "invalid_grant verifier"},
		{"no verifier", "wiki", func(f url.Values) { f.Del("code_verifier") }, "invalid_grant verifier"},
		{"another verifier", "wiki", set("code_verifier", strings.Repeat("a", 43)), "invalid_grant verifier"},
		{"a short verifier", "wiki", set("code_verifier", verifier[:42]), "invalid_grant verifier"},
		{"a resource beyond", "wiki", set("resource", "https://orders.example"), "invalid_target target"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newLoginWorld(t)
			code, _ := h.begin(ada())
			edit := c.edit
			if edit == nil {
				edit = func(url.Values) {}
			}
			want(t, h.code(c.client, code, edit), c.want)
			want(t, h.code("wiki", code), "ok") // nothing was spent
		})
	}
}

func TestP32_VerifierSyntaxIsThatOfRFC7636(t *testing.T) {
	for _, c := range []struct {
		name, verifier string
		ok             bool
	}{
		{"shortest", strings.Repeat("a", 43), true},
		{"longest", strings.Repeat("a", 128), true},
		{"every unreserved sign", "-._~" + strings.Repeat("aZ0", 20), true},
		{"one too short", strings.Repeat("a", 42), false},
		{"one too long", strings.Repeat("a", 129), false},
		{"a reserved sign", strings.Repeat("a", 43) + "+", false},
		{"a letter that is not ASCII", strings.Repeat("a", 43) + "ä", false},
	} {
		if err := checkVerifier(challenge(c.verifier), c.verifier); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestP32_PlainIsNoMethod(t *testing.T) {
	if checkVerifier(verifier, verifier) == nil {
		t.Error("the verifier is its own challenge")
	}
}

func TestP32_VerifierWithoutChallengeIsRefused(t *testing.T) {
	h := newLoginWorld(t)
	g := ada()
	g.Challenge = ""
	code, _ := h.begin(g)
	want(t, h.code("wiki", code), "invalid_grant verifier")
	want(t, h.code("wiki", code, func(f url.Values) { f.Del("code_verifier") }), "ok")
}

func TestP33_LoopbackPortIsTheAuthorizationRequests(t *testing.T) {
	h := newLoginWorld(t)
	s := h.app("wiki")
	s.Native, s.RedirectURIs = true, []string{"http://127.0.0.1/cb"}
	g := ada()
	g.RedirectURI = "http://127.0.0.1:49152/cb"
	code, _ := h.begin(g)
	want(t, h.code("wiki", code, set("redirect_uri", "http://127.0.0.1:49153/cb")), "invalid_grant verifier")
	want(t, h.code("wiki", code, set("redirect_uri", "http://127.0.0.1/cb")), "invalid_grant verifier")
	want(t, h.code("wiki", code, set("redirect_uri", g.RedirectURI)), "ok")
}

func TestP36_CodeExpires(t *testing.T) {
	h := newLoginWorld(t)
	code, _ := h.begin(ada())
	h.pass(codeTTL)
	want(t, h.code("wiki", code), "invalid_grant code")
}

// What conformance suites call oidcc-codereuse.
func TestP36_CodeReplayRevokesWhatTheCodeGave(t *testing.T) {
	h := newLoginWorld(t)
	code, g := h.begin(ada())
	first := h.code("wiki", code)
	want(t, first, "ok")
	if !h.alive(first.raw) {
		t.Fatal("dead at birth")
	}
	replay := h.code("wiki", code)
	want(t, replay, "invalid_grant reuse")
	if h.alive(first.raw) {
		t.Error("the access token lives")
	}
	want(t, h.refresh("wiki", first.refresh), "invalid_grant revoked")
	if s := replay.seen; s.TokenID != g.ID || s.Subject != g.Subject || s.Upstream != "acme" {
		t.Errorf("the journal is told %+v", s)
	}
}

func TestP36_CodeReplayAfterItsTimeRevokesToo(t *testing.T) {
	h := newLoginWorld(t)
	code, _ := h.begin(ada())
	first := h.code("wiki", code)
	h.pass(codeTTL + time.Second)
	want(t, h.code("wiki", code), "invalid_grant reuse")
	if h.alive(first.raw) {
		t.Error("the access token lives")
	}
}

func TestP36_CodeReplayByAnotherClientRevokesNothing(t *testing.T) {
	h := newLoginWorld(t)
	code, _ := h.begin(ada())
	first := h.code("wiki", code)
	want(t, h.code("spa", code), "invalid_grant code")
	if !h.alive(first.raw) {
		t.Error("another client ended the family")
	}
}

func TestP36_OneOfManyRedeemersWinsAndTheFamilyEnds(t *testing.T) {
	h := newLoginWorld(t)
	code, _ := h.begin(ada())
	// All have looked at the fresh code before the first commits.
	const redeemers = 4
	table := h.table()
	reqs := make([]*oauth.TokenRequest, redeemers)
	for i := range reqs {
		f, err := oauth.ParseForm(codeForm(code).Encode())
		h.must(err)
		reqs[i] = &oauth.TokenRequest{Form: f, Now: h.clock(), Requester: oauth.Requester{ClientID: "wiki"}}
		_, err = table[oauth.GrantAuthorizationCode].Authorize(t.Context(), reqs[i])
		h.must(err)
	}
	var wg sync.WaitGroup
	errs := make([]error, redeemers)
	for i := range reqs {
		wg.Go(func() { _, errs[i] = reqs[i].Redeem(context.Background()) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else {
			want(t, answer{err: err}, "invalid_grant reuse")
		}
	}
	if won != 1 {
		t.Errorf("%d won", won)
	}
}

// failing is a store whose writes fail.
type failing struct {
	Sessions
	err error
}

func (f failing) Redeem(context.Context, session.Presented, string, bool) (string, error) {
	return "", f.err
}
func (f failing) Rotate(context.Context, session.Presented, string, bool) (string, error) {
	return "", f.err
}

func TestP26_NothingIsIssuedThatTheStoreDidNotTake(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(ada())
	code, _ := h.begin(ada())
	h.store = failing{h.sessions, errors.New("disk full")}
	for name, a := range map[string]answer{"code": h.code("wiki", code), "refresh": h.refresh("wiki", first.refresh)} {
		if want(t, a, "temporarily_unavailable not_durable"); a.raw != "" || a.rawID != "" || a.refresh != "" {
			t.Errorf("%s: issued beside an error", name)
		}
	}
}

type noRevocations struct{}

func (noRevocations) RevokeEnded(context.Context, revoke.Kind, []string, time.Time) error {
	return revoke.ErrFull
}

func TestP26_ReuseThatCannotBeRevokedSaysSo(t *testing.T) {
	h := newLoginWorld(t)
	code, _ := h.begin(ada())
	want(t, h.code("wiki", code), "ok")
	h.revoker = noRevocations{}
	want(t, h.code("wiki", code), "temporarily_unavailable not_durable")
	h.revoker = nil
	want(t, h.code("wiki", code), "invalid_grant reuse") // and is seen again
}

func TestP8_IDTokenSaysWhoSignedInHowAndWhen(t *testing.T) {
	h := newLoginWorld(t)
	code, g := h.begin(ada())
	a := h.code("wiki", code)
	want(t, a, "ok")
	sum := sha256.Sum256([]byte(a.raw))
	for _, name := range []string{"jti", "lin", "origin_exp"} { // what a revocation can name of it
		if a.id[name] == nil {
			t.Errorf("without %s", name)
		}
		delete(a.id, name)
	}
	if got, want := a.id, map[string]any{
		"iss": ourIssuer, "sub": "acme|ada", "aud": "wiki", "azp": "wiki", "nonce": "n-1", "sid": g.SessionID,
		"iat": float64(noon.Unix()), "exp": float64(noon.Add(idTTL).Unix()), "auth_time": float64(g.AuthTime.Unix()),
		"acr": "gold", "amr": []any{"pwd", "otp"}, "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]), "upstream": map[string]any{"name": "acme"},
		"name": "Ada", "locale": "en", "email": "ada@acme.example", "email_verified": true,
	}; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestP8_AccessTokenOfALoginReleasesNothing(t *testing.T) {
	h := newLoginWorld(t)
	a := h.signedIn(ada())
	for _, name := range []string{"name", "email", "locale", "nonce", "sid", "azp"} {
		if _, said := a.access[name]; said {
			t.Errorf("it says %s", name)
		}
	}
}

func TestP8_IDTokenHasWhatTheClientNames(t *testing.T) {
	h := newLoginWorld(t)
	h.app("wiki").IDTokenClaims = []string{"email"}
	a := h.signedIn(ada())
	if a.id["email"] == nil || a.id["name"] != nil {
		t.Errorf("%v", a.id)
	}
}

// An address never leaves without the word on whether anybody vouches for it, whatever the client names.
func TestP5_AddressInTheIDTokenSaysWhetherItIsVerified(t *testing.T) {
	for said, want := range map[any]bool{true: true, false: false, nil: false, "true": false} {
		h := newLoginWorld(t)
		h.app("wiki").IDTokenClaims = []string{"email", "name"}
		g := ada()
		g.Claims = map[string]any{"name": "Ada", "email": "ceo@victim.example"}
		if said != nil {
			g.Claims["email_verified"] = said
		}
		if a := h.signedIn(g); a.id["email"] != "ceo@victim.example" || a.id["email_verified"] != want {
			t.Errorf("%v: %v", said, a.id)
		}
	}
}

// A name that is rebound to another issuer inherits nobody: neither codes nor families of the one before.
func TestP1_ReboundUpstreamInheritsNoLogins(t *testing.T) {
	h := newLoginWorld(t)
	g := ada()
	g.UpstreamIssuer = "https://before.example"
	code, _ := h.begin(g)
	want(t, h.code("wiki", code), "invalid_grant selector")
}

func TestP8_IDTokenNeedsScopeOpenID(t *testing.T) {
	h := newLoginWorld(t)
	g := ada()
	g.Scopes = []string{"profile", "offline_access"}
	if a := h.signedIn(g); a.id != nil {
		t.Errorf("%v", a.id)
	}
}

func TestP6_IDTokenNamesTheUpstreamsSubjectOnlyToWhomItIsFull(t *testing.T) {
	h := newLoginWorld(t)
	g := ada()
	g.ClientID = "bank"
	a, full := h.signedIn(g), map[string]any{"name": "acme", "iss": acmeIssuer, "sub": "ada"}
	if !reflect.DeepEqual(a.id["upstream"], full) || !reflect.DeepEqual(a.access["upstream"], full) {
		t.Errorf("%v, %v", a.id["upstream"], a.access["upstream"])
	}
}

func TestP34_AccessTokenIsES256AndIDTokenByTheClient(t *testing.T) {
	header := func(raw string) string {
		b, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	h := newLoginWorld(t)
	g := ada()
	wiki := h.signedIn(g)
	g.ClientID = "spa"
	spa := h.signedIn(g)
	for name, c := range map[string]struct{ raw, typ, alg string }{
		"access": {spa.raw, "at+jwt", "ES256"}, "default": {wiki.rawID, "JWT", "ES256"}, "named": {spa.rawID, "JWT", "EdDSA"},
	} {
		if got := header(c.raw); !strings.Contains(got, `"typ":"`+c.typ+`","alg":"`+c.alg+`"`) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestP35_AudienceIsOurIssuerUnlessAResourceWasGranted(t *testing.T) {
	h := newLoginWorld(t)
	if a := h.signedIn(ada()); a.access["aud"] != ourIssuer {
		t.Errorf("%v", a.access["aud"])
	}
	g := ada()
	g.Audiences, g.Scopes = []string{"https://orders.example", "https://billing.example"}, append(g.Scopes, "orders.read")
	a := h.signedIn(g)
	if !reflect.DeepEqual(a.access["aud"], []any{"https://orders.example", "https://billing.example"}) {
		t.Errorf("%v", a.access["aud"])
	}
}

func TestP16_ResourceNarrowsTheGrantedAudiences(t *testing.T) {
	h := newLoginWorld(t)
	g := ada()
	g.Audiences = []string{"https://orders.example", "https://billing.example"}
	code, _ := h.begin(g)
	a := h.code("wiki", code, set("resource", "https://orders.example"))
	if want(t, a, "ok"); a.access["aud"] != "https://orders.example" {
		t.Errorf("%v", a.access["aud"])
	}
	a = h.refresh("wiki", a.refresh, set("resource", "https://billing.example")) // the grant's, not the last token's
	if want(t, a, "ok"); a.access["aud"] != "https://billing.example" {
		t.Errorf("%v", a.access["aud"])
	}
	want(t, h.refresh("wiki", a.refresh, set("resource", "https://other.example")), "invalid_target target")
	want(t, h.refresh("wiki", a.refresh), "ok") // the refusal spent nothing
}

func TestP26_JournalNamesTheGrantAsParent(t *testing.T) {
	h := newLoginWorld(t)
	code, g := h.begin(ada())
	a := h.code("wiki", code)
	if !slices.Equal(a.authority.Parents(), []string{g.ID}) || a.seen.TokenID != g.ID {
		t.Errorf("%v, %v", a.authority.Parents(), a.seen)
	}
}

func TestP36_NoRefreshTokenForWhoHasNoRightToOne(t *testing.T) {
	h := newLoginWorld(t)
	g := ada()
	g.Offline, g.Scopes = false, []string{"openid"}
	code, _ := h.begin(g)
	if a := h.code("wiki", code); a.err != nil || a.refresh != "" {
		t.Errorf("%q, %v", a.refresh, a.err)
	}
}

// What conformance suites call oidcc-refresh-token.
func TestP36_RefreshedIDTokenIsOfTheSameLogin(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(ada())
	h.pass(time.Hour)
	next := h.refresh("wiki", first.refresh)
	want(t, next, "ok")
	for _, name := range []string{"iss", "sub", "aud", "azp", "auth_time", "acr", "amr", "sid"} {
		if !reflect.DeepEqual(first.id[name], next.id[name]) {
			t.Errorf("%s: %v, then %v", name, first.id[name], next.id[name])
		}
	}
	if _, said := next.id["nonce"]; said {
		t.Error("a nonce")
	}
	if now := float64(h.clock().Unix()); next.id["iat"] != now || next.access["iat"] != now {
		t.Errorf("iat %v", next.id["iat"])
	}
}

func TestP36_RefreshTokenRotates(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(ada())
	next := h.refresh("wiki", first.refresh)
	if want(t, next, "ok"); next.refresh == "" || next.refresh == first.refresh {
		t.Errorf("%q", next.refresh)
	}
	want(t, h.refresh("wiki", next.refresh), "ok")
}

func TestP36_RefreshTokenOfFAPI2StaysAsItIs(t *testing.T) {
	h := newLoginWorld(t)
	g := ada()
	g.ClientID = "bank"
	first := h.signedIn(g)
	for range 3 {
		h.pass(time.Hour)
		next := h.refresh("bank", first.refresh)
		if want(t, next, "ok"); next.refresh != first.refresh {
			t.Fatal("it rotated")
		}
	}
}

func TestP36_GraceGivesTheIdenticalSuccessor(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(ada())
	next := h.refresh("wiki", first.refresh)
	h.pass(grace - time.Second)
	if again := h.refresh("wiki", first.refresh); again.err != nil || again.refresh != next.refresh {
		t.Errorf("%q, %v", again.refresh, again.err)
	}
}

func TestP36_ReuseRevokesTheFamily(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(h *loginWorld, successor string) // between the use and the reuse
	}{
		{"after the grace", func(h *loginWorld, _ string) { h.pass(grace) }},
		{"after the successor was used", func(h *loginWorld, successor string) { want(h.t, h.refresh("wiki", successor), "ok") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newLoginWorld(t)
			first := h.signedIn(ada())
			next := h.refresh("wiki", first.refresh)
			c.then(h, next.refresh)
			want(t, h.refresh("wiki", first.refresh), "invalid_grant reuse")
			want(t, h.refresh("wiki", next.refresh), "invalid_grant revoked")
			if h.alive(first.raw) || h.alive(next.raw) {
				t.Error("an access token of the family lives")
			}
		})
	}
}

func TestP36_ReuseByAnotherClientRevokesNothing(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(ada())
	next := h.refresh("wiki", first.refresh)
	h.pass(grace)
	want(t, h.refresh("spa", first.refresh), "invalid_grant refresh_token")
	want(t, h.refresh("wiki", next.refresh), "ok")
}

func TestP36_RefreshIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, client string
		edit         func(url.Values)
		want         string
	}{
		{"no token", "wiki", func(f url.Values) { f.Del("refresh_token") }, "invalid_request parameter"},
		{"nobody", "", func(url.Values) {}, "unauthorized_client grant_not_allowed"},
		{"not a token", "wiki", set("refresh_token", "nonsense"), "invalid_grant refresh_token"},
		{"another client", "desk", func(url.Values) {}, "invalid_grant refresh_token"},
		{"a resource that is none", "wiki", set("resource", "orders"), "invalid_target target"},
		{"a scope beyond", "wiki", set("scope", "openid orders.read"), "invalid_scope scope"},
		{"a malformed scope", "wiki", set("scope", "openid  profile"), "invalid_scope scope"},
		{"a resource beyond", "wiki", set("resource", "https://orders.example"), "invalid_target target"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newLoginWorld(t)
			first := h.signedIn(ada())
			want(t, h.refresh(c.client, first.refresh, c.edit), c.want)
			want(t, h.refresh("wiki", first.refresh), "ok") // nothing was spent
		})
	}
}

func TestP36_RefreshNarrowsTheScopeAndWhatTheIDTokenTells(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(ada())
	next := h.refresh("wiki", first.refresh, set("scope", "openid email"))
	if want(t, next, "ok"); next.access["scope"] != "openid email" || next.id["email"] == nil || next.id["name"] != nil {
		t.Errorf("%v, %v", next.access["scope"], next.id)
	}
	back := h.refresh("wiki", next.refresh) // RFC 6749 §6: the scope of the family stays that of the person's authorization
	if want(t, back, "ok"); back.id["name"] == nil {
		t.Errorf("%v", back.id)
	}
}

func TestP36_FamilyEndsWithoutUse(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(ada())
	h.pass(168 * time.Hour)
	want(t, h.refresh("wiki", first.refresh), "invalid_grant refresh_token")
}

func TestP36_SessionBoundFamilyDiesWithTheSession(t *testing.T) {
	h := newLoginWorld(t)
	g := ada()
	g.ClientID, g.Offline, g.SessionBound, g.Scopes = "desk", false, true, []string{"openid"}
	code, g := h.begin(g)
	first := h.code("desk", code)
	next := h.refresh("desk", first.refresh)
	want(t, next, "ok")
	h.must(h.sessions.End(t.Context(), g.SessionID))
	want(t, h.refresh("desk", next.refresh), "invalid_grant refresh_token")
}

func TestP39_SessionRevocationEndsSessionFamiliesAndSparesOfflineOnes(t *testing.T) {
	h := newLoginWorld(t)
	for _, c := range []struct {
		client  string
		offline bool
		want    string
	}{{"desk", false, "invalid_grant revoked"}, {"wiki", true, "ok"}} {
		g := ada()
		g.ClientID, g.Offline, g.SessionBound = c.client, c.offline, !c.offline
		code, g := h.begin(g)
		first := h.code(c.client, code)
		h.must(h.revoked.Revoke(t.Context(), revoke.KindSession, g.SessionID, time.Time{}, h.clock().Add(time.Hour)))
		want(t, h.refresh(c.client, first.refresh), c.want)
		if h.alive(first.raw) != c.offline {
			t.Errorf("%s: access token", c.client)
		}
	}
}

func TestP26_RevocationsEndCodesAndFamilies(t *testing.T) {
	for kind, id := range map[revoke.Kind]string{revoke.KindSubject: "acme|ada", revoke.KindClient: "wiki", revoke.KindUpstream: "acme"} {
		t.Run(string(kind), func(t *testing.T) {
			h := newLoginWorld(t)
			first := h.signedIn(ada())
			code, _ := h.begin(ada())
			h.pass(time.Second)
			h.must(h.revoked.Revoke(t.Context(), kind, id, time.Time{}, h.clock().Add(time.Hour)))
			h.pass(time.Second) // what follows is younger than the revocation, what it comes of is not
			want(t, h.code("wiki", code), "invalid_grant revoked")
			want(t, h.refresh("wiki", first.refresh), "invalid_grant revoked")
			want(t, h.signedIn(ada()), "ok") // a new session
		})
	}
}

// A client whose tokens are revoked goes on with what people let it have after that, also by a session that began before.
func TestP26_ClientsRevocationSparesWhatIsGrantedLater(t *testing.T) {
	h := newLoginWorld(t)
	now := h.clock()
	person := session.Session{Subject: "acme|ada", Upstream: "acme"}
	_, _, s, _, err := h.sessions.Begin(t.Context(), store.NewKey(now), now.Add(time.Minute), person, nil, ada())
	h.must(err)
	h.pass(time.Second)
	h.must(h.revoked.Revoke(t.Context(), revoke.KindClient, "wiki", time.Time{}, h.clock().Add(time.Hour)))
	h.pass(time.Second)
	code, _, err := h.sessions.Issue(t.Context(), s, ada())
	h.must(err)
	first := h.code("wiki", code)
	want(t, first, "ok")
	if !h.alive(first.raw) {
		t.Error("the new access token is dead")
	}
	h.must(h.revoked.Revoke(t.Context(), revoke.KindSubject, "acme|ada", now, h.clock().Add(time.Hour)))
	h.pass(0)
	if h.alive(first.raw) { // the person's revocation is held against the session
		t.Error("a revoked person's token lives")
	}
}

func TestP26_StaleRevocationsAllowNothing(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(ada())
	code, _ := h.begin(ada())
	h.now = h.now.Add(30 * time.Second) // and nobody polled
	want(t, h.code("wiki", code), "temporarily_unavailable revocation_stale")
	want(t, h.refresh("wiki", first.refresh), "temporarily_unavailable revocation_stale")
	h.pass(0)
	want(t, h.code("wiki", code), "ok")
}

func TestP36_RegistrationIsJudgedAtEveryUse(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(h *loginWorld, s *clients.Spec)
		want   string
	}{
		{"upstream no longer allowed", func(_ *loginWorld, s *clients.Spec) { s.Upstreams = []string{"beta"} }, "invalid_grant selector"},
		{"upstream no longer configured", func(h *loginWorld, _ *clients.Spec) { h.chains = map[string]*mappers.Chain{} }, "invalid_grant selector"},
		{"audience lost", func(_ *loginWorld, s *clients.Spec) { s.Audiences = s.Audiences[1:] }, "invalid_grant target"},
		{"every scope lost", func(_ *loginWorld, s *clients.Spec) { s.Scopes = nil }, "invalid_grant scope"},
		{"a stronger acr wanted", func(_ *loginWorld, s *clients.Spec) { s.RequireACR = "platinum" }, "invalid_grant authentication"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newLoginWorld(t)
			g := ada()
			g.Audiences = []string{"https://orders.example"}
			first := h.signedIn(g)
			code, _ := h.begin(g)
			c.change(h, h.app("wiki"))
			want(t, h.code("wiki", code), c.want)
			want(t, h.refresh("wiki", first.refresh), c.want)
		})
	}
}

func TestP36_RightToTheKindOfFamilyIsJudgedAtEveryRefresh(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(ada())
	s := h.app("wiki")
	s.Scopes = slices.DeleteFunc(slices.Clone(s.Scopes), func(s string) bool { return s == "offline_access" })
	want(t, h.refresh("wiki", first.refresh), "invalid_grant grant_not_allowed")

	g := ada()
	g.ClientID, g.Offline, g.SessionBound, g.Scopes = "desk", false, true, []string{"openid"}
	first = h.signedIn(g)
	h.app("desk").SessionRefresh = false
	want(t, h.refresh("desk", first.refresh), "invalid_grant grant_not_allowed")
}

func TestP36_ScopeThatTheClientLostIsLeftOut(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(ada())
	h.app("wiki").Scopes = []string{"openid", "offline_access", "email"}
	next := h.refresh("wiki", first.refresh)
	if want(t, next, "ok"); next.access["scope"] != "openid email offline_access" || next.id["name"] != nil || next.id["email"] == nil {
		t.Errorf("%v, %v", next.access["scope"], next.id)
	}
	want(t, h.refresh("wiki", next.refresh, set("scope", "profile")), "invalid_scope scope")
}

func TestP24_TokenThatWouldBeTooLongSpendsNothing(t *testing.T) {
	h := newLoginWorld(t)
	g := ada()
	g.Claims = map[string]any{"name": strings.Repeat("x", 1<<16)}
	code, _ := h.begin(g)
	want(t, h.code("wiki", code), "invalid_request mapping")
	p, err := h.sessions.Code(t.Context(), code)
	if err != nil || p.State != session.Fresh {
		t.Errorf("%v, %v", p.State, err)
	}
}

// P11, last clause: a login's own access token, whose audience is us, is its client's to exchange.
func TestP11_LoginsOwnTokenIsExchangedByItsClient(t *testing.T) {
	h := newLoginWorld(t)
	h.rules = `
- id: wiki-orders
  subject: {issued: true, upstream: acme}
  requester: {clients: [wiki, desk]}
  grant: {audiences: [orders], scopes: [{name: orders.read, from: [profile]}]}
`
	login := h.signedIn(ada())
	form := url.Values{"subject_token": {login.raw}, "subject_token_type": {oauth.TypeAccessToken}, "audience": {"orders"}}
	a := h.ask("wiki", oauth.GrantTokenExchange, form)
	if want(t, a, "ok"); a.access["aud"] != "orders" || a.access["scope"] != "orders.read" || a.access["sub"] != "acme|ada" || a.refresh != "" || a.id != nil {
		t.Errorf("%v", a.access)
	}
	if a.access["acr"] != "gold" || a.access["auth_time"] != login.access["auth_time"] { // P17
		t.Errorf("%v", a.access)
	}
	want(t, h.ask("desk", oauth.GrantTokenExchange, form), "invalid_request token_audience")

	narrow := h.refresh("wiki", login.refresh, set("scope", "openid"))
	form.Set("subject_token", narrow.raw)
	want(t, h.ask("wiki", oauth.GrantTokenExchange, form), "invalid_scope scope")

	// What is exchanged dies with the family.
	code, g := h.begin(ada())
	form.Set("subject_token", h.code("wiki", code).raw)
	a = h.ask("wiki", oauth.GrantTokenExchange, form)
	want(t, a, "ok")
	h.must(h.revoked.Revoke(t.Context(), revoke.KindFamily, g.ID, time.Time{}, h.clock().Add(time.Hour)))
	if h.alive(a.raw) {
		t.Error("it outlived its login's family")
	}
	form.Set("subject_token", login.rawID)
	form.Set("subject_token_type", oauth.TypeIDToken)
	want(t, h.ask("wiki", oauth.GrantTokenExchange, form), "invalid_request token_class") // P9
}

func TestP17_RefreshNeverGrows(t *testing.T) {
	all := []string{"openid", "profile", "email", "offline_access", "orders.read", "orders.write"}
	audiences := []string{"https://orders.example", "https://billing.example"}
	rapid.Check(t, func(rt *rapid.T) {
		h := newLoginWorld(t)
		some := func(name string, of []string) []string {
			return slices.DeleteFunc(slices.Clone(of), func(s string) bool { return rapid.Bool().Draw(rt, name+" without "+s) })
		}
		g := ada()
		g.Scopes, g.Audiences = append(some("granted", all[:3]), all[3]), some("granted", audiences)
		g.Scopes = append(g.Scopes, some("granted", all[4:])...)
		first := h.signedIn(g)
		held := h.app("wiki")
		held.Scopes, held.Audiences = append(some("held", all[:3]), all[3:]...), slices.Clone(audiences)
		token := first.refresh
		for range rapid.IntRange(1, 4).Draw(rt, "refreshes") {
			h.pass(rapid.SampledFrom([]time.Duration{time.Second, time.Hour, 24 * time.Hour}).Draw(rt, "time"))
			asked, targets := some("asked", all), some("targets", audiences)
			a := h.refresh("wiki", token, func(f url.Values) {
				f.Set("scope", oauth.JoinScope(asked))
				f["resource"] = targets
			})
			if a.err != nil {
				if within(asked, registered(g.Scopes, held.Scopes)) && within(targets, g.Audiences) {
					rt.Fatalf("refused what was granted: %v", a.err)
				}
				continue
			}
			token = a.refresh
			bound := g.Audiences
			if len(bound) == 0 {
				bound = []string{ourIssuer}
			}
			switch got := a.authority; {
			case !within(got.Scopes(), g.Scopes), !within(got.Scopes(), held.Scopes), len(asked) > 0 && !within(got.Scopes(), asked):
				rt.Fatalf("scopes %v of %v, held %v, asked %v", got.Scopes(), g.Scopes, held.Scopes, asked)
			case !within(got.Audiences(), bound), len(targets) > 0 && !within(got.Audiences(), targets):
				rt.Fatalf("audiences %v of %v", got.Audiences(), bound)
			case got.ACR() != g.ACR || !slices.Equal(got.AMR(), g.AMR) || !got.AuthTime().Equal(g.AuthTime) || got.Subject() != g.Subject:
				rt.Fatal("who, how or when has changed")
			case got.Expires().Sub(h.clock()) > accessTTL:
				rt.Fatalf("lives %v", got.Expires().Sub(h.clock()))
			}
			for name := range maps.Keys(g.Claims) {
				if _, told := a.id[name]; told && !slices.ContainsFunc(a.authority.Scopes(), func(s string) bool { return slices.Contains(scopes.Claims(s), name) }) {
					rt.Fatalf("%s is told without its scope", name)
				}
			}
		}
	})
}
