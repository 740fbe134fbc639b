// Package event holds the one Event of the broker. A log line, a metric and a line of the journal are renderings of it, so that
// the three can never tell different stories. All names of metrics are in this package.
package event

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/store/journal"
)

// Kind is what happened. The set is closed.
type Kind string

// The kinds.
const (
	KindRequest         Kind = "request"          // one that no endpoint took: a wrong method, an address that is none
	KindToken           Kind = "token"            // a request to the token endpoint
	KindIntrospection   Kind = "introspection"    // RFC 7662
	KindRevocation      Kind = "revocation"       // RFC 7009, by a client
	KindLogin           Kind = "login"            // an authorization request, and what came of it: a grant to a client
	KindLogout          Kind = "logout"           // RP-initiated logout, or a person's own
	KindUserInfo        Kind = "userinfo"         // OpenID Connect Core §5.3
	KindSessionEnd      Kind = "session_end"      // sessions ended by an operator
	KindOperatorRevoke  Kind = "operator_revoke"  // a revocation by an operator
	KindKeyRotation     Kind = "key_rotation"     // signing keys rotated by an operator
	KindKeyCompromise   Kind = "key_compromise"   // a signing key withdrawn by an operator
	KindUpstreamBinding Kind = "upstream_binding" // an upstream's name bound to an issuer (P1)
	KindUpstreamPin     Kind = "upstream_pin"     // an upstream's key pinned by an operator, until Expires, or its pin lifted
	KindUpstreamRefresh Kind = "upstream_refresh" // an upstream's keys fetched for an operator
	KindUpstreamKeys    Kind = "upstream_keys"    // an upstream's key set has changed; the target is the head of its history
	KindUpstreamClaims  Kind = "upstream_claims"  // the claims of an upstream's tokens changed their shape; the target is how
	KindUpstreamAccept  Kind = "upstream_accept"  // the shape that they have now accepted by an operator
	KindUpstreamAlarm   Kind = "upstream_alarm"   // what an operator must know of an upstream before tokens are refused
	KindUpstreamBreaker Kind = "upstream_breaker" // an endpoint of an upstream is not asked any more, or asked again; the target is which
	KindConfigReload    Kind = "config_reload"    // a new configuration applied, or refused and the one before kept
	KindConfigRead      Kind = "config_read"      // one that was applied once, read by an operator with all that it holds
	KindConfigRollback  Kind = "config_rollback"  // one that was applied once, put back in its place by an operator
)

// Outcome is how it ended.
type Outcome string

// The outcomes. A refusal that is not the caller's fault (5xx) is an error.
const (
	OutcomeDone   Outcome = "done" // issued, answered, carried out
	OutcomeDenied Outcome = "denied"
	OutcomeError  Outcome = "error"

	OutcomeRaised  Outcome = "raised" // of an alarm; of a breaker: it opened
	OutcomeCleared Outcome = "cleared"
)

// Event is what the operator learns of one request or act. It holds names and fingerprints, never a token, a secret or claims.
type Event struct {
	Kind       Kind
	Outcome    Outcome
	DecisionID string
	Grant      string // configured name of the grant type; "" if the request named none that exists
	Code       oauth.Code
	Reason     oauth.Reason
	ClientID   string // authenticated, or anonymous:<rule id>; "" before
	Known      bool   // a client has authenticated: from here on a refusal is worth a line of the journal (P26)
	Upstream   string
	Issuer     string // of an upstream that stands for many: which one, for the log alone
	Rule       string
	Audits     []string          // ids of the audit-mode rules that would have decided
	Subject    journal.Subject   // of the issued token, as the journal may hold it (P48)
	Actors     []journal.Subject // of the act chain, the current actor first (RFC 8693 §4.1)
	ActorFrom  string            // upstream of the current actor; "" for a token of ours
	Audiences  []string
	Scopes     []string
	TokenType  string   // issued type, short: access_token, jwt, id_token, id_jag
	Bound      bool     // to a key that its holder proves (RFC 7800 §3.1)
	TokenID    string   // jti of what was issued or revoked; of a login, its grant
	IDTokenID  string   // jti of the ID token that was issued beside it
	SessionID  string   // sid of the person's session
	KeyID      string   // that signed it
	Claims     []string // names of claims whose shape changed
	Parents    []string // token ids of the subject and the actor: with TokenID, the edge of the lineage
	Issued     time.Time
	Expires    time.Time
	Target     Target // of an operator's act
	Peer       netip.Addr
	Duration   time.Duration
	Err        error // the private cause, for the log alone
}

// Target is what an operator's act was about.
type Target struct {
	Kind string // token, client, kid, upstream …
	ID   string // "" for a subject: that is in Event.Subject
}

// Refuse makes e the event of a refusal.
func (e *Event) Refuse(refusal *oauth.Error) {
	e.Code, e.Reason, e.Err = refusal.Code, refusal.Reason, refusal.Unwrap()
	e.Outcome = OutcomeDenied
	if refusal.HTTPStatus() >= http.StatusInternalServerError {
		e.Outcome = OutcomeError
	}
}

