package shape

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"fedbroker/upstreams/jose"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// kept is a store in memory.
type kept struct {
	mu     sync.Mutex
	shapes map[watched]Shape
	saves  int
	fail   error
}

func (k *kept) Load(_ context.Context, upstream string, source Source) (*Shape, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.shapes[watched{upstream, source}]
	if !ok || k.fail != nil {
		return nil, k.fail
	}
	s = s.clone()
	return &s, nil
}

func (k *kept) Save(ctx context.Context, upstream string, source Source, s *Shape) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil || ctx.Err() != nil {
		return errors.Join(k.fail, ctx.Err())
	}
	k.shapes[watched{upstream, source}] = s.clone()
	k.saves++
	return nil
}

func (k *kept) Sources(_ context.Context, upstream string) (all []Source, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for w := range k.shapes {
		if w.upstream == upstream {
			all = append(all, w.source)
		}
	}
	return all, k.fail
}

func (k *kept) Forget(_ context.Context, upstream string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for w := range k.shapes {
		if w.upstream == upstream {
			delete(k.shapes, w)
		}
	}
	return k.fail
}

func (k *kept) failing(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = err
}

// post is a sentinel at work, and what it told.
type post struct {
	*testing.T
	*Sentinel
	store *kept
	stop  func()

	mu     sync.Mutex
	counts map[Kind]int
	told   []string
	failed int
}

// newPost runs a sentinel in a bubble of synctest, until stop or the test's end.
func newPost(t *testing.T, store *kept) *post {
	p := &post{T: t, store: store, counts: map[Kind]int{}}
	p.Sentinel = New(Options{
		Store: store, Now: time.Now,
		Count: func(_ string, k Kind) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.counts[k]++
		},
		Tell: func(c Change) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.told = append(p.told, c.Upstream+" "+string(c.Kind)+": "+strings.Join(c.Details, "; "))
		},
		Fail: func(string, error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.failed++
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Sentinel.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.stop)
	return p
}

// come has n tokens come, more than lookEvery apart.
func (p *post) come(n int, upstream string, source Source, text string) {
	p.Helper()
	c, err := jose.ParseClaims([]byte(text))
	if err != nil {
		p.Fatal(err)
	}
	for range n {
		time.Sleep(2 * lookEvery)
		p.Observe(upstream, source, c)
		synctest.Wait()
	}
}

func (p *post) wants(want ...string) {
	p.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	slices.Sort(p.told)
	if !slices.Equal(p.told, want) {
		p.Errorf("told %q\nwant %q", p.told, want)
	}
	p.told = nil
}

func (p *post) tokens(upstream string) (n uint64) {
	p.Helper()
	all, err := p.Shapes(p.Context(), upstream)
	if err != nil {
		p.Fatal(err)
	}
	for _, s := range all {
		n += s.Tokens
	}
	return n
}

func inBubble(t *testing.T, test func(*post)) {
	synctest.Test(t, func(t *testing.T) { test(newPost(t, &kept{shapes: map[watched]Shape{}})) })
}

func TestSentinel_TellsOfOneKindOnceAnHour(t *testing.T) {
	inBubble(t, func(p *post) {
		p.come(Learn+1, "acme", "login", `{"groups":["a"]}`) // the first one asks for what was kept
		p.wants()
		p.come(1, "acme", "login", `{"groups":"a","x":1}`)
		p.come(1, "acme", "login", `{"groups":1,"y":1}`)
		p.wants("acme appeared: login x: nothing → number", "acme retyped: login groups: list of string → string")
		if p.counts[Retyped] != 2 || p.counts[Appeared] != 2 {
			t.Errorf("counted %v", p.counts)
		}
		p.come(Learn+1, "beta", "login", `{"a":1}`)
		p.come(1, "beta", "login", `{"a":""}`)
		p.wants("beta retyped: login a: number → string") // another upstream has its own hour
		time.Sleep(tellEvery - saveEvery)
		p.wants()
		time.Sleep(2 * saveEvery)
		p.wants("acme appeared: login y: nothing → number", "acme retyped: login groups: string or list of string → number")
	})
}

func TestSentinel_WhatOneHourBringsIsBounded(t *testing.T) {
	inBubble(t, func(p *post) {
		p.come(Learn+1, "acme", "exchange", `{"a":1}`)
		p.come(1, "acme", "exchange", `{"a":1,"b":1}`)
		p.wants("acme appeared: exchange b: nothing → number")
		for i := range 3 * maxNames { // somebody chooses the names of his claims
			p.come(1, "acme", "exchange", `{"a":1,"z`+strings.Repeat("x", i%60)+string(rune('a'+i/60))+`":1}`)
		}
		p.wants()
		all, err := p.Shapes(t.Context(), "acme")
		if err != nil || len(all[0].Names) > maxNames || all[0].Names["/*"] == nil {
			t.Errorf("%d names, %v", len(all[0].Names), err)
		}
		p.stop()
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.told) != 1 || strings.Count(p.told[0], ";") != maxTold-1 {
			t.Errorf("%q", p.told)
		}
	})
}

