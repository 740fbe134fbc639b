package token

import (
	"errors"

	"fedbroker/broker/policy"
)

// typIDJAG is the typ of an ID-JAG (draft-ietf-oauth-identity-assertion-authz-grant).
const typIDJAG = "oauth-id-jag+jwt"

// appendIDJAG writes who a person is for an authorization server of another domain. The list of claims is closed: none that a mapper made, none
// that says what is ours alone (P23).
func appendIDJAG(dst []byte, issuer string, t *Minted, a *policy.Authority) ([]byte, error) {
	jag, ok := a.IDJAG()
	if aud := a.Audiences(); !ok || len(aud) != 1 {
		return nil, errors.New("an ID-JAG is for exactly one audience")
	}
	o := object{buf: dst}
	o.string("iss", issuer)
	o.string("sub", a.Subject())
	o.string("aud", a.Audiences()[0])
	o.string("client_id", jag.ClientID)
	o.string("jti", t.JTI)
	o.seconds("exp", t.Expires)
	o.seconds("iat", t.IssuedAt)
	o.optional("scope", a.Scope())
	o.oneOrMany("resource", jag.Resources)
	o.seconds("auth_time", a.AuthTime())
	o.optional("acr", a.ACR())
	if amr := a.AMR(); len(amr) > 0 {
		o.strings("amr", amr)
	}
	o.confirmed(a.Confirmed())
	return o.end()
}
