package login

import (
	"net/netip"
	"net/url"

	"fedbroker/broker/userinfo"
)

// Browser is what a browser's cookies hold; nothing in it is proven.
type Browser struct {
	Session  string
	Attempts []Sealed
}

// Sealed is the cookie of one login attempt. Its id is the attempt's state.
type Sealed struct{ ID, Value string }

// Request is an authorization request, typed but not proven (OpenID Connect Core §3.1.2.1).
type Request struct {
	DecisionID string
	Peer       netip.Addr
	Browser    Browser

	ClientID, RedirectURI, ResponseType, ResponseMode, Scope, State, Nonce string
	LoginHint, IDPHint, IDTokenHint                                        string
	CodeChallenge, CodeChallengeMethod, Claims, DPoPKey                    string // DPoPKey: dpop_jkt (RFC 9449 §10)
	Prompt, ACRValues, UILocales, Resources                                []string
	MaxAge                                                                 *int64 // seconds
	HasRequest, HasRequestURI                                              bool

	Email  string // typed on the chooser
	Choose bool   // the chooser, whatever else says
}

// ParamState is the parameter of an answer that says whose attempt it is of (RFC 6749 §4.1.2).
const ParamState = "state"

// Callback is the answer of an identity provider, come through the browser.
type Callback struct {
	DecisionID string
	Peer       netip.Addr
	Browser    Browser
	Upstream   string // by the path that it came to
	Params     url.Values
}

// Logout is a request to sign out (OpenID Connect RP-Initiated Logout 1.0 §2), or the person's own.
type Logout struct {
	DecisionID                                          string
	Peer                                                netip.Addr
	Browser                                             Browser
	IDTokenHint, ClientID, PostLogoutRedirectURI, State string
	Confirmed                                           bool // by the person, on our own page
}

// UserInfo is a request for what is known of a person. Its time is set here.
type UserInfo struct {
	DecisionID string
	Peer       netip.Addr
	userinfo.Request
}

// Answer is what the browser gets: cookies, and exactly one of Redirect, Reply, Choose, Failure, SignOut and Location.
type Answer struct {
	DecisionID string
	Attempt    *SetAttempt // nil: no cookie of an attempt changes
	Session    *string     // the new cookie; "" clears it, nil leaves it
	Redirect   string      // to the identity provider
	Reply      *Reply
	Choose     *Choice
	Failure    *Failure
	SignOut    *SignOut
	Location   string // where the app wants the person after signing out
}

// SetAttempt changes the cookies of attempts.
type SetAttempt struct {
	ID, Value string   // "": none is set
	CrossSite bool     // has to come back with a POST from another site
	Drop      []string // ids to clear
}

// Reply is an authorization response: it always has `iss` (RFC 9207).
type Reply struct {
	RedirectURI string
	Params      [][2]string
	FormPost    bool
}

// Choice is the chooser: the request's own parameters and, for each upstream, idp_hint=NAME with them.
type Choice struct {
	ClientID  string
	Upstreams []Option
	Params    [][2]string
	Email     string // as typed
	Problem   string // "", or ProblemDomain
}

// ProblemDomain: no upstream claims the domain that was typed.
const ProblemDomain = "domain"

// Option is one upstream on the chooser.
type Option struct{ Name, Display string }

// Failure is a page that says what went wrong and what to do.
type Failure struct {
	Kind               FailureKind
	Status             int         // HTTP's
	RetryAfter         int         // seconds; 0: none
	ClientID, Upstream string      // to be shown; "" where not known
	Back               *Reply      // nil: no way back is proven
	Retry              [][2]string // parameters of an authorization request that begins again; nil: none
}

// SignOut is the page of signing out: a question, or the last word.
type SignOut struct {
	Ask      bool
	ClientID string // who sent the person here, if that is proven
}

// FailureKind is what a failure page is about. The set is closed.
type FailureKind string

// The kinds.
const (
	FailureUnknownClient       FailureKind = "unknown_client"
	FailureRedirect            FailureKind = "redirect"
	FailureRequest             FailureKind = "request"
	FailureExpired             FailureKind = "expired"              // the attempt is too old, or spent, or pushed out by newer ones
	FailureOtherBrowser        FailureKind = "other_browser"        // this browser has no such attempt
	FailureWrongUpstream       FailureKind = "wrong_upstream"       // another upstream answered than was asked
	FailureDenied              FailureKind = "denied"               // the identity provider said no
	FailureUpstreamUnavailable FailureKind = "upstream_unavailable" // down or slow
	FailureUpstreamAnswer      FailureKind = "upstream_answer"      // answered what is none
	FailureNotAdmitted         FailureKind = "not_admitted"         // signed in there, not admitted here
	FailureTooMany             FailureKind = "too_many"
	FailureUnavailable         FailureKind = "unavailable"
	FailureServerError         FailureKind = "server_error"
)
