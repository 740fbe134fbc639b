package record

import (
	"context"
	"crypto/rand"

	"fedbroker/broker/event"
	"fedbroker/upstreams"
)

// BreakerChange tells that an endpoint of an upstream is not asked any more, or that it is asked again.
func (r Recorder) BreakerChange(c upstreams.BreakerChange) {
	e := event.Event{
		Kind: event.KindUpstreamBreaker, Outcome: event.OutcomeCleared, DecisionID: rand.Text(), Upstream: c.Upstream,
		Target: event.Target{Kind: "endpoint", ID: string(c.Endpoint)},
	}
	if c.Open {
		e.Outcome = event.OutcomeRaised
	}
	r.Queue(&e)
	r.Tell(context.Background(), &e)
}
