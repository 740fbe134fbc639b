package web_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/mappers"
	"fedbroker/upstreams/upstreamtest"
)

// newRechecks is a house whose people of acme are asked about again; globex's are not.
func newRechecks(t *testing.T) *signIns {
	t.Helper()
	s := newSignIns(t)
	acme := &s.config.Upstreams[0]
	acme.Spec.Refresh, acme.Spec.Scopes = true, nil
	acme.Mappers = []mappers.Spec{{Kind: "require", Expression: `claims.email_verified == true`, Message: "a verified address"}}
	if err := s.broker.Reload(t.Context(), s.config); err != nil {
		t.Fatal(err)
	}
	return s
}

// portalTokens is what portal gets for alice, who signs in at acme.
func (s *signIns) portalTokens(b *http.Client, changes ...string) answer {
	s.t.Helper()
	said := reply(s.t, s.signedIn(b, s.acme, "alice", request(append([]string{"idp_hint", "acme", "scope", "openid profile email offline_access"}, changes...)...)))
	a := s.redeem(said.Get("code"))
	if a.status != http.StatusOK || a.text("refresh_token") == "" {
		s.t.Fatalf("%d %s", a.status, a.raw)
	}
	return a
}

func (s *signIns) refreshed(token string) answer {
	return s.do(call{path: "/token", form: url.Values{"grant_type": {oauth.GrantRefreshToken}, "refresh_token": {token}}, header: as("portal")})
}

// asked is how often acme's token endpoint was asked with a refresh token.
func (s *signIns) asked() (n int) {
	for _, r := range s.acme.Requests("/token") {
		if r.Form.Get("grant_type") == "refresh_token" {
			n++
		}
	}
	return n
}

func (s *signIns) active(token string) bool {
	s.t.Helper()
	a := s.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: as("portal")})
	if a.status != http.StatusOK {
		s.t.Fatalf("%d %s", a.status, a.raw)
	}
	return a.body["active"] == true
}

func TestRecheck_TheProviderIsAskedOnEachRefreshAndItsClaimsCount(t *testing.T) {
	s := newRechecks(t)
	tokens := s.portalTokens(s.browser())
	if r := s.acme.Requests("/authorize"); !strings.Contains(r[0].Query.Get("scope"), "offline_access") {
		t.Errorf("asked for %q", r[0].Query.Get("scope"))
	}
	first := claimsOf(t, tokens.text("id_token"))
	s.acme.AlterIDToken(upstreamtest.With("name", "Alice Married"))
	for i := range 3 {
		tokens = s.refreshed(tokens.text("refresh_token"))
		if tokens.status != http.StatusOK || s.asked() != i+1 {
			t.Fatalf("%d %s, asked %d", tokens.status, tokens.raw, s.asked())
		}
	}
	if a, b := s.refreshed(tokens.text("refresh_token")), s.refreshed(tokens.text("refresh_token")); a.text("refresh_token") != b.text("refresh_token") || b.status != http.StatusOK || s.asked() != 4 {
		t.Errorf("the predecessor in its grace: %s, asked %d", b.raw, s.asked())
	}
	again := claimsOf(t, tokens.text("id_token"))
	if again["name"] != "Alice Married" || again["sub"] != first["sub"] || again["auth_time"] != first["auth_time"] {
		t.Errorf("ID token %v, before %v", again, first)
	}
	info := s.do(call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"Bearer " + tokens.text("access_token")}}})
	if info.body["name"] != "Alice Married" {
		t.Errorf("userinfo %s", info.raw)
	}
	if strings.Contains(s.log.text(), tokens.text("refresh_token")) {
		t.Error("the log has a refresh token")
	}
}

// A provider need not send an ID token with a refresh (OpenID Connect Core §12.2): then userinfo says who it is, and no more than it says is known.
func TestRecheck_UserinfoAloneCanStandForThePerson(t *testing.T) {
	s := newRechecks(t)
	tokens := s.portalTokens(s.browser())
	s.acme.AlterToken(func(a map[string]any) { delete(a, "id_token") })
	s.acme.AlterUserinfo(func(c map[string]any) { c["email_verified"], c["name"] = true, "Alice by userinfo" })
	a := s.refreshed(tokens.text("refresh_token"))
	if a.status != http.StatusOK || claimsOf(t, a.text("id_token"))["name"] != "Alice by userinfo" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	s.acme.AlterUserinfo(upstreamtest.With("sub", "mallory"))
	if a := s.refreshed(a.text("refresh_token")); a.status != http.StatusServiceUnavailable {
		t.Errorf("another person's userinfo: %d %s", a.status, a.raw)
	}
}

