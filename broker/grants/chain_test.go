package grants

import (
	"context"
	"testing"
	"time"

	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/revoke"
	"fedbroker/broker/token"
	"fedbroker/mappers"
	"fedbroker/store"
	"fedbroker/store/engines"
)

// house signs, opens and revokes for real; only the upstream is the world's.
type house struct {
	*world
	grant   Grant
	minter  *token.Minter
	revoked *revoke.Set
}

const hops = `
- {id: in, subject: {upstream: acme}, requester: {clients: [gateway]}, grant: {audiences: [orders], scopes: [a, b], ttl: 20m}}
- {id: hop, subject: {issued: true, upstream: acme, when: claims.tenant == "acme"}, requester: {clients: [gateway]}, grant: {audiences: [orders], scopes: [a, {name: c, from: [b]}], ttl: 20m}}
`

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{world: external(t)}
	h.requester.Identifiers = []string{"orders"}
	clock := func() time.Time { return h.now }
	engine, err := engines.Open("memory", engines.Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close() })
	sealing, err := store.NewSealer([]store.SealKey{{ID: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.Context(), keyring.Options{Engine: engine, Sealing: sealing, Now: clock, Algorithms: []string{keyring.ES256}})
	if err != nil {
		t.Fatal(err)
	}
	if h.revoked, err = revoke.Open(t.Context(), revoke.Options{Engine: engine, Now: clock, MaxStale: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	opener, err := token.NewOpener(token.OpenerOptions{Issuer: ourIssuer, Keyring: ring, Revoked: h.revoked, Leeway: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	h.minter = token.NewMinter(token.MinterOptions{Issuer: ourIssuer, Keyring: ring})
	chain := mappers.Compile(mappers.Options{Upstream: "acme", Specs: []mappers.Spec{{Kind: "set", Claim: "tenant", Value: "acme"}}},
		func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) })
	h.grant = Table(Deps{
		Issuer: ourIssuer, Policy: compiledPolicy(t, hops), Upstreams: h.world, Own: opener, Revoked: h.revoked, Chains: map[string]*mappers.Chain{"acme": chain},
	})[oauth.GrantTokenExchange]
	return h
}

// exchange swaps one token for the next.
func (h *house) exchange(subject string) (token.Minted, policy.Authority, error) {
	h.t.Helper()
	req := &oauth.TokenRequest{Now: h.now, Requester: h.requester, Form: oauth.Form{oauth.ParamSubjectToken: {subject}, oauth.ParamSubjectTokenType: {oauth.TypeJWT}}}
	a, err := h.grant.Authorize(context.Background(), req)
	if err != nil {
		return token.Minted{}, a, err
	}
	d, err := h.minter.Prepare(a)
	if err != nil {
		h.t.Fatal(err)
	}
	m, err := d.Sign()
	if err != nil {
		h.t.Fatal(err)
	}
	return m, a, nil
}

func (h *house) mustExchange(subject string) (token.Minted, policy.Authority) {
	h.t.Helper()
	m, a, err := h.exchange(subject)
	if err != nil {
		h.t.Fatal(err)
	}
	return m, a
}

func wantReason(t *testing.T, err error, code oauth.Code, reason oauth.Reason) {
	t.Helper()
	if e := oauth.AsError(err); err == nil || e.Code != code || e.Reason != reason {
		t.Errorf("got %v, want %s: %s", err, code, reason)
	}
}

func TestP17_AuthorityAlongARealChain(t *testing.T) {
	h := newHouse(t)
	m, a := h.mustExchange(h.token())
	for _, want := range []string{"a b", "a c", "a"} { // b gives c, and c gives nothing
		if a.Scope() != want {
			t.Errorf("got %q, want %q", a.Scope(), want)
		}
		if a.Subject() != "acme|alice" || a.Upstream().Name != "acme" || a.Claims()["tenant"] != "acme" {
			t.Errorf("got %+v", a)
		}
		m, a = h.mustExchange(m.Raw)
	}
}

func TestP18_NoDescendantPassesItsOrigin(t *testing.T) {
	h := newHouse(t)
	first, _ := h.mustExchange(h.token())
	last := first
	for range 4 {
		h.now = h.now.Add(4 * time.Minute)
		var a policy.Authority
		last, a = h.mustExchange(last.Raw)
		if !a.OriginExpires().Equal(first.Expires) || !last.Expires.Equal(first.Expires) {
			t.Errorf("ends %v, origin %v, want %v", last.Expires, a.OriginExpires(), first.Expires)
		}
	}
	h.now = first.Expires.Add(-4 * time.Second)
	_, _, err := h.exchange(last.Raw)
	wantReason(t, err, oauth.CodeInvalidRequest, oauth.ReasonTokenTime)
}

func TestLineage_TheSeventeenthAncestorIsRefused(t *testing.T) {
	h := newHouse(t)
	m, a := h.mustExchange(h.token())
	for n := 1; n < revoke.MaxAncestors; n++ {
		if got := len(a.Lineage().Tokens); got != n {
			t.Fatalf("token %d has %d ancestors", n, got)
		}
		m, a = h.mustExchange(m.Raw)
	}
	_, _, err := h.exchange(m.Raw)
	wantReason(t, err, oauth.CodeInvalidRequest, oauth.ReasonLineage)
}

// Whatever of a token's descent is revoked, nothing more comes of it; also where the revocation is of a time before the descendants were made.
func TestP26_RevokedAncestorEndsTheChain(t *testing.T) {
	for kind, id := range map[revoke.Kind]func(first token.Minted) string{
		revoke.KindToken:    func(first token.Minted) string { return first.JTI },
		revoke.KindRule:     func(token.Minted) string { return "in" },
		revoke.KindClient:   func(token.Minted) string { return "gateway" },
		revoke.KindSubject:  func(token.Minted) string { return "acme|alice" },
		revoke.KindUpstream: func(token.Minted) string { return "acme" },
		revoke.KindKey:      func(first token.Minted) string { return first.KeyID },
	} {
		t.Run(string(kind), func(t *testing.T) {
			h := newHouse(t)
			first, _ := h.mustExchange(h.token())
			before := h.now
			h.now = h.now.Add(2 * time.Second)
			second, _ := h.mustExchange(first.Raw)
			h.now = h.now.Add(2 * time.Second)
			third, _ := h.mustExchange(second.Raw)
			if err := h.revoked.Revoke(t.Context(), kind, id(first), before, h.now.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			for _, m := range []token.Minted{first, second, third} {
				_, _, err := h.exchange(m.Raw)
				wantReason(t, err, oauth.CodeInvalidRequest, oauth.ReasonRevoked)
			}
		})
	}
}

func TestP26_RevokedExternalSubject(t *testing.T) {
	for kind, id := range map[revoke.Kind]string{revoke.KindToken: "tok-ext", revoke.KindSubject: "acme|alice", revoke.KindUpstream: "acme"} {
		h := newHouse(t)
		if err := h.revoked.Revoke(t.Context(), kind, id, h.now, h.now.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		_, _, err := h.exchange(h.token())
		wantReason(t, err, oauth.CodeInvalidRequest, oauth.ReasonRevoked)
	}
}
