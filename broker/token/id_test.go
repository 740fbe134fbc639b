package token_test

import (
	"crypto/sha256"
	"encoding/base64"
	"reflect"
	"strings"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/revoke"
	"fedbroker/broker/token"
	"fedbroker/store"
	"fedbroker/store/engines"
)

// ofLogin is the authority of a person's login at wiki; edit changes it.
func ofLogin(t testing.TB, edit ...func(*policy.Login)) policy.Authority {
	t.Helper()
	g := &policy.Login{
		Requester: &oauth.Requester{ClientID: "wiki"}, Issuer: issuer, GrantID: "grant-1", SessionID: "session-1", Subject: "acme|ada",
		Upstream: policy.UpstreamRef{Name: "acme", Issuer: "https://idp.acme.example", Subject: "ada"},
		AuthTime: start.Add(-time.Minute), ACR: "gold", AMR: []string{"pwd"}, Since: start, Granted: start, Scopes: []string{"openid", "profile"}, Now: start,
		IDToken: policy.IDToken{Nonce: "n", SessionID: "session-1", Alg: keyring.ES256, Claims: map[string]any{"name": "Ada"}}, IDTTL: time.Minute,
	}
	for _, e := range edit {
		e(g)
	}
	d, err := compile(t).ForLogin(g)
	must(t, err)
	a, err := policy.Combine(d)
	must(t, err)
	return a
}

func TestIDTokenVerifiesElsewhere(t *testing.T) {
	h := newHouse(t)
	m := h.mint(t, ofLogin(t))
	header, claims := h.read(t, m.IDToken)
	if typ := header.ExtraHeaders[gojose.HeaderType]; typ != "JWT" {
		t.Errorf("typ %v", typ)
	}
	sum := sha256.Sum256([]byte(m.Raw))
	if lin := map[string]any{
		"cli": []any{"wiki"}, "fam": []any{"grant-1"}, "ses": []any{"session-1"}, "iat": float64(start.Unix()), "own": float64(start.Unix()),
	}; claims["jti"] != m.IDTokenJTI || !reflect.DeepEqual(claims["lin"], lin) || claims["origin_exp"] == nil {
		t.Errorf("what a revocation can name of it: %v", claims)
	}
	for _, name := range []string{"jti", "lin", "origin_exp"} {
		delete(claims, name)
	}
	if want := (map[string]any{
		"iss": issuer, "sub": "acme|ada", "aud": "wiki", "azp": "wiki", "exp": float64(start.Add(time.Minute).Unix()), "iat": float64(start.Unix()),
		"auth_time": float64(start.Add(-time.Minute).Unix()), "nonce": "n", "acr": "gold", "amr": []any{"pwd"}, "sid": "session-1",
		"upstream": map[string]any{"name": "acme"}, "name": "Ada", "at_hash": base64.RawURLEncoding.EncodeToString(sum[:16]),
	}); !reflect.DeepEqual(claims, want) {
		t.Errorf("got  %v\nwant %v", claims, want)
	}
}

func TestP9_IDTokenIsNeverAnAccessToken(t *testing.T) {
	h := newHouse(t)
	_, err := h.open(t, h.mint(t, ofLogin(t)).IDToken)
	wantReason(t, "as an access token", err, oauth.CodeInvalidRequest, oauth.ReasonTokenClass)
}

func TestP7_IDTokenReleasesNoReservedClaim(t *testing.T) {
	h := newHouse(t)
	a := ofLogin(t, func(g *policy.Login) { g.IDToken.Claims = map[string]any{"sub": "root"} })
	if m, err := mint(h.minter, a); err == nil {
		t.Errorf("minted %+v", m)
	}
}

func TestIDTokenThatWouldBeTooLongIsNoDraft(t *testing.T) {
	h := newHouse(t)
	a := ofLogin(t, func(g *policy.Login) { g.IDToken.Claims = map[string]any{"name": strings.Repeat("x", 1<<16)} })
	_, err := h.minter.Prepare(a)
	wantReason(t, "too long", err, oauth.CodeInvalidRequest, oauth.ReasonMapping)
}

