package broker_test

import (
	"bufio"
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/login"
	"fedbroker/broker/oauth"
	"fedbroker/broker/web"
	"fedbroker/store/engines"
	"fedbroker/upstreams/upstreamtest"
)

// BenchmarkLogin: distinct persons, from the authorization request to the tokens. The IdP is a process of its own, and is asked for an ID
// token (ES256) and for userinfo: its work is not counted, our calls to it are. Bare crypto is one verification, one
// signature each for the access token and the ID token, and the attempt sealed and opened.
func BenchmarkLogin(b *testing.B) {
	for _, c := range []struct {
		name, idTokenAlg string
		loginBlock
		logins func(*loginHouse, *testing.B) [3]float64
	}{
		{"ES256", "ES256", loginBlock{callers, loginOps}, (*loginHouse).logins},
		{"ES256-web", "ES256", loginBlock{callers, loginOps}, (*loginHouse).loginsOverHTTP},
		{"ES256-alone", "ES256", loginBlock{callers: 1, ops: 64}, (*loginHouse).logins}, // nobody to share a commit with
		{"RS256", "RS256", loginBlock{callers, loginOps}, (*loginHouse).logins},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := newLoginHouse(b, c.idTokenAlg, c.loginBlock)
			verify, sign, signID, attempt := (&benchHouse{}).verifyBare(strings.Repeat("x", tokenSize)), signBare(b), signIDBare(b, c.idTokenAlg), sealBare(b)
			cheapest := [3]float64{math.Inf(1), math.Inf(1), math.Inf(1)}
			compare(b, func() float64 { return h.block(func(int) { verify(); sign(); signID(); attempt() }) }, func() (sum float64) {
				for i, cost := range c.logins(h, b) {
					cheapest[i], sum = min(cheapest[i], cost), sum+cost
				}
				return sum
			})
			for i, phase := range []string{"authorize", "callback", "code"} {
				b.ReportMetric(cheapest[i]/1e3, phase+"-µs/op")
			}
		})
	}
}

// BenchmarkSingleSignOn: a login of who has a session already, from the authorization request to the tokens. Two signatures.
func BenchmarkSingleSignOn(b *testing.B) {
	h := newLoginHouse(b, "ES256", loginBlock{callers, loginOps})
	h.logins(b)
	sign := signBare(b)
	compare(b, func() float64 { return h.block(func(int) { sign(); sign() }) }, func() float64 {
		return h.block(func(i int) {
			a := h.broker.Login().Authorize(b.Context(), asking(scopesOfLogin, h.sessions[i]))
			h.token(b, redeeming(codeOf(a)))
		})
	})
}

// BenchmarkRefresh: families of distinct persons, an ID token with each access token. Two signatures.
func BenchmarkRefresh(b *testing.B) {
	h := newLoginHouse(b, "ES256", loginBlock{callers, loginOps})
	h.scope = scopesOfOffline
	h.logins(b)
	sign := signBare(b)
	compare(b, func() float64 { return h.block(func(int) { sign(); sign() }) }, func() float64 {
		return h.block(func(i int) { h.refresh[i] = h.token(b, refreshing(h.refresh[i])) })
	})
}

// loginBlock is how many logins a block has, and how many at once.
type loginBlock struct{ callers, ops int }

// loginOps is less than blockOps: each costs more.
const loginOps = 512

func (l loginBlock) block(op func(int)) float64 { return block(l.callers, l.ops, op) }

// loginHouse signs people in on a file that is synced. What its blocks leave is the newest of each person.
type loginHouse struct {
	loginBlock
	idp, scope        string
	broker            *broker.Broker
	web               http.Handler
	sessions, refresh []string
}

