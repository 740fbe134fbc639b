package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"fedbroker/broker/event"
	"fedbroker/broker/revoke"
	"fedbroker/upstreams/history"
	"fedbroker/upstreams/keys"
)

// UpstreamKeys is what there is to see and do about upstreams' keys; *keys.Cache has it.
type UpstreamKeys interface {
	Inspect(ctx context.Context, upstream string) (keys.Inspection, error)
	History(ctx context.Context, upstream string) (history.Log, error)
	Refresh(ctx context.Context, upstream string) error
	Pin(ctx context.Context, upstream, kid string, d time.Duration) (time.Time, error)
}

// Upstream is how one upstream does.
type Upstream struct {
	Name        string        `json:"name"`
	Kind        string        `json:"kind"`
	Issuer      string        `json:"issuer"` // or the pattern of issuers
	State       string        `json:"state"`  // never, ok, stale, expired, pinned; keyless: of a kind that has no keys; by_issuer: a pattern, each of whose issuers has one
	JWKSURI     string        `json:"jwks_uri,omitempty"`
	Keys        []UpstreamKey `json:"keys"`
	MaxStale    int64         `json:"max_stale_seconds"`
	Confirmed   time.Time     `json:"confirmed_at,omitzero"`
	ServesUntil time.Time     `json:"serves_until,omitzero"` // if no fetch succeeds from now on; pins left out
	Tried       time.Time     `json:"tried_at,omitzero"`
	NextFetch   time.Time     `json:"next_fetch_at,omitzero"`
	LastError   string        `json:"last_error,omitempty"` // its class
	Warning     string        `json:"warning,omitempty"`    // class of what is wrong with the discovery document
	Alarms      []keys.Alarm  `json:"alarms,omitempty"`
	Issuers     []MetIssuer   `json:"issuers,omitempty"` // of a pattern, that were met
	Breakers    []Breaker     `json:"breakers,omitempty"`
}

// Breaker stands before one endpoint of an upstream.
type Breaker struct {
	Endpoint string    `json:"endpoint"`       // token, userinfo, introspection
	State    string    `json:"state"`          // closed, open, half_open
	Until    time.Time `json:"until,omitzero"` // of an open one: nobody asks the endpoint before
}

// UpstreamKey is one public key of an upstream.
type UpstreamKey struct {
	KeyID       string    `json:"kid"`
	Algorithm   string    `json:"alg,omitempty"`
	Thumbprint  string    `json:"thumbprint"` // RFC 7638
	FirstSeen   time.Time `json:"first_seen_at"`
	PinnedUntil time.Time `json:"pinned_until,omitzero"`
}

// KeyHistory is what became of an upstream's keys.
type KeyHistory struct {
	Upstream string          `json:"upstream"`
	Head     string          `json:"head,omitempty"` // the journal holds a copy for each change
	Dropped  int             `json:"dropped"`        // entries before the oldest one kept
	Broken   string          `json:"broken,omitempty"`
	Entries  []history.Entry `json:"entries"`
}

// Pin asks for a key to be pinned.
type Pin struct {
	Upstream string `json:"upstream"`
	KeyID    string `json:"kid"`
	Seconds  int64  `json:"for_seconds"` // 0 lifts the pin
}

// Pinned is a pin that was made, or lifted.
type Pinned struct {
	Upstream string    `json:"upstream"`
	KeyID    string    `json:"kid"`
	Until    time.Time `json:"until,omitzero"` // zero: lifted
}

// States of upstreams that have no keys of their own.
const (
	StateByIssuer = "by_issuer" // a pattern: its issuers have
	StateKeyless  = "keyless"   // of a kind that has none
)

// Upstreams says how every configured upstream does, by name. It fetches nothing.
func (o *Operator) Upstreams(ctx context.Context) ([]Upstream, error) {
	issuers := o.o.Issuers()
	all := make([]Upstream, 0, len(issuers))
	for _, name := range slices.Sorted(maps.Keys(issuers)) {
		u, err := o.upstream(ctx, name, issuers[name])
		if err != nil {
			return nil, err
		}
		all = append(all, u)
	}
	return all, nil
}

// Upstream says how one upstream does, with its keys. It fetches nothing.
func (o *Operator) Upstream(ctx context.Context, name string) (Upstream, error) {
	issuer, known := o.o.Issuers()[name]
	if !known {
		return Upstream{}, noUpstream(name)
	}
	return o.upstream(ctx, name, issuer)
}

