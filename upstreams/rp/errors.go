package rp

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"fedbroker/upstreams/outbound"
)

// Kind is what went wrong, of a closed set. Package upstreams has them among its reasons.
type Kind string

// The kinds.
const (
	KindUnavailable Kind = "unavailable" // the provider can't be asked, or not now
	KindDenied      Kind = "denied"      // it answered the authorization request with an error, or would not have this person
	KindRefused     Kind = "refused"     // it refused a call of ours
	KindResponse    Kind = "response"    // what came is no answer to this attempt
	KindNonsense    Kind = "nonsense"    // it answered with something that is no answer
	KindEndpoint    Kind = "endpoint"    // it names an endpoint that must not be used
	KindUserInfo    Kind = "userinfo"    // userinfo is of another person
)

// Error is a step that failed. Its text holds nothing of the provider's but an error's code, and of its description the printable beginning.
type Error struct {
	Kind       Kind
	Code       string        // the provider's error code where it is one: [a-z_]{1,64}
	RetryAfter time.Duration // KindUnavailable: as the provider or its breaker said; zero when neither did
	Err        error         // the cause
}

// Error describes it for the log.
func (e *Error) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("%s: %s: %v", e.Kind, e.Code, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Kind, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func fault(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// codePattern is narrower than RFC 6749 §5.2: what does not look like a registered code is not repeated anywhere.
var codePattern = regexp.MustCompile(`^[a-z_]{1,64}$`)

// The codes that say more than that something was refused (RFC 6749 §4.1.2.1).
const (
	codeAccessDenied = "access_denied"
	codeServerError  = "server_error"
	codeUnavailable  = "temporarily_unavailable"
)

// answered is an error that the provider answered with.
func answered(kind Kind, code string, cause error) *Error {
	switch {
	case !codePattern.MatchString(code):
		code = ""
	case code == codeServerError, code == codeUnavailable:
		kind = KindUnavailable
	case code == codeAccessDenied:
		kind = KindDenied
	}
	return &Error{Kind: kind, Code: code, Err: cause}
}

// maxDescription is how much of an error_description the log may have, in bytes.
const maxDescription = 100

// described is a stranger's text as the log may have it: quoted, in printable ASCII, and not much of it.
func described(text string) error {
	if text == "" {
		return errors.New("no description")
	}
	return fmt.Errorf("described as %+q", text[:min(len(text), maxDescription)])
}

// unanswered is a call that brought no answer.
func unanswered(host string, err error) *Error {
	failed := outbound.Describe(host, err)
	kind := KindUnavailable
	switch failed.Class {
	case outbound.ClassURL, outbound.ClassAddress:
		kind = KindEndpoint
	case outbound.ClassRedirect, outbound.ClassMediaType, outbound.ClassTooLarge:
		kind = KindNonsense
	}
	return &Error{Kind: kind, RetryAfter: failed.RetryAfter, Err: failed}
}
