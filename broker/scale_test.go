package broker_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/clients"
	"fedbroker/broker/event"
	"fedbroker/broker/oauth"
	"fedbroker/broker/record"
	"fedbroker/broker/rules"
	"fedbroker/mappers"
	"fedbroker/store/journal"
	"fedbroker/upstreams"
	"fedbroker/upstreams/upstreamtest"
)

// These benchmarks compare two houses that do the same work: blocks of one and of the other take turns, of each the cheapest counts, in CPU
// time of the process.

// BenchmarkScale: an exchange at a broker with 10,000 rules and 1,000 upstreams against one with 10 and 3. Tokens of distinct subjects are
// spread over upstreams, requesters and audiences; every rule has a condition of its own.
func BenchmarkScale(b *testing.B) {
	idp := upstreamtest.Must(upstreamtest.Options{})
	b.Cleanup(idp.Close)
	few, many := newScaled(b, idp, 3, 10), newScaled(b, idp, 1_000, 10_000)
	turns(b, "few", few.block, "many", many.block)
}

// BenchmarkDead: an exchange at a broker beside whose living upstreams a thousand dead ones are configured, half of which refuse connections and half of
// which take them and say nothing, against one without. What the broker does about them in the background counts, since it is CPU time of the process that is measured: the
// blocks without come first, before there is anybody dead.
func BenchmarkDead(b *testing.B) {
	idp := upstreamtest.Must(upstreamtest.Options{})
	b.Cleanup(idp.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = silent.Close() })
	cheapest := func(s *scaled) float64 {
		s.block(b)
		least := math.Inf(1)
		for range blockPairs {
			least = min(least, s.block(b))
		}
		return least
	}
	for b.Loop() {
		living := cheapest(newScaled(b, idp, 3, 10))
		goroutines := runtime.NumGoroutine()
		beside := cheapest(newScaled(b, idp, 3, 10, func(o *broker.Options) {
			for i := range 1_000 {
				issuer := fmt.Sprintf("http://127.0.0.1:1/%d", i)
				if i%2 == 0 {
					issuer = fmt.Sprintf("http://%s/%d", silent.Addr(), i)
				}
				o.Config.Upstreams = append(o.Config.Upstreams, broker.UpstreamSpec{Spec: upstreams.Spec{
					Name: fmt.Sprintf("dead-%d", i), Kind: "jwt", Issuer: issuer, Audiences: []upstreams.Audience{{Value: "x"}},
				}})
			}
		}))
		b.ReportMetric(living/1e3, "without-µs/op")
		b.ReportMetric(beside/1e3, "beside-µs/op")
		b.ReportMetric(beside/living, "beside/without")
		b.ReportMetric(float64(runtime.NumGoroutine()-goroutines), "more-goroutines")
	}
	b.ReportMetric(0, "ns/op") // of a whole measurement: says nothing
}

// BenchmarkRecorded: exchanges whose decisions are kept to be explained, against ones whose are not.
func BenchmarkRecorded(b *testing.B) {
	idp := upstreamtest.Must(upstreamtest.Options{})
	b.Cleanup(idp.Close)
	off, on := newScaled(b, idp, 3, 10), newScaled(b, idp, 3, 10, func(o *broker.Options) { o.TraceTTL = 24 * time.Hour })
	turns(b, "unrecorded", off.block, "recorded", on.block)
}

// turns lets blocks of two kinds take turns, and reports the cheapest of each and the second over the first.
func turns(b *testing.B, nameA string, a func(testing.TB) float64, nameB string, z func(testing.TB) float64) {
	b.Helper()
	a(b) // code, keys and connections are warm
	z(b)
	for b.Loop() {
		first, second := math.Inf(1), math.Inf(1)
		for range blockPairs {
			first, second = min(first, a(b)), min(second, z(b))
		}
		b.ReportMetric(first/1e3, nameA+"-µs/op")
		b.ReportMetric(second/1e3, nameB+"-µs/op")
		b.ReportMetric(second/first, nameB+"/"+nameA)
	}
	b.ReportMetric(0, "ns/op") // of a whole measurement: says nothing
}

// scaled is a broker with so many upstreams and rules, and the requests that it is asked.
type scaled struct {
	broker   *broker.Broker
	idp      *upstreamtest.IdP
	requests []scaledRequest
	asked    int
}

// scaledRequest is one of those that a rule lets through.
type scaledRequest struct{ issuer, upstreamAudience, client, audience string }

const scaledRequesters = 20 // clients that exchange, in either house

