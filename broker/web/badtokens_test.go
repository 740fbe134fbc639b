package web_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/upstreams/upstreamtest"
)

// badToken is a subject token that must be refused with invalid_request, whatever is wrong with it.
type badToken struct {
	name   string
	make   func(h *house) string
	reason oauth.Reason
}

func set(name string, value any) func(map[string]any) {
	return func(c map[string]any) { c[name] = value }
}

func unset(name string) func(map[string]any) { return func(c map[string]any) { delete(c, name) } }

// signed is a good token's claims, changed, signed in some other way.
func signed(change func(map[string]any), options ...upstreamtest.SignOption) func(*house) string {
	return func(h *house) string { return h.idp.Sign(h.partnerClaims(change), options...) }
}

func same(map[string]any) {}

// raw signs payload text made of a good token's claims.
func raw(edit func(string) string) func(*house) string {
	return func(h *house) string {
		text, err := json.Marshal(h.partnerClaims())
		if err != nil {
			h.t.Fatal(err)
		}
		return h.idp.Sign(nil, upstreamtest.Raw(edit(string(text))))
	}
}

func replace(old, with string) func(*house) string {
	return raw(func(s string) string { return strings.Replace(s, old, with, 1) })
}

func badTokens(t *testing.T) []badToken {
	t.Helper()
	thief, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own := upstreamtest.JWK(thief.Public(), "thief", "ES256")
	past, future := func(h *house) int64 { return h.clock().Add(-time.Hour).Unix() }, func(h *house) int64 { return h.clock().Add(time.Hour).Unix() }
	at := func(name string, when func(*house) int64) func(*house) string {
		return func(h *house) string { return h.partner(set(name, when(h))) }
	}
	const token, class, issuerReason, audience, times, signature = oauth.ReasonToken, oauth.ReasonTokenClass, oauth.ReasonTokenIssuer, oauth.ReasonTokenAudience, oauth.ReasonTokenTime, oauth.ReasonSignature
	return []badToken{
		{"alg none", signed(same, upstreamtest.Alg("none")), signature},
		{"HS256 over the public key", signed(same, upstreamtest.Alg("HS256")), signature},
		{"signed by the key of its own jwk", signed(same, upstreamtest.SignedBy(thief), upstreamtest.Header("jwk", own)), signature},
		{"signed by the key of its own jku", signed(same, upstreamtest.SignedBy(thief), upstreamtest.Header("jku", "https://thief.test/jwks")), signature},
		{"signed by the key of its own x5u", signed(same, upstreamtest.SignedBy(thief), upstreamtest.Header("x5u", "https://thief.test/cert")), signature},
		{"signed by another key under a good kid", signed(same, upstreamtest.SignedBy(thief)), signature},
		{"unknown crit", signed(same, upstreamtest.Header("crit", []string{"b64x"}), upstreamtest.Header("b64x", true)), token},
		{"duplicate member", replace(`{`, `{"sub":"mallory",`), token},
		{"ISS for iss", replace(`"iss"`, `"ISS"`), issuerReason},
		{"bad UTF-8", replace("alice", "al\xffice"), token},
		{"non-canonical base64url", func(h *house) string { return uncanonical(h.partner()) }, token},
		{"padding", func(h *house) string { return h.partner() + "==" }, token},
		{"60,000 dots", func(*house) string { return strings.Repeat(".", 60_000) }, token},
		{"not a JWT", func(*house) string { return "opaque-token" }, token},
		{"two parts", func(h *house) string { p := strings.Split(h.partner(), "."); return p[0] + "." + p[1] }, token},
		{"longer than 16 KiB", func(h *house) string { return h.partner(set("filler", strings.Repeat("x", 16<<10))) }, token},
		{"typ of a logout token", signed(same, upstreamtest.Typ("logout+jwt")), class},
		{"typ of a proof", signed(same, upstreamtest.Typ("dpop+jwt")), class},
		{"typ of an id-jag", signed(same, upstreamtest.Typ("oauth-id-jag+jwt")), class},
		{"a typ that this upstream does not use", signed(same, upstreamtest.Typ("something+jwt")), class},
		{"a logout token without typ", signed(set("events", map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}), upstreamtest.Typ("")), class},
		{"no iss", func(h *house) string { return h.partner(unset("iss")) }, issuerReason},
		{"no aud", func(h *house) string { return h.partner(unset("aud")) }, issuerReason},
		{"no exp", func(h *house) string { return h.partner(unset("exp")) }, times},
		{"no iat", func(h *house) string { return h.partner(unset("iat")) }, times},
		{"no sub", func(h *house) string { return h.partner(unset("sub")) }, token},
		{"empty sub", func(h *house) string { return h.partner(set("sub", "")) }, token},
		{"sub is a number", func(h *house) string { return h.partner(set("sub", 7)) }, token},
		{"exp is a string", func(h *house) string { return h.partner(set("exp", "1900000000")) }, times},
		{"exp is 1e400", raw(func(s string) string { return strings.Replace(s, `"exp":`, `"exp":1e400,"was":`, 1) }), times},
		{"expired", at("exp", past), times},
		{"nbf in the future", at("nbf", future), times},
		{"iat in the future", at("iat", future), times},
		{"foreign audience", func(h *house) string { return h.partner(set("aud", "somebody-else")) }, issuerReason},
		{"the login audience", func(h *house) string { return h.partner(set("aud", "fedbroker")) }, issuerReason},
		{"upstream A's token under B's issuer", func(h *house) string {
			return h.idp.Sign(h.partnerClaims(set("iss", h.ci.Issuer()), set("aud", issuer)))
		}, signature},
		{"an upstream that no rule names", func(h *house) string {
			return h.idp.Sign(h.partnerClaims(set("iss", "https://unused.test"), set("aud", "unused")))
		}, issuerReason},
		{"sender-constrained", func(h *house) string { return h.partner(set("cnf", map[string]any{"jkt": "x"})) }, oauth.ReasonConfirmation},
		{"with an actor", func(h *house) string { return h.partner(set("act", map[string]any{"sub": "x"})) }, oauth.ReasonActor},
		{"with may_act", func(h *house) string { return h.partner(set("may_act", map[string]any{"sub": "x"})) }, oauth.ReasonActor},
		{"azp of a stranger", func(h *house) string { return h.partner(set("azp", "stranger")) }, audience},
	}
}