func TestSentinel_LooksAtAFewOfManyTokens(t *testing.T) {
	inBubble(t, func(p *post) {
		c, _ := jose.ParseClaims([]byte(`{"a":1}`))
		p.Observe("acme", "exchange", c)
		synctest.Wait()
		for range 10 * Learn { // at once
			p.Observe("acme", "exchange", c)
		}
		if got := p.tokens("acme"); got != Learn+1 {
			t.Errorf("looked at %d", got)
		}
		time.Sleep(lookEvery)
		p.Observe("acme", "exchange", c)
		p.Observe("acme", "exchange", c)
		if got := p.tokens("acme"); got != Learn+2 {
			t.Errorf("looked at %d", got)
		}
	})
}

func TestSentinel_AClockThatIsPutBackStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &kept{shapes: map[watched]Shape{}})
		p.come(Learn+2, "acme", "exchange", `{"a":1}`)
		was := p.tokens("acme")
		p.o.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		p.come(1, "acme", "exchange", `{"a":1}`)
		if got := p.tokens("acme"); got != was+1 {
			t.Errorf("looked at %d more", got-was)
		}
	})
}

func TestSentinel_KeepsWhatItLearntOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kept{shapes: map[watched]Shape{}}
		p := newPost(t, store)
		p.come(Learn+1, "acme", "login", `{"groups":["a"]}`)
		time.Sleep(2 * saveEvery)
		synctest.Wait()
		if store.saves != 1 { // and not again, while nothing comes
			t.Errorf("saved %d times", store.saves)
		}
		p.come(1, "acme", "login", `{"groups":["a"],"x":1}`)
		p.stop()
		if store.saves != 2 {
			t.Errorf("saved %d times", store.saves)
		}
		p.wants("acme appeared: login x: nothing → number")

		again := newPost(t, store)
		if got := again.tokens("acme"); got != Learn+1 {
			t.Errorf("%d tokens", got)
		}
		again.come(1, "acme", "login", `{"groups":"a","x":1}`)
		again.wants("acme retyped: login groups: list of string → string")
	})
}

func TestSentinel_SortsOfTokensHaveShapesOfTheirOwn(t *testing.T) {
	inBubble(t, func(p *post) {
		p.come(Learn+1, "acme", "login", `{"a":1}`)
		p.come(Learn+1, "acme", "exchange", `{"b":1}`)
		p.ObserveMap("acme", "exchange", map[string]any{"b": "1"})
		p.wants("acme retyped: exchange b: number → string")
	})
}

func TestSentinel_AnEngineThatFailsCostsNothingButTheLooks(t *testing.T) {
	inBubble(t, func(p *post) {
		p.store.failing(errors.New("no disk"))
		p.come(3, "acme", "login", `{"a":1}`)
		p.store.failing(nil)
		time.Sleep(2 * time.Second)
		p.come(Learn+1, "acme", "login", `{"a":1}`)
		p.store.failing(errors.New("no disk"))
		time.Sleep(saveEvery)
		synctest.Wait()
		p.mu.Lock()
		if p.failed != 2 { // a load, a save
			t.Errorf("%d failures told", p.failed)
		}
		p.mu.Unlock()
		if _, err := p.Shapes(t.Context(), "acme"); err == nil {
			t.Error("want the engine's error")
		}
		p.store.failing(nil)
		time.Sleep(saveEvery)
		synctest.Wait()
		if got := p.tokens("acme"); got != Learn || p.store.saves != 1 {
			t.Errorf("%d tokens, %d saves", got, p.store.saves)
		}
	})
}

func TestSentinel_AcceptedAndForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &kept{shapes: map[watched]Shape{}}
		p := newPost(t, store)
		p.come(Learn+1, "acme", "login", `{"groups":["a"]}`)
		p.come(2*Learn, "acme", "login", `{"groups":"a"}`)
		p.wants("acme retyped: login groups: list of string → string")
		p.stop()

		idle := New(Options{Store: store, Now: time.Now}) // of a command that found no server
		if n, err := idle.Accept(t.Context(), "acme"); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if n, err := idle.Accept(t.Context(), "acme"); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		p = newPost(t, store)
		p.come(2, "acme", "login", `{"groups":"a"}`)
		p.wants()
		p.come(1, "acme", "login", `{"groups":["a"]}`)
		p.wants("acme retyped: login groups: string → list of string")

		if err := p.Forget(t.Context(), "acme"); err != nil || len(store.shapes) != 0 || p.tokens("acme") != 0 {
			t.Errorf("%v, %v", err, store.shapes)
		}
		p.come(3, "acme", "login", `{"groups":1}`)
		p.wants()
		if got := p.tokens("acme"); got != 2 {
			t.Errorf("%d tokens", got)
		}
	})
}

func TestSentinel_NilTakesInNothing(*testing.T) {
	var s *Sentinel
	s.Observe("acme", "login", jose.Claims{})
	s.ObserveMap("acme", "login", nil)
}

func TestSentinel_ManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &kept{shapes: map[watched]Shape{}})
		c, _ := jose.ParseClaims([]byte(`{"a":1}`))
		var g sync.WaitGroup
		for range 8 {
			g.Go(func() {
				for range 100 {
					p.Observe("acme", "exchange", c)
					time.Sleep(time.Millisecond)
				}
			})
		}
		g.Wait()
		if got := p.tokens("acme"); got < Learn || got > Learn+8 {
			t.Errorf("looked at %d", got)
		}
	})
}
