package token_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/broker/token"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/upstreams/jose"
)

const (
	issuer = "https://login.example.com"
	leeway = 30 * time.Second
	ttl    = 10 * time.Minute
)

var start = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

// house is everything that makes and opens tokens, at a time that the test sets.
type house struct {
	now     time.Time
	ring    *keyring.Keyring
	revoked *revoke.Set
	minter  *token.Minter
	opener  *token.Opener
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{now: start}
	clock := func() time.Time { return h.now }
	e, err := engines.Open("memory", engines.Options{Now: clock})
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	seal, err := store.NewSealer([]store.SealKey{{ID: "s"}})
	must(t, err)
	h.revoked, err = revoke.Open(t.Context(), revoke.Options{Engine: e, Now: clock})
	must(t, err)
	h.ring, err = keyring.Open(t.Context(), keyring.Options{Engine: e, Sealing: seal, Now: clock, Algorithms: []string{keyring.ES256}})
	must(t, err)
	h.minter = token.NewMinter(token.MinterOptions{Issuer: issuer, Keyring: h.ring})
	h.opener, err = token.NewOpener(token.OpenerOptions{Issuer: issuer, Keyring: h.ring, Revoked: h.revoked, Leeway: leeway})
	must(t, err)
	return h
}

func compile(t testing.TB, all ...rules.Spec) *policy.Policy {
	t.Helper()
	return policy.Compile(rules.Options{
		Rules: all, AccessTTL: ttl, Leeway: leeway, Upstreams: []rules.Upstream{{Name: "acme", Exchange: true, Leeway: leeway}}, Clients: []rules.Client{{ID: "gateway"}},
	}, func(path, format string, args ...any) { t.Fatalf("%s: %s", path, fmt.Sprintf(format, args...)) })
}

// ofClient is the authority of client_credentials.
func ofClient(t testing.TB, scopes ...string) policy.Authority {
	t.Helper()
	r := &oauth.Requester{ClientID: "gateway", Audiences: []string{"orders"}, Scopes: scopes}
	d, err := compile(t).ForClient(r, nil, "", oauth.Proof{}, start)
	must(t, err)
	a, err := policy.Combine(d)
	must(t, err)
	return a
}

// ofSubject is the authority of an exchange by the gateway.
func ofSubject(t testing.TB, full bool, claims map[string]any, audiences ...string) policy.Authority {
	t.Helper()
	rule := rules.Spec{
		ID: "partner", Subject: &rules.SubjectSpec{Upstream: "acme"}, Requester: &rules.RequesterSpec{Clients: []string{"gateway"}},
		Grant: &rules.GrantSpec{Audiences: audiences, Scopes: []rules.ScopeSpec{{Name: "orders.read"}, {Name: "orders.write"}}},
	}
	var made []string
	for name := range claims {
		made = append(made, name)
	}
	d, err := compile(t, rule).Decide(&rules.Request{
		Subject: &rules.Subject{
			Upstream: "acme", UpstreamIssuer: "https://idp.acme.example", UpstreamSubject: "alice", Sub: "acme|alice", Issuer: "https://idp.acme.example",
			Claims: map[string]any{}, Principal: claims, Made: made, Audiences: []string{"gw"}, IssuedAt: start, Expires: start.Add(5 * time.Minute),
			AuthTime: start.Add(-time.Hour), ACR: "mfa", AMR: []string{"pwd", "otp"},
			Facts: revoke.Facts{TokenID: "external-1", Subject: "acme|alice", Upstream: "acme"},
		},
		Requester: &oauth.Requester{ClientID: "gateway", FullUpstream: full}, Targets: audiences, Now: start,
	}, nil)
	must(t, err)
	a, err := policy.Combine(d)
	must(t, err)
	return a
}

// mint goes both steps at once.
func mint(m *token.Minter, a policy.Authority) (token.Minted, error) {
	d, err := m.Prepare(a)
	if err != nil {
		return token.Minted{}, err
	}
	return d.Sign()
}

func (h *house) mint(t testing.TB, a policy.Authority) token.Minted {
	t.Helper()
	m, err := mint(h.minter, a)
	must(t, err)
	return m
}

// read verifies with a library that shares no code with ours, and returns header and claims.
func (h *house) read(t testing.TB, raw string) (header gojose.Header, claims map[string]any) {
	t.Helper()
	body, _, _ := h.ring.JWKS()
	var set gojose.JSONWebKeySet
	must(t, json.Unmarshal(body, &set))
	signed, err := gojose.ParseSignedCompact(raw, []gojose.SignatureAlgorithm{gojose.ES256})
	must(t, err)
	payload, err := signed.Verify(set)
	must(t, err)
	must(t, json.Unmarshal(payload, &claims))
	return signed.Signatures[0].Header, claims
}

