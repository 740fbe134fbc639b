package broker

import (
	"context"
	"fmt"
	"log/slog"

	"fedbroker/broker/decision"
	"fedbroker/broker/event"
	"fedbroker/broker/explain"
	"fedbroker/broker/oauth"
)

// Issuer is our issuer identifier.
func (j *Judge) Issuer() string { return j.snap.Config.Issuer }

// Explain judges a request and says how it came to that. The error is an *explain.UsageError: of what is no request at all there is nothing to
// explain.
func (j *Judge) Explain(ctx context.Context, r explain.Request) (explain.Explanation, error) {
	form, err := r.Form(j.Issuer())
	if err != nil {
		return explain.Explanation{}, err
	}
	run := explain.Run{Request: r}
	run.Authority, run.Trace, run.Err = j.trace(ctx, r.Requester, &oauth.TokenRequest{GrantType: r.GrantType(), Form: form, Now: r.At, Proof: r.Proven()})
	return j.configuration().Explain(run), nil
}

// configuration is what an explanation has to know of the snapshot.
func (j *Judge) configuration() explain.Configuration {
	s := j.snap
	c := explain.Configuration{Issuer: s.Config.Issuer, Select: s.Upstreams, Policy: s.Policy, Reads: j.Reads}
	for i, u := range s.Config.Upstreams {
		info, _ := s.Upstreams.Info(u.Name)
		spec, _ := s.Upstreams.Effective(u.Name)
		c.Upstreams = append(c.Upstreams, explain.Upstream{Spec: spec, Path: fmt.Sprintf("upstreams[%d]", i), Conditions: len(info.Conditions)})
	}
	return c
}

// note keeps what a decision was taken on.
func (r *request) note(refusal *oauth.Error) {
	r.decisions.Request(r.in, decision.Ending{Grant: r.event.Grant, Rule: r.authority.RuleID(), Refusal: refusal, Known: r.event.Known})
}

// Decisions are those that are kept.
func (b *Broker) Decisions() *decision.Store { return b.kept }

// OpenJudge makes a judge of what the engine holds, for a command that found no server: it knows our keys, the revocations and the last good keys
// of upstreams.
func OpenJudge(ctx context.Context, o Options) (*Judge, error) {
	b, err := open(ctx, o)
	if err != nil {
		return nil, err
	}
	return b.Judge(), nil
}

// openDecisions makes what keeps decisions.
func (b *Broker) openDecisions(o Options) (err error) {
	if b.kept, err = decision.Open(o.Engine, o.Sealing); err != nil {
		return err
	}
	b.decisions, err = decision.NewRecorder(decision.RecorderOptions{
		Store: b.kept, TTL: o.TraceTTL, Now: o.Now, Dropped: o.Metrics.DecisionsDropped,
		Failed: func(err error) {
			b.record.Log.LogAttrs(context.Background(), slog.LevelWarn, "decisions not kept", slog.Any(event.AttrError, err))
		},
	})
	return err
}
