package saml

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/beevik/etree"
	"github.com/go-json-experiment/json"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/subject"
	"fedbroker/upstreams/verify"
)

// protocolClaims are what attributes must not be called: conditions and mappers would take them for what the protocol proves.
var protocolClaims = []string{
	"acr", "act", "amr", "at_hash", "aud", "auth_time", "azp", "client_id", "cnf", "events", "exp", "iat", "iss", "jti", "may_act", "nbf", "nonce", "scope", "sid", "sub",
}

// judgement is one assertion on its way through the steps.
type judgement struct {
	Provider
	*content
	want     verify.Want
	identity verify.Identity
}

// steps are what an assertion is held to, in order.
var steps = [...]func(*judgement) error{
	(*judgement).isOurUpstream, (*judgement).meant, (*judgement).times, (*judgement).confirmation, (*judgement).authentication, (*judgement).nameID, (*judgement).claims,
}

// judge says what an assertion proves, if its signature is good.
func (p Provider) judge(e *etree.Element, want verify.Want) (verify.Identity, error) {
	c, err := read(e)
	if err != nil {
		return verify.Identity{}, p.Refuse(verify.ReasonNonsense, err)
	}
	j := judgement{Provider: p, content: c, want: want}
	for _, step := range steps {
		if err := step(&j); err != nil {
			return verify.Identity{}, err
		}
	}
	return j.identity, nil
}

func (j *judgement) refused(reason verify.Reason, format string, args ...any) error {
	return j.Refuse(reason, fmt.Errorf(format, args...))
}

func (j *judgement) isOurUpstream() error {
	if j.issuer == "" || j.issuer != j.Issuer {
		return j.refused(verify.ReasonIssuer, "Issuer is not the upstream's")
	}
	j.identity.Upstream, j.identity.Issuer, j.identity.JTI = j.Upstream, j.issuer, j.id
	return nil
}

// meant wants the assertion for one purpose (P11): of a login the only audience is our entity id.
func (j *judgement) meant() error {
	if j.want.Purpose == verify.PurposeExchange || j.want.Purpose == verify.PurposeActor {
		return j.exchanged()
	}
	if j.want.Purpose != verify.PurposeLogin || j.LoginAudience == "" {
		return j.refused(verify.ReasonPurpose, "no login attempt at this upstream")
	}
	if len(j.audience) != 1 || j.audience[0] != j.LoginAudience {
		return j.refused(verify.ReasonAudience, "Audience is not exactly our entity id")
	}
	j.identity.Audience, j.identity.Audiences = j.audience[0], j.audience
	return nil
}

// times judges validity with the same leeway on both sides (P12). The soonest end is the assertion's.
func (j *judgement) times() error {
	now := j.want.Now
	j.identity.IssuedAt, j.identity.NotBefore, j.identity.Expires = j.issued, j.notBefore, j.confirmed.notOnOrAfter
	ends := []time.Time{j.notOnOrAfter}
	if j.authn != nil {
		ends = append(ends, j.authn.ends)
	}
	for _, end := range ends {
		if !end.IsZero() && end.Before(j.identity.Expires) {
			j.identity.Expires = end
		}
	}
	switch {
	case !now.Before(j.identity.Expires.Add(j.Leeway)):
		return j.refused(verify.ReasonTime, "expired")
	case now.Before(j.issued.Add(-j.Leeway)):
		return j.refused(verify.ReasonTime, "issued in the future")
	case now.Before(j.notBefore.Add(-j.Leeway)):
		return j.refused(verify.ReasonTime, "not yet valid")
	case j.authn != nil && now.Before(j.authn.at.Add(-j.Leeway)):
		return j.refused(verify.ReasonTime, "authenticated in the future")
	case j.want.MaxAge > 0 && now.After(j.issued.Add(j.want.MaxAge+j.Leeway)):
		return j.refused(verify.ReasonTime, "issued too long ago")
	}
	return nil
}

// confirmation wants the assertion to be brought here; at a login in answer to this attempt's request.
func (j *judgement) confirmation() error {
	switch {
	case j.want.Purpose != verify.PurposeLogin:
		return j.brought()
	case j.confirmed.recipient != j.ACS:
		return j.refused(verify.ReasonAudience, "Recipient is not this address")
	case j.want.Nonce == "" || j.confirmed.inResponseTo != j.want.Nonce:
		return j.refused(verify.ReasonNonce, "InResponseTo of the subject confirmation is not the attempt's request")
	}
	return nil
}

// authentication reads what acr and auth_time are, of which only a mapped class counts (P4).
func (j *judgement) authentication() error {
	if j.authn == nil && j.want.Purpose != verify.PurposeLogin { // who issued it need not have seen the person (RFC 7522 §3)
		return nil
	}
	if j.authn == nil {
		return j.refused(verify.ReasonClaim, "no AuthnStatement")
	}
	j.identity.AuthTime, j.identity.ACR = j.authn.at, j.ACR[j.authn.class]
	if len(j.authn.session) <= subject.Longest && spec.Printable(j.authn.session) {
		j.identity.SessionID = j.authn.session
	}
	return nil
}

// claims are the attributes: a string, or a list of them where there are several values; and who said it of whom.
func (j *judgement) claims() error {
	claims := make(map[string]any, len(j.attributes)+2)
	for name, values := range j.attributes {
		if slices.Contains(protocolClaims, name) {
			return j.refused(verify.ReasonClaim, "an attribute is called as a claim of the protocol is")
		}
		if claims[name] = values; len(values) == 1 {
			claims[name] = values[0]
		}
	}
	claims["iss"] = j.issuer
	if n := j.name; n != nil && n.format == FormatPersistent {
		claims[spec.ClaimSubject] = n.value
	}
	written, err := json.Marshal(claims)
	if err != nil {
		return j.refused(verify.ReasonClaim, "attributes are not UTF-8")
	}
	parsed, err := jose.ParseClaims(written)
	if err != nil {
		return j.Refuse(verify.ReasonClaim, err)
	}
	name, err := subject.Of(parsed, j.Subject)
	if err != nil {
		return j.Refuse(verify.ReasonSubject, err)
	}
	j.identity.Subject, j.identity.Claims = name, parsed.Map()
	j.identity.BrokerSubject = subject.Broker(j.Upstream, j.issuer, name, false)
	maps.DeleteFunc(j.identity.Claims, func(name string, _ any) bool { return !j.want.Claims.Holds(name) })
	return nil
}

// nameID judges the NameID where it is the subject: one that never changes and never comes to another (SAML Core §8.3.7), of this identity provider for us. What
// is transient, or an address, names nobody tomorrow.
func (j *judgement) nameID() error {
	if !slices.Contains(j.Subject, spec.ClaimSubject) {
		return nil
	}
	switch n := j.name; {
	case n == nil || n.format != FormatPersistent:
		return j.Refuse(verify.ReasonSubject, errors.New("the NameID is not persistent"))
	case n.qualifier != "" && n.qualifier != j.Issuer, n.spQualifier != "" && n.spQualifier != j.LoginAudience:
		return j.Refuse(verify.ReasonSubject, errors.New("the NameID is qualified by another"))
	}
	return nil
}
