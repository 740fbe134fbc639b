package shape

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"fedbroker/upstreams/jose"
)

const (
	// lookEvery is how often one of a sort of tokens is looked at once their shape is learnt: far more often than anyone acts on what is found,
	// and far too seldom to cost the path of the tokens anything.
	lookEvery = 100 * time.Millisecond
	// loadEvery is how often an engine that fails is asked for what was kept.
	loadEvery = time.Second
	// saveEvery is how much of what was learnt a crash may lose. Claims that changed are told of at once, whatever is saved.
	saveEvery = 5 * time.Minute
	// tellEvery is how often one kind of change at one upstream is worth an event: whoever can choose the claims of his tokens must not fill the journal.
	tellEvery = time.Hour
	// storeTimeout bounds the last saving, when everything else has ended.
	storeTimeout = 10 * time.Second
)

// Source is what sort of tokens a shape is of: what they are for, and their class where that is not the usual. The values are few, and none is
// made of what a token says.
type Source string

// Store keeps shapes over restarts.
type Store interface {
	// Load returns the shape that was saved last; nil if there is none.
	Load(ctx context.Context, upstream string, source Source) (*Shape, error)
	Save(ctx context.Context, upstream string, source Source, s *Shape) error
	Sources(ctx context.Context, upstream string) ([]Source, error)
	Forget(ctx context.Context, upstream string) error
}

// Options of New. All but Store are required.
type Options struct {
	Store Store // nil: nothing is kept
	Now   func() time.Time
	Count func(upstream string, k Kind) // of every change, at once
	Tell  func(Change)                  // of changes, at most one an hour for each upstream and kind
	Fail  func(upstream string, err error)
}

// Sentinel watches the claims of all upstreams' tokens. Its methods are safe for concurrent use.
type Sentinel struct {
	o       Options
	watches sync.Map // watched → *watch
	wake    chan struct{}

	keeping sync.Mutex // held while the store is written, so that nothing that is forgotten comes back

	mu   sync.Mutex
	todo []*watch // wait to be loaded, or have changes to tell

	told map[toldKey]*told // Run's alone
}

type watched struct {
	upstream string
	source   Source
}

// watch is one sort of tokens of one upstream.
type watch struct {
	watched
	due atomic.Int64 // when the next token is looked at, in nanoseconds of Unix time

	mu     sync.Mutex
	shape  *Shape // nil: not loaded yet
	queued bool   // it is in todo
	dirty  bool   // there is something to save
	gone   bool   // it is forgotten, and another may be in its place
}

// New makes a Sentinel that knows nothing yet: what was kept of an upstream is loaded when its first token comes. Run must run for that.
func New(o Options) *Sentinel {
	return &Sentinel{o: o, wake: make(chan struct{}, 1), told: map[toldKey]*told{}}
}

// Observe takes in the claims of a token that was verified, now and then. It waits for no one. A nil Sentinel takes in nothing.
func (s *Sentinel) Observe(upstream string, source Source, c jose.Claims) {
	if s == nil {
		return
	}
	if w, now := s.watch(upstream, source), s.o.Now(); w.isDue(now) {
		s.look(w, c, now)
	}
}

// ObserveMap is Observe of claims that are Go values already.
func (s *Sentinel) ObserveMap(upstream string, source Source, claims map[string]any) {
	if s == nil {
		return
	}
	if w, now := s.watch(upstream, source), s.o.Now(); w.isDue(now) {
		s.look(w, Map(claims), now)
	}
}

// isDue tells whether a token is to be looked at. What is further off than it can be was set by a clock that has been put back since.
func (w *watch) isDue(now time.Time) bool {
	wait := w.due.Load() - now.UnixNano()
	return wait <= 0 || wait > int64(loadEvery)
}

func (s *Sentinel) look(w *watch, c Claims, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.gone:
		return
	case w.shape == nil:
		s.queue(w)
		return
	case !w.shape.Learnt.IsZero():
		if !w.isDue(now) {
			return // another was quicker
		}
		w.due.Store(now.Add(lookEvery).UnixNano())
	}
	w.shape.Look(c, now)
	w.dirty = true
	if len(w.shape.changes) > 0 {
		s.queue(w)
	}
}

func (s *Sentinel) watch(upstream string, source Source) *watch {
	key := watched{upstream, source}
	if w, ok := s.watches.Load(key); ok {
		return w.(*watch)
	}
	w, _ := s.watches.LoadOrStore(key, &watch{watched: key})
	return w.(*watch)
}

// queue has Run attend to w, whose mu is held.
func (s *Sentinel) queue(w *watch) {
	if w.queued {
		return
	}
	w.queued = true
	s.mu.Lock()
	s.todo = append(s.todo, w)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// Run loads, saves and tells until ctx ends; then it saves and tells what is left, and returns nil. Call it once.
func (s *Sentinel) Run(ctx context.Context) error {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.wake:
			s.attend(ctx)
		case <-tick.C:
			s.attend(ctx)
			s.save(ctx)
			s.tell(false)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
			defer cancel()
			s.attend(last)
			s.save(last)
			s.tell(true)
			return nil
		}
	}
}

