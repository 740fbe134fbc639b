package saml

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"

	"fedbroker/upstreams/jose"
	"fedbroker/upstreams/verify"
)

// What a signature may be made with. There is no SHA-1 among them (P42), and no ECDSA, which the library reads in another form than XML
// Signature §6.4.3 writes it.
var (
	signatureMethods = []string{dsig.RSASHA256SignatureMethod, dsig.RSASHA384SignatureMethod, dsig.RSASHA512SignatureMethod}
	digestMethods    = []string{
		"http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2001/04/xmldsig-more#sha384", "http://www.w3.org/2001/04/xmlenc#sha512",
	}
)

// exclusive is the canonicalisation that does not depend on where an element stands; without comments. It is its own namespace, too.
const exclusive = "http://www.w3.org/2001/10/xml-exc-c14n#"

// maxTried is how many keys are tried for one signature: nothing in it that could be believed says which it is (P14).
const maxTried = 4

// tokenIDBytes of a hash name a token in lineage, as of a JWT (see jose.Unverified.TokenID).
const tokenIDBytes = 16

// signed is what a signature covers: read anew from the very bytes that were verified.
type signed struct {
	root *etree.Element
	key  jose.Key
	id   string // names those bytes, whatever signature they come with
}

// verified proves the signature that an element carries of itself. KeyInfo is ignored, as is what a JWT's header says of keys (P14).
func (p Provider) verified(ctx context.Context, e *etree.Element) (signed, error) {
	if reason, err := shape(e); err != nil {
		return signed{}, p.Refuse(reason, err)
	}
	keys, err := p.Candidates(ctx, "", p.Issuer)
	if err != nil {
		return signed{}, err
	}
	detached, err := detach(e)
	if err != nil {
		return signed{}, p.Refuse(verify.ReasonSignature, err)
	}
	for i, key := range keys {
		public, isRSA := key.Public.(*rsa.PublicKey)
		if !isRSA || i == maxTried {
			continue
		}
		// A certificate is a wrapper for a key here: what the operator configured is the trust, and its dates are judged where it is read.
		wrapper := &x509.Certificate{PublicKey: public, PublicKeyAlgorithm: x509.RSA, NotAfter: time.Unix(1<<37, 0)}
		root, err := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{wrapper}}).Validate(detached)
		if err != nil {
			continue
		}
		id, err := tokenID(root)
		if err != nil || !is(root, e.NamespaceURI(), e.Tag) || attr(root, attrID) != attr(e, attrID) {
			return signed{}, p.Refuse(verify.ReasonSignature, errors.New("the signature covers another element"))
		}
		return signed{root, key, id}, nil
	}
	return signed{}, p.Refuse(verify.ReasonSignature, fmt.Errorf("the signature of %s is not one of the upstream's keys'", e.Tag))
}

// detach is a copy of the element that can stand alone, without KeyInfo.
func detach(e *etree.Element) (*etree.Element, error) {
	ns, err := etreeutils.NSBuildParentContext(e)
	if err != nil {
		return nil, errors.New("namespaces")
	}
	detached, err := etreeutils.NSDetatch(ns, e)
	if err != nil {
		return nil, errors.New("namespaces")
	}
	for _, signature := range children(detached, nsSignature, tagSignature) {
		for _, info := range children(signature, nsSignature, dsig.KeyInfoTag) {
			signature.RemoveChild(info)
		}
	}
	return detached, nil
}

// tokenID names the canonical form of what was verified.
func tokenID(root *etree.Element) (string, error) {
	canonical, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(root)
	sum := sha256.Sum256(canonical)
	return base64.RawURLEncoding.EncodeToString(sum[:tokenIDBytes]), err
}

// shape holds a signature to the one form that SAML's have (SAML Core §5.4): a child of what it covers, one reference, to that very element, without
// transforms but the enveloped signature's and exclusive canonicalisation. The library would take much more.
func shape(e *etree.Element) (verify.Reason, error) {
	signature, err := only(e, nsSignature, tagSignature)
	if err != nil {
		return verify.ReasonSignature, err
	}
	if err := allow(signature, nsSignature, dsig.SignedInfoTag, dsig.SignatureValueTag, dsig.KeyInfoTag); err != nil {
		return verify.ReasonSignature, err
	}
	info, err := only(signature, nsSignature, dsig.SignedInfoTag)
	if err != nil {
		return verify.ReasonSignature, err
	}
	if err := allow(info, nsSignature, dsig.CanonicalizationMethodTag, dsig.SignatureMethodTag, dsig.ReferenceTag); err != nil {
		return verify.ReasonSignature, err
	}
	if reason, err := method(info, dsig.CanonicalizationMethodTag, verify.ReasonSignature, exclusive); err != nil {
		return reason, err
	}
	if reason, err := method(info, dsig.SignatureMethodTag, verify.ReasonAlgorithm, signatureMethods...); err != nil {
		return reason, err
	}
	reference, err := only(info, nsSignature, dsig.ReferenceTag)
	if err != nil {
		return verify.ReasonSignature, err
	}
	if id := attr(e, attrID); id == "" || attr(reference, dsig.URIAttr) != "#"+id {
		return verify.ReasonSignature, errors.New("the signature refers to something else than the element that it is in")
	}
	if err := transforms(reference); err != nil {
		return verify.ReasonSignature, err
	}
	return method(reference, dsig.DigestMethodTag, verify.ReasonAlgorithm, digestMethods...)
}

// method wants the one algorithm of that name to be one of those.
func method(e *etree.Element, tag string, reason verify.Reason, known ...string) (verify.Reason, error) {
	chosen, err := only(e, nsSignature, tag)
	if err != nil {
		return verify.ReasonSignature, err
	}
	if !slices.Contains(known, attr(chosen, dsig.AlgorithmAttr)) || len(chosen.ChildElements()) > 0 {
		return reason, fmt.Errorf("%s is not accepted", tag)
	}
	return reason, nil
}

// transforms are exactly two, in their order.
func transforms(reference *etree.Element) error {
	if err := allow(reference, nsSignature, dsig.TransformsTag, dsig.DigestMethodTag, dsig.DigestValueTag); err != nil {
		return err
	}
	list, err := only(reference, nsSignature, dsig.TransformsTag)
	if err != nil {
		return err
	}
	if err := allow(list, nsSignature, dsig.TransformTag); err != nil {
		return err
	}
	var found []string
	for _, t := range list.ChildElements() {
		found = append(found, attr(t, dsig.AlgorithmAttr))
		if err := allow(t, exclusive, dsig.InclusiveNamespacesTag); err != nil {
			return err
		}
	}
	if !slices.Equal(found, []string{dsig.EnvelopedSignatureAltorithmId.String(), exclusive}) {
		return errors.New("want the transforms enveloped-signature and exclusive canonicalisation, and no other")
	}
	return nil
}
