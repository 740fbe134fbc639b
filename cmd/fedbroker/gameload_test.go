//go:build gameday

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"fedbroker/upstreams/upstreamtest"
)

const (
	gamePerson   = "ada"
	gameRedirect = "https://app.example/callback" // nobody serves it: the browser stops before it
	gameCallers  = 4                              // of exchanges
	gameForgers  = 32
	gamePause    = 5 * time.Millisecond // between two exchanges of one caller
)

// game is one game day.
type game struct {
	*testing.T
	dir, url string
	houses   []*house
	server   *server // only the events touch it
	starts   int

	exchanged, failed, unlearned, unreachable        atomic.Int64
	logins, loginsFailed, loginsSpared, loginsWaited atomic.Int64
	thefts, theftsRefused, theftsEarly, theftsTaken  atomic.Int64
	forged, forgedTaken, forgedUnsure, forgedOther   atomic.Int64
	mu                                               sync.Mutex
	failures                                         []string // the first few, for the report
}

// house is an identity provider and what the game knows of its keys.
type house struct {
	name string
	idp  *upstreamtest.IdP

	mu      sync.Mutex
	live    []*key
	stolen  string    // a kid
	expires time.Time // when nobody may take what it signs any more
}

// key is one signing key of a house.
type key struct {
	kid   string
	known atomic.Bool // the broker took a token of it
}

// last is the key that signs now.
func (h *house) last() *key {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.live[len(h.live)-1]
}

func (h *house) rotate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.live = append(h.live, &key{kid: h.idp.Rotate()})
}

func (h *house) withdraw(kid string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idp.Withdraw(kid)
	for i, k := range h.live {
		if k.kid == kid {
			h.live = append(h.live[:i:i], h.live[i+1:]...)
			break
		}
	}
	h.stolen, h.expires = kid, time.Now().Add(gameRefresh+gameSlack)
}

// choose picks one of the keys that are not withdrawn.
func (h *house) choose(random *rand.Rand) *key {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.live[random.IntN(len(h.live))]
}

// serves says whether the house still has the key.
func (h *house) serves(k *key) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stolen != k.kid
}

func (h *house) theft() (kid string, expires time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stolen, h.expires
}

// load is everything that arrives until ctx ends. What it returns is closed then.
func (g *game) load(ctx context.Context, seed uint64) <-chan struct{} {
	var all sync.WaitGroup
	each := func(stream uint64, call func(context.Context, *rand.Rand, *http.Client)) {
		random := rand.New(rand.NewPCG(seed, stream))
		client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
		all.Go(func() {
			defer client.CloseIdleConnections()
			for ctx.Err() == nil {
				call(ctx, random, client)
			}
		})
	}
	for i := range uint64(gameCallers) {
		each(i, g.exchangeKnown)
	}
	each(100, g.steal)
	each(101, g.logIn)
	for i := range uint64(gameForgers) {
		each(200+i, g.forge)
	}
	done := make(chan struct{})
	go func() { defer close(done); all.Wait() }()
	return done
}

