package login

import (
	"context"
	"errors"
	"net/http"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/session"
	"fedbroker/upstreams"
)

// failed is a visit that did not come to its end: what the page is about, and the refusal that app and operator get. Without a kind there is
// no page, and the app is answered directly.
type failed struct {
	kind    FailureKind
	refusal *oauth.Error
	retry   bool // beginning again may help
}

func (f *failed) Error() string { return f.refusal.Error() }
func (f *failed) Unwrap() error { return f.refusal }

func fail(kind FailureKind, refusal *oauth.Error) error { return &failed{kind: kind, refusal: refusal} }

func failRetry(kind FailureKind, refusal *oauth.Error) error {
	return &failed{kind: kind, refusal: refusal, retry: true}
}

// tell is a refusal for the app, without a page.
func tell(code oauth.Code, reason oauth.Reason, cause string) error {
	return &failed{refusal: oauth.Deny(code, reason).Because(errors.New(cause))}
}

func tooSoon(wait time.Duration) *oauth.Error {
	e := oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonRateLimit)
	e.Status, e.RetryAfter = http.StatusTooManyRequests, wait
	return e
}

// refuse turns the answer into what is left to say.
func (v *visit) refuse(ctx context.Context, err error) {
	f, known := errors.AsType[*failed](err)
	if !known {
		f = &failed{kind: FailureServerError, refusal: oauth.AsError(err)}
	}
	v.refused = f.refusal
	v.event.Refuse(f.refusal)
	v.event.TokenID, v.event.Scopes = "", nil // nothing was issued
	if v.journal {
		v.Record.Queue(&v.event)
	}
	a := Answer{DecisionID: v.answer.DecisionID, Attempt: v.answer.Attempt, Session: v.answer.Session}
	if v.asked != nil && (f.kind == "" || v.asked.silent()) { // under prompt=none no page may show (OpenID Connect Core §3.1.2.1)
		a.Reply = v.asked.refusal(f.refusal.Code, v.Issuer)
	} else {
		a.Failure = v.page(f)
	}
	v.answer = a
}

func (v *visit) page(f *failed) *Failure {
	p := &Failure{Kind: f.kind, Status: f.refusal.HTTPStatus(), RetryAfter: int((f.refusal.RetryAfter + time.Second - 1) / time.Second)}
	if p.Kind == "" {
		p.Kind = FailureRequest
	}
	if _, up, ok := v.Upstreams.Login(v.event.Upstream); ok {
		p.Upstream = up.Display
	}
	if v.asked != nil {
		p.ClientID, p.Back = v.asked.client.ID, v.asked.refusal(f.refusal.Code, v.Issuer)
		if f.retry {
			p.Retry = v.asked.params
		}
	}
	return p
}

// upstreamFailure keeps apart what the provider denied, what passes, and what is no answer.
func upstreamFailure(err error) error {
	switch {
	case errors.Is(err, session.ErrSpent):
		return noAttempt(FailureExpired, "the attempt was tried before")
	case errors.Is(err, upstreams.ErrDenied):
		return failRetry(FailureDenied, oauth.Deny(oauth.CodeAccessDenied, oauth.ReasonIdPDenied).Because(err))
	case errors.Is(err, upstreams.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		refusal := oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonIdPUnavailable).Because(err)
		if e, ok := errors.AsType[*upstreams.Error](err); ok && e.RetryAfter > 0 {
			refusal.RetryAfter = e.RetryAfter
		}
		return failRetry(FailureUpstreamUnavailable, refusal)
	}
	return failRetry(FailureUpstreamAnswer, oauth.Deny(oauth.CodeServerError, oauth.ReasonIdPResponse).Because(err))
}
