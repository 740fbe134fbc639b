package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"fedbroker/broker/clients"
	"fedbroker/broker/dpop"
	"fedbroker/broker/event"
	"fedbroker/broker/grants"
	"fedbroker/broker/limit"
	"fedbroker/broker/oauth"
	"fedbroker/broker/policy"
	"fedbroker/broker/revoke"
	"fedbroker/broker/session"
	"fedbroker/broker/token"
)

// request is one request on its way through the steps. Each step reads what the ones before it left.
type request struct {
	*Broker
	snap      *served
	in        *oauth.TokenRequest
	event     event.Event
	client    *clients.Client // nil: anonymous
	grant     grants.Grant
	authority policy.Authority
	draft     token.Draft
	minted    token.Minted
	refresh   string         // refresh token of the answer
	opened    token.Own      // introspection and revocation: the token, if it is one
	family    *session.Grant // revocation: the grant of a refresh token
	answer    []byte
}

type step func(*request, context.Context) error

// tokenSteps is what every grant runs through, in the order of P27. A grant is one step of it, and can forget none of the others.
var tokenSteps = [...]step{
	(*request).limitAddress,
	(*request).authenticate,
	(*request).chooseGrant,
	(*request).allowGrant,
	(*request).limitRequester,
	(*request).prove,
	(*request).authorize,
	(*request).limitSubject,
	(*request).prepare,
	(*request).spendOnce,
	(*request).redeem,
	(*request).sign,
	(*request).journalIssued,
}

// Token answers a request to the token endpoint (RFC 6749 §3.2). Every error is an *oauth.Error, told to the operator already.
func (b *Broker) Token(ctx context.Context, in *oauth.TokenRequest) (*oauth.TokenResponse, error) {
	r := b.begin(event.KindToken, in)
	if err := r.run(ctx, tokenSteps[:]); err != nil {
		return nil, err
	}
	return &oauth.TokenResponse{
		AccessToken: r.minted.Raw, IssuedTokenType: r.authority.IssuedType(), TokenType: tokenType(&r.authority),
		ExpiresIn: int64(r.authority.Expires().Sub(in.Now) / time.Second), Scope: r.authority.Scope(),
		RefreshToken: r.refresh, IDToken: r.minted.IDToken, DPoPNonce: b.proofs.Offer(in.Now),
	}, nil
}

// tokenType says how the token is to be used: an ID token or an ID-JAG as no access token at all (RFC 8693 §2.2.1).
func tokenType(a *policy.Authority) string {
	switch {
	case a.IssuedType() == oauth.TypeIDToken, a.IssuedType() == oauth.TypeIDJAG:
		return oauth.NotApplicable
	case a.Confirmed() != "":
		return oauth.DPoP // RFC 9449 §5
	default:
		return oauth.Bearer
	}
}

func (b *Broker) begin(kind event.Kind, in *oauth.TokenRequest) *request {
	in.Now = b.now()
	return &request{Broker: b, snap: b.snap.Load(), in: in, event: event.Event{Kind: kind, Outcome: event.OutcomeDone, DecisionID: in.DecisionID, Peer: in.Peer}}
}

// run takes the steps, and tells the operator how it ended.
func (r *request) run(ctx context.Context, steps []step) error {
	err := r.take(ctx, steps)
	r.event.Duration = r.now().Sub(r.in.Now)
	if err == nil {
		r.note(nil)
		r.record.Tell(ctx, &r.event)
		return nil
	}
	refusal := oauth.AsError(err)
	r.note(refusal)
	r.event.Audits = refusal.Audits
	r.event.Refuse(refusal)
	// P26: before a client is known, anybody could fill the journal. What was used twice is revoked, whoever brought it: that is an act.
	if r.event.Known || refusal.Reason == oauth.ReasonReuse {
		r.describeSeen(ctx)
		r.record.Queue(&r.event)
	}
	r.record.Tell(ctx, &r.event)
	return refusal
}

func (r *request) take(ctx context.Context, steps []step) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = event.PanicError(p)
			r.record.Metrics.Panic()
			r.record.Log.LogAttrs(ctx, slog.LevelError, "panic in a request", slog.String(event.AttrDecisionID, r.in.DecisionID),
				slog.Any(event.AttrError, err), slog.String(event.AttrStack, string(debug.Stack())))
		}
	}()
	for _, step := range steps {
		if err := step(r, ctx); err != nil {
			return err
		}
	}
	return nil
}

