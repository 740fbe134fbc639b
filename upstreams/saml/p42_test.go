package saml_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"fedbroker/upstreams/rp"
	"fedbroker/upstreams/spec"
	"fedbroker/upstreams/upstreamtest/samlidp"
	"fedbroker/upstreams/verify"
)

func TestP42_TheAssertionItselfIsSigned(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) { r.Unsigned = true }), verify.ReasonSignature)
	w.refused(w.reply(func(r *samlidp.Reply) { r.Unsigned, r.SignResponse = true, true }), verify.ReasonSignature)
	if _, err := w.finish(w.reply(func(r *samlidp.Reply) { r.SignResponse = true })); err != nil {
		t.Errorf("both signed: %v", err)
	}
}

func TestP42_AFalseSignatureOfTheResponseIsARefusal(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.SignResponse = true
		r.After = func(response *etree.Element) { response.CreateAttr("Consent", "urn:x") }
	}), verify.ReasonSignature)
}

func TestP42_OnlyTheUpstreamsKeys(t *testing.T) {
	w := newWorld(t)
	other, err := samlidp.New(idpID, clock)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := other.Response(other.Good(w.request, "alice-1")) // its certificate is in KeyInfo, and believed by nobody
	if err != nil {
		t.Fatal(err)
	}
	w.refused(forged, verify.ReasonSignature)
	w.provider = w.trusting(append(other.PEM(), w.idp.PEM()...)) // rotation: either signs
	for _, response := range [][]byte{forged, w.reply(nil)} {
		if _, err := w.finish(response); err != nil {
			t.Error(err)
		}
	}
}

func TestP42_WhatIsSignedIsNotChanged(t *testing.T) {
	w := newWorld(t)
	good := w.reply(func(r *samlidp.Reply) { r.Attributes = [][]string{{"role", "reader"}} })
	for old, changed := range map[string]string{"alice-1": "alice-2", "reader": "writer", `SessionIndex="session-1"`: `SessionIndex="session-2"`, "PasswordProtectedTransport": "X509"} {
		w.refused(bytes.ReplaceAll(good, []byte(old), []byte(changed)), verify.ReasonSignature)
	}
}

func TestP42_ExactlyOneAssertion(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.After = func(response *etree.Element) { response.RemoveChild(response.SelectElement("Assertion")) }
	}), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.After = func(response *etree.Element) {
			second := response.SelectElement("Assertion").Copy()
			second.CreateAttr("ID", "_second")
			response.AddChild(second)
		}
	}), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.Before = func(_, assertion *etree.Element) { // signed, and yet
			inner := assertion.Copy()
			inner.CreateAttr("ID", "_inner")
			assertion.CreateElement("saml:Advice").AddChild(inner)
		}
	}), verify.ReasonNonsense)
}

func TestP42_NothingEncrypted(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.After = func(response *etree.Element) { response.CreateElement("saml:EncryptedAssertion") }
	}), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.Before = func(_, a *etree.Element) { a.SelectElement("Subject").CreateElement("saml:EncryptedID") }
	}), verify.ReasonNonsense)
}

