package grants

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"fedbroker/broker/clients"
	"fedbroker/broker/keyring"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/release"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
	"fedbroker/broker/session"
	"fedbroker/broker/token"
	"fedbroker/mappers"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/upstreams/jose"
)

const (
	accessTTL = 10 * time.Minute
	idTTL     = 5 * time.Minute
	codeTTL   = time.Minute
	grace     = 10 * time.Second
	sessions  = 12 * time.Hour

	callback = "https://wiki.example.com/cb"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of RFC 7636 Appendix B
)

// loginWorld is the real parts that the grants of a login stand on, at a time that the test moves.
type loginWorld struct {
	t        testing.TB
	mu       sync.Mutex
	now      time.Time
	engine   store.Engine
	sealer   *store.Sealer
	sessions *session.Store
	revoked  *revoke.Set
	minter   *token.Minter
	opener   *token.Opener
	specs    []clients.Spec
	chains   map[string]*mappers.Chain
	rules    string
	proof    string   // thumbprint of the key that clients prove; "" for none
	store    Sessions // in the place of sessions, if set
	revoker  Revoker  // in the place of revoked, if set
}

func (h *loginWorld) clock() time.Time { h.mu.Lock(); defer h.mu.Unlock(); return h.now }

func (h *loginWorld) pass(d time.Duration) {
	h.mu.Lock()
	h.now = h.now.Add(d)
	h.mu.Unlock()
	h.must(h.revoked.Poll(context.Background()))
}

func (h *loginWorld) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func newLoginWorld(t testing.TB) *loginWorld {
	t.Helper()
	h := &loginWorld{t: t, now: noon, specs: apps(), chains: map[string]*mappers.Chain{"acme": {}, "beta": {}}}
	var err error
	h.engine, err = engines.Open("memory", engines.Options{Now: h.clock})
	h.must(err)
	t.Cleanup(func() { _ = h.engine.Close() })
	h.sealer, err = store.NewSealer([]store.SealKey{{ID: "s"}})
	h.must(err)
	h.sessions, err = session.Open(session.Options{
		Engine: h.engine, Sealing: h.sealer, Now: h.clock, TTL: sessions, Idle: time.Hour, CodeTTL: codeTTL,
		RefreshTTL: 720 * time.Hour, RefreshIdle: 168 * time.Hour, RefreshGrace: grace, Keep: accessTTL + time.Minute,
	})
	h.must(err)
	h.revoked, err = revoke.Open(t.Context(), revoke.Options{Engine: h.engine, Now: h.clock})
	h.must(err)
	ring, err := keyring.Open(t.Context(), keyring.Options{Engine: h.engine, Sealing: h.sealer, Now: h.clock, Algorithms: []string{keyring.ES256, keyring.EdDSA}})
	h.must(err)
	h.minter = token.NewMinter(token.MinterOptions{Issuer: ourIssuer, Keyring: ring})
	h.opener, err = token.NewOpener(token.OpenerOptions{Issuer: ourIssuer, Keyring: ring, Revoked: h.revoked, Leeway: 30 * time.Second})
	h.must(err)
	return h
}

// apps are a confidential client, one that is public, one whose refresh tokens stay as they are, and one whose families end with the session.
func apps() []clients.Spec {
	all := []string{"authorization_code", "refresh_token", "token-exchange"}
	scopes := []string{"openid", "profile", "email", "offline_access", "orders.read", "orders.write"}
	hash := strings.Repeat("0", 64)
	return []clients.Spec{
		{ID: "wiki", SecretSHA256: hash, GrantTypes: all, RedirectURIs: []string{callback}, Scopes: scopes, Audiences: []string{"https://orders.example", "https://billing.example"}},
		{ID: "spa", Public: true, GrantTypes: all, RedirectURIs: []string{callback}, Scopes: scopes, IDTokenAlg: keyring.EdDSA},
		{ID: "bank", SecretSHA256: hash, GrantTypes: all, RedirectURIs: []string{callback}, Scopes: scopes, Profile: "fapi2", UpstreamClaim: "full"},
		{ID: "desk", SecretSHA256: hash, GrantTypes: all, RedirectURIs: []string{callback}, Scopes: scopes, SessionRefresh: true},
	}
}

