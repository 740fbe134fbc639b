package verify

import (
	"errors"
	"fmt"
	"time"

	"fedbroker/upstreams/rp"
)

// What every error of Verify, Start and Finish wraps exactly one of; ErrDenied is Finish's alone.
var (
	// ErrInvalid: the token, or the upstream's answer, is at fault.
	ErrInvalid = errors.New("token refused")
	// ErrUnavailable: the upstream can't be asked now; the same token may be good later.
	ErrUnavailable = errors.New("upstream unavailable")
	// ErrDenied: the upstream answered a login with an error of its own.
	ErrDenied = errors.New("upstream denied the login")
)

// Reason says in one word why a token was not accepted. The set is closed, for metrics and audit.
type Reason string

// The reasons. All but ReasonUnavailable and ReasonDenied are the token's, or the answer's, fault.
const (
	ReasonPurpose      Reason = "purpose"      // this upstream does not serve the purpose
	ReasonClass        Reason = "class"        // not the class of token that the purpose needs (RFC 8725 §3.11)
	ReasonIssuer       Reason = "issuer"       // iss is not the upstream's
	ReasonAudience     Reason = "audience"     // aud or azp
	ReasonTime         Reason = "time"         // exp, iat, nbf
	ReasonNonce        Reason = "nonce"        // not this login attempt's
	ReasonConfirmation Reason = "confirmation" // bound to a key whose possession was not proven
	ReasonClaim        Reason = "claim"        // a claim that the protocol reads has the wrong type
	ReasonSubject      Reason = "subject"      // no usable subject
	ReasonAlgorithm    Reason = "algorithm"    // alg is not on the upstream's list
	ReasonUnknownKey   Reason = "unknown_key"  // the upstream has no such key
	ReasonSignature    Reason = "signature"    // the signature is not that key's
	ReasonInactive     Reason = "inactive"     // an opaque token that the upstream does not vouch for
	ReasonUnavailable  Reason = "unavailable"  // the keys, or an answer, could not be had

	ReasonDenied   = Reason(rp.KindDenied)   // the upstream answered a login with an error
	ReasonRefused  = Reason(rp.KindRefused)  // the upstream refused a call of ours: the code, our credentials, the access token
	ReasonResponse = Reason(rp.KindResponse) // an authorization response that is none to this attempt
	ReasonNonsense = Reason(rp.KindNonsense) // an answer of an endpoint that is none
	ReasonEndpoint = Reason(rp.KindEndpoint) // an endpoint that must not be used (P37, P43)
	ReasonUserInfo = Reason(rp.KindUserInfo) // userinfo of another subject
)

// Error says why one upstream did not accept a token. Its text may name claims, never their values.
type Error struct {
	Reason     Reason
	Upstream   string
	RetryAfter time.Duration // ReasonUnavailable: when to try again; zero when not known
	Code       string        // the error code that the upstream answered with, [a-z_]{1,64}; empty: none
	Err        error         // the cause
}

// Error describes it for the log.
func (e *Error) Error() string {
	return fmt.Sprintf("upstream %s: %s: %v", e.Upstream, e.Reason, e.Err)
}

// Unwrap gives the sentinel and the cause.
func (e *Error) Unwrap() []error {
	switch e.Reason {
	case ReasonUnavailable:
		return []error{ErrUnavailable, e.Err}
	case ReasonDenied:
		return []error{ErrDenied, e.Err}
	}
	return []error{ErrInvalid, e.Err}
}

// LoginError puts what package rp says among the reasons.
func (v *Verifier) LoginError(err error) *Error {
	refused := v.Refuse(ReasonNonsense, err)
	if e, ok := errors.AsType[*rp.Error](err); ok {
		refused.Reason, refused.Code, refused.RetryAfter = Reason(e.Kind), e.Code, e.RetryAfter
	}
	return refused
}