func TestP42_NoDTDEntityCommentOrInstruction(t *testing.T) {
	w := newWorld(t)
	good := string(w.reply(nil))
	if _, err := w.finish([]byte(`<?xml version="1.0" encoding="UTF-8"?>` + good)); err != nil {
		t.Errorf("a declaration: %v", err)
	}
	attributes := ""
	for i := range 65 {
		attributes += fmt.Sprintf(" a%d=''", i)
	}
	for name, document := range map[string]string{
		"document type":          `<!DOCTYPE x>` + good,
		"entity":                 `<!DOCTYPE x [<!ENTITY a "alice-1">]>` + strings.Replace(good, "alice-1", "&a;", 1),
		"entity, undeclared":     strings.Replace(good, "alice-1", "&a;", 1),
		"external entity":        `<!DOCTYPE x SYSTEM "file:///etc/passwd">` + good,
		"processing instruction": strings.Replace(good, "alice-1", "alice-1<?x y?>", 1),
		"instruction in front":   `<?xml-stylesheet href="x"?>` + good,
		"second declaration":     `<?xml version="1.0"?><?xml version="1.0"?>` + good,
		"other encoding":         `<?xml version="1.0" encoding="UTF-16"?>` + good,
		"version 1.1":            `<?xml version="1.1"?>` + good,
		"comment":                strings.Replace(good, "<samlp:Status>", "<!-- x --><samlp:Status>", 1),
		"CDATA":                  strings.Replace(good, "alice-1", "<![CDATA[alice-1]]>", 1),
		"byte order mark":        "\ufeff" + good,
		"bad UTF-8":              strings.Replace(good, "alice-1", "alice-\xff", 1),
		"text behind":            good + "x",
		"two roots":              good + "<x/>",
		"not closed":             strings.TrimSuffix(good, "</samlp:Response>"),
		"no document":            "",
		"undeclared prefix":      strings.Replace(good, "<samlp:Status>", "<samlp:Status x:y='z'>", 1),
		"undeclared element":     strings.Replace(good, "<samlp:Status>", "<x:y/><samlp:Status>", 1),
		"repeated attribute":     strings.Replace(good, "<samlp:Status>", `<samlp:Status a="1" a="2">`, 1),
		"too deep":               strings.Replace(good, "alice-1", strings.Repeat("<a>", 40)+strings.Repeat("</a>", 40), 1),
		"too many elements":      strings.Replace(good, "alice-1", strings.Repeat("<a/>", 900), 1),
		"too many attributes":    strings.Replace(good, "<samlp:Status>", "<samlp:Status "+attributes+">", 1),
		"too long":               strings.Replace(good, "alice-1", strings.Repeat("a", 256<<10), 1),
	} {
		t.Run(name, func(t *testing.T) {
			w.TB = t
			w.refused([]byte(document), verify.ReasonNonsense)
		})
	}
}

// A comment does not change what is signed, and some parsers read text only up to it: alice@acme.example<!---->.evil.example.
func TestP42_CommentsInTheNameIDHideNothing(t *testing.T) {
	w := newWorld(t)
	good := w.reply(func(r *samlidp.Reply) { r.NameID = "admin.evil.example" })
	w.refused(bytes.Replace(good, []byte("admin.evil"), []byte("admin<!---->.evil"), 1), verify.ReasonNonsense)
	w.refused(bytes.Replace(good, []byte("admin.evil"), []byte("admin<x/>.evil"), 1), verify.ReasonNonsense)
}

// Were a document to come through that reads otherwise than it was signed, what was signed would count: here a value with a comment in it, which is none where it was
// parsed, and whole where it was verified.
func TestP42_ValuesOnlyFromTheVerifiedElement(t *testing.T) {
	w := newWorld(t)
	var assertion *etree.Element
	w.reply(func(r *samlidp.Reply) {
		r.Attributes = [][]string{{"role", "reader.guest"}}
		r.After = func(response *etree.Element) {
			assertion = response.SelectElement("Assertion").Copy()
			value := assertion.FindElement("//AttributeValue")
			value.SetText("reader")
			value.CreateComment("x")
			value.CreateText(".guest")
		}
	})
	id, err := w.provider.Prove(t.Context(), assertion, w.attempt)
	if err != nil || id.Claims["role"] != "reader.guest" {
		t.Errorf("got %+v, %v", id, err)
	}
}

func TestP42_PrefixesAreDeclared(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.After = func(e *etree.Element) { e.FindElement("//AuthnContext").CreateElement("x:y") }
	}), verify.ReasonNonsense)
}

func TestP42_Depth(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.Before = func(_, a *etree.Element) { // signed, and where nothing is read
			for e, depth := a.FindElement("//AuthnContext"), 0; depth < 30; depth++ {
				e = e.CreateElement("saml:AuthnContextDecl")
			}
		}
	}), verify.ReasonNonsense)
}

func TestP42_IDsAreUniqueAndPlain(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) { r.ResponseID = r.AssertionID }), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) { r.AssertionID = "a b" }), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) { r.AssertionID = "" }), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) { // a library that looks up ID by its local name finds this one first
		r.Before = func(_, a *etree.Element) {
			a.Attr = append([]etree.Attr{{Space: "saml", Key: "ID", Value: "_other"}}, a.Attr...)
		}
	}), verify.ReasonNonsense)
}

func TestP42_NoSHA1(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) { r.SignatureMethod = dsig.RSASHA1SignatureMethod }), verify.ReasonAlgorithm)
	w.refused(w.reply(func(r *samlidp.Reply) { r.DigestMethod = samlidp.SHA1 }), verify.ReasonAlgorithm)
	for _, method := range []string{dsig.RSASHA384SignatureMethod, dsig.RSASHA512SignatureMethod} {
		if _, err := w.finish(w.reply(func(r *samlidp.Reply) { r.SignatureMethod = method })); err != nil {
			t.Errorf("%s: %v", method, err)
		}
	}
}

