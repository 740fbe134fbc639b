package pattern_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/outbound"
	"fedbroker/upstreams/pattern"
)

const (
	form = "https://idp.example/*"
	kid  = "k" // every issuer's keys have it
)

func iss(name string) string { return "https://idp.example/" + name }

// world is every issuer of the form: who exists, who is slow, and who was asked.
type world struct {
	mu       sync.Mutex
	fail     map[string]error         // by issuer
	hang     map[string]chan struct{} // by issuer: closed when it may answer
	seed     map[string]string        // of its key [the issuer]
	slow     map[string]time.Duration // by issuer: how long it takes to answer
	fresh    time.Duration            // of a key set [10 minutes]
	fetches  int
	now, top int // at a time, and the most that ever were
}

func newWorld() *world {
	return &world{fail: map[string]error{}, hang: map[string]chan struct{}{}, seed: map[string]string{}, slow: map[string]time.Duration{}}
}

func (w *world) change(f func(*world)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
}

func (w *world) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fetches
}

func (w *world) source(issuer string) keys.Upstream {
	return keys.Upstream{Issuer: issuer, Source: func(ctx context.Context) (keys.Fetched, error) {
		w.mu.Lock()
		w.fetches++
		w.now++
		w.top = max(w.top, w.now)
		fail, hang, slow := w.fail[issuer], w.hang[issuer], w.slow[issuer]
		w.mu.Unlock()
		defer w.change(func(w *world) { w.now-- })
		if hang != nil {
			select {
			case <-hang:
			case <-ctx.Done():
				return keys.Fetched{}, ctx.Err()
			}
		}
		select {
		case <-time.After(slow):
		case <-ctx.Done():
			return keys.Fetched{}, ctx.Err()
		}
		if fail != nil {
			return keys.Fetched{}, fail
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		return keys.Fetched{Set: w.set(issuer), FreshFor: w.fresh}, nil
	}}
}

// set is the issuer's key set: one key, made of its seed. w.mu is held.
func (w *world) set(issuer string) []byte {
	name := w.seed[issuer]
	if name == "" {
		name = issuer
	}
	jwk, err := key(name).AppendJWK(nil)
	if err != nil {
		panic(err)
	}
	return fmt.Appendf(nil, `{"keys":[%s]}`, jwk)
}

func key(name string) jose.Key {
	var seed [ed25519.SeedSize]byte
	copy(seed[max(0, len(seed)-len(name)):], name[max(0, len(name)-len(seed)):])
	k, err := jose.NewKey(kid, "EdDSA", ed25519.NewKeyFromSeed(seed[:]).Public())
	if err != nil {
		panic(err)
	}
	return k
}

func isKeyOf(k jose.Key, name string) bool { return reflect.DeepEqual(k.Public, key(name).Public) }

var (
	notFound = &outbound.Error{Host: "idp.example", Class: outbound.ClassStatus, Status: 404}
	broken   = &outbound.Error{Host: "idp.example", Class: outbound.ClassStatus, Status: 503}
	noHost   = outbound.Describe("idp.example", &net.DNSError{IsNotFound: true})
)

// started is the issuers of one pattern, and the cache that refreshes their keys.
func started(t *testing.T, w *world, listed ...string) (*pattern.Issuers, *keys.Cache) {
	t.Helper()
	cache := keys.New(keys.Options{Random: func() float64 { return 0 }})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = cache.Run(ctx) }()
	p := pattern.New(pattern.Options{Upstream: "many", Form: pattern.NewForm(form, listed), Keys: cache, Source: w.source, Now: time.Now})
	t.Cleanup(func() { p.Close(); stop(); <-done })
	return p, cache
}

func lookup(p *pattern.Issuers, issuer string) ([]jose.Key, error) {
	return p.Lookup(context.Background(), "many", kid, issuer)
}

// verified takes a token of the issuer as good.
func verified(t *testing.T, p *pattern.Issuers, issuer string) {
	t.Helper()
	found, err := lookup(p, issuer)
	if err != nil {
		t.Fatalf("%s: %v", issuer, err)
	}
	if len(found) != 1 {
		t.Fatalf("%s: %d keys", issuer, len(found))
	}
	p.Verified(issuer)
}

// unavailable wants nothing to have been judged, and says when to come again.
func unavailable(t *testing.T, p *pattern.Issuers, issuer string) time.Duration {
	t.Helper()
	_, err := lookup(p, issuer)
	refused, ok := errors.AsType[*keys.UnavailableError](err)
	if !ok || !errors.Is(err, keys.ErrUnavailable) || errors.Is(err, keys.ErrUnknownKey) || refused.Upstream != "many" {
		t.Fatalf("%s: want unavailable, got %v", issuer, err)
	}
	return refused.RetryAfter
}

func met(p *pattern.Issuers) map[string]pattern.Met {
	all := map[string]pattern.Met{}
	for _, m := range p.Met() {
		all[m.Issuer] = m
	}
	return all
}

// inBubble runs a test whose cleanups belong to its time, too.
func inBubble(t *testing.T, f func(t *testing.T)) { synctest.Test(t, f) }
