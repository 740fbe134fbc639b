// Package samlidp is a small SAML 2.0 identity provider that tests log people in at: it signs what they tell it to, well or badly. It imports no testing.
package samlidp

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// IdP is one identity provider with one key.
type IdP struct {
	EntityID string
	now      func() time.Time
	key      *rsa.PrivateKey
	der      []byte
}

const (
	keyBits = 2048
	life    = 365 * 24 * time.Hour // of a certificate

	maxRequest = 64 << 10
)

// New makes an identity provider with a new key.
func New(entityID string, now func() time.Time) (*IdP, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("identity provider %s: %w", entityID, err)
	}
	p := &IdP{EntityID: entityID, now: now, key: key}
	p.der, err = Certificate(key, now().Add(-time.Hour), now().Add(life))
	return p, err
}

// Certificate is a self-signed one for a key, as identity providers have them.
func Certificate(key *rsa.PrivateKey, from, to time.Time) ([]byte, error) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "signing"}, NotBefore: from, NotAfter: to}
	return x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
}

// PEM is the certificate as files hold it.
func (p *IdP) PEM() []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.der}) }

// Request is an authentication request as it came.
type Request struct {
	ID, Issuer, Destination, ACS, ProtocolBinding, NameIDFormat, RelayState string
	ForceAuthn                                                              bool
	SigAlg, Signature, Signed                                               string // Signed: what the signature is over
}

// Read takes apart the address that a person's browser was sent to (SAML Bindings §3.4.4).
func Read(address string) (Request, error) {
	u, err := url.Parse(address)
	if err != nil {
		return Request{}, err
	}
	q := u.Query()
	deflated, err := base64.StdEncoding.DecodeString(q.Get("SAMLRequest"))
	if err != nil {
		return Request{}, err
	}
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(deflated)), maxRequest))
	if err != nil {
		return Request{}, err
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(text); err != nil {
		return Request{}, err
	}
	root := doc.Root()
	if root == nil || root.Tag != "AuthnRequest" {
		return Request{}, errors.New("not an AuthnRequest")
	}
	value := func(key string) string { return root.SelectAttrValue(key, "") }
	r := Request{
		ID: value("ID"), Destination: value("Destination"), ACS: value("AssertionConsumerServiceURL"), ProtocolBinding: value("ProtocolBinding"),
		ForceAuthn: value("ForceAuthn") == "true", RelayState: q.Get("RelayState"), SigAlg: q.Get("SigAlg"), Signature: q.Get("Signature"),
	}
	if issuer := root.SelectElement("Issuer"); issuer != nil {
		r.Issuer = issuer.Text()
	}
	if policy := root.SelectElement("NameIDPolicy"); policy != nil {
		r.NameIDFormat = policy.SelectAttrValue("Format", "")
	}
	r.Signed, _, _ = strings.Cut(u.RawQuery, "&Signature=")
	return r, nil
}

// Reply is everything that a response says. Times are absent when they are zero, texts when they are empty.
type Reply struct {
	ResponseID, InResponseTo, Destination, ResponseIssuer, Status, SubStatus string

	AssertionID, Issuer, NameID, Format, NameQualifier, SPNameQualifier string
	Method, Recipient, ConfirmedInResponseTo                            string
	Audiences                                                           []string
	SessionIndex, Class                                                 string
	Attributes                                                          [][]string // each a name and its values
	Issued, NotBefore, NotOnOrAfter, ConfirmedUntil, Authenticated      time.Time
	SessionUntil                                                        time.Time

	Unsigned, SignResponse bool
	Canonicalizer          dsig.Canonicalizer
	SignedInfo             func(string) string // changes it before it is signed
	Prefixes               string              // of an exclusive Canonicalizer with a list of prefixes
	SignatureMethod        string
	DigestMethod           string
	Before                 func(response, assertion *etree.Element) // anything is signed
	After                  func(response *etree.Element)            // everything is
}

// Formats and the like that replies have unless they are told otherwise.
const (
	Persistent   = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	Transient    = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
	EmailAddress = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	Bearer       = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	Success      = "urn:oasis:names:tc:SAML:2.0:status:Success"
	Password     = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
)

// Good is a reply as it should be, to one request, of one person.
func (p *IdP) Good(r Request, person string) Reply {
	now := p.now().UTC().Truncate(time.Second)
	id := "_" + rand.Text()
	return Reply{
		ResponseID: id + ".r", InResponseTo: r.ID, Destination: r.ACS, ResponseIssuer: p.EntityID, Status: Success,
		AssertionID: id + ".a", Issuer: p.EntityID, NameID: person, Format: Persistent, Method: Bearer, Recipient: r.ACS, ConfirmedInResponseTo: r.ID,
		Audiences: []string{r.Issuer}, SessionIndex: "session-1", Class: Password, Issued: now, NotBefore: now.Add(-time.Minute),
		NotOnOrAfter: now.Add(5 * time.Minute), ConfirmedUntil: now.Add(5 * time.Minute), Authenticated: now,
		Canonicalizer: dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(""), SignatureMethod: dsig.RSASHA256SignatureMethod,
		DigestMethod: SHA256,
	}
}

// Response writes and signs a reply.
func (p *IdP) Response(r Reply) ([]byte, error) {
	assertion, err := element(r.assertion())
	if err != nil {
		return nil, err
	}
	response, err := element(r.response())
	if err != nil {
		return nil, err
	}
	if r.Before != nil {
		r.Before(response, assertion)
	}
	if !r.Unsigned {
		if assertion, err = p.sign(r, assertion); err != nil {
			return nil, err
		}
	}
	response.AddChild(assertion)
	if r.SignResponse {
		if response, err = p.sign(r, response); err != nil {
			return nil, err
		}
	}
	if r.After != nil {
		r.After(response)
	}
	return Bytes(response)
}

// Assertion writes and signs the assertion of a reply alone.
func (p *IdP) Assertion(r Reply) ([]byte, error) {
	assertion, err := element(r.assertion())
	if err != nil {
		return nil, err
	}
	if r.Before != nil {
		r.Before(nil, assertion)
	}
	if !r.Unsigned {
		if assertion, err = p.sign(r, assertion); err != nil {
			return nil, err
		}
	}
	return Bytes(assertion)
}

// Bytes writes a document.
func Bytes(root *etree.Element) ([]byte, error) {
	doc := etree.NewDocument()
	doc.SetRoot(root.Copy())
	return doc.WriteToBytes()
}

// Form is a response as a browser posts it.
func Form(response []byte, relayState string) url.Values {
	return url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString(response)}, "RelayState": {relayState}}
}
