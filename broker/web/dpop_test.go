package web_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/dpop"
	"fedbroker/broker/login"
	"fedbroker/broker/oauth"
	"fedbroker/broker/settings"
	"fedbroker/broker/web"
)

// prover is a client with a key of its own, as another library makes its proofs.
type prover struct {
	h   *house
	key *ecdsa.PrivateKey
}

func (h *house) prover() *prover {
	h.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		h.t.Fatal(err)
	}
	return &prover{h, key}
}

func (p *prover) thumbprint() string {
	sum, err := (&jose.JSONWebKey{Key: p.key.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		p.h.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(sum)
}

// proof is one for now; changes are pairs of a claim and its value.
func (p *prover) proof(method, url string, changes ...any) string {
	p.h.t.Helper()
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": p.h.clock().Unix()}
	for i := 0; i < len(changes); i += 2 {
		claims[changes[i].(string)] = changes[i+1]
	}
	text, err := json.Marshal(claims)
	if err != nil {
		p.h.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: p.key}, (&jose.SignerOptions{EmbedJWK: true}).WithType("dpop+jwt"))
	if err != nil {
		p.h.t.Fatal(err)
	}
	signed, err := signer.Sign(text)
	if err != nil {
		p.h.t.Fatal(err)
	}
	raw, err := signed.CompactSerialize()
	if err != nil {
		p.h.t.Fatal(err)
	}
	return raw
}

const tokenURL, userInfoURL = issuer + "/token", issuer + "/userinfo"

// request sends a token request with proofs; several are several headers.
func (h *house) request(form url.Values, client string, proofs ...string) answer {
	h.t.Helper()
	return h.do(call{path: "/token", form: form, header: join(as(client), http.Header{"Dpop": proofs})})
}

// older is a house that has run for longer than any clock may be off: proofs need no nonce.
func older(t *testing.T, setups ...setup) *house {
	t.Helper()
	h := newHouse(t, setups...)
	h.now.Add(int64(time.Minute / time.Second))
	return h
}

var credentials = url.Values{"grant_type": {oauth.GrantClientCredentials}, "scope": {"orders.read"}}

func mustBound(c *broker.Config, _ *web.Spec) {
	i := slices.IndexFunc(c.Clients, func(s clients.Spec) bool { return s.ID == "gateway" })
	c.Clients[i].DPoPBoundAccessTokens = true
}

func mustNonce(c *broker.Config, _ *web.Spec) { c.DPoP = settings.DPoPSpec{RequireNonce: true} }

// RFC 9449 §5: the answer is of type DPoP, and the token bound to the proof's key (§6.1).
func TestRFC9449_TokenEndpoint(t *testing.T) {
	h := older(t)
	p := h.prover()
	a := h.request(credentials, "gateway", p.proof("POST", tokenURL))
	if a.status != http.StatusOK || a.text("token_type") != "DPoP" || a.header.Get("DPoP-Nonce") != "" {
		t.Fatalf("%d %v %s", a.status, a.header, a.raw)
	}
	if cnf, _ := claimsOf(t, a.text("access_token"))["cnf"].(map[string]any); len(cnf) != 1 || cnf["jkt"] != p.thumbprint() {
		t.Errorf("cnf %v", cnf)
	}
	a = h.request(credentials, "gateway")
	if _, bound := claimsOf(t, a.text("access_token"))["cnf"]; bound || a.text("token_type") != "Bearer" {
		t.Errorf("without a proof: %s", a.raw)
	}
}

// RFC 9449 §5 and §8: refusals are 400 here, and have no token beside them.
func TestRFC9449_TokenEndpointRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		setups []setup
		proofs func(h *house) []string
		code   oauth.Code
	}{
		"two headers (§4.3)": {nil, func(h *house) []string {
			p := h.prover()
			return []string{p.proof("POST", tokenURL), p.proof("POST", tokenURL)}
		}, oauth.CodeInvalidDPoPProof},
		"an empty header (§4.3)":            {nil, func(*house) []string { return []string{""} }, oauth.CodeInvalidDPoPProof},
		"another method (§4.3)":             {nil, func(h *house) []string { return []string{h.prover().proof("GET", tokenURL)} }, oauth.CodeInvalidDPoPProof},
		"another endpoint (§4.3)":           {nil, func(h *house) []string { return []string{h.prover().proof("POST", userInfoURL)} }, oauth.CodeInvalidDPoPProof},
		"the listener's own name (§4.3)":    {nil, func(h *house) []string { return []string{h.prover().proof("POST", h.url+"/token")} }, oauth.CodeInvalidDPoPProof},
		"none, where it is a must (§5.2)":   {[]setup{mustBound}, func(*house) []string { return nil }, oauth.CodeInvalidDPoPProof},
		"no nonce, where it is a must (§8)": {[]setup{mustNonce}, func(h *house) []string { return []string{h.prover().proof("POST", tokenURL)} }, oauth.CodeUseDPoPNonce},
		"a nonce of nobody's (§8)":          {nil, func(h *house) []string { return []string{h.prover().proof("POST", tokenURL, "nonce", "x")} }, oauth.CodeUseDPoPNonce},
	} {
		t.Run(name, func(t *testing.T) {
			h := older(t, c.setups...)
			a := h.request(credentials, "gateway", c.proofs(h)...)
			if a.status != http.StatusBadRequest || a.text("error") != string(c.code) || a.text("error_description") != c.code.Description() || a.body["access_token"] != nil {
				t.Errorf("%d %s", a.status, a.raw)
			}
			if nonce := a.header.Get("DPoP-Nonce"); (nonce != "") != (c.code == oauth.CodeUseDPoPNonce) {
				t.Errorf("DPoP-Nonce %q", nonce)
			}
		})
	}
}