// attend loads what is wanted and takes what has changed.
func (s *Sentinel) attend(ctx context.Context) {
	s.mu.Lock()
	todo := s.todo
	s.todo = nil
	s.mu.Unlock()
	for _, w := range todo {
		if err := s.load(ctx, w); err != nil {
			s.o.Fail(w.upstream, err) // the next token asks again
		}
		w.mu.Lock()
		w.queued = false
		var changes []change
		if w.shape != nil {
			changes, w.shape.changes = w.shape.changes, nil
		}
		w.mu.Unlock()
		for _, c := range changes {
			s.o.Count(w.upstream, c.kind)
			s.note(w.watched, c)
		}
	}
	s.tell(false)
}

// load makes w know what was kept of it.
func (s *Sentinel) load(ctx context.Context, w *watch) error {
	w.mu.Lock()
	known := w.shape != nil || w.gone
	w.mu.Unlock()
	if known {
		return nil
	}
	kept := &Shape{}
	if s.o.Store != nil {
		found, err := s.o.Store.Load(ctx, w.upstream, w.source)
		if err != nil {
			w.due.Store(s.o.Now().Add(loadEvery).UnixNano())
			return err
		}
		if found != nil && found.fit() {
			kept = found
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shape == nil {
		w.shape = kept
	}
	return nil
}

// save keeps what was learnt since the last time.
func (s *Sentinel) save(ctx context.Context) {
	s.each("", func(w *watch) {
		if err := s.saveOne(ctx, w); err != nil {
			s.o.Fail(w.upstream, err)
		}
	})
}

func (s *Sentinel) saveOne(ctx context.Context, w *watch) error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	w.mu.Lock()
	if s.o.Store == nil || !w.dirty || w.gone {
		w.mu.Unlock()
		return nil
	}
	w.dirty = false
	copied := w.shape.clone()
	w.mu.Unlock()
	err := s.o.Store.Save(ctx, w.upstream, w.source, &copied)
	if err != nil {
		w.mu.Lock()
		w.dirty = true
		w.mu.Unlock()
	}
	return err
}

// each visits the watches of an upstream, of all for "".
func (s *Sentinel) each(upstream string, visit func(*watch)) {
	s.watches.Range(func(_, v any) bool {
		if w := v.(*watch); upstream == "" || w.upstream == upstream {
			visit(w)
		}
		return true
	})
}

// Sourced is a shape, and what it is of.
type Sourced struct {
	Source Source
	Shape
}

// Shapes are what is known of an upstream's tokens, by source. They are the caller's own.
func (s *Sentinel) Shapes(ctx context.Context, upstream string) ([]Sourced, error) {
	if err := s.loadAll(ctx, upstream); err != nil {
		return nil, err
	}
	var all []Sourced
	s.each(upstream, func(w *watch) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.shape != nil && w.shape.Tokens > 0 {
			all = append(all, Sourced{w.source, w.shape.clone()})
		}
	})
	slices.SortFunc(all, func(a, b Sourced) int { return strings.Compare(string(a.Source), string(b.Source)) })
	return all, nil
}

func (s *Sentinel) loadAll(ctx context.Context, upstream string) error {
	if s.o.Store == nil {
		return nil
	}
	sources, err := s.o.Store.Sources(ctx, upstream)
	if err != nil {
		return err
	}
	for _, source := range sources {
		if err := s.load(ctx, s.watch(upstream, source)); err != nil {
			return err
		}
	}
	return nil
}

// Accept makes what comes now the baseline of an upstream, durably, and returns how many differences that settled.
func (s *Sentinel) Accept(ctx context.Context, upstream string) (settled int, err error) {
	if err := s.loadAll(ctx, upstream); err != nil {
		return 0, err
	}
	s.each(upstream, func(w *watch) {
		w.mu.Lock()
		n := 0
		if w.shape != nil {
			n = len(w.shape.Drifts())
		}
		if n > 0 {
			w.shape.Accept(s.o.Now())
			w.dirty = true
		}
		settled += n
		w.mu.Unlock()
		if n > 0 {
			err = errors.Join(err, s.saveOne(ctx, w))
		}
	})
	return settled, err
}

// Forget makes an upstream one of which nothing is known.
func (s *Sentinel) Forget(ctx context.Context, upstream string) error {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	s.Unload(upstream)
	if s.o.Store == nil {
		return nil
	}
	return s.o.Store.Forget(ctx, upstream)
}

// Unload frees what is held of an upstream. What was saved of it stays.
func (s *Sentinel) Unload(upstream string) {
	s.each(upstream, func(w *watch) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.gone = true
		s.watches.Delete(w.watched)
	})
}
