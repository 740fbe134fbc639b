package token_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/upstreams/jose"
)

// delegated is the authority of orders-api acting for alice, on whose behalf the gateway acted before; it proved key k1.
func delegated(t testing.TB, tokenType string) policy.Authority {
	t.Helper()
	p := policy.Compile(rules.Options{
		Rules: []rules.Spec{{
			ID: "r", Subject: &rules.SubjectSpec{Issued: true}, Requester: &rules.RequesterSpec{Clients: []string{"orders-api"}}, Actor: &rules.ActorSpec{Required: true},
			Grant: &rules.GrantSpec{Audiences: []string{"billing", "orders-api"}, TokenTypes: []string{"access_token", "id_token"}},
		}},
		AccessTTL: ttl, Clients: []rules.Client{{ID: "orders-api", IDTokenAlg: keyring.ES256}},
	}, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) })
	audience := "billing"
	if tokenType == oauth.TypeIDToken {
		audience = "orders-api"
	}
	d, err := p.Decide(&rules.Request{
		Subject: &rules.Subject{
			Own: true, Upstream: "acme", Sub: "acme|alice", ClientID: "gateway", Issuer: issuer, Made: []string{"tenant"}, Principal: map[string]any{"tenant": "acme"},
			IssuedAt: start, Expires: start.Add(ttl), OriginExpires: start.Add(ttl), ACR: "gold", AuthTime: start.Add(-time.Hour), JTI: "own-1",
			Facts: revoke.Facts{TokenID: "own-1", ClientID: "gateway", Subject: "acme|alice", Upstream: "acme", Kid: "k"}, Act: &rules.Actor{Subject: "gateway", ClientID: "gateway"},
		},
		Actor:     &rules.Subject{Own: true, Sub: "orders-api", ClientID: "orders-api", Issuer: issuer, IssuedAt: start, Expires: start.Add(ttl), OriginExpires: start.Add(ttl), Facts: revoke.Facts{TokenID: "own-2", ClientID: "orders-api", Subject: "orders-api", Kid: "k"}},
		Requester: &oauth.Requester{ClientID: "orders-api"}, Targets: []string{audience}, TokenType: tokenType, Proof: oauth.Proof{Key: "k1"}, Now: start,
	}, nil)
	must(t, err)
	a, err := policy.Combine(d)
	must(t, err)
	return a
}

func TestP20_AccessTokenNamesTheWholeChain(t *testing.T) {
	h := newHouse(t)
	_, claims := h.read(t, h.mint(t, delegated(t, oauth.TypeAccessToken)).Raw)
	want := map[string]any{"iss": issuer, "sub": "orders-api", "client_id": "orders-api", "act": map[string]any{"iss": issuer, "sub": "gateway", "client_id": "gateway"}}
	if !reflect.DeepEqual(claims["act"], want) || !reflect.DeepEqual(claims["cnf"], map[string]any{"jkt": "k1"}) {
		t.Errorf("act %v, cnf %v", claims["act"], claims["cnf"])
	}
	if lin := claims["lin"].(map[string]any); !reflect.DeepEqual(lin["tok"], []any{"own-1", "own-2"}) {
		t.Errorf("the actor's token is no ancestor: %v", lin)
	}
}

func TestP22_ExchangedIDToken(t *testing.T) {
	h := newHouse(t)
	m := h.mint(t, delegated(t, oauth.TypeIDToken))
	header, claims := h.read(t, m.Raw)
	if header.ExtraHeaders["typ"] != "JWT" || m.IDToken != "" {
		t.Errorf("typ %v, and beside it %q", header.ExtraHeaders["typ"], m.IDToken)
	}
	for name, want := range map[string]any{
		"aud": "orders-api", "azp": "orders-api", "acr": "gold", "auth_time": float64(start.Add(-time.Hour).Unix()), "tenant": "acme", "jti": m.JTI, "sub": "acme|alice",
		"act": map[string]any{"iss": issuer, "sub": "orders-api", "client_id": "orders-api", "act": map[string]any{"iss": issuer, "sub": "gateway", "client_id": "gateway"}},
	} {
		if !reflect.DeepEqual(claims[name], want) {
			t.Errorf("%s: got %v, want %v", name, claims[name], want)
		}
	}
	for _, name := range []string{"nonce", "at_hash", "c_hash", "sid", "scope", "client_id"} {
		if v, present := claims[name]; present {
			t.Errorf("%s: %v", name, v)
		}
	}
	if _, err := h.open(t, m.Raw); oauth.AsError(err).Reason != oauth.ReasonTokenClass {
		t.Errorf("P9: as an access token: %v", err)
	}
}

