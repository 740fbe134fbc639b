// Package saml is this broker as a service provider of SAML 2.0: it sends people to an identity provider (Web Browser SSO, SAML Profiles §4.1:
// request by redirect, response by POST), and judges what comes back. It is experimental.
//
// It is strict where SAML is wide. The assertion itself is signed, with RSA and SHA-2 over an exclusively canonical form; nothing is read but
// from the bytes that the signature covers; the whole document is held to one shape first, in which there is nowhere to put a second
// assertion. Encrypted assertions, artifacts, logins that the identity provider begins, and single logout are not served.
//
// Signatures are goxmldsig's to verify. crewjam/saml writes the request; its ParseXMLResponse is not used: it takes an unsigned assertion in a signed
// response, the first of several, values from what was parsed rather than from what was verified, and its clock is a variable of the
// package.
package saml

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"

	"github.com/beevik/etree"

	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/verify"
)

// Namespaces, and what is looked for in them.
const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature = "http://www.w3.org/2000/09/xmldsig#"

	tagResponse  = "Response"
	tagAssertion = "Assertion"
	tagSignature = "Signature"
	tagIssuer    = "Issuer"
	tagStatus    = "Status"
	attrID       = "ID"

	version = "2.0"
)

// Identifiers of SAML Core §8.3 and SAML Bindings, Profiles.
const (
	FormatPersistent = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	formatEntity     = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"
	methodBearer     = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	bindingPOST      = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	statusSuccess    = "urn:oasis:names:tc:SAML:2.0:status:Success"
)

// The parameters of SAML Bindings §3.4, §3.5.
const (
	ParamRequest    = "SAMLRequest"
	ParamResponse   = "SAMLResponse"
	ParamRelayState = "RelayState"
	paramState      = "state" // what RelayState is called here
)

// Provider is one identity provider, as this broker knows it. Its LoginAudience is our entity id.
type Provider struct {
	*verify.Verifier
	SSOURL         string // where people are sent, by redirect
	ACS            string // where they come back to: the assertion consumer service
	TokenEndpoint  string // Recipient of assertions that are exchanged (RFC 7522 §3)
	PrivateKeyFile string // signs requests; empty: they are unsigned
}

// Finish judges a response to one attempt: the parameters that came by POST. Errors are *verify.Error and wrap ErrDenied, ErrUnavailable or ErrInvalid.
func (p Provider) Finish(ctx context.Context, a rp.Attempt, params url.Values) (verify.Identity, error) {
	if a.State == "" || a.Nonce == "" || subtle.ConstantTimeCompare([]byte(params.Get(paramState)), []byte(a.State)) != 1 {
		return verify.Identity{}, p.Refuse(verify.ReasonResponse, errors.New("RelayState is not the attempt's"))
	}
	if len(params[ParamResponse]) != 1 {
		return verify.Identity{}, p.Refuse(verify.ReasonResponse, errors.New("not one SAMLResponse"))
	}
	data, err := decode(base64.StdEncoding, params.Get(ParamResponse))
	if err != nil {
		return verify.Identity{}, p.Refuse(verify.ReasonNonsense, err)
	}
	root, err := parse(data)
	if err != nil {
		return verify.Identity{}, p.Refuse(verify.ReasonNonsense, err)
	}
	assertion, err := p.response(root, a)
	if err != nil {
		return verify.Identity{}, err
	}
	want := verify.Want{Purpose: verify.PurposeLogin, Nonce: requestID(a), Now: p.Now()}
	if a.Now.After(want.Now) {
		want.Now = a.Now
	}
	if len(children(root, nsSignature, tagSignature)) > 0 { // it proves nothing that is needed, but a false one is a reason to look no further
		if _, err := p.verified(ctx, root); err != nil {
			return verify.Identity{}, err
		}
	}
	return p.prove(ctx, assertion, want)
}

// prove judges an assertion for reasons that need no key, verifies its signature, and judges again what that covers: the first judgement only refuses, so
// that an outage hides nothing; what is believed comes of the second.
func (p Provider) prove(ctx context.Context, assertion *etree.Element, want verify.Want) (verify.Identity, error) {
	if _, err := p.judge(assertion, want); err != nil {
		return verify.Identity{}, err
	}
	proof, err := p.verified(ctx, assertion)
	if err != nil {
		return verify.Identity{}, err
	}
	id, err := p.judge(proof.root, want)
	if err != nil {
		return verify.Identity{}, err
	}
	id.KeyID, id.TokenID = proof.key.ID, proof.id
	return id, nil
}