// uncanonical sets a bit that base64url leaves unused in the last character of the signature.
func uncanonical(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])|1])
}

func TestP27_BadSubjectTokens(t *testing.T) {
	h := newHouse(t)
	if h.exchanged() == "" { // the same request with a good token is answered
		t.Fatal("no token")
	}
	for _, bad := range badTokens(t) {
		t.Run(bad.name, func(t *testing.T) {
			token := bad.make(h)
			a := h.do(call{path: "/token", form: exchangeForm(token, "orders"), header: as("gateway")})
			h.checkRefusal(t, a, invalidRequest(400, bad.reason))
			if log := h.log.text(); len(token) > 40 && strings.Contains(log, token) {
				t.Error("the log holds the token")
			}
		})
	}
}

func TestP27_BadOwnTokens(t *testing.T) {
	h := newHouse(t)
	own := h.exchanged()
	parts := strings.Split(own, ".")
	form := func(token string) url.Values { return exchangeForm(token, "billing") }
	if a := h.do(call{path: "/token", form: form(own), header: as("orders-api")}); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	foreign := h.do(call{path: "/token", form: url.Values{"grant_type": {"client_credentials"}}, header: as("bystander")}).text("access_token")
	for _, tt := range []struct {
		name, token string
		declared    string
		reason      oauth.Reason
	}{
		{"signed by an upstream under our issuer", h.idp.Sign(h.partnerClaims(set("iss", issuer), set("aud", "orders")), upstreamtest.Typ("at+jwt")), oauth.TypeAccessToken, oauth.ReasonSignature},
		{"a changed payload", parts[0] + "." + parts[1][:len(parts[1])-4] + "AAAA." + parts[2], oauth.TypeAccessToken, oauth.ReasonToken},
		{"an ID token in place of an access token", h.idp.Sign(h.partnerClaims(set("iss", issuer), set("aud", "orders"))), oauth.TypeAccessToken, oauth.ReasonTokenClass},
		{"an access token declared as an ID token", own, oauth.TypeIDToken, oauth.ReasonTokenClass},
		{"a token for somebody else", foreign, oauth.TypeAccessToken, oauth.ReasonTokenAudience},
		{"a non-canonical signature", uncanonical(own), oauth.TypeAccessToken, oauth.ReasonToken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := with(form(tt.token), "subject_token_type", tt.declared)
			h.checkRefusal(t, h.do(call{path: "/token", form: f, header: as("orders-api")}), invalidRequest(400, tt.reason))
		})
	}
}

func TestP14_HeaderKeysAreIgnoredBesideAGoodSignature(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"jku", "x5u"} {
		token := h.idp.Sign(h.partnerClaims(), upstreamtest.Header(name, "https://thief.test/keys"))
		if a := h.do(call{path: "/token", form: exchangeForm(token, "orders"), header: as("gateway")}); a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
	}
}

func TestP21_AnonymousRequestMustBeAnonymousInFull(t *testing.T) {
	h := newHouse(t)
	form := exchangeForm(h.job(), deploy)
	if a := h.do(call{path: "/token", form: form}); a.status != 200 || claimsOf(t, a.text("access_token"))["client_id"] != "anonymous:ci-deploy" {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	two := h.job(set("aud", []string{issuer, "another"}))
	h.checkRefusal(t, h.do(call{path: "/token", form: exchangeForm(two, deploy)}), invalidRequest(400, oauth.ReasonTokenAudience))
	for name, c := range map[string]call{
		"client_id": {path: "/token", form: with(form, "client_id", "ghost")},
		"basic":     {path: "/token", form: form, header: basic("ghost", "x")},
		"assertion": {path: "/token", form: with(with(maps.Clone(form), "client_assertion", h.job()), "client_assertion_type", oauth.AssertionJWTBearer)},
	} {
		t.Run(name, func(t *testing.T) {
			h.checkRefusal(t, h.do(c), refused{401, oauth.CodeInvalidClient, oauth.ReasonClientCredentials})
		})
	}
}