func TestP42_OneFormOfSignature(t *testing.T) {
	w := newWorld(t)
	for name, canonicalizer := range map[string]dsig.Canonicalizer{
		"inclusive": dsig.MakeC14N11Canonicalizer(), "with comments": dsig.MakeC14N10ExclusiveWithCommentsCanonicalizerWithPrefixList(""), "1.0": dsig.MakeC14N10RecCanonicalizer(),
	} {
		t.Run(name, func(t *testing.T) {
			w.TB = t
			w.refused(w.reply(func(r *samlidp.Reply) { r.Canonicalizer = canonicalizer }), verify.ReasonSignature)
		})
	}
	for name, change := range map[string]func(signature *etree.Element){
		"whole document":  func(s *etree.Element) { s.FindElement("//Reference").CreateAttr("URI", "") },
		"another element": func(s *etree.Element) { s.FindElement("//Reference").CreateAttr("URI", "#_other") },
		"two references": func(s *etree.Element) {
			i := s.SelectElement("SignedInfo")
			i.AddChild(i.SelectElement("Reference").Copy())
		},
		"two signed infos": func(s *etree.Element) { s.AddChild(s.SelectElement("SignedInfo").Copy()) },
		"another transform": func(s *etree.Element) {
			s.FindElement("//Transforms").CreateElement("ds:Transform").CreateAttr("Algorithm", "http://www.w3.org/TR/1999/REC-xslt-19991116")
		},
		"no transforms": func(s *etree.Element) {
			r := s.FindElement("//Reference")
			r.RemoveChild(r.SelectElement("Transforms"))
		},
		"no signature value": func(s *etree.Element) { s.SelectElement("SignatureValue").SetText("") },
		"something within":   func(s *etree.Element) { s.CreateElement("ds:Whatever") },
	} {
		t.Run(name, func(t *testing.T) {
			w.TB = t
			w.refused(w.reply(func(r *samlidp.Reply) {
				r.After = func(e *etree.Element) { change(e.FindElement("//Assertion/Signature")) }
			}), verify.ReasonSignature)
		})
	}
}

// Signatures that are good, and of another form.
func TestP42_OneFormOfSignatureReallySigned(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"the whole document": func(s string) string { return regexp.MustCompile(`URI="[^"]*"`).ReplaceAllString(s, `URI=""`) },
		"one more transform": func(s string) string {
			return strings.Replace(s, "</ds:Transforms>", `<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/></ds:Transforms>`, 1)
		},
		"comments kept": func(s string) string {
			return strings.Replace(s, `xml-exc-c14n#"></ds:Transform>`, `xml-exc-c14n#WithComments"></ds:Transform>`, 1)
		},
		"two references": func(s string) string {
			return strings.Replace(s, "</ds:SignedInfo>", s[strings.Index(s, "<ds:Reference"):], 1)
		},
		"prefixes of SignedInfo": func(s string) string {
			return strings.Replace(s, `xml-exc-c14n#"/>`, `xml-exc-c14n#"><x xmlns="urn:x"/></ds:CanonicalizationMethod>`, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.refused(w.reply(func(r *samlidp.Reply) {
				r.SignedInfo = func(s string) string {
					if change(s) == s {
						t.Fatal("nothing changed")
					}
					return change(s)
				}
			}), verify.ReasonSignature)
		})
	}
	w := newWorld(t)
	if _, err := w.finish(w.reply(func(r *samlidp.Reply) { r.SignedInfo = func(s string) string { return s } })); err != nil {
		t.Error(err)
	}
}

// Prefixes that only values use (xsi:type="xs:string") are kept by a list of inclusive prefixes, as several identity providers write it.
func TestP42_InclusivePrefixes(t *testing.T) {
	w := newWorld(t)
	if _, err := w.finish(w.reply(func(r *samlidp.Reply) {
		r.Prefixes, r.Canonicalizer = "xs", dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("xs")
		r.Before = func(_, a *etree.Element) { a.CreateAttr("xmlns:xs", "http://www.w3.org/2001/XMLSchema") }
	})); err != nil {
		t.Error(err)
	}
}

