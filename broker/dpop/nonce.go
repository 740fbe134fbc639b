package dpop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

const (
	// nonceEvery is how long one nonce is handed out. It is accepted for as long again, so that nobody holds one that is about to end.
	nonceEvery = 5 * time.Minute
	nonceBytes = 18 // 144 bits of the HMAC
	nonceLabel = "fedbroker dpop nonce\x00"
)

// nonces are made from a key of this process and the time, and kept nowhere (RFC 9449 §8): before its time nobody can guess one, and no other process,
// not even this one after a restart, knows it.
type nonces struct{ key []byte }

func newNonces(key []byte) nonces { return nonces{key: append([]byte(nil), key...)} }

func (n nonces) at(now time.Time) string { return n.of(epoch(now)) }

// holds says whether a nonce is that of now or the one before.
func (n nonces) holds(nonce string, now time.Time) bool {
	current, former := equal(nonce, n.of(epoch(now))), equal(nonce, n.of(epoch(now)-1))
	return current || former
}

func (n nonces) of(epoch int64) string {
	mac := hmac.New(sha256.New, n.key)
	mac.Write(binary.BigEndian.AppendUint64([]byte(nonceLabel), uint64(epoch)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:nonceBytes])
}

func epoch(now time.Time) int64 { return now.Unix() / int64(nonceEvery/time.Second) }