func (o *Operator) upstream(ctx context.Context, name, issuer string) (Upstream, error) {
	info, _ := o.o.Upstreams().Info(name)
	u := Upstream{Name: name, Kind: info.Kind, Issuer: issuer, State: StateKeyless, Keys: []UpstreamKey{}}
	for _, b := range o.o.Upstreams().Breakers(name) {
		u.Breakers = append(u.Breakers, Breaker{Endpoint: string(b.Endpoint), State: string(b.State), Until: b.Until})
	}
	if met, many := o.o.Upstreams().Met(name); many {
		var err error
		u.State = StateByIssuer
		u.Issuers, err = o.metIssuers(ctx, met)
		return u, err
	}
	i, err := o.o.UpstreamKeys.Inspect(ctx, name)
	if errors.Is(err, keys.ErrNotRegistered) {
		return u, nil
	}
	if err != nil {
		return u, fmt.Errorf("upstream %s: %w", name, err)
	}
	u.State, u.JWKSURI, u.MaxStale, u.Confirmed, u.ServesUntil = string(i.State), i.JWKSURI, int64(i.MaxStale/time.Second), i.Confirmed, i.ServesUntil
	u.Tried, u.NextFetch, u.LastError, u.Warning, u.Alarms = i.Tried, i.Due, i.LastError, i.Warning, i.Alarms
	for _, k := range i.Set {
		u.Keys = append(u.Keys, UpstreamKey{KeyID: k.KeyID, Algorithm: k.Algorithm, Thumbprint: k.Thumbprint, FirstSeen: k.FirstSeen, PinnedUntil: k.PinnedUntil})
	}
	return u, nil
}

// noKeys says why nobody keeps an upstream's keys.
func (o *Operator) noKeys(name string) error {
	if info, _ := o.o.Upstreams().Info(name); info.Keyless {
		return badAct("upstream %s has no keys: it is of kind %s", name, info.Kind)
	}
	return badAct("upstream %s stands for many issuers, whose keys are kept by issuer and in memory alone", name)
}

func noUpstream(name string) error { return badAct("the configuration has no upstream %q", name) }

// KeyHistory says what became of an upstream's keys, and whether its chain holds.
func (o *Operator) KeyHistory(ctx context.Context, name string) (KeyHistory, error) {
	if _, known := o.o.Issuers()[name]; !known {
		return KeyHistory{}, noUpstream(name)
	}
	out := KeyHistory{Upstream: name, Entries: []history.Entry{}}
	if _, many := o.o.Upstreams().Met(name); many {
		return out, o.noKeys(name)
	}
	log, err := o.o.UpstreamKeys.History(ctx, name)
	if errors.Is(err, keys.ErrNotRegistered) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("upstream %s: %w", name, err)
	}
	if err := log.Verify(name); err != nil {
		out.Broken = err.Error()
	}
	out.Head, out.Dropped, out.Entries = log.Head, log.Dropped, append(out.Entries, log.Entries...)
	return out, nil
}

// RefreshUpstream fetches an upstream's keys now and says how it does then. Where the fetch fails, that is in LastError.
func (o *Operator) RefreshUpstream(ctx context.Context, name string) (Upstream, error) {
	if _, known := o.o.Issuers()[name]; !known {
		return Upstream{}, noUpstream(name)
	}
	var err error
	if met, many := o.o.Upstreams().Met(name); many {
		err = o.refreshMet(ctx, met)
	} else {
		err = o.o.UpstreamKeys.Refresh(ctx, name)
	}
	switch {
	case errors.Is(err, keys.ErrNotRegistered):
		return Upstream{}, o.noKeys(name)
	case ctx.Err() != nil:
		return Upstream{}, ctx.Err()
	}
	u, err := o.Upstream(ctx, name)
	if err != nil {
		return u, err
	}
	return u, o.done(ctx, event.Event{Kind: event.KindUpstreamRefresh, Upstream: name, Target: event.Target{Kind: string(revoke.KindUpstream), ID: name}})
}

// PinKey lets a key that the upstream last confirmed serve beyond max_stale, for at most keys.MaxPin.
func (o *Operator) PinKey(ctx context.Context, p Pin) (Pinned, error) {
	if _, known := o.o.Issuers()[p.Upstream]; !known {
		return Pinned{}, noUpstream(p.Upstream)
	}
	const most = int64(keys.MaxPin / time.Second)
	d := time.Duration(min(max(p.Seconds, -1), most+1)) * time.Second
	until, err := o.o.UpstreamKeys.Pin(ctx, p.Upstream, p.KeyID, d)
	if errors.Is(err, keys.ErrNotRegistered) {
		return Pinned{}, o.noKeys(p.Upstream)
	}
	if errors.Is(err, keys.ErrNotPinnable) || errors.Is(err, keys.ErrPinDuration) {
		return Pinned{}, badAct("pin %s of %s: %v", p.KeyID, p.Upstream, err)
	}
	if err != nil {
		return Pinned{}, fmt.Errorf("pin: %w", err)
	}
	e := event.Event{Kind: event.KindUpstreamPin, Upstream: p.Upstream, KeyID: p.KeyID, Target: event.Target{Kind: "upstream_kid", ID: p.KeyID}}
	out := Pinned{Upstream: p.Upstream, KeyID: p.KeyID}
	if p.Seconds > 0 {
		out.Until, e.Expires = until, until
	}
	return out, o.done(ctx, e)
}