// response finds the one assertion of a response to the attempt (SAML Core §3.2.2, SAML Profiles §4.1.4.2).
func (p Provider) response(root *etree.Element, a rp.Attempt) (*etree.Element, error) {
	refuse := func(reason verify.Reason, format string, args ...any) (*etree.Element, error) {
		return nil, p.Refuse(reason, fmt.Errorf(format, args...))
	}
	switch {
	case !is(root, nsProtocol, tagResponse) || attr(root, "Version") != version:
		return refuse(verify.ReasonNonsense, "not a response of SAML 2.0")
	case attr(root, "InResponseTo") != requestID(a): // absent: the identity provider began this by itself
		return refuse(verify.ReasonResponse, "InResponseTo is not the attempt's request")
	case attr(root, "Destination") != p.ACS:
		return refuse(verify.ReasonResponse, "Destination is not this address")
	}
	if issuers := children(root, nsAssertion, tagIssuer); len(issuers) > 1 || len(issuers) == 1 && !p.isIssuer(issuers[0]) {
		return refuse(verify.ReasonIssuer, "Issuer of the response is not the upstream's")
	}
	status, err := only(root, nsProtocol, tagStatus)
	if err != nil {
		return nil, p.Refuse(verify.ReasonNonsense, err)
	}
	if err := p.status(status); err != nil {
		return nil, err
	}
	for _, child := range root.ChildElements() {
		switch {
		case is(child, nsAssertion, tagIssuer), is(child, nsSignature, tagSignature), is(child, nsProtocol, tagStatus), is(child, nsAssertion, tagAssertion):
		default: // Extensions, too: nothing that is understood can be in them
			return refuse(verify.ReasonNonsense, "an element in Response that is not served")
		}
	}
	assertion, err := only(root, nsAssertion, tagAssertion)
	if err != nil {
		return nil, p.Refuse(verify.ReasonNonsense, err)
	}
	return assertion, nil
}

// denials are the status codes that say why nobody was signed in, as error codes are written here (SAML Core §3.2.2.2).
var denials = map[string]string{
	"urn:oasis:names:tc:SAML:2.0:status:AuthnFailed":         "authn_failed",
	"urn:oasis:names:tc:SAML:2.0:status:InvalidNameIDPolicy": "invalid_name_id_policy",
	"urn:oasis:names:tc:SAML:2.0:status:NoAuthnContext":      "no_authn_context",
	"urn:oasis:names:tc:SAML:2.0:status:NoPassive":           "no_passive",
	"urn:oasis:names:tc:SAML:2.0:status:RequestDenied":       "request_denied",
	"urn:oasis:names:tc:SAML:2.0:status:RequestUnsupported":  "request_unsupported",
	"urn:oasis:names:tc:SAML:2.0:status:UnknownPrincipal":    "unknown_principal",
}

// status refuses a response that signs nobody in. Such a one need not be signed: it is believed no more than that.
func (p Provider) status(status *etree.Element) error {
	code, err := only(status, nsProtocol, "StatusCode")
	if err != nil {
		return p.Refuse(verify.ReasonNonsense, err)
	}
	if attr(code, "Value") == statusSuccess {
		return nil
	}
	denied := p.Refuse(verify.ReasonDenied, errors.New("the status is not success"))
	for _, more := range children(code, nsProtocol, "StatusCode") {
		denied.Code = denials[attr(more, "Value")]
	}
	return denied
}

// isIssuer says whether an Issuer is the upstream's entity id.
func (p Provider) isIssuer(e *etree.Element) bool {
	name, err := text(e)
	format := attr(e, "Format")
	return err == nil && name == p.Issuer && (format == "" || format == formatEntity)
}

// decode is strict base64 of a bounded document: without line breaks, which Go's decoders pass over.
func decode(encoding *base64.Encoding, s string) ([]byte, error) {
	if len(s) > encoding.EncodedLen(maxDocument) {
		return nil, fmt.Errorf("longer than %d bytes", maxDocument)
	}
	for i := range len(s) {
		if s[i] <= ' ' {
			return nil, errors.New("white space in base64")
		}
	}
	data, err := encoding.Strict().DecodeString(s)
	if err != nil {
		return nil, errors.New("not base64") // its error tells of the input
	}
	return data, nil
}

// requestID names the attempt's request. An answer to it can be used as often as the attempt: once (P30).
func requestID(a rp.Attempt) string {
	sum := sha256.Sum256([]byte("saml request\x00" + a.Nonce))
	return "_" + base64.RawURLEncoding.EncodeToString(sum[:])
}
