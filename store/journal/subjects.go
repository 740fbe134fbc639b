package journal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"fedbroker/store"
)

// Subject stands for a person or a workload in a line, instead of the name: MAC is equal in all lines about one subject, Sealed
// holds the name. Both are made with a key that only this subject has and that lies in the engine, not in the chain. When that
// record is deleted the subject is erased: nobody, with all other keys and the right guess in hand, can open Sealed or confirm
// MAC, and not a byte of the chain has changed. Both are base64url.
//
// The key is random, not derived from a secret that many subjects share, for then erasing one would take erasing all. That costs
// one commit of the engine the first time that a subject is seen, one read when it has left the cache, and nothing otherwise.
// An engine may hold the deleted record's bytes in free pages for a while, and a backup for longer; the key in it is sealed.
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
	Cache   int // subjects that are known without asking the engine [65536]
}

// Subjects names subjects in lines. All replicas that share an engine give a subject the same MAC.
type Subjects struct {
	table  *store.Table[subjectKey]
	lookup []byte // keys the HMAC under which a subject's record is found, so that the engine holds no names
	cache  *lru.Cache[string, Subject]
}

// subjectKey is the erasable record.
type subjectKey struct {
	Key []byte `json:"key"` // sealed at rest
	MAC string `json:"mac"` // by which Reveal finds the record
}

// lookupKey is the one record of the bucket journal_keys.
type lookupKey struct {
	Key []byte `json:"key"` // sealed at rest
}

const (
	subjectBucket = "journal_subjects"
	macIndex      = "journal_subject_macs"
	keyBucket     = "journal_keys"
	lookupName    = "subjects"
	subjectKeyLen = 32
)

// NewSubjects loads, or at first start makes, the key that subjects are looked up by. Its error is a *store.MissingSealKeyError
// where that key is sealed by one that is not configured.
func NewSubjects(ctx context.Context, o SubjectsOptions) (*Subjects, error) {
	const defaultCache = 65536
	if o.Cache == 0 {
		o.Cache = defaultCache
	}
	cache, err := lru.New[string, Subject](o.Cache)
	if err != nil {
		return nil, fmt.Errorf("journal subjects: %w", err)
	}
	keys, err := store.NewTable(o.Engine, store.TableOptions[lookupKey]{
		Bucket: keyBucket, Version: 1, Sealing: o.Sealing,
		Sealed: func(k *lookupKey) []*[]byte { return []*[]byte{&k.Key} },
	})
	if err != nil {
		return nil, err
	}
	table, err := store.NewTable(o.Engine, store.TableOptions[subjectKey]{
		Bucket: subjectBucket, Version: 1, Sealing: o.Sealing,
		Sealed:  func(k *subjectKey) []*[]byte { return []*[]byte{&k.Key} },
		Indexes: []store.Index[subjectKey]{{Bucket: macIndex, Values: func(k subjectKey) []string { return []string{k.MAC} }}},
	})
	if err != nil {
		return nil, err
	}
	lookup, err := getOrMake(ctx, keys, lookupName, func() lookupKey { return lookupKey{Key: newSubjectKey()} })
	if err != nil {
		return nil, fmt.Errorf("journal subjects: %w", err)
	}
	return &Subjects{table: table, lookup: lookup.Key, cache: cache}, nil
}

// Name returns what a line carries for subject.
func (s *Subjects) Name(ctx context.Context, subject string) (Subject, error) {
	if named, ok := s.cache.Get(subject); ok {
		return named, nil
	}
	k, err := getOrMake(ctx, s.table, s.place(subject), func() subjectKey {
		key := newSubjectKey()
		return subjectKey{Key: key, MAC: subjectMAC(key, subject)}
	})
	if err != nil {
		return Subject{}, fmt.Errorf("journal subject: %w", err)
	}
	aead, err := subjectAEAD(k.Key)
	if err != nil {
		return Subject{}, fmt.Errorf("journal subject: %w", err)
	}
	named := Subject{MAC: k.MAC, Sealed: base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, []byte(subject), []byte(k.MAC)))}
	s.cache.Add(subject, named)
	return named, nil
}

// Find returns the MAC that lines about subject carry; ErrNotFound if it was never seen, or is erased.
func (s *Subjects) Find(ctx context.Context, subject string) (mac string, err error) {
	row, err := s.table.Get(ctx, s.place(subject))
	return row.Value.MAC, err
}

// errForeign: the sealed value was not made by Name, or was altered.
var errForeign = errors.New("journal subject: the sealed value does not open")

// Reveal returns the name behind what a line carries; ErrNotFound if the subject is erased.
func (s *Subjects) Reveal(ctx context.Context, named Subject) (subject string, err error) {
	rows, err := s.table.ScanIndex(ctx, macIndex, named.MAC, "", 1)
	if err != nil {
		return "", err
	}
	if len(rows) == 0 {
		return "", fmt.Errorf("journal subject: %w", store.ErrNotFound)
	}
	aead, err := subjectAEAD(rows[0].Value.Key)
	if err != nil {
		return "", fmt.Errorf("journal subject: %w", err)
	}
	sealed, err := base64.RawURLEncoding.DecodeString(named.Sealed)
	if err != nil {
		return "", errForeign
	}
	plain, err := aead.Open(nil, nil, sealed, []byte(named.MAC))
	if err != nil {
		return "", errForeign
	}
	return string(plain), nil
}

// Erase deletes the subject's key. Should the subject come again it gets a new one, and a MAC that has nothing in common with the
// old. A replica that has the old MAC cached goes on writing it until it is evicted: as unreadable as the lines before.
func (s *Subjects) Erase(ctx context.Context, subject string) error {
	if err := s.table.Delete(ctx, s.place(subject), store.Any); err != nil {
		return fmt.Errorf("erase journal subject: %w", err)
	}
	s.cache.Remove(subject)
	return nil
}

func (s *Subjects) place(subject string) string {
	return base64.RawURLEncoding.EncodeToString(hmacSHA256(s.lookup, subject))
}

// getOrMake is safe on all replicas at once: the first to commit wins, the others read what it wrote.
func getOrMake[T any](ctx context.Context, t *store.Table[T], key string, fresh func() T) (T, error) {
	row, err := t.Get(ctx, key)
	if !errors.Is(err, store.ErrNotFound) {
		return row.Value, err
	}
	made := fresh()
	if _, err = t.Put(ctx, key, made, store.Absent, time.Time{}); errors.Is(err, store.ErrConflict) {
		row, err = t.Get(ctx, key)
		return row.Value, err
	}
	return made, err
}

func newSubjectKey() []byte {
	key := make([]byte, subjectKeyLen)
	_, _ = rand.Read(key) // never fails: it ends the process instead (crypto/rand)
	return key
}

// The subject's one key is expanded into one for each use (RFC 5869 section 2.3).
const (
	infoMAC  = "fedbroker journal subject mac"
	infoSeal = "fedbroker journal subject seal"
)

func expand(key []byte, info string) []byte {
	out, err := hkdf.Expand(sha256.New, key, info, subjectKeyLen)
	if err != nil {
		panic(err) // only for lengths beyond 255 hashes
	}
	return out
}

func subjectMAC(key []byte, subject string) string {
	return base64.RawURLEncoding.EncodeToString(hmacSHA256(expand(key, infoMAC), subject))
}

func subjectAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(expand(key, infoSeal))
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

func hmacSHA256(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}
