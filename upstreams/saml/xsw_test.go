package saml_test

import (
	"testing"

	"github.com/beevik/etree"

	"fedbroker/upstreams/upstreamtest/samlidp"
	"fedbroker/upstreams/verify"
)

// wrappings are the eight of "On Breaking SAML: Be Whoever You Want to Be" (Somorovsky et al., USENIX Security 2012) as tools number them. Each puts what was really
// signed where a verifier still finds it, and what was not where a reader looks.
var wrappings = map[string]func(response, evil *etree.Element){
	"XSW1": func(response, _ *etree.Element) { // the response that was signed, inside the signature of another
		original := signedCopy(response)
		wrapped(response).AddChild(original)
	},
	"XSW2": func(response, _ *etree.Element) { // in front of the signature
		original := signedCopy(response)
		response.InsertChildAt(wrapped(response).Index(), original)
	},
	"XSW3": func(response, evil *etree.Element) { // another assertion in front
		response.InsertChildAt(response.SelectElement("Assertion").Index(), unsigned(evil))
	},
	"XSW4": func(response, evil *etree.Element) { // around
		original := response.SelectElement("Assertion")
		response.RemoveChild(original)
		evil = unsigned(evil)
		evil.AddChild(original)
		response.AddChild(evil)
	},
	"XSW5": func(response, evil *etree.Element) { // the signature in the other one, the original behind
		original := response.SelectElement("Assertion")
		response.InsertChildAt(original.Index(), evil)
		original.RemoveChild(original.SelectElement("Signature"))
	},
	"XSW6": func(response, evil *etree.Element) { // the original inside the signature of the other
		original := response.SelectElement("Assertion")
		response.RemoveChild(original)
		original.RemoveChild(original.SelectElement("Signature"))
		evil.SelectElement("Signature").AddChild(original)
		response.AddChild(evil)
	},
	"XSW7": func(response, evil *etree.Element) { // inside Extensions, whose content no schema judges
		extensions := etree.NewElement("samlp:Extensions")
		extensions.AddChild(unsigned(evil))
		response.InsertChildAt(1, extensions)
	},
	"XSW8": func(response, evil *etree.Element) { // inside an Object of the signature
		original := response.SelectElement("Assertion")
		response.RemoveChild(original)
		original.RemoveChild(original.SelectElement("Signature"))
		evil.SelectElement("Signature").CreateElement("ds:Object").AddChild(original)
		response.AddChild(evil)
	},
}

func signedCopy(response *etree.Element) *etree.Element {
	original := response.Copy()
	original.RemoveChild(original.SelectElement("Signature"))
	return original
}

// wrapped makes the response another than the one that was signed, and returns its signature.
func wrapped(response *etree.Element) *etree.Element {
	response.CreateAttr("ID", "_evil.r")
	for _, name := range response.FindElements("//NameID") {
		name.SetText("mallory")
	}
	return response.SelectElement("Signature")
}

func unsigned(e *etree.Element) *etree.Element {
	e.RemoveChild(e.SelectElement("Signature"))
	return e
}

func TestP42_WrappingCorpus(t *testing.T) {
	for name, wrap := range wrappings {
		for variant, id := range map[string]string{"another ID": "_evil.a", "the same ID": "", "no ID": "-"} {
			for _, signResponse := range []bool{true, false} {
				if !signResponse && (name == "XSW1" || name == "XSW2") {
					continue // they are about the response's signature
				}
				t.Run(name+"/"+variant, func(t *testing.T) {
					w := newWorld(t)
					w.refused(w.reply(func(r *samlidp.Reply) {
						r.SignResponse = signResponse
						r.After = func(response *etree.Element) {
							evil := response.SelectElement("Assertion").Copy()
							evil.FindElement("//NameID").SetText("mallory")
							if id == "-" {
								evil.RemoveAttr("ID")
							} else if id != "" {
								evil.CreateAttr("ID", id)
							}
							wrap(response, evil)
						}
					}), verify.ReasonNonsense)
				})
			}
		}
	}
}

// Elements that are called as in SAML and are not, or the other way round.
func TestP42_WrappingByNamespace(t *testing.T) {
	for name, change := range map[string]func(response *etree.Element){
		"assertion of another namespace": func(response *etree.Element) {
			evil := response.CreateElement("x:Assertion")
			evil.CreateAttr("xmlns:x", "urn:x")
		},
		"prefix redeclared": func(response *etree.Element) {
			response.SelectElement("Assertion").CreateAttr("xmlns:saml", "urn:x")
		},
		"signature of another namespace": func(response *etree.Element) {
			response.FindElement("//Assertion/Signature").CreateAttr("xmlns:ds", "urn:x")
		},
		"signature within the subject": func(response *etree.Element) {
			signature := response.FindElement("//Assertion/Signature")
			subject := response.FindElement("//Assertion/Subject")
			signature.Parent().RemoveChild(signature)
			subject.AddChild(signature)
		},
		"response within a response": func(response *etree.Element) {
			response.AddChild(signedShell(response))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id, err := w.finish(w.reply(func(r *samlidp.Reply) { r.After = change }))
			if err == nil {
				t.Errorf("got %+v", id)
			}
		})
	}
}

func signedShell(response *etree.Element) *etree.Element {
	shell := response.Copy()
	shell.CreateAttr("ID", "_shell")
	for _, child := range shell.ChildElements() {
		shell.RemoveChild(child)
	}
	return shell
}