func TestP23_IDJAGIsOfAClosedListOfClaims(t *testing.T) {
	h := newHouse(t)
	p := policy.Compile(rules.Options{AccessTTL: ttl, Clients: []rules.Client{{ID: "wiki"}}}, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) },
		policy.ResourceServer{Issuer: "https://as.other.example", ClientIDs: map[string]string{"wiki": "abc"}, Scopes: []string{"chat"}})
	raw := h.mint(t, ofLogin(t)).IDToken
	u, err := jose.Parse(raw)
	must(t, err)
	own, err := h.opener.OpenID(u, start)
	must(t, err)
	d, err := p.ForIDJAG(&policy.JAGRequest{
		Requester: &oauth.Requester{ClientID: "wiki"}, Audiences: []string{"https://as.other.example"}, Resources: []string{"https://chat.example"}, Now: start, Proof: oauth.Proof{Key: "k1"},
		Subject: &rules.Subject{
			Own: true, IDToken: true, Upstream: own.UpstreamName, Sub: own.Subject, ClientID: own.ClientID, Audiences: own.Audience, Issuer: issuer, IssuedAt: own.IssuedAt, Expires: own.Expires,
			OriginExpires: own.OriginExpires, AuthTime: own.AuthTime, ACR: own.ACR, AMR: own.AMR, Facts: own.Facts, Made: []string{"name"}, Principal: own.Claims,
		},
	})
	must(t, err)
	a, err := policy.Combine(d)
	must(t, err)
	m := h.mint(t, a)
	header, claims := h.read(t, m.Raw)
	if header.ExtraHeaders["typ"] != "oauth-id-jag+jwt" {
		t.Errorf("typ %v", header.ExtraHeaders["typ"])
	}
	if want := (map[string]any{
		"iss": issuer, "sub": "acme|ada", "aud": "https://as.other.example", "client_id": "abc", "jti": m.JTI, "exp": float64(start.Add(time.Minute).Unix()), "iat": float64(start.Unix()),
		"scope": "chat", "resource": "https://chat.example", "auth_time": float64(start.Add(-time.Minute).Unix()), "acr": "gold", "amr": []any{"pwd"}, "cnf": map[string]any{"jkt": "k1"},
	}); !reflect.DeepEqual(claims, want) {
		t.Errorf("got  %v\nwant %v", claims, want)
	}
}

func TestP26_IDTokenOfALoginIsHeldAgainstRevocations(t *testing.T) {
	for kind, id := range map[revoke.Kind]string{revoke.KindFamily: "grant-1", revoke.KindSession: "session-1", revoke.KindClient: "wiki", revoke.KindSubject: "acme|ada", revoke.KindUpstream: "acme"} {
		h := newHouse(t)
		u, err := jose.Parse(h.mint(t, ofLogin(t)).IDToken)
		must(t, err)
		own, err := h.opener.OpenID(u, start)
		must(t, err)
		if own.ClientID != "wiki" || !slices.Equal(own.Audience, []string{"wiki"}) || own.SessionID != "session-1" {
			t.Errorf("opened %+v", own)
		}
		must(t, h.revoked.Revoke(t.Context(), kind, id, start, start.Add(time.Hour)))
		_, err = h.opener.OpenID(u, start)
		wantReason(t, string(kind), err, oauth.CodeInvalidRequest, oauth.ReasonRevoked)
	}
}

func TestP9_OnlyAnIDTokenIsOpenedAsOne(t *testing.T) {
	h := newHouse(t)
	for _, typ := range []string{"", "at+jwt", "logout+jwt", "oauth-id-jag+jwt", "dpop+jwt"} {
		claims := good()
		claims["azp"] = "wiki"
		u, err := jose.Parse(h.forge(t, typ, claims))
		must(t, err)
		_, err = h.opener.OpenID(u, start)
		wantReason(t, "typ "+typ, err, oauth.CodeInvalidRequest, oauth.ReasonTokenClass)
	}
}
