package outbound

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"
)

// Class is why a request failed, of a closed set: fit for a metric's label and for readiness detail.
type Class string

// The classes.
const (
	ClassURL        Class = "url"        // not to be fetched at all
	ClassAddress    Class = "address"    // the host is at an address that must not be dialled
	ClassDNS        Class = "dns"        // the host's name does not resolve
	ClassConnect    Class = "connect"    // nobody there
	ClassTLS        Class = "tls"        // the certificate is not trusted, or no common ground
	ClassTimeout    Class = "timeout"    // too slow
	ClassCanceled   Class = "canceled"   // given up by the caller
	ClassTransport  Class = "transport"  // the connection broke, or what came is no HTTP
	ClassRedirect   Class = "redirect"   // a redirect that is not followed
	ClassStatus     Class = "status"     // not 200
	ClassMediaType  Class = "media_type" // not JSON, or encoded
	ClassTooLarge   Class = "too_large"  // more than the limit
	ClassCredential Class = "credential" // the credential can't be read
	ClassCA         Class = "ca"         // the CA file can't be read
	ClassHeld       Class = "held"       // not asked: its breaker is open, or too many calls are under way
)

// Error is a failed request. Its text names the host and the reason: never a path, a query, userinfo, or anything that came back.
type Error struct {
	Host       string // with the port, if the URL has one
	Class      Class
	Reason     string
	Status     int           // of ClassStatus
	RetryAfter time.Duration // of ClassHeld
	cause      error         // for errors.Is; its text may quote a URL, so Error does not
}

func (e *Error) Error() string {
	reason := e.Reason
	if e.Status != 0 {
		reason = fmt.Sprintf("%s (%d)", e.Reason, e.Status)
	}
	if e.Host == "" {
		return reason
	}
	return e.Host + ": " + reason
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.cause }

// ErrorClass is the class as a word.
func (e *Error) ErrorClass() string { return string(e.Class) }

// Describe turns what an http.Client of this package returned into an Error that can be logged.
func Describe(host string, err error) *Error {
	var (
		own     *Error
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		record  tls.RecordHeaderError
		alert   tls.AlertError
		op      *net.OpError
		timeout net.Error
	)
	switch {
	case errors.As(err, &own):
		return &Error{Host: host, Class: own.Class, Reason: own.Reason, Status: own.Status, RetryAfter: own.RetryAfter, cause: err}
	case errors.Is(err, context.Canceled):
		return &Error{Host: host, Class: ClassCanceled, Reason: "canceled", cause: err}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &Error{Host: host, Class: ClassTimeout, Reason: "timed out", cause: err}
	case errors.As(err, &dns):
		return &Error{Host: host, Class: ClassDNS, Reason: "name does not resolve", cause: err}
	case errors.As(err, &cert):
		return &Error{Host: host, Class: ClassTLS, Reason: "certificate not trusted: " + cert.Err.Error(), cause: err}
	case errors.As(err, &record), errors.As(err, &alert), errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error"): // crypto/tls's
		return &Error{Host: host, Class: ClassTLS, Reason: "TLS handshake failed", cause: err}
	case errors.As(err, &op) && op.Op == "dial":
		return &Error{Host: host, Class: ClassConnect, Reason: "connect: " + op.Err.Error(), cause: err}
	}
	return &Error{Host: host, Class: ClassTransport, Reason: "connection broke or spoke no HTTP", cause: err}
}
