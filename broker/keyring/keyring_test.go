package keyring_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gojose "github.com/go-jose/go-jose/v4"

	"fedbroker/broker/keyring"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/upstreams/jose"
)

// The schedule that follows from the defaults: 10 minutes of cache and one of slack; an hour of tokens and three minutes.
const (
	lead    = 11 * time.Minute
	outlive = 63 * time.Minute
	rotate  = 6 * time.Hour // each second of it is a look at the store
)

func memory(t testing.TB, now func() time.Time) store.Engine {
	t.Helper()
	e, err := engines.Open("memory", engines.Options{Now: now})
	must(t, err)
	t.Cleanup(func() { _ = e.Close() })
	return e
}

func sealer(t testing.TB, fill byte) store.Sealing {
	t.Helper()
	var key [32]byte
	for i := range key {
		key[i] = fill
	}
	s, err := store.NewSealer([]store.SealKey{{ID: fmt.Sprint("seal-", fill), Key: key}})
	must(t, err)
	return s
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, o keyring.Options) *keyring.Keyring {
	t.Helper()
	if o.Sealing == nil {
		o.Sealing = sealer(t, 1)
	}
	if o.RotateEvery == 0 {
		o.RotateEvery = rotate
	}
	if o.Algorithms == nil {
		o.Algorithms = []string{keyring.ES256} // quick to make
	}
	k, err := keyring.Open(t.Context(), o)
	must(t, err)
	return k
}

// running opens a keyring and runs it until the test ends. Inside a bubble, a loop that stays is a deadlock.
func running(t *testing.T, o keyring.Options) *keyring.Keyring {
	t.Helper()
	k := open(t, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	synctest.Wait()
	return k
}

func signs(t testing.TB, k *keyring.Keyring) string {
	t.Helper()
	key, err := k.Signing(keyring.ES256)
	must(t, err)
	return key.ID
}

// published are the key ids of the JWKS, in its order.
func published(t testing.TB, k *keyring.Keyring) []string {
	t.Helper()
	body, _, _ := k.JWKS()
	var set gojose.JSONWebKeySet
	must(t, json.Unmarshal(body, &set))
	ids := []string{}
	for _, key := range set.Keys {
		if !key.Valid() || !key.IsPublic() {
			t.Errorf("JWKS holds something that is no public key: %s", body)
		}
		ids = append(ids, key.KeyID)
	}
	return ids
}

func states(k *keyring.Keyring) string {
	var all []string
	for _, i := range k.List() {
		all = append(all, string(i.State))
	}
	return strings.Join(all, " ")
}

func wantStates(t testing.TB, when string, k *keyring.Keyring, want string) {
	t.Helper()
	if got := states(k); got != want {
		t.Errorf("%s: keys are %q, want %q", when, got, want)
	}
}

func TestP34_DefaultAlgorithms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := running(t, keyring.Options{Engine: memory(t, time.Now), Algorithms: keyring.DefaultAlgorithms()})
		for _, alg := range []string{"ES256", "RS256"} {
			key, err := k.Signing(alg)
			if err != nil || key.Alg != alg {
				t.Errorf("%s: %v", alg, err)
			}
		}
		if _, err := k.Signing("EdDSA"); !errors.Is(err, keyring.ErrNoKey) {
			t.Errorf("an algorithm that is not configured: %v", err)
		}
		if n := len(published(t, k)); n != 2 {
			t.Errorf("%d keys published, want 2", n)
		}
	})
}

func TestFirstStartIsReadyWithoutRSA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory(t, time.Now)
		o := keyring.Options{Engine: e, Algorithms: keyring.DefaultAlgorithms()}
		k := open(t, o)
		signs(t, k) // at once: nothing is cached yet
		if _, err := k.Signing("RS256"); !errors.Is(err, keyring.ErrNoKey) {
			t.Errorf("RS256 before Run made it: %v", err)
		}
		if _, _, maxAge := k.JWKS(); maxAge > 5*time.Second {
			t.Errorf("a JWKS that lacks a key may be cached for %v", maxAge)
		}
		k = running(t, o)
		if _, err := k.Signing("RS256"); err != nil {
			t.Error(err)
		}
		if _, _, maxAge := k.JWKS(); maxAge != keyring.DefaultJWKSMaxAge {
			t.Errorf("max-age %v, want %v", maxAge, keyring.DefaultJWKSMaxAge)
		}
	})
}

