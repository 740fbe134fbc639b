package rules

import (
	"fmt"
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
)

// MinLife is the least that may be left of a subject, and of a result: less is of no use to anyone.
const MinLife = 5 * time.Second

// Subject is a verified subject token: of an upstream, after mapping, or one of our own.
type Subject struct {
	Own                                       bool
	Upstream, UpstreamIssuer, UpstreamSubject string         // of an own token: what it says of its upstream, if anything
	Sub                                       string         // the broker's subject
	ClientID                                  string         // own: whom it was issued to
	Issuer                                    string         // who signed it
	Claims, Principal                         map[string]any // as CEL sees them; of an own token both are its claims
	Made                                      []string       // claims that leave where the rule names none
	Scopes                                    []string       // own
	Audiences                                 []string
	IssuedAt, Expires, OriginExpires          time.Time // OriginExpires: own
	AuthTime                                  time.Time // zero: unknown
	ACR                                       string
	AMR                                       []string
	JTI                                       string       // "" if it has none
	Facts                                     revoke.Facts // all that a revocation can name of it
	IDToken                                   bool         // own, and an ID token: it yields an ID-JAG alone
	Scoped                                    bool         // not own, and Scopes bound the result all the same: an ID-JAG's
	Once                                      bool         // single use, whatever the rule says
	Resources                                 []string     // of an ID-JAG: audiences within it alone; nil: any
	Confirmed                                 string       // thumbprint of the key that it is bound to (cnf.jkt); "" for a bearer token
	Proven                                    bool         // the requester proved to have that key
	Act                                       *Actor       // who acts for it, and for whom they did; nil: nobody
	MayAct                                    *MayAct      // who may; nil: it does not say
}

// Actor is one link of a chain of actors (RFC 8693 §4.1): the current one is the outermost. Its iss is always ours.
type Actor struct {
	Subject  string // by P2 or P3
	ClientID string // "" if it was no token of ours
	Act      *Actor // for whom this one acts
}

// Depth is how long the chain is.
func (a *Actor) Depth() int {
	n := 0
	for ; a != nil; a = a.Act {
		n++
	}
	return n
}

// MayAct is the claim may_act (RFC 8693 §4.4): "" where a member is absent. Members that are not known are refused by whoever reads it.
type MayAct struct{ Issuer, Subject, ClientID string }

// allows tells whether every member equals what is there (P20): iss and sub the actor token's, client_id the requester. A missing iss is that of the
// token that carries the claim. A claim that names nobody allows nobody.
func (m MayAct) allows(carrier, actor *Subject, q *oauth.Requester) bool {
	if m.Subject == "" && m.ClientID == "" || m.ClientID != "" && (q.Anonymous || m.ClientID != q.ClientID) {
		return false
	}
	if m.Subject == "" && m.Issuer == "" { // it names the requester alone
		return true
	}
	issuer, sub := m.Issuer, actor.Sub
	if issuer == "" {
		issuer = carrier.Issuer
	}
	if !actor.Own {
		sub = actor.UpstreamSubject
	}
	if !actor.Own && issuer == carrier.Issuer && actor.Upstream != carrier.Upstream { // two clusters can share one issuer string
		return false
	}
	return issuer == actor.Issuer && (m.Subject == "" || m.Subject == sub)
}

// Fresh refuses a subject that is past its exp, also inside a leeway, or has too little life left to pass on. The error is an
// invalid_request.
func (s *Subject) Fresh(now time.Time) error {
	end := s.Expires
	if s.Own && !s.OriginExpires.IsZero() && s.OriginExpires.Before(end) {
		end = s.OriginExpires
	}
	if left := end.Sub(now); left < MinLife {
		return oauth.Deny(oauth.CodeInvalidRequest, oauth.ReasonTokenTime).Because(fmt.Errorf("subject has %v left, want at least %v", left, MinLife))
	}
	return nil
}
