package samlidp

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"
)

func element(text string) (*etree.Element, error) {
	doc := etree.NewDocument()
	if err := doc.ReadFromString(text); err != nil {
		return nil, fmt.Errorf("reply: %w", err)
	}
	return doc.Root(), nil
}

// attribute writes one, if it has a value.
func attribute(name, value string) string {
	if value == "" {
		return ""
	}
	return fmt.Sprintf(` %s="%s"`, name, escape(value))
}

func at(name string, t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return attribute(name, t.UTC().Format(time.RFC3339))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder takes everything
	return b.String()
}

func (r Reply) response() string {
	status := fmt.Sprintf(`<samlp:StatusCode Value="%s"/>`, escape(r.Status))
	if r.SubStatus != "" {
		status = fmt.Sprintf(`<samlp:StatusCode Value="%s"><samlp:StatusCode Value="%s"/></samlp:StatusCode>`, escape(r.Status), escape(r.SubStatus))
	}
	return `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Version="2.0"` +
		attribute("ID", r.ResponseID) + attribute("InResponseTo", r.InResponseTo) + attribute("Destination", r.Destination) + at("IssueInstant", r.Issued) + `>` +
		`<saml:Issuer>` + escape(r.ResponseIssuer) + `</saml:Issuer><samlp:Status>` + status + `</samlp:Status></samlp:Response>`
}

func (r Reply) assertion() string {
	var b strings.Builder
	w := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format, args...) }
	w(`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Version="2.0"%s%s>`, attribute("ID", r.AssertionID), at("IssueInstant", r.Issued))
	w(`<saml:Issuer>%s</saml:Issuer><saml:Subject>`, escape(r.Issuer))
	if r.NameID != "" {
		w(`<saml:NameID%s%s%s>%s</saml:NameID>`, attribute("Format", r.Format), attribute("NameQualifier", r.NameQualifier), attribute("SPNameQualifier", r.SPNameQualifier), escape(r.NameID))
	}
	w(`<saml:SubjectConfirmation%s><saml:SubjectConfirmationData%s%s%s/></saml:SubjectConfirmation></saml:Subject>`,
		attribute("Method", r.Method), attribute("InResponseTo", r.ConfirmedInResponseTo), attribute("Recipient", r.Recipient), at("NotOnOrAfter", r.ConfirmedUntil))
	w(`<saml:Conditions%s%s>`, at("NotBefore", r.NotBefore), at("NotOnOrAfter", r.NotOnOrAfter))
	if len(r.Audiences) > 0 {
		w(`<saml:AudienceRestriction>`)
		for _, a := range r.Audiences {
			w(`<saml:Audience>%s</saml:Audience>`, escape(a))
		}
		w(`</saml:AudienceRestriction>`)
	}
	w(`</saml:Conditions>`)
	if !r.Authenticated.IsZero() {
		w(`<saml:AuthnStatement%s%s%s><saml:AuthnContext><saml:AuthnContextClassRef>%s</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>`,
			at("AuthnInstant", r.Authenticated), attribute("SessionIndex", r.SessionIndex), at("SessionNotOnOrAfter", r.SessionUntil), escape(r.Class))
	}
	if len(r.Attributes) > 0 {
		w(`<saml:AttributeStatement>`)
		for _, a := range r.Attributes {
			w(`<saml:Attribute%s>`, attribute("Name", a[0]))
			for _, v := range a[1:] {
				w(`<saml:AttributeValue>%s</saml:AttributeValue>`, escape(v))
			}
			w(`</saml:Attribute>`)
		}
		w(`</saml:AttributeStatement>`)
	}
	w(`</saml:Assertion>`)
	return b.String()
}