func TestP25_AProofServesOnceAtTheTokenEndpoint(t *testing.T) {
	h := older(t)
	proof := h.prover().proof("POST", tokenURL)
	if a := h.request(credentials, "gateway", proof); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if a := h.request(credentials, "gateway", proof); a.text("error") != string(oauth.CodeInvalidDPoPProof) {
		t.Errorf("again: %d %s", a.status, a.raw)
	}
}

// RFC 9449 §8: who is told a nonce comes again with it. A process that has just begun tells everybody.
func TestRFC9449_NonceAtTheTokenEndpoint(t *testing.T) {
	for name, h := range map[string]*house{"a process that has just begun": newHouse(t), "where it is a must": older(t, mustNonce)} {
		p := h.prover()
		a := h.request(credentials, "gateway", p.proof("POST", tokenURL))
		nonce := a.header.Get("DPoP-Nonce")
		if a.status != http.StatusBadRequest || a.text("error") != string(oauth.CodeUseDPoPNonce) || nonce == "" || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v %s", name, a.status, a.header, a.raw)
		}
		a = h.request(credentials, "gateway", p.proof("POST", tokenURL, "nonce", nonce))
		if a.status != http.StatusOK || a.text("token_type") != "DPoP" {
			t.Errorf("%s: %d %s", name, a.status, a.raw)
		}
		if offered := a.header.Get("DPoP-Nonce") != ""; offered != strings.HasPrefix(name, "where") { // §8.2
			t.Errorf("%s: offered with a success: %v", name, offered)
		}
	}
}

// Who is no client may not make proofs be remembered.
func TestP25_ProofsAreJudgedAfterTheClient(t *testing.T) {
	h := older(t)
	proof := h.prover().proof("POST", tokenURL)
	a := h.do(call{path: "/token", form: credentials, header: join(basic("gateway", "wrong"), http.Header{"Dpop": {proof}})})
	if a.text("error") != string(oauth.CodeInvalidClient) {
		t.Fatalf("%d %s", a.status, a.raw)
	}
	if a := h.request(credentials, "gateway", proof); a.status != http.StatusOK {
		t.Errorf("the proof was spent: %d %s", a.status, a.raw)
	}
}

// RFC 9449 §5.1.
func TestRFC9449_Metadata(t *testing.T) {
	listed, _ := newHouse(t).do(call{method: http.MethodGet, path: "/.well-known/openid-configuration"}).body["dpop_signing_alg_values_supported"].([]any)
	if len(listed) != len(dpop.Algorithms()) {
		t.Fatalf("listed %v", listed)
	}
	for i, alg := range dpop.Algorithms() {
		if listed[i] != alg || strings.HasPrefix(alg, "HS") || alg == "none" {
			t.Errorf("listed %v", listed)
		}
	}
}

// bindCode signs alice in with dpop_jkt, and is the answer to the code with the prover's proof.
func (s *signIns) bindCode(p *prover) answer {
	s.t.Helper()
	said := reply(s.t, s.signedIn(s.browser(), s.acme, "alice", request("idp_hint", "acme", "dpop_jkt", p.thumbprint())))
	form := url.Values{"grant_type": {oauth.GrantAuthorizationCode}, "code": {said.Get("code")}, "redirect_uri": {portal}, "code_verifier": {verifier}}
	other := s.prover()
	if a := s.request(form, "portal", other.proof("POST", tokenURL, "nonce", s.nonce(other))); a.text("error") != string(oauth.CodeInvalidGrant) { // RFC 9449 §10
		s.t.Fatalf("another key: %d %s", a.status, a.raw)
	}
	return s.request(form, "portal", p.proof("POST", tokenURL, "nonce", s.nonce(p)))
}

