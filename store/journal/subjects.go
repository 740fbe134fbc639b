package journal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"fedbroker/store"
)

// Subject stands for a person or a workload in a line, instead of the name: MAC is equal in all lines about one subject, Sealed
// holds the name. Both are base64url.
//
// Their keys are two leaves of a puncturable tree of keys that lies in the engine, not in the chain: one leaf at a position that
// the name gives, for MAC, the other at a position that MAC gives, for Sealed. To name a subject, seen before or not, thus writes
// nothing. When both leaves are taken out of the tree the subject is erased: nobody, with the chain, all that the engine holds,
// every seal key and the right guess in hand, can open Sealed or compute MAC, and not a byte of the chain has changed. What such
// a holder can tell is that the guessed name was erased, and which lines are of somebody erased, though not, of several, of whom.
//
// Who comes again after being erased gets new leaves, and a MAC that has nothing in common with the old.
//
// An engine may hold the bytes of a replaced record in free pages for a while, and a backup for longer; they are sealed. After a
// backup of the engine is restored, the erasures made since must be made again.
type Subject struct {
	MAC, Sealed string
}

// AppendJSON appends the two members of a line: {"mac":"…","sealed":"…"}.
func (s Subject) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"mac":"`...)
	dst = append(dst, s.MAC...)
	dst = append(dst, `","sealed":"`...)
	dst = append(dst, s.Sealed...)
	return append(dst, `"}`...)
}

// SubjectsOptions configure Subjects. Engine and Sealing are required.
type SubjectsOptions struct {
	Engine  store.Engine
	Sealing store.Sealing
	Cache   int              // subjects that are known without deriving their keys anew [65536]
	Now     func() time.Time // judges how old the copy of the tree is [time.Now]
}

// Subjects names subjects in lines. All replicas that share an engine give a subject the same MAC.
type Subjects struct {
	tree    *tree
	cache   int
	now     func() time.Time
	turn    chan struct{} // holds one token: who has it may replace state and set checked
	state   atomic.Pointer[state]
	checked atomic.Int64 // unix nanoseconds at which state was the newest
}

// maxStale is how long Name may go on with a copy of the tree that another process has changed. Reveal, Find and Erase ask the
// engine each time.
const maxStale = time.Second

// NewSubjects loads, or at first start makes, the tree of keys. Its error is a *store.MissingSealKeyError where the tree is
// sealed by a key that is not configured.
func NewSubjects(ctx context.Context, o SubjectsOptions) (*Subjects, error) {
	const defaultCache = 65536
	if o.Cache == 0 {
		o.Cache = defaultCache
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	t, err := newTree(o)
	if err != nil {
		return nil, err
	}
	s := &Subjects{tree: t, cache: o.Cache, now: o.Now, turn: make(chan struct{}, 1)}
	if _, err = s.newest(ctx); errors.Is(err, store.ErrNotFound) {
		if err = t.create(ctx); err == nil {
			_, err = s.newest(ctx)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("journal subjects: %w", err)
	}
	return s, nil
}

// Name returns what a line carries for subject. It writes nothing; at most once in maxStale it asks the engine whether another
// process has erased somebody, and fails if it gets no answer.
func (s *Subjects) Name(ctx context.Context, subject string) (Subject, error) {
	st, err := s.recent(ctx)
	if err != nil {
		return Subject{}, fmt.Errorf("journal subject: %w", err)
	}
	if named, ok := st.named.Get(subject); ok {
		return named, nil
	}
	p, err := s.pseudonym(ctx, st, subject)
	if err != nil {
		return Subject{}, fmt.Errorf("journal subject: %w", err)
	}
	aead, err := sealAEAD(p.seal)
	if err != nil {
		return Subject{}, fmt.Errorf("journal subject: %w", err)
	}
	mac := base64.RawURLEncoding.EncodeToString(p.mac)
	named := Subject{MAC: mac, Sealed: base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, []byte(subject), []byte(mac)))}
	st.named.Add(subject, named)
	return named, nil
}

