package policy

import (
	"time"

	"fedbroker/broker/oauth"
	"fedbroker/broker/revoke"
	"fedbroker/broker/rules"
)

// Authority is what one token may say. Only Combine makes one; minting takes nothing else. What its getters return is not to be written.
type Authority struct {
	subject, client, rule   string
	audiences, scopes       []string
	issued, expires, origin time.Time
	authTime                time.Time
	acr                     string
	amr                     []string
	claims                  map[string]any
	upstream                UpstreamRef
	lin                     revoke.Lineage
	parents                 []string
	tokenType               string
	once                    Spend
	id                      *IDToken
	act                     *rules.Actor
	actFrom                 string
	key                     string
	audits                  []string
	jag                     *IDJAG
}

// UpstreamRef is the claim `upstream`; a zero Name is none.
type UpstreamRef struct{ Name, Issuer, Subject string }

// Spend is a one-shot value: (Upstream, Issuer, JTI) until Until. Upstream is "" for a token of our own.
type Spend struct {
	Upstream, Issuer, JTI string
	Until                 time.Time
}

// IsZero tells that nothing made this Authority: it authorises nothing.
func (a Authority) IsZero() bool { return a.subject == "" }

// Subject is `sub`.
func (a Authority) Subject() string { return a.subject }

// ClientID is `client_id`: the requester, or anonymous:<rule id>.
func (a Authority) ClientID() string { return a.client }

// RuleID is the rule that decided; "" for a client's own authority.
func (a Authority) RuleID() string { return a.rule }

// Audiences is `aud`, at least one.
func (a Authority) Audiences() []string { return a.audiences }

// Scopes is the granted scope, in order, each once.
func (a Authority) Scopes() []string { return a.scopes }

// Scope is Scopes as the wire has it.
func (a Authority) Scope() string { return oauth.JoinScope(a.scopes) }

// IssuedAt is `iat`, in whole seconds.
func (a Authority) IssuedAt() time.Time { return a.issued }

// Expires is `exp`, in whole seconds.
func (a Authority) Expires() time.Time { return a.expires }

// OriginExpires is `origin_exp`: the exp of the chain's first own token.
func (a Authority) OriginExpires() time.Time { return a.origin }

// AuthTime is `auth_time`; zero if the subject has none.
func (a Authority) AuthTime() time.Time { return a.authTime }

// ACR is `acr`, "" if the subject has none.
func (a Authority) ACR() string { return a.acr }

// AMR is `amr`.
func (a Authority) AMR() []string { return a.amr }

// Claims are the released claims; none is reserved.
func (a Authority) Claims() map[string]any { return a.claims }

// Upstream is the claim `upstream` as this client may see it.
func (a Authority) Upstream() UpstreamRef { return a.upstream }

// Lineage is what a revocation can name of the token beside its own jti, kid, sub and upstream.
func (a Authority) Lineage() revoke.Lineage { return a.lin }

// Parents are the ids of the tokens that this one is made from.
func (a Authority) Parents() []string { return a.parents }

// IssuedType is `issued_token_type`, a token type identifier; "" where the answer has none.
func (a Authority) IssuedType() string { return a.tokenType }

// Act is who acts for the subject, and for whom they did; nil under impersonation (P19, P20).
func (a Authority) Act() *rules.Actor { return a.act }

// ActFrom is the upstream whose token named the current actor; "" for one of ours, and under impersonation.
func (a Authority) ActFrom() string { return a.actFrom }

// Confirmed is the thumbprint of the key that the token is bound to, `cnf.jkt` (RFC 9449 §6.1); "" for a bearer token.
func (a Authority) Confirmed() string { return a.key }

// Audits are the rules in mode audit that would have decided in place of RuleID.
func (a Authority) Audits() []string { return a.audits }

// Spend is what has to be spent before the token is minted, if anything.
func (a Authority) Spend() (Spend, bool) { return a.once, a.once.JTI != "" }

// WithoutType is the same Authority for a grant whose answers name no issued_token_type.
func (a Authority) WithoutType() Authority {
	a.tokenType = ""
	return a
}
