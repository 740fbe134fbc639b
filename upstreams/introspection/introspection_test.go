package introspection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/upstreams/jose"
)

// Garbage is turned away at once while others are asked about; one token is asked about once, however many bring it.
func TestP13_FewTokensAreAskedAboutAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		c := New(Options{Now: time.Now, Ask: func(ctx context.Context, token string) (jose.Claims, error) {
			asked.Add(1)
			time.Sleep(3 * time.Second)
			return jose.ParseClaims([]byte(`{"active":true}`))
		}})
		var all sync.WaitGroup
		var busy atomic.Int32
		for i := range 60 {
			all.Go(func() {
				if _, err := c.Ask(t.Context(), fmt.Sprint("t", i%30)); errors.Is(err, ErrBusy) {
					busy.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if asked.Load() != maxFlights || busy.Load() == 0 {
			t.Errorf("asked %d times, %d turned away", asked.Load(), busy.Load())
		}
		if _, err := c.Ask(t.Context(), "later"); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// Whoever waits may go; the question goes on for the others.
func TestP13_WaitersHaveTheirOwnDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Now: time.Now, Ask: func(ctx context.Context, token string) (jose.Claims, error) {
			time.Sleep(3 * time.Second)
			if err := ctx.Err(); err != nil {
				return jose.Claims{}, err
			}
			return jose.ParseClaims([]byte(`{"active":true}`))
		}})
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			if _, err := c.Ask(impatient, "t"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the impatient one: %v", err)
			}
		})
		all.Go(func() {
			if claims, err := c.Ask(t.Context(), "t"); err != nil || claims.Value("active") != true {
				t.Errorf("the other: %v", err)
			}
		})
		all.Wait()
	})
}