func TestP42_Destination(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) { r.Destination = acs + "/" }), verify.ReasonResponse)
	w.refused(w.reply(func(r *samlidp.Reply) { r.Destination = "" }), verify.ReasonResponse)
}

func TestP42_Recipient(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) { r.Recipient = "https://other.example/acs" }), verify.ReasonAudience)
	w.refused(w.reply(func(r *samlidp.Reply) { r.Recipient = "" }), verify.ReasonAudience)
	w.refused(w.reply(func(r *samlidp.Reply) { r.Method = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches" }), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) { // one that fits and one that does not: which of them counts is nobody's to guess
		r.Before = func(_, a *etree.Element) {
			s := a.SelectElement("Subject")
			s.AddChild(s.SelectElement("SubjectConfirmation").Copy())
		}
	}), verify.ReasonNonsense)
}

func TestP42_Audience(t *testing.T) {
	w := newWorld(t)
	for _, audiences := range [][]string{{"https://other.example"}, {entityID, "https://other.example"}, {" " + entityID}} {
		w.refused(w.reply(func(r *samlidp.Reply) { r.Audiences = audiences }), verify.ReasonAudience)
	}
	w.refused(w.reply(func(r *samlidp.Reply) { r.Audiences = nil }), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) { // restrictions hold all at once
		r.Before = func(_, a *etree.Element) {
			c := a.SelectElement("Conditions")
			c.CreateElement("saml:AudienceRestriction").CreateElement("saml:Audience").SetText("https://other.example")
		}
	}), verify.ReasonNonsense)
}

func TestP42_InResponseToOfThisAttempt(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) { r.InResponseTo = "_other" }), verify.ReasonResponse)
	w.refused(w.reply(func(r *samlidp.Reply) { r.ConfirmedInResponseTo = "_other" }), verify.ReasonNonce)
	first := w.reply(nil)
	w.begin(rp.Attempt{State: "state-2", Nonce: "nonce-2", Now: now})
	w.refused(first, verify.ReasonResponse)
}

func TestP42_NoLoginThatTheIdPBegins(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) { r.InResponseTo, r.ConfirmedInResponseTo = "", "" }), verify.ReasonResponse)
	w.refused(w.reply(func(r *samlidp.Reply) { r.ConfirmedInResponseTo = "" }), verify.ReasonNonce)
	response := base64.StdEncoding.EncodeToString(w.reply(nil))
	for name, params := range map[string]url.Values{
		"no state": {"SAMLResponse": {response}}, "another's": {"SAMLResponse": {response}, "state": {"state-2"}}, "empty": {"SAMLResponse": {response}, "state": {""}},
	} {
		if _, err := w.provider.Finish(t.Context(), w.attempt, params); !errors.Is(err, verify.ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := w.provider.Finish(t.Context(), rp.Attempt{}, url.Values{"SAMLResponse": {response}}); !errors.Is(err, verify.ErrInvalid) {
		t.Errorf("no attempt: got %v", err)
	}
}

// An assertion belongs to one request, and a request to one attempt, which broker/login spends once: under another attempt the same
// assertion is none.
func TestP42_AnAssertionOnce(t *testing.T) {
	w := newWorld(t)
	first := w.reply(nil)
	if _, err := w.finish(first); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{w.request.ID: true}
	for _, nonce := range []string{"nonce-2", "nonce-3"} {
		w.begin(rp.Attempt{State: "state-1", Nonce: nonce, Now: now}) // even with the same state
		if seen[w.request.ID] {
			t.Fatal("two attempts with one request")
		}
		seen[w.request.ID] = true
		w.refused(first, verify.ReasonResponse)
		w.refused(bytes.Replace(first, []byte(`.r" InResponseTo="`), []byte(`.r" InResponseTo="`+w.request.ID+`" Old="`), 1), verify.ReasonNonce)
	}
}

func TestP42_Times(t *testing.T) {
	const leeway = 30 * time.Second
	for name, tc := range map[string]struct {
		change func(*samlidp.Reply)
		ok     bool
	}{
		"just valid":                    {func(r *samlidp.Reply) { r.NotOnOrAfter = now.Add(-leeway + time.Second) }, true},
		"expired":                       {func(r *samlidp.Reply) { r.NotOnOrAfter = now.Add(-leeway) }, false},
		"confirmation just valid":       {func(r *samlidp.Reply) { r.ConfirmedUntil = now.Add(-leeway + time.Second) }, true},
		"confirmation expired":          {func(r *samlidp.Reply) { r.ConfirmedUntil = now.Add(-leeway) }, false},
		"session just valid":            {func(r *samlidp.Reply) { r.SessionUntil = now.Add(-leeway + time.Second) }, true},
		"session over":                  {func(r *samlidp.Reply) { r.SessionUntil = now.Add(-leeway) }, false},
		"valid at once":                 {func(r *samlidp.Reply) { r.NotBefore = now.Add(leeway) }, true},
		"not yet valid":                 {func(r *samlidp.Reply) { r.NotBefore = now.Add(leeway + time.Second) }, false},
		"issued in the future":          {func(r *samlidp.Reply) { r.Issued = now.Add(leeway + time.Second) }, false},
		"authenticated in the future":   {func(r *samlidp.Reply) { r.Authenticated = now.Add(leeway + time.Second) }, false},
		"conditions without their ends": {func(r *samlidp.Reply) { r.NotBefore, r.NotOnOrAfter = time.Time{}, time.Time{} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			response := w.reply(tc.change)
			if !tc.ok {
				w.refused(response, verify.ReasonTime)
			} else if _, err := w.finish(response); err != nil {
				t.Error(err)
			}
		})
	}
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) { r.ConfirmedUntil = time.Time{} }), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) { r.Issued = time.Time{} }), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.Before = func(_, a *etree.Element) { a.CreateAttr("IssueInstant", "2027-01-15T08:00:00+00:00") }
	}), verify.ReasonNonsense)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.Before = func(_, a *etree.Element) {
			a.FindElement("//SubjectConfirmationData").CreateAttr("NotBefore", "2020-01-01T00:00:00Z")
		}
	}), verify.ReasonNonsense)
}