// nonce asks userinfo for one.
func (h *house) nonce(p *prover) string {
	h.t.Helper()
	a := h.request(url.Values{"grant_type": {oauth.GrantRefreshToken}}, "portal", p.proof("POST", tokenURL))
	return a.header.Get("DPoP-Nonce")
}

// RFC 9449 §7: from a bound code to what userinfo says.
func TestRFC9449_LoginToUserInfo(t *testing.T) {
	s := newSignIns(t)
	p, other := s.prover(), s.prover()
	tokens := s.bindCode(p)
	if tokens.status != http.StatusOK || tokens.text("token_type") != "DPoP" {
		t.Fatalf("%d %s", tokens.status, tokens.raw)
	}
	token, nonce := tokens.text("access_token"), s.nonce(p)
	ath := dpop.TokenHash(token)
	info := func(scheme string, proofs ...string) answer {
		return s.do(call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {scheme + " " + token}, "Dpop": proofs}})
	}
	good := func() string { return p.proof("GET", userInfoURL, "ath", ath, "nonce", nonce) }
	once := good()
	algs := `algs="` + strings.Join(dpop.Algorithms(), " ") + `"`
	for _, c := range []struct {
		name, scheme string
		proofs       []string
		status       int
		code         oauth.Code
	}{
		{"a good proof", "DPoP", []string{once}, 200, ""},
		{"the scheme in lower case", "dpop", []string{good()}, 200, ""},
		{"the proof again (§11.1)", "DPoP", []string{once}, 401, oauth.CodeInvalidDPoPProof},
		{"no proof (§7.1)", "DPoP", nil, 401, oauth.CodeInvalidDPoPProof},
		{"two proofs (§4.3)", "DPoP", []string{good(), good()}, 401, oauth.CodeInvalidDPoPProof},
		{"no ath (§7)", "DPoP", []string{p.proof("GET", userInfoURL, "nonce", nonce)}, 401, oauth.CodeInvalidDPoPProof},
		{"another's ath (§7)", "DPoP", []string{p.proof("GET", userInfoURL, "ath", dpop.TokenHash("x"), "nonce", nonce)}, 401, oauth.CodeInvalidDPoPProof},
		{"another method", "DPoP", []string{p.proof("POST", userInfoURL, "ath", ath, "nonce", nonce)}, 401, oauth.CodeInvalidDPoPProof},
		{"another endpoint", "DPoP", []string{p.proof("GET", tokenURL, "ath", ath, "nonce", nonce)}, 401, oauth.CodeInvalidDPoPProof},
		{"another key (§7.1)", "DPoP", []string{other.proof("GET", userInfoURL, "ath", ath, "nonce", nonce)}, 401, oauth.CodeInvalidToken},
		{"no nonce, of a process that has just begun (§9)", "DPoP", []string{p.proof("GET", userInfoURL, "ath", ath)}, 401, oauth.CodeUseDPoPNonce},
		{"by Bearer (§7.2)", "Bearer", []string{good()}, 401, oauth.CodeInvalidToken},
	} {
		a := info(c.scheme, c.proofs...)
		if a.status != c.status || a.text("error") != string(c.code) {
			t.Errorf("%s: %d %s", c.name, a.status, a.raw)
		}
		challenges := a.header.Values("WWW-Authenticate")
		switch {
		case c.code == "":
			if a.text("sub") != "acme|alice" || len(challenges) > 0 {
				t.Errorf("%s: %v %s", c.name, a.header, a.raw)
			}
		case c.scheme == "Bearer":
			if len(challenges) != 2 || !strings.HasPrefix(challenges[0], `Bearer realm="fedbroker", error="invalid_token"`) || challenges[1] != "DPoP "+algs {
				t.Errorf("%s: %q", c.name, challenges)
			}
		default:
			if len(challenges) != 1 || challenges[0] != "DPoP "+algs+`, error="`+string(c.code)+`", error_description="`+c.code.Description()+`"` {
				t.Errorf("%s: %q", c.name, challenges)
			}
		}
		if nonce := a.header.Get("DPoP-Nonce"); (nonce != "") != (c.code == oauth.CodeUseDPoPNonce) {
			t.Errorf("%s: DPoP-Nonce %q", c.name, nonce)
		}
	}
}

// RFC 9449 §7.1: a token that is bound to nothing is no token of the DPoP scheme.
func TestRFC9449_BearerTokenByTheDPoPScheme(t *testing.T) {
	s := newSignIns(t)
	said := reply(t, s.signedIn(s.browser(), s.acme, "alice", request("idp_hint", "acme")))
	token := s.redeem(said.Get("code")).text("access_token")
	proof := s.prover().proof("GET", userInfoURL, "ath", dpop.TokenHash(token))
	a := s.do(call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}}})
	if a.status != http.StatusUnauthorized || a.text("error") != string(oauth.CodeInvalidToken) || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "DPoP ") {
		t.Errorf("%d %v %s", a.status, a.header, a.raw)
	}
}

