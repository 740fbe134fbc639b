package introspection

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
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
		synctest.Wait() // the impatient one asks: its going must not end the question
		all.Go(func() {
			if claims, err := c.Ask(t.Context(), "t"); err != nil || claims.Value("active") != true {
				t.Errorf("the other: %v", err)
			}
		})
		all.Wait()
	})
}

// What is kept tells nobody which tokens were asked about, nor does one process's memory tell another's.
func TestP13_TokensAreNotKept(t *testing.T) {
	ask := func(context.Context, string) (jose.Claims, error) { return jose.ParseClaims([]byte(`{"active":true}`)) }
	kept := func() string {
		c := New(Options{Now: time.Now, Ask: ask})
		if _, err := c.Ask(t.Context(), "s3cret-token"); err != nil {
			t.Fatal(err)
		}
		return c.answers.Keys()[0]
	}
	plain := sha256.Sum256([]byte("s3cret-token"))
	one, other := kept(), kept()
	if strings.Contains(one, "s3cret") || one == string(plain[:]) || one == other {
		t.Error("the token, its plain hash, or what another process would keep")
	}
}
