package broker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/oauth"
	"fedbroker/mappers"
	"fedbroker/store/journal"
	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

// These benchmarks measure how much of a request is its unavoidable cryptography. Blocks of bare crypto and of whole requests
// take turns, so that whatever else the machine does meets both; of each kind the cheapest block counts, in CPU time of the process; the
// metric crypto/whole is what is left.
const (
	callers     = 64
	blockOps    = 4096
	blockPairs  = 8
	subjectsAll = blockOps * (blockPairs + 1) // one token each: in a run of 1x no subject comes twice
)

// BenchmarkExchange: external ES256 tokens of distinct subjects, one verification and one signature each, policy, mapping and
// journal on.
func BenchmarkExchange(b *testing.B) {
	h := newBenchHouse(b)
	tokens := h.tokens(b)
	verify := h.verifyBare(tokens[0])
	sign := signBare(b)
	next := func(i int) *oauth.TokenRequest {
		return h.request(oauth.GrantTokenExchange, oauth.Form{
			"subject_token": {tokens[i%len(tokens)]}, "subject_token_type": {oauth.TypeJWT}, "audience": {"orders"},
		})
	}
	h.measure(b, func(int) { verify(); sign() }, next)
}

// BenchmarkClientCredentials: one signature each.
func BenchmarkClientCredentials(b *testing.B) {
	h := newBenchHouse(b)
	sign := signBare(b)
	h.measure(b, func(int) { sign() }, func(int) *oauth.TokenRequest { return h.request(oauth.GrantClientCredentials, oauth.Form{}) })
}

type benchHouse struct {
	idp    *upstreamtest.IdP
	broker *broker.Broker
	config broker.Config
}

func newBenchHouse(b testing.TB) *benchHouse {
	b.Helper()
	h := &benchHouse{idp: upstreamtest.Must(upstreamtest.Options{})}
	b.Cleanup(h.idp.Close)
	c := config()
	c.Upstreams[0].Spec = upstreams.Spec{Name: "acme", Kind: "jwt", Issuer: h.idp.Issuer(), Audiences: []upstreams.Audience{{Value: "gateway-at-acme"}}}
	c.Upstreams[0].Mappers = []mappers.Spec{
		{Kind: "groups", From: "roles", Keep: []string{"eng-.*"}, Rename: map[string]string{"eng-ord": "orders"}},
		{Kind: "set", Claim: "tenant", Value: "acme"},
	}
	c.Exchange[0].Subject.When = `"acme:orders" in principal.groups`
	h.broker, h.config = running(b, options(b, c)), c
	return h
}

// running is a broker with a journal on disk, all its loops running.
func running(b testing.TB, o broker.Options) *broker.Broker {
	b.Helper()
	lines, err := journal.Open(journal.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	o.Journal = lines
	house := open(b, o)
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- house.Run(ctx) }()
	b.Cleanup(func() {
		stop()
		<-ended
		if err := lines.Close(); err != nil {
			b.Error(err)
		}
	})
	return house
}

func (h *benchHouse) request(grant string, form oauth.Form) *oauth.TokenRequest {
	form["grant_type"] = []string{grant}
	return &oauth.TokenRequest{
		DecisionID: rand.Text(), GrantType: grant, Form: form, Peer: netip.MustParseAddr("192.0.2.1"),
		Credentials: oauth.Credentials{Method: oauth.AuthSecretBasic, ClientID: "gateway", Secret: secret},
	}
}

func (h *benchHouse) tokens(b *testing.B) []string {
	b.Helper()
	tokens := make([]string, subjectsAll)
	for i := range tokens {
		claims := h.idp.Claims(fmt.Sprintf("person-%d", i), "gateway-at-acme")
		claims["roles"], claims["exp"] = []string{"eng-ord", "eng-pay", "staff"}, time.Now().Add(time.Hour).Unix()
		tokens[i] = h.idp.Sign(claims)
	}
	return tokens
}

// verifyBare is one ES256 verification over as many bytes as a token has.
func (h *benchHouse) verifyBare(token string) func() {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	input := []byte(token)
	sum := sha256.Sum256(input)
	signature, _ := ecdsa.SignASN1(rand.Reader, key, sum[:])
	return func() {
		sum := sha256.Sum256(input)
		if !ecdsa.VerifyASN1(&key.PublicKey, sum[:], signature) {
			panic("bare verification")
		}
	}
}

// signBare is one ES256 signature over as many bytes as a token has.
func signBare(b *testing.B) func() {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	input := make([]byte, 700)
	return func() {
		sum := sha256.Sum256(input)
		if _, err := key.Sign(rand.Reader, sum[:], nil); err != nil { // random nonces, as the keyring's
			panic(err)
		}
	}
}

// measure compares bare crypto with whole requests to the token endpoint.
func (h *benchHouse) measure(b *testing.B, bare func(int), next func(int) *oauth.TokenRequest) {
	b.Helper()
	blocks := 0
	compare(b, func() float64 { return block(callers, blockOps, bare) }, func() float64 {
		first := blocks * blockOps
		blocks++
		return block(callers, blockOps, func(i int) {
			if _, err := h.broker.Token(b.Context(), next(first+i)); err != nil {
				b.Error(err)
			}
		})
	})
}

// compare reports the cheapest block of each kind, in CPU time for one operation, and their ratio.
func compare(b *testing.B, bare, whole func() float64) {
	b.Helper()
	whole() // caches of keys and code are warm
	for b.Loop() {
		crypto, all := math.Inf(1), math.Inf(1)
		for range blockPairs {
			crypto, all = min(crypto, bare()), min(all, whole())
		}
		b.ReportMetric(crypto/1e3, "crypto-µs/op")
		b.ReportMetric(all/1e3, "whole-µs/op")
		b.ReportMetric(crypto/all, "crypto/whole")
	}
	b.ReportMetric(0, "ns/op") // of a whole measurement: says nothing
}

// block runs ops operations from so many callers and returns the CPU time of one, in nanoseconds.
func block(callers, ops int, op func(int)) float64 {
	runtime.GC() // nobody pays for another block's garbage
	begun := cpuTime()
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := caller; i < ops; i += callers {
				op(i)
			}
		})
	}
	group.Wait()
	return float64(cpuTime()-begun) / float64(ops)
}

// cpuTime is what the process has used so far, in user and kernel mode.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
