package keyring

import (
	"slices"
	"time"
)

// State is where a key is in its life.
type State string

// The states, in order. A key is in the JWKS while it is pending, signing or retiring.
const (
	StatePending     State = "pending"     // published, and waiting until every cached JWKS holds it
	StateSigning     State = "signing"     // signs
	StateRetiring    State = "retiring"    // signs no more, verifies what it signed
	StateRetired     State = "retired"     // the longest token that it signed has expired
	StateCompromised State = "compromised" // verifies nothing, ever
)

// ring is all keys: one record in the store, sealed as a whole, so that nobody who can write to the store can add a key of
// theirs. What state a key is in follows from these times and a clock, without a write: replicas agree without a leader.
type ring struct {
	Keys []entry `json:"keys"`
}

// entry is one key.
type entry struct {
	ID          string    `json:"kid"`
	Alg         string    `json:"alg"`
	Private     []byte    `json:"private,omitempty"` // PKCS #8; gone once it is retired or compromised
	Public      []byte    `json:"public"`            // PKIX
	Created     time.Time `json:"created"`
	SignsFrom   time.Time `json:"signs_from"`
	StopsAt     time.Time `json:"stops_at,omitzero"`   // when the next key of its algorithm takes over; zero: no next key
	RetiresAt   time.Time `json:"retires_at,omitzero"` // when the longest token that it can have signed has expired
	Compromised bool      `json:"compromised,omitempty"`
}

func (e *entry) state(now time.Time) State {
	switch {
	case e.Compromised:
		return StateCompromised
	case !e.StopsAt.IsZero() && !now.Before(e.RetiresAt):
		return StateRetired
	case !e.StopsAt.IsZero() && !now.Before(e.StopsAt):
		return StateRetiring
	case now.Before(e.SignsFrom):
		return StatePending
	}
	return StateSigning
}

// plan is what the schedule is made of.
type plan struct {
	algorithms  []string
	rotateEvery time.Duration
	lead        time.Duration // from publishing to signing
	outlive     time.Duration // from the end of signing to retirement
	keepRetired time.Duration
}

// newest is the last key of an algorithm that signs or is going to; nil if there is none.
func (r *ring) newest(alg string, now time.Time) *entry {
	var last *entry
	for i := range r.Keys {
		e := &r.Keys[i]
		if s := e.state(now); e.Alg != alg || s != StatePending && s != StateSigning {
			continue
		}
		if last == nil || !e.SignsFrom.Before(last.SignsFrom) {
			last = e
		}
	}
	return last
}

// add takes a new key in.
func (r *ring) add(p *plan, e entry, now, signsFrom time.Time) {
	e.Created, e.SignsFrom = now, signsFrom
	r.Keys = append(r.Keys, e)
	r.relink(p, e.Alg, now)
}

// relink makes each key of an algorithm that has not stopped yet stop when the next one begins.
func (r *ring) relink(p *plan, alg string, now time.Time) {
	var live []*entry
	for i := range r.Keys {
		if e := &r.Keys[i]; e.Alg == alg && (e.state(now) == StatePending || e.state(now) == StateSigning) {
			live = append(live, e)
		}
	}
	slices.SortStableFunc(live, func(a, b *entry) int { return a.SignsFrom.Compare(b.SignsFrom) })
	for i, e := range live {
		if i+1 < len(live) {
			e.stop(p, live[i+1].SignsFrom)
		} else {
			e.StopsAt, e.RetiresAt = time.Time{}, time.Time{}
		}
	}
}

func (e *entry) stop(p *plan, at time.Time) {
	e.StopsAt, e.RetiresAt = at, at.Add(p.outlive)
}

// need is a key that is due.
type need struct {
	alg       string
	signsFrom time.Time
}