func (h *house) open(t testing.TB, raw string) (token.Own, error) {
	t.Helper()
	u, err := jose.Parse(raw)
	must(t, err)
	return h.opener.OpenAccess(u, h.now)
}

func wantReason(t testing.TB, what string, err error, code oauth.Code, reason oauth.Reason) {
	t.Helper()
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok || e.Code != code || e.Reason != reason {
		t.Errorf("%s: %v, want %s for %s", what, err, code, reason)
	}
}

func TestP35_RFC9068ClaimsAllPresent(t *testing.T) {
	h := newHouse(t)
	m := h.mint(t, ofClient(t, "orders.read", "orders.list"))
	header, claims := h.read(t, m.Raw)
	if typ := header.ExtraHeaders[gojose.HeaderType]; typ != "at+jwt" || header.KeyID != m.KeyID {
		t.Errorf("typ %v, kid %q, want at+jwt and %q", typ, header.KeyID, m.KeyID)
	}
	want := map[string]any{
		"iss": issuer, "sub": "gateway", "aud": "orders", "exp": float64(start.Add(ttl).Unix()), "iat": float64(start.Unix()), "jti": m.JTI,
		"client_id": "gateway", "scope": "orders.read orders.list", "origin_exp": float64(start.Add(ttl).Unix()), "lin": map[string]any{},
	}
	if !reflect.DeepEqual(claims, want) {
		t.Errorf("claims %v\nwant %v", claims, want)
	}
	if !m.IssuedAt.Equal(start) || !m.Expires.Equal(start.Add(ttl)) || len(m.JTI) != 30 || !strings.HasPrefix(m.JTI, fmt.Sprintf("%08x", start.Unix())) {
		t.Errorf("minted %+v", m)
	}
	if _, without := h.read(t, h.mint(t, ofClient(t)).Raw); without["scope"] != nil {
		t.Errorf("scope %v of none", without["scope"])
	}
}

func TestP3_ClientCredentialsHaveNoUpstream(t *testing.T) {
	h := newHouse(t)
	_, claims := h.read(t, h.mint(t, ofClient(t)).Raw)
	if _, there := claims["upstream"]; there || claims["sub"] != "gateway" {
		t.Errorf("upstream %v, sub %v", claims["upstream"], claims["sub"])
	}
}

func TestP34_AccessTokensAreES256(t *testing.T) {
	h := newHouse(t)
	if header, _ := h.read(t, h.mint(t, ofClient(t)).Raw); header.Algorithm != "ES256" {
		t.Errorf("alg %s", header.Algorithm)
	}
}

