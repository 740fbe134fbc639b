package dpop

import (
	"crypto/sha256"
	"io"
	"sync"
	"time"
)

// memory remembers proofs for at least a span, at most two, and never more than its capacity: two sets, of which the older is dropped when the newer
// has been filled for a span.
type memory struct {
	capacity int
	span     time.Duration

	mu           sync.Mutex
	newer, older map[mark]struct{}
	turned       time.Time // when newer began
}

// mark stands for one key, address and jti: half a SHA-256, so that nobody finds two proofs with the same.
type mark [sha256.Size / 2]byte

func newMemory(capacity int, span time.Duration, now time.Time) *memory {
	return &memory{capacity: capacity, span: span, newer: map[mark]struct{}{}, turned: now}
}

func fingerprint(parts ...string) (m mark) {
	h := sha256.New()
	for _, p := range parts { // none of them holds a NUL but the last, which ends by itself
		_, _ = io.WriteString(h, p)
		_, _ = h.Write([]byte{0})
	}
	copy(m[:], h.Sum(nil))
	return m
}

type remembered uint8

const (
	added remembered = iota
	seenBefore
	noRoom
)

// add remembers m, unless it is remembered already or there is no room.
func (s *memory) add(m mark, now time.Time) remembered {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn(now)
	if _, ok := s.newer[m]; ok {
		return seenBefore
	}
	if _, ok := s.older[m]; ok {
		return seenBefore
	}
	if len(s.newer)+len(s.older) >= s.capacity {
		return noRoom
	}
	s.newer[m] = struct{}{}
	return added
}

// has tells whether m is remembered.
func (s *memory) has(m mark) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, newer := s.newer[m]
	_, older := s.older[m]
	return newer || older
}

// turn begins a new set when the newer one is full of time. What it holds came within its first span: after two, all of it is too old.
func (s *memory) turn(now time.Time) {
	age := now.Sub(s.turned)
	if age < s.span {
		return
	}
	s.older, s.newer, s.turned = s.newer, map[mark]struct{}{}, now
	if age >= 2*s.span {
		s.older = nil
	}
}
