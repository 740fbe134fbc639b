package saml

import (
	"encoding/base64"

	"github.com/beevik/etree"

	"fedbroker/upstreams/spec"
)

// Metadata describes this broker to the identity provider (SAML Metadata §2.4.4): entity id, assertion consumer service, what is wanted of assertions, and
// the certificate of the key that signs requests, where one is in its file.
func (p Provider) Metadata() ([]byte, error) {
	doc := etree.NewDocument()
	doc.CreateProcInst("xml", `version="1.0" encoding="UTF-8"`)
	entity := doc.CreateElement("md:EntityDescriptor")
	entity.CreateAttr("xmlns:md", nsMetadata)
	entity.CreateAttr("entityID", p.LoginAudience)
	sp := entity.CreateElement("md:SPSSODescriptor")
	sp.CreateAttr("protocolSupportEnumeration", nsProtocol)
	sp.CreateAttr("WantAssertionsSigned", "true")
	if p.PrivateKeyFile != "" {
		sp.CreateAttr("AuthnRequestsSigned", "true")
		_, certificate, err := readKey(p.PrivateKeyFile)
		if err != nil {
			return nil, err
		}
		if certificate != nil {
			describe(sp, certificate)
		}
	}
	for _, claim := range p.Subject {
		if claim == spec.ClaimSubject {
			sp.CreateElement("md:NameIDFormat").SetText(FormatPersistent)
		}
	}
	acs := sp.CreateElement("md:AssertionConsumerService")
	acs.CreateAttr("Binding", bindingPOST)
	acs.CreateAttr("Location", p.ACS)
	acs.CreateAttr("index", "0")
	acs.CreateAttr("isDefault", "true")
	doc.Indent(2)
	return doc.WriteToBytes()
}

func describe(sp *etree.Element, certificate []byte) {
	key := sp.CreateElement("md:KeyDescriptor")
	key.CreateAttr("use", "signing")
	info := key.CreateElement("ds:KeyInfo")
	info.CreateAttr("xmlns:ds", nsSignature)
	info.CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(certificate))
}
