// Package pattern serves upstreams of which only the form of their issuers is configured (P28): clusters of a cloud, tenants of a provider. Which
// of them exist is learned at run time, from what their own discovery documents say, and at a price that strangers can't raise.
//
// Each issuer has keys, discovery and failures of its own: no token of one is verified with what another published. Only an issuer whose discovery and
// keys were found as they must be is remembered; it is on trial until a token of it was verified, and those on trial make room for each other, never
// in the place of one that was proven lately. Nothing of it outlives the process.
package pattern

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
)

const (
	maxProven  = 512 // issuers of one pattern with a verified token; a list of issuers that is longer has room
	maxTrial   = 64  // issuers that were met, and of which no token was verified yet
	maxRefused = 1024

	// An issuer of which no token was verified for so long is dropped.
	idleProven = 24 * time.Hour
	idleTrial  = 10 * time.Minute
	// lately: one that was verified since then does not make room for another.
	lately = time.Hour
)

// Options of New. All are required.
type Options struct {
	Upstream string // the configured name
	Form     Form
	Keys     *keys.Cache
	// Source says where the keys of one issuer come from: discovery, and a key set on the same host; or from us, if it is Static. It does no I/O.
	Source func(issuer string) keys.Upstream
	Now    func() time.Time
}

// Issuers are those of one pattern that were met. They are safe for concurrent use.
type Issuers struct {
	o     Options
	slots chan struct{} // held by each fetch
	again chan struct{} // held beside it by one whose issuer failed before

	mu      sync.Mutex
	proven  *simplelru.LRU[string, *issuer]
	trial   *simplelru.LRU[string, *issuer]
	refused *simplelru.LRU[string, refusal]
	begun   [maxNew]time.Time // when the newest meetings began, in a ring
	next    int
	meeting map[string]*meeting
	closed  bool
	ended   context.Context // when Close was called
	end     context.CancelFunc
	flights sync.WaitGroup
}

// issuer is one that was met, or is being met. Its fields are guarded by Issuers.mu.
type issuer struct {
	iss, name string // name: in the cache, never that of another, nor of itself before a reload
	since     time.Time
	verified  time.Time // newest token; zero: none
	met       bool
	failed    bool // its newest fetch did
}

// Met is an issuer that was met.
type Met struct {
	Issuer   string
	Key      string    // its name in the cache of keys
	Since    time.Time // when it was met
	Verified time.Time // when a token of it was last verified; zero: never
}

// New knows no issuer yet. It does no I/O.
func New(o Options) *Issuers {
	p := &Issuers{
		o: o, slots: make(chan struct{}, maxFetches), again: make(chan struct{}, 1),
		meeting: map[string]*meeting{},
	}
	p.ended, p.end = context.WithCancel(context.Background())
	// None of these fails: every size is positive.
	p.proven, _ = simplelru.NewLRU[string, *issuer](p.most(maxProven), nil)
	p.trial, _ = simplelru.NewLRU[string, *issuer](p.most(maxTrial), nil)
	p.refused, _ = simplelru.NewLRU[string, refusal](maxRefused, nil)
	return p
}

// Lookup returns the keys of one issuer, which is met if it was not. It is keys.Cache's Lookup by the issuer in the place of the upstream's name; where
// the issuer may not be met now, errors wrap keys.ErrUnavailable: nothing was judged (P27).
func (p *Issuers) Lookup(ctx context.Context, _, kid, iss string) ([]jose.Key, error) {
	name, m, ours, err := p.find(ctx, iss, kid)
	if err != nil {
		return nil, err
	}
	if m != nil {
		select {
		case <-m.done:
		case <-ctx.Done():
			return nil, p.unavailable("gave up waiting", 0, ctx.Err())
		}
		if ours || !m.met {
			return m.keys, m.err
		}
		name = m.issuer.name
	}
	return p.o.Keys.Lookup(ctx, name, kid, iss)
}

// find is the name of an issuer that was met, or the meeting under way, which is ours if it begins for us.
func (p *Issuers) find(ctx context.Context, iss, kid string) (name string, m *meeting, ours bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := p.known(iss); i != nil {
		return i.name, nil, false, nil
	}
	if m := p.meeting[iss]; m != nil {
		return "", m, false, nil
	}
	m, err = p.begin(ctx, iss, kid)
	return "", m, err == nil, err
}

// known is an issuer that was met. Asking for it makes it no younger: whoever forges its tokens must not decide what is kept. p.mu is held.
func (p *Issuers) known(iss string) *issuer {
	if i, ok := p.proven.Peek(iss); ok {
		return i
	}
	i, _ := p.trial.Peek(iss)
	return i
}

// Verified says that a token of the issuer was verified just now.
func (p *Issuers) Verified(iss string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.o.Now()
	if i, ok := p.proven.Get(iss); ok {
		i.verified = now
		return
	}
	i, ok := p.trial.Get(iss)
	if !ok {
		return
	}
	i.verified = now
	if p.proven.Len() == p.most(maxProven) {
		if _, oldest, _ := p.proven.GetOldest(); now.Sub(oldest.verified) < lately {
			return // it serves from where it is
		}
	}
	p.trial.Remove(iss)
	p.put(p.proven, p.most(maxProven), i)
}

// most is how many issuers there is room for: all that are listed.
func (p *Issuers) most(n int) int { return max(n, len(p.o.Form.listed)) }

// put adds an issuer to one of the lists; where that is full, the one that goes is forgotten. p.mu is held.
func (p *Issuers) put(list *simplelru.LRU[string, *issuer], most int, i *issuer) {
	if list.Len() == most {
		_, oldest, _ := list.RemoveOldest()
		p.o.Keys.Forget(oldest.name)
	}
	list.Add(i.iss, i)
}

// drop forgets an issuer, if it was not yet. p.mu is held.
func (p *Issuers) drop(i *issuer) {
	if p.known(i.iss) != i {
		return
	}
	p.proven.Remove(i.iss)
	p.trial.Remove(i.iss)
	p.o.Keys.Forget(i.name)
}

// Met lists the issuers that were met, by issuer.
func (p *Issuers) Met() []Met {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Met, 0, p.proven.Len()+p.trial.Len())
	for _, i := range slices.Concat(p.proven.Values(), p.trial.Values()) {
		all = append(all, Met{Issuer: i.iss, Key: i.name, Since: i.since, Verified: i.verified})
	}
	slices.SortFunc(all, func(a, b Met) int { return cmp.Compare(a.Issuer, b.Issuer) })
	return all
}

// Close ends the meetings under way, waits for them, and forgets every issuer.
func (p *Issuers) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end()
	p.flights.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, i := range slices.Concat(p.proven.Values(), p.trial.Values()) {
		p.drop(i)
	}
}

func (p *Issuers) unavailable(reason string, retry time.Duration, cause error) error {
	return &keys.UnavailableError{Upstream: p.o.Upstream, Reason: reason, RetryAfter: retry, Cause: cause}
}