// An answer about somebody else is none, however much it agrees with itself (OpenID Connect Core §12.2).
func TestRecheck_AnAnswerAboutAnotherPersonIsNone(t *testing.T) {
	s := newRechecks(t)
	tokens := s.portalTokens(s.browser())
	s.acme.AlterIDToken(upstreamtest.With("sub", "mallory"))
	s.acme.AlterUserinfo(upstreamtest.With("sub", "mallory"))
	if a := s.refreshed(tokens.text("refresh_token")); a.status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", a.status, a.raw)
	}
}

func TestRecheck_NoLogAndNoJournalHasTheProvidersToken(t *testing.T) {
	s := newRechecks(t)
	var given []string
	s.acme.AlterToken(func(a map[string]any) {
		if token, ok := a["refresh_token"].(string); ok {
			given = append(given, token)
		}
	})
	tokens := s.portalTokens(s.browser())
	tokens = s.refreshed(tokens.text("refresh_token"))
	s.acme.Down(true)
	s.refreshed(tokens.text("refresh_token"))
	s.acme.Down(false)
	s.acme.Dismiss("alice")
	s.refreshed(tokens.text("refresh_token"))
	if len(given) != 2 {
		t.Fatalf("acme gave %d refresh tokens", len(given))
	}
	for i, token := range given {
		if strings.Contains(s.log.text(), token) || strings.Contains(fmt.Sprint(s.lines()), token) {
			t.Errorf("refresh token %d of acme is there to be read", i)
		}
	}
}

// A disabled account stops within the life of one access token: with the next refresh, and everything that came of the login with it.
func TestRecheck_ADisabledAccountStopsAtTheNextRefresh(t *testing.T) {
	s := newRechecks(t)
	b := s.browser()
	tokens := s.portalTokens(b)
	s.acme.Dismiss("alice")
	if !s.active(tokens.text("access_token")) {
		t.Fatal("the access token is dead before anybody asked")
	}
	a := s.refreshed(tokens.text("refresh_token"))
	if a.status != http.StatusBadRequest || a.text("error") != "invalid_grant" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if s.active(tokens.text("access_token")) {
		t.Error("the access token lives")
	}
	if a := s.refreshed(tokens.text("refresh_token")); a.text("error") != "invalid_grant" || s.asked() != 1 {
		t.Errorf("%s, asked %d times", a.raw, s.asked())
	}
	// The browser's session is over, too: alice is sent to acme.
	if a := s.visit(b, issuer+"/authorize?"+request("idp_hint", "acme").Encode(), nil); !strings.HasPrefix(a.header.Get("Location"), s.acme.Issuer()) {
		t.Errorf("%d %s", a.status, a.header.Get("Location"))
	}
	if !slices.ContainsFunc(s.lines(), func(l map[string]any) bool {
		return l["reason"] == string(oauth.ReasonIdPDenied) && l["upstream"] == "acme"
	}) {
		t.Error("the journal does not say why")
	}
}

func TestRecheck_AMapperThatRefusesByNowEndsTheLogin(t *testing.T) {
	s := newRechecks(t)
	tokens := s.portalTokens(s.browser())
	s.acme.AlterIDToken(upstreamtest.With("email_verified", false))
	if a := s.refreshed(tokens.text("refresh_token")); a.text("error") != "invalid_grant" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	s.acme.AlterIDToken(nil)
	if a := s.refreshed(tokens.text("refresh_token")); a.text("error") != "invalid_grant" {
		t.Fatalf("the login is back: %s", a.raw)
	}
}

// What says nothing of the person is a 503, and the same refresh token is good afterwards.
func TestRecheck_WhereTheProviderCannotBeAskedNothingIsIssuedAndNothingLost(t *testing.T) {
	for name, spoil := range map[string]func(*upstreamtest.IdP){
		"out of order":          func(p *upstreamtest.IdP) { p.Down(true) },
		"our secret is refused": func(p *upstreamtest.IdP) { p.AlterToken(func(a map[string]any) { a["error"] = "invalid_client" }) },
		"not an answer":         func(p *upstreamtest.IdP) { p.AlterToken(func(a map[string]any) { delete(a, "access_token") }) },
		"another person":        func(p *upstreamtest.IdP) { p.AlterIDToken(upstreamtest.With("sub", "mallory")) },
		"another audience":      func(p *upstreamtest.IdP) { p.AlterIDToken(upstreamtest.With("aud", "somebody")) },
		"another nonce":         func(p *upstreamtest.IdP) { p.AlterIDToken(upstreamtest.With("nonce", "x")) },
		"userinfo of another":   func(p *upstreamtest.IdP) { p.AlterUserinfo(upstreamtest.With("sub", "mallory")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newRechecks(t)
			tokens := s.portalTokens(s.browser())
			spoil(s.acme)
			if a := s.refreshed(tokens.text("refresh_token")); a.status != http.StatusServiceUnavailable || a.text("error") != "temporarily_unavailable" || a.header.Get("Retry-After") == "" {
				t.Fatalf("%d %s", a.status, a.raw)
			}
			s.acme.Down(false)
			s.acme.AlterToken(nil)
			s.acme.AlterIDToken(nil)
			s.acme.AlterUserinfo(nil)
			if a := s.refreshed(tokens.text("refresh_token")); a.status != http.StatusOK {
				t.Fatalf("afterwards: %d %s", a.status, a.raw)
			}
		})
	}
}