// describeSeen adds to a refusal what the grant had verified by then. A subject that cannot be named now is left out.
func (r *request) describeSeen(ctx context.Context) {
	seen := &r.in.Seen
	r.event.Upstream, r.event.Audiences = seen.Upstream, seen.Targets
	r.event.Issued, r.event.Expires, r.event.TokenID, r.event.KeyID = time.Time{}, time.Time{}, "", "" // nothing was issued
	if seen.TokenID != "" {
		r.event.Parents = []string{seen.TokenID}
	}
	if name, err := r.record.Subject(ctx, seen.Subject); err == nil {
		r.event.Subject = name
	}
}

// limited refuses with 429 (RFC 6585 §4) who came too soon.
func (r *request) limited(l *limit.Limiter, key string) error {
	wait := l.Take(key, r.in.Now)
	if wait == 0 {
		return nil
	}
	r.record.Metrics.Limit(l.Name)
	e := oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRateLimit).Because(fmt.Errorf("limit %s", l.Name))
	e.Status, e.RetryAfter = http.StatusTooManyRequests, wait
	return e
}

func (r *request) limitAddress(context.Context) error {
	return r.limited(r.limits.Address, limit.AddressKey(r.in.Peer))
}

// authenticate knows the client, or lets nobody in particular pass where some rule takes such requests. Whatever speaks of a client
// must be right in full (P21).
func (r *request) authenticate(ctx context.Context) error {
	if r.in.Credentials.None() {
		if r.event.Kind == event.KindToken && r.snap.Policy.HasAnonymous() {
			r.in.Requester = oauth.Requester{Anonymous: true}
			return nil
		}
		return oauth.Deny(oauth.CodeInvalidClient, oauth.ReasonClientCredentials).Because(errors.New("no client credentials"))
	}
	client, err := r.snap.Clients.Authenticate(ctx, r.in.Credentials, r.in.Now)
	if err != nil {
		return err
	}
	r.client, r.in.Requester = client.Client, client.Requester()
	r.event.ClientID, r.event.Known = client.ID, !client.Public
	return nil
}

func (r *request) chooseGrant(context.Context) error {
	if r.in.GrantType == "" { // RFC 6749 §5.2: a required parameter is missing
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonParameter).Because(errors.New("grant_type is missing"))
	}
	grant, served := r.snap.grants[r.in.GrantType]
	if !served {
		return oauth.Deny(oauth.CodeUnsupportedGrantType, oauth.ReasonGrantType)
	}
	r.grant = grant
	r.event.Grant, _ = oauth.GrantName(r.in.GrantType)
	return nil
}

// allowGrant is the client's registration; that a rule names the requester, too, is what the grant looks at first.
func (r *request) allowGrant(context.Context) error {
	if r.client != nil && !r.client.MayUse(r.in.GrantType) {
		return oauth.Deny(oauth.CodeUnauthorizedClient, oauth.ReasonGrantNotAllowed)
	}
	return nil
}

// limitRequester comes before any signature of a token is verified: that is what a flood would cost (P21).
func (r *request) limitRequester(context.Context) error {
	if r.client == nil {
		return r.limited(r.limits.Anonymous, limit.AddressKey(r.in.Peer))
	}
	return r.limited(r.limits.Client, r.client.ID)
}

// prove holds the request to its proof of possession, if it brought one or its client always has to (RFC 9449 §5).
func (r *request) prove(context.Context) error {
	proof, err := r.proofs.Check(r.in.DPoP, dpop.Want{Method: r.in.Method, URL: r.in.URL, Now: r.in.Now, Nobody: r.client == nil || r.client.Public})
	if err != nil {
		return err
	}
	if proof.Key == "" && r.client != nil && r.client.Spec.DPoPBoundAccessTokens {
		return dpop.Missing()
	}
	r.in.Proof = proof
	return nil
}

func (r *request) authorize(ctx context.Context) (err error) {
	r.authority, err = r.grant.Authorize(ctx, r.in)
	return err
}

