package clients_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/upstreams/keys"
)

var start = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

func now() time.Time { return start }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// signer is a client's key, whose set it can write down.
type signer struct {
	key *ecdsa.PrivateKey
	id  string
}

func newSigner(t testing.TB, id string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return &signer{key: key, id: id}
}

func (s *signer) set(t testing.TB) []byte {
	t.Helper()
	set, err := json.Marshal(gojose.JSONWebKeySet{Keys: []gojose.JSONWebKey{{Key: &s.key.PublicKey, KeyID: s.id, Algorithm: "ES256", Use: "sig"}}})
	must(t, err)
	return set
}

func (s *signer) sign(t testing.TB, typ string, claims map[string]any) string {
	t.Helper()
	o := &gojose.SignerOptions{}
	if typ != "" {
		o = o.WithType(gojose.ContentType(typ))
	}
	js, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.ES256, Key: gojose.JSONWebKey{Key: s.key, KeyID: s.id}}, o)
	must(t, err)
	payload, err := json.Marshal(claims)
	must(t, err)
	signed, err := js.Sign(payload)
	must(t, err)
	raw, err := signed.CompactSerialize()
	must(t, err)
	return raw
}

// desk is a registry with one client of each method.
type desk struct {
	*clients.Registry
	robot, legacy *signer
	engine        store.Engine
}

func secretHash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	e, err := engines.Open("memory", engines.Options{Now: now})
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	d := &desk{robot: newSigner(t, "r1"), legacy: newSigner(t, "l1"), engine: e}
	file := func(s *signer) string {
		path := filepath.Join(t.TempDir(), "keys.json")
		must(t, os.WriteFile(path, s.set(t), 0o600))
		return path
	}
	cache := keys.New(keys.Options{Now: now})
	t.Cleanup(cache.Close)
	d.Registry = registry(t, clients.Options{
		Issuer: issuer, Leeway: 30 * time.Second, Keys: cache, Spend: revoke.NewSpender(e),
		Specs: []clients.Spec{
			{ID: "either", SecretSHA256: secretHash("s3cret"), GrantTypes: []string{"token-exchange"}, Identifiers: []string{"orders"}, Scopes: []string{"a"}, Audiences: []string{"b"}, UpstreamClaim: "full"},
			{ID: "basic", SecretSHA256: secretHash("s3cret"), AuthMethod: "client_secret_basic"},
			{ID: "post", SecretSHA256: secretHash("s3cret"), AuthMethod: "client_secret_post"},
			{ID: "spa", Public: true},
			{ID: "robot", JWKSFile: file(d.robot)},
			{ID: "legacy", JWKSFile: file(d.legacy), AssertionAud: "legacy"},
			{ID: "pod", Assertion: &clients.AssertionSpec{Upstream: "cluster", Subject: "s", Audience: "a"}},
		},
	})
	return d
}

func registry(t testing.TB, o clients.Options) *clients.Registry {
	t.Helper()
	return clients.NewRegistry(o, func(path, format string, args ...any) { t.Fatalf(path+": "+format, args...) }, nil)
}

func wantError(t testing.TB, what string, err error, code oauth.Code, reason oauth.Reason) {
	t.Helper()
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok || e.Code != code || e.Reason != reason {
		t.Errorf("%s: %v, want %s for %s", what, err, code, reason)
	}
}

