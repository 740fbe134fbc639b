// Package absence remembers which kids an upstream was asked for in vain.
package absence

import (
	"crypto/sha256"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

const (
	// maxAbsent kids of one upstream are remembered.
	maxAbsent = 1024
	// A kid that fetch after fetch lacks causes no other for minAbsent after the second, doubled each time up to maxAbsence, which is less than the time
	// between two refreshes that an upstream without Cache-Control has.
	minAbsent  = 2 * time.Minute
	maxAbsence = 8 * time.Minute
)

// Kids are the kids that the upstream was asked for and does not have. They spare it fetches, so that who sends one kid again and again does not
// spend the budget of a key that is new; whether a token is bad they never say (P27). The zero value is empty.
type Kids struct {
	kids *lru.Cache[[sha256.Size]byte, absence]
}

type absence struct {
	until time.Time
	wait  time.Duration
}

// named stands for a kid of any length, chosen by a stranger.
func named(kid, issuer string) [sha256.Size]byte { return sha256.Sum256([]byte(kid + "\x00" + issuer)) }

// Until is when the kid may cause a fetch again; zero for one that was not missed.
func (a *Kids) Until(kid, issuer string) time.Time {
	if a.kids == nil {
		return time.Time{}
	}
	known, _ := a.kids.Get(named(kid, issuer))
	return known.until
}

// Add remembers that a fetch lacked the kid. Once is no reason to wait: a key may be used a moment before it is published.
func (a *Kids) Add(kid, issuer string, now time.Time) {
	if a.kids == nil {
		a.kids, _ = lru.New[[sha256.Size]byte, absence](maxAbsent) // fails only without capacity
	}
	name := named(kid, issuer)
	known, again := a.kids.Get(name)
	switch {
	case !again:
		known = absence{until: now}
	case !now.Before(known.until): // else another waiter of the same fetch was here
		known.wait = min(max(2*known.wait, minAbsent), maxAbsence)
		known.until = now.Add(known.wait)
	}
	a.kids.Add(name, known)
}
