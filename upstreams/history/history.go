// Package history keeps what became of an upstream's keys: a bounded list of changes, each of which holds the hash of the one before, so that
// nothing can be taken out or changed afterwards without the head being another.
package history

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// Limit is how many entries are kept; older ones go, and the hash that the oldest one holds stands for them.
	Limit = 1000
	// maxKeyID is how much of a kid an entry holds, in bytes: its thumbprint tells keys apart.
	maxKeyID = 64
)

// Change is what became of a key. The set is closed.
type Change string

// The changes.
const (
	Added   Change = "added"
	Removed Change = "removed"
	Changed Change = "changed" // a kid that was known came with new key material: Thumbprint is that of the new one
)

// Key is what the history knows of a key.
type Key struct {
	ID         string // kid
	Thumbprint string // of all that makes it this key
}

// Entry is one change.
type Entry struct {
	At         int64  `json:"at"` // seconds since 1970
	KeyID      string `json:"kid"`
	Thumbprint string `json:"thumbprint"`
	Change     Change `json:"change"`
	Previous   string `json:"previous"` // hash of the entry before, base64url of SHA-256
}

// Time is when the change was seen.
func (e Entry) Time() time.Time { return time.Unix(e.At, 0).UTC() }

// hash stands for the entry and all before it. No member can hold a line break, so that no two entries are written alike.
func (e Entry) hash() string {
	return digest(e.Previous, strconv.FormatInt(e.At, 10), e.KeyID, e.Thumbprint, string(e.Change))
}

func digest(lines ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// origin is what the first entry of an upstream holds for a hash.
func origin(upstream string) string { return digest("fedbroker key history", upstream) }

// Log is the history of one upstream's keys. The zero value is an empty one.
type Log struct {
	Dropped int     `json:"dropped,omitempty"` // entries before the oldest one kept
	Head    string  `json:"head,omitempty"`    // hash of the newest entry; empty: there was never one
	Entries []Entry `json:"entries"`           // oldest first
}

// Append adds changes that were seen at the given time.
func (l *Log) Append(upstream string, at time.Time, changes []Entry) {
	if l.Head == "" {
		l.Head = origin(upstream)
	}
	for _, e := range changes {
		e.At, e.Previous = at.Unix(), l.Head
		l.Entries, l.Head = append(l.Entries, e), e.hash()
	}
	if over := len(l.Entries) - Limit; over > 0 {
		l.Entries = slices.Clone(l.Entries[over:])
		l.Dropped += over
	}
}

// ErrBroken: the history is not what was written.
var ErrBroken = errors.New("the key history's chain is broken")

// Verify says whether the entries are those that the head stands for. Whether the head is the one that was written, only a copy of it elsewhere
// can tell: the journal holds one for each change.
func (l Log) Verify(upstream string) error {
	previous := l.Head
	if len(l.Entries) > 0 {
		previous = l.Entries[0].Previous
	}
	if l.Dropped == 0 && l.Head != "" && previous != origin(upstream) {
		return fmt.Errorf("%w: it does not begin with the first entry", ErrBroken)
	}
	for i, e := range l.Entries {
		if e.Previous != previous {
			return fmt.Errorf("%w: at entry %d", ErrBroken, l.Dropped+i+1)
		}
		previous = e.hash()
	}
	if previous != l.Head {
		return fmt.Errorf("%w: at the head", ErrBroken)
	}
	return nil
}

// Compare says what must be written where a set of keys follows another: each kid that came with other material, then what was added, then what
// was removed, as the sets have them.
func Compare(before, after []Key) []Entry {
	var changed, added, removed []Entry
	gone := slices.DeleteFunc(slices.Clone(before), func(k Key) bool { return slices.Contains(after, k) })
	for _, k := range after {
		if slices.Contains(before, k) {
			continue
		}
		e := Entry{KeyID: shown(k.ID), Thumbprint: k.Thumbprint}
		i := slices.IndexFunc(gone, func(g Key) bool { return k.ID != "" && g.ID == k.ID })
		if i < 0 {
			e.Change = Added
			added = append(added, e)
			continue
		}
		gone = slices.Delete(gone, i, i+1)
		e.Change = Changed
		changed = append(changed, e)
	}
	for _, k := range gone {
		removed = append(removed, Entry{KeyID: shown(k.ID), Thumbprint: k.Thumbprint, Change: Removed})
	}
	return slices.Concat(changed, added, removed)
}

// shown is a kid as an entry holds it, since a stranger chose it: bounded, and nothing that a terminal, JSON or the chain could take for something else.
func shown(kid string) string {
	kid = kid[:min(len(kid), maxKeyID)]
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || strings.ContainsRune(`"\<>&`, r) {
			return '?'
		}
		return r
	}, kid)
}