func TestP42_Issuer(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) { r.Issuer = "https://other.example" }), verify.ReasonIssuer)
	w.refused(w.reply(func(r *samlidp.Reply) { r.ResponseIssuer = "https://other.example" }), verify.ReasonIssuer)
	if _, err := w.finish(w.reply(func(r *samlidp.Reply) {
		r.After = func(e *etree.Element) { e.RemoveChild(e.SelectElement("Issuer")) }
	})); err != nil {
		t.Errorf("a response need not name its issuer: %v", err)
	}
}

func TestP42_PersistentNameIDOnly(t *testing.T) {
	w := newWorld(t)
	for _, format := range []string{samlidp.Transient, samlidp.EmailAddress, "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified", ""} {
		w.refused(w.reply(func(r *samlidp.Reply) { r.Format = format }), verify.ReasonSubject)
	}
	w.refused(w.reply(func(r *samlidp.Reply) { r.NameID = "" }), verify.ReasonSubject)
	w.refused(w.reply(func(r *samlidp.Reply) { r.NameQualifier = "https://other.example" }), verify.ReasonSubject)
	w.refused(w.reply(func(r *samlidp.Reply) { r.SPNameQualifier = "https://other.example" }), verify.ReasonSubject)
	if _, err := w.finish(w.reply(func(r *samlidp.Reply) { r.NameQualifier, r.SPNameQualifier = idpID, entityID })); err != nil {
		t.Error(err)
	}
}

func TestP42_AnAttributeMayBeTheSubject(t *testing.T) {
	w := newWorld(t)
	w.provider.Subject = spec.Claims{"objectidentifier"}
	w.begin(w.attempt)
	if w.request.NameIDFormat != "" {
		t.Errorf("asked for %s", w.request.NameIDFormat)
	}
	id, err := w.finish(w.reply(func(r *samlidp.Reply) {
		r.Format, r.Attributes = samlidp.Transient, [][]string{{"objectidentifier", "o-1"}}
	}))
	if err != nil || id.BrokerSubject != "acme|o-1" {
		t.Errorf("got %+v, %v", id, err)
	}
	if _, has := id.Claims["sub"]; has {
		t.Error("a transient NameID became sub")
	}
	w.refused(w.reply(nil), verify.ReasonSubject)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.Attributes = [][]string{{"objectidentifier", "o-1", "o-2"}}
	}), verify.ReasonSubject)
}

