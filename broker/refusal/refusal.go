// Package refusal says what an upstream's error is on our own wire.
package refusal

import (
	"errors"

	"fedbroker/broker/oauth"
	"fedbroker/upstreams"
)

// Upstream keeps apart what is the token's fault and what is not (P27): a caller whose token may be good is told to come back.
func Upstream(err error) error {
	e, ok := errors.AsType[*upstreams.Error](err)
	switch {
	case !ok:
		return err
	case !errors.Is(err, upstreams.ErrUnavailable):
		return oauth.Deny(oauth.CodeInvalidRequest, reason(e.Reason)).Because(err)
	}
	deny := oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonKeysUnavailable).Because(err)
	if e.RetryAfter > 0 {
		deny.RetryAfter = e.RetryAfter
	}
	return deny
}

func reason(r upstreams.Reason) oauth.Reason {
	switch r {
	case upstreams.ReasonClass:
		return oauth.ReasonTokenClass
	case upstreams.ReasonIssuer:
		return oauth.ReasonTokenIssuer
	case upstreams.ReasonAudience:
		return oauth.ReasonTokenAudience
	case upstreams.ReasonTime:
		return oauth.ReasonTokenTime
	case upstreams.ReasonConfirmation:
		return oauth.ReasonConfirmation
	case upstreams.ReasonAlgorithm, upstreams.ReasonUnknownKey, upstreams.ReasonSignature:
		return oauth.ReasonSignature
	default:
		return oauth.ReasonToken
	}
}

// Asked is what an identity provider that could not be asked about a person makes of a request: nothing was judged, so the caller is told to come back.
func Asked(err error) *oauth.Error {
	deny := oauth.Deny(oauth.CodeTemporarilyUnavailable, oauth.ReasonIdPUnavailable).Because(err)
	if e, ok := errors.AsType[*upstreams.Error](err); ok && e.RetryAfter > 0 {
		deny.RetryAfter = e.RetryAfter
	}
	return deny
}
