package grants

import (
	"net/url"
	"testing"

	"fedbroker/broker/dpop"
	"fedbroker/broker/session"
)

// Two keys, as their thumbprints.
var mine, theirs = dpop.TokenHash("mine"), dpop.TokenHash("theirs")

// proving makes clients prove a key from now on, "" for none.
func (h *loginWorld) proving(key string) *loginWorld { h.proof = key; return h }

// of is ada's grant for another client.
func of(client string) session.Grant {
	g := ada()
	g.ClientID = client
	return g
}

// bound is the key in a token's cnf, "" for a bearer token.
func bound(a answer) string {
	cnf, _ := a.access["cnf"].(map[string]any)
	jkt, _ := cnf["jkt"].(string)
	return jkt
}

// RFC 9449 §5: what is issued on a proof is bound to its key.
func TestRFC9449_TokensOfALoginAreBoundToTheProof(t *testing.T) {
	h := newLoginWorld(t).proving(mine)
	a := h.signedIn(ada())
	if bound(a) != mine {
		t.Errorf("access token %v", a.access)
	}
	if got := bound(h.refresh("wiki", a.refresh)); got != mine {
		t.Errorf("refreshed: %q", got)
	}
	if _, there := a.id["cnf"]; there {
		t.Error("an ID token has a cnf")
	}
	if got := bound(newLoginWorld(t).signedIn(ada())); got != "" {
		t.Errorf("without a proof: %q", got)
	}
}

// RFC 9449 §10: the code is the key's that dpop_jkt named. Who proves another, or none, can neither use nor spoil it.
func TestRFC9449_CodeIsBoundByDPoPJKT(t *testing.T) {
	for name, key := range map[string]string{"none": "", "another": theirs} {
		h := newLoginWorld(t)
		g := ada()
		g.DPoPKey = mine
		code, _ := h.begin(g)
		want(t, h.proving(key).code("wiki", code), "invalid_grant confirmation")
		a := h.proving(mine).code("wiki", code)
		want(t, a, "ok")
		if bound(a) != mine {
			t.Errorf("%s: %v", name, a.access)
		}
	}
}

// RFC 9449 §10: PKCE is held, too.
func TestRFC9449_DPoPJKTDoesNotStandForPKCE(t *testing.T) {
	h := newLoginWorld(t).proving(mine)
	g := ada()
	g.DPoPKey = mine
	code, _ := h.begin(g)
	want(t, h.code("wiki", code, func(f url.Values) { f.Del("code_verifier") }), "invalid_grant verifier")
}

// RFC 9449 §5: the refresh token of a public client is bound to the key.
func TestRFC9449_RefreshTokenOfAPublicClientIsItsKeys(t *testing.T) {
	h := newLoginWorld(t).proving(mine)
	a := h.signedIn(of("spa"))
	want(t, h.proving("").refresh("spa", a.refresh), "invalid_grant confirmation")
	want(t, h.proving(theirs).refresh("spa", a.refresh), "invalid_grant confirmation")
	again := h.proving(mine).refresh("spa", a.refresh)
	want(t, again, "ok") // nothing of that spoiled it
	if bound(again) != mine {
		t.Errorf("bound to %q", bound(again))
	}
}

// RFC 9449 §5: a confidential client's is held by its own authentication, and it may change its key.
func TestRFC9449_RefreshTokenOfAConfidentialClientTakesAnotherKey(t *testing.T) {
	h := newLoginWorld(t).proving(mine)
	first := h.signedIn(of("wiki"))
	a := h.proving(theirs).refresh("wiki", first.refresh)
	want(t, a, "ok")
	if bound(a) != theirs {
		t.Errorf("bound to %q", bound(a))
	}
}

func TestP17_ALoginThatWasProvenNeverYieldsABearerToken(t *testing.T) {
	h := newLoginWorld(t).proving(mine)
	a := h.signedIn(of("wiki"))
	want(t, h.proving("").refresh("wiki", a.refresh), "invalid_grant confirmation")
	want(t, h.proving(mine).refresh("wiki", a.refresh), "ok")
}

