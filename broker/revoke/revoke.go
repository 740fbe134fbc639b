// Package revoke keeps what is no longer good: revocations, which are facts that a token is held against whenever it is used,
// and one-shot values that are spent.
//
// No revocation walks a tree. A token carries the names of everything that it descends from (Lineage), a revocation is one
// record that names one of these, and a token is dead if any of its names is revoked.
package revoke

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind says what a revocation names.
type Kind string

// The kinds of revocation.
const (
	KindToken    Kind = "token"    // a token id: our jti, or the id of an external token
	KindSession  Kind = "session"  // a session at the broker
	KindFamily   Kind = "family"   // a refresh family
	KindClient   Kind = "client"   // a client id
	KindSubject  Kind = "subject"  // a broker subject
	KindUpstream Kind = "upstream" // an upstream's name
	KindRule     Kind = "rule"     // a rule's id
	KindKey      Kind = "kid"      // the id of one of our signing keys
)

// kinds is the order in which the set keeps them; a kind's place is its index in Set.names.
var kinds = [...]Kind{KindToken, KindSession, KindFamily, KindClient, KindSubject, KindUpstream, KindRule, KindKey}

const (
	atToken = iota
	atSession
	atFamily
	atClient
	atSubject
	atUpstream
	atRule
	atKey
)

// Kinds returns every kind.
func Kinds() []Kind { return slices.Clone(kinds[:]) }

// ParseKind reads the name of a kind.
func ParseKind(name string) (Kind, error) {
	if slices.Contains(kinds[:], Kind(name)) {
		return Kind(name), nil
	}
	known := make([]string, len(kinds))
	for i, k := range kinds {
		known[i] = string(k)
	}
	return "", fmt.Errorf("kind of revocation %q: want one of %s", name, strings.Join(known, ", "))
}

// unique says that an id of this kind is made once and never again. A revocation of one is not limited in time: a descendant
// that a replica issued in the instant before it learned of the revocation is as dead as those that were there.
func (k Kind) unique() bool {
	switch k {
	case KindToken, KindSession, KindFamily, KindKey:
		return true
	}
	return false
}

// Errors of the set, of lineages and of the spender.
var (
	// ErrRevoked: the token, or something that it descends from, is revoked.
	ErrRevoked = errors.New("revoked")
	// ErrStale: the set has not been brought up to date for too long to judge by it. Nothing may be allowed on it.
	ErrStale = errors.New("revocation set is stale")
	// ErrFull: the set holds as many entries as it may; nothing was written.
	ErrFull = errors.New("revocation set is full")
	// ErrTooManyAncestors: a lineage would need more token ids than a token may carry.
	ErrTooManyAncestors = errors.New("too many ancestors")
	// ErrSpent: a one-shot value was presented before.
	ErrSpent = errors.New("already spent")
)
