// Package keyring keeps the keys that we sign with: it makes, publishes, rotates and retires them, and takes a compromised one
// out of use. A new key is published first, signs when every cached JWKS must hold it, and retires when the longest token that
// its predecessor signed has expired.
package keyring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"fedbroker/store"
	"fedbroker/upstreams/jose"
)

// Defaults and limits of Options.
const (
	DefaultRotateEvery = 720 * time.Hour
	MinRotateEvery     = time.Hour // below it, keys come and go faster than caches and people can follow
	DefaultJWKSMaxAge  = 10 * time.Minute
	DefaultLongest     = time.Hour

	// publishSlack is added to the JWKS max-age: other replicas publish a new key only after they have seen the record, by a
	// clock of their own.
	publishSlack = time.Minute
	// retireSlack is added to the life of the longest token: whoever verifies may allow a leeway, up to 2 minutes here (P12).
	retireSlack = 3 * time.Minute
	// incompleteMaxAge holds while a configured algorithm has no key yet: no cache keeps such a set for long.
	incompleteMaxAge = 5 * time.Second
	// pollEvery is how soon this process learns of a rotation by another.
	pollEvery = time.Second
	// attempts to change the record; each lost one means that another replica changed it.
	attempts = 8
)

// The one record. Everything in it is sealed.
const (
	bucket    = "keyring"
	recordKey = "ring"
)

type sealed struct {
	Ring []byte `json:"ring"`
}

// Errors.
var (
	// ErrNoKey: no key of the algorithm signs now; one is perhaps being made.
	ErrNoKey = errors.New("no signing key")
	// ErrUnknownKey: there is no key of this id.
	ErrUnknownKey = errors.New("unknown key id")
)

// DefaultAlgorithms are those of signing.algorithms: access tokens take ES256, and RS256 stays available for ID tokens (OpenID
// Connect Discovery 1.0 section 3, id_token_signing_alg_values_supported).
func DefaultAlgorithms() []string { return []string{ES256, RS256} }

// Options describe a Keyring. Engine and Sealing are required.
type Options struct {
	Engine      store.Engine
	Sealing     store.Sealing
	Now         func() time.Time // [time.Now]
	Algorithms  []string         // [ES256, RS256]
	RotateEvery time.Duration    // [720h]
	JWKSMaxAge  time.Duration    // [10m] how long others may cache what JWKS returns
	Longest     time.Duration    // [1h] the life of the longest token that is signed
	KeepRetired time.Duration    // [0] how long a retired key still answers Retired
	// Revoke makes everything that descends from a token under kid revoked, for as long as such a token can live. Compromise
	// calls it before anything else.
	Revoke func(ctx context.Context, kid string, keepUntil time.Time) error
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if len(o.Algorithms) == 0 {
		o.Algorithms = DefaultAlgorithms()
	}
	if o.RotateEvery == 0 {
		o.RotateEvery = DefaultRotateEvery
	}
	if o.JWKSMaxAge == 0 {
		o.JWKSMaxAge = DefaultJWKSMaxAge
	}
	if o.Longest == 0 {
		o.Longest = DefaultLongest
	}
	return o
}

// Check judges what a configuration says of signing, without I/O: paths algorithms, algorithms[i], rotate_every.
func Check(names []string, rotateEvery time.Duration, bad func(path, format string, args ...any)) {
	for i, name := range names {
		if _, ok := algorithmOf(name); !ok {
			bad(fmt.Sprintf("algorithms[%d]", i), "want one of %v, got %q", Algorithms(), name)
		}
		if slices.Contains(names[:i], name) {
			bad(fmt.Sprintf("algorithms[%d]", i), "%s is listed twice", name)
		}
	}
	if !slices.Contains(names, ES256) {
		bad("algorithms", "want %s among them: access tokens are signed with it", ES256)
	}
	if !slices.Contains(names, RS256) {
		bad("algorithms", "want %s among them: every OpenID provider must offer it for ID tokens (OpenID Connect Discovery 1.0 section 3)", RS256)
	}
	if rotateEvery < MinRotateEvery {
		bad("rotate_every", "want %v or more, got %v", MinRotateEvery, rotateEvery)
	}
}

