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
	Delegated                                 bool         // carries act or may_act
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
