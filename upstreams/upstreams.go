// Package upstreams verifies the tokens of identity providers that are not ours: what an upstream is (Spec), which of them a
// token belongs to (Set.Select), how people log in at one (Login), and what its verification proves (Identity, which package verify makes).
package upstreams

import (
	"context"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/verify"
)

// Upstream verifies tokens of one configured identity provider.
type Upstream interface {
	// Name is the configured name.
	Name() string
	// Verify proves that t is the upstream's and fits the purpose. Every error is an *Error that wraps ErrInvalid, the token's
	// fault, or ErrUnavailable, not the token's fault.
	Verify(ctx context.Context, t jose.Unverified, want Want) (Identity, error)
}

// Introspector is the power of upstreams that vouch for their opaque tokens (RFC 7662).
type Introspector interface {
	Upstream
	// Introspect asks the upstream about a token. Errors are those of Verify.
	Introspect(ctx context.Context, raw string, want Want) (Identity, error)
}

// What package verify judges by, for those who ask a Set.
type (
	Purpose  = verify.Purpose
	Want     = verify.Want
	Identity = verify.Identity
	Reason   = verify.Reason
	Error    = verify.Error
)

// The purposes.
const (
	PurposeExchange = verify.PurposeExchange
	PurposeLogin    = verify.PurposeLogin
	PurposeRefresh  = verify.PurposeRefresh
	PurposeActor    = verify.PurposeActor
	PurposeClient   = verify.PurposeClient
	PurposeGrant    = verify.PurposeGrant
)

// The reasons.
const (
	ReasonPurpose      = verify.ReasonPurpose
	ReasonClass        = verify.ReasonClass
	ReasonIssuer       = verify.ReasonIssuer
	ReasonAudience     = verify.ReasonAudience
	ReasonTime         = verify.ReasonTime
	ReasonNonce        = verify.ReasonNonce
	ReasonConfirmation = verify.ReasonConfirmation
	ReasonClaim        = verify.ReasonClaim
	ReasonSubject      = verify.ReasonSubject
	ReasonAlgorithm    = verify.ReasonAlgorithm
	ReasonUnknownKey   = verify.ReasonUnknownKey
	ReasonSignature    = verify.ReasonSignature
	ReasonInactive     = verify.ReasonInactive
	ReasonUnavailable  = verify.ReasonUnavailable
	ReasonDenied       = verify.ReasonDenied
	ReasonRefused      = verify.ReasonRefused
	ReasonResponse     = verify.ReasonResponse
	ReasonNonsense     = verify.ReasonNonsense
	ReasonEndpoint     = verify.ReasonEndpoint
	ReasonUserInfo     = verify.ReasonUserInfo
)

// What every error of Verify, Start and Finish wraps exactly one of; ErrDenied is Finish's alone. They are never assigned to.
var (
	ErrInvalid     = verify.ErrInvalid
	ErrUnavailable = verify.ErrUnavailable
	ErrDenied      = verify.ErrDenied
)