// Keyring is our signing keys. Its readers take no lock; Run owns the schedule.
type Keyring struct {
	o     Options
	plan  plan
	table *store.Table[sealed]
	snap  atomic.Pointer[snapshot]
	err   atomic.Pointer[error]

	writer chan struct{} // holds one token: whoever has it is the only one here that changes or installs the ring
}

// Open loads the keyring, or makes the first one.
//
// A first start must be ready soon, and RSA keys take hundreds of milliseconds: where an algorithm with quick keys is
// configured, RSA keys are left to Run, which makes them before anything else. Until then Signing returns ErrNoKey for their
// algorithm, never another key, and the JWKS says that it may be cached for seconds only.
//
// Errors: a *store.MissingSealKeyError where the keyring is sealed with a key that is not there. No new keys are made then.
func Open(ctx context.Context, o Options) (*Keyring, error) {
	o = o.withDefaults()
	p := plan{algorithms: o.Algorithms, rotateEvery: o.RotateEvery, lead: o.JWKSMaxAge + publishSlack, outlive: o.Longest + retireSlack, keepRetired: o.KeepRetired}
	if p.rotateEvery <= p.lead {
		return nil, fmt.Errorf("keyring: rotation every %v, want more than %v, after which a new key signs", p.rotateEvery, p.lead)
	}
	onlySlow := true
	for _, name := range o.Algorithms {
		a, ok := algorithmOf(name)
		if !ok {
			return nil, fmt.Errorf("keyring: unknown algorithm %q", name)
		}
		onlySlow = onlySlow && a.slow
	}
	table, err := store.NewTable[sealed](o.Engine, store.TableOptions[sealed]{
		Bucket: bucket, Version: 1, Sealing: o.Sealing, Sealed: func(s *sealed) []*[]byte { return []*[]byte{&s.Ring} },
	})
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	k := &Keyring{o: o, plan: p, table: table, writer: make(chan struct{}, 1)}
	if err := k.maintain(ctx, onlySlow); err != nil {
		return nil, err
	}
	return k, nil
}

// maintain reads the ring and carries out what is due, with or without the keys that take long to make.
func (k *Keyring) maintain(ctx context.Context, slow bool) error {
	return k.change(ctx, func(r *ring, now time.Time, keys *maker) (bool, error) {
		changed := r.tidy(&k.plan, now)
		for _, n := range r.due(&k.plan, now) {
			if a, _ := algorithmOf(n.alg); a.slow && !slow {
				continue
			}
			e, err := keys.make(n.alg)
			if err != nil {
				return false, err
			}
			r.add(&k.plan, e, now, n.signsFrom)
			changed = true
		}
		return changed, nil
	})
}

// maker makes keys once, however often a change has to be tried.
type maker struct{ made map[string]entry }

func (m *maker) make(alg string) (entry, error) {
	if e, ok := m.made[alg]; ok {
		return e, nil
	}
	a, ok := algorithmOf(alg)
	if !ok {
		return entry{}, fmt.Errorf("unknown algorithm %q", alg)
	}
	e, err := generate(a)
	if err != nil {
		return entry{}, err
	}
	if m.made == nil {
		m.made = make(map[string]entry)
	}
	m.made[alg] = e
	return e, nil
}

// change reads the ring, lets edit change it, writes it by compare-and-swap and installs it. Where another replica was
// quicker, it begins anew with what that replica wrote.
func (k *Keyring) change(ctx context.Context, edit func(r *ring, now time.Time, keys *maker) (changed bool, err error)) error {
	select {
	case k.writer <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-k.writer }()
	var keys maker
	for attempt := 1; ; attempt++ {
		r, rev, err := k.load(ctx)
		if err != nil {
			return fmt.Errorf("keyring: %w", err)
		}
		now := k.now()
		changed, err := edit(&r, now, &keys)
		if err != nil {
			return fmt.Errorf("keyring: %w", err)
		}
		if changed {
			switch rev, err = k.save(ctx, r, rev); {
			case errors.Is(err, store.ErrConflict) && attempt < attempts:
				continue
			case err != nil:
				return fmt.Errorf("keyring: %w", err)
			}
		}
		return k.install(r, rev, now)
	}
}