func TestOnlyRSAIsMadeAtOpen(t *testing.T) {
	k := open(t, keyring.Options{Engine: memory(t, time.Now), Algorithms: []string{keyring.RS256}})
	if _, err := k.Signing(keyring.RS256); err != nil {
		t.Error(err)
	}
}

func TestEveryAlgorithmVerifies(t *testing.T) {
	k := open(t, keyring.Options{Engine: memory(t, time.Now), Algorithms: []string{"ES256", "ES384", "EdDSA"}})
	rsa := open(t, keyring.Options{Engine: memory(t, time.Now), Algorithms: []string{"RS256", "PS256"}})
	for _, alg := range keyring.Algorithms() {
		t.Run(alg, func(t *testing.T) {
			ring := k
			if alg == "RS256" || alg == "PS256" {
				ring = rsa
			}
			key, err := ring.Signing(alg)
			must(t, err)
			accepted, err := jose.ParseAlgorithms([]string{alg})
			must(t, err)
			public, ok := ring.Public(key.ID)
			if !ok {
				t.Fatal("the signing key is not public")
			}
			b64 := base64.RawURLEncoding.EncodeToString
			for range 64 { // some ECDSA numbers begin with zeros
				input := b64([]byte(`{"alg":"`+alg+`","kid":"`+key.ID+`"}`)) + "." + b64([]byte(`{"iss":"x"}`))
				signature, err := key.AppendSignature([]byte("before"), []byte(input))
				must(t, err)
				u, err := jose.Parse(input + "." + b64(bytes.TrimPrefix(signature, []byte("before"))))
				must(t, err)
				if _, err := u.Verify([]jose.Key{public}, accepted); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestP34_KeyIDIsThumbprint(t *testing.T) {
	k := open(t, keyring.Options{Engine: memory(t, time.Now)})
	body, etag, maxAge := k.JWKS()
	var set struct {
		Keys []map[string]string
	}
	must(t, json.Unmarshal(body, &set))
	jwk := set.Keys[0]
	// RFC 7638 section 3: required members only, in lexicographic order, no white space.
	sum := sha256.Sum256(fmt.Appendf(nil, `{"crv":"%s","kty":"%s","x":"%s","y":"%s"}`, jwk["crv"], jwk["kty"], jwk["x"], jwk["y"]))
	if want := base64.RawURLEncoding.EncodeToString(sum[:]); jwk["kid"] != want {
		t.Errorf("kid %q, want %q", jwk["kid"], want)
	}
	if jwk["alg"] != "ES256" || jwk["use"] != "sig" || jwk["d"] != "" || maxAge != 10*time.Minute {
		t.Errorf("JWKS %s for %v", body, maxAge)
	}
	if !strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, `"`) || len(etag) < 10 {
		t.Errorf("ETag %s", etag)
	}
}

func TestP34_PublishSignRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := running(t, keyring.Options{Engine: memory(t, time.Now), KeepRetired: 3 * time.Hour})
		first := signs(t, k)
		_, etag, _ := k.JWKS()
		if _, ok := k.Public(""); ok {
			t.Error("a key without id")
		}

		time.Sleep(rotate - lead - 2*time.Second)
		wantStates(t, "before the interval ends", k, "signing")
		time.Sleep(4 * time.Second)
		wantStates(t, "published", k, "signing pending")
		ids := published(t, k)
		if len(ids) != 2 || ids[0] != first || signs(t, k) != first {
			t.Errorf("published %v, signing %s, want both published and %s to sign", ids, signs(t, k), first)
		}
		if _, now, _ := k.JWKS(); now == etag {
			t.Error("another JWKS has the same ETag")
		}

		time.Sleep(lead - 4*time.Second)
		if signs(t, k) != first {
			t.Error("the new key signs before every cache holds it")
		}
		time.Sleep(6 * time.Second)
		second := ids[1]
		wantStates(t, "after the lead", k, "retiring signing")
		if signs(t, k) != second || !slices.Equal(published(t, k), ids) {
			t.Error("want the second key to sign, and both published")
		}

		time.Sleep(outlive - 8*time.Second)
		if _, ok := k.Public(first); !ok {
			t.Error("the first key left before the longest token that it signed expired")
		}
		time.Sleep(8 * time.Second)
		wantStates(t, "after the longest token expired", k, "retired signing")
		if _, ok := k.Public(first); ok || !slices.Equal(published(t, k), ids[1:]) {
			t.Error("a retired key is public")
		}
		if _, ok := k.Retired(first); !ok {
			t.Error("a hint that a retired key signed does not verify")
		}
		if _, ok := k.Retired(second); !ok {
			t.Error("a hint that the signing key signed does not verify")
		}
		time.Sleep(3 * time.Hour)
		wantStates(t, "after the hints", k, "signing")
		if _, ok := k.Retired(first); ok {
			t.Error("the retired key is kept for ever")
		}
	})
}

func TestP34_RotateByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := running(t, keyring.Options{Engine: memory(t, time.Now)})
		first := signs(t, k)
		list, err := k.Rotate(t.Context())
		must(t, err)
		if len(list) != 2 || list[1].State != keyring.StatePending || !list[1].SignsFrom.Equal(time.Now().Add(lead)) || !list[0].StopsAt.Equal(list[1].SignsFrom) ||
			!list[0].RetiresAt.Equal(list[0].StopsAt.Add(outlive)) {
			t.Errorf("after rotation: %+v", list)
		}
		again, err := k.Rotate(t.Context())
		must(t, err)
		if len(again) != 2 {
			t.Errorf("a second rotation, while a key is pending, made another: %+v", again)
		}
		time.Sleep(lead + 2*time.Second)
		if signs(t, k) == first {
			t.Error("the first key still signs")
		}
	})
}

