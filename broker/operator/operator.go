// Package operator holds what an operator may do to the broker's state.
package operator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"fedbroker/broker/drift"
	"fedbroker/broker/event"
	"fedbroker/broker/keyring"
	"fedbroker/broker/lineage"
	"fedbroker/broker/pin"
	"fedbroker/broker/record"
	"fedbroker/broker/revoke"
	"fedbroker/upstreams"
)

// Operator does what an operator may do to the broker's state. A running server has one in its Broker; a command that holds the
// store makes its own. Every act leaves a line in the journal.
type Operator struct{ o Options }

// Options describe an Operator. All are required but the last two.
type Options struct {
	Keyring  *keyring.Keyring
	Revoked  *revoke.Set
	Pins     *pin.Pins
	Sessions Sessions
	Issuers  func() map[string]string // configured: name → issuer
	Record   record.Recorder
	Now      func() time.Time
	// Of upstreams: what is configured, and their keys.
	Upstreams    func() *upstreams.Set
	UpstreamKeys UpstreamKeys

	Shapes  Shapes                                      // of upstreams' claims
	Readers func(upstream string) (drift.Readers, bool) // by what is configured

	Lineage *lineage.Reader // nil: the journal cannot be read back
	Keep    time.Duration   // how long revocations are kept [30 days, and never less]
}

// New makes an operator of the parts of a broker.
func New(o Options) *Operator {
	o.Keep = max(o.Keep, leastKeep)
	return &Operator{o}
}

// ActError is the operator's own mistake: what was named does not exist, or may not be done. Its text is for the operator.
type ActError struct{ Text string }

func (e *ActError) Error() string { return e.Text }

func badAct(format string, args ...any) error { return &ActError{Text: fmt.Sprintf(format, args...)} }

// Key is one of our signing keys.
type Key struct {
	KeyID     string    `json:"kid"`
	Algorithm string    `json:"alg"`
	State     string    `json:"state"` // pending, signing, retiring, retired, compromised
	CreatedAt time.Time `json:"created_at"`
	SignsFrom time.Time `json:"signs_from,omitzero"`
	RetiresAt time.Time `json:"retires_at,omitzero"`
}

// Binding is the issuer that an upstream's name is bound to (P1).
type Binding = pin.Binding

// Keys lists the signing keys.
func (o *Operator) Keys(context.Context) ([]Key, error) { return keysOf(o.o.Keyring.List()), nil }

// RotateKeys makes the next keys now. They sign as soon as every cached JWKS must hold them.
func (o *Operator) RotateKeys(ctx context.Context) ([]Key, error) {
	infos, err := o.o.Keyring.Rotate(ctx)
	if err != nil {
		return nil, fmt.Errorf("rotate: %w", err)
	}
	return keysOf(infos), o.done(ctx, event.Event{Kind: event.KindKeyRotation})
}

// CompromiseKey takes a key out of the JWKS at once, and with it every token that descends from one under it (P45).
func (o *Operator) CompromiseKey(ctx context.Context, kid string) ([]Key, error) {
	infos, err := o.o.Keyring.Compromise(ctx, kid)
	if errors.Is(err, keyring.ErrUnknownKey) {
		return nil, badAct("there is no signing key %q", kid)
	}
	if err != nil {
		return nil, fmt.Errorf("compromise: %w", err)
	}
	return keysOf(infos), o.done(ctx, event.Event{Kind: event.KindKeyCompromise, Target: event.Target{Kind: string(revoke.KindKey), ID: kid}})
}

// RebindUpstream lets the name stand for the issuer that the configuration gives it: its subjects go over to that issuer.
func (o *Operator) RebindUpstream(ctx context.Context, name string) (Binding, error) {
	issuer, known := o.o.Issuers()[name]
	if !known {
		return Binding{}, badAct("the configuration has no upstream %q", name)
	}
	b, err := o.o.Pins.Rebind(ctx, name, issuer)
	if err != nil || b.Was == b.Issuer {
		return b, err
	}
	err = o.done(ctx, event.Event{Kind: event.KindUpstreamBinding, Upstream: name, Target: event.Target{Kind: string(revoke.KindUpstream), ID: issuer}})
	return b, errors.Join(err, o.o.Shapes.Forget(ctx, name)) // another issuer's tokens have a shape of their own
}

// Bindings lists which issuer each upstream's name is bound to, also of those that have left the configuration.
func (o *Operator) Bindings(ctx context.Context) ([]Binding, error) { return o.o.Pins.All(ctx) }

// done journals an act that is carried out. If that fails, the act stands, and the error says so.
func (o *Operator) done(ctx context.Context, e event.Event) error {
	e.Outcome, e.DecisionID = event.OutcomeDone, rand.Text()
	err := o.o.Record.Durable(ctx, &e)
	o.o.Record.Tell(ctx, &e)
	if err != nil {
		return fmt.Errorf("carried out, but the journal does not say so: %w", err)
	}
	return nil
}

func keysOf(infos []keyring.Info) []Key {
	out := make([]Key, len(infos))
	for i, k := range infos {
		out[i] = Key{KeyID: k.KeyID, Algorithm: k.Alg, State: string(k.State), CreatedAt: k.Created, SignsFrom: k.SignsFrom, RetiresAt: k.RetiresAt}
	}
	return out
}