func TestExchangedToken(t *testing.T) {
	h := newHouse(t)
	claims := map[string]any{"groups": []any{"acme:orders"}, "tenant": "acme", "n": int64(9007199254740993)}
	m := h.mint(t, ofSubject(t, false, claims, "orders", "billing"))
	_, got := h.read(t, m.Raw)
	for name, want := range map[string]any{
		"aud": []any{"orders", "billing"}, "scope": "orders.read orders.write", "sub": "acme|alice", "acr": "mfa", "amr": []any{"pwd", "otp"},
		"auth_time": float64(start.Add(-time.Hour).Unix()), "exp": float64(start.Add(5 * time.Minute).Unix()), "origin_exp": float64(start.Add(5 * time.Minute).Unix()),
		"groups": []any{"acme:orders"}, "tenant": "acme", "lin": map[string]any{"tok": []any{"external-1"}, "rul": []any{"partner"}, "iat": float64(start.Unix())},
	} {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	own, err := h.open(t, m.Raw)
	must(t, err)
	ancestry, err := own.Facts.Ancestry(own.IssuedAt)
	must(t, err)
	want := revoke.Lineage{
		Tokens: []string{m.JTI, "external-1"}, Rules: []string{"partner"}, Clients: []string{"gateway"}, Kids: []string{m.KeyID},
		Subjects: []string{"acme|alice"}, Upstreams: []string{"acme"}, Since: start.Unix(), Own: start.Unix(),
	}
	if !reflect.DeepEqual(ancestry, want) {
		t.Errorf("what its descendants carry: %+v, want %+v", ancestry, want)
	}
	if own.Claims["n"] != int64(9007199254740993) {
		t.Errorf("the number became %v", own.Claims["n"])
	}
}

func TestP6_UpstreamInFullOnlyWhereTheClientHasIt(t *testing.T) {
	h := newHouse(t)
	for full, want := range map[bool]map[string]any{
		false: {"name": "acme"},
		true:  {"name": "acme", "iss": "https://idp.acme.example", "sub": "alice"},
	} {
		m := h.mint(t, ofSubject(t, full, nil, "orders"))
		if _, claims := h.read(t, m.Raw); !reflect.DeepEqual(claims["upstream"], want) {
			t.Errorf("full %v: upstream is %v, want %v", full, claims["upstream"], want)
		}
		own, err := h.open(t, m.Raw)
		must(t, err)
		issuer, _ := want["iss"].(string)
		if own.UpstreamName != "acme" || own.UpstreamIssuer != issuer {
			t.Errorf("opened: %s of %s", own.UpstreamName, own.UpstreamIssuer)
		}
	}
}

func TestOpenReadsWhatMintWrote(t *testing.T) {
	h := newHouse(t)
	m := h.mint(t, ofSubject(t, false, nil, "orders", "billing"))
	own, err := h.open(t, m.Raw)
	must(t, err)
	own.Claims = nil
	want := token.Own{
		Subject: "acme|alice", ClientID: "gateway", JTI: m.JTI, KeyID: m.KeyID, Audience: []string{"orders", "billing"}, Scopes: []string{"orders.read", "orders.write"},
		IssuedAt: m.IssuedAt.Local(), Expires: m.Expires.Local(), OriginExpires: m.Expires.Local(), AuthTime: start.Add(-time.Hour).Local(),
		ACR: "mfa", AMR: []string{"pwd", "otp"}, UpstreamName: "acme",
		Facts: revoke.Facts{TokenID: m.JTI, ClientID: "gateway", Subject: "acme|alice", Upstream: "acme", Kid: m.KeyID,
			Lineage: revoke.Lineage{Tokens: []string{"external-1"}, Rules: []string{"partner"}, Since: start.Unix()}},
	}
	if !reflect.DeepEqual(own, want) {
		t.Errorf("opened %+v\nwant   %+v", own, want)
	}
}

// forge signs what Mint never would, with our own key.
func (h *house) forge(t testing.TB, typ string, claims map[string]any) string {
	t.Helper()
	key, err := h.ring.Signing(keyring.ES256)
	must(t, err)
	head := fmt.Sprintf(`{"alg":"ES256","kid":"%s"}`, key.ID)
	if typ != "" {
		head = fmt.Sprintf(`{"typ":"%s","alg":"ES256","kid":"%s"}`, typ, key.ID)
	}
	payload, err := json.Marshal(claims)
	must(t, err)
	b64 := base64.RawURLEncoding.EncodeToString
	input := b64([]byte(head)) + "." + b64(payload)
	signature, err := key.AppendSignature(nil, []byte(input))
	must(t, err)
	return input + "." + b64(signature)
}

func good() map[string]any {
	return map[string]any{
		"iss": issuer, "sub": "acme|alice", "aud": "orders", "client_id": "gateway", "jti": "j", "iat": start.Unix(), "exp": start.Add(ttl).Unix(),
		"origin_exp": start.Add(ttl).Unix(), "lin": map[string]any{},
	}
}

func TestP9_OwnClassesNeverInterchange(t *testing.T) {
	h := newHouse(t)
	if _, err := h.open(t, h.forge(t, "at+jwt", good())); err != nil {
		t.Fatalf("the access token itself: %v", err)
	}
	for _, typ := range []string{"", "JWT", "logout+jwt", "oauth-id-jag+jwt", "dpop+jwt", "secevent+jwt", "at+jwt2"} {
		_, err := h.open(t, h.forge(t, typ, good()))
		wantReason(t, "typ "+typ, err, oauth.CodeInvalidRequest, oauth.ReasonTokenClass)
	}
	for name, value := range map[string]any{"events": map[string]any{}, "htm": "POST", "htu": "https://x.example"} {
		claims := good()
		claims[name] = value
		_, err := h.open(t, h.forge(t, "at+jwt", claims))
		wantReason(t, "with "+name, err, oauth.CodeInvalidRequest, oauth.ReasonTokenClass)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		claims map[string]any // nil: absent
		reason oauth.Reason
	}{
		{"another issuer", map[string]any{"iss": issuer + "/"}, oauth.ReasonTokenIssuer},
		{"no issuer", map[string]any{"iss": nil}, oauth.ReasonTokenIssuer},
		{"no sub", map[string]any{"sub": nil}, oauth.ReasonToken},
		{"empty sub", map[string]any{"sub": ""}, oauth.ReasonToken},
		{"no aud", map[string]any{"aud": nil}, oauth.ReasonToken},
		{"empty aud", map[string]any{"aud": []string{}}, oauth.ReasonToken},
		{"no client_id", map[string]any{"client_id": nil}, oauth.ReasonToken},
		{"no jti", map[string]any{"jti": nil}, oauth.ReasonToken},
		{"no iat", map[string]any{"iat": nil}, oauth.ReasonToken},
		{"no exp", map[string]any{"exp": nil}, oauth.ReasonToken},
		{"no origin_exp", map[string]any{"origin_exp": nil}, oauth.ReasonToken},
		{"exp as a string", map[string]any{"exp": "2000000000"}, oauth.ReasonToken},
		{"no lin", map[string]any{"lin": nil}, oauth.ReasonToken},
		{"a lin that names more than is known", map[string]any{"lin": map[string]any{"new": []string{"x"}}}, oauth.ReasonToken},
		{"an upstream without name", map[string]any{"upstream": map[string]any{"iss": "x"}}, oauth.ReasonToken},
		{"a scope that is none", map[string]any{"scope": "a  b"}, oauth.ReasonToken},
		{"expired", map[string]any{"exp": start.Add(-leeway).Unix()}, oauth.ReasonTokenTime},
		{"issued in the future", map[string]any{"iat": start.Add(leeway + time.Second).Unix()}, oauth.ReasonTokenTime},
		{"not valid yet", map[string]any{"nbf": start.Add(leeway + time.Second).Unix()}, oauth.ReasonTokenTime},
		{"nbf that is no time", map[string]any{"nbf": "x"}, oauth.ReasonTokenTime},
		{"nothing wrong", map[string]any{"exp": start.Add(time.Second - leeway).Unix(), "iat": start.Add(leeway).Unix(), "nbf": start.Add(leeway).Unix()}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			claims := good()
			maps.Copy(claims, test.claims)
			maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
			_, err := h.open(t, h.forge(t, "at+jwt", claims))
			if test.reason == "" {
				must(t, err)
				return
			}
			wantReason(t, test.name, err, oauth.CodeInvalidRequest, test.reason)
		})
	}
}

