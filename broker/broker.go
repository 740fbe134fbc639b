// Package broker puts the parts together: Options and New, the snapshot of a compiled configuration, the one pipeline that all
// grants run through, introspection and revocation, what an operator may do, and Run, which owns every loop. It knows no HTTP and no
// engine; broker/web serves it, and whoever opened the engine and the journal closes them.
package broker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"fedbroker/broker/decision"
	"fedbroker/broker/dpop"
	"fedbroker/broker/drift"
	"fedbroker/broker/event"
	"fedbroker/broker/keyring"
	"fedbroker/broker/keystore"
	"fedbroker/broker/limit"
	"fedbroker/broker/login"
	"fedbroker/broker/metadata"
	"fedbroker/broker/oauth"
	"fedbroker/broker/operator"
	"fedbroker/broker/pin"
	"fedbroker/broker/record"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/broker/shapestore"
	"fedbroker/broker/snapshot"
	"fedbroker/broker/token"
	"fedbroker/store"
	"fedbroker/store/journal"
	"fedbroker/upstreams"
	"fedbroker/upstreams/keys"
	"fedbroker/upstreams/shape"
)

// What Options take of the journal.
type (
	Journal  = record.Journal
	Subjects = record.Subjects
)

// Options of New. Config, Engine, Journal and Sealing are required; the caller opened the latter three and closes them after Run.
type Options struct {
	Config   Config
	Engine   store.Engine
	Journal  Journal
	Sealing  store.Sealing
	Subjects Subjects         // [those of the engine]
	Metrics  *event.Metrics   // [new ones]
	Logger   *slog.Logger     // [discards]
	Now      func() time.Time // [time.Now]
	TraceTTL time.Duration    // how long decisions are kept to be explained; 0: not at all
}

// PinError refuses a start; see pin.Error.
type PinError = pin.Error

// Broker is a running broker. Its methods are safe for concurrent use.
type Broker struct {
	engine    store.Engine
	sealing   store.Sealing
	now       func() time.Time
	snap      atomic.Pointer[served]
	reloads   reloads
	keys      *keys.Cache // of upstreams
	shapes    *shape.Sentinel
	keyring   *keyring.Keyring
	revoked   *revoke.Set
	spend     *revoke.Spender
	minter    *token.Minter
	opener    *token.Opener
	limits    limit.Set
	proofs    *dpop.Checker
	record    record.Recorder
	pins      *pin.Pins
	sessions  *session.Store
	tried     *lru.Cache[string, struct{}] // login attempts
	rechecks  singleflight.Group           // of logins, by session
	operator  *operator.Operator
	kept      *decision.Store
	decisions *decision.Recorder
}

// ConfigError is a configuration that Check refuses, all its problems at once.
type ConfigError struct{ Problems []string }

func (e *ConfigError) Error() string { return "configuration: " + strings.Join(e.Problems, "; ") }

// New makes a broker of what the engine holds. It touches no network, so it starts with every upstream down. Errors: *ConfigError;
// *PinError (errors.As finds the first of several); *store.MissingSealKeyError.
func New(ctx context.Context, o Options) (*Broker, error) {
	b, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := b.pins.Hold(ctx, b.snap.Load().Upstreams.Issuers()); err != nil {
		return nil, err
	}
	return b, nil
}

// open is New without holding upstreams to their pins.
func open(ctx context.Context, o Options) (*Broker, error) {
	o, err := o.withDefaults(ctx)
	if err != nil {
		return nil, err
	}
	b := &Broker{engine: o.Engine, sealing: o.Sealing, tried: newTried(), now: o.Now, spend: revoke.NewSpender(o.Engine), record: record.Recorder{Journal: o.Journal, Subjects: o.Subjects, Log: o.Logger, Metrics: o.Metrics, Now: o.Now}}
	saved, err := keystore.New(o.Engine)
	if err != nil {
		return nil, err
	}
	b.keys = keys.New(keys.Options{Now: o.Now, Store: saved, Observe: b.record.KeyFetch, Alarm: b.record.KeyAlarm})
	learnt, err := shapestore.New(o.Engine, o.Now)
	if err != nil {
		return nil, err
	}
	b.shapes = shape.New(shape.Options{Store: learnt, Now: o.Now, Count: b.record.ClaimChange, Tell: b.record.ClaimsChanged, Fail: b.record.ShapeFailed})
	s, err := b.compile(o.Config, b.parts(nil))
	if err != nil {
		return nil, err
	}
	if err := b.openState(ctx, o, s); err != nil {
		return nil, err
	}
	now := &served{Snapshot: s}
	if err := b.complete(now); err != nil {
		return nil, err
	}
	b.snap.Store(now)
	return b, nil
}

