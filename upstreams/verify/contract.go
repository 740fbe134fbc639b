// Package verify judges the tokens of one upstream: first all that needs no key, then the signature, so that an outage at the upstream never
// hides what is wrong with a token by itself. What it proves is an Identity.
package verify

import (
	"time"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/spec"
)

// Purpose is what a token is presented for. The audiences of one purpose are never those of another.
type Purpose uint8

// The purposes. The zero value is none, and refused.
const (
	_               Purpose = iota
	PurposeExchange         // subject token of an exchange or a grant by assertion
	PurposeLogin            // ID token at the end of a login attempt
	PurposeActor            // actor token of an exchange
	PurposeClient           // a workload's token as client credential
	PurposeGrant            // assertion of the JWT authorization grant (RFC 7523 §2.1), an ID-JAG among them
	PurposeRefresh          // ID token that came with a refresh of a login (OpenID Connect Core §12.2)
)

// Want says what a token must be good for.
type Want struct {
	Purpose        Purpose
	Requester      string          // client id of the requester; empty for an anonymous one, to whom no bound audience is open
	Nonce          string          // PurposeLogin, PurposeRefresh: the attempt's nonce, required
	ClientAudience string          // PurposeClient: the one audience that the token must have, required
	MaxAge         time.Duration   // if positive, how long ago the token may have been issued
	Now            time.Time       // zero: the set's clock
	Claims         *jose.Selection // claims that Identity.Claims holds; nil for all
}

// Identity is what a verified token says, before any mapping.
type Identity struct {
	Upstream        string         // configured name
	Issuer          string         // iss
	Subject         string         // the upstream's subject, by upstreams[].subject
	BrokerSubject   string         // our sub for it
	Claims          map[string]any // the selected claims; the caller's own
	Audience        string         // the value of aud that admitted the token
	Audiences       []string       // all of aud
	AuthorizedParty string         // azp; empty when absent
	TokenID         string         // names the token in lineage, whether or not it has a jti
	JTI             string         // jti; empty when absent
	SessionID       string         // of a login: sid, the upstream's own name of its session; empty when absent
	KeyID           string         // id of the key that verified the signature
	IssuedAt        time.Time
	Expires         time.Time
	NotBefore       time.Time // zero when absent
	AuthTime        time.Time // zero when absent
	ACR             string    // mapped by acr_map; empty when absent or unmapped
	AMR             []string  // mapped by amr_map, without duplicates; unmapped values are left out
	Class           jose.Class
	Typ             string // normalised typ, empty when absent
	HasActor        bool   // the token has act
	HasMayAct       bool   // the token has may_act

	Actors    []string       // broker subjects of the token's chain of actors (act), the current one first; nil: none
	MayAct    map[string]any // members of may_act, as they are; nil: none
	Confirmed string         // cnf.jkt, the thumbprint of the key that the token is bound to; "" for none
	ClientID  string         // of an ID-JAG: client_id, whom it is for
	Scopes    []string       // of an ID-JAG: scope
	Resources []string       // of an ID-JAG: resource; nil: none

	Renewal spec.Secret // of a login at an upstream with refresh: its refresh token, by which the person can be asked about again; "" elsewhere
}