func TestOpenRefusesSignatures(t *testing.T) {
	h := newHouse(t)
	raw := h.mint(t, ofClient(t)).Raw
	parts := strings.Split(raw, ".")
	b64 := base64.RawURLEncoding
	head := func(text string) string { return b64.EncodeToString([]byte(text)) }
	kid := h.ring.List()[0].KeyID
	jwks, _, _ := h.ring.JWKS()
	symmetric := head(`{"typ":"at+jwt","alg":"HS256","kid":"`+kid+`"}`) + "." + parts[1]
	mac := hmac.New(sha256.New, jwks)
	mac.Write([]byte(symmetric))
	stranger := newHouse(t)
	for name, token := range map[string]string{
		"another payload":      parts[0] + "." + head(`{"iss":"`+issuer+`","sub":"admin"}`) + "." + parts[2],
		"no signature":         parts[0] + "." + parts[1] + ".",
		"alg none":             head(`{"typ":"at+jwt","alg":"none","kid":"`+kid+`"}`) + "." + parts[1] + ".",
		"HS256 over our JWKS":  symmetric + "." + b64.EncodeToString(mac.Sum(nil)),
		"no kid":               head(`{"typ":"at+jwt","alg":"ES256"}`) + "." + parts[1] + "." + parts[2],
		"a key of someone":     stranger.mint(t, ofClient(t)).Raw,
		"ES256 by another alg": head(`{"typ":"at+jwt","alg":"ES384","kid":"`+kid+`"}`) + "." + parts[1] + "." + parts[2],
	} {
		_, err := h.open(t, token)
		wantReason(t, name, err, oauth.CodeInvalidRequest, oauth.ReasonSignature)
	}
}

func TestP45_TokensOfACompromisedKeyAreDead(t *testing.T) {
	h := newHouse(t)
	raw := h.mint(t, ofClient(t)).Raw
	_, err := h.ring.Compromise(t.Context(), h.ring.List()[0].KeyID)
	must(t, err)
	_, err = h.open(t, raw)
	wantReason(t, "a token of the key", err, oauth.CodeInvalidRequest, oauth.ReasonSignature)
	if _, err := h.open(t, h.mint(t, ofClient(t)).Raw); err != nil {
		t.Errorf("a token of the new key: %v", err)
	}
}