// PanicError is what a log may say of a recovered panic: the runtime's own words, but of any other value only its type, since it
// may hold what a request brought.
func PanicError(recovered any) error {
	if err, ok := recovered.(runtime.Error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic with a %T", recovered)
}

// Keys of log attributes: the one list.
const (
	AttrKind       = "kind"
	AttrOutcome    = "outcome"
	AttrDecisionID = "decision_id"
	AttrGrant      = "grant"
	AttrCode       = "code"
	AttrReason     = "reason"
	AttrClientID   = "client_id"
	AttrUpstream   = "upstream"
	AttrIssuer     = "issuer" // of an upstream that stands for many
	AttrRule       = "rule"
	AttrAudits     = "audit_rules"
	AttrSubject    = "subject_mac"
	AttrActors     = "actor_macs"
	AttrActorFrom  = "actor_upstream"
	AttrAudiences  = "audiences"
	AttrScopes     = "scopes"
	AttrTokenType  = "token_type"
	AttrBound      = "cnf"
	AttrTokenID    = "jti"
	AttrIDTokenID  = "id_token_jti"
	AttrSession    = "sid"
	AttrKeyID      = "kid"
	AttrParents    = "parents"
	AttrClaims     = "claims"
	AttrExpires    = "expires"
	AttrTarget     = "target"
	AttrTargetKind = "target_kind"
	AttrPeer       = "peer"
	AttrDuration   = "duration_seconds"
	AttrError      = "error"
	AttrRoute      = "route"
	AttrStatus     = "status"
	AttrStack      = "stack"
	AttrAddress    = "address"
	AttrDetail     = "detail"
	AttrState      = "state"
	AttrChanges    = "changes"
	AttrMore       = "more"
)

// Level is how loud the event is logged: an answered look is not worth a line at the default level.
func (e *Event) Level() slog.Level {
	switch {
	case e.Outcome == OutcomeError:
		return slog.LevelError
	case e.Outcome == OutcomeDenied || e.Outcome == OutcomeRaised:
		return slog.LevelWarn
	case e.Kind == KindIntrospection || e.Kind == KindUserInfo:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// Message is the constant text of the event's log line.
func (e *Event) Message() string {
	switch e.Kind {
	case KindRequest:
		return "request"
	case KindToken:
		return "token request"
	case KindIntrospection:
		return "introspection"
	case KindRevocation:
		return "revocation"
	case KindLogin:
		return "login"
	case KindLogout:
		return "logout"
	case KindUserInfo:
		return "userinfo"
	case KindUpstreamKeys:
		return "upstream keys changed"
	case KindUpstreamClaims:
		return "claims of upstream changed"
	case KindUpstreamAlarm:
		return "upstream alarm"
	case KindUpstreamBreaker:
		return "breaker of upstream"
	case KindConfigReload:
		return "configuration reload"
	default:
		return "operator act"
	}
}

// Attrs are the attributes of the event's log line; what is absent is left out.
func (e *Event) Attrs() []slog.Attr {
	a := make([]slog.Attr, 0, 32)
	text := func(key, value string) {
		if value != "" {
			a = append(a, slog.String(key, value))
		}
	}
	list := func(key string, values []string) {
		if len(values) > 0 {
			a = append(a, slog.Any(key, values))
		}
	}
	text(AttrKind, string(e.Kind))
	text(AttrOutcome, string(e.Outcome))
	text(AttrDecisionID, e.DecisionID)
	text(AttrGrant, e.Grant)
	text(AttrCode, string(e.Code))
	text(AttrReason, string(e.Reason))
	text(AttrClientID, e.ClientID)
	text(AttrUpstream, e.Upstream)
	text(AttrIssuer, e.Issuer)
	text(AttrRule, e.Rule)
	list(AttrAudits, e.Audits)
	text(AttrSubject, e.Subject.MAC)
	if len(e.Actors) > 0 {
		macs := make([]string, len(e.Actors))
		for i, actor := range e.Actors {
			macs[i] = actor.MAC
		}
		list(AttrActors, macs)
	}
	text(AttrActorFrom, e.ActorFrom)
	list(AttrAudiences, e.Audiences)
	list(AttrScopes, e.Scopes)
	text(AttrTokenType, e.TokenType)
	if e.Bound {
		a = append(a, slog.Bool(AttrBound, true))
	}
	text(AttrTokenID, e.TokenID)
	text(AttrIDTokenID, e.IDTokenID)
	text(AttrSession, e.SessionID)
	text(AttrKeyID, e.KeyID)
	list(AttrParents, e.Parents)
	list(AttrClaims, e.Claims)
	if !e.Expires.IsZero() {
		a = append(a, slog.Int64(AttrExpires, e.Expires.Unix()))
	}
	text(AttrTargetKind, e.Target.Kind)
	text(AttrTarget, e.Target.ID)
	if e.Peer.IsValid() {
		a = append(a, slog.String(AttrPeer, e.Peer.String()))
	}
	if e.Duration > 0 {
		a = append(a, slog.Float64(AttrDuration, e.Duration.Seconds()))
	}
	if e.Err != nil {
		a = append(a, slog.String(AttrError, e.Err.Error()))
	}
	return a
}
