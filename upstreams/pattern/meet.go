package pattern

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/outbound"
)

const (
	maxNew     = 10 // issuers that are tried in newEvery, whatever arrives
	newEvery   = time.Minute
	maxFetches = 2 // at a time, discovery and keys together

	meetTimeout  = 15 * time.Second // of a meeting, its wait for a slot included
	firstTimeout = 5 * time.Second  // of the fetches of a meeting: it may be a stranger's

	// An issuer that does not exist, or is not what it says, is not tried again for refusedFor; one that could not be reached, for failedFor.
	refusedFor = 10 * time.Minute
	failedFor  = time.Minute
)

var (
	errIdle = errors.New("no token of the issuer came for long")
	errGone = errors.New("the configuration is no longer in use")
)

// refusal is why an issuer is not tried, and until when.
type refusal struct {
	until time.Time
	cause error
}

// meeting is the first fetch of an issuer's discovery and keys. The fields are set when done is closed.
type meeting struct {
	done   chan struct{}
	issuer *issuer
	source keys.Upstream
	met    bool       // the issuer is what it says
	keys   []jose.Key // for who began it
	err    error
}

// begin begins to meet an issuer, if that may be now. An issuer that is listed is not new to the operator, one whose keys are at hand
// takes no fetch: neither is counted. p.mu is held.
func (p *Issuers) begin(ctx context.Context, iss, kid string) (*meeting, error) {
	now := p.o.Now()
	if r, ok := p.refused.Get(iss); ok && now.Before(r.until) {
		return nil, p.unavailable("the issuer failed lately", r.until.Sub(now), r.cause)
	}
	if p.closed {
		return nil, p.unavailable("nothing is fetched any more", 0, errGone)
	}
	source := p.o.Source(iss)
	if p.o.Form.listed == nil && !source.Static {
		if free := p.begun[p.next].Add(newEvery); now.Before(free) { // the zero time is long ago
			return nil, p.unavailable("too many new issuers", free.Sub(now), nil)
		}
		p.begun[p.next] = now
		p.next = (p.next + 1) % maxNew
	}
	m := &meeting{done: make(chan struct{}), source: source, issuer: &issuer{iss: iss, name: p.o.Upstream + "\x00" + rand.Text(), since: now}}
	p.meeting[iss] = m
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), meetTimeout)
	stop := context.AfterFunc(p.ended, cancel)
	p.flights.Go(func() {
		defer cancel()
		defer stop()
		p.meet(ctx, m, kid)
	})
	return m, nil
}

// meet fetches, and settles what follows before anyone who waits is woken.
func (p *Issuers) meet(ctx context.Context, m *meeting, kid string) {
	i := m.issuer
	u := m.source
	u.MetBy, u.Source = p.o.Upstream, p.guarded(i, u.Source)
	p.o.Keys.Register(i.name, u)
	m.keys, m.err = p.o.Keys.Lookup(ctx, i.name, kid, i.iss)
	m.met = m.err == nil || errors.Is(m.err, keys.ErrUnknownKey) // that it lacks this kid, the issuer itself has said
	p.mu.Lock()
	delete(p.meeting, i.iss)
	if m.met {
		i.met = true
		p.refused.Remove(i.iss)
		p.put(p.trial, p.most(maxTrial), i)
	} else {
		p.o.Keys.Forget(i.name)
		why, wait := cause(m.err), holdOff(m.err)
		p.refused.Add(i.iss, refusal{p.o.Now().Add(wait), why})
		m.err = p.unavailable("the issuer could not be met", wait, why)
	}
	p.mu.Unlock()
	close(m.done)
}

// cause is what made keys unavailable, without what is said around it.
func cause(err error) error {
	if u, ok := errors.AsType[*keys.UnavailableError](err); ok && u.Cause != nil {
		return u.Cause
	}
	return err
}

// holdOff is how long an issuer that failed is not tried. Its own fault is what cannot pass by itself: there is no such host or document, or it is
// another's, or none that it could be.
func holdOff(err error) time.Duration {
	var word interface{ ErrorClass() string }
	if errors.Is(err, jose.ErrKeySet) {
		return refusedFor
	}
	if !errors.As(err, &word) {
		return failedFor
	}
	switch outbound.Class(word.ErrorClass()) {
	case "issuer", "discovery", outbound.ClassURL, outbound.ClassAddress, outbound.ClassRedirect, outbound.ClassMediaType, outbound.ClassTooLarge:
		return refusedFor
	case outbound.ClassDNS:
		if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
			return refusedFor
		}
	case outbound.ClassStatus:
		const tooEarly, tooMany, requestTimeout = 425, 429, 408
		if e, ok := errors.AsType[*outbound.Error](err); ok && e.Status >= 400 && e.Status < 500 && e.Status != tooEarly && e.Status != tooMany && e.Status != requestTimeout {
			return refusedFor
		}
	}
	return failedFor
}

// guarded is an issuer's source within the bounds of its pattern: two fetches at a time, of which one whose issuer failed before takes at most one, so that
// dead issuers keep no living one waiting. An issuer of which no token came for long is dropped in the place of a fetch.
func (p *Issuers) guarded(i *issuer, source keys.Source) keys.Source {
	return func(ctx context.Context) (keys.Fetched, error) {
		p.mu.Lock()
		first, failed := !i.met, i.failed
		if !first && p.idle(i) {
			p.drop(i)
			p.mu.Unlock()
			return keys.Fetched{}, errIdle
		}
		p.mu.Unlock()
		if failed {
			if err := take(ctx, p.again); err != nil {
				return keys.Fetched{}, err
			}
			defer func() { <-p.again }()
		}
		if err := take(ctx, p.slots); err != nil {
			return keys.Fetched{}, err
		}
		defer func() { <-p.slots }()
		if first {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, firstTimeout)
			defer cancel()
		}
		got, err := source(ctx)
		p.mu.Lock()
		i.failed = err != nil
		p.mu.Unlock()
		return got, err
	}
}

// idle says whether no token of an issuer was verified for long. p.mu is held.
func (p *Issuers) idle(i *issuer) bool {
	if i.verified.IsZero() {
		return p.o.Now().Sub(i.since) >= idleTrial
	}
	return p.o.Now().Sub(i.verified) >= idleProven
}

func take(ctx context.Context, slot chan struct{}) error {
	select {
	case slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
