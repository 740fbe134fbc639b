package keys

import "time"

// State is how an upstream's keys are doing.
type State string

// The states.
const (
	StateNever   State = "never"   // no keys yet
	StateOK      State = "ok"      // the newest fetch succeeded
	StateStale   State = "stale"   // the last good keys serve; the newest fetch failed, or none has ended since the start
	StateExpired State = "expired" // not confirmed for longer than max_stale: no longer served
	StatePinned  State = "pinned"  // the same, but for keys that an operator pinned
)

// Status is an upstream's readiness.
type Status struct {
	State     State
	Keys      int
	Confirmed time.Time // when the upstream last confirmed the keys; zero: never
	Tried     time.Time // when the newest fetch ended; zero: none since the start
	LastError string    // its class; empty when it succeeded
}

// Usable says whether tokens can be verified now.
func (s Status) Usable() bool {
	return s.State == StateOK || s.State == StateStale || s.State == StatePinned
}

// Status says how an upstream's keys are doing; of an unknown one, that there are none.
func (c *Cache) Status(upstream string) Status {
	e := c.find(upstream)
	if e == nil {
		return Status{State: StateNever}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{State: StateNever, Tried: e.tried}
	if e.last != nil {
		s.LastError = class(e.last)
	}
	snap := e.snap.Load()
	if snap == nil {
		return s
	}
	s.Keys, s.Confirmed = len(snap.keys), snap.confirmed
	switch now := c.now(); {
	case e.current(now) == nil && e.pinsEnd(now).After(now):
		s.State = StatePinned
	case e.current(now) == nil:
		s.State = StateExpired
	case e.last != nil || e.tried.IsZero():
		s.State = StateStale
	default:
		s.State = StateOK
	}
	return s
}
