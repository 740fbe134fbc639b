package decision

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/store"
)

// Bounds of what recording may cost. A decision that is recorded costs some 30 µs of CPU in its batch: at this rate 0.2 % of a core at most,
// whatever the load.
const (
	batch      = 64              // records in one commit, which is as many ops as one may have
	flushEvery = time.Second     // and there is one commit in this time
	queue      = 4 * batch       // of each kind: what a burst may leave to be written
	maxKept    = 200_000         // KiB of records written within one ttl, each rounded up: some 200 MB
	maxClient  = maxKept / 10    // of them, refusals of one client
	maxRecord  = 16 << 10        // bytes of one, sealed: without its claims where it would have more
	lastFlush  = 5 * time.Second // for the last commits, after the loop was told to end
)

// RecorderOptions describe a Recorder. Store is required.
type RecorderOptions struct {
	Store   *Store
	TTL     time.Duration // how long a decision is kept; 0: none is recorded
	Now     func() time.Time
	Dropped func(n int)     // told of decisions that are not kept; may be nil
	Failed  func(err error) // told of a batch that could not be written; may be nil
}

// Recorder keeps decisions, off the path of the answers. A nil *Recorder records nothing.
//
// Refusals have a queue of their own and are written first, and the second half of maxKept is theirs alone: they are what is asked about. Of one
// client there are no more than maxClient: who is refused all the time pushes out nobody else's.
type Recorder struct {
	o               RecorderOptions
	refused, issued chan Record
	full            atomic.Uint32 // of the level: halfFull, allFull
	level           float64       // leaky bucket of maxKept, as of levelAt; Run's alone
	levelAt         time.Time

	mu      sync.Mutex
	clients map[string]float64 // leaky buckets of maxClient, as of levelAt, by client ID; "" is anonymous requests
}

const (
	halfFull = 1 // issued tokens' decisions are not taken
	allFull  = 2
)

// NewRecorder makes a recorder, which writes once Run does; nil with a TTL of 0.
func NewRecorder(o RecorderOptions) (*Recorder, error) {
	if o.Store == nil || o.TTL < 0 {
		return nil, errors.New("decisions: a store, and a ttl of 0s or more, are required")
	}
	if o.TTL == 0 {
		return nil, nil //nolint:nilnil // off
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dropped == nil {
		o.Dropped = func(int) {}
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	return &Recorder{o: o, refused: make(chan Record, queue), issued: make(chan Record, queue), levelAt: o.Now(), clients: map[string]float64{}}, nil
}

// Note queues the record of a decision. make is called at once, or not at all if there is no room: what is dropped costs a
// look at a counter.
func (r *Recorder) Note(refused bool, make func() Record) {
	if r == nil {
		return
	}
	into, limit := r.issued, uint32(halfFull)
	if refused {
		into, limit = r.refused, allFull
	}
	if r.full.Load() >= limit || len(into) == cap(into) {
		r.o.Dropped(1)
		return
	}
	select {
	case into <- make():
	default: // others were quicker
		r.o.Dropped(1)
	}
}

// Request notes how a request ended, if it was an exchange or an assertion. Of one that nobody vouched for, neither by credentials nor by a token that
// verified, nothing is kept: anybody could fill the store.
func (r *Recorder) Request(in *oauth.TokenRequest, e Ending) {
	if r == nil {
		return
	}
	exchange := in.GrantType == oauth.GrantTokenExchange || in.GrantType == oauth.GrantJWTBearer
	switch {
	case !exchange || in.Seen.Tokens == nil && !e.Known:
	case e.Refusal != nil && r.spent(in.Requester.ClientID):
		r.o.Dropped(1)
	default:
		r.Note(e.Refusal != nil, func() Record { return Of(in, e) })
	}
}

// Run writes what is noted until ctx ends, and then what is left, once. It returns nil.
func (r *Recorder) Run(ctx context.Context) error {
	if r == nil {
		return nil
	}
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
			defer cancel()
			for len(r.refused)+len(r.issued) > 0 && last.Err() == nil {
				r.flush(last)
			}
			return nil
		}
	}
}