func TestP37_ExactlyTheRegisteredMethod(t *testing.T) {
	d := newDesk(t)
	for _, test := range []struct {
		method, id, secret string
		good               bool
	}{
		{"client_secret_basic", "either", "s3cret", true},
		{"client_secret_post", "either", "s3cret", true},
		{"client_secret_basic", "basic", "s3cret", true},
		{"client_secret_post", "basic", "s3cret", false},
		{"client_secret_basic", "post", "s3cret", false},
		{"client_secret_post", "post", "s3cret", true},
		{"none", "spa", "", true},
		{"none", "either", "", false},
		{"none", "robot", "", false},
		{"none", "pod", "", false},
		{"none", "nobody", "", false},
		{"client_secret_basic", "spa", "", false},
		{"client_secret_post", "robot", "", false},
		{"client_secret_basic", "either", "S3cret", false},
		{"client_secret_basic", "either", "s3cret ", false},
		{"client_secret_basic", "either", "", false},
		{"client_secret_basic", "either", secretHash("s3cret"), false},
		{"client_secret_basic", "nobody", "s3cret", false},
		{"client_secret_basic", "", "s3cret", false},
		{"client_secret_basic", "EITHER", "s3cret", false},
		{"client_secret_jwt", "either", "s3cret", false},
		{"", "either", "s3cret", false},
	} {
		got, err := d.Authenticate(t.Context(), oauth.Credentials{Method: test.method, ClientID: test.id, Secret: test.secret}, start)
		switch {
		case test.good && (err != nil || got.ID != test.id || got.TokenID != ""):
			t.Errorf("%s as %s: %v", test.method, test.id, err)
		case !test.good:
			wantError(t, test.method+" as "+test.id, err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
			if got.Client != nil {
				t.Errorf("%s as %s: a client beside the error", test.method, test.id)
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the error holds the secret: %v", err)
			}
		}
	}
}

func TestRequester(t *testing.T) {
	d := newDesk(t)
	got, err := d.Authenticate(t.Context(), oauth.Credentials{Method: "client_secret_basic", ClientID: "either", Secret: "s3cret"}, start)
	must(t, err)
	want := oauth.Requester{ClientID: "either", Identifiers: []string{"orders"}, Audiences: []string{"b"}, Scopes: []string{"a"}, FullUpstream: true}
	if r := got.Requester(); !reflect.DeepEqual(r, want) {
		t.Errorf("requester %+v, want %+v", r, want)
	}
	if !got.MayUse(oauth.GrantTokenExchange) || got.MayUse(oauth.GrantClientCredentials) || got.MayUse("token-exchange") {
		t.Errorf("grants %v", got.GrantTypes)
	}
	if _, ok := d.Lookup("nobody"); ok || len(d.All()) != 7 {
		t.Errorf("%d clients", len(d.All()))
	}
}

// assertion is a good one of a client, with changes; a nil leaves a claim out.
func assertion(id string, changes map[string]any) map[string]any {
	claims := map[string]any{"iss": id, "sub": id, "aud": issuer, "jti": "j-1", "iat": start.Unix(), "exp": start.Add(time.Minute).Unix()}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

func (d *desk) assert(t testing.TB, id, raw string) (clients.Authenticated, error) {
	t.Helper()
	return d.Authenticate(t.Context(), oauth.Credentials{Method: "private_key_jwt", ClientID: id, Assertion: raw}, start)
}

func TestP37_Assertions(t *testing.T) {
	seconds := func(d time.Duration) int64 { return start.Add(d).Unix() }
	for _, test := range []struct {
		name    string
		changes map[string]any
		good    bool
	}{
		{"good", nil, true},
		{"aud is the token URL", map[string]any{"aud": issuer + "/token"}, false},
		{"aud is a list of our issuer", map[string]any{"aud": []string{issuer}}, false},
		{"aud is someone else", map[string]any{"aud": "https://other.example"}, false},
		{"no aud", map[string]any{"aud": nil}, false},
		{"iss is another client", map[string]any{"iss": "legacy"}, false},
		{"sub is another client", map[string]any{"sub": "legacy"}, false},
		{"no sub", map[string]any{"sub": nil}, false},
		{"no iss", map[string]any{"iss": nil}, false},
		{"no jti", map[string]any{"jti": nil}, false},
		{"empty jti", map[string]any{"jti": ""}, false},
		{"no exp", map[string]any{"exp": nil}, false},
		{"no iat", map[string]any{"iat": nil}, false},
		{"lives five minutes", map[string]any{"exp": seconds(5 * time.Minute)}, true},
		{"lives longer", map[string]any{"exp": seconds(5*time.Minute + time.Second)}, false},
		{"expired within the leeway", map[string]any{"iat": seconds(-time.Minute), "exp": seconds(-29 * time.Second)}, true},
		{"expired", map[string]any{"iat": seconds(-time.Minute), "exp": seconds(-30 * time.Second)}, false},
		{"issued in the future", map[string]any{"iat": seconds(31 * time.Second)}, false},
		{"not valid yet", map[string]any{"nbf": seconds(31 * time.Second)}, false},
		{"exp as text", map[string]any{"exp": "2030"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t)
			raw := d.robot.sign(t, "", assertion("robot", test.changes))
			got, err := d.assert(t, "robot", raw)
			if test.good {
				must(t, err)
				if got.ID != "robot" || len(got.TokenID) != 22 || got.Requester().CredentialTokenID != got.TokenID {
					t.Errorf("client %s by token %q", got.ID, got.TokenID)
				}
				return
			}
			wantError(t, test.name, err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
			// A refused assertion spends nothing: put right, its jti is good.
			if _, err := d.assert(t, "robot", d.robot.sign(t, "", assertion("robot", nil))); err != nil {
				t.Errorf("after the refusal: %v", err)
			}
		})
	}
}

func TestP37_LegacyAudience(t *testing.T) {
	d := newDesk(t)
	for i, test := range []struct {
		aud  any
		good bool
	}{{issuer, true}, {issuer + "/token", true}, {[]string{issuer + "/token"}, false}, {issuer + "/token/", false}, {issuer + "/introspect", false}} {
		_, err := d.assert(t, "legacy", d.legacy.sign(t, "", assertion("legacy", map[string]any{"aud": test.aud, "jti": string(rune('a' + i))})))
		if (err == nil) != test.good {
			t.Errorf("aud %v: %v", test.aud, err)
		}
	}
}

func TestP37_JTIOnce(t *testing.T) {
	d := newDesk(t)
	raw := d.robot.sign(t, "", assertion("robot", nil))
	results := make(chan error, 16)
	var all sync.WaitGroup
	for range cap(results) {
		all.Go(func() {
			_, err := d.Authenticate(context.Background(), oauth.Credentials{Method: "private_key_jwt", Assertion: raw}, start)
			results <- err
		})
	}
	all.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
			continue
		}
		wantError(t, "replay", err, oauth.CodeInvalidClient, oauth.ReasonReplay)
	}
	if won != 1 {
		t.Errorf("%d of one assertion passed", won)
	}
	// Another assertion with the same jti is a replay, too; another client may have the same jti.
	_, err := d.assert(t, "robot", d.robot.sign(t, "", assertion("robot", map[string]any{"exp": start.Add(2 * time.Minute).Unix()})))
	wantError(t, "same jti, other exp", err, oauth.CodeInvalidClient, oauth.ReasonReplay)
	_, err = d.assert(t, "legacy", d.legacy.sign(t, "", assertion("legacy", nil)))
	must(t, err)
}

