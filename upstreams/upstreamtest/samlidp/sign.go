package samlidp

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // identity providers of another age
	_ "crypto/sha256"
	_ "crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// Digest methods (XML Encryption §5.8, XML Signature §6.2).
const (
	SHA1   = "http://www.w3.org/2000/09/xmldsig#sha1"
	SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
	SHA512 = "http://www.w3.org/2001/04/xmlenc#sha512"
)

func hashes(name string) (crypto.Hash, bool) {
	h, ok := map[string]crypto.Hash{
		SHA1: crypto.SHA1, SHA256: crypto.SHA256, SHA512: crypto.SHA512,
		dsig.RSASHA1SignatureMethod: crypto.SHA1, dsig.RSASHA256SignatureMethod: crypto.SHA256, dsig.RSASHA384SignatureMethod: crypto.SHA384, dsig.RSASHA512SignatureMethod: crypto.SHA512,
	}[name]
	return h, ok
}

// sign puts an enveloped signature into an element, behind its Issuer as the schema wants it.
func (p *IdP) sign(r Reply, e *etree.Element) (*etree.Element, error) {
	digests, known := hashes(r.DigestMethod)
	signs, alsoKnown := hashes(r.SignatureMethod)
	if !known || !alsoKnown {
		return nil, errors.New("unknown method of signing")
	}
	canonical, err := r.Canonicalizer.Canonicalize(e.Copy())
	if err != nil {
		return nil, err
	}
	prefixes := ""
	if r.Prefixes != "" {
		prefixes = fmt.Sprintf(`<ec:InclusiveNamespaces xmlns:ec="http://www.w3.org/2001/10/xml-exc-c14n#" PrefixList="%s"></ec:InclusiveNamespaces>`, r.Prefixes)
	}
	algorithm := r.Canonicalizer.Algorithm()
	text := fmt.Sprintf(`<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="%s"/><ds:SignatureMethod Algorithm="%s"/>`+
		`<ds:Reference URI="#%s"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"/><ds:Transform Algorithm="%s">%s</ds:Transform></ds:Transforms>`+
		`<ds:DigestMethod Algorithm="%s"/><ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>`,
		algorithm, r.SignatureMethod, e.SelectAttrValue("ID", ""), algorithm, prefixes, r.DigestMethod, sum(digests, canonical))
	if r.SignedInfo != nil {
		text = r.SignedInfo(text)
	}
	info, err := element(text)
	if err != nil {
		return nil, err
	}
	if canonical, err = r.Canonicalizer.Canonicalize(info.Copy()); err != nil {
		return nil, err
	}
	h := signs.New()
	h.Write(canonical)
	value, err := rsa.SignPKCS1v15(rand.Reader, p.key, signs, h.Sum(nil))
	if err != nil {
		return nil, err
	}
	signature, err := element(fmt.Sprintf(`<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignatureValue>%s</ds:SignatureValue>`+
		`<ds:KeyInfo><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`,
		base64.StdEncoding.EncodeToString(value), base64.StdEncoding.EncodeToString(p.der)))
	if err != nil {
		return nil, err
	}
	signature.InsertChildAt(0, info)
	e.InsertChildAt(1, signature)
	return e, nil
}

func sum(hash crypto.Hash, data []byte) string {
	h := hash.New()
	h.Write(data)
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}