func TestIDTokenOfAnAlgorithmWithoutKeyIsNoDraft(t *testing.T) {
	h := newHouse(t)
	_, err := h.minter.Prepare(ofLogin(t, func(g *policy.Login) { g.IDToken.Alg = keyring.EdDSA }))
	wantReason(t, "no key", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonUnavailable)
}

func TestP39_HintIsAnIDTokenOfOursHoweverOld(t *testing.T) {
	h := newHouse(t)
	raw := h.mint(t, ofLogin(t)).IDToken
	for _, age := range []time.Duration{0, time.Hour, 1000 * time.Hour} {
		got, err := h.opener.OpenHint(raw, start.Add(age))
		if want := (token.Hint{Subject: "acme|ada", ClientID: "wiki", SessionID: "session-1"}); err != nil || got != want {
			t.Errorf("%v: %+v, %v", age, got, err)
		}
	}
}

func TestP39_HintIsNothingElse(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	m := h.mint(t, ofLogin(t))
	head, rest, _ := strings.Cut(m.IDToken, ".")
	body, _, _ := strings.Cut(rest, ".")
	for name, c := range map[string]struct {
		raw    string
		reason oauth.Reason
	}{
		"an access token":         {m.Raw, oauth.ReasonTokenClass},
		"another broker's":        {other.mint(t, ofLogin(t)).IDToken, oauth.ReasonSignature},
		"another signature":       {head + "." + body + "." + strings.Repeat("A", 86), oauth.ReasonSignature},
		"not a token":             {"x", oauth.ReasonToken},
		"from the future":         {h.mint(t, ofLogin(t, func(g *policy.Login) { g.Now = start.Add(time.Hour) })).IDToken, oauth.ReasonToken},
		"without a typ, unsigned": {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256"}`)) + "." + body + "." + strings.Repeat("A", 86), oauth.ReasonTokenClass},
	} {
		_, err := h.opener.OpenHint(c.raw, start)
		wantReason(t, name, err, oauth.CodeInvalidRequest, c.reason)
	}
}

func TestP39_HintOfARetiredKeyIsGood(t *testing.T) {
	now := start
	clock := func() time.Time { return now }
	e, err := engines.Open("memory", engines.Options{Now: clock})
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	seal, err := store.NewSealer([]store.SealKey{{ID: "s"}})
	must(t, err)
	open := func() *keyring.Keyring {
		ring, err := keyring.Open(t.Context(), keyring.Options{
			Engine: e, Sealing: seal, Now: clock, Algorithms: []string{keyring.ES256}, RotateEvery: 24 * time.Hour, KeepRetired: 30 * 24 * time.Hour,
		})
		must(t, err)
		return ring
	}
	raw := ""
	{
		m, err := mint(token.NewMinter(token.MinterOptions{Issuer: issuer, Keyring: open()}), ofLogin(t))
		must(t, err)
		raw = m.IDToken
	}
	var ring *keyring.Keyring
	for range 6 { // each start takes one step of the keys' lives
		now = now.Add(24 * time.Hour)
		ring = open()
	}
	kid := strings.Split(raw, ".")[0]
	header, err := base64.RawURLEncoding.DecodeString(kid)
	must(t, err)
	id := strings.Split(strings.Split(string(header), `"kid":"`)[1], `"`)[0]
	if _, public := ring.Public(id); public {
		t.Fatal("the key is not retired")
	}
	revoked, err := revoke.Open(t.Context(), revoke.Options{Engine: e, Now: clock})
	must(t, err)
	opener, err := token.NewOpener(token.OpenerOptions{Issuer: issuer, Keyring: ring, Revoked: revoked})
	must(t, err)
	if _, err := opener.OpenHint(raw, now); err != nil {
		t.Error(err)
	}
}