func TestP26_OwnTokensAreHeldAgainstRevocations(t *testing.T) {
	for _, fact := range []struct {
		kind revoke.Kind
		id   func(token.Minted) string
	}{
		{revoke.KindToken, func(m token.Minted) string { return m.JTI }},
		{revoke.KindToken, func(token.Minted) string { return "external-1" }},
		{revoke.KindClient, func(token.Minted) string { return "gateway" }},
		{revoke.KindSubject, func(token.Minted) string { return "acme|alice" }},
		{revoke.KindUpstream, func(token.Minted) string { return "acme" }},
		{revoke.KindRule, func(token.Minted) string { return "partner" }},
		{revoke.KindKey, func(m token.Minted) string { return m.KeyID }},
	} {
		h := newHouse(t)
		m := h.mint(t, ofSubject(t, false, nil, "orders"))
		_, err := h.open(t, m.Raw)
		must(t, err)
		must(t, h.revoked.Revoke(t.Context(), fact.kind, fact.id(m), start, start.Add(time.Hour)))
		own, err := h.open(t, m.Raw)
		wantReason(t, string(fact.kind), err, oauth.CodeInvalidRequest, oauth.ReasonRevoked)
		if own.JTI != m.JTI || own.ClientID != "gateway" {
			t.Errorf("%s: the dead token says %+v", fact.kind, own)
		}
		if !errors.Is(err, revoke.ErrRevoked) {
			t.Errorf("%s: %v does not wrap ErrRevoked", fact.kind, err)
		}
	}
}

func TestP26_StaleIndexIsUnavailableNeverAllow(t *testing.T) {
	h := newHouse(t)
	raw := h.mint(t, ofClient(t)).Raw
	h.now = start.Add(revoke.DefaultMaxStale + time.Second)
	_, err := h.open(t, raw)
	wantReason(t, "stale", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale)
	// What needs no revocation to be refused is refused all the same (P27).
	_, err = h.open(t, h.forge(t, "JWT", good()))
	wantReason(t, "stale, and of another class", err, oauth.CodeInvalidRequest, oauth.ReasonTokenClass)
}

func TestP20_ActorsAndKeysAreRead(t *testing.T) {
	h := newHouse(t)
	act := map[string]any{"iss": issuer, "sub": "orders-api", "client_id": "orders-api", "act": map[string]any{"iss": issuer, "sub": "acme|bot"}}
	claims := good()
	claims["act"], claims["may_act"], claims["cnf"] = act, map[string]any{}, map[string]any{"jkt": "k1"}
	own, err := h.open(t, h.forge(t, "at+jwt", claims))
	must(t, err)
	want := &rules.Actor{Subject: "orders-api", ClientID: "orders-api", Act: &rules.Actor{Subject: "acme|bot"}}
	if !reflect.DeepEqual(own.Act, want) || !own.HasMayAct || own.Confirmed != "k1" {
		t.Errorf("opened %+v", own)
	}
	for name, change := range map[string]map[string]any{
		"act without sub":               {"act": map[string]any{"iss": issuer}},
		"act of another issuer":         {"act": map[string]any{"iss": "https://other.example", "sub": "x"}},
		"act without iss":               {"act": map[string]any{"sub": "x"}},
		"act with more than we write":   {"act": map[string]any{"iss": issuer, "sub": "x", "acr": "gold"}},
		"act that is no object":         {"act": "x"},
		"an inner act of nobody":        {"act": map[string]any{"iss": issuer, "sub": "x", "act": map[string]any{"iss": issuer}}},
		"P25 cnf of more than a key":    {"cnf": map[string]any{"jkt": "k", "x5t#S256": "y"}},
		"P25 cnf of another kind":       {"cnf": map[string]any{"kid": "k"}},
		"P25 cnf that is no object":     {"cnf": "k"},
		"P25 cnf of a key without name": {"cnf": map[string]any{"jkt": ""}},
	} {
		claims := good()
		maps.Copy(claims, change)
		_, err := h.open(t, h.forge(t, "at+jwt", claims))
		wantReason(t, name, err, oauth.CodeInvalidRequest, oauth.ReasonToken)
	}
}

