package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"fedbroker/upstreams/jose"
)

var (
	// ErrUnavailable: whether the upstream has the key can't be told now. It is not the token's fault.
	ErrUnavailable = errors.New("upstream keys not available")
	// ErrUnknownKey: the upstream does not have the key; a fetch that began after the request says so.
	ErrUnknownKey = errors.New("unknown key")
)

// UnavailableError is an ErrUnavailable with what to do about it.
type UnavailableError struct {
	Upstream, Reason string
	RetryAfter       time.Duration // zero: not known
	Cause            error         // nil: there was none
}

func (e *UnavailableError) Error() string {
	text := "keys of " + e.Upstream + ": " + e.Reason
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap makes it an ErrUnavailable and gives the cause.
func (e *UnavailableError) Unwrap() []error { return []error{ErrUnavailable, e.Cause} }

func unknownKey(upstream string) error { return fmt.Errorf("keys of %s: %w", upstream, ErrUnknownKey) }

// storeError marks a fetch that brought keys which could not be persisted.
type storeError struct{ error }

func (e storeError) Unwrap() error { return e.error }

// The error classes of fetches, beside those that a Source's errors name by a method ErrorClass() string.
const (
	classOK       = "ok"
	classKeySet   = "key_set"
	classStore    = "store"
	classTimeout  = "timeout"
	classCanceled = "canceled"
	classSource   = "source"
)

func class(err error) string {
	var named interface{ ErrorClass() string }
	var store storeError
	switch {
	case err == nil:
		return classOK
	case errors.As(err, &store):
		return classStore
	case errors.As(err, &named):
		return named.ErrorClass()
	case errors.Is(err, jose.ErrKeySet):
		return classKeySet
	case errors.Is(err, context.DeadlineExceeded):
		return classTimeout
	case errors.Is(err, context.Canceled):
		return classCanceled
	}
	return classSource
}