// app is the registration of a client, to be changed.
func (h *loginWorld) app(id string) *clients.Spec {
	return &h.specs[slices.IndexFunc(h.specs, func(s clients.Spec) bool { return s.ID == id })]
}

var scopes = release.New(nil)

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ada lets wiki know who she is, for as long as it likes.
func ada() session.Grant {
	return session.Grant{
		ClientID: "wiki", Subject: "acme|ada", Upstream: "acme", UpstreamIssuer: acmeIssuer, UpstreamSubject: "ada",
		AuthTime: noon.Add(-time.Minute), ACR: "gold", AMR: []string{"pwd", "otp"}, RedirectURI: callback, Challenge: challenge(verifier), Nonce: "n-1",
		Scopes: []string{"openid", "profile", "email", "offline_access"}, Offline: true,
		Claims: map[string]any{"name": "Ada", "locale": "en", "email": "ada@acme.example", "email_verified": true},
	}
}

// begin has the person sign in, and returns the code.
func (h *loginWorld) begin(g session.Grant) (code string, _ session.Grant) {
	h.t.Helper()
	now := h.clock()
	s := session.Session{Subject: g.Subject, Upstream: g.Upstream, UpstreamIssuer: g.UpstreamIssuer, UpstreamSubject: g.UpstreamSubject, AuthTime: g.AuthTime, ACR: g.ACR, AMR: g.AMR}
	_, code, _, g, err := h.sessions.Begin(context.Background(), store.NewKey(now), now.Add(time.Minute), s, nil, g)
	h.must(err)
	return code, g
}

// answer is what a client gets, or why not.
type answer struct {
	authority  policy.Authority
	access, id map[string]any // claims; nil: no such token
	raw, rawID string
	refresh    string
	err        error
	seen       oauth.Seen
}

// outcome is "ok", or code and reason.
func (a answer) outcome() string {
	if a.err == nil {
		return "ok"
	}
	e := oauth.AsError(a.err)
	return fmt.Sprintf("%s %s", e.Code, e.Reason)
}

// issuerOf is what the configuration gives each upstream that has a chain.
func (h *loginWorld) issuerOf(upstream string) string {
	if _, configured := h.chains[upstream]; !configured {
		return ""
	}
	return acmeIssuer
}

func (h *loginWorld) table() map[string]Grant {
	h.t.Helper()
	registry := clients.NewRegistry(clients.Options{Specs: h.specs, Issuer: ourIssuer}, func(path, format string, args ...any) { h.t.Fatalf(path+": "+format, args...) }, nil)
	d := Deps{
		Issuer: ourIssuer, Policy: h.policy(), Chains: h.chains, Own: h.opener, Revoked: h.revoked, Upstreams: &world{},
		Logins: Logins{Sessions: h.sessions, Clients: registry, Scopes: scopes, Issuers: h.issuerOf, Revoke: h.revoked, IDTTL: idTTL},
	}
	if h.store != nil {
		d.Logins.Sessions = h.store
	}
	if h.revoker != nil {
		d.Logins.Revoke = h.revoker
	}
	return Table(d)
}

func (h *loginWorld) policy() *policy.Policy {
	h.t.Helper()
	var specs []rules.Spec
	h.must(yaml.Load([]byte(cmp.Or(h.rules, "[]")), &specs, yaml.WithKnownFields()))
	known := make([]rules.Client, len(h.specs))
	for i, s := range h.specs {
		known[i] = rules.Client{ID: s.ID, Public: s.Public}
	}
	return policy.Compile(rules.Options{
		Rules: specs, AccessTTL: accessTTL, Leeway: 30 * time.Second, Upstreams: []rules.Upstream{{Name: "acme"}, {Name: "beta"}}, Clients: known,
	}, func(path, format string, args ...any) { h.t.Fatalf(path+": "+format, args...) })
}

