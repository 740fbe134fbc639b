// Package introspection asks an upstream about its opaque tokens (RFC 7662), once for all who bring the same one, and remembers the answer for a
// little while. What the answer has to say is the upstream's to judge.
package introspection

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"fedbroker/upstreams/jose"
)

const (
	// maxAge is how long an answer counts: what the upstream revokes is dead here no later.
	maxAge = 30 * time.Second
	// askTimeout bounds one question; whoever waits for it may go earlier.
	askTimeout = 10 * time.Second
	// remembered is how many answers are kept of one upstream. Those who push each other out ask again.
	remembered = 4096
	// maxFlights is how many tokens are asked about at a time: garbage must not keep others waiting for long.
	maxFlights = 4
	// maxWait is how long a token waits for its turn, so that a small burst is no refusal.
	maxWait = time.Second
)

// ErrBusy: as many tokens as may be are being asked about.
var ErrBusy = errors.New("introspection: busy")

// Options of New. Both are required.
type Options struct {
	Ask func(ctx context.Context, token string) (jose.Claims, error)
	Now func() time.Time
}

// Client asks one upstream. It is safe for concurrent use.
type Client struct {
	o       Options
	key     []byte // of this process: what is kept of a token tells nobody what it is
	flights singleflight.Group
	busy    chan struct{} // one for each token that is asked about
	answers *lru.Cache[string, answer]
}

type answer struct {
	claims jose.Claims
	until  time.Time
}

// New makes a client. It does no I/O.
func New(o Options) *Client {
	c := &Client{o: o, key: make([]byte, sha256.Size), busy: make(chan struct{}, maxFlights)}
	_, _ = rand.Read(c.key)                            // never fails
	c.answers, _ = lru.New[string, answer](remembered) // fails for a negative size alone
	return c
}

// Ask returns what the upstream says of the token, at most 30 seconds old, and never beyond the token's exp. Errors are Ask's of the options, or
// the context's, or ErrBusy: none is remembered.
func (c *Client) Ask(ctx context.Context, token string) (jose.Claims, error) {
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(token))
	key := string(mac.Sum(nil))
	if a, ok := c.answers.Get(key); ok && c.o.Now().Before(a.until) {
		return a.claims, nil
	}
	flight := c.flights.DoChan(key, func() (any, error) {
		asked := c.o.Now()
		wait := time.NewTimer(maxWait)
		defer wait.Stop()
		select {
		case c.busy <- struct{}{}:
			defer func() { <-c.busy }()
		case <-wait.C:
			return jose.Claims{}, ErrBusy
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
		defer cancel()
		claims, err := c.o.Ask(ctx, token)
		if err != nil {
			return jose.Claims{}, err
		}
		a := answer{claims: claims, until: asked.Add(maxAge)}
		if expires, err := claims.Time("exp"); err == nil && expires.Before(a.until) {
			a.until = expires
		}
		c.answers.Add(key, a)
		return claims, nil
	})
	select {
	case r := <-flight:
		claims, _ := r.Val.(jose.Claims)
		return claims, r.Err
	case <-ctx.Done():
		return jose.Claims{}, ctx.Err()
	}
}

// AccessToken refuses what the upstream says to be another token, a refresh token above all (P9). What it does not say is left open: token_type is
// how the token is used (RFC 7662 §2.2), token_use what some upstreams call it.
func AccessToken(claims jose.Claims) error {
	for name, good := range map[string][]string{"token_use": {"access", "access_token"}, "token_type": {"bearer", "dpop", "access_token"}} {
		if !claims.Has(name) {
			continue
		}
		if said, err := claims.String(name); err != nil || !slices.Contains(good, strings.ToLower(said)) {
			return fmt.Errorf("%s is no access token's", name)
		}
	}
	if said, _ := claims.String("token_type"); strings.EqualFold(said, "dpop") && !claims.Has("cnf") {
		return errors.New("a DPoP token that is bound to no key")
	}
	return nil
}