// load returns the ring; an empty one with revision 0 if there has never been one.
func (k *Keyring) load(ctx context.Context) (ring, uint64, error) {
	row, err := k.table.Get(ctx, recordKey)
	if errors.Is(err, store.ErrNotFound) {
		if k.snap.Load() != nil {
			return ring{}, 0, errors.New("the record is gone from the store")
		}
		return ring{}, 0, nil
	}
	if err != nil {
		return ring{}, 0, err
	}
	var r ring
	if err := json.Unmarshal(row.Value.Ring, &r); err != nil {
		return ring{}, 0, errors.New("the record is not as it was written")
	}
	return r, row.Rev, nil
}

func (k *Keyring) save(ctx context.Context, r ring, rev uint64) (uint64, error) {
	plain, err := json.Marshal(r)
	if err != nil {
		return 0, err
	}
	return k.table.Put(ctx, recordKey, sealed{Ring: plain}, store.Cond(rev), time.Time{})
}

// Run makes the keys that Open left out, and then keeps to the schedule and to what other replicas do, until ctx ends. A store
// that fails is not its end: what is in memory goes on, and Err tells.
func (k *Keyring) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := k.look(ctx); ctx.Err() == nil {
			k.err.Store(&err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look maintains the ring if its record has changed or the clock gives something to do. Most often neither is so, and the record
// is not opened.
func (k *Keyring) look(ctx context.Context) error {
	rec, err := k.o.Engine.Get(ctx, bucket, recordKey)
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	if k.snap.Load().holds(rec.Rev, k.now()) {
		return nil
	}
	return k.maintain(ctx, true)
}

// now is in the whole seconds that a record holds.
func (k *Keyring) now() time.Time { return k.o.Now().UTC().Truncate(time.Second) }

// Err is why Run could not keep up when it last tried; nil while it does.
func (k *Keyring) Err() error {
	if err := k.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Rotate makes the next key of every algorithm that has none pending, and returns all keys. The new keys sign after the lead.
func (k *Keyring) Rotate(ctx context.Context) ([]Info, error) {
	err := k.change(ctx, func(r *ring, now time.Time, keys *maker) (changed bool, err error) {
		for _, alg := range k.plan.algorithms {
			last, signsFrom := r.newest(alg, now), now
			if last != nil && last.state(now) == StatePending {
				continue
			}
			if last != nil {
				signsFrom = now.Add(k.plan.lead)
			}
			e, err := keys.make(alg)
			if err != nil {
				return false, err
			}
			r.add(&k.plan, e, now, signsFrom)
			changed = true
		}
		return changed, nil
	})
	if err != nil {
		return nil, err
	}
	return k.List(), nil
}

// compromisedFor is how long what a compromised key signed is remembered at least: no configuration, neither this one nor the one under which its
// tokens and their descendants were made, lets a token live longer than 24 h.
const compromisedFor = 48 * time.Hour

// Compromise takes a key out of use: what descends from its tokens is revoked, it leaves the JWKS and verifies nothing, and
// where it signed, a new key signs at once. It returns all keys. It can be repeated, and has to be after an error: the
// revocation comes first, so that what is half done refuses too much and never too little. ErrUnknownKey if there is no such key.
func (k *Keyring) Compromise(ctx context.Context, kid string) ([]Info, error) {
	if err := k.maintain(ctx, false); err != nil { // another replica may have made it a moment ago
		return nil, err
	}
	if !slices.ContainsFunc(k.List(), func(i Info) bool { return i.KeyID == kid }) {
		return nil, fmt.Errorf("%w: %q", ErrUnknownKey, kid)
	}
	if k.o.Revoke != nil {
		if err := k.o.Revoke(ctx, kid, k.o.Now().Add(max(compromisedFor, k.plan.outlive))); err != nil {
			return nil, fmt.Errorf("revoke what key %s signed: %w", kid, err)
		}
	}
	err := k.change(ctx, func(r *ring, now time.Time, keys *maker) (bool, error) {
		found, needed := r.condemn(&k.plan, kid, now)
		if needed != nil {
			e, err := keys.make(needed.alg)
			if err != nil {
				return false, err
			}
			r.add(&k.plan, e, now, needed.signsFrom)
		}
		return found, nil
	})
	if err != nil {
		return nil, err
	}
	return k.List(), nil
}

// Public returns a key that a live token of ours may be signed with: published, signing or retiring. A retired or compromised
// one is not.
func (k *Keyring) Public(kid string) (jose.Key, bool) {
	key, ok := k.snap.Load().public[kid]
	return key, ok
}