// The provider takes a second use of a refresh token for a theft: ten at once are one question, or several, one after the other.
func TestRecheck_ManyAtOnceNeverSendOneTokenTwice(t *testing.T) {
	s := newRechecks(t)
	b := s.browser()
	tokens := s.portalTokens(b)
	var families []string // a second app's worth of grants of the same login
	for range 5 {
		said := reply(t, s.visit(b, issuer+"/authorize?"+request("scope", "openid offline_access").Encode(), nil))
		families = append(families, s.redeem(said.Get("code")).text("refresh_token"))
	}
	families = append(families, tokens.text("refresh_token"), tokens.text("refresh_token"))
	var all sync.WaitGroup
	var mu sync.Mutex
	bad := map[int]int{}
	for _, token := range families {
		all.Go(func() {
			a := s.refreshed(token)
			mu.Lock()
			defer mu.Unlock()
			bad[a.status]++
		})
	}
	all.Wait()
	if !maps.Equal(bad, map[int]int{http.StatusOK: len(families)}) {
		t.Errorf("statuses %v", bad)
	}
	if n := s.asked(); n == 0 || n > len(families) {
		t.Errorf("asked %d times", n)
	}
}

func TestRecheck_ALoginWithoutARefreshTokenIsRefused(t *testing.T) {
	s := newRechecks(t)
	s.acme.AlterToken(func(a map[string]any) { delete(a, "refresh_token") })
	a := s.signedIn(s.browser(), s.acme, "alice", request("idp_hint", "acme"))
	if a.header.Get("Location") != "" || a.status == http.StatusOK {
		t.Fatalf("%d %v", a.status, a.header)
	}
	if !strings.Contains(s.log.text(), "gave no refresh token") {
		t.Error("the log does not say what is missing")
	}
}

// Single sign-on stands on an answer of the provider that is no older than an access token may be; where nobody may be asked, it wants the person (P31).
func TestRecheck_SingleSignOnIsAskedAboutToo(t *testing.T) {
	s := newRechecks(t)
	s.running()
	s.acme.AlterIDToken(func(c map[string]any) { c["iat"], c["exp"] = s.clock().Unix(), s.clock().Unix()+300 }) // whose own clock stands still
	b := s.browser()
	s.portalTokens(b)
	again := func(changes ...string) answer {
		return s.visit(b, issuer+"/authorize?"+request(changes...).Encode(), nil)
	}
	later := func() {
		s.now.Add(int64(11 * time.Minute / time.Second))
		s.soon("look at the revocations", func() bool { return reply(t, again("prompt", "none")).Get("error") != "temporarily_unavailable" })
	}
	if said := reply(t, again("prompt", "none")); said.Get("code") == "" || s.asked() != 0 {
		t.Fatalf("at once: %v, asked %d", said, s.asked())
	}
	later()
	if said := reply(t, again("prompt", "none")); said.Get("error") != "login_required" || s.asked() != 0 {
		t.Fatalf("silent: %v, asked %d", said, s.asked())
	}
	if said := reply(t, again()); said.Get("code") == "" || s.asked() != 1 {
		t.Fatalf("asked %d: %v", s.asked(), said)
	}
	if said := reply(t, again("prompt", "none")); said.Get("code") == "" {
		t.Fatalf("after the answer: %v", said)
	}
	later()
	s.acme.Dismiss("alice")
	if a := again("idp_hint", "acme"); !strings.HasPrefix(a.header.Get("Location"), s.acme.Issuer()) {
		t.Fatalf("a disabled account: %d %v %s", a.status, a.header, a.raw)
	}
}

func TestRecheck_OthersAreNotAsked(t *testing.T) {
	s := newSignIns(t)
	tokens := s.portalTokens(s.browser())
	if a := s.refreshed(tokens.text("refresh_token")); a.status != http.StatusOK || s.asked() != 0 {
		t.Errorf("%d %s, asked %d", a.status, a.raw, s.asked())
	}
}
