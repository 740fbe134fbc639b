package keys_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/upstreams/history"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
)

const (
	issuer  = "https://idp.example"
	jwksURI = "https://idp.example/jwks"
)

// idp is a source of keys with knobs.
type idp struct {
	mu      sync.Mutex
	set     string
	err     error
	fresh   time.Duration
	fetches int
	gate    chan struct{} // not nil: a fetch waits until it is closed, or its context ends
	begun   chan struct{} // a fetch has begun
	linger  time.Duration // how long a fetch takes to notice that its context ended
}

func newIDP(kids ...string) *idp {
	return &idp{set: keySet(kids...), begun: make(chan struct{}, 1000)}
}

func (i *idp) change(f func(*idp)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	f(i)
}

func (i *idp) serve(kids ...string) { i.change(func(i *idp) { i.set, i.err = keySet(kids...), nil }) }
func (i *idp) down()                { i.change(func(i *idp) { i.err = classed("connect") }) }

func (i *idp) count() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

func (i *idp) fetch(ctx context.Context) (keys.Fetched, error) {
	i.mu.Lock()
	i.fetches++
	set, err, gate, fresh := i.set, i.err, i.gate, i.fresh
	i.mu.Unlock()
	select {
	case i.begun <- struct{}{}:
	default: // nobody reads that many
	}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			time.Sleep(i.linger)
			return keys.Fetched{}, ctx.Err()
		}
	}
	return keys.Fetched{Set: []byte(set), FreshFor: fresh, Discovery: keys.Discovery{Issuer: issuer, JWKSURI: jwksURI}}, err
}

// classed is an error as outbound has them.
type classed string

func (c classed) Error() string      { return "idp.example: " + string(c) }
func (c classed) ErrorClass() string { return string(c) }

// keySet is a set of Ed25519 keys, one per name, always the same for one name. "name@issuer" binds a key to an issuer, "name#seed" makes
// another key of the same kid.
func keySet(names ...string) string {
	var jwks []string
	for _, name := range names {
		id, iss, _ := strings.Cut(name, "@")
		kid, _, _ := strings.Cut(id, "#")
		var seed [ed25519.SeedSize]byte
		copy(seed[:], id)
		k, err := jose.NewKey(kid, "EdDSA", ed25519.NewKeyFromSeed(seed[:]).Public())
		if err != nil {
			panic(err)
		}
		k.Issuer = iss
		raw, err := k.AppendJWK(nil)
		if err != nil {
			panic(err)
		}
		jwks = append(jwks, string(raw))
	}
	return `{"keys":[` + strings.Join(jwks, ",") + `]}`
}

// newCache is a cache whose schedule is exact, unless the test brings its own chance.
func newCache(o keys.Options) *keys.Cache {
	if o.Random == nil {
		o.Random = func() float64 { return 0 }
	}
	return keys.New(o)
}

// memory is a Store.
type memory struct {
	mu               sync.Mutex
	histories        map[string]history.Log
	saved            map[string][]byte
	loadErr, saveErr error
	onSave           func()
	afterLoad        func() // after reading, before answering
}

func newMemory() *memory { return &memory{saved: map[string][]byte{}} }

func (m *memory) Load(_ context.Context, upstream string) (*keys.Saved, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	raw, ok := m.saved[upstream]
	if m.loadErr != nil || !ok {
		return nil, m.loadErr
	}
	if after := m.afterLoad; after != nil {
		m.mu.Unlock()
		after()
		m.mu.Lock()
	}
	var s keys.Saved
	return &s, json.Unmarshal(raw, &s)
}

func (m *memory) Save(_ context.Context, s *keys.Saved) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.onSave != nil {
		m.onSave()
	}
	if m.saveErr != nil {
		return m.saveErr
	}
	raw, err := json.Marshal(s)
	m.saved[s.Upstream] = raw
	if s.History != nil {
		if m.histories == nil {
			m.histories = map[string]history.Log{}
		}
		m.histories[s.Upstream] = *s.History
	}
	return err
}

func (m *memory) History(_ context.Context, upstream string) (history.Log, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.histories[upstream], m.loadErr
}

func (m *memory) fail(load, save error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loadErr, m.saveErr = load, save
}

// acme is how most tests register their upstream.
func acme(i *idp) keys.Upstream { return keys.Upstream{Issuer: issuer, Source: i.fetch} }

func lookup(c *keys.Cache, kid string) error {
	_, err := c.Lookup(context.Background(), "acme", kid, issuer)
	return err
}

// want holds a Lookup's outcome; nil: keys.
func want(t *testing.T, c *keys.Cache, kid string, target error) {
	t.Helper()
	got, err := c.Lookup(context.Background(), "acme", kid, issuer)
	if !errors.Is(err, target) || (err == nil) != (len(got) > 0) {
		t.Fatalf("kid %s: got %d keys and %v, want %v", kid, len(got), err, target)
	}
	if errors.Is(err, keys.ErrUnavailable) && errors.Is(err, keys.ErrUnknownKey) {
		t.Fatal("both unknown and unavailable")
	}
}

func wantFetches(t *testing.T, i *idp, n int) {
	t.Helper()
	synctest.Wait()
	if got := i.count(); got != n {
		t.Fatalf("got %d fetches, want %d", got, n)
	}
}

// running is a cache whose loop runs until the test ends.
func running(t *testing.T, c *keys.Cache) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
}

func errText(format string, args ...any) error { return fmt.Errorf(format, args...) }
