package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/event"
	"fedbroker/broker/grants"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/rules"
	"fedbroker/broker/snapshot"
	"fedbroker/mappers/expr"
	"fedbroker/upstreams"
	"fedbroker/upstreams/keys"
)

// JudgeOptions are what a Judge has in place of a broker's state. Config, Own and Revoked are required.
type JudgeOptions struct {
	Config  Config
	Keys    upstreams.Sources
	Own     grants.Opener
	Revoked grants.Checker
}

// Judge says what a broker of this configuration would decide: it takes the same steps on the same snapshot. It issues nothing, and but for what
// fetching keys takes it writes nothing and touches no network.
type Judge struct {
	own     grants.Opener
	revoked grants.Checker
	snap    *served
	cache   *keys.Cache // its own; nil: its broker's
}

// NewJudge compiles the configuration, from which secrets may be missing: a Judge authenticates nobody. The error is a *ConfigError.
func NewJudge(o JudgeOptions) (*Judge, error) {
	cache := keys.New(keys.Options{})
	var problems []string
	s := snapshot.Compile(o.Config, snapshot.Parts{Keys: cache, Sources: o.Keys}, func(path, format string, args ...any) {
		if !strings.HasSuffix(path, ".secret_sha256") && !strings.HasSuffix(path, ".client_secret") {
			problems = append(problems, path+": "+fmt.Sprintf(format, args...))
		}
	}, orSilent(nil))
	if len(problems) > 0 {
		return nil, &ConfigError{Problems: problems}
	}
	return &Judge{o.Own, o.Revoked, &served{Snapshot: s}, cache}, nil
}

// Judge judges by the configuration, the keys and the revocations of now.
func (b *Broker) Judge() *Judge {
	return &Judge{own: b.opener, revoked: b.revoked, snap: b.snap.Load()}
}

// Close ends what is under way.
func (j *Judge) Close() {
	if j.cache != nil {
		j.cache.Close()
		j.snap.Upstreams.Close()
	}
}

// Upstream is a configured upstream, preset and defaults applied.
func (j *Judge) Upstream(name string) (upstreams.Spec, bool) { return j.snap.Upstreams.Effective(name) }

// Exchange judges a token exchange; see Token.
func (j *Judge) Exchange(ctx context.Context, clientID string, form oauth.Form, now time.Time) (policy.Authority, rules.Trace, error) {
	return j.Token(ctx, clientID, oauth.TokenRequest{GrantType: oauth.GrantTokenExchange, Form: form, Now: now})
}

// Token judges a request to the token endpoint from where the client is known, "" is nobody in particular, and a proof, if there is one, has
// held. The error is an *oauth.Error; the trace says how the rules fared, as far as they were asked.
func (j *Judge) Token(ctx context.Context, clientID string, in oauth.TokenRequest) (policy.Authority, rules.Trace, error) {
	a, tr, err := j.trace(ctx, clientID, &in)
	return a, tr.Policy, err
}

// trace is Token with the whole of the trace.
func (j *Judge) trace(ctx context.Context, clientID string, in *oauth.TokenRequest) (policy.Authority, grants.Trace, error) {
	var tr grants.Trace
	s := *j.snap
	s.grants = grants.Table(grants.Deps{
		Issuer: s.Config.Issuer, Policy: s.Policy, Upstreams: s.Upstreams, Chains: s.Chains, Own: j.own, Revoked: j.revoked, Trace: &tr,
	})
	r := &request{snap: &s, event: event.Event{Kind: event.KindToken}, in: in}
	known := (*request).authenticate // without credentials: whether some rule takes requests of nobody
	if clientID != "" {
		known = func(r *request, _ context.Context) error { return j.identify(r, clientID) }
	}
	for _, step := range [...]step{known, (*request).chooseGrant, (*request).allowGrant, (*request).authorize} {
		if err := step(r, ctx); err != nil {
			return policy.Authority{}, tr, oauth.AsError(err)
		}
	}
	return r.authority, tr, nil
}

// Reads are the claims that rules and mappers read of an upstream's tokens, or of our own, and those that name its subjects.
func (j *Judge) Reads(upstream string, own bool) expr.Members {
	if own {
		return j.snap.Policy.ReadsOwn()
	}
	return j.mapped(upstream).With(j.snap.Policy.Reads(upstream)).With(expr.Members{Names: j.snap.subjectClaims(upstream)})
}

func (j *Judge) mapped(upstream string) (r expr.Members) {
	if chain := j.snap.Chains[upstream]; chain != nil {
		r = chain.Reads()
	}
	return r
}

// ReadsBy are those that mappers read of an upstream's tokens, or nobody of our own, and the rules of these ids.
func (j *Judge) ReadsBy(upstream string, own bool, ids []string) (r expr.Members) {
	if !own {
		r = j.mapped(upstream)
	}
	for _, id := range ids {
		read, ours := j.snap.Policy.ReadsBy(id)
		if own {
			read = ours
		}
		r = r.With(read)
	}
	return r
}

// identify stands in for client authentication.
func (j *Judge) identify(r *request, clientID string) error {
	client, ok := j.snap.Clients.Lookup(clientID)
	if !ok {
		return oauth.Deny(oauth.CodeInvalidClient, oauth.ReasonClientCredentials).Because(errors.New("no client of this id"))
	}
	r.client, r.in.Requester = client, clients.Authenticated{Client: client}.Requester()
	return nil
}
