package clients

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/upstreams"
	"fedbroker/upstreams/jose"
)

// assertion takes both kinds of JWT that stand for a client (RFC 7523 section 2.2): one that it signed itself, whose iss is its id, and one that
// an upstream signed for the workload that it is. No id of a client is an issuer's URL (P3), so that iss alone tells which.
func assertion(ctx context.Context, r *Registry, named *Client, c oauth.Credentials, now time.Time) (Authenticated, error) {
	u, err := jose.Parse(c.Assertion)
	if err != nil {
		return Authenticated{}, refuse(err)
	}
	if from, ok := originOf(u); ok {
		if w, found := r.workloads[from]; found {
			return r.authenticateWorkload(ctx, w, c.ClientID, u, now)
		}
	}
	if c.ClientID == "" { // it is optional beside an assertion (RFC 7521 section 4.2); what iss names is only the client whose keys may verify it
		named = r.named(u.UnverifiedIssuer(), c.Method)
	}
	return r.privateKeyJWT(ctx, named, u, now)
}

// Workload verifies the token of a workload as the credential of a client.
type Workload interface {
	// Verify proves that t is a token of the named upstream for this one audience, that it is of a class that may be a subject there, and that
	// now is within its times. An error that wraps upstreams.ErrInvalid is the token's fault; any other is not.
	Verify(ctx context.Context, upstream string, t jose.Unverified, audience string, now time.Time) (upstreams.Identity, error)
}

// Revocations tell what is revoked, as *revoke.Set does.
type Revocations interface {
	Check(f revoke.Facts, issued time.Time) error
}

// origin is what a token says of where it comes from and what for, which picks the upstream that may verify it.
type origin struct{ issuer, audience string }

func originOf(u jose.Unverified) (origin, bool) {
	aud := u.UnverifiedAudience()
	if len(aud) != 1 { // a token for several could be replayed by any of them
		return origin{}, false
	}
	return origin{u.UnverifiedIssuer(), aud[0]}, true
}

// workloads are the clients whose credentials are one upstream's tokens for one audience.
type workloads struct {
	upstream, audience string
	maxAge             time.Duration      // the longest of theirs
	clients            map[string]*Client // by the upstream's subject, byte for byte
}

func (c *Client) workloadUpstream() string {
	if c.Spec.Assertion == nil {
		return ""
	}
	return c.Spec.Assertion.Upstream
}

// addWorkload finds the client's place by its assertion, which has to lead to one upstream and to one client alone (P24).
func (r *Registry) addWorkload(c *Client, issuer string, bad report) {
	a := c.Spec.Assertion
	from := origin{issuer, a.Audience}
	w := r.workloads[from]
	if w == nil {
		w = &workloads{upstream: a.Upstream, audience: a.Audience, clients: map[string]*Client{}}
		r.workloads[from] = w
	}
	if w.upstream != a.Upstream { // upstreams are never tried in turn (P10)
		bad("assertion.audience", "want another one than for upstream %s, which has the same issuer", w.upstream)
		return
	}
	if other := w.clients[a.Subject]; other != nil {
		bad("assertion.subject", "want a workload that is one client: client %s has the same upstream, subject and audience", other.ID)
		return
	}
	w.clients[a.Subject] = c
	w.maxAge = max(w.maxAge, *a.MaxAge)
}

// authenticateWorkload takes an upstream's token for one client (P24): upstream, subject and audience are exactly the registered ones, in place of
// the client's id that RFC 7523 section 3 wants as sub, which no platform knows. It may come again until it is too old, for a workload has one
// token for many requests; only under single_use it may not. The way is the same whatever client is named, so that it tells nobody which there are.
func (r *Registry) authenticateWorkload(ctx context.Context, w *workloads, named string, u jose.Unverified, now time.Time) (Authenticated, error) {
	if r.workload == nil || r.revoked == nil {
		return Authenticated{}, refuse(errors.New("nobody to verify a workload's token"))
	}
	if err := r.judgeWorkload(w, u, now); err != nil {
		return Authenticated{}, refuse(err)
	}
	id, err := r.workload.Verify(ctx, w.upstream, u, w.audience, now)
	if err != nil {
		return Authenticated{}, workloadError(err)
	}
	client := w.clients[id.Subject]
	if client == nil || named != "" && named != client.ID {
		return Authenticated{}, refuse(errors.New("the workload is not the client"))
	}
	if r.tooOld(id.IssuedAt, *client.Spec.Assertion.MaxAge, now) {
		return Authenticated{}, refuse(errors.New("the workload's token is too old"))
	}
	facts := revoke.Facts{TokenID: id.TokenID, Subject: id.BrokerSubject, Upstream: id.Upstream}
	if err := revoked(r.revoked.Check(facts, id.IssuedAt)); err != nil {
		return Authenticated{}, err
	}
	if err := r.workloadOnce(ctx, client, &id); err != nil {
		return Authenticated{}, err
	}
	return Authenticated{Client: client, TokenID: u.TokenID(), Workload: oauth.Workload{TokenID: id.TokenID, Subject: id.BrokerSubject, Upstream: id.Upstream, IssuedAt: id.IssuedAt}}, nil
}

// judgeWorkload refuses what no key can put right and no upstream has a say in.
func (r *Registry) judgeWorkload(w *workloads, u jose.Unverified, now time.Time) error {
	switch u.Class() {
	case jose.ClassJWT, jose.ClassAccessToken, jose.ClassOther: // of the last two the upstream's accept_typ decides (P9)
	default:
		return fmt.Errorf("workload's token of class %v", u.Class())
	}
	switch {
	case u.UnverifiedIssuer() == r.issuer:
		return errors.New("a token of ours as a workload's")
	case u.Has(jose.MarkerConfirmation):
		return errors.New("the workload's token is bound to a key")
	case u.Has(jose.MarkerActor | jose.MarkerMayAct): // its subject may not be who sends it
		return errors.New("the workload's token is delegated")
	}
	issued, err := u.UnverifiedClaims().Time("iat")
	if err != nil {
		return err
	}
	if r.tooOld(issued, w.maxAge, now) {
		return errors.New("the workload's token is too old")
	}
	return nil
}

func (r *Registry) tooOld(issued time.Time, maxAge time.Duration, now time.Time) bool {
	return now.After(issued.Add(maxAge + r.leeway))
}

// workloadOnce marks the token as used where the client's are good only once.
func (r *Registry) workloadOnce(ctx context.Context, client *Client, id *upstreams.Identity) error {
	switch {
	case !client.Spec.Assertion.SingleUse:
		return nil
	case id.JTI == "" || r.spend == nil:
		return oauth.Deny(oauth.CodeInvalidClient, oauth.ReasonReplay).Because(errors.New("single_use, and the workload's token has no jti"))
	}
	return r.spendOnce(ctx, id.Upstream, id.Issuer, id.JTI, id.Expires.Add(maxLeeway+spendSlack))
}

// workloadError keeps apart what is the token's fault and what is not (P27).
func workloadError(err error) error {
	if errors.Is(err, upstreams.ErrInvalid) {
		return refuse(err)
	}
	deny := oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable)
	if e, ok := errors.AsType[*upstreams.Error](err); ok && e.RetryAfter > 0 {
		deny.RetryAfter = e.RetryAfter
	}
	return deny.Because(err)
}

// revoked reads the answer of the revocation set: without a fresh one nobody is let in (P26).
func revoked(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, revoke.ErrRevoked):
		return oauth.Deny(oauth.CodeInvalidClient, oauth.ReasonRevoked).Because(err)
	default:
		return oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale).Because(err)
	}
}