func TestP9_AssertionClass(t *testing.T) {
	d := newDesk(t)
	for i, typ := range []string{"at+jwt", "logout+jwt", "oauth-id-jag+jwt", "dpop+jwt", "secevent+jwt", "x"} {
		_, err := d.assert(t, "robot", d.robot.sign(t, typ, assertion("robot", map[string]any{"jti": string(rune('a' + i))})))
		wantError(t, typ, err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
	}
	_, err := d.assert(t, "robot", d.robot.sign(t, "", assertion("robot", map[string]any{"events": map[string]any{}})))
	wantError(t, "with events", err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
	_, err = d.assert(t, "robot", d.robot.sign(t, "JWT", assertion("robot", nil)))
	must(t, err)
}

func TestP37_WhoSigned(t *testing.T) {
	d := newDesk(t)
	stranger := newSigner(t, "r1") // the same kid, another key
	for name, test := range map[string]struct{ id, raw string }{
		"a stranger's key":            {"robot", stranger.sign(t, "", assertion("robot", nil))},
		"another client's key":        {"robot", d.legacy.sign(t, "", assertion("robot", nil))},
		"client_id of another client": {"legacy", d.robot.sign(t, "", assertion("robot", nil))},
		"a client with a secret":      {"", d.robot.sign(t, "", assertion("either", nil))},
		"a client that is not there":  {"", d.robot.sign(t, "", assertion("nobody", nil))},
		"not a token":                 {"", "a.b.c"},
		"nothing":                     {"robot", ""},
		"10 MB":                       {"robot", strings.Repeat("a.", 5<<20)},
	} {
		_, err := d.assert(t, test.id, test.raw)
		wantError(t, name, err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
	}
}

// down is a store that takes no commit.
type down struct{ store.Engine }

func (down) Commit(context.Context, ...store.Op) ([]uint64, error) { return nil, store.ErrUnknown }

func TestP24_AssertionThatCannotBeSpent(t *testing.T) {
	d := newDesk(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	must(t, os.WriteFile(path, d.robot.set(t), 0o600))
	cache := keys.New(keys.Options{Now: now})
	t.Cleanup(cache.Close)
	d.Registry = registry(t, clients.Options{
		Issuer: issuer, Keys: cache, Spend: revoke.NewSpender(down{d.engine}), Specs: []clients.Spec{{ID: "robot", JWKSFile: path}},
	})
	_, err := d.assert(t, "robot", d.robot.sign(t, "", assertion("robot", nil)))
	wantError(t, "not durable", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonNotDurable)
}

func TestKeysFromTheClientsURL(t *testing.T) {
	s := newSigner(t, "r1")
	broken := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if broken {
			http.Error(w, "no", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.set(t))
	}))
	t.Cleanup(server.Close)
	for _, outage := range []bool{true, false} {
		broken = outage
		e, err := engines.Open("memory", engines.Options{Now: now})
		must(t, err)
		t.Cleanup(func() { _ = e.Close() })
		cache := keys.New(keys.Options{Now: now})
		t.Cleanup(cache.Close)
		d := &desk{Registry: registry(t, clients.Options{
			Issuer: issuer, Keys: cache, Spend: revoke.NewSpender(e), Specs: []clients.Spec{{ID: "robot", JWKSURI: server.URL}},
		})}
		_, err = d.assert(t, "", s.sign(t, "", assertion("robot", nil)))
		if outage {
			wantError(t, "keys can't be had", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable)
		} else {
			must(t, err)
		}
	}
}

// Without keys a registry still judges, and authenticates nobody by an assertion.
func TestRegistryForJudgingOnly(t *testing.T) {
	s := newSigner(t, "r1")
	d := &desk{Registry: registry(t, clients.Options{Issuer: issuer, Specs: []clients.Spec{{ID: "robot", JWKSURI: "https://keys.example.com/"}}})}
	_, err := d.assert(t, "robot", s.sign(t, "", assertion("robot", nil)))
	wantError(t, "no keys", err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
}