// late knows what is revoked as soon as the broker does: a configuration is judged before any state is read.
type late struct{ b *Broker }

func (l late) Check(f revoke.Facts, issued time.Time) error { return l.b.revoked.Check(f, issued) }

// openState reads what the engine keeps: revocations and signing keys, both before anything can be answered (P26).
func (b *Broker) openState(ctx context.Context, o Options, s *snapshot.Snapshot) (err error) {
	c := s.Config
	b.revoked, err = revoke.Open(ctx, revoke.Options{Engine: o.Engine, Now: o.Now, MaxStale: *c.RevocationMaxStale})
	if err != nil {
		return fmt.Errorf("revocations: %w", err)
	}
	o.Metrics.Revocations(b.revoked.Len)
	b.reloads.longest = max(s.Policy.Longest(), *c.Tokens.IDTTL)
	b.keyring, err = keyring.Open(ctx, keyring.Options{
		Engine: o.Engine, Sealing: o.Sealing, Now: o.Now, Algorithms: c.Signing.Algorithms, RotateEvery: *c.Signing.RotateEvery, Longest: b.reloads.longest, KeepRetired: *c.Sessions.TTL,
		Revoke: func(ctx context.Context, kid string, keepUntil time.Time) error {
			return b.revoked.Revoke(ctx, revoke.KindKey, kid, time.Time{}, keepUntil)
		},
	})
	if err != nil {
		return fmt.Errorf("signing keys: %w", err)
	}
	b.minter = token.NewMinter(token.MinterOptions{Issuer: c.Issuer, Keyring: b.keyring})
	b.opener, err = token.NewOpener(token.OpenerOptions{Issuer: c.Issuer, Keyring: b.keyring, Revoked: b.revoked, Leeway: *c.Leeway})
	if err != nil {
		return err
	}
	if b.pins, err = pin.New(o.Engine, o.Now); err != nil {
		return err
	}
	if err := b.openSessions(o, c); err != nil {
		return err
	}
	if err := b.openDecisions(o); err != nil {
		return err
	}
	b.limits = limit.NewSet(c.Limits)
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	if b.proofs, err = dpop.New(dpop.Options{Leeway: *c.Leeway, Now: o.Now, RequireNonce: c.DPoP.RequireNonce, Key: secret}); err != nil {
		return err
	}
	b.operator = operator.New(operator.Options{
		Keyring: b.keyring, Revoked: b.revoked, Pins: b.pins, Sessions: b.sessions, Record: b.record, Now: o.Now,
		Issuers:   func() map[string]string { return b.snap.Load().Upstreams.Issuers() },
		Upstreams: func() *upstreams.Set { return b.snap.Load().Upstreams }, UpstreamKeys: b.keys,
		Shapes: b.shapes, Readers: func(upstream string) (drift.Readers, bool) { return drift.Of(b.snap.Load().Snapshot, upstream) },
		Lineage: b.lineage(o), Keep: max(*c.Tokens.RefreshTTL, *c.Sessions.TTL),
	})
	return nil
}

func (o Options) withDefaults(ctx context.Context) (Options, error) {
	if o.Engine == nil || o.Journal == nil || o.Sealing == nil {
		return o, errors.New("broker: engine, journal and sealing are required")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = event.NewMetrics()
	}
	if o.Subjects == nil {
		s, err := journal.NewSubjects(ctx, journal.SubjectsOptions{Engine: o.Engine, Sealing: o.Sealing})
		if err != nil {
			return o, err
		}
		o.Subjects = s
	}
	return o, nil
}

