package keys_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/upstreams/keys"
)

// Ten thousand partners are no reason to knock at ten thousand doors: a start asks nobody, the loop asks those whom nobody waits for at a pace, and a token
// waits for no turn.
func TestRun_UpstreamsThatNobodyWaitsForAreAskedAtAPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked, under, most atomic.Int64
		c := keys.New(keys.Options{})
		all := map[string]keys.Upstream{}
		for i := range 1000 {
			all[fmt.Sprint("p", i)] = keys.Upstream{Issuer: "https://idp.example", Source: func(ctx context.Context) (keys.Fetched, error) {
				asked.Add(1)
				most.Store(max(most.Load(), under.Add(1)))
				<-ctx.Done() // dead: it takes the connection and says nothing
				under.Add(-1)
				return keys.Fetched{}, ctx.Err()
			}}
		}
		c.RegisterAll(all)
		synctest.Wait()
		if n := asked.Load(); n != 0 {
			t.Fatalf("registration asked %d", n)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx) }()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := asked.Load(); n < 20 || n > 45 {
			t.Errorf("after a second %d were asked, want about twenty and twenty", n)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := most.Load(); n != 64 {
			t.Errorf("%d at a time, want 64", n)
		}
		var own atomic.Int64
		c.Register("late", keys.Upstream{Issuer: "https://idp.example", Source: func(context.Context) (keys.Fetched, error) {
			own.Add(1)
			return keys.Fetched{}, errors.New("dead, too")
		}})
		_, err := c.Lookup(t.Context(), "late", "k", "https://idp.example")
		if !errors.Is(err, keys.ErrUnavailable) || own.Load() != 1 || under.Load() != 64 {
			t.Errorf("a token waited for a turn: %v, asked %d, %d under way", err, own.Load(), under.Load())
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
