//go:build gameday

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"fedbroker/upstreams/upstreamtest"
)

// A game day: the broker in a process of its own between three identity providers, under a load of exchanges and logins, while keys rotate and are
// withdrawn, a provider dies and returns, the broker is killed and starts again, and forged tokens arrive all the while. It takes a minute of real time, so it is
// no part of the other tests.

const (
	gameLength   = 62 * time.Second
	gameForged   = 100_000
	gameMaxStale = time.Minute // what the policy lets keys serve without their provider
	// gameRefresh is the longest time between two refreshes: nine tenths of half of max_stale.
	gameRefresh = 27 * time.Second
	// gameSoonest is the shortest: a due fetch begins early by up to a tenth.
	gameSoonest = gameRefresh - gameRefresh/10
	// gameSlack is what a fetch under load may take.
	gameSlack = 3 * time.Second
	// gameMinute is how often unknown kids may cause a fetch of one provider, in each life of the broker.
	gameMinute = time.Minute
	gameSeed   = "FEDBROKER_GAMEDAY_SEED"
)

// gameEvent is something that happens to the broker or its providers.
type gameEvent struct {
	at     time.Duration
	what   string
	happen func()
}

func TestGameDay(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(gameSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Printf("game day: %s=%d, %v\n", gameSeed, seed, gameLength)
	random := rand.New(rand.NewPCG(seed, seed))
	g := newGame(t)
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), gameLength)
	defer cancel()
	done := g.load(ctx, seed)
	for _, e := range g.events(random) {
		select {
		case <-time.After(time.Until(began.Add(e.at))):
			fmt.Printf("%5.1f s  %s\n", time.Since(began).Seconds(), e.what)
			e.happen()
		case <-ctx.Done():
			t.Fatalf("the game ended before %s", e.what)
		}
	}
	<-done
	g.judge(t, time.Since(began))
}

// events are what happens, in order; when exactly is the seed's choice.
func (g *game) events(random *rand.Rand) []gameEvent {
	a, b, c := g.houses[0], g.houses[1], g.houses[2]
	stolen := a.last().kid
	at := func(seconds int) time.Duration {
		return time.Duration(seconds)*time.Second + time.Duration(random.Int64N(int64(time.Second)))
	}
	return []gameEvent{
		{at(3), "every provider rotates; the keys before stay", func() {
			for _, h := range g.houses {
				h.rotate()
			}
		}},
		{at(8), "acme withdraws its first key; from now on a thief uses it", func() { a.withdraw(stolen) }},
		{at(14), "globex dies", func() { b.idp.Refuse(true) }},
		{at(20), "the broker is killed, and starts again while globex is dead", g.restart},
		{at(28), "initech rotates", c.rotate},
		{at(34), "globex returns", func() { b.idp.Refuse(false) }},
		{at(40), "globex and acme rotate", func() { b.rotate(); a.rotate() }},
		{at(46), "the broker is killed again, and starts again", g.restart},
	}
}

// restart ends the broker as a machine that loses its power does. Tokens are not judged meanwhile.
func (g *game) restart() {
	g.server.end(syscall.SIGKILL)
	s, err := startServer(g.dir)
	if err != nil {
		g.Fatal(err)
	}
	g.server = s
	g.starts++
}

func newGame(t *testing.T) *game {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil { // the broker takes the port again at each start
		t.Fatal(err)
	}
	g := &game{T: t, dir: configFolder(t), url: "http://" + address, starts: 1}
	var upstreams, rules strings.Builder
	for _, name := range []string{"acme", "globex", "initech"} {
		idp := upstreamtest.Must(upstreamtest.Options{
			Name:    name,
			Clients: []upstreamtest.Client{{ID: "broker", Secret: testSecret, RedirectURIs: []string{g.url + "/callback/" + name}}},
			People:  []upstreamtest.Person{{Login: gamePerson, Subject: "a-1"}},
		})
		t.Cleanup(idp.Close)
		h := &house{name: name, idp: idp}
		h.live = []*key{{kid: idp.KeyIDs()[0]}}
		g.houses = append(g.houses, h)
		fmt.Fprintf(&upstreams, "  - {name: %s, kind: oidc, issuer: %q, client_id: broker, client_secret_file: batch.secret, max_stale: %v, audiences: [%q]}\n",
			name, idp.Issuer(), gameMaxStale, g.url)
		fmt.Fprintf(&rules, "  - {id: %s-orders, subject: {upstream: %s, when: claims.sub == \"job\"}, requester: {clients: [gateway]}, grant: {audiences: [orders], scopes: [orders.read], ttl: 5m}}\n", name, name)
	}
	config := fmt.Sprintf(`issuer: %s
listen: %s
store: {engine: bbolt, path: fedbroker.db}
audit: {dir: journal, durability: wait}
seal: {key_file: seal.key}
upstreams:
%sclients:
  - {id: gateway, secret_file: batch.secret, grant_types: [token-exchange]}
  - {id: app, secret_file: batch.secret, redirect_uris: ["%s"], grant_types: [authorization_code], scopes: [openid]}
exchange:
%s`, g.url, address, upstreams.String(), gameRedirect, rules.String())
	if err := os.WriteFile(filepath.Join(g.dir, "fedbroker.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if g.server, err = startServer(g.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { g.server.end(syscall.SIGKILL) })
	return g
}
