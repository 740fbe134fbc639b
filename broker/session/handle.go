package session

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"strconv"
	"strings"

	"fedbroker/store"
)

// A handle is what a browser or a client holds: the record's key, and a secret of which the record keeps the SHA-256 alone.
//
//	cookie, code   key "." secret
//	refresh token  key "." generation "." HMAC-SHA-256(family secret, generation)
const (
	secretBytes = 32
	separator   = "."
	// maxHandle is longer than any handle of ours, in bytes: what is longer is not looked at.
	maxHandle = 128
)

var encoding = base64.RawURLEncoding.Strict()

// newSecret returns a secret and what a record keeps of it.
func newSecret() (secret string, hash []byte) {
	var b [secretBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	secret = encoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(secret))
	return secret, sum[:]
}

// split takes a cookie or a code apart; ok is false for what is none.
func split(handle string) (key, secret string, ok bool) {
	if len(handle) > maxHandle {
		return "", "", false
	}
	key, secret, ok = strings.Cut(handle, separator)
	return key, secret, ok && isKey(key)
}

// IsHandle tells whether a text could be a cookie, a code or a refresh token of ours: what nobody else is to see.
func IsHandle(text string) bool {
	_, _, ok := split(text)
	return ok
}

// isKey says whether a key is of the form that NewKey makes: nothing else may reach the engine.
func isKey(key string) bool {
	return store.TimeLed(key) && strings.IndexFunc(key, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '-' && r != '_'
	}) < 0
}

// holds compares in constant time; an empty hash is nobody's.
func holds(secret string, hash []byte) bool {
	sum := sha256.Sum256([]byte(secret))
	return len(hash) == len(sum) && subtle.ConstantTimeCompare(sum[:], hash) == 1
}

// refreshToken is the token of one generation: the same each time that it is made, so that a lost answer can be given again.
func refreshToken(key string, secret []byte, generation int) string {
	return key + separator + strconv.Itoa(generation) + separator + encoding.EncodeToString(generationMAC(secret, generation))
}

func generationMAC(secret []byte, generation int) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(strconv.Itoa(generation)))
	return mac.Sum(nil)
}

// splitRefresh takes a refresh token apart; its MAC is not verified yet.
func splitRefresh(token string) (key string, generation int, mac []byte, ok bool) {
	key, rest, ok := split(token)
	if !ok {
		return "", 0, nil, false
	}
	number, text, ok := strings.Cut(rest, separator)
	generation, err := strconv.Atoi(number)
	if !ok || err != nil || generation < 1 || strconv.Itoa(generation) != number {
		return "", 0, nil, false
	}
	mac, err = encoding.DecodeString(text)
	return key, generation, mac, err == nil
}
