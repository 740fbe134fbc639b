package keys

import (
	"sync"
	"time"
)

// Alarm is something that an operator must know of before tokens are refused. The set is closed.
type Alarm string

// The alarms. Each is raised once and cleared once.
const (
	AlarmHalfStale   Alarm = "half_stale"       // fetches fail, and half of max_stale has passed
	AlarmNearlyStale Alarm = "nearly_stale"     // fetches fail, and nine tenths of max_stale have passed
	AlarmExpired     Alarm = "expired"          // max_stale has passed: no key serves but pinned ones
	AlarmUnusable    Alarm = "unusable_key_set" // what the upstream serves holds no usable key (P44)
	AlarmIssuer      Alarm = "issuer_changed"   // its discovery document is another issuer's, and not followed
	AlarmPinned      Alarm = "pinned"           // a key may serve beyond max_stale, since an operator said so
)

// Alarms is all of them.
func Alarms() []Alarm {
	return []Alarm{AlarmHalfStale, AlarmNearlyStale, AlarmExpired, AlarmUnusable, AlarmIssuer, AlarmPinned}
}

// AlarmChange is an alarm raised or cleared.
type AlarmChange struct {
	Upstream string
	Issuer   string // that was met at run time; empty: the configured one
	Alarm    Alarm
	Raised   bool // false: cleared
}

// classIssuer is the class of the error of a discovery document that names another issuer.
const classIssuer = "issuer"

// alarms are those of one upstream.
type alarms struct {
	mu     sync.Mutex // held while a change is told, so that raising and clearing are told in order
	raised map[Alarm]bool
	silent bool // the upstream is gone; a fetch of it may still end
}

// judge raises and clears the alarms of an upstream. e.mu is not held.
func (c *Cache) judge(e *entry) {
	e.alarms.mu.Lock()
	defer e.alarms.mu.Unlock()
	if e.alarms.silent {
		return
	}
	want := e.alarming(c.now())
	for _, a := range Alarms() {
		if want[a] == e.alarms.raised[a] {
			continue
		}
		if e.alarms.raised == nil {
			e.alarms.raised = map[Alarm]bool{}
		}
		e.alarms.raised[a] = want[a]
		c.tell(e, a, want[a])
	}
}

// silence clears the alarms of an upstream that goes.
func (c *Cache) silence(e *entry) {
	e.alarms.mu.Lock()
	defer e.alarms.mu.Unlock()
	e.alarms.silent = true
	for _, a := range Alarms() {
		if e.alarms.raised[a] {
			e.alarms.raised[a] = false
			c.tell(e, a, false)
		}
	}
}

func (c *Cache) tell(e *entry, a Alarm, raised bool) {
	name, met := e.upstream()
	c.alarm(AlarmChange{Upstream: name, Issuer: met, Alarm: a, Raised: raised})
}

// silenced says whether the upstream is gone.
func (a *alarms) silenced() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.silent
}

// alarming is what there is to be alarmed about.
func (e *entry) alarming(now time.Time) map[Alarm]bool {
	e.mu.Lock()
	last, warning := e.last, e.warning
	e.mu.Unlock()
	want := map[Alarm]bool{}
	if last != nil || warning != nil {
		want[AlarmUnusable] = class(last) == classKeySet
		want[AlarmIssuer] = class(last) == classIssuer || class(warning) == classIssuer
	}
	s, maxStale := e.snap.Load(), e.spec.Load().MaxStale
	if s == nil {
		return want
	}
	age := now.Sub(s.confirmed)
	want[AlarmHalfStale] = last != nil && age >= maxStale/2
	want[AlarmNearlyStale] = last != nil && age >= maxStale/10*9
	want[AlarmExpired] = age > maxStale
	want[AlarmPinned] = e.pinsEnd(now).After(now)
	return want
}

// turns is when time alone next changes what there is to be alarmed about; zero: never.
func (e *entry) turns(now time.Time) (next time.Time) {
	s, maxStale := e.snap.Load(), e.spec.Load().MaxStale
	if s == nil {
		return next
	}
	for _, at := range []time.Time{
		s.confirmed.Add(maxStale / 2), s.confirmed.Add(maxStale / 10 * 9), s.confirmed.Add(maxStale + time.Nanosecond), e.pinsEnd(now),
	} {
		if at.After(now) {
			next = sooner(next, at)
		}
	}
	return next
}