// flush writes one batch.
func (r *Recorder) flush(ctx context.Context) {
	var ops []store.Op
	now, taken, size, refused := r.o.Now(), map[string]bool{}, 0, map[string]int{}
	for len(ops) < batch {
		next, ok := r.next()
		if !ok {
			break
		}
		more, err := r.o.Store.ops(ctx, next, now.Add(r.o.TTL))
		if err == nil && sizeOf(more) > maxRecord { // one of them must not lose the whole commit
			next.shed()
			if more, err = r.o.Store.ops(ctx, next, now.Add(r.o.TTL)); err == nil && sizeOf(more) > maxRecord {
				err = fmt.Errorf("decision %q of %d bytes: %w", next.ID, sizeOf(more), store.ErrTooLarge)
			}
		}
		if err == nil && taken[next.ID] { // two ops on one key would lose the whole commit
			err = fmt.Errorf("decision %q twice", next.ID)
		}
		if err != nil {
			r.lost(1, err)
			continue
		}
		ops, taken[next.ID] = append(ops, more...), true
		kib := (sizeOf(more) + 1<<10 - 1) >> 10
		if size += kib; !next.Allowed() {
			refused[next.ClientID] += kib
		}
	}
	r.charge(now, refused)
	r.meter(now, size)
	if len(ops) > 0 {
		r.commit(ctx, ops)
	}
}

// commit writes ops at once, or each by itself where one of them keeps the engine from writing any.
func (r *Recorder) commit(ctx context.Context, ops []store.Op) {
	_, err := r.o.Store.engine.Commit(ctx, ops...)
	switch {
	case err == nil:
	case len(ops) > 1 && (errors.Is(err, store.ErrTooLarge) || errors.Is(err, store.ErrInvalid)):
		for i := range ops {
			r.commit(ctx, ops[i:i+1])
		}
	default:
		r.lost(len(ops), err)
	}
}

// spent tells whether a client's refusals have their share.
func (r *Recorder) spent(client string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clients[client] >= maxClient
}

// charge adds what is written, in KiB, to the shares of clients, which fall as the level does. It comes before meter, which moves levelAt on.
func (r *Recorder) charge(now time.Time, written map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fallen := maxClient * max(now.Sub(r.levelAt), 0).Seconds() / r.o.TTL.Seconds()
	for client, level := range r.clients {
		if r.clients[client] = level - fallen; level <= fallen {
			delete(r.clients, client)
		}
	}
	for client, n := range written {
		r.clients[client] += float64(n)
	}
}

// sizeOf is how many bytes the ops write.
func sizeOf(ops []store.Op) (n int) {
	for _, op := range ops {
		n += len(op.Key) + len(op.Value)
	}
	return n
}

// next is what is to be written next: refusals before the rest.
func (r *Recorder) next() (Record, bool) {
	select {
	case one := <-r.refused:
		return one, true
	default:
	}
	select {
	case one := <-r.issued:
		return one, true
	default:
		return Record{}, false
	}
}

func (r *Recorder) lost(n int, err error) {
	r.o.Dropped(n)
	r.o.Failed(fmt.Errorf("decisions: %w", err))
}

// meter holds what is written, in KiB, to maxKept within a ttl: the level falls by that much in that time.
func (r *Recorder) meter(now time.Time, written int) {
	elapsed := max(now.Sub(r.levelAt), 0)
	r.level = max(r.level-float64(maxKept)*elapsed.Seconds()/r.o.TTL.Seconds(), 0) + float64(written)
	r.levelAt = now
	switch {
	case r.level >= maxKept:
		r.full.Store(allFull)
	case r.level >= maxKept/2:
		r.full.Store(halfFull)
	default:
		r.full.Store(0)
	}
}
