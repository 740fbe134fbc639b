package clients_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/broker/clients"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/store/engines"
	"fedbroker/upstreams/keys"
)

// site serves a client's key set, or is down.
type site struct {
	mu      sync.Mutex
	set     []byte // nil: down
	fetches int
}

func (s *site) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fetches++
	if s.set == nil {
		http.Error(w, "no", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.set)
}

func (s *site) serve(set []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set = set
}

func (s *site) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fetches
}

// newRobot is a registry with the client "robot", whose keys are at a site that is down, and the clock of its keys.
func newRobot(t *testing.T) (*desk, *site, func(time.Duration)) {
	t.Helper()
	e, err := engines.Open("memory", engines.Options{Now: now})
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	s := &site{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	var mu sync.Mutex
	at := start
	cache := keys.New(keys.Options{Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return at }})
	t.Cleanup(cache.Close)
	d := &desk{robot: newSigner(t, "r1"), engine: e, Registry: registry(t, clients.Options{
		Issuer: issuer, Leeway: 30 * time.Second, Keys: cache, Spend: revoke.NewSpender(e), Specs: []clients.Spec{{ID: "robot", JWKSURI: server.URL}},
	})}
	return d, s, func(by time.Duration) { mu.Lock(); defer mu.Unlock(); at = at.Add(by) }
}

// TestP37_JudgedBeforeKeysAreAskedFor: what no key can put right is refused in an outage as at any other time, and costs no fetch.
func TestP37_JudgedBeforeKeysAreAskedFor(t *testing.T) {
	d, site, _ := newRobot(t)
	for name, changes := range map[string]map[string]any{
		"expired":           {"iat": start.Add(-time.Hour).Unix(), "exp": start.Add(-time.Hour + time.Minute).Unix()},
		"lives too long":    {"exp": start.Add(time.Hour).Unix()},
		"of the future":     {"iat": start.Add(time.Minute).Unix(), "exp": start.Add(2 * time.Minute).Unix()},
		"no iat":            {"iat": nil},
		"no jti":            {"jti": nil},
		"another audience":  {"aud": "https://other.example"},
		"about another sub": {"sub": "legacy"},
	} {
		for range 2 {
			_, err := d.assert(t, "robot", newSigner(t, "invented").sign(t, "", assertion("robot", changes)))
			wantError(t, name, err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
		}
	}
	_, err := d.assert(t, "robot", signHS256(t, assertion("robot", nil)))
	wantError(t, "HS256", err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
	if n := site.count(); n != 0 {
		t.Errorf("%d fetches for assertions that no key could have put right", n)
	}
}

// TestP37_UnknownKeyIsTheWrongCredential: who invents a kid learns nothing of whether the client is registered and has keys, neither within
// the minute in which its URL isn't asked again nor while that is down.
func TestP37_UnknownKeyIsTheWrongCredential(t *testing.T) {
	d, site, pass := newRobot(t)
	invented := newSigner(t, "invented").sign(t, "", assertion("robot", nil))
	refused := func(what string) {
		t.Helper()
		_, err := d.assert(t, "robot", invented)
		wantError(t, what, err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
	}
	site.serve(d.robot.set(t))
	_, err := d.assert(t, "robot", d.robot.sign(t, "", assertion("robot", nil)))
	must(t, err)
	refused("first")
	fetched := site.count()
	refused("within the minute")
	if site.count() != fetched {
		t.Error("a second fetch within the minute")
	}
	site.serve(nil)
	pass(time.Minute)
	refused("the URL is down")
	refused("the URL is still down")
	// The last good set goes on serving, and the refusals spent no jti of the client's.
	_, err = d.assert(t, "robot", d.robot.sign(t, "", assertion("robot", map[string]any{"jti": "j-2"})))
	must(t, err)
}

// TestP37_NewKeyServesFromTheNextFetch: a key that was used as soon as it was published is refused for at most a minute.
func TestP37_NewKeyServesFromTheNextFetch(t *testing.T) {
	d, site, pass := newRobot(t)
	site.serve(d.robot.set(t))
	for _, s := range []*signer{d.robot, newSigner(t, "invented")} { // the second takes the minute's fetch
		_, _ = d.assert(t, "robot", s.sign(t, "", assertion("robot", nil)))
	}
	next := newSigner(t, "r2")
	site.serve(next.set(t))
	raw := next.sign(t, "", assertion("robot", map[string]any{"jti": "j-2"}))
	_, err := d.assert(t, "robot", raw)
	wantError(t, "within the minute", err, oauth.CodeInvalidClient, oauth.ReasonClientCredentials)
	pass(time.Minute)
	_, err = d.assert(t, "robot", raw)
	must(t, err)
}

// TestP37_NoKeysAtAllIsAnOutage: where no key set was ever had, or the last one is too old, the client is not to blame.
func TestP37_NoKeysAtAllIsAnOutage(t *testing.T) {
	d, site, pass := newRobot(t)
	good := d.robot.sign(t, "", assertion("robot", nil))
	for _, what := range []string{"never had", "still not"} {
		_, err := d.assert(t, "robot", good)
		wantError(t, what, err, oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable)
	}
	site.serve(d.robot.set(t))
	pass(time.Minute)
	_, err := d.assert(t, "robot", good)
	must(t, err)
	site.serve(nil)
	pass(25 * time.Hour)
	_, err = d.assert(t, "robot", d.robot.sign(t, "", assertion("robot", map[string]any{"jti": "j-2"})))
	wantError(t, "too old", err, oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable)
}

func signHS256(t *testing.T, claims map[string]any) string {
	t.Helper()
	js, err := gojose.NewSigner(gojose.SigningKey{Algorithm: gojose.HS256, Key: make([]byte, 32)}, nil)
	must(t, err)
	payload, err := json.Marshal(claims)
	must(t, err)
	signed, err := js.Sign(payload)
	must(t, err)
	raw, err := signed.CompactSerialize()
	must(t, err)
	return raw
}