// exchange swaps a token, and returns status 0 where the broker can't be reached.
func (g *game) exchange(ctx context.Context, client *http.Client, token string) (status int, body string) {
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:token-exchange"}, "subject_token": {token},
		"subject_token_type": {"urn:ietf:params:oauth:token-type:access_token"}, "audience": {"orders"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.url+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return 0, err.Error()
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("gateway", testSecret)
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(content)
}

// exchangeKnown sends a token of a key that its house has. Once one was taken, each has to be.
func (g *game) exchangeKnown(ctx context.Context, random *rand.Rand, client *http.Client) {
	h := g.houses[random.IntN(len(g.houses))]
	k := h.choose(random)
	known := k.known.Load()
	status, body := g.exchange(ctx, client, h.idp.Sign(h.idp.Claims("job", g.url), upstreamtest.KeyID(k.kid)))
	switch {
	case status == http.StatusOK:
		g.exchanged.Add(1)
		k.known.Store(true)
	case status == 0:
		g.unreachable.Add(1)
	case !known:
		g.unlearned.Add(1)
	case h.serves(k): // else it was withdrawn on the way
		g.failed.Add(1)
		g.note("%s %s: %d %s", h.name, k.kid, status, body)
	}
	time.Sleep(gamePause)
}

// steal sends tokens of a key that its house has withdrawn.
func (g *game) steal(ctx context.Context, _ *rand.Rand, client *http.Client) {
	time.Sleep(10 * gamePause)
	h := g.houses[0]
	kid, expires := h.theft()
	if kid == "" {
		return
	}
	late := time.Now().After(expires)
	status, body := g.exchange(ctx, client, h.idp.Sign(h.idp.Claims("job", g.url), upstreamtest.KeyID(kid)))
	switch {
	case status == http.StatusOK && late:
		g.theftsTaken.Add(1)
		g.note("a token of the withdrawn %s was taken: %s", kid, body)
	case status == http.StatusOK:
		g.theftsEarly.Add(1)
	case status != 0:
		g.theftsRefused.Add(1)
	}
	g.thefts.Add(1)
}

// forge sends one of the forged tokens, each with a kid that nobody knows.
func (g *game) forge(ctx context.Context, random *rand.Rand, client *http.Client) {
	n := g.forged.Add(1)
	if n > gameForged {
		g.forged.Add(-1)
		<-ctx.Done()
		return
	}
	h := g.houses[random.IntN(len(g.houses))]
	token := h.idp.Sign(h.idp.Claims("job", g.url), upstreamtest.Raw(""))
	_, signature, _ := strings.Cut(token, "..")
	header := fmt.Sprintf(`{"alg":"ES256","typ":"JWT","kid":"forged-%d"}`, n)
	claims, err := json.Marshal(h.idp.Claims("job", g.url))
	if err != nil {
		g.note("forged token: %v", err)
		return
	}
	encode := base64.RawURLEncoding.EncodeToString
	token = encode([]byte(header)) + "." + encode(claims) + "." + signature
	for ctx.Err() == nil {
		switch status, body := g.exchange(ctx, client, token); status {
		case 0: // the broker is being killed
			time.Sleep(10 * gamePause)
			continue
		case http.StatusOK:
			g.forgedTaken.Add(1)
		case http.StatusServiceUnavailable, http.StatusBadRequest:
			g.forgedUnsure.Add(1)
		default:
			g.forgedOther.Add(1)
			g.note("a forged token: %d %s", status, body)
		}
		return
	}
}

// logIn is a person's whole login at initech, which does not die, until the app's tokens. It has to succeed where the broker knew the key that signs the ID
// token, and lived.
func (g *game) logIn(ctx context.Context, _ *rand.Rand, _ *http.Client) {
	time.Sleep(20 * gamePause)
	known := g.houses[2].last().known.Load()
	err := g.login(ctx)
	var unreachable *url.Error
	switch {
	case err == nil:
		g.logins.Add(1)
	case errors.As(err, &unreachable) || ctx.Err() != nil:
		g.loginsSpared.Add(1)
	case !known:
		g.loginsWaited.Add(1)
	default:
		g.loginsFailed.Add(1)
		g.note("login: %v", err)
	}
}

func (g *game) login(ctx context.Context) error {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Jar: jar, Timeout: patience, Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer browser.CloseIdleConnections()
	app := &oauth2.Config{ClientID: "app", ClientSecret: testSecret, RedirectURL: gameRedirect, Scopes: []string{"openid"},
		Endpoint: oauth2.Endpoint{AuthURL: g.url + "/authorize", TokenURL: g.url + "/token", AuthStyle: oauth2.AuthStyleInHeader}}
	verifier, h := oauth2.GenerateVerifier(), g.houses[2]
	at, err := sent(browser, app.AuthCodeURL("state", oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("idp_hint", h.name)))
	if err != nil {
		return fmt.Errorf("to the provider: %w", err)
	}
	callback, _, err := h.idp.Authenticate(browser, at, gamePerson)
	if err != nil {
		return fmt.Errorf("at the provider: %w", err)
	}
	if at, err = sent(browser, callback); err != nil {
		return fmt.Errorf("back from the provider: %w", err)
	}
	back, err := url.Parse(at)
	if err != nil || !strings.HasPrefix(at, gameRedirect) || back.Query().Get("code") == "" {
		return fmt.Errorf("no code: sent to %s", at)
	}
	_, err = app.Exchange(context.WithValue(ctx, oauth2.HTTPClient, browser), back.Query().Get("code"), oauth2.VerifierOption(verifier))
	return err
}

// sent opens a URL and says where it sends the browser.
func sent(browser *http.Client, address string) (string, error) {
	response, err := browser.Get(address)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if location := response.Header.Get("Location"); location != "" {
		return location, nil
	}
	return "", fmt.Errorf("status %d", response.StatusCode)
}

func (g *game) note(format string, args ...any) {
	const enough = 10
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.failures) < enough {
		g.failures = append(g.failures, fmt.Sprintf(format, args...))
	}
}

