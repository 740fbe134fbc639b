package rp

import (
	"context"
	"errors"
	"sync"
	"time"

	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/outbound"
)

const (
	minFresh     = time.Minute      // a document younger than that is not fetched again
	defaultFresh = 10 * time.Minute // where the provider says nothing
	fetchTimeout = 10 * time.Second

	// After failures the provider is asked again after minRetry, doubled each time up to maxRetry, however many people come.
	minRetry = 5 * time.Second
	maxRetry = time.Minute
)

// DiscoveryOptions of NewDiscovery. All are required but Bearer and CredentialHosts.
type DiscoveryOptions struct {
	Issuer          string
	HTTP            *outbound.Client
	Bearer          func() (string, error) // for documents that are not public
	CredentialHosts []string               // who may get it
	MaxStale        time.Duration          // how long a document serves after it was last fetched
	Now             func() time.Time
}

// Discovery keeps one provider's document: fetched when it is first needed, once for all who wait, and again when it is no longer fresh.
// It is safe for concurrent use.
type Discovery struct {
	o    DiscoveryOptions
	kept keys.Kept

	mu       sync.Mutex
	document *Document
	had      time.Time // when the document was fetched
	due      time.Time // when it may be fetched next
	failures int       // in a row
	last     error     // of the newest fetch
	flight   *flight
	closed   bool
	cancel   context.CancelFunc // of the flight, if it is Document's
	flights  sync.WaitGroup
}

// flight is one fetch. The fields are set when done is closed.
type flight struct {
	done     chan struct{}
	document Document
	err      error
}

// NewDiscovery makes one that knows nothing. It does no I/O.
func NewDiscovery(o DiscoveryOptions) *Discovery { return &Discovery{o: o} }

// Document is the provider's document. One that is no longer fresh serves while a newer one is fetched, until MaxStale; only where there
// is none does the caller wait, on its own context. Every error is an *Error of KindUnavailable.
func (d *Discovery) Document(ctx context.Context) (Document, error) {
	d.mu.Lock()
	now := d.o.Now()
	document, usable := d.known(now)
	f, last, retry := d.flight, d.last, d.due.Sub(now)
	if f == nil && retry <= 0 && !d.closed {
		f = d.begin(ctx)
	}
	d.mu.Unlock()
	switch {
	case usable:
		return document, nil
	case f == nil:
		if last == nil {
			last = errors.New("discovery has ended")
		}
		return Document{}, &Error{Kind: KindUnavailable, RetryAfter: max(retry, time.Second), Err: last}
	}
	return f.wait(ctx)
}

// Known is the document that Document would return at once, if there is one. It fetches nothing.
func (d *Discovery) Known() (Document, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known(d.o.Now())
}

func (d *Discovery) known(now time.Time) (Document, bool) {
	if d.document == nil || now.Sub(d.had) > d.o.MaxStale {
		return Document{}, false
	}
	return *d.document, true
}

// Fetch is the document as the provider has it now, or had it less than a minute ago: for who keeps a schedule of its own. The fetch lasts
// no longer than ctx.
func (d *Discovery) Fetch(ctx context.Context) (Document, error) {
	d.mu.Lock()
	if document, ok := d.known(d.o.Now()); ok && d.last == nil && d.o.Now().Sub(d.had) < minFresh {
		d.mu.Unlock()
		return document, nil
	}
	f := d.flight
	if f != nil {
		d.mu.Unlock()
		return f.wait(ctx)
	}
	f = &flight{done: make(chan struct{})}
	d.flight = f
	d.mu.Unlock()
	d.fly(ctx, f)
	return f.document, f.err
}

// begin starts a fetch, detached from the caller's context. d.mu is held, and no other is under way.
func (d *Discovery) begin(ctx context.Context) *flight {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	f := &flight{done: make(chan struct{})}
	d.flight, d.cancel = f, cancel
	d.flights.Go(func() {
		defer cancel()
		d.fly(ctx, f)
	})
	return f
}

// fly fetches, and settles what follows before anyone who waits is woken.
func (d *Discovery) fly(ctx context.Context, f *flight) {
	began := d.o.Now()
	document, fresh, err := d.fetch(ctx)
	d.mu.Lock()
	d.flight, d.last = nil, err
	if err == nil {
		d.document, d.had, d.failures, d.due = &document, began, 0, began.Add(fresh)
	} else {
		d.due = d.o.Now().Add(min(minRetry<<min(d.failures, 8), maxRetry))
		d.failures++
	}
	d.mu.Unlock()
	f.document, f.err = document, err
	close(f.done)
}

func (f *flight) wait(ctx context.Context) (Document, error) {
	select {
	case <-f.done:
	case <-ctx.Done():
		return Document{}, &Error{Kind: KindUnavailable, Err: ctx.Err()}
	}
	if f.err != nil {
		return Document{}, &Error{Kind: KindUnavailable, Err: f.err}
	}
	return f.document, nil
}

// Close ends the fetch under way and waits for it; none begins after it.
func (d *Discovery) Close() {
	d.mu.Lock()
	d.closed = true
	if d.cancel != nil {
		d.cancel()
	}
	d.mu.Unlock()
	d.flights.Wait()
}