// Issuer is our issuer identifier.
func (b *Broker) Issuer() string { return b.snap.Load().Config.Issuer }

// Metrics are the broker's.
func (b *Broker) Metrics() *event.Metrics { return b.record.Metrics }

// Login signs people in, by the configuration of now.
func (b *Broker) Login() *login.Service { return b.snap.Load().login }

// HasOrigin tells whether a client has registered the origin, whose pages may then read public documents (CORS).
func (b *Broker) HasOrigin(origin string) bool { return b.snap.Load().Clients.HasOrigin(origin) }

// ClientHasOrigin tells whether a client has registered the origin.
func (b *Broker) ClientHasOrigin(clientID, origin string) bool {
	client, known := b.snap.Load().Clients.Lookup(clientID)
	return known && client.HasOrigin(origin)
}

// Operator is what an operator may do.
func (b *Broker) Operator() *operator.Operator { return b.operator }

// NewOperator makes an operator of what the engine holds, for a command that found no server. It does not hold upstreams to their pins, so that
// they can be rebound.
func NewOperator(ctx context.Context, o Options) (*operator.Operator, error) {
	b, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	return b.operator, nil
}

// Metadata is the discovery document (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).
func (b *Broker) Metadata() metadata.Document { return b.snap.Load().metadata }

// JWKS is our public keys (RFC 7517 §5).
func (b *Broker) JWKS() metadata.Document {
	body, etag, maxAge := b.keyring.JWKS()
	return metadata.Document{Body: body, ETag: etag, MaxAge: maxAge}
}

// Refuse tells the operator of a request that was refused before it reached the pipeline: by the form rules. It is logged and
// counted, not journalled (P26).
func (b *Broker) Refuse(ctx context.Context, kind event.Kind, decisionID string, peer netip.Addr, refusal *oauth.Error) {
	e := event.Event{Kind: kind, DecisionID: decisionID, Peer: peer}
	e.Refuse(refusal)
	b.record.Tell(ctx, &e)
}

// Run owns every loop: keys of upstreams, our keyring, the tail of revocations, the sweep, the readiness gauges. It returns nil
// after ctx ended and every loop has; call it once.
func (b *Broker) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.keys.Run(ctx) })
	g.Go(func() error { return b.shapes.Run(ctx) })
	g.Go(func() error { return b.keyring.Run(ctx) })
	g.Go(func() error { return b.revoked.Run(ctx) })
	g.Go(func() error { return b.decisions.Run(ctx) })
	g.Go(func() error { return every(ctx, sweepEvery, b.sweep) })
	g.Go(func() error { return every(ctx, gaugeEvery, b.gauge) })
	g.Go(func() error { return every(ctx, retireEvery, b.retire) })
	err := g.Wait()
	b.closeUpstreams()
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

const (
	sweepEvery = time.Minute
	sweepBatch = 1000 // records for each call; the engine bounds the delay of others by itself
	gaugeEvery = 10 * time.Second
)

// every does work at once and then at each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, work func(context.Context)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		work(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (b *Broker) sweep(ctx context.Context) {
	for ctx.Err() == nil {
		begun := b.now()
		removed, err := b.engine.Sweep(ctx, sweepBatch)
		b.record.Metrics.Sweep(removed, err, b.now().Sub(begun))
		if err != nil && ctx.Err() == nil {
			b.record.Log.LogAttrs(ctx, slog.LevelWarn, "expired records not swept", slog.Any(event.AttrError, err))
		}
		if err != nil || removed < sweepBatch {
			return
		}
	}
}

func (b *Broker) gauge(ctx context.Context) {
	r := b.Ready(ctx)
	for _, p := range r.Parts {
		b.record.Metrics.Part(p.Name, p.OK)
	}
	for _, u := range r.Upstreams {
		b.record.Metrics.Upstream(u.Name, u.OK)
	}
}
