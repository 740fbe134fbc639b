package outbound

import (
	"context"
	"errors"
	"io"
	"net/http"

	"fedbroker/upstreams/breaker"
)

// cappedBody fails when a body is longer than its limit, instead of giving a part of it for the whole. With it the call ends for the breaker.
type cappedBody struct {
	io.ReadCloser
	left    int64
	call    *breaker.Call
	outcome breaker.Outcome // by the status, unless the body breaks off
}

func (b *cappedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, &Error{Class: ClassTooLarge, Reason: "body too large"}
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.outcome = outcome(err)
	}
	if b.left -= int64(n); b.left < 0 {
		return 0, &Error{Class: ClassTooLarge, Reason: "body too large"}
	}
	return n, err
}

// Close ends the call.
func (b *cappedBody) Close() error {
	err := b.ReadCloser.Close()
	b.call.End(b.outcome)
	return err
}

// outcome is what an error says of the upstream: nothing where the caller gave up, or where we would not dial.
func outcome(err error) breaker.Outcome {
	if _, own := errors.AsType[*Error](err); own || errors.Is(err, context.Canceled) {
		return breaker.Neutral
	}
	return breaker.Failed
}

// answered is what a status says of the upstream. A gateway that finds nobody behind it (RFC 9110 §15.6.3–5) is no answer of the upstream's; every other
// status is one.
func answered(status int) breaker.Outcome {
	switch status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return breaker.Failed
	}
	return breaker.Answered
}

// notAsked is a request that the breaker held back.
func notAsked(host string, err error) error {
	held, ok := errors.AsType[*breaker.Error](err)
	if !ok || !errors.Is(err, breaker.ErrOpen) && !errors.Is(err, breaker.ErrBusy) { // the caller gave up
		return err
	}
	return &Error{Host: host, Class: ClassHeld, Reason: held.Error(), RetryAfter: held.RetryAfter, cause: err}
}