func newLoginHouse(b *testing.B, idTokenAlg string, size loginBlock) *loginHouse {
	b.Helper()
	h := &loginHouse{loginBlock: size, idp: startIdP(b), scope: scopesOfLogin, sessions: make([]string, size.ops), refresh: make([]string, size.ops)}
	engine, err := engines.Open("bbolt", engines.Options{Path: filepath.Join(b.TempDir(), "fedbroker.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = engine.Close() })
	o := options(b, signInConfig(h.idp, idTokenAlg))
	o.Engine = engine
	h.broker = running(b, o)
	listener, err := web.New(web.Options{Broker: h.broker, Spec: web.Spec{Listen: "127.0.0.1:0"}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = listener.Close() })
	h.web = listener.Handler()
	return h
}

// logins takes a block of persons through each phase, and returns what one costs.
func (h *loginHouse) logins(b *testing.B) [3]float64 {
	b.Helper()
	sent, codes := make([]login.Answer, h.ops), make([]string, h.ops)
	authorize := h.block(func(i int) { sent[i] = h.broker.Login().Authorize(b.Context(), asking(h.scope, "")) })
	back := make([]login.Callback, h.ops)
	for i, a := range sent {
		back[i] = returning(a, h.atIdP(b, a.Redirect), "")
	}
	callback := h.block(func(i int) {
		a := h.broker.Login().Callback(b.Context(), back[i])
		if codes[i] = codeOf(a); a.Session != nil {
			h.sessions[i] = *a.Session
		}
	})
	code := h.block(func(i int) { h.refresh[i] = h.token(b, redeeming(codes[i])) })
	return [3]float64{authorize, callback, code}
}

// atIdP is what the IdP does with a browser: its code is the nonce, so that it need not remember.
func (h *loginHouse) atIdP(b *testing.B, authorizationURL string) url.Values {
	b.Helper()
	to, err := url.Parse(authorizationURL)
	if err != nil || to.Query().Get("nonce") == "" {
		b.Fatalf("not sent to the IdP: %q", authorizationURL)
	}
	return url.Values{"state": {to.Query().Get("state")}, "code": {to.Query().Get("nonce")}, "iss": {h.idp}}
}

// loginsOverHTTP is logins at the public listener's handler: all but its sockets.
func (h *loginHouse) loginsOverHTTP(b *testing.B) [3]float64 {
	b.Helper()
	r := asking(h.scope, "")
	ask := "/authorize?" + url.Values{
		"client_id": {r.ClientID}, "redirect_uri": {r.RedirectURI}, "response_type": {r.ResponseType}, "scope": {r.Scope}, "state": {r.State}, "nonce": {r.Nonce},
		"code_challenge": {r.CodeChallenge}, "code_challenge_method": {r.CodeChallengeMethod},
	}.Encode()
	answers := make([]*http.Response, h.ops)
	requests := make([]*http.Request, h.ops) // made beside the clock
	each := func(make func(i int) *http.Request) {
		for i := range requests {
			requests[i] = make(i)
		}
	}
	serve := func(i int) {
		w := httptest.NewRecorder()
		h.web.ServeHTTP(w, requests[i])
		answers[i] = w.Result()
	}
	each(func(int) *http.Request { return httptest.NewRequest(http.MethodGet, issuer+ask, nil) })
	authorize := h.block(serve)
	each(func(i int) *http.Request {
		back := httptest.NewRequest(http.MethodGet, callbackAtIdP+"?"+h.atIdP(b, answers[i].Header.Get("Location")).Encode(), nil)
		for _, cookie := range answers[i].Cookies() {
			back.AddCookie(cookie)
		}
		return back
	})
	callback := h.block(serve)
	each(func(i int) *http.Request {
		to, err := answers[i].Location()
		if err != nil {
			b.Fatal(err)
		}
		form := url.Values{"client_id": {"wiki"}, "client_secret": {secret}}
		for name, values := range redeeming(to.Query().Get("code")).Form {
			form[name] = values
		}
		r := httptest.NewRequest(http.MethodPost, issuer+"/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	})
	code := h.block(serve)
	for _, a := range answers {
		if a.StatusCode != http.StatusOK {
			b.Fatalf("no tokens: %d", a.StatusCode)
		}
	}
	return [3]float64{authorize, callback, code}
}

func (h *loginHouse) token(b *testing.B, r *oauth.TokenRequest) (refresh string) {
	got, err := h.broker.Token(b.Context(), r)
	if err != nil || got.IDToken == "" {
		b.Errorf("%+v, %v", got, err)
		return ""
	}
	return got.RefreshToken
}

// tokenSize is about the length of an ID token or access token, in bytes.
const tokenSize = 700

// signIDBare is one signature over as many bytes as an ID token has.
func signIDBare(b *testing.B, alg string) func() {
	b.Helper()
	if alg == "ES256" {
		return signBare(b)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048) // bits, as the keyring's
	if err != nil {
		b.Fatal(err)
	}
	input := make([]byte, tokenSize)
	return func() {
		sum := sha256.Sum256(input)
		if _, err := key.Sign(rand.Reader, sum[:], crypto.SHA256); err != nil {
			panic(err)
		}
	}
}

// sealBare seals and opens as many bytes as an attempt has.
func sealBare(b *testing.B) func() {
	b.Helper()
	cipherBlock, err := aes.NewCipher(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(cipherBlock)
	if err != nil {
		b.Fatal(err)
	}
	plain := make([]byte, tokenSize)
	return func() {
		if _, err := aead.Open(nil, nil, aead.Seal(nil, nil, plain, nil), nil); err != nil {
			panic(err)
		}
	}
}

// idpVariable makes the test binary the IdP of a benchmark.
const idpVariable = "FEDBROKER_BENCH_IDP"

// startIdP starts this binary again as an IdP, so that its CPU time is not ours, and returns its issuer.
func startIdP(b *testing.B) string {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	child := exec.Command(self, "-test.run=^TestIdPOfBenchmarks$") // ends with its standard input
	child.Env = append(os.Environ(), idpVariable+"=1")
	child.Stderr = os.Stderr
	in, err := child.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := child.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		if err := child.Wait(); err != nil {
			b.Error(err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// TestIdPOfBenchmarks is the IdP where startIdP asks for it: discovery and keys are upstreamtest's, tokens and userinfo come without any
// check, for the person whom the nonce names.
func TestIdPOfBenchmarks(t *testing.T) {
	if os.Getenv(idpVariable) == "" {
		t.Skip("serves benchmarks only")
	}
	var idp *upstreamtest.IdP
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	idp = upstreamtest.Must(upstreamtest.Options{Issuer: server.URL})
	defer idp.Close()
	idp.AlterDiscovery(func(document map[string]any) {
		document["token_endpoint"], document["userinfo_endpoint"] = server.URL+"/token", server.URL+"/userinfo"
	})
	mux.Handle("/.well-known/", idp)
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		nonce := r.FormValue("code")
		claims := idp.Claims(personOf(nonce), "fedbroker")
		claims["nonce"], claims["auth_time"] = nonce, time.Now().Unix()
		answer(w, map[string]any{"access_token": nonce, "token_type": "Bearer", "expires_in": 300, "id_token": idp.Sign(claims)})
	})
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		person := personOf(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
		answer(w, map[string]any{
			"sub": person, "name": "A. Person", "given_name": "A.", "family_name": "Person", "email": person + "@acme.example", "email_verified": true,
			"roles": []string{"eng-ord", "eng-pay", "staff"},
		})
	})
	fmt.Println(server.URL)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func personOf(nonce string) string { return "person-" + nonce[:12] }

func answer(w http.ResponseWriter, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}