func TestP4_AttributesAreNoProtocolClaims(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"sub", "iss", "acr", "amr", "auth_time", "act", "may_act", "cnf"} {
		w.refused(w.reply(func(r *samlidp.Reply) { r.Attributes = [][]string{{name, "x"}} }), verify.ReasonClaim)
	}
	id, err := w.finish(w.reply(func(r *samlidp.Reply) { r.Class = "urn:partner:gold" }))
	if err != nil || id.ACR != "" {
		t.Errorf("an unmapped class became acr %q, %v", id.ACR, err)
	}
}

func TestP42_AuthnStatement(t *testing.T) {
	w := newWorld(t)
	w.refused(w.reply(func(r *samlidp.Reply) { r.Authenticated = time.Time{} }), verify.ReasonClaim)
	w.refused(w.reply(func(r *samlidp.Reply) {
		r.Before = func(_, a *etree.Element) { a.AddChild(a.SelectElement("AuthnStatement").Copy()) }
	}), verify.ReasonNonsense)
}

func TestP42_ConditionsThatAreNotUnderstood(t *testing.T) {
	w := newWorld(t)
	for _, tag := range []string{"saml:ProxyRestriction", "saml:Condition", "saml:Whatever"} {
		w.refused(w.reply(func(r *samlidp.Reply) {
			r.Before = func(_, a *etree.Element) { a.SelectElement("Conditions").CreateElement(tag) }
		}), verify.ReasonNonsense)
	}
	if _, err := w.finish(w.reply(func(r *samlidp.Reply) {
		r.Before = func(_, a *etree.Element) { a.SelectElement("Conditions").CreateElement("saml:OneTimeUse") }
	})); err != nil {
		t.Errorf("OneTimeUse: %v", err)
	}
}

func TestP42_ADenial(t *testing.T) {
	w := newWorld(t)
	response := w.reply(func(r *samlidp.Reply) {
		r.Status, r.SubStatus = "urn:oasis:names:tc:SAML:2.0:status:Responder", "urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"
		r.After = func(e *etree.Element) { e.RemoveChild(e.SelectElement("Assertion")) }
	})
	_, err := w.finish(response)
	e, _ := errors.AsType[*verify.Error](err)
	if !errors.Is(err, verify.ErrDenied) || e.Code != "authn_failed" {
		t.Errorf("got %v", err)
	}
	w.refused(w.reply(func(r *samlidp.Reply) { r.Status = "urn:oasis:names:tc:SAML:2.0:status:Responder" }), verify.ReasonDenied)
	w.refused(bytes.Replace(response, []byte(w.request.ID), []byte("_other"), 1), verify.ReasonResponse)
}

func TestP42_StrictBase64(t *testing.T) {
	w := newWorld(t)
	good := base64.StdEncoding.EncodeToString(w.reply(nil))
	for name, values := range map[string][]string{
		"line break": {good[:76] + "\r\n" + good[76:]}, "URL alphabet": {base64.URLEncoding.EncodeToString(w.reply(func(r *samlidp.Reply) { r.NameID = "???>>>" }))},
		"unpadded": {strings.TrimRight(good+"=", "=") + "A"}, "too long": {strings.Repeat("A", 1<<20)}, "none": nil, "two": {good, good},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.provider.Finish(t.Context(), w.attempt, url.Values{"state": {"state-1"}, "SAMLResponse": values}); !errors.Is(err, verify.ErrInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What is refused without a key is refused while there is none (P27).
func TestP42_AnOutageHidesNothing(t *testing.T) {
	w := newWorld(t)
	bad, good := w.reply(func(r *samlidp.Reply) { r.Recipient = "x" }), w.reply(nil)
	w.provider = w.trusting([]byte("no certificate"))
	w.refused(bad, verify.ReasonAudience)
	if _, err := w.finish(good); !errors.Is(err, verify.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

// Errors reach the log: no value of a person's is in them.
func TestP42_ErrorsQuoteNothing(t *testing.T) {
	w := newWorld(t)
	for _, response := range [][]byte{
		w.reply(func(r *samlidp.Reply) { r.NameID, r.Format = "secret-person", samlidp.Transient }),
		w.reply(func(r *samlidp.Reply) { r.NameID, r.Unsigned = "secret-person", true }),
		bytes.Replace(w.reply(nil), []byte("alice-1"), []byte("secret-person</x>"), 1),
		bytes.Replace(w.reply(nil), []byte("alice-1"), []byte("<secret-person/>"), 1),
	} {
		if _, err := w.finish(response); err == nil || strings.Contains(err.Error(), "secret-person") {
			t.Errorf("got %v", err)
		}
	}
}
