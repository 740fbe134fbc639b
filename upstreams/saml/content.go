package saml

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// content is what an assertion says (SAML Core §2.3).
type content struct {
	id, issuer   string
	issued       time.Time
	name         *nameID // nil: the subject has none
	confirmed    confirmation
	notBefore    time.Time // zero when absent
	notOnOrAfter time.Time // zero when absent
	audience     []string  // of the one restriction
	once         bool      // OneTimeUse
	authn        *authn    // nil: it says nothing of an authentication
	attributes   map[string][]string
}

type nameID struct{ value, format, qualifier, spQualifier string }

type confirmation struct {
	recipient, inResponseTo string
	notOnOrAfter            time.Time
}

type authn struct {
	at, ends       time.Time // ends: SessionNotOnOrAfter; zero when absent
	session, class string
}

// contentSteps read an assertion, part by part.
var contentSteps = [...]func(*content, *etree.Element) error{
	(*content).head, (*content).subject, (*content).conditions, (*content).authentication, (*content).attribution,
}

func read(e *etree.Element) (*content, error) {
	c := &content{attributes: map[string][]string{}}
	for _, step := range contentSteps {
		if err := step(c, e); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *content) head(e *etree.Element) error {
	if !is(e, nsAssertion, tagAssertion) || attr(e, "Version") != version {
		return errors.New("not an assertion of SAML 2.0")
	}
	for _, child := range e.ChildElements() {
		switch {
		case child.NamespaceURI() != nsAssertion && !is(child, nsSignature, tagSignature):
			return errors.New("an element in Assertion that is not served")
		}
	}
	issuer, err := only(e, nsAssertion, tagIssuer)
	if err != nil {
		return err
	}
	if format := attr(issuer, "Format"); format != "" && format != formatEntity {
		return errors.New("the Issuer is no entity")
	}
	if c.issuer, err = text(issuer); err != nil {
		return err
	}
	if c.id = attr(e, attrID); c.id == "" {
		return errors.New("no ID")
	}
	c.issued, err = instant(e, "IssueInstant", true)
	return err
}

// subject reads one subject with one bearer confirmation (SAML Profiles §4.1.4.2, RFC 7522 §3).
func (c *content) subject(e *etree.Element) error {
	subject, err := only(e, nsAssertion, "Subject")
	if err != nil {
		return err
	}
	if err := allow(subject, nsAssertion, "NameID", "SubjectConfirmation"); err != nil {
		return err
	}
	name, err := optional(subject, nsAssertion, "NameID")
	if err != nil {
		return err
	}
	if name != nil {
		value, err := text(name)
		if err != nil {
			return err
		}
		c.name = &nameID{value, attr(name, "Format"), attr(name, "NameQualifier"), attr(name, "SPNameQualifier")}
	}
	confirmation, err := only(subject, nsAssertion, "SubjectConfirmation")
	if err != nil {
		return err
	}
	if attr(confirmation, "Method") != methodBearer {
		return errors.New("the subject confirmation is not bearer")
	}
	if err := allow(confirmation, nsAssertion, "SubjectConfirmationData"); err != nil {
		return err
	}
	data, err := only(confirmation, nsAssertion, "SubjectConfirmationData")
	if err != nil {
		return err
	}
	if attr(data, "NotBefore") != "" || len(data.ChildElements()) > 0 {
		return errors.New("SubjectConfirmationData is not a bearer's")
	}
	c.confirmed.recipient, c.confirmed.inResponseTo = attr(data, "Recipient"), attr(data, "InResponseTo")
	c.confirmed.notOnOrAfter, err = instant(data, "NotOnOrAfter", true)
	return err
}

// conditions reads those of SAML Core §2.5 that are understood. One that is not makes the assertion's validity indeterminate, and so refused; so
// does ProxyRestriction, since what is issued here is issued on the assertion's strength.
func (c *content) conditions(e *etree.Element) error {
	conditions, err := only(e, nsAssertion, "Conditions")
	if err != nil {
		return err
	}
	if err := allow(conditions, nsAssertion, "AudienceRestriction", "OneTimeUse"); err != nil {
		return err
	}
	if c.notBefore, err = instant(conditions, "NotBefore", false); err != nil {
		return err
	}
	if c.notOnOrAfter, err = instant(conditions, "NotOnOrAfter", false); err != nil {
		return err
	}
	c.once = len(children(conditions, nsAssertion, "OneTimeUse")) > 0
	restriction, err := only(conditions, nsAssertion, "AudienceRestriction")
	if err != nil {
		return err
	}
	if err := allow(restriction, nsAssertion, "Audience"); err != nil {
		return err
	}
	for _, a := range restriction.ChildElements() {
		audience, err := text(a)
		if err != nil {
			return err
		}
		c.audience = append(c.audience, audience)
	}
	return nil
}

func (c *content) authentication(e *etree.Element) error {
	statement, err := optional(e, nsAssertion, "AuthnStatement")
	if err != nil || statement == nil {
		return err
	}
	c.authn = &authn{session: attr(statement, "SessionIndex")}
	if c.authn.at, err = instant(statement, "AuthnInstant", true); err != nil {
		return err
	}
	if c.authn.ends, err = instant(statement, "SessionNotOnOrAfter", false); err != nil {
		return err
	}
	context, err := only(statement, nsAssertion, "AuthnContext")
	if err != nil {
		return err
	}
	class, err := optional(context, nsAssertion, "AuthnContextClassRef")
	if err != nil || class == nil {
		return err
	}
	c.authn.class, err = text(class)
	return err
}

// attribution gathers attributes by name; one that comes several times has all its values. What is not text, as the NameID in
// eduPersonTargetedID, is left out.
func (c *content) attribution(e *etree.Element) error {
	for _, statement := range children(e, nsAssertion, "AttributeStatement") {
		if err := allow(statement, nsAssertion, "Attribute"); err != nil {
			return err
		}
		for _, a := range statement.ChildElements() {
			name := attr(a, "Name")
			if name == "" {
				return errors.New("an attribute without a name")
			}
			if err := allow(a, nsAssertion, "AttributeValue"); err != nil {
				return err
			}
			for _, v := range a.ChildElements() {
				if value, err := text(v); err == nil {
					c.attributes[name] = append(c.attributes[name], value)
				}
			}
		}
	}
	return nil
}

// instant reads an xs:dateTime in UTC (SAML Core §1.3.3); zero when it is absent and may be.
func instant(e *etree.Element, key string, required bool) (time.Time, error) {
	s := attr(e, key)
	if s == "" && !required {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !strings.HasSuffix(s, "Z") || t.Year() < 1970 {
		return time.Time{}, fmt.Errorf("%s of %s is no time in UTC", key, e.Tag)
	}
	return t, nil
}
