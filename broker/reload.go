package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/snapshot"
	"fedbroker/upstreams"
)

const (
	// retireAfter is longer than any request may last: what only the configuration before used goes when nobody can be using it.
	retireAfter = 2 * time.Minute
	retireEvery = 30 * time.Second
)

// reloads is what is known of configurations that came at run time.
type reloads struct {
	mu      sync.Mutex // held while one is judged and applied
	longest time.Duration
	former  []former

	told    sync.Mutex // not held for long
	at      time.Time  // of the newest refusal
	refused error      // nil: the newest configuration is in use
}

// former is a configuration that some requests may still use.
type former struct {
	snap, next *served
	since      time.Time
}

// FixedError refuses a configuration that changes what the broker's state was opened with.
type FixedError struct{ Keys []string }

func (e *FixedError) Error() string {
	return strings.Join(e.Keys, ", ") + ": want what it was when the broker started, got another value; it takes a restart"
}

// Reload puts c in the place of the configuration, whole or not at all: what is wrong with it leaves everything as it was, is told by an event, a
// metric and Ready, and is returned. Requests under way end by the configuration that they began with. Upstreams that have not changed keep their
// keys, discovery and connections; nothing is fetched. Errors: *ConfigError, *FixedError, *PinError (P1), or that the engine fails.
func (b *Broker) Reload(ctx context.Context, c Config) error {
	b.reloads.mu.Lock()
	defer b.reloads.mu.Unlock()
	err := b.reload(ctx, c)
	b.tellReload(ctx, err)
	return err
}

// RefuseReload tells, as Reload would, of a configuration that could not even be read. The one before stays.
func (b *Broker) RefuseReload(ctx context.Context, err error) {
	b.reloads.mu.Lock()
	defer b.reloads.mu.Unlock()
	b.tellReload(ctx, err)
}

func (b *Broker) reload(ctx context.Context, c Config) error {
	before := b.snap.Load()
	judged, err := b.compile(c, snapshot.Parts{Now: b.now}) // touches nothing that serves
	if err != nil {
		return err
	}
	if keys := fixed(before.Config, judged.Config); len(keys) > 0 {
		return &FixedError{keys}
	}
	if life := judged.Policy.Longest(); life > b.reloads.longest {
		return &FixedError{[]string{fmt.Sprintf("exchange (a token of %v outlives the signing keys, which are kept for %v)", life, b.reloads.longest)}}
	}
	if err := b.pins.Hold(ctx, judged.Upstreams.Issuers()); err != nil {
		return err
	}
	compiled, err := b.compile(c, b.parts(before.Upstreams))
	if err != nil {
		return err
	}
	next := &served{Snapshot: compiled}
	if err := b.complete(next); err != nil {
		return err
	}
	b.snap.Store(next)
	b.reloads.former = append(b.reloads.former, former{before, next, b.now()})
	return nil
}

// compile judges c; the error is a *ConfigError.
func (b *Broker) compile(c Config, p snapshot.Parts) (*snapshot.Snapshot, error) {
	var problems []string
	s := snapshot.Compile(c, p, func(path, format string, args ...any) {
		problems = append(problems, path+": "+fmt.Sprintf(format, args...))
	}, orSilent(nil))
	if len(problems) > 0 {
		return nil, &ConfigError{Problems: problems}
	}
	return s, nil
}

// parts are what a snapshot that serves stands on.
func (b *Broker) parts(before *upstreams.Set) snapshot.Parts {
	return snapshot.Parts{Keys: b.keys, Shapes: b.shapes, Breaker: b.record.BreakerChange, Spend: b.spend, Now: b.now, Revoked: late{b}, Before: before}
}

// fixed names the keys that differ, though state was opened with them.
func fixed(was, is Config) (keys []string) {
	for _, k := range []struct {
		name    string
		was, is any
	}{
		{"issuer", was.Issuer, is.Issuer}, {"signing", was.Signing, is.Signing}, {"tokens", was.Tokens, is.Tokens}, {"sessions", was.Sessions, is.Sessions},
		{"leeway", was.Leeway, is.Leeway}, {"revocation_max_stale", was.RevocationMaxStale, is.RevocationMaxStale}, {"limits", was.Limits, is.Limits},
		{"dpop", was.DPoP, is.DPoP},
	} {
		if !reflect.DeepEqual(k.was, k.is) {
			keys = append(keys, k.name)
		}
	}
	return keys
}

// tellReload tells the operator, in all three ways, and remembers for Ready.
func (b *Broker) tellReload(ctx context.Context, err error) {
	b.reloads.told.Lock()
	b.reloads.at, b.reloads.refused = b.now(), err
	b.reloads.told.Unlock()
	e := event.Event{Kind: event.KindConfigReload, Outcome: event.OutcomeDone, DecisionID: rand.Text(), Err: err}
	if err != nil {
		e.Outcome = event.OutcomeError
	}
	b.record.Queue(&e)
	b.record.Tell(ctx, &e)
}

// part says whether the newest configuration is in use, and if not since when, and the first of what is wrong with it.
func (r *reloads) part() Part {
	r.told.Lock()
	defer r.told.Unlock()
	const name = "configuration"
	if r.refused == nil {
		return Part{Name: name, OK: true}
	}
	first := r.refused.Error()
	if e, ok := errors.AsType[*ConfigError](r.refused); ok {
		first = e.Problems[0]
	}
	first, _, _ = strings.Cut(first, "\n")
	return part(name, fmt.Errorf("the one before is in use: refused at %s: %s", r.at.UTC().Format(time.RFC3339), first))
}

// retire ends what no request can be using any more.
func (b *Broker) retire(context.Context) {
	b.reloads.mu.Lock()
	defer b.reloads.mu.Unlock()
	for len(b.reloads.former) > 0 && b.now().Sub(b.reloads.former[0].since) >= retireAfter {
		b.retireOldest()
	}
}

// retireOldest closes what the oldest configuration did not hand on, and forgets keys of whom is configured no more. b.reloads.mu is held.
func (b *Broker) retireOldest() {
	f := b.reloads.former[0]
	b.reloads.former = b.reloads.former[1:]
	f.snap.Upstreams.CloseFor(f.next.Upstreams)
	current := b.snap.Load()
	for _, name := range f.snap.Upstreams.Names() {
		if _, configured := current.Upstreams.ByName(name); !configured {
			b.keys.Forget(name)
			b.shapes.Unload(name)
			b.record.Metrics.ForgetUpstream(name)
		}
	}
	still := current.Clients.KeySets()
	for _, name := range f.snap.Clients.KeySets() {
		if !slices.Contains(still, name) {
			b.keys.Forget(name)
		}
	}
}

// closeUpstreams ends what the upstreams of all configurations hold.
func (b *Broker) closeUpstreams() {
	b.reloads.mu.Lock()
	defer b.reloads.mu.Unlock()
	for len(b.reloads.former) > 0 {
		b.retireOldest()
	}
	b.snap.Load().Upstreams.Close()
}
