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
	default:
		return "The server met an unexpected condition."
	}
}

// Status is the HTTP status that a code has where an Error names no other.
func (c Code) Status() int {
	switch c {
	case CodeInvalidClient:
		return http.StatusUnauthorized // RFC 6749 §5.2
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
