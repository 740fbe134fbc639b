// Package explainer stands between the command line, or a server's admin plane, and the engine that explains: it reads what is to be explained, and
// knows by which keys, revocations and kept decisions.
package explainer

import (
	"context"
	"errors"
	"time"

	"fedbroker/broker"
	"fedbroker/broker/decision"
	"fedbroker/broker/explain"
	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/token"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/keys"
)

// Offline judges by the configuration alone: it opens no store, so that a token of our own is nothing to it.
func Offline(c broker.Config, from string) (*broker.Judge, error) {
	o := broker.JudgeOptions{Config: c, Own: stateless{}, Revoked: stateless{}}
	if from == KeysFile {
		o.Keys = func(u upstreams.Spec) keys.Source {
			if u.JWKSFile+u.CertificatesFile != "" {
				return nil // it is one
			}
			return func(context.Context) (keys.Fetched, error) {
				return keys.Fetched{}, errors.New("no jwks_file, and --keys file asks for nothing else")
			}
		}
	}
	return broker.NewJudge(o)
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

// Held explains by a broker's state. All its fields are required.
type Held struct {
	Judge  func() *broker.Judge // of the configuration, the keys and the revocations of now
	Kept   *decision.Store
	Replay func(ctx context.Context, r decision.Record) (explain.Explanation, error) // takes a decision again
	Now    func() time.Time
}

// Explain judges a request of now, or one that was decided, by its id. The error wraps decision.ErrNone, or is an *explain.UsageError.
func (h Held) Explain(ctx context.Context, r explain.Request) (explain.Explanation, error) {
	if err := r.Check(); err != nil {
		return explain.Explanation{}, err
	}
	if r.DecisionID != "" {
		kept, err := h.Kept.Get(ctx, r.DecisionID)
		if err != nil {
			return explain.Explanation{}, err
		}
		if !kept.Whole() {
			return explain.Recorded(kept), nil
		}
		return h.Replay(ctx, kept)
	}
	if r.At.IsZero() {
		r.At = h.Now()
	}
	judge := h.Judge()
	defer judge.Close()
	return judge.Explain(ctx, r)
}

// Decisions gives a page of those that are kept.
func (h Held) Decisions(ctx context.Context, after string) ([]decision.Record, error) {
	return h.Kept.Page(ctx, after)
}