// judge prints the report, and fails where it is not what was promised.
func (g *game) judge(t *testing.T, took time.Duration) {
	fmt.Printf("report after %.0f s and %d starts of the broker\n", took.Seconds(), g.starts)
	line := func(what string, n int64, good bool) {
		fmt.Printf("  %-72s %7d\n", what, n)
		if !good {
			t.Errorf("%s: %d", what, n)
		}
	}
	line("exchanges of known keys that succeeded", g.exchanged.Load(), g.exchanged.Load() > 1000)
	line("exchanges of known keys that failed within policy (wanted: 0)", g.failed.Load(), g.failed.Load() == 0)
	line("exchanges of new keys before the broker had looked", g.unlearned.Load(), true)
	line("exchanges while no broker ran", g.unreachable.Load(), true)
	line("logins", g.logins.Load(), g.logins.Load() > 10)
	line("logins under new keys before the broker had looked", g.loginsWaited.Load(), true)
	line("logins under known keys that failed (wanted: 0)", g.loginsFailed.Load(), g.loginsFailed.Load() == 0)
	line("logins that met the broker's death", g.loginsSpared.Load(), true)
	line("tokens of a withdrawn key taken before the next refresh", g.theftsEarly.Load(), true)
	line("tokens of a withdrawn key refused", g.theftsRefused.Load(), g.theftsRefused.Load() > 10)
	line("tokens of a withdrawn key taken after the refresh (wanted: 0)", g.theftsTaken.Load(), g.theftsTaken.Load() == 0)
	line("forged tokens sent (wanted: 100000)", g.forged.Load(), g.forged.Load() == gameForged)
	line("forged tokens refused", g.forgedUnsure.Load(), g.forgedUnsure.Load() == gameForged)
	line("forged tokens answered otherwise (wanted: 0)", g.forgedOther.Load(), g.forgedOther.Load() == 0)
	line("forged tokens taken (wanted: 0)", g.forgedTaken.Load(), g.forgedTaken.Load() == 0)
	most := g.budget(took)
	for _, h := range g.houses {
		_, jwks := h.idp.Fetches()
		line(fmt.Sprintf("key set fetches at %s (allowed: %d)", h.name, most), int64(jwks), int64(jwks) <= most)
		for _, k := range h.live {
			if !k.known.Load() {
				t.Errorf("%s: the key %s was never learned", h.name, k.kid)
			}
		}
	}
	for _, failure := range g.failures {
		t.Log(failure)
	}
}

// budget is how often a provider may be asked in all: when a refresh is due, once a minute in each life of the broker for unknown kids, once at each
// start, and when it was dead again after 5, 10 and 20 s.
func (g *game) budget(took time.Duration) int64 {
	const retries = 3
	return int64(took/gameSoonest) + int64(g.starts)*(int64(took/gameMinute)+2) + retries
}