func TestMintRefuses(t *testing.T) {
	h := newHouse(t)
	if m, err := mint(h.minter, policy.Authority{}); err == nil {
		t.Errorf("an authority that nothing made became %+v", m)
	}
	long := strings.Repeat("a", jose.MaxToken)
	_, err := mint(h.minter, ofSubject(t, false, map[string]any{"long": long}, "orders"))
	wantReason(t, "a token that nobody would open", err, oauth.CodeInvalidRequest, oauth.ReasonMapping)
	if _, err := mint(h.minter, ofSubject(t, false, map[string]any{"bad": struct{}{}}, "orders")); err == nil {
		t.Error("a claim of no JSON type was minted")
	}
	h.mint(t, ofClient(t)) // none of these left anything behind

	e, err := engines.Open("memory", engines.Options{})
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	seal, err := store.NewSealer([]store.SealKey{{ID: "s"}})
	must(t, err)
	ring, err := keyring.Open(t.Context(), keyring.Options{Engine: e, Sealing: seal, Algorithms: []string{keyring.EdDSA}})
	must(t, err)
	_, err = mint(token.NewMinter(token.MinterOptions{Issuer: issuer, Keyring: ring}), ofClient(t))
	wantReason(t, "no key", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonUnavailable)
	if _, err := token.NewOpener(token.OpenerOptions{Issuer: issuer, Keyring: ring}); err == nil {
		t.Error("an opener without revocations")
	}
}

// The length is judged before the signature exists, and to the byte.
func TestMintMeasuresExactly(t *testing.T) {
	h := newHouse(t)
	longest := 0
	for n := jose.MaxToken * 3 / 4; longest == 0; n-- {
		if m, err := mint(h.minter, ofSubject(t, false, map[string]any{"long": strings.Repeat("a", n)}, "orders")); err == nil {
			longest = len(m.Raw)
		}
	}
	if longest > jose.MaxToken || longest < jose.MaxToken-1 { // base64url has no text of each length
		t.Errorf("the longest token has %d bytes, want %d", longest, jose.MaxToken)
	}
}

func TestDraftSignsOnce(t *testing.T) {
	h := newHouse(t)
	d, err := h.minter.Prepare(ofClient(t))
	must(t, err)
	m, err := d.Sign()
	must(t, err)
	if again, err := d.Sign(); err == nil {
		t.Errorf("%+v, and again %+v", m, again)
	}
	if m, err := new(token.Draft).Sign(); err == nil {
		t.Errorf("of nothing came %+v", m)
	}
}

func TestMintByManyKeepsTokensApart(t *testing.T) {
	h := newHouse(t)
	var all sync.WaitGroup
	var seen sync.Map
	for i := range 8 {
		all.Go(func() {
			tenant := strings.Repeat(fmt.Sprint(i), 200*i)
			a := ofSubject(t, false, map[string]any{"tenant": tenant}, "orders")
			for range 50 {
				m, err := mint(h.minter, a)
				if err != nil {
					t.Error(err)
					return
				}
				if _, twice := seen.LoadOrStore(m.JTI, true); twice {
					t.Errorf("jti %s twice", m.JTI)
				}
				u, err := jose.Parse(m.Raw)
				if err != nil {
					t.Error(err)
					return
				}
				if own, err := h.opener.OpenAccess(u, start); err != nil || own.Claims["tenant"] != tenant {
					t.Errorf("opened %.20v, want %.20s: %v", own.Claims["tenant"], tenant, err)
				}
			}
		})
	}
	all.Wait()
}

func TestRotationChangesTheHeader(t *testing.T) {
	h := newHouse(t)
	first := h.mint(t, ofClient(t))
	_, err := h.ring.Compromise(t.Context(), first.KeyID)
	must(t, err)
	second := h.mint(t, ofClient(t))
	if header, _ := h.read(t, second.Raw); second.KeyID == first.KeyID || header.KeyID != second.KeyID {
		t.Errorf("kid %q, after %q", header.KeyID, first.KeyID)
	}
}

func BenchmarkMint(b *testing.B) {
	h := newHouse(b)
	a := ofSubject(b, false, map[string]any{"groups": []any{"acme:orders", "acme:eng-platform"}, "tenant": "acme"}, "orders")
	b.ReportAllocs()
	for b.Loop() {
		h.mint(b, a)
	}
}

func BenchmarkOpen(b *testing.B) {
	h := newHouse(b)
	u, err := jose.Parse(h.mint(b, ofSubject(b, false, map[string]any{"groups": []any{"acme:orders"}}, "orders")).Raw)
	must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.opener.OpenAccess(u, start); err != nil {
			b.Fatal(err)
		}
	}
}