// due tells which keys have to be made now. The first key of an algorithm signs at once: with nothing else to sign by, waiting
// would only turn a relying party's one extra fetch of the JWKS into an outage. A later one is made so early that it takes over
// when its predecessor has signed for the whole interval.
func (r *ring) due(p *plan, now time.Time) []need {
	var all []need
	for _, alg := range p.algorithms {
		switch last := r.newest(alg, now); {
		case last == nil:
			all = append(all, need{alg, now})
		case last.state(now) == StateSigning && !now.Before(last.SignsFrom.Add(p.rotateEvery-p.lead)):
			all = append(all, need{alg, now.Add(p.lead)})
		}
	}
	return all
}

// tidy carries out what the clock and the configuration ask for without a new key, and says whether anything changed.
func (r *ring) tidy(p *plan, now time.Time) (changed bool) {
	for i := range r.Keys {
		e := &r.Keys[i]
		live := e.state(now) == StatePending || e.state(now) == StateSigning
		switch {
		case live && e.StopsAt.IsZero() && !slices.Contains(p.algorithms, e.Alg):
			// No longer configured here, but perhaps still on another replica: it ends with its interval and is not renewed. To stop
			// it now would set two replicas of different configuration making and stopping keys against each other.
			end := e.SignsFrom.Add(p.rotateEvery)
			if end.Before(now) {
				end = now
			}
			e.stop(p, end)
			changed = true
		case e.state(now) == StateRetiring && e.RetiresAt.Before(e.StopsAt.Add(p.outlive)): // tokens may live longer than they did
			e.RetiresAt = e.StopsAt.Add(p.outlive)
			changed = true
		case e.state(now) == StateRetired && e.Private != nil:
			e.Private = nil
			changed = true
		}
	}
	kept := slices.DeleteFunc(r.Keys, func(e entry) bool { return e.forgettable(p, now) })
	changed = changed || len(kept) != len(r.Keys)
	r.Keys = kept
	return changed
}

// forgettable: a retired key after the time that hints may still name it, a compromised one when its tokens have expired.
func (e *entry) forgettable(p *plan, now time.Time) bool {
	switch e.state(now) {
	case StateRetired:
		return !now.Before(e.RetiresAt.Add(p.keepRetired))
	case StateCompromised:
		return !now.Before(e.RetiresAt.Add(p.outlive))
	}
	return false
}

// condemn marks a key as compromised. The key that is to take its place, if it was needed, is the pending one, which signs at
// once; need says that there is none.
func (r *ring) condemn(p *plan, kid string, now time.Time) (found bool, needed *need) {
	i := slices.IndexFunc(r.Keys, func(e entry) bool { return e.ID == kid })
	if i < 0 {
		return false, nil
	}
	e := &r.Keys[i]
	e.Compromised, e.Private, e.RetiresAt = true, nil, now
	if !slices.Contains(p.algorithms, e.Alg) {
		return true, nil
	}
	signing, pending := false, (*entry)(nil)
	for i := range r.Keys {
		if other := &r.Keys[i]; other.Alg == e.Alg {
			signing = signing || other.state(now) == StateSigning
			if other.state(now) == StatePending {
				pending = other
			}
		}
	}
	switch {
	case !signing && pending != nil:
		pending.SignsFrom = now
	case !signing:
		needed = &need{e.Alg, now}
	}
	r.relink(p, e.Alg, now)
	return true, needed
}

// next is when the clock alone gives something to do: a state that changes, a key that is due, one that can be forgotten. It is
// now if something is to be done already, and zero if nothing ever will be.
func (r *ring) next(p *plan, now time.Time) time.Time {
	if len(r.due(p, now)) > 0 {
		return now
	}
	var first time.Time
	at := func(t time.Time) {
		if t.After(now) && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	for i := range r.Keys {
		e := &r.Keys[i]
		at(e.SignsFrom)
		at(e.SignsFrom.Add(p.rotateEvery - p.lead))
		at(e.StopsAt)
		at(e.RetiresAt)
		at(e.RetiresAt.Add(p.keepRetired))
		at(e.RetiresAt.Add(p.outlive))
	}
	return first
}
