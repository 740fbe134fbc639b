package record

import (
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"fedbroker/broker/event"
	"fedbroker/store"
	"fedbroker/store/engines"
	"fedbroker/store/journal"
)

// BenchmarkLine is what the line of an exchange costs, with its edge of the lineage and the subjects' names, from event to disk, at 64 callers:
// cpu-µs/op is CPU time of the process. "delegated" has a chain of two actors, two parents and an audit rule.
func BenchmarkLine(b *testing.B) {
	at := time.Unix(1_800_000_000, 0)
	plain := event.Event{
		Kind: event.KindToken, Outcome: event.OutcomeDone, DecisionID: "Q5J2YV6ZKBSRX3WSN2P4D7A6GU", Grant: "token-exchange", ClientID: "gateway", Known: true,
		Upstream: "acme", Rule: "partner-orders", Audiences: []string{"https://orders.example.com"}, Scopes: []string{"orders.read", "orders.write"},
		TokenType: "access_token", TokenID: "6b49d200c2VjcmV0LXNlY3JldC1zZW", KeyID: "dGh1bWJwcmludC1vZi1hLWtleS1pbi1iYXNlNjR1cmw",
		Parents: []string{"MDEyMzQ1Njc4OWFiY2RlZg"}, Issued: at, Expires: at.Add(10 * time.Minute),
	}
	delegated := plain
	delegated.Bound, delegated.Audits, delegated.ActorFrom = true, []string{"partner-orders-next"}, "ci"
	delegated.Parents = []string{"MDEyMzQ1Njc4OWFiY2RlZg", "6b49d1f0c2VjcmV0LXNlY3JldC1zZW"}
	for _, bench := range []struct {
		name   string
		event  event.Event
		actors []string
	}{{"plain", plain, nil}, {"delegated", delegated, []string{"ci|repo:octo/app:ref:refs/heads/main", "gateway"}}} {
		b.Run(bench.name, func(b *testing.B) {
			r := newRecorder(b)
			const callersEach = 32 // on two processors: 64
			b.SetParallelism(callersEach)
			b.ReportAllocs()
			var failed atomic.Int64
			before := cpu(b)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					e := bench.event
					subject, err := r.Subject(b.Context(), "acme|ada")
					for _, actor := range bench.actors {
						name, nameErr := r.Subject(b.Context(), actor)
						if nameErr != nil {
							err = nameErr
						}
						e.Actors = append(e.Actors, name)
					}
					e.Subject = subject
					if err != nil || r.Durable(b.Context(), &e) != nil {
						failed.Add(1)
					}
				}
			})
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/1000/float64(b.N), "cpu-µs/op")
			if failed.Load() > 0 {
				b.Errorf("%d lines failed", failed.Load())
			}
		})
	}
}

func newRecorder(b *testing.B) Recorder {
	b.Helper()
	engine, err := engines.Open("memory", engines.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = engine.Close() })
	sealing, err := store.NewSealer([]store.SealKey{{Key: [32]byte{1}}})
	if err != nil {
		b.Fatal(err)
	}
	subjects, err := journal.NewSubjects(b.Context(), journal.SubjectsOptions{Engine: engine, Sealing: sealing})
	if err != nil {
		b.Fatal(err)
	}
	lines, err := journal.Open(journal.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = lines.Close() })
	return Recorder{Journal: lines, Subjects: subjects, Log: slog.New(slog.DiscardHandler), Metrics: event.NewMetrics(), Now: time.Now}
}

// cpu is the CPU time that the process has taken, in user and system.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
