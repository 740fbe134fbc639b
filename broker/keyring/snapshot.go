package keyring

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"fedbroker/upstreams/jose"
)

// snapshot is what readers see: the ring as it is between two changes of state. It is never written to.
type snapshot struct {
	rev     uint64
	ring    ring
	made    time.Time
	next    time.Time // when the clock alone gives something to do; zero: never
	signing map[string]*Key
	public  map[string]jose.Key // published
	retired map[string]jose.Key
	jwks    []byte
	etag    string
	maxAge  time.Duration
}

// holds says that the snapshot shows revision rev as it is now.
func (s *snapshot) holds(rev uint64, now time.Time) bool {
	return s != nil && s.rev == rev && !now.Before(s.made) && (s.next.IsZero() || now.Before(s.next))
}

// install makes the ring the one that readers see, unless they see it already. The caller is the writer.
func (k *Keyring) install(r ring, rev uint64, now time.Time) error {
	old := k.snap.Load()
	if old.holds(rev, now) {
		return nil
	}
	s := &snapshot{
		rev: rev, ring: r, made: now, next: r.next(&k.plan, now), maxAge: k.o.JWKSMaxAge,
		signing: make(map[string]*Key), public: make(map[string]jose.Key), retired: make(map[string]jose.Key),
	}
	if err := s.fill(k.plan.algorithms, old); err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	if len(s.signing) < len(k.plan.algorithms) {
		s.maxAge = incompleteMaxAge
	}
	k.snap.Store(s)
	return nil
}

func (s *snapshot) fill(configured []string, old *snapshot) error {
	jwks := []byte(`{"keys":[`)
	for i := range s.ring.Keys {
		e := &s.ring.Keys[i]
		state := e.state(s.made)
		if state == StateCompromised {
			continue
		}
		public, err := e.key()
		if err != nil {
			return err
		}
		if state == StateRetired {
			s.retired[e.ID] = public
			continue
		}
		if len(s.public) > 0 {
			jwks = append(jwks, ',')
		}
		s.public[e.ID] = public
		if jwks, err = public.AppendJWK(jwks); err != nil {
			return err
		}
		if state == StateSigning && slices.Contains(configured, e.Alg) {
			if s.signing[e.Alg], err = e.signing(old); err != nil {
				return err
			}
		}
	}
	s.jwks = append(jwks, "]}"...)
	sum := sha256.Sum256(s.jwks)
	s.etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	return nil
}

// key is the public half, vetted as a stranger's would be.
func (e *entry) key() (jose.Key, error) {
	public, err := x509.ParsePKIXPublicKey(e.Public)
	if err != nil {
		return jose.Key{}, fmt.Errorf("public key %s: not as it was written", e.ID)
	}
	key, err := jose.NewKey(e.ID, e.Alg, public)
	if err != nil {
		return jose.Key{}, fmt.Errorf("public key %s: %w", e.ID, err)
	}
	return key, nil
}

// signing is the private half; the old snapshot's, if it is there, spares the work of checking it anew.
func (e *entry) signing(old *snapshot) (*Key, error) {
	if old != nil {
		if key := old.signing[e.Alg]; key != nil && key.ID == e.ID {
			return key, nil
		}
	}
	a, ok := algorithmOf(e.Alg)
	if !ok {
		return nil, fmt.Errorf("key %s: unknown algorithm %q", e.ID, e.Alg)
	}
	signer, err := e.signer()
	if err != nil {
		return nil, err
	}
	return &Key{ID: e.ID, Alg: e.Alg, a: a, signer: signer}, nil
}

// Signing returns the key that signs now, or an error that wraps ErrNoKey.
func (k *Keyring) Signing(alg string) (*Key, error) {
	if key := k.snap.Load().signing[alg]; key != nil {
		return key, nil
	}
	return nil, fmt.Errorf("%w for %s", ErrNoKey, alg)
}

// Retired returns a key whose tokens have all expired but may still be hints (id_token_hint, P39), or one that Public returns.
func (k *Keyring) Retired(kid string) (jose.Key, bool) {
	s := k.snap.Load()
	if key, ok := s.retired[kid]; ok {
		return key, true
	}
	key, ok := s.public[kid]
	return key, ok
}

// JWKS returns the public key set (RFC 7517 section 5) with its entity tag and how long it may be cached. The body is not the
// caller's to write to.
func (k *Keyring) JWKS() (body []byte, etag string, maxAge time.Duration) {
	s := k.snap.Load()
	return s.jwks, s.etag, s.maxAge
}

// Info is one key, for people.
type Info struct {
	KeyID     string
	Alg       string
	State     State
	Created   time.Time
	SignsFrom time.Time
	StopsAt   time.Time // zero: there is no next key yet
	RetiresAt time.Time // zero as long as StopsAt is; of a compromised key, when it was taken out of use
}

// List returns all keys in the order in which they were made.
func (k *Keyring) List() []Info {
	s, now := k.snap.Load(), k.o.Now()
	all := make([]Info, len(s.ring.Keys))
	for i := range s.ring.Keys {
		e := &s.ring.Keys[i]
		all[i] = Info{KeyID: e.ID, Alg: e.Alg, State: e.state(now), Created: e.Created, SignsFrom: e.SignsFrom, StopsAt: e.StopsAt, RetiresAt: e.RetiresAt}
	}
	return all
}
