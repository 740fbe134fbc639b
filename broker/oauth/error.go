// Package oauth holds the words of the token endpoint's wire: error codes, token and grant types, requests, responses,
// and the strict reading of forms, credentials, scopes and audiences. It judges syntax only and knows nothing of policy.
package oauth

import (
	"errors"
	"net/http"
	"time"
)

// Code is an OAuth error code as the caller sees it (RFC 6749 §5.2, RFC 8693 §2.2.2, RFC 8707 §2).
type Code string

// The codes of the token endpoint.
const (
	CodeInvalidRequest         Code = "invalid_request"
	CodeInvalidClient          Code = "invalid_client"
	CodeInvalidGrant           Code = "invalid_grant"
	CodeUnauthorizedClient     Code = "unauthorized_client"
	CodeUnsupportedGrantType   Code = "unsupported_grant_type"
	CodeInvalidScope           Code = "invalid_scope"
	CodeInvalidTarget          Code = "invalid_target"          // RFC 8707 §2
	CodeTemporarilyUnavailable Code = "temporarily_unavailable" // of RFC 6749 §4.1.2.1, here with 503 or 429
	CodeServerError            Code = "server_error"
	CodeInvalidDPoPProof       Code = "invalid_dpop_proof" // RFC 9449 §5
	CodeUseDPoPNonce           Code = "use_dpop_nonce"     // RFC 9449 §8
)

// The codes of an authorization response that are no token endpoint's (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6, OpenID Connect Core Unmet
// Authentication Requirements 1.0), and those of a resource (RFC 6750 §3.1).
const (
	CodeAccessDenied            Code = "access_denied"
	CodeUnsupportedResponseType Code = "unsupported_response_type"
	CodeLoginRequired           Code = "login_required"
	CodeInteractionRequired     Code = "interaction_required"
	CodeConsentRequired         Code = "consent_required"
	CodeRequestNotSupported     Code = "request_not_supported"
	CodeRequestURINotSupported  Code = "request_uri_not_supported"
	CodeUnmetAuthentication     Code = "unmet_authentication_requirements"
	CodeInvalidToken            Code = "invalid_token"
	CodeInsufficientScope       Code = "insufficient_scope"
)

// Description is the one public sentence of a code: it never tells which check failed.
func (c Code) Description() string {
	switch c {
	case CodeInvalidRequest:
		return "The request or a token in it is not acceptable."
	case CodeInvalidClient:
		return "Client authentication failed."
	case CodeInvalidGrant:
		return "The grant is not acceptable."
	case CodeUnauthorizedClient:
		return "The client may not use this grant type."
	case CodeUnsupportedGrantType:
		return "The grant type is not served."
	case CodeInvalidScope:
		return "The requested scope is malformed or exceeds what may be granted."
	case CodeInvalidTarget:
		return "The requested audience or resource is malformed or out of reach."
	case CodeTemporarilyUnavailable:
		return "The request cannot be answered now; try again later."
	case CodeInvalidDPoPProof:
		return "The DPoP proof is missing or not acceptable."
	case CodeUseDPoPNonce:
		return "The DPoP proof must carry the nonce of this answer."
	case CodeAccessDenied:
		return "The sign-in was denied."
	case CodeUnsupportedResponseType:
		return "The response type is not served."
	case CodeLoginRequired:
		return "The person has to sign in."
	case CodeInteractionRequired:
		return "The person has to do something first."
	case CodeConsentRequired:
		return "The person has to consent."
	case CodeRequestNotSupported:
		return "Request objects are not served."
	case CodeRequestURINotSupported:
		return "The parameter request_uri is not served."
	case CodeUnmetAuthentication:
		return "The required authentication could not be had."
	case CodeInvalidToken:
		return "The access token is not acceptable."
	case CodeInsufficientScope:
		return "The access token lacks a scope."
	default:
		return "The server met an unexpected condition."
	}
}

// Status is the HTTP status that a code has where an Error names no other.
func (c Code) Status() int {
	switch c {
	case CodeInvalidClient:
		return http.StatusUnauthorized // RFC 6749 §5.2
	case CodeInvalidToken:
		return http.StatusUnauthorized // RFC 6750 §3.1
	case CodeInsufficientScope:
		return http.StatusForbidden // RFC 6750 §3.1
	case CodeTemporarilyUnavailable:
		return http.StatusServiceUnavailable
	case CodeServerError:
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}

// DefaultRetryAfter is what a temporarily_unavailable answer asks the caller to wait where nothing better is known.
const DefaultRetryAfter = 5 * time.Second

// Error is a refusal: a code for the caller, a reason for the operator, a cause for the log alone. Errors are values to
// copy, never to change.
type Error struct {
	Code       Code
	Reason     Reason
	Status     int           // HTTP status; 0 is the code's own
	RetryAfter time.Duration // of a temporarily_unavailable
	DPoPNonce  string        // to be used in the next proof (RFC 9449 §8); "" for none
	Audits     []string      // rules in mode audit that would have allowed it
	cause      error
}

// Deny is a refusal with the status of its code.
func Deny(code Code, reason Reason) *Error {
	e := &Error{Code: code, Reason: reason}
	if code == CodeTemporarilyUnavailable {
		e.RetryAfter = DefaultRetryAfter
	}
	return e
}

// Because returns a copy of e whose private cause is err.
func (e *Error) Because(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// Description is the public sentence of e's code.
func (e *Error) Description() string { return e.Code.Description() }

// HTTPStatus is the status to answer with.
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	return e.Code.Status()
}

// Error is for logs: it holds the cause, which no caller may see.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + string(e.Reason)
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.cause }

// AsError finds the refusal in err. An error that is none is a server_error, whose cause it becomes.
func AsError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return Deny(CodeServerError, ReasonInternal).Because(err)
}
