package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/upstreams"
)

// changed is c with more.
func changed(c broker.Config, more func(*broker.Config)) broker.Config {
	c.Upstreams, c.Clients, c.Exchange = slices.Clone(c.Upstreams), slices.Clone(c.Clients), slices.Clone(c.Exchange)
	more(&c)
	return c
}

func TestReload_NewConfigurationServesAtOnce(t *testing.T) {
	b := open(t, options(t, config()))
	in := clientCredentials()
	in.Credentials.ClientID = "late"
	if _, err := b.Token(t.Context(), in); err == nil {
		t.Fatal("a client that is not configured got a token")
	}
	next := changed(config(), func(c *broker.Config) {
		c.Clients = append(c.Clients, clients.Spec{ID: "late", SecretSHA256: hashOf(secret), GrantTypes: []string{"client_credentials"}, Audiences: []string{"orders"}, Scopes: []string{"orders.read"}})
	})
	if err := b.Reload(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Token(t.Context(), in); err != nil {
		t.Errorf("the new client: %v", err)
	}
	if err := b.Reload(t.Context(), config()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Token(t.Context(), in); err == nil {
		t.Error("a client that was removed got a token")
	}
}

func TestReload_RotatedSecretOfAClient(t *testing.T) {
	b := open(t, options(t, config()))
	if err := b.Reload(t.Context(), changed(config(), func(c *broker.Config) { c.Clients[0].SecretSHA256 = hashOf("another-secret-of-gateway") })); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Token(t.Context(), clientCredentials()); err == nil {
		t.Error("the secret before still passes")
	}
	in := clientCredentials()
	in.Credentials.Secret = "another-secret-of-gateway"
	if _, err := b.Token(t.Context(), in); err != nil {
		t.Error(err)
	}
}

func TestReload_BadConfigurationKeepsTheOneBefore(t *testing.T) {
	o := options(t, config())
	o.Metrics = event.NewMetrics()
	b := open(t, o)
	at := time.Now().UTC()
	err := b.Reload(t.Context(), changed(config(), func(c *broker.Config) { c.Clients, c.Upstreams[1].Kind = nil, "nonsense" }))
	if _, ok := errors.AsType[*broker.ConfigError](err); !ok {
		t.Fatalf("want a *ConfigError, got %v", err)
	}
	if _, err := b.Token(t.Context(), clientCredentials()); err != nil {
		t.Errorf("the configuration before does not serve: %v", err)
	}
	part := configuration(b.Ready(t.Context()))
	if part.OK || !strings.Contains(part.Detail, "upstreams[1].kind: ") || !strings.Contains(part.Detail, at.Format("2006-01-02T15:")) {
		t.Errorf("readiness: %+v", part)
	}
	if got := metric(t, o.Metrics, `fedbroker_config_reloads_total{outcome="error"}`); got != "1" {
		t.Errorf("metric: %q", got)
	}
	if all := strings.Join(o.Journal.(*lines).taken(), "\n"); !strings.Contains(all, `"config_reload"`) {
		t.Errorf("journal: %s", all)
	}
	if err := b.Reload(t.Context(), config()); err != nil {
		t.Fatal(err)
	}
	if part := configuration(b.Ready(t.Context())); !part.OK || part.Detail != "" {
		t.Errorf("readiness after a good one: %+v", part)
	}
}

func TestReload_RefusalIsNoReasonToSendTrafficAway(t *testing.T) {
	b := open(t, options(t, config()))
	before := b.Ready(t.Context()).Ready
	b.RefuseReload(t.Context(), errors.New("fedbroker.yaml:3: no YAML\nfedbroker.yaml:9: another"))
	r := b.Ready(t.Context())
	if r.Ready != before {
		t.Errorf("ready %v became %v", before, r.Ready)
	}
	if part := configuration(r); part.OK || !strings.HasSuffix(part.Detail, "fedbroker.yaml:3: no YAML") {
		t.Errorf("%+v", part)
	}
	if part := configuration(r.WithoutCauses()); part.Detail != "" {
		t.Errorf("without causes: %+v", part)
	}
}

func configuration(r broker.Readiness) broker.Part {
	i := slices.IndexFunc(r.Parts, func(p broker.Part) bool { return p.Name == "configuration" })
	return r.Parts[i]
}

func TestP1_ReloadRefusesAnotherIssuerOfAKnownName(t *testing.T) {
	o := options(t, config())
	b := open(t, o)
	next := changed(config(), func(c *broker.Config) {
		c.Upstreams[0].Issuer = "https://evil.test"
		c.Upstreams = append(c.Upstreams, broker.UpstreamSpec{Spec: upstreams.Spec{Name: "new", Kind: "jwt", Issuer: "https://new.test", Audiences: []upstreams.Audience{{Value: "at-new"}}}})
	})
	if err := b.Reload(t.Context(), next); !isPin(err) {
		t.Fatalf("want a *PinError, got %v", err)
	}
	// What stood beside the refused one is bound to nothing.
	next = changed(config(), func(c *broker.Config) {
		c.Upstreams = append(c.Upstreams, broker.UpstreamSpec{Spec: upstreams.Spec{Name: "new", Kind: "jwt", Issuer: "https://right.test", Audiences: []upstreams.Audience{{Value: "at-new"}}}})
	})
	if err := b.Reload(t.Context(), next); err != nil {
		t.Error(err)
	}
}

func TestP1_NameThatCameByAReloadIsPinned(t *testing.T) {
	b := open(t, options(t, config()))
	with := func(issuer string) broker.Config {
		return changed(config(), func(c *broker.Config) {
			c.Upstreams = append(c.Upstreams, broker.UpstreamSpec{Spec: upstreams.Spec{Name: "new", Kind: "jwt", Issuer: issuer, Audiences: []upstreams.Audience{{Value: "at-new"}}}})
		})
	}
	for _, c := range []broker.Config{with("https://new.test"), config()} {
		if err := b.Reload(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Reload(t.Context(), with("https://other-new.test")); !isPin(err) {
		t.Errorf("want a *PinError, got %v", err)
	}
}

func TestReload_WhatStateStandsOnTakesARestart(t *testing.T) {
	for key, change := range map[string]func(*broker.Config){
		"issuer":               func(c *broker.Config) { c.Issuer = "https://other-login.test" },
		"signing":              func(c *broker.Config) { c.Signing.RotateEvery = ptr(1000 * time.Hour) },
		"tokens":               func(c *broker.Config) { c.Tokens.AccessTTL = ptr(5 * time.Minute) },
		"sessions":             func(c *broker.Config) { c.Sessions.Idle = ptr(time.Minute) },
		"leeway":               func(c *broker.Config) { c.Leeway = ptr(time.Second) },
		"revocation_max_stale": func(c *broker.Config) { c.RevocationMaxStale = ptr(5 * time.Second) },
		"dpop":                 func(c *broker.Config) { c.DPoP.RequireNonce = true },
		"exchange (a token": func(c *broker.Config) {
			c.Exchange[0].Grant = ptr(*c.Exchange[0].Grant)
			c.Exchange[0].Grant.TTL = ptr(time.Hour)
		},
	} {
		t.Run(key, func(t *testing.T) {
			b := open(t, options(t, config()))
			err := b.Reload(t.Context(), changed(config(), change))
			if e, ok := errors.AsType[*broker.FixedError](err); !ok || len(e.Keys) != 1 || !strings.HasPrefix(e.Keys[0], key) {
				t.Errorf("want a *FixedError of %s, got %v", key, err)
			}
		})
	}
	b := open(t, options(t, config()))
	if err := b.Reload(t.Context(), changed(config(), func(c *broker.Config) { c.Leeway = ptr(30 * time.Second) })); err != nil {
		t.Errorf("a default that is written out is no change: %v", err)
	}
}

func exchanged(h *benchHouse, token string) (*oauth.TokenResponse, error) {
	return h.broker.Token(context.Background(), h.request(oauth.GrantTokenExchange, oauth.Form{
		"subject_token": {token}, "subject_token_type": {oauth.TypeJWT}, "audience": {"orders"},
	}))
}

func (h *benchHouse) signed(subject string) string {
	claims := h.idp.Claims(subject, "gateway-at-acme")
	claims["roles"] = []string{"eng-ord"}
	return h.idp.Sign(claims)
}

func TestReload_ConcurrentExchangesNeverFail(t *testing.T) {
	h := newBenchHouse(t)
	token := h.signed("person")
	if _, err := exchanged(h, token); err != nil { // the keys are there
		t.Fatal(err)
	}
	const exchanges, reloads = 1000, 50
	var all sync.WaitGroup
	failed := make(chan error, exchanges+reloads)
	for range exchanges {
		all.Go(func() {
			if _, err := exchanged(h, token); err != nil {
				failed <- err
			}
		})
	}
	for i := range reloads {
		c := changed(h.config, func(c *broker.Config) {
			c.Scopes = map[string][]string{"billing": {fmt.Sprintf("cost_center_%d", i)}}
			if i%2 == 0 {
				c.Upstreams = c.Upstreams[:1]
			}
		})
		if err := h.broker.Reload(t.Context(), c); err != nil {
			failed <- fmt.Errorf("reload %d: %w", i, err)
		}
	}
	all.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
}

// Nothing is fetched for an upstream that stays as it is, and its keys go on verifying with the provider gone.
func TestReload_UnchangedUpstreamsKeepTheirKeys(t *testing.T) {
	h := newBenchHouse(t)
	token := h.signed("person")
	if _, err := exchanged(h, token); err != nil {
		t.Fatal(err)
	}
	h.idp.Close()
	next := changed(h.config, func(c *broker.Config) { c.Upstreams[1].DisplayName = "Other" })
	if err := h.broker.Reload(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if _, err := exchanged(h, token); err != nil {
		t.Errorf("after the reload, with the provider gone: %v", err)
	}
}

// An upstream that was removed serves whoever began before it was, and no longer.
func TestReload_RemovedUpstreamIsRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t, config())
		o.Metrics = event.NewMetrics()
		b := open(t, o)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx) }()
		synctest.Wait()
		gauge := `fedbroker_upstream_ready_bool{upstream="other"}`
		if !strings.Contains(scrape(t, o.Metrics), gauge) {
			t.Error("no gauge of an upstream")
		}
		if err := b.Reload(ctx, changed(config(), func(c *broker.Config) { c.Upstreams = c.Upstreams[:1] })); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if !strings.Contains(scrape(t, o.Metrics), gauge) {
			t.Error("retired while requests may use it")
		}
		time.Sleep(2 * time.Minute)
		if strings.Contains(scrape(t, o.Metrics), gauge) {
			t.Error("not retired")
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
