package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// Sealing keeps secrets closed at rest. What is sealed for one bucket and key opens only there. Sealer is the one with keys in
// memory; a key management service is another.
type Sealing interface {
	Seal(ctx context.Context, bucket, key string, plain []byte) (sealed []byte, err error)
	// Open returns a *MissingSealKeyError where no key fits.
	Open(ctx context.Context, bucket, key string, sealed []byte) (plain []byte, err error)
}

// SealKey is one key of a Sealer. An empty ID stands for SealKeyID(Key).
type SealKey struct {
	ID  string
	Key [32]byte
}

// Format redacts the key under every verb.
func (k SealKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "seal key "+k.ID) }

// LogValue redacts the key.
func (k SealKey) LogValue() slog.Value { return slog.StringValue("seal key " + k.ID) }

// MarshalText redacts the key.
func (k SealKey) MarshalText() ([]byte, error) { return []byte("seal key " + k.ID), nil }

// MissingSealKeyError says that a sealed value finds no key that opens it. Starting without the key, or making new records in
// place of what it sealed, would lose what is there: the command line stops with exit code 2 and names the id.
type MissingSealKeyError struct {
	ID    string // of the key that sealed the value
	Known bool   // a key of that id is configured, but it does not open the value
}

func (e *MissingSealKeyError) Error() string {
	if e.Known {
		return fmt.Sprintf("seal key %q does not open what a key of this id has sealed: it is another key, or the record was altered", e.ID)
	}
	return fmt.Sprintf("seal key %q, which sealed a stored record, is not configured", e.ID)
}

// Sealer seals with AES-256-GCM under random nonces (good for 2³² values under one key; NIST SP 800-38D section 8.3). The first
// key seals, all keys open.
type Sealer struct {
	first string
	aeads map[string]cipher.AEAD
}

// maxSealID is what the one length byte of the sealed form holds.
const maxSealID = 255

// sealForm is the first byte of every sealed value: form 1 is, after it, the length of the key id, the key id, nonce and ciphertext.
const sealForm = 1

// NewSealer refuses an empty list, a repeated id, and an id over 255 bytes.
func NewSealer(keys []SealKey) (*Sealer, error) {
	if len(keys) == 0 {
		return nil, errors.New("no seal key")
	}
	s := &Sealer{aeads: make(map[string]cipher.AEAD, len(keys))}
	for i, k := range keys {
		id := k.ID
		if id == "" {
			id = SealKeyID(k.Key)
		}
		if len(id) > maxSealID {
			return nil, fmt.Errorf("seal key %d: id of %d bytes, at most %d", i, len(id), maxSealID)
		}
		if s.aeads[id] != nil {
			return nil, fmt.Errorf("two seal keys with the id %q", id)
		}
		aead, err := newGCM(k.Key[:])
		if err != nil {
			return nil, err
		}
		s.aeads[id] = aead
		if i == 0 {
			s.first = id
		}
	}
	return s, nil
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// Seal closes plain with the first key.
func (s *Sealer) Seal(_ context.Context, bucket, key string, plain []byte) ([]byte, error) {
	aead := s.aeads[s.first]
	out := make([]byte, 0, 2+len(s.first)+len(plain)+aead.Overhead())
	out = append(out, sealForm, byte(len(s.first)))
	out = append(out, s.first...)
	return aead.Seal(out, nil, plain, sealAAD(bucket, key, s.first)), nil
}

// Open opens what any of the keys has sealed for this bucket and key.
func (s *Sealer) Open(_ context.Context, bucket, key string, sealed []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != sealForm || len(sealed) < 2+int(sealed[1]) {
		return nil, fmt.Errorf("sealed value in bucket %s is not of a known form", bucket)
	}
	id, box := string(sealed[2:2+int(sealed[1])]), sealed[2+int(sealed[1]):]
	aead := s.aeads[id]
	if aead == nil {
		return nil, fmt.Errorf("bucket %s: %w", bucket, &MissingSealKeyError{ID: id})
	}
	plain, err := aead.Open(nil, nil, box, sealAAD(bucket, key, id))
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", bucket, &MissingSealKeyError{ID: id, Known: true})
	}
	return plain, nil
}

// sealAAD is bucket ‖ key ‖ key id (P45). Neither bucket nor key can hold the zero bytes between them.
func sealAAD(bucket, key, id string) []byte {
	return []byte(bucket + "\x00" + key + "\x00" + id)
}

// ParseSealKey reads 32 bytes written as base64 (either alphabet, padded or not) or as 64 hex digits, white space around them
// ignored. Its errors don't repeat the text.
func ParseSealKey(text string) ([32]byte, error) {
	text = strings.TrimSpace(text)
	if raw, err := hex.DecodeString(text); err == nil && len(raw) == 32 {
		return [32]byte(raw), nil
	}
	b64 := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	raw, err := base64.RawStdEncoding.Strict().DecodeString(b64)
	if err != nil || len(raw) != 32 {
		return [32]byte{}, errors.New("seal key: want 32 bytes as base64 or as 64 hex digits")
	}
	return [32]byte(raw), nil
}

// SealKeyID is the id of a key that was given none: the first 8 hex digits of its SHA-256.
func SealKeyID(key [32]byte) string {
	sum := sha256.Sum256(key[:])
	return hex.EncodeToString(sum[:4])
}