// newScaled spreads the rules over all upstreams, requesters and a few audiences of each. One key file stands for the keys of all, so that
// a thousand upstreams need no thousand servers; each has its own key set of it all the same.
func newScaled(b *testing.B, idp *upstreamtest.IdP, upstreamsAll, rulesAll int, changes ...func(*broker.Options)) *scaled {
	b.Helper()
	file := filepath.Join(b.TempDir(), "jwks.json")
	if err := os.WriteFile(file, idp.JWKS(), 0o600); err != nil {
		b.Fatal(err)
	}
	s := &scaled{idp: idp}
	c := broker.Config{Issuer: issuer}
	for i := range scaledRequesters {
		c.Clients = append(c.Clients, clients.Spec{ID: fmt.Sprintf("client-%d", i), SecretSHA256: hashOf(secret), GrantTypes: []string{"token-exchange"}})
	}
	for i := range upstreamsAll {
		c.Upstreams = append(c.Upstreams, broker.UpstreamSpec{
			Spec: upstreams.Spec{Name: fmt.Sprintf("up-%d", i), Kind: "jwt", Issuer: fmt.Sprintf("https://idp-%d.test", i), JWKSFile: file,
				Audiences: []upstreams.Audience{{Value: fmt.Sprintf("broker-at-%d", i)}}},
			Mappers: []mappers.Spec{{Kind: "groups", From: "roles", Keep: []string{"eng-.*"}}, {Kind: "set", Claim: "tenant", Value: fmt.Sprintf("tenant-%d", i)}},
		})
	}
	for i := range rulesAll {
		up, client, audience := i%upstreamsAll, i%scaledRequesters, fmt.Sprintf("api-%d", i/upstreamsAll)
		c.Exchange = append(c.Exchange, rules.Spec{
			ID: fmt.Sprintf("rule-%d", i), Requester: &rules.RequesterSpec{Clients: []string{fmt.Sprintf("client-%d", client)}},
			Subject: &rules.SubjectSpec{Upstream: fmt.Sprintf("up-%d", up), When: fmt.Sprintf(`"up-%d:eng-ord" in principal.groups && claims.sub != "nobody-%d"`, up, i)},
			Grant:   &rules.GrantSpec{Audiences: []string{audience}, Scopes: []rules.ScopeSpec{{Name: "read"}}},
		})
		s.requests = append(s.requests, scaledRequest{fmt.Sprintf("https://idp-%d.test", up), fmt.Sprintf("broker-at-%d", up), fmt.Sprintf("client-%d", client), audience})
	}
	o := options(b, c)
	for _, change := range changes {
		change(&o)
	}
	s.broker = running(b, o)
	return s
}

// block is the CPU time of one exchange, in nanoseconds. Tokens are made before it begins.
func (s *scaled) block(b testing.TB) float64 {
	b.Helper()
	requests := make([]*oauth.TokenRequest, blockOps)
	for i := range requests {
		n := s.asked + i
		r := s.requests[n*7919%len(s.requests)] // a prime: neighbours in time are far apart in the file
		claims := s.idp.Claims(fmt.Sprintf("person-%d", n), r.upstreamAudience)
		claims["iss"], claims["roles"], claims["exp"] = r.issuer, []string{"eng-ord", "eng-pay", "staff"}, time.Now().Add(time.Hour).Unix()
		requests[i] = &oauth.TokenRequest{
			DecisionID: rand.Text(), GrantType: oauth.GrantTokenExchange, Peer: netip.MustParseAddr("192.0.2.1"),
			Form:        oauth.Form{"grant_type": {oauth.GrantTokenExchange}, "subject_token": {s.idp.Sign(claims)}, "subject_token_type": {oauth.TypeJWT}, "audience": {r.audience}},
			Credentials: oauth.Credentials{Method: oauth.AuthSecretBasic, ClientID: r.client, Secret: secret},
		}
	}
	s.asked += len(requests)
	return block(callers, blockOps, func(i int) {
		if _, err := s.broker.Token(b.Context(), requests[i]); err != nil {
			b.Error(err)
		}
	})
}

// BenchmarkJournalLine: the line of a delegated exchange, with two parents, an actor and its subjects' names, from 64 callers who wait until
// it is durable.
func BenchmarkJournalLine(b *testing.B) {
	lines, err := journal.Open(journal.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := lines.Close(); err != nil {
			b.Error(err)
		}
	})
	names, err := journal.NewSubjects(b.Context(), journal.SubjectsOptions{Engine: memory(b), Sealing: sealer(b, "seal"), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	r := record.Recorder{Journal: lines, Subjects: names, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: event.NewMetrics(), Now: time.Now}
	var people [64]journal.Subject
	for i := range people {
		if people[i], err = r.Subject(b.Context(), fmt.Sprintf("acme|person-%d", i)); err != nil {
			b.Fatal(err)
		}
	}
	write := func(i int) {
		id := fmt.Sprintf("6b49d200%022d", i)
		e := event.Event{
			Kind: event.KindToken, Outcome: event.OutcomeDone, DecisionID: id, Grant: "token-exchange", ClientID: "gateway", Known: true, Upstream: "acme", Rule: "partner-orders",
			Subject: people[i%len(people)], Actors: people[:1], ActorFrom: "ci", Audiences: []string{"https://orders.test"}, Scopes: []string{"orders.read", "orders.write"}, TokenType: oauth.ShortAccessToken,
			TokenID: id, KeyID: "VzqtfRjBuc_CjEGWV0fGV4RNEPVi2XMt-Jx2Hvc3f50", Parents: []string{id + "s", id + "a"}, Issued: time.Now(), Expires: time.Now().Add(time.Minute),
		}
		if err := r.Durable(context.Background(), &e); err != nil {
			b.Error(err)
		}
	}
	block(callers, blockOps, write)
	for b.Loop() {
		least := math.Inf(1)
		for range 2 * blockPairs {
			least = min(least, block(callers, blockOps, write))
		}
		b.ReportMetric(least/1e3, "line-µs/op")
	}
	b.ReportMetric(0, "ns/op")
}