// What the judge of userinfo is told: the scheme, all headers, and the address by which the world knows us.
func TestRFC9449_UserInfoIsToldOfTheProof(t *testing.T) {
	h, j := judged(t)
	j.body = []byte("{}")
	for scheme, want := range map[string]bool{"DPoP": true, "dPOP": true, "Bearer": false} {
		j.userInfo = nil
		h.do(call{path: "/userinfo", header: http.Header{"Authorization": {scheme + " e30.e30.c2ln"}, "Dpop": {"a", "b"}}})
		if len(j.userInfo) != 1 {
			t.Fatalf("%s: asked %d times", scheme, len(j.userInfo))
		}
		got := j.userInfo[0].Request
		if got.Token != "e30.e30.c2ln" || got.DPoP != want || !slices.Equal(got.Proofs, []string{"a", "b"}) || got.Method != "POST" || got.URL != userInfoURL {
			t.Errorf("%s: %+v", scheme, got)
		}
	}
}

// RFC 9449 §7.1: only the header has a scheme for bound tokens; a body's is a bearer's.
func TestRFC9449_ATokenInABodyIsABearers(t *testing.T) {
	h, j := judged(t)
	j.body = []byte("{}")
	h.do(call{path: "/userinfo", form: url.Values{"access_token": {"e30.e30.c2ln"}}, header: http.Header{"Dpop": {"p"}}})
	if len(j.userInfo) != 1 || j.userInfo[0].DPoP {
		t.Errorf("asked %+v", j.userInfo)
	}
}

// RFC 9449 §7.2: who says nothing of a token learns both schemes.
func TestRFC9449_BothSchemesAreOffered(t *testing.T) {
	h, _ := judged(t)
	got := h.do(call{method: http.MethodGet, path: "/userinfo"}).header.Values("WWW-Authenticate")
	if want := []string{`Bearer realm="fedbroker"`, `DPoP algs="` + strings.Join(dpop.Algorithms(), " ") + `"`}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// RFC 9449 §10: dpop_jkt comes through, once.
func TestRFC9449_DPoPJKTAtTheAuthorizationEndpoint(t *testing.T) {
	h, j := judged(t)
	key := dpop.TokenHash("key")
	h.do(get("/authorize", request("dpop_jkt", key)))
	if len(j.authorize) != 1 || j.authorize[0].DPoPKey != key {
		t.Errorf("asked %+v", j.authorize)
	}
	twice := request()
	twice["dpop_jkt"] = []string{key, key}
	if a := h.do(get("/authorize", twice)); a.status != http.StatusBadRequest || len(j.authorize) != 1 {
		t.Errorf("twice: %d", a.status)
	}
}

// A page of an app reads the nonce and the challenge.
func TestRFC9449_RefusalsForPages(t *testing.T) {
	h, j := judged(t)
	e := oauth.Deny(oauth.CodeUseDPoPNonce, oauth.ReasonProof)
	e.Status, e.DPoPNonce = http.StatusUnauthorized, "n"
	j.clientID, j.err, j.answer = "wiki", e, login.Answer{}
	a := h.do(call{method: http.MethodGet, path: "/userinfo", header: http.Header{"Authorization": {"DPoP x"}, "Origin": {wikiOrigin}}})
	exposed := a.header.Get("Access-Control-Expose-Headers")
	if a.status != http.StatusUnauthorized || a.header.Get("DPoP-Nonce") != "n" || !strings.Contains(exposed, "DPoP-Nonce") || !strings.Contains(exposed, "WWW-Authenticate") {
		t.Errorf("%d %v", a.status, a.header)
	}
}

// RFC 9449 §6.2: a resource server is told the key.
func TestRFC9449_Introspection(t *testing.T) {
	h := newHouse(t)
	p := h.prover()
	nonce := h.request(credentials, "gateway", p.proof("POST", tokenURL)).header.Get("DPoP-Nonce")
	token := h.request(credentials, "gateway", p.proof("POST", tokenURL, "nonce", nonce)).text("access_token")
	a := h.do(call{path: "/introspect", form: url.Values{"token": {token}}, header: as("gateway")})
	if cnf, _ := a.body["cnf"].(map[string]any); a.body["active"] != true || a.text("token_type") != "DPoP" || len(cnf) != 1 || cnf["jkt"] != p.thumbprint() {
		t.Errorf("%d %s", a.status, a.raw)
	}
}