func TestP34_TwoKeyringsConverge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory(t, time.Now)
		a, b := running(t, keyring.Options{Engine: e}), running(t, keyring.Options{Engine: e})
		for range 3 {
			var both sync.WaitGroup
			for _, k := range []*keyring.Keyring{a, b} {
				both.Go(func() {
					if _, err := k.Rotate(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
			time.Sleep(2 * time.Second) // each has looked at the record since
			bodyA, tagA, _ := a.JWKS()
			bodyB, tagB, _ := b.JWKS()
			if !bytes.Equal(bodyA, bodyB) || tagA != tagB || signs(t, a) != signs(t, b) || states(a) != states(b) {
				t.Fatalf("replicas differ:\n%s %s\n%s %s", states(a), bodyA, states(b), bodyB)
			}
			if n := strings.Count(states(a), "pending"); n != 1 {
				t.Fatalf("two rotations at once: %s", states(a))
			}
			time.Sleep(lead + outlive)
		}
		time.Sleep(2 * rotate)
		if states(a) != states(b) || signs(t, a) != signs(t, b) {
			t.Errorf("after two more intervals: %s and %s", states(a), states(b))
		}
	})
}

// meanwhile does something just before the next Commit.
type meanwhile struct {
	store.Engine
	do func()
}

func (m *meanwhile) Commit(ctx context.Context, ops ...store.Op) ([]uint64, error) {
	if do := m.do; do != nil {
		m.do = nil
		do()
	}
	return m.Engine.Commit(ctx, ops...)
}

func TestP34_RotationIsCompareAndSwap(t *testing.T) {
	e := &meanwhile{Engine: memory(t, time.Now)}
	a, b := open(t, keyring.Options{Engine: e}), open(t, keyring.Options{Engine: e.Engine})
	e.do = func() {
		_, err := b.Rotate(t.Context())
		must(t, err)
	}
	list, err := a.Rotate(t.Context())
	must(t, err)
	if len(list) != 2 || !slices.Equal(list, b.List()) {
		t.Errorf("the slower rotation has %+v, the quicker %+v", list, b.List())
	}
}

func TestTwoFirstStartsMakeOneKey(t *testing.T) {
	e := memory(t, time.Now)
	rings := make([]*keyring.Keyring, 8)
	var all sync.WaitGroup
	for i := range rings {
		all.Go(func() { rings[i] = open(t, keyring.Options{Engine: e}) })
	}
	all.Wait()
	for _, k := range rings {
		if signs(t, k) != signs(t, rings[0]) || len(published(t, k)) != 1 {
			t.Fatalf("replicas sign with %s and %s", signs(t, k), signs(t, rings[0]))
		}
	}
}

func TestP45_CompromisedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory(t, time.Now)
		var revoked []string
		o := keyring.Options{Engine: e, KeepRetired: time.Hour, Revoke: func(_ context.Context, kid string, until time.Time) error {
			revoked = append(revoked, kid)
			if until.Before(time.Now().Add(24 * time.Hour)) { // whatever this configuration's longest token is
				t.Errorf("revocation ends at %v, before the longest token of any configuration does", until)
			}
			return nil
		}}
		k, other := running(t, o), running(t, o)
		first := signs(t, k)
		list, err := k.Compromise(t.Context(), first)
		must(t, err)
		if second := signs(t, k); second == first || !slices.Equal(published(t, k), []string{second}) {
			t.Errorf("after compromise %s signs, %v are published", second, published(t, k))
		}
		if len(list) != 2 || list[0].State != keyring.StateCompromised || list[1].State != keyring.StateSigning {
			t.Errorf("list: %+v", list)
		}
		if _, ok := k.Public(first); ok {
			t.Error("the compromised key verifies tokens")
		}
		if _, ok := k.Retired(first); ok {
			t.Error("the compromised key verifies hints")
		}
		if !slices.Equal(revoked, []string{first}) {
			t.Errorf("revoked %v", revoked)
		}
		time.Sleep(2 * time.Second)
		if _, ok := other.Public(first); ok || signs(t, other) != signs(t, k) {
			t.Error("the other replica goes on with the compromised key")
		}
		if _, err := k.Compromise(t.Context(), first); err != nil || len(revoked) != 2 {
			t.Errorf("repeated: %v, %d revocations", err, len(revoked))
		}
		if _, err := k.Compromise(t.Context(), "unknown"); !errors.Is(err, keyring.ErrUnknownKey) || len(revoked) != 2 {
			t.Errorf("unknown key: %v, %d revocations", err, len(revoked))
		}
	})
}