// ask goes the way of the pipeline: authority, drafts, the spending, the signatures.
func (h *loginWorld) ask(client, grantType string, form url.Values) answer {
	h.t.Helper()
	f, err := oauth.ParseForm(form.Encode())
	h.must(err)
	i := slices.IndexFunc(h.specs, func(s clients.Spec) bool { return s.ID == client })
	spec := clients.Spec{}
	if i >= 0 {
		spec = h.specs[i]
	}
	req := &oauth.TokenRequest{GrantType: grantType, Form: f, Now: h.clock(), Proof: oauth.Proof{Key: h.proof}, Requester: oauth.Requester{
		ClientID: client, Audiences: spec.Audiences, Scopes: spec.Scopes, Public: spec.Public, FullUpstream: spec.UpstreamClaim == "full", Anonymous: client == "",
	}}
	return h.take(req, h.table()[grantType])
}

func (h *loginWorld) take(req *oauth.TokenRequest, g Grant) (out answer) {
	h.t.Helper()
	defer func() { out.seen = req.Seen }()
	if out.authority, out.err = g.Authorize(context.Background(), req); out.err != nil {
		if !out.authority.IsZero() || req.Redeem != nil {
			h.t.Error("something beside an error")
		}
		return out
	}
	draft, err := h.minter.Prepare(out.authority)
	if err != nil {
		return answer{err: err}
	}
	if req.Redeem != nil {
		if out.refresh, out.err = req.Redeem(context.Background()); out.err != nil {
			return out
		}
	}
	m, err := draft.Sign()
	h.must(err)
	out.raw, out.rawID = m.Raw, m.IDToken
	out.access = h.payload(m.Raw)
	if m.IDToken != "" {
		out.id = h.payload(m.IDToken)
	}
	return out
}

// payload are a token's claims, by another reader than ours.
func (h *loginWorld) payload(raw string) map[string]any {
	h.t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.Split(raw, ".")[1])
	h.must(err)
	var claims map[string]any
	h.must(json.Unmarshal(b, &claims))
	return claims
}

func codeForm(code string) url.Values {
	return url.Values{"code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
}

func (h *loginWorld) code(client, code string, edit ...func(url.Values)) answer {
	h.t.Helper()
	form := codeForm(code)
	for _, e := range edit {
		e(form)
	}
	return h.ask(client, oauth.GrantAuthorizationCode, form)
}

func (h *loginWorld) refresh(client, refresh string, edit ...func(url.Values)) answer {
	h.t.Helper()
	form := url.Values{"refresh_token": {refresh}}
	for _, e := range edit {
		e(form)
	}
	return h.ask(client, oauth.GrantRefreshToken, form)
}

func set(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }

// signedIn is a family at its first refresh token.
func (h *loginWorld) signedIn(g session.Grant) answer {
	h.t.Helper()
	code, _ := h.begin(g)
	a := h.code(g.ClientID, code)
	h.must(a.err)
	if a.refresh == "" {
		h.t.Fatal("no refresh token")
	}
	return a
}

// alive tells whether an access token still opens.
func (h *loginWorld) alive(raw string) bool {
	h.t.Helper()
	u, err := jose.Parse(raw)
	h.must(err)
	_, err = h.opener.OpenAccess(u, h.clock())
	if err != nil && !errors.Is(err, revoke.ErrRevoked) {
		h.t.Fatal(err)
	}
	return err == nil
}

func want(t testing.TB, a answer, outcome string) {
	t.Helper()
	if got := a.outcome(); got != outcome {
		t.Errorf("got %q, want %q (%v)", got, outcome, a.err)
	}
}
