package saml

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/url"
	"slices"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/verify"
)

const (
	promptLogin = "login" // OpenID Connect Core §3.1.2.1
	minRSABits  = 2048
)

// Start is where the person's browser goes: the identity provider's address with a request by the redirect binding (SAML Bindings §3.4.4). prompt=login and
// max_age become ForceAuthn, since nothing in SAML says how old an authentication may be; what came of it, AuthnInstant tells. Classes of
// authentication are not asked for: an identity provider that can't meet them signs nobody in (SAML Core §3.3.2.2.1), and an acr that is merely
// wished for must never cost a login (P31). Errors are *verify.Error.
func (p Provider) Start(a rp.Attempt) (string, error) {
	if a.State == "" || a.Nonce == "" {
		return "", p.Refuse(verify.ReasonResponse, errors.New("the attempt lacks state or nonce"))
	}
	request := crewjam.AuthnRequest{
		ID: requestID(a), Version: version, IssueInstant: a.Now.UTC(), Destination: p.SSOURL,
		Issuer: &crewjam.Issuer{Value: p.LoginAudience}, AssertionConsumerServiceURL: p.ACS, ProtocolBinding: bindingPOST,
	}
	if slices.Contains(a.Prompt, promptLogin) || a.MaxAge != nil {
		force := true
		request.ForceAuthn = &force
	}
	if slices.Contains(p.Subject, spec.ClaimSubject) {
		format, create := FormatPersistent, true
		request.NameIDPolicy = &crewjam.NameIDPolicy{Format: &format, AllowCreate: &create}
	}
	query, err := encoded(request.Element())
	if err != nil {
		return "", p.Refuse(verify.ReasonEndpoint, err)
	}
	query += "&" + ParamRelayState + "=" + url.QueryEscape(a.State)
	if p.PrivateKeyFile != "" {
		if query, err = p.sign(query); err != nil {
			return "", p.Refuse(verify.ReasonUnavailable, err)
		}
	}
	address, err := url.Parse(p.SSOURL)
	if err != nil {
		return "", p.Refuse(verify.ReasonEndpoint, errors.New("sso_url is none"))
	}
	if address.RawQuery != "" {
		query = address.RawQuery + "&" + query
	}
	address.RawQuery = query
	return address.String(), nil
}

// encoded is a request as a parameter (SAML Bindings §3.4.4.1).
func encoded(e *etree.Element) (string, error) {
	doc := etree.NewDocument()
	doc.SetRoot(e)
	var deflated bytes.Buffer
	w, err := flate.NewWriter(&deflated, flate.DefaultCompression)
	if err != nil {
		return "", err
	}
	if _, err := doc.WriteTo(w); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return ParamRequest + "=" + url.QueryEscape(base64.StdEncoding.EncodeToString(deflated.Bytes())), nil
}

// sign adds a signature over the parameters as they are sent, in their order. The key is read anew each time, so that it can rotate.
func (p Provider) sign(query string) (string, error) {
	key, _, err := readKey(p.PrivateKeyFile)
	if err != nil {
		return "", err
	}
	query += "&SigAlg=" + url.QueryEscape(dsig.RSASHA256SignatureMethod)
	sum := sha256.Sum256([]byte(query))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", errors.New("private key file: signing")
	}
	return query + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signature)), nil
}

// readKey reads an RSA key (PEM: PKCS #8 or #1), and the certificate where one is beside it. Its errors quote nothing.
func readKey(path string) (key *rsa.PrivateKey, certificate []byte, err error) {
	data, err := readFile(path)
	if err != nil {
		return nil, nil, errors.New("private key file: can't be read")
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certificate = block.Bytes
			continue
		}
		if parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			key, _ = parsed.(*rsa.PrivateKey)
		} else if parsed, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			key = parsed
		}
	}
	if key == nil || key.N.BitLen() < minRSABits {
		return nil, nil, errors.New("private key file: want an RSA key of 2048 bits or more (PEM)")
	}
	return key, certificate, nil
}