func TestP45_PendingKeyTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := running(t, keyring.Options{Engine: memory(t, time.Now)})
		list, err := k.Rotate(t.Context())
		must(t, err)
		if _, err := k.Compromise(t.Context(), list[0].KeyID); err != nil || signs(t, k) != list[1].KeyID {
			t.Errorf("signing %s, want the key that caches hold already, %s: %v", signs(t, k), list[1].KeyID, err)
		}
		wantStates(t, "the signing one", k, "compromised signing")

		// A pending key that is compromised never signs, and the one before goes on.
		list, err = k.Rotate(t.Context())
		must(t, err)
		_, err = k.Compromise(t.Context(), list[2].KeyID)
		must(t, err)
		wantStates(t, "the pending one", k, "compromised signing compromised")
		time.Sleep(lead + outlive)
		if signs(t, k) != list[1].KeyID {
			t.Error("the key before the compromised pending one does not go on")
		}
	})
}

func TestP45_RevocationComesFirst(t *testing.T) {
	down := errors.New("down")
	k := open(t, keyring.Options{Engine: memory(t, time.Now), Revoke: func(context.Context, string, time.Time) error { return down }})
	first := signs(t, k)
	if _, err := k.Compromise(t.Context(), first); !errors.Is(err, down) {
		t.Errorf("error %v, want that of the revocation", err)
	}
	if signs(t, k) != first {
		t.Error("the key was replaced although what descends from it could not be revoked")
	}
}