// Find returns the MAC that lines about subject carry, if there are any, since it was last erased.
func (s *Subjects) Find(ctx context.Context, subject string) (mac string, err error) {
	st, err := s.newest(ctx)
	if err != nil {
		return "", fmt.Errorf("find journal subject: %w", err)
	}
	p, err := s.pseudonym(ctx, st, subject)
	if err != nil {
		return "", fmt.Errorf("find journal subject: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(p.mac), nil
}

// errForeign: the sealed value was not made by Name, or was altered.
var errForeign = errors.New("journal subject: the sealed value does not open")

// Reveal returns the name behind what a line carries; ErrNotFound if the subject is erased.
func (s *Subjects) Reveal(ctx context.Context, named Subject) (subject string, err error) {
	mac, err := base64.RawURLEncoding.DecodeString(named.MAC)
	if err != nil || len(mac) != sha256.Size {
		return "", errForeign
	}
	sealed, err := base64.RawURLEncoding.DecodeString(named.Sealed)
	if err != nil {
		return "", errForeign
	}
	st, err := s.newest(ctx)
	if err != nil {
		return "", fmt.Errorf("reveal journal subject: %w", err)
	}
	leaf, live, err := s.tree.leaf(ctx, st, sealPosition(mac))
	if err != nil {
		return "", fmt.Errorf("reveal journal subject: %w", err)
	}
	if !live {
		return "", fmt.Errorf("reveal journal subject: %w", store.ErrNotFound)
	}
	aead, err := sealAEAD(leaf.derive(labelSeal))
	if err != nil {
		return "", fmt.Errorf("reveal journal subject: %w", err)
	}
	plain, err := aead.Open(nil, nil, sealed, []byte(named.MAC))
	if err != nil {
		return "", errForeign
	}
	return string(plain), nil
}

// eraseAttempts bounds how often Erase begins anew because another process erased somebody in between.
const eraseAttempts = 16

// Erase takes the subject's keys out of the tree, in one commit: after an error that wraps ErrUnknown it has happened or not, and
// may be called again. It does not know whether the subject was ever named, and spends the keys that it would be named by next.
// Another replica writes the old MAC for at most maxStale, in lines as unreadable as those before.
func (s *Subjects) Erase(ctx context.Context, subject string) error {
	err := s.take(ctx)
	if err == nil {
		defer s.give()
		for range eraseAttempts {
			if err = s.erase(ctx, subject); !errors.Is(err, store.ErrConflict) {
				break
			}
		}
		s.checked.Store(0) // whatever came of it: the next Name asks the engine
	}
	if err != nil {
		return fmt.Errorf("erase journal subject: %w", err)
	}
	return nil
}

func (s *Subjects) erase(ctx context.Context, subject string) error {
	st, err := s.renew(ctx)
	if err != nil {
		return err
	}
	p, err := s.pseudonym(ctx, st, subject)
	if err != nil {
		return err
	}
	return s.tree.puncture(ctx, st, p.position, sealPosition(p.mac))
}

// pseudonym is what a subject is named by: the leaf at position gives mac, the leaf at sealPosition(mac) gives seal.
type pseudonym struct {
	position uint64
	mac      []byte
	seal     treeKey
}

// pseudonym derives the first of a subject's pseudonyms that is not erased. Its cost grows by a search in memory for each
// that is.
func (s *Subjects) pseudonym(ctx context.Context, st *state, subject string) (pseudonym, error) {
	for number := uint32(0); ; number++ {
		position := namePosition(st.root.Value.Key, number, subject)
		leaf, live, err := s.tree.leaf(ctx, st, position)
		if err != nil {
			return pseudonym{}, err
		}
		if !live {
			continue
		}
		key := leaf.derive(labelMAC)
		mac := hmacSHA256(key[:], []byte(subject))
		leaf, live, err = s.tree.leaf(ctx, st, sealPosition(mac))
		if err != nil {
			return pseudonym{}, err
		}
		if live {
			return pseudonym{position: position, mac: mac, seal: leaf.derive(labelSeal)}, nil
		}
	}
}

// namePosition is keyed, so that nobody can aim at another's position, and the positions in the engine are no names.
func namePosition(key []byte, number uint32, subject string) uint64 {
	return binary.BigEndian.Uint64(hmacSHA256(key, append(binary.BigEndian.AppendUint32(nil, number), subject...)))
}

// sealPosition needs no key: the MAC is one that nobody chose.
func sealPosition(mac []byte) uint64 { return binary.BigEndian.Uint64(mac) }

func sealAEAD(key treeKey) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func hmacSHA256(key, text []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return mac.Sum(nil)
}

// recent returns a state that was the newest at most maxStale ago.
func (s *Subjects) recent(ctx context.Context) (*state, error) {
	if s.fresh() {
		return s.state.Load(), nil
	}
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	defer s.give()
	if s.fresh() { // another caller asked while this one waited
		return s.state.Load(), nil
	}
	return s.renew(ctx)
}

// newest returns the state as the engine has it now.
func (s *Subjects) newest(ctx context.Context) (*state, error) {
	if err := s.take(ctx); err != nil {
		return nil, err
	}
	defer s.give()
	return s.renew(ctx)
}

func (s *Subjects) fresh() bool {
	age := s.now().UnixNano() - s.checked.Load()
	return 0 <= age && age < int64(maxStale) // a clock that was set back makes it due, too
}

func (s *Subjects) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", store.ErrUnavailable, context.Cause(ctx))
	}
}

func (s *Subjects) give() { <-s.turn }

// renew asks the engine for the root, and loads the tree if it has changed. Only who has the turn calls it.
func (s *Subjects) renew(ctx context.Context) (*state, error) {
	now := s.now() // before the engine is asked: the answer is at least as new
	root, err := s.tree.keys.Get(ctx, rootName)
	if err != nil {
		return nil, err
	}
	st := s.state.Load()
	if st == nil || st.root.Rev != root.Rev {
		if st, err = s.tree.load(ctx, s.cache); err != nil {
			return nil, err
		}
		s.state.Store(st)
	}
	s.checked.Store(now.UnixNano())
	return st, nil
}
