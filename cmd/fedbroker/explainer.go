package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/decision"
	"fedbroker/broker/explain"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/token"
	"fedbroker/broker/web/admin"
	"fedbroker/cmd/fedbroker/config"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
)

// offline judges by the configuration alone.
func offline(c *config.Loaded, from string) (*broker.Judge, error) {
	o := broker.JudgeOptions{Config: c.Config, Own: stateless{}, Revoked: stateless{}}
	if from == keysFile {
		o.Keys = func(u upstreams.Spec) keys.Source {
			if u.JWKSFile != "" {
				return nil // it is one
			}
			return func(context.Context) (keys.Fetched, error) {
				return keys.Fetched{}, errors.New("no jwks_file, and --keys file asks for nothing else")
			}
		}
	}
	judge, err := broker.NewJudge(o)
	return judge, explained(err)
}

// stateless opens no token of ours, and nothing is revoked.
type stateless struct{}

func (stateless) Check(revoke.Facts, time.Time) error { return nil }

func (stateless) OpenAccess(jose.Unverified, time.Time) (token.Own, error) {
	return token.Own{}, oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable).Because(errors.New("our keys are in the store"))
}

func (s stateless) OpenID(t jose.Unverified, now time.Time) (token.Own, error) {
	return s.OpenAccess(t, now)
}

// explainer explains by a broker's state: requests of now by its configuration, keys and revocations, decisions by what was kept of them.
type explainer struct {
	config *config.Loaded
	judge  func() *broker.Judge
	kept   *decision.Store
	now    func() time.Time
}

var _ admin.Explainer = (*explainer)(nil)

// Explain is part of admin.Explainer.
func (x *explainer) Explain(ctx context.Context, r explain.Request) (explain.Explanation, error) {
	if err := r.Check(); err != nil {
		return explain.Explanation{}, err
	}
	if r.DecisionID != "" {
		kept, err := x.kept.Get(ctx, r.DecisionID)
		if err != nil {
			return explain.Explanation{}, err
		}
		return explainKept(ctx, x.config, kept)
	}
	if r.At.IsZero() {
		r.At = x.now()
	}
	judge := x.judge()
	defer judge.Close()
	return judge.Explain(ctx, r)
}

// Decisions is part of admin.Explainer.
func (x *explainer) Decisions(ctx context.Context, after string) ([]decision.Record, error) {
	return x.kept.Page(ctx, after)
}

// explainHeld explains by the state of the broker: through the admin socket of the server that runs, or on the store when none does.
func (a *app) explainHeld(ctx context.Context, r explain.Request) error {
	return a.withExplainer(ctx, func(x admin.Explainer) error {
		e, err := x.Explain(ctx, r)
		switch {
		case errors.Is(err, decision.ErrNone):
			return fmt.Errorf("%w: it is older than audit.trace_ttl, there were too many, or the id is another's", err)
		case err != nil:
			return asMisuse(err)
		}
		return a.tell(e)
	})
}

// withExplainer carries out work on the broker's state, as withOperator does.
func (a *app) withExplainer(ctx context.Context, work func(admin.Explainer) error) (err error) {
	c, err := a.load(config.Options{})
	if err != nil {
		return err
	}
	return a.withState(c, func(client *admin.Client) error { return work(client) }, func(held *state) error {
		judge, err := broker.OpenJudge(ctx, held.options(c))
		if err != nil {
			return explained(err)
		}
		kept, err := decision.Open(held.engine, held.sealing)
		if err != nil {
			return err
		}
		return work(&explainer{config: c, judge: func() *broker.Judge { return judge }, kept: kept, now: time.Now})
	})
}

// exportDecisions writes decisions.jsonl. It holds claims, so only its owner may read it.
func (a *app) exportDecisions(ctx context.Context, name string) error {
	return a.withExplainer(ctx, func(x admin.Explainer) (err error) {
		out := a.out
		if name != "-" {
			file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
			if err != nil {
				return fmt.Errorf("export: %w", err)
			}
			defer func() { err = errors.Join(err, file.Close()) }()
			out = file
		}
		n, err := decision.Export(out, func(after string) ([]decision.Record, error) { return x.Decisions(ctx, after) })
		if err != nil {
			return fmt.Errorf("export: %w", err)
		}
		fmt.Fprintf(a.err, "%s written\n", count(n, "decision"))
		return nil
	})
}

// explainKept takes a decision again, with tokens that say what was kept of those of then, signed with keys made for this, and explains that.
func explainKept(ctx context.Context, c *config.Loaded, r decision.Record) (e explain.Explanation, err error) {
	if len(r.Partial) > 0 || r.Subject.Opaque || r.Actor != nil && r.Actor.Opaque {
		return explain.Recorded(r), nil
	}
	s, err := newSide(ctx, c)
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	in, err := s.policy().Request(ctx, r)
	if err != nil {
		return e, err
	}
	if e, err = s.judge.Explain(ctx, explain.RequestOf(r.ClientID, in)); err != nil {
		return e, err
	}
	return e.Answered(r), nil
}