func TestP45_SealedWithAnotherKey(t *testing.T) {
	e := memory(t, time.Now)
	first := signs(t, open(t, keyring.Options{Engine: e, Sealing: sealer(t, 1)}))
	before, err := e.Get(t.Context(), "keyring", "ring")
	must(t, err)
	_, err = keyring.Open(t.Context(), keyring.Options{Engine: e, Sealing: sealer(t, 2), Algorithms: []string{keyring.ES256}})
	missing, ok := errors.AsType[*store.MissingSealKeyError](err)
	if !ok || missing.ID != "seal-1" {
		t.Fatalf("error %v, want a missing seal key that names seal-1", err)
	}
	after, err := e.Get(t.Context(), "keyring", "ring")
	must(t, err)
	if !bytes.Equal(before.Value, after.Value) || before.Rev != after.Rev {
		t.Error("the keyring was written to in place of what could not be opened")
	}
	if signs(t, open(t, keyring.Options{Engine: e, Sealing: sealer(t, 1)})) != first {
		t.Error("with the right key, another key signs")
	}
}

func TestP45_NothingOfAKeyIsStoredOpen(t *testing.T) {
	e := memory(t, time.Now)
	k := open(t, keyring.Options{Engine: e})
	rec, err := e.Get(t.Context(), "keyring", "ring")
	must(t, err)
	for _, word := range []string{signs(t, k), "private", "ES256"} {
		if bytes.Contains(rec.Value, []byte(word)) {
			t.Errorf("the stored record shows %q", word)
		}
	}
	// Sealed for its own place: the same bytes elsewhere do not open.
	moved := memory(t, time.Now)
	_, err = moved.Commit(t.Context(), store.Put("keyring", "rink", rec.Value, store.Absent, time.Time{}))
	must(t, err)
	tampered := bytes.Replace(rec.Value, rec.Value[len(rec.Value)-12:len(rec.Value)-8], []byte("AAAA"), 1)
	_, err = moved.Commit(t.Context(), store.Put("keyring", "ring", tampered, store.Absent, time.Time{}))
	must(t, err)
	if _, err := keyring.Open(t.Context(), keyring.Options{Engine: moved, Sealing: sealer(t, 1)}); err == nil {
		t.Error("an altered record was opened")
	}
}

func TestSurvivesRestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	o := keyring.Options{Now: func() time.Time { return now }}
	var list []keyring.Info
	for i := range 3 {
		e, err := engines.Open("bbolt", engines.Options{Path: path, Now: o.Now})
		must(t, err)
		o.Engine = e
		k := open(t, o)
		if i == 0 {
			_, err = k.Rotate(t.Context())
			must(t, err)
			list = k.List()
		}
		if !slices.Equal(k.List(), list) {
			t.Errorf("start %d: %+v, want %+v", i, k.List(), list)
		}
		must(t, e.Close())
	}
}

// What a killed process leaves is the file as it is at that moment.
func TestSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	e, err := engines.Open("bbolt", engines.Options{Path: filepath.Join(dir, "a.db")})
	must(t, err)
	defer func() { must(t, e.Close()) }()
	k := open(t, keyring.Options{Engine: e})
	_, err = k.Rotate(t.Context())
	must(t, err)
	left, err := os.ReadFile(filepath.Join(dir, "a.db"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "b.db"), left, 0o600))
	after, err := engines.Open("bbolt", engines.Options{Path: filepath.Join(dir, "b.db")})
	must(t, err)
	defer func() { must(t, after.Close()) }()
	if again := open(t, keyring.Options{Engine: after}); !slices.Equal(again.List(), k.List()) || signs(t, again) != signs(t, k) {
		t.Errorf("after the kill %+v, want %+v", again.List(), k.List())
	}
}

func TestRecordGoneMakesNoNewKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory(t, time.Now)
		k := running(t, keyring.Options{Engine: e})
		first := signs(t, k)
		_, err := e.Commit(t.Context(), store.Delete("keyring", "ring", store.Any))
		must(t, err)
		time.Sleep(3 * time.Second)
		if _, rotated := k.Rotate(t.Context()); rotated == nil || k.Err() == nil {
			t.Errorf("no error: %v, %v", rotated, k.Err())
		}
		if _, err := e.Get(t.Context(), "keyring", "ring"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a new keyring was made: %v", err)
		}
		if signs(t, k) != first {
			t.Error("what is in memory does not go on")
		}
	})
}

func TestConfigurationChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory(t, time.Now)
		both := keyring.Options{Engine: e, Algorithms: []string{"ES256", "EdDSA"}}
		k := open(t, both)
		es, ed := signs(t, k), k.List()[1].KeyID

		// An algorithm that is left out signs no more, here and now; its key stays public until its tokens are gone.
		k = running(t, keyring.Options{Engine: e, Algorithms: []string{"ES256"}, Longest: 10 * time.Hour})
		if _, err := k.Signing("EdDSA"); !errors.Is(err, keyring.ErrNoKey) {
			t.Errorf("EdDSA still signs: %v", err)
		}
		if _, ok := k.Public(ed); !ok || signs(t, k) != es {
			t.Error("the key that is left out is not public any more, or the other one changed")
		}
		for _, i := range k.List() {
			if i.KeyID == ed && !i.StopsAt.Equal(i.Created.Add(rotate)) {
				t.Errorf("the key that is left out ends at %v", i.StopsAt)
			}
		}
		time.Sleep(rotate + 5*time.Hour)
		if _, ok := k.Public(ed); !ok {
			t.Error("the key left before the longest token, which lives longer now, expired")
		}
		time.Sleep(6 * time.Hour)
		if _, ok := k.Public(ed); ok {
			t.Error("the key that is left out never retires")
		}
	})
}

func TestLongerTokensKeepARetiringKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := memory(t, time.Now)
		k := open(t, keyring.Options{Engine: e})
		list, err := k.Rotate(t.Context())
		must(t, err)
		time.Sleep(lead + time.Minute)
		k = open(t, keyring.Options{Engine: e, Longest: 10 * time.Hour})
		if got, want := k.List()[0].RetiresAt, list[1].SignsFrom.Add(10*time.Hour+3*time.Minute); !got.Equal(want) {
			t.Errorf("retires at %v, want %v", got, want)
		}
	})
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		name  string
		algs  []string
		every time.Duration
		want  []string
	}{
		{"the default", keyring.DefaultAlgorithms(), keyring.DefaultRotateEvery, nil},
		{"with EdDSA", []string{"ES256", "RS256", "EdDSA"}, time.Hour, nil},
		{"symmetric", []string{"ES256", "RS256", "HS256"}, time.Hour, []string{"algorithms[2]"}},
		{"none", []string{"ES256", "RS256", "none"}, time.Hour, []string{"algorithms[2]"}},
		{"twice", []string{"ES256", "RS256", "ES256"}, time.Hour, []string{"algorithms[2]"}},
		{"no ES256, no RS256, too quick", []string{"EdDSA"}, time.Minute, []string{"algorithms", "algorithms", "rotate_every"}},
	} {
		var got []string
		keyring.Check(test.algs, test.every, func(path, _ string, _ ...any) { got = append(got, path) })
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: problems at %v, want %v", test.name, got, test.want)
		}
	}
	if _, err := keyring.Open(t.Context(), keyring.Options{Engine: memory(t, time.Now), Sealing: sealer(t, 1), RotateEvery: 5 * time.Minute}); err == nil {
		t.Error("rotation that is quicker than the lead was taken")
	}
}

func BenchmarkSigning(b *testing.B) {
	k := open(b, keyring.Options{Engine: memory(b, time.Now)})
	input := bytes.Repeat([]byte("a"), 800)
	b.ReportAllocs()
	for b.Loop() {
		key, err := k.Signing(keyring.ES256)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := key.AppendSignature(nil, input); err != nil {
			b.Fatal(err)
		}
	}
}
