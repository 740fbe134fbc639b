package keyring

import (
	"testing"
	"time"
)

// A private key that signs no more is a danger and of no use.
func TestPrivateHalfGoes(t *testing.T) {
	now := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
	p := &plan{algorithms: []string{ES256}, rotateEvery: 10 * time.Hour, lead: time.Hour, outlive: time.Hour, keepRetired: time.Hour}
	var r ring
	r.add(p, entry{ID: "a", Alg: ES256, Private: []byte("a")}, now, now)
	r.add(p, entry{ID: "b", Alg: ES256, Private: []byte("b")}, now, now.Add(time.Hour))
	if r.tidy(p, now.Add(2*time.Hour-time.Second)) || r.Keys[0].Private == nil {
		t.Error("the key changed while a token of it may live") // a replica whose clock is behind may still sign with it
	}
	if !r.tidy(p, now.Add(2*time.Hour)) || r.Keys[0].Private != nil || r.Keys[1].Private == nil {
		t.Errorf("after it retired: %+v", r)
	}
	if found, _ := r.condemn(p, "b", now.Add(2*time.Hour)); !found || r.Keys[1].Private != nil {
		t.Errorf("after its compromise: %+v", r)
	}
}

func TestNextWakesForWhatIsDue(t *testing.T) {
	now := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
	p := &plan{algorithms: []string{ES256}, rotateEvery: 10 * time.Hour, lead: time.Hour, outlive: time.Hour}
	var r ring
	if got := r.next(p, now); !got.Equal(now) {
		t.Errorf("with no key at all: %v, want now", got)
	}
	r.add(p, entry{ID: "a", Alg: ES256}, now, now)
	if got, want := r.next(p, now), now.Add(9*time.Hour); !got.Equal(want) {
		t.Errorf("next is %v, want %v: when the successor is published", got, want)
	}
}