// A proof makes less of what was a bearer's, never more.
func TestP17_AProofLaterBindsWhatIsIssuedThen(t *testing.T) {
	h := newLoginWorld(t)
	a := h.signedIn(of("spa"))
	next := h.proving(mine).refresh("spa", a.refresh)
	if want(t, next, "ok"); bound(next) != mine || next.refresh == a.refresh {
		t.Errorf("bound to %q, rotated %v", bound(next), next.refresh != a.refresh)
	}
}

func TestP36_BoundRefreshTokensDoNotRotate(t *testing.T) {
	h := newLoginWorld(t).proving(mine)
	h.app("desk").DPoPBoundAccessTokens = true
	desk := of("desk")
	for _, g := range []session.Grant{of("spa"), desk} {
		first := h.signedIn(g)
		for range 3 {
			h.pass(2 * grace)
			a := h.refresh(g.ClientID, first.refresh)
			if want(t, a, "ok"); a.refresh != first.refresh {
				t.Errorf("%s: rotated", g.ClientID)
			}
		}
	}
}

// A public client's refresh token that no proof bound is used once, whatever its registration says by now (RFC 9700 §2.2.2).
func TestP36_UnboundRefreshTokensOfPublicClientsRotate(t *testing.T) {
	h := newLoginWorld(t)
	first := h.signedIn(of("spa"))
	h.app("spa").DPoPBoundAccessTokens = true
	if a := h.proving(mine).refresh("spa", first.refresh); a.refresh == first.refresh || a.err != nil {
		t.Errorf("rotated %v, %v", a.refresh != first.refresh, a.err)
	}
}

func TestP36_GraceIsOfTheSameKey(t *testing.T) {
	for name, c := range map[string]struct{ first, again, want string }{
		"the same":       {mine, mine, "ok"},
		"another":        {mine, theirs, "invalid_grant reuse"},
		"none, and none": {"", "", "ok"},
		"one, then none": {"", mine, "invalid_grant reuse"},
	} {
		h := newLoginWorld(t).proving(c.first)
		a := h.signedIn(of("wiki"))
		next := h.refresh("wiki", a.refresh)
		want(t, next, "ok")
		got := h.proving(c.again).refresh("wiki", a.refresh)
		if got.outcome() != c.want {
			t.Errorf("%s: %s, want %s", name, got.outcome(), c.want)
		}
		if dead := !h.alive(next.raw); dead != (c.want != "ok") {
			t.Errorf("%s: the family is dead: %v", name, dead)
		}
	}
}

// A proof does not spare a stolen code its family's end.
func TestP36_CodeReplayWithAProofRevokes(t *testing.T) {
	h := newLoginWorld(t).proving(mine)
	code, _ := h.begin(of("spa"))
	first := h.code("spa", code)
	want(t, first, "ok")
	want(t, h.code("spa", code), "invalid_grant reuse")
	if h.alive(first.raw) {
		t.Error("the access token lives")
	}
}

// RFC 8707 §2.2: resource narrows what a refresh gives to some of the audiences that the person let the client have.
func TestP16_ResourceAtRefresh(t *testing.T) {
	h := newLoginWorld(t)
	g := ada()
	g.Audiences, g.Scopes = []string{"https://orders.example", "https://billing.example"}, append(g.Scopes, "orders.read")
	a := h.signedIn(g)
	for _, c := range []struct {
		name, resource, want string
	}{
		{"one of them", "https://orders.example", "ok"},
		{"beyond", "https://other.example", "invalid_target target"},
		{"no URI", "orders", "invalid_target target"},
		{"with a fragment", "https://orders.example#x", "invalid_target target"},
	} {
		got := h.refresh("wiki", a.refresh, set("resource", c.resource))
		if got.outcome() != c.want {
			t.Errorf("%s: %s, want %s", c.name, got.outcome(), c.want)
		}
		if got.err == nil {
			if auds := got.authority.Audiences(); len(auds) != 1 || auds[0] != c.resource {
				t.Errorf("%s: %v", c.name, auds)
			}
			a = got
		}
	}
	if all := h.refresh("wiki", a.refresh); all.err != nil || len(all.authority.Audiences()) != 2 {
		t.Errorf("without: %v, %v", all.authority.Audiences(), all.err)
	}
}