func (r *request) limitSubject(context.Context) error {
	return r.limited(r.limits.Subject, r.authority.Subject())
}

// prepare comes before the spending: a token that would be too long, that no key can sign, or that a revocation would kill at birth is a denial, too.
func (r *request) prepare(context.Context) (err error) {
	if err := r.bornAlive(); err != nil {
		return err
	}
	r.draft, err = r.minter.Prepare(r.authority)
	return err
}

// bornAlive refuses what would be revoked from the first moment on: a rule's or a client's revocation is held against when the chain began, which
// the ancestors alone don't tell.
func (r *request) bornAlive() error {
	a := &r.authority
	if len(a.Parents()) == 0 {
		return nil
	}
	err := r.revoked.Check(revoke.Facts{ClientID: a.ClientID(), Subject: a.Subject(), Upstream: a.Upstream().Name, Lineage: a.Lineage()}, a.IssuedAt())
	switch {
	case err == nil:
		return nil
	case !errors.Is(err, revoke.ErrRevoked):
		return oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRevocationStale).Because(err)
	case r.in.GrantType == oauth.GrantTokenExchange:
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonRevoked).Because(err)
	default: // P27
		return oauth.Deny(oauth.CodeInvalidGrant, oauth.ReasonRevoked).Because(err)
	}
}

// spendOnce comes after all that can deny, so that a denial spends nothing, and before the token is signed, so that a crash in between
// issues nothing (P24).
func (r *request) spendOnce(ctx context.Context) error {
	once, needed := r.authority.Spend()
	if !needed {
		return nil
	}
	err := r.spend.Spend(ctx, once.Upstream, once.Issuer, once.JTI, once.Until)
	if errors.Is(err, revoke.ErrSpent) {
		code := oauth.CodeInvalidRequest
		if r.in.GrantType == oauth.GrantJWTBearer { // P27
			code = oauth.CodeInvalidGrant
		}
		return oauth.Deny(code, oauth.ReasonReplay).Because(err)
	}
	return notDurable(err)
}

// redeem spends a code or a refresh token, as spendOnce does, and for the same reasons at this place.
func (r *request) redeem(ctx context.Context) (err error) {
	if r.in.Redeem != nil {
		r.refresh, err = r.in.Redeem(ctx)
	}
	return err
}

func (r *request) sign(context.Context) (err error) {
	r.minted, err = r.draft.Sign()
	return err
}

// journalIssued makes the line durable that is the audit event and the edge of the lineage. Without it the token is thrown away.
func (r *request) journalIssued(ctx context.Context) error {
	e, a := &r.event, r.authority
	e.ClientID, e.Upstream, e.Rule = a.ClientID(), a.Upstream().Name, a.RuleID()
	e.Audiences, e.Scopes, e.Parents, e.TokenType = a.Audiences(), a.Scopes(), a.Parents(), issuedShort(a.IssuedType())
	e.TokenID, e.KeyID, e.Issued, e.Expires = r.minted.JTI, r.minted.KeyID, r.minted.IssuedAt, r.minted.Expires
	e.Audits, e.Bound, e.IDTokenID, e.ActorFrom = a.Audits(), a.Confirmed() != "", r.minted.IDTokenJTI, a.ActFrom()
	for actor := a.Act(); actor != nil; actor = actor.Act {
		name, err := r.record.Subject(ctx, actor.Subject)
		if err != nil {
			return notDurable(err)
		}
		e.Actors = append(e.Actors, name)
	}
	var err error
	if e.Subject, err = r.record.Subject(ctx, a.Subject()); err != nil {
		return notDurable(err)
	}
	return notDurable(r.record.Durable(ctx, e))
}

func issuedShort(tokenType string) string {
	switch tokenType {
	case oauth.TypeJWT:
		return oauth.ShortJWT
	case oauth.TypeIDToken:
		return oauth.ShortIDToken
	case oauth.TypeIDJAG:
		return oauth.ShortIDJAG
	default:
		return oauth.ShortAccessToken
	}
}

// notDurable refuses where a record or a line may be lost: whether it was written or not, nothing is issued on it.
func notDurable(err error) error {
	if err == nil {
		return nil
	}
	return oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonNotDurable).Because(err)
}
