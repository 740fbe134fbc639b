package policy

import (
	"errors"
	"slices"
	"time"

	"fedbroker/broker/oauth"
)

// IDToken is what an ID token says beside what the access token of the same login does, or, of an exchange, beside the Authority (P22).
type IDToken struct {
	Audience  string // a client
	Requester string // azp: the client that it is issued to
	Nonce     string // "" for none
	SessionID string // "" for none
	Alg       string
	Expires   time.Time
	Claims    map[string]any // released; none is reserved
	Exchanged bool           // it is all that is issued: there is no access token beside it
}

// idToken needs the scope, which decides whether a login has one.
func (d Decision) idToken(a *Authority) error {
	switch {
	case d.login != nil && slices.Contains(a.scopes, oauth.ScopeOpenID):
		id := d.login.IDToken
		id.Audience, id.Requester, id.Expires = d.requester.ClientID, d.requester.ClientID, a.issued.Add(d.login.IDTTL)
		a.id = &id
	case d.login == nil && d.tokenType == oauth.TypeIDToken:
		if d.scope != "" {
			return oauth.Deny(oauth.CodeInvalidScope, oauth.ReasonScope).Because(errors.New("an ID token carries no scope"))
		}
		// No nonce, at_hash, c_hash or sid: those belong to a login.
		a.id = &IDToken{Audience: a.audiences[0], Requester: a.client, Alg: d.idClient.IDTokenAlg, Expires: a.expires, Claims: a.claims, Exchanged: true}
	}
	return nil
}

// IDToken is the ID token to issue, if any.
func (a Authority) IDToken() (IDToken, bool) {
	if a.id == nil {
		return IDToken{}, false
	}
	return *a.id, true
}
